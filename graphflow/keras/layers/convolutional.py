"""Convolution over one, two and three axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.errors import ShapeError
from graphflow.graph.variable import Variable
from graphflow.keras import activations, constraints, initializers, regularizers
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.ops.convolution import CHANNELS_FIRST, conv
from graphflow.ops.elementwise import add
from graphflow.ops.shape import reshape
from graphflow.ops.windows import per_axis

__all__ = ["Conv1D", "Conv2D", "Conv3D"]


class Conv(Layer):
    """activation(convolution of x with the kernel + bias); what the layers for each rank share.

    Kernel: (*kernel_size, channels, filters).  `data_format`: 'channels_last' (also None) or 'channels_first'.
    """

    rank = 0

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int],
        padding: str,
        data_format: str | None,
        dilation_rate: int | Sequence[int],
        activation: Any,
        use_bias: bool,
        initializer: tuple[Any, Any],
        regularizer: tuple[Any, Any],
        constraint: tuple[Any, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = int(filters)
        self.kernel_size = per_axis(kernel_size, self.rank, "kernel_size")
        self.strides = per_axis(strides, self.rank, "strides")
        self.padding = padding.lower()
        self.data_format = data_format or "channels_last"
        self.dilation_rate = per_axis(dilation_rate, self.rank, "dilation_rate")
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer, self.bias_initializer = map(initializers.get, initializer)
        self.kernel_regularizer, self.bias_regularizer = map(regularizers.get, regularizer)
        self.kernel_constraint, self.bias_constraint = map(constraints.get, constraint)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def channel_axis(self) -> int:
        return 1 if self.data_format in CHANNELS_FIRST else -1

    def build(self, input_shape: Any) -> None:
        channels = input_shape[self.channel_axis]
        if not isinstance(channels, int):
            raise ShapeError(f"{self.name}: the number of channels is not known", hint="give the layer's input its number of channels")
        shape = (*self.kernel_size, channels, self.filters)
        self.kernel = self.add_weight("kernel", shape, initializer=self.kernel_initializer, regularizer=self.kernel_regularizer, constraint=self.kernel_constraint)
        self.bias = (
            self.add_weight("bias", (self.filters,), initializer=self.bias_initializer, regularizer=self.bias_regularizer, constraint=self.bias_constraint)
            if self.use_bias
            else None
        )
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={self.channel_axis: channels})
        self.built = True

    def call(self, inputs: Any) -> Any:
        y = conv(inputs, self.kernel, self.strides, self.padding, self.dilation_rate, data_format=self.data_format)
        return self.activation(y if self.bias is None else add(y, self._bias_for(self.bias)))

    def _bias_for(self, bias: Variable) -> Variable:
        return reshape(bias, (self.filters, *(1,) * self.rank)) if self.channel_axis == 1 else bias


def _conv_layer(rank: int, default: int | tuple[int, ...]) -> Any:
    """The constructor of the layer over `rank` axes: the arguments of Keras, in its order."""

    def __init__(
        self: Any,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = default,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = default,
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
        initializer, regularizer = (kernel_initializer, bias_initializer), (kernel_regularizer, bias_regularizer)
        constraint = (kernel_constraint, bias_constraint)
        kwargs["activity_regularizer"] = activity_regularizer
        Conv.__init__(self, filters, kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, initializer, regularizer, constraint, **kwargs)

    return __init__


@recorded
class Conv1D(Conv):
    """Over the axis of (n, steps, channels); `padding` may be 'causal' too."""

    rank = 1
    __init__ = _conv_layer(1, 1)


@recorded
class Conv2D(Conv):
    """Over the two axes of images (n, rows, columns, channels)."""

    rank = 2
    __init__ = _conv_layer(2, (1, 1))


@recorded
class Conv3D(Conv):
    """Over the three axes of volumes (n, depth, rows, columns, channels)."""

    rank = 3
    __init__ = _conv_layer(3, (1, 1, 1))
