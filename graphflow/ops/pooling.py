"""Pooling: the maximum or mean over windows of the axes between batch and channels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, mod
from graphflow.graph.errors import ShapeError
from graphflow.graph.op import ComposeOp, FoldOp, In, Sample, Value, register
from graphflow.graph.types import DType, Shape, TensorType
from graphflow.graph.variable import Variable, as_variable, constant
from graphflow.ops.convolution import channels_as, channels_last, spatial_padding
from graphflow.ops.creation import Nullary, iota, ones
from graphflow.ops.elementwise import add, divide, multiply, where
from graphflow.ops.joining import pad, repeat
from graphflow.ops.logic import equal
from graphflow.ops.promotion import coerce, inexact
from graphflow.ops.public import public
from graphflow.ops.reduction import max_, sum_
from graphflow.ops.shape import expand_dims
from graphflow.ops.windows import Ints, OverlapSum, Windows, per_axis, require_windows

Grads = Sequence[Variable | None]


@register
class FirstMax(FoldOp):
    """The row-major position over `axes` of the first largest element, as int32; NaN is largest."""

    name = "first_max"
    monoid = "argmax"
    axes: Ints

    def result_dtype(self, dtype: DType) -> DType:
        return np.dtype("int32")

    def reference(self, *arrays: Any) -> Any:
        (x,) = arrays
        kept = [a for a in range(x.ndim) if a not in self.axes]
        flat = np.transpose(x, [*kept, *self.axes]).reshape(*(x.shape[a] for a in kept), math.prod(x.shape[a] for a in self.axes))
        return flat.argmax(-1).astype(np.int32) if flat.size else np.zeros(flat.shape[:-1], np.int32)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None,)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: FirstMax((1, 2))(x), (In(("m", 3, 2, "n"), "number"),), grad=False, name="inner")
        yield Sample(lambda x: FirstMax((1, 2))(x), (In(("m", 3, 2), "number"),), grad=False, name="trailing")


@register
class MaxPool(ComposeOp):
    """The largest element of each window; the gradient goes to the first one."""

    name = "max_pool"
    window: Ints
    strides: Ints

    @property
    def rank(self) -> int:
        return len(self.window)

    @property
    def places(self) -> Ints:
        """The axes of windows that are places within one."""
        return tuple(range(1 + self.rank, 1 + 2 * self.rank))

    def windows(self, x: Variable) -> Variable:
        result: Variable = Windows(1, self.window, self.strides, (1,) * self.rank)(x)
        return result

    def expand(self, *inputs: Variable) -> Variable:
        return max_(self.windows(inputs[0]), axis=self.places)

    def reference(self, *arrays: Any) -> Any:
        patches = Windows(1, self.window, self.strides, (1,) * self.rank).reference(*arrays)
        return patches.max(self.places)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x,), (g,) = inputs, grads
        if g is None:
            return (None,)
        first: Variable = FirstMax(self.places)(self.windows(x))
        if self.strides == self.window:
            return (self.apart(x, g, first),)
        patches = self.windows(x)
        place = _flat_place(patches.shape, self.places, self.window)
        chosen = where(equal(expand_dims(first, self.places), place), expand_dims(g, self.places), constant(0, g.dtype))
        sizes = x.shape[1 : 1 + self.rank]
        return (OverlapSum(1, sizes, self.strides, (1,) * self.rank)(chosen),)

    def apart(self, x: Variable, g: Variable, first: Variable) -> Variable:
        """Windows that do not overlap: every element looks at the one it lies in."""
        place: Variable = PlaceApart(x.shape, self.window)()
        return where(equal(self._enlarged(first, x.shape, -1), place), self._enlarged(g, x.shape, 0), constant(0, g.dtype))

    def _enlarged(self, v: Variable, shape: Shape, value: int) -> Variable:
        for k, w in enumerate(self.window):
            v = repeat(v, w, 1 + k)
        widths = [(0, n - m) for n, m in zip(shape, v.shape, strict=True)]
        return pad(v, widths, constant_values=value)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: max_pool(x, 2), (In(("n", 7, 6, "c")),), name="apart")
        yield Sample(lambda x: max_pool(x, 2, padding="same"), (In(("n", "h", 4, 3), "number"),), grad=False, name="any size")
        yield Sample(lambda x: max_pool(x, (3, 2), (2, 1), "same"), (In((2, 7, 6, "c")),), name="overlapping")
        yield Sample(lambda x: max_pool(x, 2, 3), (In((2, 8, 3)),), name="gaps")
        yield Sample(lambda x: max_pool(x, 2, data_format="channels_first"), (In((2, 3, 4, 5)),), name="channels first")


def _flat_place(shape: Shape, axes: Ints, window: Ints) -> Variable:
    """The row-major place within a window, as int32, for every element of `shape`, whose `axes` are places."""
    found: Variable = constant(0, "int32")
    for a, w in zip(axes, window, strict=True):
        found = add(multiply(found, constant(w, "int32")), iota(shape, a, "int32"))
    return found


@register
class PlaceApart(Nullary):
    """The row-major place within its window, as int32, of each element of `shape`: axis 1 + k holds windows of window[k]."""

    name = "place_apart"
    shape: Shape
    window: Ints

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(np.dtype("int32"), self.shape)

    def scalar(self, b: Any, *xs: Value) -> Value:
        place: Size = 0
        for k, w in enumerate(self.window):
            place = place * w + mod(b.at(1 + k), w)
        return b.cast("int32", b.dim(place))

    def reference(self, *arrays: Any) -> Any:
        shape = tuple(int(n) for n in self.shape)
        place = np.zeros(shape, np.int32)
        for k, w in enumerate(self.window):
            along = [-1 if a == 1 + k else 1 for a in range(len(shape))]
            place = place * np.int32(w) + (np.arange(shape[1 + k], dtype=np.int32) % w).reshape(along)
        return place

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: cls(x.shape, (2, 3))(), (In(("n", 5, "w", 2)),), grad=False)


# --- what users call -----------------------------------------------------------------------------
def _prepared(x: Any, window: Any, strides: Any, padding: Any, data_format: str, what: str) -> tuple[Variable, Ints, Ints, list[tuple[Size, Size]]]:
    """(x channels last, window, strides, padding)."""
    x = as_variable(x)
    if x.ndim < 3:
        raise ShapeError(f"{what}: x has rank {x.ndim}", hint="x is (n, *spatial, channels)")
    x = channels_last(x, data_format)
    sizes = per_axis(window, x.ndim - 2, "the window")
    steps = per_axis(sizes if strides is None else strides, x.ndim - 2, "strides")
    return x, sizes, steps, spatial_padding(padding, x.shape[1:-1], sizes, steps, (1,) * len(sizes), what)


@public
def max_pool(
    x: Any, window: int | Sequence[int], strides: int | Sequence[int] | None = None, padding: Any = "valid", data_format: str = "channels_last"
) -> Variable:
    """The maximum over windows of the axes of x between batch and channels, `strides` apart (the window's sizes by default).

    x: (n, *spatial, channels), or (n, channels, *spatial) for `channels_first`.  Padding never wins.
    Raises ShapeError for a window that does not fit.
    """
    x, sizes, steps, widths = _prepared(x, window, strides, padding, data_format, "max_pool")
    room = pad(x, [(0, 0), *widths, (0, 0)], constant_values=_lowest(x.dtype))
    require_windows(x.shape[1:-1], sizes, (1,) * len(sizes), widths)
    result: Variable = MaxPool(sizes, steps)(room)
    return channels_as(result, data_format)


def _lowest(dtype: DType) -> Any:
    if dtype.kind == "f":
        return -np.inf
    return False if dtype.kind == "b" else np.iinfo(dtype).min


@public
def average_pool(
    x: Any,
    window: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: Any = "valid",
    data_format: str = "channels_last",
    count_padding: bool = False,
) -> Variable:
    """The mean over windows as in `max_pool`; padding counts as elements only with `count_padding`."""
    (x,) = coerce(x, to=inexact)
    x, sizes, steps, widths = _prepared(x, window, strides, padding, data_format, "average_pool")
    room = [(0, 0), *widths, (0, 0)]
    padded = pad(x, room)
    require_windows(x.shape[1:-1], sizes, (1,) * len(sizes), widths)
    slide = Windows(1, sizes, steps, (1,) * len(sizes))
    places = tuple(range(1 + len(sizes), 1 + 2 * len(sizes)))
    total = sum_(slide(padded), axis=places)
    if count_padding or all(width == (0, 0) for width in widths):
        return channels_as(divide(total, constant(math.prod(sizes), x.dtype)), data_format)
    inside = pad(ones((1, *x.shape[1:-1], 1), x.dtype), room)
    return channels_as(divide(total, sum_(slide(inside), axis=places)), data_format)
