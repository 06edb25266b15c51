"""Mean, variance, standard deviation and logsumexp: small graphs of folds, with gradients of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.graph.dim import maximum, product
from graphflow.graph.errors import DTypeError
from graphflow.graph.op import ComposeOp, In, Sample, register
from graphflow.graph.types import DType, TensorType, as_dtype
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.elementwise import add, cast, divide, multiply, sqrt, square, subtract, where
from graphflow.ops.logic import equal, isfinite
from graphflow.ops.promotion import coerce, inexact, quotient
from graphflow.ops.public import public
from graphflow.ops.reduction import (
    Axis,
    Grads,
    kept_shape,
    max_,
    normalize_axes,
    require_elements,
    restore_axes,
    spread,
    sum_,
)
from graphflow.ops.transcendental import exp, log


@dataclass(frozen=True, repr=False)
class Statistic(ComposeOp):
    """A float for each row along `axes`."""

    axes: tuple[int, ...]

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(inputs[0].dtype, kept_shape(inputs[0].known_shape, self.axes))

    def count(self, x: Any) -> Any:
        """How many elements a row has: an int or a Dim."""
        return product([x.shape[a] for a in self.axes])

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        """g, seen from every element of x, times dy/dx."""
        raise NotImplementedError

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x,), (y,), (g,) = inputs, outputs, grads
        return (None if g is None else self.cotangent(g, x, y),)


def float_dtype(x: Variable, dtype: Any) -> DType:
    """The dtype of a mean; DTypeError for one that is not a float."""
    target = quotient(x) if dtype is None else as_dtype(dtype)
    if target.kind != "f":
        raise DTypeError(f"a mean is not {target.name}", hint="use a float dtype, and gf.cast for the result")
    return target


@register
class Mean(Statistic):
    name = "mean"

    def expand(self, *inputs: Variable) -> Variable:
        (x,) = inputs
        return divide(sum_(x, self.axes), self.count(x))

    def reference(self, *arrays: Any) -> Any:
        (x,) = arrays
        with np.errstate(all="ignore"):
            return np.true_divide(np.sum(x, axis=self.axes), self.count(x), dtype=x.dtype)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return spread(divide(g, self.count(x)), x, self.axes)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for axis in (None, 0, -1, (0, 2), ()):
            yield Sample(lambda x, axis=axis: mean(x, axis), (In(("a", "b", "c"), "number"),), name=f"axis={axis}")
        yield Sample(lambda x: mean(x, 1, keepdims=True), (In(("a", "b")),), name="keepdims")


@public
def mean(x: Any, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Variable:
    """Arithmetic mean over `axis` (all axes by default); float64 of integers, NaN of no elements."""
    x = as_variable(x)
    axes = normalize_axes(axis, x.ndim)
    result: Variable = Mean(axes)(cast(x, float_dtype(x, dtype)))
    return restore_axes(result, axes, keepdims)


@register
class Var(Statistic):
    """In two passes: the mean, then the mean square of what is left."""

    name = "var"
    ddof: int = 0

    def divisor(self, x: Any) -> Any:
        return maximum(self.count(x) - self.ddof, 0)

    def centered(self, x: Variable) -> Variable:
        return subtract(x, mean(x, self.axes, keepdims=True))

    def expand(self, *inputs: Variable) -> Variable:
        (x,) = inputs
        return divide(sum_(square(self.centered(x)), self.axes), self.divisor(x))

    def reference(self, *arrays: Any) -> Any:
        (x,) = arrays
        with np.errstate(all="ignore"):
            center = np.true_divide(np.sum(x, axis=self.axes, keepdims=True), self.count(x), dtype=x.dtype)
            return np.true_divide(np.sum(np.square(x - center), axis=self.axes), self.divisor(x), dtype=x.dtype)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(spread(divide(multiply(2, g), self.divisor(x)), x, self.axes), self.centered(x))

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for axis in (None, 0, -1, (0, 2)):
            yield Sample(lambda x, axis=axis: var(x, axis), (In(("a", "b", "c"), "number"),), name=f"axis={axis}")
        yield Sample(lambda x: var(x, 1, ddof=1, keepdims=True), (In(("a", "b")),), name="ddof")
        yield Sample(lambda x: std(x, 0), (In((3, "n")),), name="std")


@public
def var(x: Any, axis: Axis = None, dtype: Any = None, ddof: int = 0, keepdims: bool = False) -> Variable:
    """Variance over `axis`: the mean square distance from the mean, divided by count - ddof.

    float64 of integers; NaN of no elements, and where count - ddof is 0 or less inf or NaN.
    """
    x = as_variable(x)
    axes = normalize_axes(axis, x.ndim)
    result: Variable = Var(axes, ddof)(cast(x, float_dtype(x, dtype)))
    return restore_axes(result, axes, keepdims)


@public
def std(x: Any, axis: Axis = None, dtype: Any = None, ddof: int = 0, keepdims: bool = False) -> Variable:
    """Standard deviation over `axis`, the square root of `var`; its gradient is NaN where the deviation is 0."""
    return sqrt(var(x, axis, dtype, ddof, keepdims))


@register
class LogSumExp(Statistic):
    """Shifted by the row's maximum, unless that is infinite: then e**x gives 0, inf or NaN by itself."""

    name = "logsumexp"

    def infer(self, *inputs: TensorType) -> TensorType:
        require_elements(self.name, inputs[0].known_shape, self.axes)
        return super().infer(*inputs)

    def expand(self, *inputs: Variable) -> Variable:
        (x,) = inputs
        top = max_(x, self.axes)
        top = where(isfinite(top), top, 0)
        return add(log(sum_(exp(subtract(x, spread(top, x, self.axes))), self.axes)), top)

    def reference(self, *arrays: Any) -> Any:
        (x,) = arrays
        with np.errstate(all="ignore"):
            top = np.max(x, axis=self.axes, keepdims=True)
            top = np.where(np.isfinite(top), top, x.dtype.type(0))
            total = np.sum(np.exp(x - top), axis=self.axes, keepdims=True)
            return np.squeeze(np.log(total) + top, axis=self.axes)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        finite = where(equal(y, -np.inf), 0, y)  # a row of -inf has the weights e**-inf = 0, not e**NaN
        return multiply(spread(g, x, self.axes), exp(subtract(x, spread(finite, x, self.axes))))

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for axis in (None, 0, -1, (0, 2)):
            yield Sample(lambda x, axis=axis: logsumexp(x, axis), (In(("a", "b", "c")),), empty=False, name=f"axis={axis}")
        yield Sample(lambda x: logsumexp(multiply(x, 500), 1, keepdims=True), (In(("a", "b")),), grad=False, empty=False, name="large")


@public
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Variable:
    """log(sum(e**x)) over `axis` without overflow; -inf for a row of -inf, inf where an element is inf.

    Raises ShapeError over an axis of size 0.
    """
    (x,) = coerce(x, to=inexact)
    axes = normalize_axes(axis, x.ndim)
    result: Variable = LogSumExp(axes)(x) if axes else x
    return restore_axes(result, axes, keepdims)
