"""Convolution in any number of dimensions: three ops, each the others' derivative.

Shapes: x (n, *spatial, in), w (*window, in / groups, out), y (n, *positions, out), and
`y[p] = sum over places i of x[stride * p + dilation * i] w[i]` (a correlation: w is not flipped), with
no padding: `conv` pads x before.  All three are the contraction of windows, a view, with the other operand.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, floordiv, maximum
from graphflow.graph.errors import DTypeError, ShapeError
from graphflow.graph.op import ComposeOp, In, Sample, register, require_equal
from graphflow.graph.types import Shape, TensorType
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.contraction import contract
from graphflow.ops.creation import zeros
from graphflow.ops.joining import pad, stack
from graphflow.ops.promotion import coerce, inexact
from graphflow.ops.public import public
from graphflow.ops.shape import reshape, show_shape, transpose
from graphflow.ops.slicing import Slice, slice_axes
from graphflow.ops.windows import (
    Ints,
    OverlapSum,
    Windows,
    overlap_bounds,
    per_axis,
    require_windows,
    taps,
    window_count,
)

Grads = Sequence[Variable | None]
POSITIONS, PLACES = "pqrst", "ijklm"


class Correlation(ComposeOp):
    """What the three ops share: how windows are placed, and names for axes."""

    strides: Ints
    dilations: Ints
    groups: int

    @property
    def rank(self) -> int:
        return len(self.strides)

    def operand_labels(self) -> tuple[str, str, str]:
        """Labels of x's windows, of w and of y: c in, o out, g groups (where there are any)."""
        p, i = POSITIONS[: self.rank], PLACES[: self.rank]
        return (f"n{p}{i}c", f"{i}co", f"n{p}o") if self.groups == 1 else (f"n{p}{i}gc", f"{i}cgo", f"n{p}go")

    def grouped(self, v: Variable) -> Variable:
        """x, w or y with its last axis as (groups, channels of a group)."""
        return v if self.groups == 1 else reshape(v, (*v.shape[:-1], self.groups, floordiv(v.shape[-1], self.groups)))

    def windows(self, x: Variable, window: Ints) -> Variable:
        """Windows of a grouped x; slices where a window is one element."""
        if all(size == 1 for size in window):
            if any(s > 1 for s in self.strides):
                x = slice_axes(x, [slice(None), *(slice(None, None, s) for s in self.strides), *[slice(None)] * (x.ndim - 1 - self.rank)])
            return reshape(x, (*x.shape[: 1 + self.rank], *window, *x.shape[1 + self.rank :]))
        result: Variable = Windows(1, window, self.strides, self.dilations)(x)
        return result

    def same(self, kind: type[Any], *more: Any) -> Any:
        """Another of the three with the same parameters."""
        return kind(self.strides, self.dilations, self.groups, *more)


def _channels(v: Size, groups: int, what: str) -> Size:
    require_equal(floordiv(v, groups) * groups, v, f"{what} do not divide into {groups} groups: multiples of the groups")
    return floordiv(v, groups)


def _window_of(w: Shape) -> Ints:
    sizes = w[:-2]
    if not all(isinstance(s, int) and s > 0 for s in sizes):
        raise ShapeError(f"a convolution window of shape {show_shape(sizes)}", hint="the spatial sizes of a kernel are static and positive")
    return tuple(int(s) for s in sizes)


@register
class Convolution(Correlation):
    """(x, w) -> y."""

    name = "conv"
    strides: Ints
    dilations: Ints
    groups: int

    def infer(self, *inputs: TensorType) -> TensorType:
        (x, w), (xs, ws) = inputs, (t.known_shape for t in inputs)
        if x.dtype != w.dtype:
            raise DTypeError(f"conv: x is {x.dtype} and the kernel {w.dtype}", hint="use gf.cast")
        if len(xs) != self.rank + 2 or len(ws) != self.rank + 2:
            raise ShapeError(f"conv: x {show_shape(xs)} and the kernel {show_shape(ws)} must have rank {self.rank + 2}")
        window = _window_of(ws)
        require_equal(_channels(xs[-1], self.groups, "conv: input channels"), ws[-2], "conv: channels of a group of x, and the kernel's")
        _channels(ws[-1], self.groups, "conv: output channels")
        return TensorType(x.dtype, (xs[0], *map(window_count, xs[1:-1], window, self.strides, self.dilations), ws[-1]))

    def expand(self, *inputs: Variable) -> Variable:
        x, w = inputs
        window = _window_of(w.shape)
        left, right, out = self.operand_labels()
        if self.groups == 1 and all(s == 1 for s in (*window, *self.strides)):  # a product of pixels
            return contract(x, reshape(w, w.shape[-2:]), left[: self.rank + 1] + "c", "co", out)
        y = contract(self.windows(self.grouped(x), window), self.grouped(w), left, right, out)
        return reshape(y, (*y.shape[: self.rank + 1], w.shape[-1])) if self.groups > 1 else y

    def reference(self, *arrays: Any) -> Any:
        return _einsum(self, arrays[0], arrays[1], None, _window_of(arrays[1].shape))

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x, w), (g,) = inputs, grads
        if g is None:
            return None, None
        return self.same(ConvolutionInput, x.shape[1:-1])(g, w), self.same(ConvolutionKernel, _window_of(w.shape))(x, g)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        def of(*args: Any) -> Callable[..., Variable]:
            return lambda x, w: conv(x, w, *args)

        yield Sample(lambda x, w: cls((1, 1), (1, 1), 1)(x, w), (In(("n", "h", "w", 3), "number"), In((3, 2, 3, "o"), "number")), name="valid")
        yield Sample(of(2, "same"), (In(("n", 7, "w", "c")), In((3, 3, "c", 4))), name="same, stride 2")
        yield Sample(of(1, "causal", 2), (In(("n", "t", 2)), In((3, 2, 5))), name="causal")
        yield Sample(of((2, 1, 3), ((1, 0), (0, 2), (1, 1)), 1), (In((2, 5, 4, 6, 2)), In((2, 3, 2, 2, 3))), name="volume")
        yield Sample(of(1, "same", 1, 2), (In((2, "h", 5, 4)), In((3, 3, 2, 6))), name="groups")
        yield Sample(of(2, "valid", 1, 6), (In((2, 7, 6, 6)), In((2, 2, 1, 6))), name="depthwise")
        yield Sample(of(1), (In(("n", "h", 4, "c")), In((1, 1, "c", "o"))), name="pixels")
        yield Sample(of(3), (In((2, 7, 8, 3)), In((1, 1, 3, 2))), name="pixels, stride 3")


@register
class ConvolutionInput(Correlation):
    """(y, w) -> x of spatial `sizes`: the gradient of y's input, known as transposed convolution."""

    name = "conv_input"
    strides: Ints
    dilations: Ints
    groups: int
    sizes: Shape

    def infer(self, *inputs: TensorType) -> TensorType:
        (y, w), (ys, ws) = inputs, (t.known_shape for t in inputs)
        if y.dtype != w.dtype:
            raise DTypeError(f"conv_transpose: x is {y.dtype} and the kernel {w.dtype}", hint="use gf.cast")
        counts = map(window_count, self.sizes, _window_of(ws), self.strides, self.dilations)
        for have, want in zip(ys[1:-1], counts, strict=True):
            require_equal(have, want, "conv_transpose: positions, and windows that fit into the result")
        require_equal(ys[-1], ws[-1], "conv_transpose: channels that come, and those of the kernel's last axis")
        _channels(ws[-1], self.groups, "conv_transpose: output channels of the convolution it transposes")
        return TensorType(y.dtype, (ys[0], *self.sizes, ws[-2] * self.groups))

    def expand(self, *inputs: Variable) -> Variable:
        """For each residue of a position modulo the stride, a convolution of y at stride 1 with the places that reach it."""
        y, w = inputs
        window = _window_of(w.shape)
        if self.groups == 1 and all(s == 1 for s in (*window, *self.strides)):
            positions = "n" + POSITIONS[: self.rank]
            return contract(y, reshape(w, w.shape[-2:]), positions + "o", "co", positions + "c")
        counts = tuple(floordiv(n + s - 1, s) for n, s in zip(self.sizes, self.strides, strict=True))
        parts = [self.residue(y, w, window, at, counts) for at in itertools.product(*map(range, self.strides))]
        if len(parts) == 1:
            return parts[0]
        return self.interleave(parts, counts)

    def residue(self, y: Variable, w: Variable, window: Ints, at: Ints, counts: Shape) -> Variable:
        """The elements at positions `stride * u + at`, for u up to `counts`."""
        found = tuple(map(taps, at, window, self.strides, self.dilations))
        channels = w.shape[-2] * self.groups
        if not all(t.count for t in found):
            return zeros((y.shape[0], *counts, channels), y.dtype)
        keys: list[slice] = []
        widths: list[tuple[Size, Size]] = []
        for t, count, n in zip(found, counts, y.shape[1:-1], strict=True):
            low = (t.count - 1) * t.dilation - t.shift
            kept, behind = overlap_bounds(n, low, count + (t.count - 1) * t.dilation)
            keys.append(slice(None) if kept == n else slice(0, kept))
            widths.append((low, behind))
        room = pad(slice_axes(y, [slice(None), *keys, slice(None)]), [(0, 0), *widths, (0, 0)])
        turned = slice_axes(w, [*(_backwards(t.start, t.step, t.count) for t in found), slice(None), slice(None)])
        sizes = tuple(t.count for t in found)
        patches = self.same_windows(self.grouped(room), sizes, tuple(t.dilation for t in found))
        left, right, out = self.operand_labels()  # c and o change sides
        x = contract(patches, self.grouped(turned), left.replace("c", "o"), right, out.replace("o", "c"))
        return reshape(x, (*x.shape[: self.rank + 1], channels)) if self.groups > 1 else x

    def same_windows(self, room: Variable, window: Ints, dilations: Ints) -> Variable:
        return Convolution((1,) * self.rank, dilations, self.groups).windows(room, window)

    def interleave(self, parts: list[Variable], counts: Shape) -> Variable:
        """Parts in the order of residues -> one tensor, cut to `sizes`."""
        n, channels, rank = parts[0].shape[0], parts[0].shape[-1], self.rank
        every = reshape(stack(parts), (*self.strides, n, *counts, channels))
        axes = [rank, *(a for k in range(rank) for a in (rank + 1 + k, k)), 2 * rank + 1]
        whole = reshape(transpose(every, axes), (n, *(s * c for s, c in zip(self.strides, counts, strict=True)), channels))
        result: Variable = Slice((0,) * whole.ndim, (1,) * whole.ndim, (n, *self.sizes, channels))(whole)
        return result

    def reference(self, *arrays: Any) -> Any:
        y, w = arrays
        left, right, out = self.operand_labels()
        exact = np.float64 if y.dtype.kind == "f" else y.dtype
        spread = np.einsum(f"{out},{right}->{left}", _grouped(y, self.groups).astype(exact), _grouped(w, self.groups).astype(exact))
        summed = OverlapSum(1, self.sizes, self.strides, self.dilations).reference(spread)
        return summed.reshape(*summed.shape[: self.rank + 1], -1 if summed.size else w.shape[-2] * self.groups).astype(y.dtype)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (y, w), (g,) = inputs, grads
        if g is None:
            return None, None
        return self.same(Convolution)(g, w), self.same(ConvolutionKernel, _window_of(w.shape))(g, y)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        def of(*args: Any) -> Callable[..., Variable]:
            return lambda x, w: conv_transpose(x, w, *args)

        yield Sample(of(2), (In(("n", "h", 3, 4), "number"), In((3, 2, "c", 4), "number")), name="stride 2")
        yield Sample(of((2, 3), "same"), (In((2, "h", 4, 3)), In((3, 3, 2, 3))), name="same")
        yield Sample(of(2, "valid", 3), (In((2, 4, 3)), In((3, 2, 3))), name="dilated")
        yield Sample(of(1, "valid", 1, 2), (In((2, 4, 3, 4)), In((2, 2, 3, 4))), name="groups")
        yield Sample(of(3), (In((2, 4, 3, 4)), In((2, 1, 3, 4))), name="gaps")


def _backwards(start: int, step: int, count: int) -> slice:
    """start, start + step ... for `count` places, the last one first."""
    last = start + (count - 1) * step
    return slice(last, start - 1 if start else None, -step) if count > 1 else slice(start, start + 1)


@register
class ConvolutionKernel(Correlation):
    """(x, y) -> w of size `window`: the gradient of the kernel."""

    name = "conv_kernel"
    strides: Ints
    dilations: Ints
    groups: int
    window: Ints

    def infer(self, *inputs: TensorType) -> TensorType:
        x, (xs, ys) = inputs[0], (t.known_shape for t in inputs)
        for have, want in zip(ys[1:-1], map(window_count, xs[1:-1], self.window, self.strides, self.dilations), strict=True):
            require_equal(have, want, "conv: positions of the gradient, and of the windows")
        require_equal(xs[0], ys[0], "conv: batch sizes of x and of the gradient")
        return TensorType(x.dtype, (*self.window, _channels(xs[-1], self.groups, "conv: input channels"), ys[-1]))

    def expand(self, *inputs: Variable) -> Variable:
        x, y = inputs
        left, right, out = self.operand_labels()
        if self.groups == 1 and all(s == 1 for s in (*self.window, *self.strides)):
            w = contract(x, y, left[: self.rank + 1] + "c", out, "co")
            return reshape(w, (*self.window, *w.shape))
        w = contract(self.windows(self.grouped(x), self.window), self.grouped(y), left, out, right)
        return reshape(w, (*w.shape[: self.rank + 1], y.shape[-1])) if self.groups > 1 else w

    def reference(self, *arrays: Any) -> Any:
        return _einsum(self, arrays[0], None, arrays[1], self.window)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x, y), (g,) = inputs, grads
        if g is None:
            return None, None
        return self.same(ConvolutionInput, x.shape[1:-1])(y, g), self.same(Convolution)(x, g)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x, y: cls((1, 1), (1, 2), 1, (3, 2))(x, y), (In(("n", 6, 7, 2)), In(("n", 4, 5, "o"))), name="dilated")
        yield Sample(lambda x, y: cls((2,), (1,), 2, (3,))(x, y), (In((3, 9, 4)), In((3, 4, 6))), name="groups")


def _grouped(a: Any, groups: int) -> Any:
    return a if groups == 1 else a.reshape(*a.shape[:-1], groups, a.shape[-1] // groups)


def _einsum(op: Correlation, x: Any, w: Any, y: Any, window: Ints) -> Any:
    """The convolution (y None) or the kernel's gradient (w None), in float64 for floats."""
    left, right, out = op.operand_labels()
    exact = np.float64 if x.dtype.kind == "f" else x.dtype
    patches = Windows(1, window, op.strides, op.dilations).reference(_grouped(x, op.groups).astype(exact))
    other, labels, result = (w, right, out) if y is None else (y, out, right)
    made = np.einsum(f"{left},{labels}->{result}", patches, _grouped(other, op.groups).astype(exact))
    flat = made.reshape(*made.shape[:-2], made.shape[-2] * made.shape[-1]) if op.groups > 1 else made
    return flat.astype(x.dtype)


# --- what users call -----------------------------------------------------------------------------
def spatial_padding(padding: Any, sizes: Shape, window: Ints, strides: Ints, dilations: Ints, what: str) -> list[tuple[Size, Size]]:
    """(before, after) for each spatial axis.

    'valid': none; 'same': windows for ceil(size / stride) positions, the odd element after (TensorFlow's
    rule); 'full': every window that touches; 'half': window // 2 on both sides (Theano's); 'causal': all
    before; else an int, or an int or pair for each axis.
    """
    spans = [(w - 1) * d for w, d in zip(window, dilations, strict=True)]
    if isinstance(padding, str):
        rule = padding.lower()
        if rule == "valid":
            return [(0, 0)] * len(spans)
        if rule == "same":
            return [_same(n, span, s) for n, span, s in zip(sizes, spans, strides, strict=True)]
        if rule in _FIXED:
            return [_FIXED[rule](span) for span in spans]
        raise ShapeError(f"{what}: no padding is called {padding!r}", hint="use 'valid', 'same', 'full', 'half', 'causal' or numbers")
    given = [padding] * len(spans) if isinstance(padding, int) else list(padding)
    pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in given]
    if len(pairs) != len(spans) or any(len(p) != 2 or not all(isinstance(v, int) and v >= 0 for v in p) for p in pairs):
        raise ShapeError(f"{what}: the padding {padding!r}", hint=f"give (before, after) for each of {len(spans)} axes")
    return pairs


_FIXED: dict[str, Callable[[int], tuple[int, int]]] = {
    "full": lambda span: (span, span),
    "half": lambda span: ((span + 1) // 2, (span + 1) // 2),
    "causal": lambda span: (span, 0),
}


def _same(size: Size, span: int, stride: int) -> tuple[Size, Size]:
    if stride == 1:
        return span // 2, span - span // 2
    total = maximum((floordiv(size + stride - 1, stride) - 1) * stride + span + 1 - size, 0)
    return floordiv(total, 2), total - floordiv(total, 2)


CHANNELS_FIRST = ("channels_first", "NCHW", "NCW", "NCDHW")
CHANNELS_LAST = ("channels_last", "NHWC", "NWC", "NDHWC")


def channels_last(x: Variable, data_format: str) -> Variable:
    """x with its channels in the last axis."""
    if data_format in CHANNELS_LAST:
        return x
    if data_format not in CHANNELS_FIRST:
        raise ShapeError(f"no data format is called {data_format!r}", hint="use 'channels_last' or 'channels_first'")
    return transpose(x, (0, *range(2, x.ndim), 1))


def channels_as(y: Variable, data_format: str) -> Variable:
    """The transpose of `channels_last`."""
    return y if data_format in CHANNELS_LAST else transpose(y, (0, y.ndim - 1, *range(1, y.ndim - 1)))


@public
def conv(
    x: Any,
    w: Any,
    strides: int | Sequence[int] = 1,
    padding: Any = "valid",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    data_format: str = "channels_last",
) -> Variable:
    """Convolution (correlation) over the axes of x between batch and channels.

    x: (n, *spatial, in), or (n, in, *spatial) for `channels_first`; w: (*window, in / groups, out).
    `padding`: see `spatial_padding`.  `groups = in` is a depthwise convolution.
    Raises ShapeError or DTypeError where they do not fit.
    """
    x, w = coerce(x, w)
    rank = w.ndim - 2
    if rank < 1 or x.ndim != w.ndim:
        hint = "x is (n, *spatial, in) and w (*window, in, out): of equal rank, 3 or more"
        raise ShapeError(f"conv: x has rank {x.ndim} and the kernel {w.ndim}", hint=hint)
    x = channels_last(x, data_format)
    steps, dilations = per_axis(strides, rank, "strides"), per_axis(dilation, rank, "dilation")
    widths = spatial_padding(padding, x.shape[1:-1], _window_of(w.shape), steps, dilations, "conv")
    room = pad(x, [(0, 0), *widths, (0, 0)])
    require_windows(x.shape[1:-1], _window_of(w.shape), dilations, widths)
    result: Variable = Convolution(steps, dilations, groups)(room, w)
    return channels_as(result, data_format)


@public
def conv_transpose(
    x: Any,
    w: Any,
    strides: int | Sequence[int] = 1,
    padding: Any = "valid",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    data_format: str = "channels_last",
    output_shape: Sequence[Size] | None = None,
) -> Variable:
    """The transpose of `conv`, which takes a convolution's positions to the sizes of its input.

    x: (n, *positions, out), w: (*window, in / groups, out), as of that convolution; the result is (n, *spatial, in).
    `output_shape`: the spatial sizes; by default `stride * positions` for 'same' and
    `stride * (positions - 1) + span` less the padding else.
    """
    x, w = coerce(x, w, to=inexact) if as_variable(x).dtype.kind == "f" else coerce(x, w)
    rank = w.ndim - 2
    if rank < 1 or x.ndim != w.ndim:
        raise ShapeError(f"conv_transpose: x has rank {x.ndim} and the kernel {w.ndim}", hint="both have rank 3 or more, the same")
    x = channels_last(x, data_format)
    window = _window_of(w.shape)
    steps, dilations = per_axis(strides, rank, "strides"), per_axis(dilation, rank, "dilation")
    sizes = tuple(output_shape) if output_shape is not None else _transposed_sizes(x.shape[1:-1], window, steps, dilations, padding)
    widths = spatial_padding(padding, sizes, window, steps, dilations, "conv_transpose")
    room = tuple(n + before + after for n, (before, after) in zip(sizes, widths, strict=True))
    whole: Variable = ConvolutionInput(steps, dilations, groups, room)(x, w)
    inner = [slice(before, before + n) for n, (before, _) in zip(sizes, widths, strict=True)]
    return channels_as(slice_axes(whole, [slice(None), *inner, slice(None)]), data_format)


def _transposed_sizes(positions: Shape, window: Ints, strides: Ints, dilations: Ints, padding: Any) -> Shape:
    if isinstance(padding, str) and padding.lower() == "same":
        return tuple(n * s for n, s in zip(positions, strides, strict=True))
    spans = [(w - 1) * d + 1 for w, d in zip(window, dilations, strict=True)]
    widths = spatial_padding(padding, positions, window, strides, dilations, "conv_transpose")
    return tuple((n - 1) * s + span - before - after for n, s, span, (before, after) in zip(positions, strides, spans, widths, strict=True))


@public
def depthwise_conv(
    x: Any, w: Any, strides: int | Sequence[int] = 1, padding: Any = "valid", dilation: int | Sequence[int] = 1, data_format: str = "channels_last"
) -> Variable:
    """`conv` with kernels of its own for each channel: w is (*window, in, m), channel c gives channels m * c ... of the result."""
    x, w = coerce(x, w)
    channels, many = w.shape[-2:] if w.ndim > 2 else (0, 0)
    if not isinstance(channels, int):
        raise ShapeError(f"depthwise_conv: the kernel {show_shape(w.shape)}", hint="w is (*window, in, m) with static channels")
    return conv(x, reshape(w, (*w.shape[:-2], 1, channels * many)), strides, padding, dilation, channels, data_format)


@public
def separable_conv(
    x: Any,
    depthwise: Any,
    pointwise: Any,
    strides: int | Sequence[int] = 1,
    padding: Any = "valid",
    dilation: int | Sequence[int] = 1,
    data_format: str = "channels_last",
) -> Variable:
    """A `depthwise_conv`, then a `conv` of windows of one element with `pointwise`, (1, ..., in * m, out)."""
    return conv(depthwise_conv(x, depthwise, strides, padding, dilation, data_format), pointwise, data_format=data_format)
