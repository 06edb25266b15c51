"""Layers and functions that only Keras 1 had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable
from graphflow.keras import activations
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.keras.engine.registry import deserialize, serialize
from graphflow.keras.layers.core import Dense, Lambda
from graphflow.keras.layers.merge import Add, Average, Concatenate, Dot, Maximum, Multiply
from graphflow.keras.layers.parameters import describe, parameter
from graphflow.keras.layers.wrappers import TimeDistributed
from graphflow.keras.lookup import as_data
from graphflow.ops.contraction import einsum, matmul
from graphflow.ops.elementwise import add, clip, maximum, minimum, multiply, subtract
from graphflow.ops.reduction import max_
from graphflow.ops.transcendental import softplus

__all__ = ["Highway", "MaxoutDense", "Merge", "ParametricSoftplus", "SReLU", "TimeDistributedDense", "merge"]


class _DenseOfKeras1(Layer):
    """Weights called W and b, as Keras 1 has them."""

    W_initializer: Any

    def _begin(self, init: Any, regularizers: tuple[Any, Any], constraints: tuple[Any, Any], bias: bool) -> None:
        describe(self, "W", init, regularizers[0], constraints[0])
        describe(self, "b", "zeros", regularizers[1], constraints[1])
        self.init, self.bias = self.W_initializer, bias
        self.input_spec = InputSpec(ndim=2)


@recorded
class MaxoutDense(_DenseOfKeras1):
    """The largest of `nb_feature` affine maps, element by element (Goodfellow et al. 2013)."""

    def __init__(
        self,
        output_dim: int,
        nb_feature: int = 4,
        init: Any = "glorot_uniform",
        W_regularizer: Any = None,
        b_regularizer: Any = None,
        activity_regularizer: Any = None,
        W_constraint: Any = None,
        b_constraint: Any = None,
        bias: bool = True,
        input_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, input_dim=input_dim, **kwargs)
        self.output_dim, self.nb_feature, self.input_dim = output_dim, nb_feature, input_dim
        self._begin(init, (W_regularizer, b_regularizer), (W_constraint, b_constraint), bias)

    def build(self, input_shape: Any) -> None:
        self.W = parameter(self, "W", (self.nb_feature, input_shape[1], self.output_dim))
        self.b = parameter(self, "b", (self.nb_feature, self.output_dim), used=self.bias)
        self.built = True

    def call(self, inputs: Any) -> Any:
        y = einsum("ni,fio->nfo", inputs, self.W)
        return max_(y if self.b is None else add(y, self.b), axis=1)


@recorded
class Highway(_DenseOfKeras1):
    """t * activation(x W + b) + (1 - t) * x, where t = sigmoid(x W_carry + b_carry) (Srivastava et al. 2015)."""

    def __init__(
        self,
        init: Any = "glorot_uniform",
        activation: Any = None,
        W_regularizer: Any = None,
        b_regularizer: Any = None,
        activity_regularizer: Any = None,
        W_constraint: Any = None,
        b_constraint: Any = None,
        bias: bool = True,
        input_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.transform_bias = kwargs.pop("transform_bias", -1)
        super().__init__(activity_regularizer=activity_regularizer, input_dim=input_dim, **kwargs)
        self.activation, self.input_dim = activations.get(activation), input_dim
        self._begin(init, (W_regularizer, b_regularizer), (W_constraint, b_constraint), bias)

    def build(self, input_shape: Any) -> None:
        n = input_shape[1]
        self.W = parameter(self, "W", (n, n))
        self.W_carry = self.add_weight("W_carry", (n, n), initializer=self.init)
        self.b = parameter(self, "b", (n,), used=self.bias)
        self.b_carry = self.add_weight("b_carry", (n,), initializer="ones") if self.bias else None
        self.built = True

    def call(self, inputs: Any) -> Any:
        carried, made = matmul(inputs, self.W_carry), matmul(inputs, self.W)
        if self.b is not None and self.b_carry is not None:
            carried, made = add(carried, self.b_carry), add(made, self.b)
        t = activations.sigmoid(carried)
        return add(multiply(self.activation(made), t), multiply(subtract(1, t), inputs))


@recorded
class ParametricSoftplus(Layer):
    """alpha * log(1 + exp(beta * x)) with an alpha and beta for each feature that are learned."""

    supports_masking = True

    def __init__(self, alpha_init: float = 0.2, beta_init: float = 5.0, shared_axes: Sequence[int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha_init, self.beta_init, self.shared_axes = alpha_init, beta_init, shared_axes

    def build(self, input_shape: Any) -> None:
        shape = [1 if a in (self.shared_axes or ()) else n for a, n in enumerate(input_shape)][1:]
        self.alphas = self.add_weight("alphas", shape, initializer={"class_name": "Constant", "config": {"value": self.alpha_init}})
        self.betas = self.add_weight("betas", shape, initializer={"class_name": "Constant", "config": {"value": self.beta_init}})
        self.built = True

    def call(self, inputs: Any) -> Any:
        return multiply(softplus(multiply(inputs, self.betas)), self.alphas)


@recorded
class SReLU(Layer):
    """x between two thresholds, and lines of learned slopes beyond them (Jin et al. 2015)."""

    supports_masking = True
    t_left: Variable
    a_left: Variable
    t_right: Variable
    a_right: Variable

    def __init__(
        self,
        t_left_init: Any = "zero",
        a_left_init: Any = "glorot_uniform",
        t_right_init: Any = "glorot_uniform",
        a_right_init: Any = "one",
        shared_axes: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.t_left_init, self.a_left_init, self.t_right_init, self.a_right_init = t_left_init, a_left_init, t_right_init, a_right_init
        self.shared_axes = shared_axes

    def build(self, input_shape: Any) -> None:
        shape = [1 if a in (self.shared_axes or ()) else n for a, n in enumerate(input_shape)][1:]
        for name in ("t_left", "a_left", "t_right", "a_right"):
            setattr(self, name, self.add_weight(name, shape, initializer=getattr(self, f"{name}_init")))
        self.built = True

    def call(self, inputs: Any) -> Any:
        upper = add(self.t_left, abs(self.t_right))  # the right threshold is not left of the left one
        middle = clip(inputs, self.t_left, upper)
        left = multiply(minimum(subtract(inputs, self.t_left), 0), self.a_left)
        return add(add(middle, left), multiply(maximum(subtract(inputs, upper), 0), self.a_right))


def TimeDistributedDense(*args: Any, **kwargs: Any) -> TimeDistributed:
    """`TimeDistributed(Dense(...))`."""
    outer = {name: kwargs.pop(name) for name in ("input_shape", "batch_input_shape", "name") if name in kwargs}
    if "input_dim" in kwargs:
        outer["input_shape"] = (kwargs.pop("input_length", None), kwargs.pop("input_dim"))
    layer: TimeDistributed = TimeDistributed(Dense(*args, **kwargs), **outer)
    return layer


# --- merge ---------------------------------------------------------------------------------------
MODES: dict[str, Callable[..., Layer]] = {
    "sum": lambda concat_axis, dot_axes: Add(),
    "mul": lambda concat_axis, dot_axes: Multiply(),
    "concat": lambda concat_axis, dot_axes: Concatenate(concat_axis),
    "ave": lambda concat_axis, dot_axes: Average(),
    "max": lambda concat_axis, dot_axes: Maximum(),
    "dot": lambda concat_axis, dot_axes: Dot(dot_axes),
    "cos": lambda concat_axis, dot_axes: Dot(dot_axes, normalize=True),
}


def merge(
    inputs: Sequence[Variable], mode: Any = "sum", concat_axis: int = -1, dot_axes: Any = -1, output_shape: Any = None, name: str | None = None, **kwargs: Any
) -> Variable:
    """Several Variables to one: `mode` 'sum', 'mul', 'concat', 'ave', 'max', 'dot', 'cos', or a function of the list."""
    result: Variable = Merge(None, mode, concat_axis, dot_axes, output_shape, name=name)(inputs)
    return result


@recorded
class Merge(Layer):
    """The results of several layers or models as one, as `merge` has them; `Merge([left, right], mode='concat')` begins a Sequential."""

    supports_masking = True

    def __init__(
        self,
        layers: Sequence[Any] | None = None,
        mode: Any = "sum",
        concat_axis: int = -1,
        dot_axes: Any = -1,
        output_shape: Any = None,
        output_mask: Any = None,
        arguments: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(mode) and mode not in MODES:
            raise GraphError(f"Invalid merge mode: {mode!r}", hint=f"use {', '.join(MODES)} or a function")
        self.mode, self.concat_axis, self.dot_axes, self.arguments = mode, concat_axis, dot_axes, arguments
        self.layers = self.branches = list(layers or ())
        self._given = output_shape, output_mask
        axes = tuple(dot_axes) if isinstance(dot_axes, list | tuple) else dot_axes
        self._merging = Lambda(mode, mask=output_mask, arguments=arguments) if callable(mode) else MODES[mode](concat_axis, axes)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        made: list[Variable] = self._merging._run(inputs, {})
        return made[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layers": [serialize(layer) for layer in self.branches], "output_shape": self._given[0], "output_mask": as_data(self._given[1])}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**{**config, "layers": [deserialize(layer) for layer in config.get("layers") or ()]})
