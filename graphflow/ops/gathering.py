"""Elements picked by integer arrays, and the scatters that are their transposes.

Indices may be negative (counted from the end) unless `wrap` is off; one out of range fails
the run.  A scatter visits its indices in row-major order: repeated ones accumulate, or the last wins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, product
from graphflow.graph.errors import CheckError, DTypeError, ShapeError
from graphflow.graph.op import In, NestOp, Sample, Value, register, require_equal
from graphflow.graph.types import Shape, TensorType
from graphflow.graph.variable import Constant, Variable, as_variable
from graphflow.ops.creation import Iota, zeros_like
from graphflow.ops.elementwise import maximum, minimum, where
from graphflow.ops.logic import equal
from graphflow.ops.promotion import coerce
from graphflow.ops.public import public
from graphflow.ops.reduction import normalize_axes
from graphflow.ops.rounding import mod
from graphflow.ops.shape import broadcast_to, ravel, reshape, show_shape
from graphflow.ops.slicing import Sizes, require_inside, slice_key

Grads = Sequence[Variable | None]
INT64 = np.dtype("int64")


# --- shared by gathers and scatters --------------------------------------------------------------
def as_index(value: Any) -> Variable:
    """`value` as an integer Variable; raises DTypeError for floats and bools."""
    index = as_variable(np.zeros(0, "int64") if isinstance(value, list | tuple) and not value else value)
    if index.dtype.kind not in "iu":
        raise DTypeError(f"indices must be integers, and {index!r} is not", hint="use gf.cast(x, 'int64'), or gf.where for a mask")
    return index


def check_constant(index: Variable, n: Size, axis: int) -> None:
    """Raises ShapeError for constant indices outside an axis of known size."""
    if isinstance(index, Constant) and isinstance(n, int) and index.value.size:
        low, high = int(index.value.min()), int(index.value.max())
        for worst in (low, high):
            if not -n <= worst < n:
                raise ShapeError(f"index {worst} is out of range for axis {axis} of size {n}", hint=f"indices run from {-n} to {n - 1}")


def open_loops(k: Any, stack: contextlib.ExitStack, name: str, shape: Shape, sequential: bool = False) -> list[Size]:
    """A loop for each size; the loops stay open until `stack` closes."""
    return [stack.enter_context(k.loop(f"{name}{a}", s, sequential=sequential)) for a, s in enumerate(shape)]


def checked_place(k: Any, index: Value, extent: Size, wrap: bool, message: str) -> Size:
    """The place along an axis of `extent` that an index names, checked when run."""
    at = k.cast(INT64, index)
    if wrap and index.dtype.kind == "i":
        at = k.select(at < 0, at + k.dim(extent), at)
    place: Size = k.position(at, extent, f"{message} of size {extent}", shown=k.cast(INT64, index))
    return place


def wrapped(index: Any, extent: int, wrap: bool, message: str) -> Any:
    """The same in NumPy."""
    at = np.asarray(index).astype(np.int64)
    if wrap:
        at = np.where(at < 0, at + extent, at)
    if at.size and (at.min() < 0 or at.max() >= extent):
        raise CheckError(f"{message} of size {extent}")
    return at


def combine(old: Value, new: Value) -> Value:
    return old | new if old.dtype.kind == "b" else old + new


def copy_array(k: Any, source: Any, to: Any) -> None:
    with contextlib.ExitStack() as loops:
        ix = open_loops(k, loops, "c", source.shape)
        to.store(tuple(ix), source.load(*ix))


def last_writers(scatter: Any, x: Variable, y: Variable, rest: Sequence[Variable], gather: Any) -> Variable:
    """True for the elements of `y` that no later one overwrote."""
    serial = reshape(Iota((product(y.shape),), 0, INT64)(), y.shape)
    written = scatter(zeros_like(x, serial.dtype), serial, *rest)
    return equal(gather(written, *rest), serial)


# --- along axes picked by broadcast index arrays -------------------------------------------------
@dataclass(frozen=True, repr=False)
class Selection(NestOp):
    """Per axis of x: `start + step * i` for `size` elements, or one `start` (size None), or, where
    `start` is None, the places that the next index operand names.

    All index operands have one shape, whose axes stand at `position` among the kept axes.
    """

    starts: Sizes
    steps: tuple[int, ...]
    sizes: Sizes
    position: int
    wrap: bool

    @property
    def picked(self) -> tuple[int, ...]:
        return tuple(a for a, start in enumerate(self.starts) if start is None)

    @property
    def fields(self) -> tuple[Sizes, tuple[int, ...], Sizes, int, bool]:
        return self.starts, self.steps, self.sizes, self.position, self.wrap

    def selected(self, x: TensorType, indices: Sequence[TensorType]) -> Shape:
        """The shape of what is selected; raises ShapeError for a position out of range."""
        kept: list[Size] = []
        for axis, (start, size, n) in enumerate(zip(self.starts, self.sizes, x.known_shape, strict=True)):
            if start is not None and size is None:
                require_inside(start, n, axis)
            elif size is not None:
                kept.append(size)
        shape: tuple[Size, ...] = indices[0].known_shape
        for other in indices[1:]:
            shape = tuple(require_equal(s, o, "index arrays have different sizes") for s, o in zip(shape, other.known_shape, strict=True))
        return (*kept[: self.position], *shape, *kept[self.position :])

    def source(self, kept: Sequence[Size], places: Sequence[Size]) -> tuple[Size, ...]:
        """The index into x for an index of the kept axes and the places picked."""
        k, p = iter(kept), iter(places)
        return tuple(
            next(p) if start is None else start if size is None else start + step * next(k)
            for start, step, size in zip(self.starts, self.steps, self.sizes, strict=True)
        )

    def places(self, k: Any, x: Any, indices: Sequence[Any], at: Sequence[Size]) -> list[Size]:
        return [
            checked_place(k, index.load(*at), x.shape[axis], self.wrap, self.message(axis))
            for axis, index in zip(self.picked, indices, strict=True)
        ]

    def message(self, axis: int) -> str:
        return f"{self.name}: an index is out of range for axis {axis}"

    def picked_view(self, x: Any) -> Any:
        """A NumPy view of x with the picked axes first, then the kept ones."""
        starts = [0 if start is None else start for start in self.starts]
        sizes = [x.shape[a] if start is None else self.sizes[a] for a, start in enumerate(self.starts)]
        view = x[slice_key(starts, self.steps, sizes)]
        left = [a for a in range(x.ndim) if self.starts[a] is None or self.sizes[a] is not None]
        return np.moveaxis(view, [left.index(a) for a in self.picked], range(len(self.picked)))

    def numpy_index(self, x: Any, indices: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(wrapped(i, x.shape[a], self.wrap, self.message(a)) for a, i in zip(self.picked, indices, strict=True))


@register
class Take(Selection):
    """Elements of x at index arrays, in NumPy's advanced indexing and `take`."""

    name = "take"

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(inputs[0].dtype, self.selected(inputs[0], inputs[1:]))

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (x, *indices), (out,) = ins, outs
        first, last = self.position, self.position + len(indices[0].shape)
        with contextlib.ExitStack() as loops:
            before = open_loops(k, loops, "i", out.shape[:first])
            at = open_loops(k, loops, "j", out.shape[first:last])
            places = self.places(k, x, indices, at)
            after = open_loops(k, loops, "l", out.shape[last:])
            out.store((*before, *at, *after), x.load(*self.source((*before, *after), places)))

    def reference(self, *arrays: Any) -> Any:
        x, *indices = arrays
        taken = self.picked_view(x)[self.numpy_index(x, indices)]
        rank = indices[0].ndim
        return np.moveaxis(taken, range(rank), range(self.position, self.position + rank))

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x, *indices), (g,) = inputs, grads
        none = [None] * len(indices)
        return (None if g is None else Scatter(*self.fields, True)(zeros_like(x, g.dtype), g, *indices), *none)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        rows = In(("k",), "int32", -3, 2)
        yield Sample(lambda x, i: take(x, i, 0), (In((3, "n"), "any"), rows), name="rows")
        yield Sample(lambda x, i: take(x, i, 1), (In(("m", 3, "n")), In(("k", "l"), "int64", -3, 2)), name="middle axis")
        yield Sample(lambda x, i: take(x, i, -1), (In(("m", 4)), In((), "uint8", 0, 3)), name="one")


@register
class Scatter(Selection):
    """x with `y` written, or added, where Take would read."""

    name = "scatter"
    accumulate: bool

    @staticmethod
    def along(axis: int, shape: Shape, accumulate: bool) -> Scatter:
        """The scatter of whole slices by one index array along `axis` of an array of `shape`."""
        return Scatter(*along(axis, shape), True, accumulate)

    def infer(self, *inputs: TensorType) -> TensorType:
        x, y, *indices = inputs
        wanted = self.selected(x, indices)
        if len(wanted) != len(y.known_shape):
            raise ShapeError(f"a selection of shape {show_shape(wanted)} does not take {show_shape(y.known_shape)}")
        for have, want in zip(y.known_shape, wanted, strict=True):
            require_equal(have, want, f"a selection of shape {show_shape(wanted)} does not take {show_shape(y.known_shape)}; sizes")
        return x

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (x, y, *indices), (out,) = ins, outs
        first, last = self.position, self.position + len(indices[0].shape)
        copy_array(k, x, out)
        with contextlib.ExitStack() as loops:
            at = open_loops(k, loops, "j", y.shape[first:last], sequential=True)
            places = self.places(k, x, indices, at)
            before = open_loops(k, loops, "i", y.shape[:first])
            after = open_loops(k, loops, "l", y.shape[last:])
            to = self.source((*before, *after), places)
            value = y.load(*before, *at, *after)
            out.store(to, combine(out.load(*to), value) if self.accumulate else value)

    def reference(self, *arrays: Any) -> Any:
        x, y, *indices = arrays
        out, rank = np.array(x), indices[0].ndim
        view, key = self.picked_view(out), self.numpy_index(x, indices)
        values = np.moveaxis(y, range(self.position, self.position + rank), range(rank))
        if self.accumulate:
            np.add.at(view, key, values)
        else:
            view[key] = values
        return out

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x, y, *indices), (g,) = inputs, grads
        none = [None] * len(indices)
        if g is None:
            return None, None, *none
        gather = Take(*self.fields)
        if self.accumulate:
            return g, gather(g, *indices), *none
        kept = last_writers(self, x, y, indices, gather)
        return self(g, zeros_like(y, g.dtype), *indices), where(kept, gather(g, *indices), 0), *none

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        rows = In(("k",), "int32", -3, 2)
        for accumulate in (True, False):
            yield Sample(
                lambda x, y, i, accumulate=accumulate: Scatter.along(0, x.shape, accumulate)(x, y, i),
                (In((3, "n"), "any"), In(("k", "n"), "any"), rows),
                name="add" if accumulate else "set",
            )
        yield Sample(lambda x, y, i: Scatter.along(1, x.shape, True)(x, y, i), (In(("m", 3)), In(("m", "k")), rows), name="columns")


def along(axis: int, shape: Shape) -> tuple[Sizes, tuple[int, ...], Sizes, int]:
    """The selection of whole slices of an array of `shape` by one index array along `axis`."""
    starts = tuple(None if a == axis else 0 for a in range(len(shape)))
    sizes = tuple(None if a == axis else s for a, s in enumerate(shape))
    return starts, (1,) * len(shape), sizes, axis


# --- functions -----------------------------------------------------------------------------------
@public
def take(x: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Variable:
    """The slices of x at `indices` along `axis` (of the flattened x by default), as numpy.take.

    The axes of `indices` replace the axis.  `mode`: 'raise' fails the run for an index out of
    range, 'wrap' takes it modulo the size, 'clip' takes the nearest.
    """
    x, index = as_variable(x), as_index(indices)
    if axis is None:
        x, axis = ravel(x), 0
    (axis,) = normalize_axes(axis, x.ndim)
    n = x.shape[axis]
    if mode == "wrap":
        index = mod(index, n)
    elif mode == "clip":
        index = minimum(maximum(index, 0), n - 1)
    elif mode != "raise":
        raise ShapeError(f"take: there is no mode {mode!r}", hint="use raise, wrap or clip")
    check_constant(index, n, axis)
    result: Variable = Take(*along(axis, x.shape), True)(x, index)
    return result


@public
def gather(x: Any, indices: Any, axis: int = 0) -> Variable:
    """The slices of x at `indices` along `axis`, as tf.gather: a negative index fails the run."""
    x, index = as_variable(x), as_index(indices)
    (axis,) = normalize_axes(axis, x.ndim)
    result: Variable = Take(*along(axis, x.shape), False)(x, index)
    return result


def _scatter_rows(x: Any, indices: Any, updates: Any, accumulate: bool) -> Variable:
    x, index = as_variable(x), as_index(indices)
    (y,) = coerce(updates, to=x.dtype)
    op = Scatter(*along(0, x.shape), False, accumulate)
    result: Variable = op(x, broadcast_to(y, op.selected(x.type, [index.type])), index)
    return result


@public
def scatter_add(x: Any, indices: Any, updates: Any) -> Variable:
    """x with `updates[i]` added to the row `indices[i]`; repeated rows add up.  A negative index fails the run."""
    return _scatter_rows(x, indices, updates, accumulate=True)


@public
def scatter_update(x: Any, indices: Any, updates: Any) -> Variable:
    """x with the row `indices[i]` replaced by `updates[i]`; of repeated rows the last wins."""
    return _scatter_rows(x, indices, updates, accumulate=False)
