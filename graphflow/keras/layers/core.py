"""Dense, activations and what only changes shapes or drops values."""

from __future__ import annotations

from typing import Any

from graphflow.graph.dim import product
from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable
from graphflow.keras import activations, constraints, initializers, regularizers
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_layer import Input, InputLayer
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.keras.phase import in_train_phase
from graphflow.ops.contraction import matmul
from graphflow.ops.elementwise import add, divide, where
from graphflow.ops.random import bernoulli
from graphflow.ops.shape import reshape, transpose

__all__ = ["Activation", "Dense", "Dropout", "Flatten", "Input", "InputLayer"]


@recorded
class Dense(Layer):
    """activation(x @ kernel + bias), on the last axis of x."""

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
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape: Any) -> None:
        last = input_shape[-1]
        self.kernel = self.add_weight(
            "kernel", (last, self.units), initializer=self.kernel_initializer, regularizer=self.kernel_regularizer, constraint=self.kernel_constraint
        )
        self.bias = (
            self.add_weight("bias", (self.units,), initializer=self.bias_initializer, regularizer=self.bias_regularizer, constraint=self.bias_constraint)
            if self.use_bias
            else None
        )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: last})
        self.built = True

    def call(self, inputs: Any) -> Any:
        y = matmul(inputs, self.kernel)
        return self.activation(y if self.bias is None else add(y, self.bias))


@recorded
class Activation(Layer):
    """An activation function, by name or as a function, on every element."""

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

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise GraphError(f"Dropout: the rate is {rate}", hint="it is the part of elements dropped, from 0 to below 1")
        self.rate = rate
        self.noise_shape = noise_shape
        self.seed = seed

    def call(self, inputs: Any, training: Any = None) -> Any:
        return in_train_phase(lambda: self._dropped(inputs), inputs, training) if self.rate else inputs

    def _dropped(self, x: Variable) -> Variable:
        shape = x.shape if self.noise_shape is None else tuple(x.shape[i] if n is None else n for i, n in enumerate(self.noise_shape))
        keep = 1 - self.rate
        return where(bernoulli(shape, keep, seed=self.seed), divide(x, keep), 0)


@recorded
class Flatten(Layer):
    """All axes but the first as one.  With `data_format` 'channels_first' the axis of channels is put last before."""

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format
        self.input_spec = InputSpec(min_ndim=2)

    def call(self, inputs: Any) -> Any:
        x = transpose(inputs, (0, *range(2, inputs.ndim), 1)) if self.data_format == "channels_first" else inputs
        return reshape(x, (x.shape[0], product(x.shape[1:])))
