"""Convolution, pooling, padding and resizing, with Keras's arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable, as_variable
from graphflow.keras.backend.settings import normalize_data_format
from graphflow.ops import convolution, joining, pooling
from graphflow.ops.contraction import einsum
from graphflow.ops.elementwise import add
from graphflow.ops.resizing import resize
from graphflow.ops.shape import reshape
from graphflow.ops.windows import windows

Pair = Sequence[int]


def _padding(x: Variable, kernel: Any, padding: str, dilation: int, first: bool) -> tuple[Variable, str]:
    """'causal' is zeros before the steps."""
    if padding != "causal":
        return x, padding
    before = dilation * (int(as_variable(kernel).shape[0]) - 1)
    return joining.pad(x, [(0, 0), (0, 0), (before, 0)] if first else [(0, 0), (before, 0), (0, 0)]), "valid"


def conv1d(x: Any, kernel: Any, strides: int = 1, padding: str = "valid", data_format: str | None = None, dilation_rate: int = 1) -> Variable:
    """Convolution over steps; `padding` 'valid', 'same' or 'causal'."""
    layout = normalize_data_format(data_format)
    x, padding = _padding(as_variable(x), kernel, padding, dilation_rate, layout == "channels_first")
    return convolution.conv(x, kernel, strides, padding, dilation_rate, data_format=layout)


def conv2d(x: Any, kernel: Any, strides: Pair = (1, 1), padding: str = "valid", data_format: str | None = None, dilation_rate: Pair = (1, 1)) -> Variable:
    return convolution.conv(x, kernel, strides, padding, dilation_rate, data_format=normalize_data_format(data_format))


def conv3d(x: Any, kernel: Any, strides: Pair = (1, 1, 1), padding: str = "valid", data_format: str | None = None, dilation_rate: Pair = (1, 1, 1)) -> Variable:
    return convolution.conv(x, kernel, strides, padding, dilation_rate, data_format=normalize_data_format(data_format))


def conv2d_transpose(
    x: Any, kernel: Any, output_shape: Sequence[Any], strides: Pair = (1, 1), padding: str = "valid", data_format: str | None = None, dilation_rate: Pair = (1, 1)
) -> Variable:
    """The gradient of a convolution as a function of its result; `kernel` (rows, columns, out, in), `output_shape` with the batch axis."""
    return _transposed(x, kernel, output_shape, strides, padding, data_format, dilation_rate)


def conv3d_transpose(
    x: Any, kernel: Any, output_shape: Sequence[Any], strides: Pair = (1, 1, 1), padding: str = "valid", data_format: str | None = None
) -> Variable:
    return _transposed(x, kernel, output_shape, strides, padding, data_format, 1)


def _transposed(x: Any, kernel: Any, output_shape: Sequence[Any], strides: Any, padding: str, data_format: str | None, dilation: Any) -> Variable:
    layout = normalize_data_format(data_format)
    sizes = tuple(output_shape)[1:-1] if layout == "channels_last" else tuple(output_shape)[2:]
    return convolution.conv_transpose(x, kernel, strides, padding, dilation, data_format=layout, output_shape=sizes)


def depthwise_conv2d(
    x: Any, depthwise_kernel: Any, strides: Pair = (1, 1), padding: str = "valid", data_format: str | None = None, dilation_rate: Pair = (1, 1)
) -> Variable:
    return convolution.depthwise_conv(x, depthwise_kernel, strides, padding, dilation_rate, normalize_data_format(data_format))


def separable_conv1d(
    x: Any, depthwise_kernel: Any, pointwise_kernel: Any, strides: int = 1, padding: str = "valid", data_format: str | None = None, dilation_rate: int = 1
) -> Variable:
    layout = normalize_data_format(data_format)
    x, padding = _padding(as_variable(x), depthwise_kernel, padding, dilation_rate, layout == "channels_first")
    return convolution.separable_conv(x, depthwise_kernel, pointwise_kernel, strides, padding, dilation_rate, layout)


def separable_conv2d(
    x: Any, depthwise_kernel: Any, pointwise_kernel: Any, strides: Pair = (1, 1), padding: str = "valid", data_format: str | None = None, dilation_rate: Pair = (1, 1)
) -> Variable:
    return convolution.separable_conv(x, depthwise_kernel, pointwise_kernel, strides, padding, dilation_rate, normalize_data_format(data_format))


def local_conv1d(inputs: Any, kernel: Any, kernel_size: Pair, strides: Pair, data_format: str | None = None) -> Variable:
    """A kernel for each place: `kernel` (places, size * channels, filters)."""
    x = as_variable(inputs)
    if normalize_data_format(data_format) == "channels_first":
        x = einsum("bcs->bsc", x)
    cut = windows(x, kernel_size[0], strides[0], axes=1)  # batch, places, channels, size
    cut = einsum("bpcs->bpsc", cut)
    made = einsum("bpk,pkf->bpf", reshape(cut, (cut.shape[0], cut.shape[1], cut.shape[2] * cut.shape[3])), kernel)
    return einsum("bpf->bfp", made) if normalize_data_format(data_format) == "channels_first" else made


def local_conv2d(inputs: Any, kernel: Any, kernel_size: Pair, strides: Pair, output_shape: Pair, data_format: str | None = None) -> Variable:
    """A kernel for each place: `kernel` (places, rows * columns * channels, filters); `output_shape`: (rows, columns)."""
    x, first = as_variable(inputs), normalize_data_format(data_format) == "channels_first"
    if first:
        x = einsum("bcyx->byxc", x)
    cut = einsum("byxcij->byxijc", windows(x, tuple(kernel_size), tuple(strides), axes=(1, 2)))
    b, rows, columns, i, j, c = cut.shape
    made = einsum("bpk,pkf->bpf", reshape(cut, (b, rows * columns, i * j * c)), kernel)
    made = reshape(made, (b, output_shape[0], output_shape[1], as_variable(kernel).shape[-1]))
    return einsum("byxf->bfyx", made) if first else made


def _pooled(x: Any, pool_size: Pair, strides: Pair, padding: str, data_format: str | None, pool_mode: str) -> Variable:
    modes = {"max": pooling.max_pool, "avg": pooling.average_pool}
    if pool_mode not in modes:
        raise GraphError(f"Invalid pooling mode: {pool_mode}", hint="use 'max' or 'avg'")
    return modes[pool_mode](x, pool_size, strides, padding, normalize_data_format(data_format))


def pool2d(x: Any, pool_size: Pair, strides: Pair = (1, 1), padding: str = "valid", data_format: str | None = None, pool_mode: str = "max") -> Variable:
    return _pooled(x, pool_size, strides, padding, data_format, pool_mode)


def pool3d(x: Any, pool_size: Pair, strides: Pair = (1, 1, 1), padding: str = "valid", data_format: str | None = None, pool_mode: str = "max") -> Variable:
    return _pooled(x, pool_size, strides, padding, data_format, pool_mode)


def bias_add(x: Any, bias: Any, data_format: str | None = None) -> Variable:
    """x plus a bias for each channel, or of the shape of x without the batch axis.

    The latter has its channels last; for channels first its elements, in their order, are given the other shape, as Keras does.
    """
    v, b = as_variable(x), as_variable(bias)
    if normalize_data_format(data_format) == "channels_last" or v.ndim < 3:
        return add(v, b)
    spread = (b.shape[-1], *[1] * (v.ndim - 2)) if b.ndim == 1 else (b.shape[-1], *b.shape[:-1])
    return add(v, reshape(b, spread))


# --- padding and size ------------------------------------------------------------------------------
def temporal_padding(x: Any, padding: Pair = (1, 1)) -> Variable:
    """Zeros before and after the steps."""
    return joining.pad(x, [(0, 0), tuple(padding), (0, 0)])


def asymmetric_temporal_padding(x: Any, left_pad: int = 1, right_pad: int = 1) -> Variable:
    return temporal_padding(x, (left_pad, right_pad))


def _spatial(x: Any, padding: Sequence[Pair], data_format: str | None) -> Variable:
    inner = [tuple(p) for p in padding]
    return joining.pad(x, [(0, 0), *inner, (0, 0)] if normalize_data_format(data_format) == "channels_last" else [(0, 0), (0, 0), *inner])


def spatial_2d_padding(x: Any, padding: Sequence[Pair] = ((1, 1), (1, 1)), data_format: str | None = None) -> Variable:
    """Zeros around rows and columns."""
    return _spatial(x, padding, data_format)


def spatial_3d_padding(x: Any, padding: Sequence[Pair] = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None) -> Variable:
    return _spatial(x, padding, data_format)


def resize_images(x: Any, height_factor: int, width_factor: int, data_format: str | None = None, interpolation: str = "nearest") -> Variable:
    """Images whose sides are whole multiples; `interpolation` 'nearest' or 'bilinear'."""
    v, layout = as_variable(x), normalize_data_format(data_format)
    first = 1 if layout == "channels_last" else 2
    if interpolation == "nearest":
        return joining.repeat(joining.repeat(v, height_factor, axis=first), width_factor, axis=first + 1)
    return resize(v, (v.shape[first] * height_factor, v.shape[first + 1] * width_factor), interpolation, data_format=layout)


def resize_volumes(x: Any, depth_factor: int, height_factor: int, width_factor: int, data_format: str | None = None) -> Variable:
    """Volumes whose sides are whole multiples, elements repeated."""
    v, first = as_variable(x), 1 if normalize_data_format(data_format) == "channels_last" else 2
    for axis, factor in enumerate((depth_factor, height_factor, width_factor), first):
        v = joining.repeat(v, factor, axis=axis)
    return v
