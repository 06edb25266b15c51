"""Sums, products and extremes of segments: rows with the same id are combined.

A float sum adds the rows of a segment in their order; columns run in parallel, each by one thread, so results do not
depend on the number of threads.  Rows with a negative id are left out; one beyond the last segment fails the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from graphflow.graph.dim import Size, minimum, product
from graphflow.graph.errors import CheckError, GraphError, ShapeError
from graphflow.graph.op import In, NestOp, Sample, Value, register, require_equal
from graphflow.graph.types import DType, TensorType
from graphflow.graph.variable import Constant, Variable, as_variable
from graphflow.ops.creation import known_size, ones_like
from graphflow.ops.elementwise import cast, divide, maximum, multiply, sqrt, where
from graphflow.ops.gathering import as_index, take
from graphflow.ops.logic import equal, greater_equal, logical_and
from graphflow.ops.ordering import INT64
from graphflow.ops.promotion import quotient
from graphflow.ops.public import PUBLIC, public
from graphflow.ops.shape import expand_dims, reshape, show_shape

Grads = Sequence[Variable | None]
COLUMNS = 64  # that a thread takes together


# --- folds -------------------------------------------------------------------------------------------
@dataclass(frozen=True, repr=False)
class SegmentFold(NestOp):
    """The rows of a matrix that have the same id, combined: a row for each of `segments` ids."""

    segments: Size
    ufunc: ClassVar[np.ufunc]

    def infer(self, *inputs: TensorType) -> TensorType:
        (n, m), (count,) = (t.known_shape for t in inputs)
        require_equal(n, count, f"{self.name}: there must be an id for each row")
        return TensorType(inputs[0].dtype, (self.segments, m))

    def identity(self, dtype: DType) -> Any:
        """What a segment without rows is."""
        raise NotImplementedError

    def combine(self, k: Any, before: Value, x: Value) -> Value:
        raise NotImplementedError

    @property
    def message(self) -> str:
        return f"{self.name}: an id is not less than the number of segments"

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (x, ids), (out,) = ins, outs
        n, m = x.shape
        with k.loop("b", (m + (COLUMNS - 1)) // COLUMNS) as b:
            first = b * COLUMNS
            width = minimum(m - first, COLUMNS)
            with k.loop("s", self.segments) as s, k.loop("j", width) as j:
                out.store((s, first + j), k.const(out.dtype, self.identity(out.dtype)))
            with k.loop("i", n, sequential=True) as i:
                segment = k.let(k.cast(INT64, ids.load(i)))
                with k.mask(segment >= 0):
                    to = k.position(segment, self.segments, self.message)
                    with k.loop("j", width) as j:
                        at = (to, first + j)
                        out.store(at, self.combine(k, out.load(*at), x.load(i, first + j)))

    def reference(self, *arrays: Any) -> Any:
        x, ids = arrays
        if (ids >= self.segments).any():
            raise CheckError(self.message)
        out = np.full((self.segments, x.shape[1]), self.identity(x.dtype), x.dtype)
        with np.errstate(all="ignore"):
            self.ufunc.at(out, ids[ids >= 0], x[ids >= 0])
        return out

    def cotangent(self, g: Variable, x: Variable, ids: Variable, y: Variable) -> Variable:
        raise NotImplementedError

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x, ids), (y,), (g,) = inputs, outputs, grads
        return (None if g is None or x.dtype.kind != "f" else self.cotangent(g, x, ids, y)), None

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        fn, ids = PUBLIC[cls.name], In(("n",), "int32", -1, 3)
        yield Sample(lambda x, i: fn(x, i, 4), (In(("n", "m"), "number"), ids), name="rows")
        yield Sample(lambda x, i: fn(x, i, 3), (In(("a", "b")), In(("a", "b"), "int64", 0, 2)), name="elements")
        sized = (In(("n", "m", 2)), In(("n",), "int32", 0, 0), In(("k",)))
        yield Sample(lambda x, i, y: fn(x, i, y.shape[0] + 1), sized, name="dynamic number")
        empty = PUBLIC[f"unsorted_{cls.name}"]
        yield Sample(lambda x, i: empty(x, i, 9), (In(("n", "m"), "number"), ids), grad=False, name="empty segments")


def rows_at(table: Variable, ids: Variable) -> Variable:
    """The row of `table` for each id; zeros for a negative one."""
    found = take(table, maximum(ids, 0), 0)
    return where(expand_dims(greater_equal(ids, 0), -1), found, 0)


@register
class SegmentSum(SegmentFold):
    name = "segment_sum"
    ufunc = np.add

    def identity(self, dtype: DType) -> Any:
        return 0

    def combine(self, k: Any, before: Value, x: Value) -> Value:
        return before + x

    def cotangent(self, g: Variable, x: Variable, ids: Variable, y: Variable) -> Variable:
        return rows_at(g, ids)


@register
class SegmentProd(SegmentFold):
    """The gradient is right where elements are 0; the gradient of the gradient is not."""

    name = "segment_prod"
    ufunc = np.multiply

    def identity(self, dtype: DType) -> Any:
        return 1

    def combine(self, k: Any, before: Value, x: Value) -> Value:
        return before * x

    def cotangent(self, g: Variable, x: Variable, ids: Variable, y: Variable) -> Variable:
        zero = equal(x, 0)
        nonzero = where(zero, 1, x)
        zeros = rows_at(SegmentSum(self.segments)(cast(zero, x.dtype), ids), ids)
        others = divide(rows_at(self(nonzero, ids), ids), nonzero)
        return multiply(rows_at(g, ids), where(equal(zeros, cast(zero, x.dtype)), others, 0))


class SegmentExtremum(SegmentFold):
    """The gradient is shared equally among the elements that attain the extreme."""

    def cotangent(self, g: Variable, x: Variable, ids: Variable, y: Variable) -> Variable:
        attained = logical_and(equal(x, rows_at(y, ids)), expand_dims(greater_equal(ids, 0), -1))
        count = SegmentSum(self.segments)(cast(attained, x.dtype), ids)
        return where(attained, rows_at(divide(g, maximum(count, 1)), ids), 0)


def _limits(dtype: DType) -> tuple[Any, Any]:
    if dtype.kind == "f":
        return -np.inf, np.inf
    return (False, True) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)


@register
class SegmentMax(SegmentExtremum):
    name = "segment_max"
    ufunc = np.maximum

    def identity(self, dtype: DType) -> Any:
        return _limits(dtype)[0]

    def combine(self, k: Any, before: Value, x: Value) -> Value:
        return k.call("max", before, x)


@register
class SegmentMin(SegmentExtremum):
    name = "segment_min"
    ufunc = np.minimum

    def identity(self, dtype: DType) -> Any:
        return _limits(dtype)[1]

    def combine(self, k: Any, before: Value, x: Value) -> Value:
        return k.call("min", before, x)


# --- functions ---------------------------------------------------------------------------------------
def _number(ids: Variable, num_segments: Any, what: str) -> Size:
    """The number of segments: as given, or what constant ids say."""
    if num_segments is not None:
        return known_size(num_segments, f"{what}: num_segments")
    if isinstance(ids, Constant):
        return int(ids.value.max(initial=-1)) + 1
    raise GraphError(
        f"{what}: the number of segments depends on the ids, which are known only at run time", hint="give num_segments, an int or a Dim"
    )


def _fold(op: type[SegmentFold], data: Variable, ids: Variable, count: Size) -> Variable:
    """`op` over the leading axes of data, which the ids have."""
    lead = data.shape[: ids.ndim]
    if len(lead) != ids.ndim:
        raise ShapeError(f"{op.name}: ids of shape {show_shape(ids.shape)} for data of shape {show_shape(data.shape)}")
    for have, want in zip(lead, ids.shape, strict=True):
        require_equal(have, want, f"{op.name}: the leading axes of data are those of the ids; sizes")
    rest = data.shape[ids.ndim :]
    result: Variable = op(count)(reshape(data, (product(lead), product(rest))), reshape(ids, (product(ids.shape),)))
    return reshape(result, (count, *rest))


def _counts(data: Variable, ids: Variable, count: Size) -> Variable:
    """How many rows each segment has, to be compared with a result for `data`."""
    rows = _fold(SegmentSum, ones_like(ids, INT64), ids, count)
    return reshape(rows, (count, *(1,) * (data.ndim - ids.ndim)))


def _segments(op: type[SegmentFold], data: Any, ids: Any, num_segments: Any, empty: int | None = None) -> Variable:
    """The fold of an op; `empty` replaces the op's identity where a segment has no rows."""
    data, ids = as_variable(data), as_index(ids)
    if data.dtype.kind == "b" and not issubclass(op, SegmentExtremum):
        data = cast(data, INT64)
    count = _number(ids, num_segments, op.name)
    result = _fold(op, data, ids, count)
    return result if empty is None else where(equal(_counts(data, ids, count), 0), cast(empty, result.dtype), result)


def _divided(data: Any, ids: Any, num_segments: Any, by: Callable[[Variable], Variable]) -> Variable:
    """The sums of segments divided by a function of their number of rows."""
    data, ids = as_variable(data), as_index(ids)
    data = cast(data, quotient(data))
    count = _number(ids, num_segments, "a mean of segments")
    rows = cast(maximum(_counts(data, ids, count), 1), data.dtype)
    return divide(_fold(SegmentSum, data, ids, count), by(rows))


@public
def segment_sum(data: Any, segment_ids: Any, num_segments: Any = None) -> Variable:
    """The sum of the rows with each id, 0 for an id without rows; bools count as int64, other dtypes stay.

    `segment_ids`: integers in any order, with the leading axes of data.  Rows with a negative id are left
    out; an id from num_segments on fails the run.  num_segments may be left out for constant ids: GraphError otherwise.
    """
    return _segments(SegmentSum, data, segment_ids, num_segments)


@public
def segment_prod(data: Any, segment_ids: Any, num_segments: Any = None) -> Variable:
    """The product of the rows with each id, 1 for an id without rows; otherwise as `segment_sum`."""
    return _segments(SegmentProd, data, segment_ids, num_segments)


@public
def segment_max(data: Any, segment_ids: Any, num_segments: Any = None) -> Variable:
    """The largest elements of the rows with each id, 0 for an id without rows; otherwise as `segment_sum`.

    NaN wins.  Elements that tie share the gradient equally.
    """
    return _segments(SegmentMax, data, segment_ids, num_segments, empty=0)


@public
def segment_min(data: Any, segment_ids: Any, num_segments: Any = None) -> Variable:
    """The smallest elements of the rows with each id, 0 for an id without rows; otherwise as `segment_max`."""
    return _segments(SegmentMin, data, segment_ids, num_segments, empty=0)


@public
def segment_mean(data: Any, segment_ids: Any, num_segments: Any = None) -> Variable:
    """The mean of the rows with each id, 0 for an id without rows; float64 of integers; otherwise as `segment_sum`."""
    return _divided(data, segment_ids, num_segments, lambda rows: rows)


@public
def unsorted_segment_max(data: Any, segment_ids: Any, num_segments: Any = None) -> Variable:
    """As `segment_max`, but an id without rows gives the lowest value: -inf, or the smallest integer."""
    return _segments(SegmentMax, data, segment_ids, num_segments)


@public
def unsorted_segment_min(data: Any, segment_ids: Any, num_segments: Any = None) -> Variable:
    """As `segment_min`, but an id without rows gives the highest value: inf, or the largest integer."""
    return _segments(SegmentMin, data, segment_ids, num_segments)


@public
def unsorted_segment_sqrt_n(data: Any, segment_ids: Any, num_segments: Any = None) -> Variable:
    """The sum of the rows with each id divided by the square root of their number, 0 for an id without rows."""
    return _divided(data, segment_ids, num_segments, sqrt)


# the order of the ids never matters here, so for these the two names mean the same
PUBLIC.update(unsorted_segment_sum=segment_sum, unsorted_segment_prod=segment_prod, unsorted_segment_mean=segment_mean)
