"""Folds over axes: sum, prod, max, min, any, all, argmax, argmin, ptp.

mean, var, std and logsumexp are in `statistics`, cumulative sums and products in `cumulative`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from graphflow.graph.dim import Dim, maximum
from graphflow.graph.errors import DTypeError, ShapeError
from graphflow.graph.op import FoldOp, In, Sample, register, require_equal
from graphflow.graph.types import DType, Shape, TensorType, as_dtype
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.elementwise import cast, divide, multiply, subtract, where
from graphflow.ops.public import PUBLIC, public

Grads = Sequence[Variable | None]
Axis = int | Sequence[int] | None


# --- axes ----------------------------------------------------------------------------------------
def normalize_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Sorted non-negative axes; None is all of them.  Raises ShapeError for one out of range or twice."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    out: list[int] = []
    for a in axes:
        if not isinstance(a, int | np.integer):
            raise DTypeError(f"axis {a!r} is not an int")
        if not -ndim <= a < ndim:
            raise ShapeError(f"axis {a} is out of range for rank {ndim}", hint=f"axes run from {-ndim} to {ndim - 1}")
        out.append(int(a) % ndim)
    if len(set(out)) != len(out):
        raise ShapeError(f"axis {axis} names one axis twice")
    return tuple(sorted(out))


def kept_shape(shape: Shape, axes: Sequence[int]) -> Shape:
    """The sizes that are left without `axes`."""
    return tuple(s for a, s in enumerate(shape) if a not in axes)


def restore_axes(x: Variable, axes: Sequence[int], keepdims: bool) -> Variable:
    """Put the reduced axes back with size 1 when `keepdims`."""
    from graphflow.ops.shape import expand_dims

    return expand_dims(x, tuple(axes)) if keepdims and axes else x


def spread(y: Variable, x: Variable, axes: Sequence[int]) -> Variable:
    """A reduced value, or its cotangent, seen from every element of x."""
    from graphflow.ops.shape import broadcast_to

    return broadcast_to(restore_axes(y, axes, True), x.shape)


def require_elements(name: str, shape: Shape, axes: Sequence[int]) -> None:
    """ShapeError where a reduction without an identity has no elements; run-time sizes are checked when run."""
    for a in axes:
        size = shape[a]
        if isinstance(size, Dim):
            require_equal(maximum(size, 1), size, f"{name} needs an element")
    empty = [a for a in axes if shape[a] == 0]
    if empty:
        raise ShapeError(f"{name} over axis {empty[0]} of size 0 has no value", hint="only sum, prod, any and all are defined for no elements")


# --- sums and products ---------------------------------------------------------------------------
@dataclass(frozen=True, repr=False)
class Reduction(FoldOp):
    """A fold that NumPy's `ufunc` does as well."""

    axes: tuple[int, ...]
    ufunc: ClassVar[np.ufunc]
    elements: ClassVar[In] = In(("a", "b", "c"), "number")

    def reference(self, *arrays: Any) -> Any:
        (x,) = arrays
        with np.errstate(all="ignore"):
            return self.ufunc.reduce(x, axis=self.axes, dtype=x.dtype)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        """g, seen from every element of x, times dy/dx."""
        raise NotImplementedError

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x,), (y,), (g,) = inputs, outputs, grads
        return (None if g is None or y.dtype.kind != "f" else self.cotangent(g, x, y),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        fn, x = PUBLIC[cls.name], cls.elements
        grad, empty = x.kind != "bool", cls.monoid not in ("max", "min")
        for axis in (None, 0, 1, -1, (0, 2), (1, 2), ()):
            yield Sample(lambda x, axis=axis: fn(x, axis=axis), (x,), grad=grad, empty=empty, name=f"axis={axis}")
        pair = In(("a", "b"), x.kind if x.kind == "bool" else "float", x.low, x.high)
        yield Sample(lambda x: fn(x, axis=1, keepdims=True), (pair,), grad=grad, empty=empty, name="keepdims")


def _reduce(op: type[Reduction], x: Variable, axis: Axis, keepdims: bool) -> Variable:
    axes = normalize_axes(axis, x.ndim)
    result: Variable = op(axes)(x) if axes else x
    return restore_axes(result, axes, keepdims)


@register
class Sum(Reduction):
    name = "sum"
    monoid = "add"
    ufunc = np.add

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return spread(g, x, self.axes)


def sum_dtype(dtype: DType) -> DType:
    """NumPy's accumulator: bool and narrow ints sum in (u)int64."""
    if dtype.kind in "bi":
        return np.dtype("int64")
    return np.dtype("uint64") if dtype.kind == "u" else dtype


def accumulated(x: Any, dtype: Any) -> Variable:
    """x in the dtype it is summed in.  Raises DTypeError for bool, which does not add."""
    x = as_variable(x)
    target = sum_dtype(x.dtype) if dtype is None else as_dtype(dtype)
    if target.kind == "b":
        raise DTypeError("sums and products of bools are integers", hint="use gf.any or gf.all for a bool")
    return cast(x, target)


@public
def sum_(x: Any, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Variable:
    """Sum over `axis` (all axes by default).  Integers narrower than 64 bits and bools sum in 64 bits.

    Floats are added in the canonical order (docs/architecture.md), the same for any number of threads.
    """
    return _reduce(Sum, accumulated(x, dtype), axis, keepdims)


@register
class Prod(Reduction):
    name = "prod"
    monoid = "mul"
    ufunc = np.multiply

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(spread(g, x, self.axes), products_of_others(x, self.axes))


def products_of_others(x: Variable, axes: Sequence[int]) -> Variable:
    """For each element the product of the others along `axes`, without a division: right for zeros as well."""
    from graphflow.ops.cumulative import cumprod

    *outer, last = axes
    others = multiply(cumprod(x, last, exclusive=True), cumprod(x, last, exclusive=True, reverse=True))
    return multiply(others, products_of_others(prod(x, last, keepdims=True), outer)) if outer else others


@public
def prod(x: Any, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Variable:
    """Product over `axis` (all axes by default); dtypes as `sum`.  The gradient is right where elements are 0."""
    return _reduce(Prod, accumulated(x, dtype), axis, keepdims)


# --- extremes ------------------------------------------------------------------------------------
class Extremum(Reduction):
    """The gradient is shared equally among the elements that attain the extreme."""

    def infer(self, *inputs: TensorType) -> TensorType:
        require_elements(self.name, inputs[0].known_shape, self.axes)
        return super().infer(*inputs)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        from graphflow.ops.logic import equal

        attained = equal(x, spread(y, x, self.axes))
        share = divide(g, sum_(cast(attained, x.dtype), self.axes))
        return where(attained, spread(share, x, self.axes), 0)


@register
class Max(Extremum):
    name = "max"
    monoid = "max"
    ufunc = np.maximum


@register
class Min(Extremum):
    name = "min"
    monoid = "min"
    ufunc = np.minimum


def _extremum(op: type[Reduction], on_bool: type[Reduction], x: Variable, axis: Axis, keepdims: bool) -> Variable:
    if x.dtype.kind != "b":
        return _reduce(op, x, axis, keepdims)
    require_elements(op.name, x.shape, normalize_axes(axis, x.ndim))
    return _reduce(on_bool, x, axis, keepdims)


@public
def max_(x: Any, axis: Axis = None, keepdims: bool = False) -> Variable:
    """Largest element over `axis`, NaN if there is one.  Ties share the gradient equally.

    Raises ShapeError over an axis of size 0.
    """
    return _extremum(Max, Any_, as_variable(x), axis, keepdims)


@public
def min_(x: Any, axis: Axis = None, keepdims: bool = False) -> Variable:
    """Smallest element over `axis`, NaN if there is one.  Ties share the gradient equally.

    Raises ShapeError over an axis of size 0.
    """
    return _extremum(Min, All, as_variable(x), axis, keepdims)


@public
def ptp(x: Any, axis: Axis = None, keepdims: bool = False) -> Variable:
    """Largest minus smallest element over `axis`; integers may wrap, bool raises DTypeError."""
    return subtract(max_(x, axis, keepdims), min_(x, axis, keepdims))


# --- truth ---------------------------------------------------------------------------------------
@register
class Any_(Reduction):
    name = "any"
    monoid = "or"
    ufunc = np.logical_or
    elements = In(("a", "b", "c"), "bool")


@register
class All(Reduction):
    name = "all"
    monoid = "and"
    ufunc = np.logical_and
    elements = In(("a", "b", "c"), "bool")


@public
def any_(x: Any, axis: Axis = None, keepdims: bool = False) -> Variable:
    """True where an element over `axis` is not 0; False for no elements."""
    return _reduce(Any_, cast(as_variable(x), "bool"), axis, keepdims)


@public
def all_(x: Any, axis: Axis = None, keepdims: bool = False) -> Variable:
    """True where no element over `axis` is 0; True for no elements."""
    return _reduce(All, cast(as_variable(x), "bool"), axis, keepdims)


# --- places of extremes --------------------------------------------------------------------------
@dataclass(frozen=True, repr=False)
class Place(FoldOp):
    """The first index along one axis at which the extreme is attained; NaN counts as the extreme."""

    axes: tuple[int, ...]
    find: ClassVar[Any]

    def infer(self, *inputs: TensorType) -> TensorType:
        require_elements(self.name, inputs[0].known_shape, self.axes)
        return super().infer(*inputs)

    def result_dtype(self, dtype: DType) -> DType:
        return np.dtype("int64")

    def reference(self, *arrays: Any) -> Any:
        return self.find(arrays[0], axis=self.axes[0])

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None,)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        fn = PUBLIC[cls.name]
        for axis in (None, 0, 1, -1):
            yield Sample(lambda x, axis=axis: fn(x, axis), (In(("a", "b", "c"), "any"),), grad=False, empty=False, name=f"axis={axis}")
        yield Sample(lambda x: fn(x, 0, keepdims=True), (In(("a", "b")),), grad=False, empty=False, name="keepdims")


@register
class ArgMax(Place):
    name = "argmax"
    monoid = "argmax"
    find = staticmethod(np.argmax)


@register
class ArgMin(Place):
    name = "argmin"
    monoid = "argmin"
    find = staticmethod(np.argmin)


def _place(op: type[Place], x: Variable, axis: int | None, keepdims: bool) -> Variable:
    from graphflow.ops.shape import ravel, reshape

    flat = ravel(x) if axis is None else x
    (along,) = normalize_axes(0 if axis is None else axis, flat.ndim)
    result: Variable = op((along,))(cast(flat, "uint8") if x.dtype.kind == "b" else flat)
    if axis is None:
        return reshape(result, (1,) * x.ndim) if keepdims else result
    return restore_axes(result, (along,), keepdims)


@public
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Variable:
    """The first index of the largest element along `axis` (of the flattened x by default), as int64; NaN is largest.

    Raises ShapeError over an axis of size 0.
    """
    return _place(ArgMax, as_variable(x), axis, keepdims)


@public
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Variable:
    """The first index of the smallest element along `axis` (of the flattened x by default), as int64; NaN is smallest.

    Raises ShapeError over an axis of size 0.
    """
    return _place(ArgMin, as_variable(x), axis, keepdims)


PUBLIC.update(amax=max_, amin=min_)
