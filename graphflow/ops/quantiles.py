"""Order statistics: median, quantile, percentile.  All are made of `sort`, so their gradients are its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphflow.graph.dim import product
from graphflow.graph.errors import ShapeError
from graphflow.graph.types import DType
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.creation import dim_value
from graphflow.ops.elementwise import add, cast, divide, minimum, multiply, subtract, where
from graphflow.ops.gathering import take
from graphflow.ops.logic import equal, less, not_equal
from graphflow.ops.ordering import INT64
from graphflow.ops.promotion import coerce, quotient
from graphflow.ops.public import public
from graphflow.ops.reduction import Axis, normalize_axes, require_elements, restore_axes
from graphflow.ops.rounding import ceil, floor, rint
from graphflow.ops.shape import expand_dims, moveaxis, reshape
from graphflow.ops.sorting import sort

FLOAT64 = np.dtype("float64")

# method -> the weight of the upper neighbour, from the distance to the lower one
_WEIGHTS: dict[str, Callable[[Variable], Variable]] = {
    "linear": lambda distance: distance,
    "lower": lambda distance: multiply(distance, 0),
    "higher": ceil,
    "midpoint": lambda distance: multiply(ceil(distance), 0.5),
}


def _sorted_rows(x: Any, axis: Axis, what: str) -> tuple[Variable, tuple[int, ...]]:
    """x as floats with `axis` joined into the last axis and sorted, and the axes."""
    x = as_variable(x)
    axes = normalize_axes(axis, x.ndim)
    require_elements(what, x.shape, axes)
    x = cast(x, quotient(x))
    moved = moveaxis(x, axes, tuple(range(x.ndim - len(axes), x.ndim))) if axes else x
    kept = moved.shape[: x.ndim - len(axes)]
    return sort(reshape(moved, (*kept, product(moved.shape[len(kept) :])))), axes


def _nan_if_any(rows: Variable, value: Variable) -> Variable:
    """`value`, or NaN where a sorted row ends in one."""
    last = rows[..., -1]
    return where(not_equal(last, last), last, value)


@public
def median(x: Any, axis: Axis = None, keepdims: bool = False) -> Variable:
    """The middle element over `axis` (all axes by default), or the mean of the two in the middle; NaN if there is one.

    float64 of integers.  Raises ShapeError over an axis of size 0.
    """
    rows, axes = _sorted_rows(x, axis, "median")
    n = rows.shape[-1]
    low, high = rows[..., (n - 1) // 2], rows[..., n // 2]
    middle = where(equal(low, high), low, multiply(add(low, high), 0.5))
    return restore_axes(_nan_if_any(rows, middle), axes, keepdims)


@public
def quantile(x: Any, q: Any, axis: Axis = None, keepdims: bool = False, method: str = "linear") -> Variable:
    """The element over `axis` (all axes by default) below which the share q of the elements lies; NaN if there is one.

    q is a float in 0 .. 1, or a tensor of them, whose axes come first in the result; ones outside are taken to be the
    nearest.  `method` says what lies between two elements: 'linear', 'lower', 'higher', 'midpoint' or
    'nearest', as in numpy.quantile.  float64 of integers.  Raises ShapeError over an axis of size 0 or for another method.
    """
    rows, axes = _sorted_rows(x, axis, "quantile")
    (share,) = coerce(q, to=FLOAT64)
    last = cast(dim_value(rows.shape[-1] - 1), FLOAT64)
    share = where(less(share, 0), 0, minimum(share, 1))
    place = multiply(share, last)
    if method == "nearest":
        place = rint(place)
    elif method not in _WEIGHTS:
        raise ShapeError(f"quantile: there is no method {method!r}", hint=f"use nearest, {', '.join(_WEIGHTS)}")
    below = floor(place)
    low = _elements(rows, below)
    value = low
    if method != "nearest":
        weight = _along(_WEIGHTS[method](subtract(place, below)), rows, low.dtype)
        high = _elements(rows, minimum(add(below, 1), last))
        value = _between(low, high, weight)
    value = _nan_if_any(rows, value)
    return restore_axes(value, tuple(a + share.ndim for a in axes), keepdims)


def _elements(rows: Variable, places: Variable) -> Variable:
    """The elements of each row at some places, whose axes come first."""
    found = take(rows, cast(places, INT64), -1)
    return moveaxis(found, tuple(range(rows.ndim - 1, found.ndim)), tuple(range(places.ndim))) if places.ndim else found


def _along(weight: Variable, rows: Variable, dtype: DType) -> Variable:
    """Weights against the kept axes of the rows."""
    return expand_dims(cast(weight, dtype), tuple(range(weight.ndim, weight.ndim + rows.ndim - 1)))


def _between(low: Variable, high: Variable, weight: Variable) -> Variable:
    """low + weight * (high - low), exact at both ends and where they are equal (infinities)."""
    step = subtract(high, low)
    nearer = where(less(weight, 0.5), add(low, multiply(step, weight)), subtract(high, multiply(step, subtract(1, weight))))
    return where(equal(low, high), low, where(equal(weight, 0), low, nearer))


@public
def percentile(x: Any, q: Any, axis: Axis = None, keepdims: bool = False, method: str = "linear") -> Variable:
    """`quantile` with q in 0 .. 100."""
    (share,) = coerce(q, to=FLOAT64)
    return quantile(x, divide(share, 100.0), axis, keepdims, method)
