"""Sliding windows over axes, and their transpose, overlapping sums: what convolution and pooling are made of.

`Windows` is a view: the element at (p, i) of an axis is the one at `stride * p + dilation * i`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, floordiv, maximum, minimum, mod, proves_nonnegative
from graphflow.graph.errors import ShapeError
from graphflow.graph.op import ComposeOp, In, Sample, ViewOp, register, require_equal
from graphflow.graph.types import Shape, TensorType
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.diagonals import diagonal
from graphflow.ops.public import public
from graphflow.ops.reduction import normalize_axes, sum_
from graphflow.ops.shape import show_shape, transpose

Grads = Sequence[Variable | None]
Ints = tuple[int, ...]


def window_count(size: Size, window: int, stride: int, dilation: int) -> Size:
    """How many windows fit into an axis of `size`: 0 where it is shorter than one."""
    if window == stride == 1:
        return size
    left = size - ((window - 1) * dilation + 1)
    count = floordiv(left, stride) + 1
    return count if proves_nonnegative(left) else maximum(count, 0)


@register
class Windows(ViewOp):
    """The axes `first ...` become window positions, and right after them stand the places within a window."""

    name = "windows"
    first: int
    window: Ints
    strides: Ints
    dilations: Ints

    @property
    def places(self) -> slice:
        """Where the result's axes within a window are."""
        return slice(self.first + len(self.window), self.first + 2 * len(self.window))

    def infer(self, *inputs: TensorType) -> TensorType:
        shape = inputs[0].known_shape
        last = self.first + len(self.window)
        counts = map(window_count, shape[self.first : last], self.window, self.strides, self.dilations)
        return TensorType(inputs[0].dtype, (*shape[: self.first], *counts, *self.window, *shape[last:]))

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        positions, places = ix[self.first : self.places.start], ix[self.places]
        moved = (p * s + i * d for p, i, s, d in zip(positions, places, self.strides, self.dilations, strict=True))
        return (*ix[: self.first], *moved, *ix[self.places.stop :])

    def reference(self, *arrays: Any) -> Any:
        (x,) = arrays
        axes = tuple(range(self.first, self.first + len(self.window)))
        spans = tuple((w - 1) * d + 1 for w, d in zip(self.window, self.dilations, strict=True))
        if any(x.shape[a] < span for a, span in zip(axes, spans, strict=True)):
            return np.zeros(self.infer(TensorType(x.dtype, x.shape)).shape, x.dtype)
        every = np.lib.stride_tricks.sliding_window_view(x, spans, axes)
        taken = [slice(None)] * every.ndim
        for k, a in enumerate(axes):
            taken[a] = slice(None, None, self.strides[k])
            taken[x.ndim + k] = slice(None, None, self.dilations[k])
        return np.moveaxis(every[tuple(taken)], range(x.ndim, x.ndim + len(axes)), range(self.places.start, self.places.stop))

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (g,), sizes = grads, inputs[0].shape[self.first : self.first + len(self.window)]
        return (None if g is None else OverlapSum(self.first, sizes, self.strides, self.dilations)(g),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: Windows(1, (3,), (1,), (1,))(x), (In(("m", "n"), "any"),), name="any size")
        yield Sample(lambda x: windows(x, (2, 3), (2, 1), (1, 2), axes=(1, 2)), (In((2, 7, 9, "c"), "number"),), name="image")


@register
class Spread(ViewOp):
    """The transpose of Windows without its sums: element (h, i) is window position (h - dilation * i) / stride, place i, or 0."""

    name = "spread"
    first: int
    sizes: Shape
    strides: Ints
    dilations: Ints

    def _count(self) -> int:
        return len(self.sizes)

    def infer(self, *inputs: TensorType) -> TensorType:
        shape = inputs[0].known_shape
        return TensorType(inputs[0].dtype, (*shape[: self.first], *self.sizes, *shape[self.first + self._count() :]))

    def _offsets(self, ix: tuple[Size, ...]) -> list[Size]:
        n = self._count()
        return [h - i * d for h, i, d in zip(ix[self.first : self.first + n], ix[self.first + n : self.first + 2 * n], self.dilations, strict=True)]

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        moved = (floordiv(o, s) for o, s in zip(self._offsets(ix), self.strides, strict=True))
        return (*ix[: self.first], *moved, *ix[self.first + self._count() :])

    def inside(self, ix: tuple[Size, ...], shape: Shape) -> Sequence[tuple[Size, Size]]:
        pairs: list[tuple[Size, Size]] = []
        for k, (offset, stride) in enumerate(zip(self._offsets(ix), self.strides, strict=True)):
            pairs.append((floordiv(offset, stride), shape[self.first + k]))
            if stride > 1:
                pairs.append((mod(offset, stride), 1))
        return pairs

    def reference(self, *arrays: Any) -> Any:
        (x,), n = arrays, self._count()
        out = np.zeros(self.infer(TensorType(x.dtype, x.shape)).known_shape, x.dtype)  # type: ignore[type-var, arg-type, unused-ignore]  # ints by now
        lead = (slice(None),) * self.first
        for places in np.ndindex(*x.shape[self.first + n : self.first + 2 * n]):
            spans = (
                slice(i * d, i * d + s * p, s) if p else slice(0, 0)
                for i, d, s, p in zip(places, self.dilations, self.strides, x.shape[self.first : self.first + n], strict=True)
            )
            out[(*lead, *spans, *places)] = x[(*lead, *(slice(None),) * n, *places)]
        return out

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x,), (g,), n = inputs, grads, self._count()
        if g is None:
            return (None,)
        window = tuple(int(s) for s in x.shape[self.first + n : self.first + 2 * n])
        made: Variable = Windows(self.first, window, self.strides, self.dilations)(g)
        for k in range(n):  # window place k and the place g had are the same one
            at = self.first + n + k
            made = transpose(diagonal(made, 0, at, at + n - k), _back_to(made.ndim - 1, at))
        return (made,)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: Spread(1, (9,), (2,), (1,))(x), (In((2, 4, 3), "any"),), name="strided")
        yield Sample(lambda x: Spread(1, (8, 6), (1, 1), (1, 2))(x), (In(("m", 6, 2, 3, 3, 2)),), name="image")


def _back_to(rank: int, at: int) -> tuple[int, ...]:
    """The order of axes that takes the last one to `at`."""
    return (*range(at), rank - 1, *range(at, rank - 1))


@register
class OverlapSum(ComposeOp):
    """The transpose of Windows: each element is the sum over the windows that hold it.

    `sizes`: of the axes `first ...` of the result.
    """

    name = "overlap_sum"
    first: int
    sizes: Shape
    strides: Ints
    dilations: Ints

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,), n = inputs, len(self.sizes)
        shape = x.known_shape
        return TensorType(x.dtype, (*shape[: self.first], *self.sizes, *shape[self.first + 2 * n :]))

    def _spread(self) -> Spread:
        return Spread(self.first, self.sizes, self.strides, self.dilations)

    def expand(self, *inputs: Variable) -> Variable:
        n = len(self.sizes)
        return sum_(self._spread()(inputs[0]), axis=tuple(range(self.first + n, self.first + 2 * n)), dtype=inputs[0].dtype)

    def reference(self, *arrays: Any) -> Any:
        n = len(self.sizes)
        return self._spread().reference(*arrays).sum(tuple(range(self.first + n, self.first + 2 * n)), dtype=arrays[0].dtype)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x,), (g,), n = inputs, grads, len(self.sizes)
        window = tuple(int(s) for s in x.shape[self.first + n : self.first + 2 * n])
        return (None if g is None else Windows(self.first, window, self.strides, self.dilations)(g),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: overlap_sum(x, (9,), 2, axes=1), (In(("m", 4, 3), "number"),), name="strided")
        yield Sample(lambda x: overlap_sum(x, (6, 5), axes=(1, 2)), (In((2, 4, 4, 3, 2, "c")),), name="image")


# --- what users call -----------------------------------------------------------------------------
def per_axis(value: int | Sequence[int], count: int, what: str) -> Ints:
    """One positive int for each of `count` axes."""
    given = (value,) * count if isinstance(value, int | np.integer) else tuple(value)
    if len(given) == 1:
        given *= count
    if len(given) != count or not all(isinstance(v, int | np.integer) and v > 0 for v in given):
        raise ShapeError(f"{what} is {value!r}", hint=f"use a positive int or {count} of them")
    return tuple(map(int, given))


def _adjacent(axes: int | Sequence[int], rank: int) -> Ints:
    found = normalize_axes(axes, rank)
    if found != tuple(range(found[0], found[0] + len(found))):
        raise ShapeError(f"windows slide over adjacent axes, not over {found}", hint="gf.transpose brings axes together")
    return found


@public
def windows(
    x: Any, window: int | Sequence[int], strides: int | Sequence[int] = 1, dilation: int | Sequence[int] = 1, axes: int | Sequence[int] = -1
) -> Variable:
    """All windows of x over the adjacent `axes`: they become positions, followed by as many axes of places within a window.

    Shape (n, h, w, c) gives (n, p, q, i, j, c) for a window of i x j over the axes (1, 2).
    Raises ShapeError for axes that are not adjacent, or a static axis shorter than a window.
    """
    x = as_variable(x)
    over = _adjacent(axes, x.ndim)
    given = (per_axis(v, len(over), what) for v, what in ((window, "the window"), (strides, "strides"), (dilation, "dilation")))
    sizes, steps, dilations = given
    require_windows(tuple(x.shape[a] for a in over), sizes, dilations)
    result: Variable = Windows(over[0], sizes, steps, dilations)(x)
    return result


def require_windows(sizes: Shape, window: Ints, dilations: Ints, widths: Sequence[tuple[Size, Size]] | None = None) -> None:
    """Raises ShapeError where a window is longer than a static axis that has elements, `widths` of padding included."""
    for k, (n, w, d) in enumerate(zip(sizes, window, dilations, strict=True)):
        span = (w - 1) * d + 1
        room = n if widths is None else n + widths[k][0] + widths[k][1]
        if isinstance(n, int) and n and isinstance(room, int) and room < span:
            raise ShapeError(f"a window that spans {span} elements does not fit into an axis of {room}", hint="pad the input, or use padding='same'")


@public
def overlap_sum(
    x: Any, sizes: Sequence[Size], strides: int | Sequence[int] = 1, dilation: int | Sequence[int] = 1, axes: int | Sequence[int] = -2
) -> Variable:
    """The transpose of `windows`: x has positions at `axes` and after them places; the result axes of `sizes`."""
    x = as_variable(x)
    over = _adjacent(axes, x.ndim)
    n = len(over)
    op = OverlapSum(over[0], tuple(sizes), per_axis(strides, n, "strides"), per_axis(dilation, n, "dilation"))
    places = x.shape[over[0] + n : over[0] + 2 * n]
    if len(places) != n or not all(isinstance(s, int) for s in places):
        raise ShapeError(f"overlap_sum: no static places follow the axes {over} of {show_shape(x.shape)}")
    for size, count, w, s, d in zip(op.sizes, x.shape[over[0] : over[0] + n], places, op.strides, op.dilations, strict=True):
        require_equal(window_count(size, int(w), s, d), count, "windows that fit into the sizes given, and windows that came")
    result: Variable = op(x)
    return result


# --- the windows of a stride-1 convolution that transposes a strided one ----------------------------
@dataclass(frozen=True)
class Taps:
    """The window places that reach positions `stride * u + residue` of an axis: `start + step * t` for t < count.

    Place t comes from window position `u + shift - t * dilation`.
    """

    start: int
    step: int
    count: int
    shift: int
    dilation: int


def taps(residue: int, window: int, stride: int, dilation: int) -> Taps:
    """Places i with `dilation * i = residue (mod stride)`: an arithmetic progression, possibly empty."""
    common = math.gcd(stride, dilation)
    found = [i for i in range(window) if (residue - i * dilation) % stride == 0]
    start = found[0] if found else 0
    return Taps(start, stride // common, len(found), (residue - start * dilation) // stride, dilation // common)


def overlap_bounds(count: Size, low: int, total: Size) -> tuple[Size, Size]:
    """How `count` elements lie in `total` places from `low` on: (how many fit, how many places are left behind them)."""
    room = total - low
    if proves_nonnegative(room - count):
        return count, room - count
    kept = minimum(count, room)
    return kept, room - kept
