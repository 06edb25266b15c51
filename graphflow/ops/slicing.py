"""Slices, their transpose (padding), slice assignment, flip and roll.

A slice is kept resolved: per axis `start + step * i` for `i` in `0 .. size - 1`, where `size` None
marks an axis taken at one position, which leaves the shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import (
    Size,
    floordiv,
    maximum,
    minimum,
    mod,
    product,
    proves_less,
    proves_nonnegative,
    upper_bound,
)
from graphflow.graph.errors import ShapeError
from graphflow.graph.op import ComposeOp, In, Sample, ViewOp, register, require_equal
from graphflow.graph.types import Shape, TensorType
from graphflow.graph.variable import Variable, as_variable, constant
from graphflow.ops.creation import zeros_like
from graphflow.ops.elementwise import where
from graphflow.ops.public import public
from graphflow.ops.reduction import normalize_axes
from graphflow.ops.shape import broadcast_to, expand_dims, reshape, show_shape
from graphflow.ops.sizes import as_size

Grads = Sequence[Variable | None]
Sizes = tuple[Size | None, ...]


# --- resolving bounds --------------------------------------------------------------------------
def slice_bounds(key: slice, n: Size) -> tuple[Size, int, Size]:
    """(start, step, size) of `key` on an axis of size `n`: `slice.indices` for ints and Dims.

    An empty slice may have any start: nothing is read.
    """
    step = 1 if key.step is None else as_size(key.step, "the step of a slice")
    if not isinstance(step, int) or step == 0:
        raise ShapeError(f"the step of a slice is {step}", hint="use an int other than 0")
    start = None if key.start is None else as_size(key.start, "the start of a slice")
    stop = None if key.stop is None else as_size(key.stop, "the stop of a slice")
    if all(isinstance(v, int | None) for v in (n, start, stop)):
        span = range(*slice(start, stop, step).indices(n))  # type: ignore[arg-type, unused-ignore]
        return span.start, step, len(span)
    return (_forward if step > 0 else _backward)(start, stop, step, n)


def _forward(start: Size | None, stop: Size | None, step: int, n: Size) -> tuple[Size, int, Size]:
    first = 0 if start is None else _from_front(start, n)
    end = n if stop is None else _from_front(stop, n)
    if stop is not None and not proves_negative(stop):
        end = minimum(end, n)
    span = end - first
    if not proves_nonnegative(first):
        span, first = minimum(span, end), maximum(first, 0)
    return first, step, floordiv(maximum(span, 0) + (step - 1), step)


def _backward(start: Size | None, stop: Size | None, step: int, n: Size) -> tuple[Size, int, Size]:
    first = n - 1 if start is None else _from_front(start, n)
    if start is not None and not proves_negative(start):
        first = minimum(first, n - 1)
    end = -1 if stop is None else _from_front(stop, n)
    span = first - end
    if not proves_nonnegative(end + 1):
        span = minimum(span, first + 1)
    return first, step, floordiv(maximum(span, 0) + (-step - 1), -step)


def _from_front(bound: Size, n: Size) -> Size:
    """A bound counted from the front: `n` is added to a negative one."""
    if proves_nonnegative(bound):
        return bound
    if proves_negative(bound):
        return bound + n
    negative = 1 - minimum(maximum(bound + 1, 0), 1)
    return bound + n * negative


def proves_negative(size: Size) -> bool:
    high = upper_bound(size)
    return high is not None and high < 0


def position(index: Size, n: Size) -> Size:
    """The place of an index that may be negative, on an axis of size `n`."""
    return _from_front(index, n)


def require_inside(at: Size, n: Size, axis: int) -> None:
    """0 <= at < n: raises ShapeError if that is known to be false, else it is checked when run."""
    what = f"index {at} is out of range for axis {axis} of size {n}"
    if isinstance(at, int) and isinstance(n, int):
        if not 0 <= at < n:
            raise ShapeError(what, hint=f"indices run from {-n} to {n - 1}")
        return
    if not proves_less(at, n):
        require_equal(minimum(at + 1, n), at + 1, what)
    if not proves_nonnegative(at):
        require_equal(maximum(at, 0), at, what)


# --- the ops -----------------------------------------------------------------------------------
@register
class Slice(ViewOp):
    """x[start : : step] for `size` elements per axis; `size` None takes the one at `start`."""

    name = "slice"
    starts: Shape
    steps: tuple[int, ...]
    sizes: Sizes

    def infer(self, *inputs: TensorType) -> TensorType:
        for axis, (at, size, n) in enumerate(zip(self.starts, self.sizes, inputs[0].known_shape, strict=True)):
            if size is None:
                require_inside(at, n, axis)
        return TensorType(inputs[0].dtype, tuple(s for s in self.sizes if s is not None))

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        left = iter(ix)
        return tuple(
            at if size is None else at + step * next(left)
            for at, step, size in zip(self.starts, self.steps, self.sizes, strict=True)
        )

    def reference(self, *arrays: Any) -> Any:
        return arrays[0][slice_key(self.starts, self.steps, self.sizes)]

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None if grads[0] is None else place(grads[0], self, inputs[0].shape),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        def of(*key: Any) -> Any:
            return lambda x: slice_axes(x, key)

        full = slice(None)
        yield Sample(of(full, slice(1, -1)), (In(("m", "n"), "any"),), name="inner")
        yield Sample(of(slice(None, None, -1), slice(-3, None)), (In(("m", "n")),), name="reversed")
        yield Sample(of(slice(5, None, -2), slice(1, 9, 3)), (In(("m", "n")),), name="strided")
        yield Sample(of(2, full, slice(-1, -4, -1)), (In((3, "m", 6), "any"),), name="position")
        yield Sample(of(full, -1), (In(("m", "n")),), empty=False, name="last")


def slice_key(starts: Sequence[Any], steps: Sequence[int], sizes: Sequence[Any]) -> tuple[Any, ...]:
    """The NumPy key of a resolved slice with static bounds."""
    return tuple(
        at if size is None else slice(at, end if (end := at + step * size) >= 0 else None, step) if size else slice(0, 0)
        for at, step, size in zip(starts, steps, sizes, strict=True)
    )


def slice_axes(x: Variable, key: Sequence[Any]) -> Variable:
    """x sliced by one slice or integer per axis."""
    parts = [
        slice_bounds(k, n) if isinstance(k, slice) else (position(as_size(k), n), 1, None)
        for k, n in zip(key, x.shape, strict=True)
    ]
    starts, steps, sizes = zip(*parts, strict=True) if parts else ((), (), ())
    result: Variable = Slice(starts, steps, sizes)(x)
    return result


def place(y: Variable, where_from: Slice, shape: Shape, value: Any = 0) -> Variable:
    """`y`, shaped as the slice's result, at its place in an array of `shape` filled with `value`."""
    dropped = tuple(a for a, size in enumerate(where_from.sizes) if size is None)
    whole = expand_dims(y, dropped) if dropped else y
    if is_whole(whole.shape, where_from.steps, shape) and all(step > 0 for step in where_from.steps):
        return whole
    result: Variable = Pad(where_from.starts, where_from.steps, shape, value)(whole)
    return result


def is_whole(sizes: Shape, steps: Sequence[int], shape: Shape) -> bool:
    """True if a slice has all elements of every axis, forwards or backwards."""
    return sizes == shape and all(abs(step) == 1 for step in steps)


@register
class Pad(ViewOp):
    """The transpose of Slice: element i of x is at `start + step * i` of an array filled with `value`."""

    name = "pad"
    starts: Shape
    steps: tuple[int, ...]
    shape: Shape
    value: float | int | bool

    def infer(self, *inputs: TensorType) -> TensorType:
        if len(inputs[0].known_shape) != len(self.shape):
            raise ShapeError(f"rank {len(inputs[0].known_shape)} is not padded to {show_shape(self.shape)}")
        return TensorType(inputs[0].dtype, self.shape)

    @property
    def fill(self) -> float | int | bool:
        return self.value

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        return tuple(floordiv(self._offset(a, i), abs(self.steps[a])) for a, i in enumerate(ix))

    def inside(self, ix: tuple[Size, ...], shape: Shape) -> Sequence[tuple[Size, Size]]:
        pairs: list[tuple[Size, Size]] = []
        for a, i in enumerate(ix):
            stride = abs(self.steps[a])
            if stride == 1 and shape[a] == self.shape[a]:
                continue
            offset = self._offset(a, i)
            pairs.append((floordiv(offset, stride), shape[a]))
            if stride > 1:
                pairs.append((mod(offset, stride), 1))
        return pairs

    def _offset(self, axis: int, i: Size) -> Size:
        return i - self.starts[axis] if self.steps[axis] > 0 else self.starts[axis] - i

    def reference(self, *arrays: Any) -> Any:
        out = np.full(self.shape, self.value, arrays[0].dtype)
        out[slice_key(self.starts, self.steps, arrays[0].shape)] = arrays[0]
        return out

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None if grads[0] is None else Slice(self.starts, self.steps, inputs[0].shape)(grads[0]),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: Pad((1, 0), (1, 1), (x.shape[0] + 3, x.shape[1]), 2)(x), (In(("m", "n"), "number"),), name="rows")
        yield Sample(lambda x: Pad((1,), (3,), (3 * x.shape[0] + 1,), 0)(x), (In(("m",), "any"),), name="dilated")
        yield Sample(lambda x: Pad((2 * x.shape[0],), (-2,), (2 * x.shape[0] + 1,), 0)(x), (In(("m",)),), name="reversed")


@register
class SetSlice(ComposeOp):
    """x with the elements of a slice replaced by those of y."""

    name = "set_slice"
    starts: Shape
    steps: tuple[int, ...]
    sizes: Sizes

    @property
    def slice(self) -> Slice:
        return Slice(self.starts, self.steps, self.sizes)

    def infer(self, *inputs: TensorType) -> TensorType:
        x, y = inputs
        wanted = self.slice.infer(x).known_shape
        if len(y.known_shape) != len(wanted):
            raise ShapeError(f"a slice of shape {show_shape(wanted)} does not take {show_shape(y.known_shape)}")
        for have, want in zip(y.known_shape, wanted, strict=True):
            require_equal(have, want, f"a slice of shape {show_shape(wanted)} does not take {show_shape(y.known_shape)}; sizes")
        return x

    def expand(self, *inputs: Variable) -> Variable:
        x, y = inputs
        inside = place(broadcast_to(constant(True), y.shape), self.slice, x.shape, False)
        return where(inside, place(y, self.slice, x.shape), x)

    def reference(self, *arrays: Any) -> Any:
        out = np.array(arrays[0])
        out[slice_key(self.starts, self.steps, self.sizes)] = arrays[1]
        return out

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (g,) = grads
        if g is None:
            return None, None
        nothing = zeros_like(inputs[1], g.dtype)
        return SetSlice(self.starts, self.steps, self.sizes)(g, nothing), self.slice(g)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x, y: SetSlice((1, 2), (1, 1), (y.shape[0], None))(x, y), (In((6, 4), "any"), In((3,), "any")), name="column")
        yield Sample(lambda x, y: SetSlice((6, 0), (-2, 1), y.shape)(x, y), (In((7, "n")), In((4, "n"))), name="strided")


# --- whole axes --------------------------------------------------------------------------------
@public
def flip(x: Any, axis: int | Sequence[int] | None = None) -> Variable:
    """x with the elements along `axis` (all axes by default) in the opposite order."""
    x = as_variable(x)
    axes = normalize_axes(axis, x.ndim)
    return slice_axes(x, [slice(None, None, -1 if a in axes else 1) for a in range(x.ndim)])


@register
class Roll(ViewOp):
    """Elements move by `shift` along `axis`; those that leave enter at the other end."""

    name = "roll"
    shift: Size
    axis: int

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        a = self.axis
        return (*ix[:a], mod(ix[a] - self.shift, shape[a]), *ix[a + 1 :])

    def reference(self, *arrays: Any) -> Any:
        return np.roll(arrays[0], self.shift, self.axis)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None if grads[0] is None else roll(grads[0], -self.shift, self.axis),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: roll(x, 2, 1), (In(("m", "n"), "any"),))
        yield Sample(lambda x: roll(x, -7), (In(("m", "n")),), name="flat")


@public
def roll(x: Any, shift: Any, axis: int | None = None) -> Variable:
    """x with its elements moved `shift` places along `axis`, cyclically; without an axis, through all elements."""
    x = as_variable(x)
    if axis is None:
        return reshape(roll(reshape(x, (product(x.shape),)), shift, 0), x.shape)
    (axis,) = normalize_axes(axis, x.ndim)
    result: Variable = Roll(as_size(shift, "the shift"), axis)(x)
    return result
