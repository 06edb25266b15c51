"""Convolutions with a kernel of its own at each position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.keras.layers.convolutional import Convolutional
from graphflow.keras.layers.parameters import channel_axis, describe, parameter, spatial_axes, static_channels
from graphflow.ops.contraction import einsum
from graphflow.ops.convolution import CHANNELS_FIRST, channels_as
from graphflow.ops.elementwise import add
from graphflow.ops.shape import reshape, transpose
from graphflow.ops.windows import window_count, windows

__all__ = ["LocallyConnected1D", "LocallyConnected2D"]


class LocallyConnected(Convolutional):
    """For each position its window times a matrix of its own.

    Kernel: (positions, elements of a window, filters), bias: (*positions, filters).  Padding is 'valid'; the sizes of
    the input are static.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        implementation: int = 1,
        **kwargs: Any,
    ) -> None:
        Layer.__init__(self, activity_regularizer=activity_regularizer, **kwargs)
        self.filters, self.implementation = int(filters), implementation
        self._set_windows(kernel_size, strides, padding, data_format, 1, activation, use_bias)
        describe(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        describe(self, "bias", bias_initializer, bias_regularizer, bias_constraint)
        if self.padding != "valid" or implementation != 1:
            raise GraphError(
                f"Invalid border mode for {type(self).__name__} (only \"valid\" is supported): {padding}, implementation {implementation}",
                hint="pad the input with ZeroPadding",
            )

    def build(self, input_shape: Any) -> None:
        sizes = [input_shape[a] for a in spatial_axes(self.data_format, self.rank)]
        if any(n is None for n in sizes):
            raise ShapeError(f"{self.name}: The spatial dimensions of the inputs should be fully defined. Found {tuple(input_shape)}")
        channels = static_channels(self, input_shape, self.data_format)
        self.positions = tuple(int(window_count(n, w, s, 1)) for n, w, s in zip(sizes, self.kernel_size, self.strides, strict=True))
        elements, count = channels, 1
        for window, positions in zip(self.kernel_size, self.positions, strict=True):
            elements, count = elements * window, count * positions
        self._matrix = count, elements
        self.kernel = parameter(self, "kernel", (*self._matrix, self.filters))
        self.bias = parameter(self, "bias", (*self.positions, self.filters), used=self.use_bias)
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={channel_axis(self.data_format): channels})
        self.built = True

    def call(self, inputs: Any) -> Any:
        r = self.rank
        seen = windows(inputs, self.kernel_size, self.strides, axes=spatial_axes(self.data_format, r))
        if self.data_format in CHANNELS_FIRST:  # (n, channels, *positions, *places)
            seen = transpose(seen, (0, *range(2, 2 + r), 1, *range(2 + r, 2 + 2 * r)))
        y = einsum("npe,pef->npf", reshape(seen, (inputs.shape[0], *self._matrix)), self.kernel)
        y = reshape(y, (inputs.shape[0], *self.positions, self.filters))
        return self.activation(channels_as(y if self.bias is None else add(y, self.bias), self.data_format))


@recorded
class LocallyConnected1D(LocallyConnected):
    """Over the axis of (n, steps, channels)."""

    rank = 1
    __init__ = LocallyConnected.__init__


@recorded
class LocallyConnected2D(LocallyConnected):
    """Over the two axes of images."""

    rank = 2
    __init__ = LocallyConnected.__init__
