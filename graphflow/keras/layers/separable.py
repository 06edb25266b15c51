"""Convolutions of each channel on its own, and then of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.layers.convolutional import Convolutional
from graphflow.keras.layers.parameters import describe, parameter, with_bias
from graphflow.ops.convolution import depthwise_conv, separable_conv

__all__ = ["DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"]


class SeparableConv(Convolutional):
    """A depthwise convolution with `depth_multiplier` kernels for each channel, then one of windows of one element."""

    @classmethod
    def former_arguments(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As of all convolutions; Keras 1 has one `init` for both kernels."""
        if "init" in kwargs:
            kwargs = {**kwargs, "depthwise_initializer": kwargs["init"], "pointwise_initializer": kwargs["init"]}
            del kwargs["init"]
        return super().former_arguments(args, kwargs)

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        Layer.__init__(self, activity_regularizer=activity_regularizer, **kwargs)
        self.filters, self.depth_multiplier = int(filters), depth_multiplier
        self._set_windows(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias)
        describe(self, "depthwise", depthwise_initializer, depthwise_regularizer, depthwise_constraint)
        describe(self, "pointwise", pointwise_initializer, pointwise_regularizer, pointwise_constraint)
        describe(self, "bias", bias_initializer, bias_regularizer, bias_constraint)

    def build(self, input_shape: Any) -> None:
        channels = self._meet_channels(input_shape)
        self.depthwise_kernel = parameter(self, "depthwise", (*self.kernel_size, channels, self.depth_multiplier), "depthwise_kernel")
        ones = (1,) * self.rank
        self.pointwise_kernel = parameter(self, "pointwise", (*ones, channels * self.depth_multiplier, self.filters), "pointwise_kernel")
        self.bias = parameter(self, "bias", (self.filters,), used=self.use_bias)
        self.built = True

    def call(self, inputs: Any) -> Any:
        kernels = self.depthwise_kernel, self.pointwise_kernel
        y = separable_conv(inputs, *kernels, self.strides, self.padding, self.dilation_rate, self.data_format)
        return self.activation(with_bias(y, self.bias, self.data_format))


class DepthwiseConv(Convolutional):
    """A convolution with `depth_multiplier` kernels for each channel."""

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        Layer.__init__(self, activity_regularizer=activity_regularizer, **kwargs)
        self.depth_multiplier = depth_multiplier
        self._set_windows(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias)
        describe(self, "depthwise", depthwise_initializer, depthwise_regularizer, depthwise_constraint)
        describe(self, "bias", bias_initializer, bias_regularizer, bias_constraint)

    def build(self, input_shape: Any) -> None:
        channels = self._meet_channels(input_shape)
        self.depthwise_kernel = parameter(self, "depthwise", (*self.kernel_size, channels, self.depth_multiplier), "depthwise_kernel")
        self.bias = parameter(self, "bias", (channels * self.depth_multiplier,), used=self.use_bias)
        self.built = True

    def call(self, inputs: Any) -> Any:
        y = depthwise_conv(inputs, self.depthwise_kernel, self.strides, self.padding, self.dilation_rate, self.data_format)
        return self.activation(with_bias(y, self.bias, self.data_format))


@recorded
class SeparableConv1D(SeparableConv):
    """Over the axis of (n, steps, channels)."""

    rank = 1
    __init__ = SeparableConv.__init__


@recorded
class SeparableConv2D(SeparableConv):
    """Over the two axes of images."""

    rank = 2
    __init__ = SeparableConv.__init__


@recorded
class DepthwiseConv1D(DepthwiseConv):
    """Over the axis of (n, steps, channels)."""

    rank = 1
    __init__ = DepthwiseConv.__init__


@recorded
class DepthwiseConv2D(DepthwiseConv):
    """Over the two axes of images."""

    rank = 2
    __init__ = DepthwiseConv.__init__
