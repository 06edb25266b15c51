"""Places in sorted sequences: searchsorted, digitize, and membership (isin).

NaN is larger than every number, as in `sort`.  A binary search takes the same steps for all values, so it runs
in vectors: a number of steps that grows with the logarithm of the sequence, whatever is looked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, minimum, product
from graphflow.graph.errors import ShapeError
from graphflow.graph.op import In, NestOp, Sample, Value, register, require_equal
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Constant, Variable, as_variable
from graphflow.ops.elementwise import subtract
from graphflow.ops.gathering import take
from graphflow.ops.joining import pad
from graphflow.ops.logic import equal, less, logical_and, logical_not
from graphflow.ops.ordering import INT64, levels_of
from graphflow.ops.promotion import coerce
from graphflow.ops.public import public
from graphflow.ops.reduction import any_
from graphflow.ops.shape import broadcast_to, expand_dims, ravel, reshape
from graphflow.ops.slicing import flip
from graphflow.ops.sorting import sort

Grads = Sequence[Variable | None]
CHUNK = 512  # values that go through the steps together
FEW = 16  # elements that each value is compared with directly


def goes_before(x: Value, y: Value) -> Value:
    """Is x less, NaN being the largest?"""
    return (x < y) | (x.eq(x) & y.ne(y)) if x.dtype.kind == "f" else x < y


@register
class SearchSorted(NestOp):
    """For each value in a row of a matrix the number of elements that go before it in the same, sorted, row of another.

    With `right`, elements equal to the value count as well.  Besides the result it has a copy of the values.
    """

    name = "searchsorted"
    cost = 20
    right: bool

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        (rows, _), (others, m) = (t.known_shape for t in inputs)
        require_equal(rows, others, "searchsorted: sequences and values have different numbers of rows")
        return TensorType(INT64, (rows, m)), TensorType(inputs[1].dtype, (rows, m))

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (a, v), (found, values) = ins, outs
        (rows, n), m = a.shape, v.shape[1]
        with contextlib.ExitStack() as loops:  # of one sequence the chunks are what threads share
            row = 0 if rows == 1 else loops.enter_context(k.loop("r", rows))
            first = loops.enter_context(k.loop("c", (m + (CHUNK - 1)) // CHUNK)) * CHUNK
            count = minimum(m - first, CHUNK)
            with k.loop("q", count) as q:
                values.store((row, first + q), v.load(row, first + q))
                found.store((row, first + q), k.const(INT64, 0))
            levels = levels_of(k, n + 1)
            with k.loop("s", levels, sequential=True) as s:
                step = k.let(k.const(INT64, 1) << (k.value(levels - 1 - s)))
                with k.loop("q", count) as q:
                    self.halve(k, a, row, values, found, first + q, step)

    def halve(self, k: Any, a: Any, row: Size, values: Any, found: Any, at: Size, step: Value) -> None:
        """`step` more elements go before the value if the last of them does."""
        n = a.shape[1]
        before = k.let(found.load(row, at))
        after = k.let(before + step)
        element = k.let(a.load(row, k.position(k.call("min", after, k.value(n)) - 1, n, "a place")))
        value = k.let(values.load(row, at))
        goes = ~goes_before(value, element) if self.right else goes_before(element, value)
        found.store((row, at), k.select((after <= k.value(n)) & goes, after, before))

    def reference(self, *arrays: Any) -> Any:
        a, v = arrays
        found = np.zeros(v.shape, INT64)
        for row in range(len(a)):
            found[row] = np.searchsorted(a[row], v[row], "right" if self.right else "left")
        return found, v

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return None, None

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for side in ("left", "right"):
            pair = (In(("n",), "any", -4, 4), In(("m",), "any", -4, 4))
            yield Sample(lambda a, v, side=side: searchsorted(sort(a), v, side), pair, grad=False, name=side)
        rows = (In(("a", "n"), "number", -4, 4), In(("a", "m"), "number", -4, 4))
        yield Sample(lambda a, v: searchsorted(sort(a), v), rows, grad=False, name="rows")
        yield Sample(lambda a, v: isin(a, v), (In(("m", "n"), "number", -4, 4), In(("k",), "number", -4, 4)), grad=False, name="isin")


@public
def searchsorted(a: Any, v: Any, side: str = "left") -> Variable:
    """Where values have to be inserted into a sorted sequence to keep it sorted: places as int64, of v's shape.

    side 'left': before equal elements, 'right': after.  a is a vector, as in NumPy, or has sequences in its
    last axis and v the same sizes in the others, as tf.searchsorted.  Raises ShapeError for other shapes.
    """
    if side not in ("left", "right"):
        raise ShapeError(f"searchsorted: there is no side {side!r}", hint="use left or right")
    a, v = coerce(a, v)
    op = SearchSorted(side == "right")
    if a.ndim == 1:
        return reshape(op(expand_dims(a, 0), reshape(v, (1, v.size)))[0], v.shape)
    if a.ndim == 0 or a.ndim != v.ndim:
        raise ShapeError(f"searchsorted: {a!r} and {v!r} do not fit", hint="a is a vector, or all axes but the last are the same")
    lead = tuple(require_equal(s, t, "searchsorted: leading axes differ") for s, t in zip(a.shape[:-1], v.shape[:-1], strict=True))
    rows = [reshape(x, (product(lead), x.shape[-1])) for x in (a, v)]
    return reshape(op(*rows)[0], v.shape)


@public
def digitize(x: Any, bins: Any, right: bool = False) -> Variable:
    """The bin of each element: i where `bins[i - 1] <= x < bins[i]`; with `right` `bins[i - 1] < x <= bins[i]`.

    bins is a vector that increases; a constant one may also decrease, as in numpy.digitize.
    Raises ShapeError for bins that are no vector, or constant and not monotonic.
    """
    bins = as_variable(bins)
    if bins.ndim != 1:
        raise ShapeError(f"digitize: {bins!r} is not a vector")
    side = "left" if right else "right"
    if isinstance(bins, Constant):
        rises, falls = (bins.value[:-1] <= bins.value[1:]).all(), (bins.value[:-1] >= bins.value[1:]).all()
        if not rises and not falls:
            raise ShapeError("digitize: the bins neither increase nor decrease", hint="sort them first")
        if not rises:
            return subtract(bins.shape[0], searchsorted(flip(bins), x, side))
    return searchsorted(bins, x, side)


@public
def isin(element: Any, test_elements: Any, invert: bool = False) -> Variable:
    """For each element whether it is one of `test_elements`; `invert`: whether it is none.  NaN is none."""
    x, tests = coerce(element, test_elements)
    tests = ravel(tests)
    n = tests.shape[0]
    if isinstance(n, int) and n <= FEW:
        found = any_(equal(expand_dims(x, -1), broadcast_to(tests, (*(1,) * x.ndim, n))), axis=-1)
    else:
        tests = sort(tests)
        places = searchsorted(tests, x)
        found = logical_and(less(places, n), equal(take(pad(tests, (0, 1)), places), x))
    return logical_not(found) if invert else found
