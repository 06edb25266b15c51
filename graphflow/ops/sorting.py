"""Sorting and what is made of the order of elements: sort, argsort, top_k, lexsort, in_top_k.

All are stable and deterministic: where elements tie, the one that comes first goes first, ascending and
descending.  NaN is the largest element, last in ascending order as in NumPy and first in descending order.
The op finds places; values are gathered at them, so gradients are those of `take_along_axis`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, maximum, minimum, product
from graphflow.graph.errors import ShapeError
from graphflow.graph.op import In, NestOp, Sample, register, require_equal
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.along_axis import TakeAlong, take_along_axis
from graphflow.ops.creation import iota, known_size, zeros
from graphflow.ops.elementwise import add, cast, multiply
from graphflow.ops.gathering import as_index, scatter_update
from graphflow.ops.joining import pad
from graphflow.ops.logic import greater, isfinite, less, logical_and
from graphflow.ops.ordering import (
    INT64,
    LANES,
    LAST,
    WORD,
    Records,
    blocks_of,
    inserted,
    order_rows,
    place_of,
    record,
    words_of,
    work_types,
)
from graphflow.ops.public import public
from graphflow.ops.reduction import normalize_axes, sum_
from graphflow.ops.shape import expand_dims, moveaxis, ravel, reshape, squeeze

Grads = Sequence[Variable | None]
LONG_PART = 64  # elements that make a part of a row worth a lane of its own
SELECTED = 16  # the most elements of a row that are selected by comparing all with all of them


@register
class ArgSort(NestOp):
    """The places of the elements of each row of a matrix, in their order; also the memory it works in."""

    name = "argsort"
    cost = 40
    descending: bool

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        return TensorType(INT64, inputs[0].known_shape), *work_types(inputs[0])

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (x,), (order, *work) = ins, outs
        order_rows(k, x, order, work, self.descending)

    def reference(self, *arrays: Any) -> Any:
        return _stable_order(arrays[0], self.descending), *_zeros(work_types(TensorType(arrays[0].dtype, arrays[0].shape)))

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None,)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for axis, name in ((-1, "rows"), (0, "columns"), (None, "all")):
            x = In(("m", "n"), "any", -9, 9)
            yield Sample(lambda x, axis=axis: argsort(x, axis), (x,), grad=False, name=name)
            yield Sample(lambda x, axis=axis: argsort(x, axis, descending=True), (x,), grad=False, name=f"{name} descending")
            yield Sample(lambda x, axis=axis: sort(x, axis), (x,), name=f"sort {name}")
        yield Sample(lambda x: sort(x, 1, descending=True), (In(("a", "n", "c"), "int"),), grad=False, name="middle axis")
        yield Sample(lambda x: sort(x, descending=True), (In(("n",)),), name="vector")


@register
class ArgTopK(NestOp):
    """The places of the `count` first elements of each row in descending order, for few of them; also its memory.

    Each element in turn takes its place in a list that is kept in order: LANES rows at a time.
    """

    name = "argtopk"
    cost = 40
    count: int

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        rows, n = inputs[0].known_shape
        _require_elements(self.count, n)
        lists = TensorType(WORD, (blocks_of(rows), self.count, LANES))
        return TensorType(INT64, (rows, self.count)), *[lists] * words_of(inputs[0].dtype)

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (x,), (order, *work) = ins, outs
        rows, n = x.shape
        with k.loop("b", blocks_of(rows)) as b:
            best = Records(k, work, b)
            with k.loop("j", self.count) as j, k.loop("l", LANES) as lane:
                best.store((j, lane), [k.const(WORD, LAST)] * len(work))
            with k.loop("i", n, sequential=True) as i, k.loop("l", LANES) as lane:
                new = record(k, x.load(minimum(b * LANES + lane, rows - 1), i), i, descending=True)
                old = [best.load(j, lane) for j in range(self.count)]
                for j, words in enumerate(inserted(k, new, old)):
                    best.store((j, lane), words)
            with k.loop("l", minimum(rows - b * LANES, LANES), sequential=True) as lane, k.loop("j", self.count) as j:
                order.store((b * LANES + lane, j), place_of(k, best.load(j, lane)))

    def reference(self, *arrays: Any) -> Any:
        (x,) = arrays
        types = self.infer(TensorType(x.dtype, x.shape))
        return _stable_order(x, descending=True)[:, : self.count], *_zeros(types[1:])

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None,)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for k in (1, 3):
            yield Sample(lambda x, k=k: top_k(x, k)[0], (In(("m", 5), "any", -9, 9),), name=f"k={k}")
        yield Sample(lambda x: top_k(x, 2, axis=0)[1], (In((5, "a", "c"), "number", -3, 3),), grad=False, name="places on the first axis")
        yield Sample(lambda x: top_k(x, SELECTED + 1)[0], (In(("m", SELECTED + 4), "number", -99, 99),), name="many")
        yield Sample(lambda x: top_k(x, x.shape[0])[0], (In(("n",)),), name="all")
        yield Sample(lambda x: top_k(x, 3)[0], (In((2, 517), "number", -99, 99),), name="two long rows")


def _stable_order(x: Any, descending: bool) -> Any:
    """The stable order of the rows of a matrix by NumPy."""
    if not descending:
        return np.argsort(x, axis=1, kind="stable")
    return x.shape[1] - 1 - np.argsort(x[:, ::-1], axis=1, kind="stable")[:, ::-1]


def _zeros(types: Sequence[TensorType]) -> list[Any]:
    return [np.zeros(t.known_shape, t.dtype) for t in types]


def _require_elements(count: Size, n: Size) -> None:
    """ShapeError for more elements than there are; run-time sizes are checked when run."""
    if isinstance(count, int) and count < 0:
        raise ShapeError(f"top_k: {count} elements are asked for", hint="k is at least 0")
    if isinstance(count, int) and isinstance(n, int) and count > n:
        raise ShapeError(f"top_k: {count} elements are asked for and there are {n}", hint="k is at most the size of the axis")
    require_equal(maximum(count, n), n, "top_k: the size of the axis and the larger of it and k differ")


# --- functions -----------------------------------------------------------------------------------
def as_rows(x: Variable, axis: int) -> tuple[Variable, Callable[[Variable], Variable]]:
    """x as a matrix whose rows run along `axis`, and what turns rows of results back."""
    (axis,) = normalize_axes(axis, x.ndim)
    if x.ndim == 1:
        return expand_dims(x, 0), lambda rows: squeeze(rows, 0)
    moved = moveaxis(x, axis, -1)
    lead = moved.shape[:-1]
    matrix = reshape(moved, (product(lead), moved.shape[-1]))
    return matrix, lambda rows: moveaxis(reshape(rows, (*lead, rows.shape[1])), -1, axis)


@public
def argsort(x: Any, axis: int | None = -1, descending: bool = False) -> Variable:
    """The places of the elements along `axis` (None: of the flattened x) in ascending order, as int64; stable.

    NaN is the largest.  Raises ShapeError for an axis out of range.
    """
    x = as_variable(x)
    rows, back = as_rows(ravel(x), 0) if axis is None else as_rows(x, axis)
    return back(ArgSort(bool(descending))(rows)[0])


@public
def sort(x: Any, axis: int | None = -1, descending: bool = False) -> Variable:
    """The elements along `axis` (None: of the flattened x) in ascending order; stable, NaN is the largest.

    The gradient goes back to where each element came from.  Raises ShapeError for an axis out of range.
    """
    x = as_variable(x)
    rows, back = as_rows(ravel(x), 0) if axis is None else as_rows(x, axis)
    return back(_gather(rows, ArgSort(bool(descending))(rows)[0]))


def _gather(rows: Variable, places: Variable) -> Variable:
    result: Variable = TakeAlong(1, False, "place")(rows, places)
    return result


@public
def top_k(x: Any, k: Any = 1, axis: int = -1) -> tuple[Variable, Variable]:
    """The k largest elements along `axis` in descending order and their places (int64), as tf.nn.top_k.

    k is an int or a Dim.  Of equal elements the one that comes first counts as larger; NaN is the largest.
    Raises ShapeError for k larger than the axis; run-time sizes are checked when run.
    """
    x, count = as_variable(x), known_size(k, "top_k: k")
    rows, back = as_rows(x, axis)
    if isinstance(count, int) and count <= SELECTED:
        places = _selected(rows, count)
    else:
        _require_elements(count, rows.shape[1])
        places = ArgSort(True)(rows)[0][:, :count]
    return back(_gather(rows, places)), back(places)


def _selected(rows: Variable, count: int) -> Variable:
    """The places of the `count` largest elements of each row.

    Few long rows are cut into as many parts as there are lanes; what is selected from the parts of a row
    stands in the order of its places, so ties are still decided by them.
    """
    height, n = rows.shape
    parts = LANES // max(height, 1) if isinstance(height, int) else 1
    if parts < 2 or not isinstance(n, int) or n < parts * max(LONG_PART, count):
        places: Variable = ArgTopK(count)(rows)[0]
        return places
    size = -(-n // parts)
    low = -np.inf if rows.dtype.kind == "f" else False if rows.dtype.kind == "b" else np.iinfo(rows.dtype).min
    cut = reshape(pad(rows, [(0, 0), (0, parts * size - n)], constant_values=low), (height, parts, size))
    found = reshape(ArgTopK(count)(reshape(cut, (height * parts, size)))[0], (height, parts, count))
    candidates = reshape(add(found, multiply(iota((parts, 1)), size)), (height, parts * count))
    return _gather(candidates, ArgTopK(count)(_gather(rows, candidates))[0])


@public
def lexsort(keys: Any, axis: int = -1) -> Variable:
    """The order by several keys, the last one first: places along `axis`, as numpy.lexsort.

    `keys`: a sequence of tensors of one shape, or a tensor whose first axis runs over them.
    """
    listed = list(keys) if isinstance(keys, list | tuple) else [keys[i] for i in range(keys.shape[0])]
    if not listed:
        raise ShapeError("lexsort: there are no keys")
    order = argsort(listed[0], axis)
    for key in listed[1:]:
        order = take_along_axis(order, argsort(take_along_axis(key, order, axis), axis), axis)
    return order


@public
def invert_permutation(x: Any) -> Variable:
    """y with `y[x[i]] = i`, for a vector x that has each of 0 .. n - 1 once."""
    x = as_index(x)
    if x.ndim != 1:
        raise ShapeError(f"invert_permutation: {x!r} is not a vector")
    places = iota(x.shape, 0, x.dtype)
    return scatter_update(zeros(x.shape, x.dtype), x, places)


@public
def in_top_k(predictions: Any, targets: Any, k: int) -> Variable:
    """For each row of `predictions` whether its element at `targets` is among the k largest, as tf.nn.in_top_k.

    Elements equal to the k-th largest count as among them; a row with a target that is not finite is not in.
    """
    predictions, targets = as_variable(predictions), as_index(targets)
    score = take_along_axis(predictions, expand_dims(targets, -1), -1)
    above = sum_(cast(greater(predictions, score), "int64"), axis=-1)
    return logical_and(less(above, k), isfinite(squeeze(score, -1)))
