"""Tensors from nothing: arange, linspace, eye, zeros, ones, full, and the sizes of axes as values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Dim, Size, floordiv, maximum, symbols_of
from graphflow.graph.errors import DTypeError, GraphError, ShapeError
from graphflow.graph.op import In, Sample, ScalarOp, Value, register
from graphflow.graph.types import DType, Shape, TensorType, as_dtype
from graphflow.graph.variable import OPERATORS, Constant, Variable, as_variable, constant
from graphflow.ops.elementwise import add, cast, divide, elementwise, multiply, subtract, where
from graphflow.ops.promotion import coerce, common_dtype, quotient
from graphflow.ops.public import public
from graphflow.ops.shape import broadcast_to
from graphflow.ops.sizes import as_size, as_sizes, is_value


def known_size(value: Any, what: str = "a size") -> Size:
    """`sizes.as_size`; a negative value of a scalar of the graph counts as 0."""
    size = as_size(value, what)
    return maximum(size, 0) if any(is_value(s) for s in symbols_of(size)) else size


def known_shape(shape: Any) -> Shape:
    """A shape of ints and Dims; raises ShapeError for a negative size."""
    sizes = tuple(known_size(s) for s in as_sizes(shape))
    for axis, size in enumerate(sizes):
        if isinstance(size, int) and size < 0:
            raise ShapeError(f"axis {axis} of {sizes} has a negative size", hint="sizes are ints from 0, or Dims")
    return sizes


class Nullary(ScalarOp):
    """No inputs: an element is computed from its index."""

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Sequence[Variable | None]) -> Sequence[Variable | None]:
        return ()


def _static(shape: Shape) -> tuple[int, ...]:
    """The sizes as ints: a reference runs when they are known."""
    assert all(isinstance(s, int) for s in shape), shape
    return shape  # type: ignore[return-value]


def _count(length: Size, dtype: DType) -> Any:
    return np.arange(*_static((length,))).astype(dtype)


# --- sizes as values -----------------------------------------------------------------------------
@register
class DimValue(Nullary):
    """The int64 scalar of a size."""

    name = "dim_value"
    size: Size

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(np.dtype("int64"), ())

    def scalar(self, b: Any, *xs: Value) -> Value:
        return b.dim(self.size)

    def reference(self, *arrays: Any) -> Any:
        return np.int64(self.size)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: dim_value(x.shape[0]), (In(("m", "n")),), grad=False)
        yield Sample(lambda x: dim_value(x.size * 2 + 1), (In(("m", "n")),), grad=False, name="expression")


def dim_value(size: Size) -> Variable:
    """A size as an int64 scalar of the graph."""
    return elementwise(DimValue(size)) if isinstance(size, Dim) else constant(size, "int64")


OPERATORS["dim_value"] = dim_value


# --- indices -------------------------------------------------------------------------------------
@register
class Iota(Nullary):
    """Each element is its index along `axis`."""

    name = "iota"
    shape: Shape
    axis: int
    dtype: DType

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(self.dtype, self.shape)

    def scalar(self, b: Any, *xs: Value) -> Value:
        return b.cast(self.dtype, b.index(self.axis))

    def reference(self, *arrays: Any) -> Any:
        along = [-1 if a == self.axis else 1 for a in range(len(self.shape))]
        return np.broadcast_to(_count(self.shape[self.axis], self.dtype).reshape(along), _static(self.shape))

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for axis in (0, 1):
            yield Sample(lambda x, axis=axis: iota(x.shape, axis), (In(("m", "n")),), grad=False, name=f"axis={axis}")
        yield Sample(lambda x: iota(x.shape, 1, "float32"), (In(("m", "n")),), grad=False, name="float32")


@public
def iota(shape: Any, axis: int = 0, dtype: Any = "int64") -> Variable:
    """A tensor of `shape` in which each element is its index along `axis`."""
    sizes = known_shape(shape)
    if not -len(sizes) <= axis < len(sizes):
        raise ShapeError(f"axis {axis} is out of range for rank {len(sizes)}")
    return elementwise(Iota(sizes, axis % len(sizes), as_dtype(dtype)))


@register
class Arange(Nullary):
    """start + step * index; start and step are numbers of `dtype`, the step rounded as NumPy does."""

    name = "arange"
    length: Size
    start: int | float | Dim
    step: int | float
    dtype: DType

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(self.dtype, (self.length,))

    def scalar(self, b: Any, *xs: Value) -> Value:
        start = b.cast(self.dtype, b.dim(self.start)) if isinstance(self.start, Dim) else b.const(self.dtype, self.start)
        return start + b.cast(self.dtype, b.index(0)) * b.const(self.dtype, self.step)

    def reference(self, *arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            index = _count(self.length, self.dtype)
            return np.asarray(self.start).astype(self.dtype) + index * np.asarray(self.step).astype(self.dtype)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        ranges: tuple[tuple[Any, ...], ...] = ((0, None, 1), (3, None, 2), (-1, None, 1), (0.5, 4.0, 0.25), (5, -5, -3))
        for start, stop, step in ranges:
            for dtype in ("int64", "float32") if isinstance(start, int) else ("float32", "float64"):
                yield Sample(
                    lambda x, start=start, stop=stop, step=step, dtype=dtype: arange(start, x.shape[0] if stop is None else stop, step, dtype),
                    (In(("m",)),), grad=False, name=f"{start}:{stop}:{step} {dtype}",
                )  # fmt: skip


@public
def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Variable:
    """start, start + step, ... below stop; `arange(n)` counts from 0.

    Arguments are Python numbers, or Dims (with an int step), which make a size known at run time.
    Without `dtype`, ints and Dims give int64 and floats float64.  Raises GraphError for values
    computed in the graph, whose size would depend on data, and for a step of 0; DTypeError for bool.
    """
    start, stop = (0, start) if stop is None else (start, stop)
    first, last, by = (_number(v, what) for v, what in ((start, "start"), (stop, "stop"), (step, "step")))
    if isinstance(by, int | float) and by == 0:
        raise GraphError("arange: the step is 0", hint="use gf.full for equal elements")
    target = as_dtype(dtype) if dtype is not None else common_dtype((start, stop, step))
    if target.kind == "b":
        raise DTypeError("arange has no meaning on bool", hint="use an integer dtype")
    length = _length(first, last, by)
    if isinstance(first, Dim):
        return elementwise(Arange(length, first, by, target))
    with np.errstate(all="ignore"):
        begin, second = np.asarray(first).astype(target), np.asarray(first + by).astype(target)
        return elementwise(Arange(length, begin.item(), (second - begin).item(), target))


def _number(value: Any, what: str) -> Any:
    """A Python number or Dim for one end of a range."""
    if isinstance(value, Constant) and value.ndim == 0:
        value = value.value
    if isinstance(value, np.ndarray | np.generic) and value.ndim == 0:
        value = value.item()
    if isinstance(value, float):
        return value
    return int(value) if isinstance(value, bool) else known_size(value, f"arange: {what}")


def _length(start: Any, stop: Any, step: Any) -> Size:
    """ceil((stop - start) / step), at least 0."""
    sized = any(isinstance(v, Dim) for v in (start, stop))
    if isinstance(step, Dim) or (sized and any(isinstance(v, float) for v in (start, stop, step))):
        raise GraphError("arange: a Dim goes with ints and a constant step", hint="count with gf.arange(n) and scale the result")
    if isinstance(step, int) and isinstance(start, int | Dim) and isinstance(stop, int | Dim):
        span = stop - start if step > 0 else start - stop
        return maximum(floordiv(span + (abs(step) - 1), abs(step)), 0)
    length: int = math.ceil((stop - start) / step)
    return max(0, length)


@public
def linspace(start: Any, stop: Any, num: Size = 50, endpoint: bool = True, dtype: Any = None) -> Variable:
    """`num` numbers from start to stop at equal distances; without `endpoint` stop is left out.

    start and stop are scalars, also of the graph; num is an int or a Dim.  Integer dtypes round down.
    """
    from graphflow.ops.logic import equal
    from graphflow.ops.rounding import floor

    count = known_size(num, "linspace: num")
    work = quotient(start, stop)
    first, final = coerce(start, stop, to=work)
    steps = maximum(count - 1 if endpoint else count, 1)
    index = iota((count,), 0, work)
    points = add(multiply(index, divide(subtract(final, first), steps)), first)
    if endpoint:
        points = where(equal(index, steps), final, points)
    target = as_dtype(dtype) if dtype is not None else work
    return cast(floor(points) if target.kind in "iu" else points, target)


@register
class Eye(Nullary):
    """Ones where column - row is k."""

    name = "eye"
    n: Size
    m: Size
    k: int
    dtype: DType

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(self.dtype, (self.n, self.m))

    def scalar(self, b: Any, *xs: Value) -> Value:
        return b.cast(self.dtype, (b.index(1) - b.index(0)).eq(self.k))

    def reference(self, *arrays: Any) -> Any:
        rows, columns = _static((self.n, self.m))
        return np.eye(rows, columns, self.k, dtype=self.dtype)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for k in (0, 1, -2):
            yield Sample(lambda x, k=k: eye(x.shape[0], x.shape[1], k, "float32"), (In(("m", "n")),), grad=False, name=f"k={k}")
        yield Sample(lambda x: eye(x.shape[0], dtype="bool"), (In(("m",)),), grad=False, name="bool")


@public
def eye(n: Any, m: Any = None, k: int = 0, dtype: Any = "float64") -> Variable:
    """An n x m matrix (n x n without m) with ones on the k-th diagonal, counted to the right."""
    rows, columns = known_shape((n, n if m is None else m))
    return elementwise(Eye(rows, columns, k, as_dtype(dtype)))


# --- one value everywhere ------------------------------------------------------------------------
@public
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Variable:
    """`fill_value` (a scalar or what broadcasts) in a tensor of `shape`; its own dtype without `dtype`."""
    value = as_variable(fill_value)
    return broadcast_to(value if dtype is None else cast(value, dtype), known_shape(shape))


@public
def zeros(shape: Any, dtype: Any = "float64") -> Variable:
    """Zeros in a tensor of `shape`: an int, a Dim or a sequence of them."""
    return broadcast_to(constant(0, dtype), known_shape(shape))


@public
def ones(shape: Any, dtype: Any = "float64") -> Variable:
    """Ones in a tensor of `shape`: an int, a Dim or a sequence of them."""
    return broadcast_to(constant(1, dtype), known_shape(shape))


@public
def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Variable:
    """`fill_value` in a tensor of x's shape, and of its dtype unless `dtype` is given."""
    x = as_variable(x)
    return broadcast_to(cast(as_variable(fill_value), dtype or x.dtype), x.shape)


@public
def zeros_like(x: Any, dtype: Any = None) -> Variable:
    """Zeros in a tensor of x's shape, and of its dtype unless `dtype` is given."""
    x = as_variable(x)
    return broadcast_to(constant(0, dtype or x.dtype), x.shape)


@public
def ones_like(x: Any, dtype: Any = None) -> Variable:
    """Ones in a tensor of x's shape, and of its dtype unless `dtype` is given."""
    x = as_variable(x)
    return broadcast_to(constant(1, dtype or x.dtype), x.shape)
