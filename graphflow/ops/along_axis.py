"""Gathers and scatters along one axis with an index for every element: take_along_axis, put_along_axis."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import ShapeError
from graphflow.graph.op import In, NestOp, Sample, broadcast_shapes, register, require_equal
from graphflow.graph.types import Shape, TensorType
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.creation import zeros_like
from graphflow.ops.elementwise import where
from graphflow.ops.gathering import as_index, checked_place, combine, copy_array, last_writers, open_loops, wrapped
from graphflow.ops.promotion import coerce
from graphflow.ops.public import public
from graphflow.ops.reduction import normalize_axes
from graphflow.ops.shape import broadcast_to, ravel, show_shape

Grads = Sequence[Variable | None]


@register
class TakeAlong(NestOp):
    """`out[i, j] = x[i, indices[i, j]]` (for axis 1): the other axes of both are the same."""

    name = "take_along_axis"
    axis: int
    wrap: bool
    what: str

    def infer(self, *inputs: TensorType) -> TensorType:
        x, indices = inputs
        _require_same_lines(x.known_shape, indices.known_shape, self.axis)
        return TensorType(x.dtype, indices.known_shape)

    @property
    def message(self) -> str:
        return f"{self.what} out of range for axis {self.axis}"

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (x, indices), (out,), a = ins, outs, self.axis
        with contextlib.ExitStack() as loops:
            ix = open_loops(k, loops, "i", out.shape)
            place = checked_place(k, indices.load(*ix), x.shape[a], self.wrap, self.message)
            out.store(tuple(ix), x.load(*ix[:a], place, *ix[a + 1 :]))

    def reference(self, *arrays: Any) -> Any:
        x, indices = arrays
        return np.take_along_axis(x, wrapped(indices, x.shape[self.axis], self.wrap, self.message), self.axis)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x, indices), (g,) = inputs, grads
        scatter = ScatterAlong(self.axis, self.wrap, self.what, True)
        return (None if g is None else scatter(zeros_like(x, g.dtype), g, indices), None)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x, i: take_along_axis(x, i, -1), (In(("m", 3), "any"), In(("m", "k"), "int32", -3, 2)), name="last")
        yield Sample(lambda x, i: take_along_axis(x, i, 0), (In((3, "n")), In(("k", "n"), "int64", -3, 2)), name="first")


@register
class ScatterAlong(NestOp):
    """x with `y` written, or added, where TakeAlong would read."""

    name = "put_along_axis"
    axis: int
    wrap: bool
    what: str
    accumulate: bool

    def infer(self, *inputs: TensorType) -> TensorType:
        x, y, indices = inputs
        _require_same_lines(x.known_shape, indices.known_shape, self.axis)
        for have, want in zip(y.known_shape, indices.known_shape, strict=True):
            require_equal(have, want, "values and indices have different sizes")
        return x

    @property
    def message(self) -> str:
        return f"{self.what} out of range for axis {self.axis}"

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (x, y, indices), (out,), a = ins, outs, self.axis
        copy_array(k, x, out)
        with contextlib.ExitStack() as loops:
            before = open_loops(k, loops, "i", y.shape[:a])
            after = open_loops(k, loops, "l", y.shape[a + 1 :])
            (j,) = open_loops(k, loops, "j", y.shape[a : a + 1], sequential=True)
            at = (*before, j, *after)
            to = (*before, checked_place(k, indices.load(*at), x.shape[a], self.wrap, self.message), *after)
            out.store(to, combine(out.load(*to), y.load(*at)) if self.accumulate else y.load(*at))

    def reference(self, *arrays: Any) -> Any:
        x, y, indices = arrays
        out = np.array(x)
        key = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
        key[self.axis] = wrapped(indices, x.shape[self.axis], self.wrap, self.message)
        if self.accumulate:
            np.add.at(out, tuple(key), y)
        else:
            out[tuple(key)] = y
        return out

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x, y, indices), (g,) = inputs, grads
        if g is None:
            return None, None, None
        gather = TakeAlong(self.axis, self.wrap, self.what)
        if self.accumulate:
            return g, gather(g, indices), None
        kept = last_writers(self, x, y, (indices,), gather)
        return self(g, zeros_like(y, g.dtype), indices), where(kept, gather(g, indices), 0), None

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        inputs = (In(("m", 3), "any"), In(("m", "k"), "any"), In(("m", "k"), "int32", -3, 2))
        for accumulate in (True, False):
            yield Sample(
                lambda x, y, i, accumulate=accumulate: ScatterAlong(1, True, "index", accumulate)(x, y, i),
                inputs,
                name="add" if accumulate else "set",
            )


def _require_same_lines(x: Shape, indices: Shape, axis: int) -> None:
    if len(x) != len(indices):
        raise ShapeError(f"x of shape {show_shape(x)} and indices of shape {show_shape(indices)} have different ranks")
    for a, (have, want) in enumerate(zip(x, indices, strict=True)):
        if a != axis:
            require_equal(have, want, f"x of shape {show_shape(x)} and indices of shape {show_shape(indices)} differ in axis {a}")


@public
def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Variable:
    """For each line of x along `axis` the elements at that line's own indices, as numpy.take_along_axis."""
    x, index = as_variable(x), as_index(indices)
    if axis is None:
        x, axis = ravel(x), 0
    x, index, axis = _same_lines(x, index, axis)
    result: Variable = TakeAlong(axis, True, "index")(x, index)
    return result


@public
def put_along_axis(x: Any, indices: Any, values: Any, axis: int, accumulate: bool = False) -> Variable:
    """x with `values` at each line's own indices along `axis`; repeated ones add up if `accumulate`, else the last wins."""
    x = as_variable(x)
    x, index, axis = _same_lines(x, as_index(indices), axis)
    (y,) = coerce(values, to=x.dtype)
    result: Variable = ScatterAlong(axis, True, "index", accumulate)(x, broadcast_to(y, index.shape), index)
    return result


def _same_lines(x: Variable, index: Variable, axis: int) -> tuple[Variable, Variable, int]:
    """x and indices broadcast against each other in every axis but one."""
    if x.ndim != index.ndim:
        raise ShapeError(f"x has rank {x.ndim} and the indices rank {index.ndim}", hint="see gf.expand_dims")
    (axis,) = normalize_axes(axis, x.ndim)
    before = broadcast_shapes([x.shape[:axis], index.shape[:axis]])
    after = broadcast_shapes([x.shape[axis + 1 :], index.shape[axis + 1 :]])
    return broadcast_to(x, (*before, x.shape[axis], *after)), broadcast_to(index, (*before, index.shape[axis], *after)), axis
