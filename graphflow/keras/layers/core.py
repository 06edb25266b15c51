"""Dense, activations and what only changes shapes or drops values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphflow.graph.dim import product
from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.variable import Variable
from graphflow.keras import activations, regularizers
from graphflow.keras.arguments import recorded
from graphflow.keras.custom_objects import get_registered_object
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.calling import takes_argument
from graphflow.keras.engine.input_layer import Input, InputLayer
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.keras.layers.parameters import describe, image_format, parameter
from graphflow.keras.phase import in_train_phase
from graphflow.ops.contraction import matmul
from graphflow.ops.convolution import CHANNELS_FIRST
from graphflow.ops.elementwise import add, cast, divide, multiply, where
from graphflow.ops.logic import not_equal
from graphflow.ops.random import bernoulli
from graphflow.ops.reduction import any_
from graphflow.ops.shape import broadcast_to, expand_dims, reshape, transpose

__all__ = [
    "Activation", "ActivityRegularization", "Dense", "Dropout", "Flatten", "Identity", "Input", "InputLayer", "Lambda", "Masking", "Permute",
    "RepeatVector", "Reshape", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
]  # fmt: skip


@recorded
class Dense(Layer):
    """activation(x @ kernel + bias), on the last axis of x."""

    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = int(units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        describe(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        describe(self, "bias", bias_initializer, bias_regularizer, bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape: Any) -> None:
        last = input_shape[-1]
        self.kernel = parameter(self, "kernel", (last, self.units))
        self.bias = parameter(self, "bias", (self.units,), used=self.use_bias)
        self.input_spec = InputSpec(min_ndim=2, axes={-1: last})
        self.built = True

    def call(self, inputs: Any) -> Any:
        y = matmul(inputs, self.kernel)
        return self.activation(y if self.bias is None else add(y, self.bias))


@recorded
class Activation(Layer):
    """An activation function, by name or as a function, on every element."""

    supports_masking = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs: Any) -> Any:
        return self.activation(inputs)


@recorded
class Dropout(Layer):
    """While training, each element is 0 with probability `rate`, and the others are scaled by 1 / (1 - rate).

    `noise_shape`: a shape with 1 (or None for the input's size) for axes that are dropped together.
    """

    supports_masking = True

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise GraphError(f"Dropout: the rate is {rate}", hint="it is the part of elements dropped, from 0 to below 1")
        self.rate = rate
        self.noise_shape = noise_shape
        self.seed = seed

    def call(self, inputs: Any, training: Any = None) -> Any:
        return in_train_phase(lambda: self._dropped(inputs), inputs, training) if self.rate else inputs

    def _noise_shape(self, x: Variable) -> tuple[Any, ...]:
        return x.shape if self.noise_shape is None else tuple(x.shape[i] if n is None else n for i, n in enumerate(self.noise_shape))

    def _dropped(self, x: Variable) -> Variable:
        keep = 1 - self.rate
        return where(bernoulli(self._noise_shape(x), keep, seed=self.seed), divide(x, keep), 0)


class SpatialDropout(Dropout):
    """Whole channels are dropped, as neighbours say much the same."""

    rank = 0

    def __init__(self, rate: float, data_format: str | None = None, seed: int | None = None, **kwargs: Any) -> None:
        Dropout.__init__(self, rate, None, seed, **kwargs)
        self.data_format = image_format(data_format) if self.rank > 1 else "channels_last"
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _noise_shape(self, x: Variable) -> tuple[Any, ...]:
        ones = (1,) * self.rank
        return (*x.shape[:2], *ones) if self.data_format in CHANNELS_FIRST else (x.shape[0], *ones, x.shape[-1])


@recorded
class SpatialDropout1D(SpatialDropout):
    """For (n, steps, channels)."""

    rank = 1

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        SpatialDropout.__init__(self, rate, None, seed, **kwargs)


@recorded
class SpatialDropout2D(SpatialDropout):
    """For images."""

    rank = 2
    __init__ = SpatialDropout.__init__


@recorded
class SpatialDropout3D(SpatialDropout):
    """For volumes."""

    rank = 3
    __init__ = SpatialDropout.__init__


@recorded
class Flatten(Layer):
    """All axes but the first as one.  With `data_format` 'channels_first' the axis of channels is put last before."""

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = image_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Any) -> Any:
        x = transpose(inputs, (0, *range(2, inputs.ndim), 1)) if self.data_format in CHANNELS_FIRST and inputs.ndim > 2 else inputs
        return reshape(x, (x.shape[0], product(x.shape[1:])))


@recorded
class Reshape(Layer):
    """Each sample in another shape; one size may be -1 and is what remains."""

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)

    def call(self, inputs: Any) -> Any:
        sizes = inputs.shape[1:]
        target = list(self.target_shape)
        if all(isinstance(n, int) for n in sizes) and math.prod(sizes) % max(math.prod(n for n in target if n != -1), 1):
            raise ShapeError(f"total size of new array must be unchanged: {sizes} cannot become {self.target_shape}")
        if all(isinstance(n, int) for n in sizes) and -1 in target:
            target[target.index(-1)] = math.prod(sizes) // max(math.prod(n for n in target if n != -1), 1)
        return reshape(inputs, (inputs.shape[0], *target))


@recorded
class Permute(Layer):
    """The axes of each sample in the order `dims`, which are counted from 1: (2, 1) swaps two."""

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise GraphError(f"Permute: dims is {self.dims}", hint="it has each of 1, 2 ... once; the batch stays first")
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Any) -> Any:
        return transpose(inputs, (0, *self.dims))


@recorded
class RepeatVector(Layer):
    """(batch, features) n times: (batch, n, features)."""

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = n
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Any) -> Any:
        return broadcast_to(expand_dims(inputs, 1), (inputs.shape[0], self.n, inputs.shape[1]))


class FunctionName(str):
    """A function's name, which is what its configuration says in a file; in this process it holds the function as well."""

    __slots__ = ("function",)
    function: Callable[..., Any]

    @classmethod
    def of(cls, function: Callable[..., Any]) -> FunctionName:
        made = cls(getattr(function, "__name__", type(function).__name__))
        made.function = function
        return made

    def __deepcopy__(self, memo: Any) -> FunctionName:
        return self

    def __reduce__(self) -> Any:
        return str, (str(self),)


@recorded
class Lambda(Layer):
    """A function of Variables as a layer: `Lambda(lambda x: x ** 2)`.

    `arguments`: more arguments of the function.  `output_shape` says nothing here: shapes follow from the graph.
    `mask`: the mask of the result, or a function (inputs, mask) that makes it.
    """

    def __init__(
        self, function: Callable[..., Any], output_shape: Any = None, mask: Any = None, arguments: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.function, self.mask = function, mask
        self.arguments = dict(arguments or {})
        self.supports_masking = mask is not None

    def call(self, inputs: Any, mask: Any = None) -> Any:
        given = {"mask": mask} if takes_argument(self.function, "mask") else {}
        return self.function(inputs, **{**given, **self.arguments})

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def get_config(self) -> dict[str, Any]:
        kind = "lambda" if getattr(self.function, "__name__", "") == "<lambda>" else "function"
        functions = {"function": FunctionName.of(self.function), "mask": FunctionName.of(self.mask) if callable(self.mask) else None}
        return {**super().get_config(), **functions, "output_shape": None, "function_type": kind, "output_shape_type": "raw", "arguments": self.arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Raises GraphError where the function is code of the file, which is never run, or a name nobody knows."""
        known = {name: value for name, value in config.items() if name not in ("function_type", "output_shape_type", "module", "output_shape_module")}
        functions = {what: _function(what, known) for what in ("function", "mask") if known.get(what) is not None}
        return cls(**{**known, **functions, "output_shape": None})


def _function(what: str, config: Mapping[str, Any]) -> Any:
    """The function or mask of a Lambda: what its configuration holds, or what is known by the name of it or of the layer."""
    given, layer = config[what], str(config.get("name", ""))
    if callable(given):
        return given
    named = given if isinstance(given, str) else layer
    found = getattr(given, "function", None) or get_registered_object(named) or get_registered_object(layer)
    if found is None:
        held = f"the {what} {given!r}" if isinstance(given, str) else "code"
        raise GraphError(
            f"the Lambda layer {layer!r} holds {held}, and code from a file is not run",
            hint=f"pass the function: custom_objects={{{named!r}: function}}",
        )
    return found


@recorded
class ActivityRegularization(Layer):
    """x, with a penalty on it: l1 * sum(|x|) + l2 * sum(x ** 2)."""

    supports_masking = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.l1, self.l2 = l1, l2


@recorded
class Masking(Layer):
    """Steps whose features all are `mask_value` become zeros and are masked: later layers leave them out."""

    supports_masking = True

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = mask_value

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return any_(not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Any:
        return multiply(inputs, cast(any_(not_equal(inputs, self.mask_value), axis=-1, keepdims=True), inputs.dtype))


@recorded
class Identity(Layer):
    """x."""

    supports_masking = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
