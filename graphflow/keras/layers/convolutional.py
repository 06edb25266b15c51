"""Convolution over one, two and three axes, and its transpose; with the layers that surround it in Keras 2's module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.dim import maximum
from graphflow.graph.errors import GraphError
from graphflow.keras import activations
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.keras.layers.former import with_kernel_size, with_series_shape
from graphflow.keras.layers.parameters import (
    channel_axis,
    describe,
    image_format,
    parameter,
    spatial_axes,
    static_channels,
    with_bias,
)
from graphflow.keras.layers.resizing import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from graphflow.ops.convolution import conv, conv_transpose
from graphflow.ops.windows import per_axis

__all__ = [
    "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose", "Cropping1D", "Cropping2D", "Cropping3D", "UpSampling1D",
    "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D",
]  # fmt: skip


class Convolutional(Layer):
    """What layers with windows share: how these are placed, an activation and a bias.

    `data_format`: 'channels_last', 'channels_first', or None for that of the configuration.
    """

    rank = 0

    @classmethod
    def former_arguments(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Window sizes and input sizes as Keras 1 takes them: Conv2D(32, 3, 3), nb_row=3, input_length=10."""
        return with_kernel_size(cls.rank, args, with_series_shape(kwargs) if cls.rank == 1 else kwargs)

    def _set_windows(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int],
        padding: str,
        data_format: str | None,
        dilation_rate: int | Sequence[int],
        activation: Any,
        use_bias: bool,
    ) -> None:
        self.kernel_size = per_axis(kernel_size, self.rank, "kernel_size")
        self.strides = per_axis(strides, self.rank, "strides")
        self.dilation_rate = per_axis(dilation_rate, self.rank, "dilation_rate")
        self.padding = padding.lower()
        if self.padding not in ("valid", "same", "causal") or (self.padding == "causal" and self.rank != 1):
            raise GraphError(f"{type(self).__name__}: padding is {padding!r}", hint="use 'valid' or 'same' (or 'causal' over one axis)")
        self.data_format = image_format(data_format) if self.rank > 1 else data_format or "channels_last"
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _meet_channels(self, input_shape: Any) -> int:
        """The static number of channels, which later inputs must have as well."""
        channels = static_channels(self, input_shape, self.data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={channel_axis(self.data_format): channels})
        return channels


class Conv(Convolutional):
    """activation(convolution of x with the kernel + bias); what the layers for each rank share.

    Kernel: (*kernel_size, channels / groups, filters).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        groups: int = 1,
        **kwargs: Any,
    ) -> None:
        Layer.__init__(self, activity_regularizer=activity_regularizer, **kwargs)
        self.filters, self.groups = int(filters), groups
        self._set_windows(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias)
        describe(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        describe(self, "bias", bias_initializer, bias_regularizer, bias_constraint)
        if self.filters % groups:
            raise GraphError(f"{type(self).__name__}: {filters} filters do not divide into {groups} groups")

    def build(self, input_shape: Any) -> None:
        channels = self._meet_channels(input_shape)
        self.kernel = parameter(self, "kernel", (*self.kernel_size, channels // self.groups, self.filters))
        self.bias = parameter(self, "bias", (self.filters,), used=self.use_bias)
        self.built = True

    def call(self, inputs: Any) -> Any:
        y = conv(inputs, self.kernel, self.strides, self.padding, self.dilation_rate, self.groups, self.data_format)
        return self.activation(with_bias(y, self.bias, self.data_format))


class ConvTranspose(Convolutional):
    """The convolution that takes channels of the result to those of x, backwards: from positions to sizes.

    Kernel: (*kernel_size, filters, channels).  `output_padding`: how many rows more than the smallest possible result.
    """

    @classmethod
    def former_arguments(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As of all convolutions; Keras 1 takes the result's shape after the window sizes, which is now inferred."""
        if len(args) == 2 + cls.rank and isinstance(args[-1], list | tuple):
            args, kwargs = args[:-1], {**kwargs, "output_shape": args[-1]}
        return super().former_arguments(args, kwargs)

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        output_padding: int | Sequence[int] | None = None,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
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
        Layer.__init__(self, activity_regularizer=activity_regularizer, **kwargs)
        self.filters = int(filters)
        self._set_windows(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias)
        self.output_padding = (output_padding,) * self.rank if isinstance(output_padding, int) else output_padding and tuple(output_padding)
        describe(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        describe(self, "bias", bias_initializer, bias_regularizer, bias_constraint)
        for more, step in zip(self.output_padding or (), self.strides, strict=False):
            if more >= step:
                raise GraphError(f"{type(self).__name__}: output_padding {more} is not below the stride {step}")

    def build(self, input_shape: Any) -> None:
        channels = self._meet_channels(input_shape)
        self.kernel = parameter(self, "kernel", (*self.kernel_size, self.filters, channels))
        self.bias = parameter(self, "bias", (self.filters,), used=self.use_bias)
        self.built = True

    def call(self, inputs: Any) -> Any:
        sizes = [self._size(inputs.shape[a], i) for i, a in enumerate(spatial_axes(self.data_format, self.rank))]
        y = conv_transpose(inputs, self.kernel, self.strides, self.padding, self.dilation_rate, data_format=self.data_format, output_shape=sizes)
        return self.activation(with_bias(y, self.bias, self.data_format))

    def _size(self, n: Any, i: int) -> Any:
        """The size of the result along spatial axis i, for n positions."""
        step, span = self.strides[i], (self.kernel_size[i] - 1) * self.dilation_rate[i] + 1
        if self.output_padding is None:
            return n * step if self.padding == "same" else n * step + max(span - step, 0)
        smallest = (n - 1) * step + span - (2 * (span // 2) if self.padding == "same" else 0)
        return maximum(smallest + self.output_padding[i], 0)


@recorded
class Conv1D(Conv):
    """Over the axis of (n, steps, channels); `padding` may be 'causal' too."""

    rank = 1
    __init__ = Conv.__init__


@recorded
class Conv2D(Conv):
    """Over the two axes of images (n, rows, columns, channels)."""

    rank = 2
    __init__ = Conv.__init__


@recorded
class Conv3D(Conv):
    """Over the three axes of volumes (n, depth, rows, columns, channels)."""

    rank = 3
    __init__ = Conv.__init__


@recorded
class Conv1DTranspose(ConvTranspose):
    """From positions to steps."""

    rank = 1
    __init__ = ConvTranspose.__init__


@recorded
class Conv2DTranspose(ConvTranspose):
    """From positions to images, also called deconvolution."""

    rank = 2
    __init__ = ConvTranspose.__init__


@recorded
class Conv3DTranspose(ConvTranspose):
    """From positions to volumes."""

    rank = 3
    __init__ = ConvTranspose.__init__
