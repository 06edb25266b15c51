"""Results whose size depends on the data: unique, nonzero, boolean_mask.

Their size is a Dim that becomes known once the graph has counted.  Where it should be known before, `size` says how
many elements to return: further ones are left out, missing ones are filled up, as in jax.numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.graph.dim import Size, product
from graphflow.graph.errors import ShapeError
from graphflow.graph.op import require_equal
from graphflow.graph.types import Shape
from graphflow.graph.variable import Constant, Variable, as_variable, constant
from graphflow.ops.creation import arange, iota, known_size, zeros
from graphflow.ops.cumulative import cumsum
from graphflow.ops.elementwise import add, cast, subtract, where
from graphflow.ops.gathering import scatter_update, take
from graphflow.ops.joining import pad, stack
from graphflow.ops.logic import equal, less, logical_and, logical_not, logical_or, not_equal
from graphflow.ops.ordering import INT64
from graphflow.ops.public import public
from graphflow.ops.reduction import sum_
from graphflow.ops.rounding import floor_divide, mod
from graphflow.ops.searching import searchsorted
from graphflow.ops.shape import ravel, reshape
from graphflow.ops.sizes import value_below
from graphflow.ops.sorting import argsort


def _result_size(size: Any, what: str, true: Variable) -> Size:
    """The number of elements to return: `size`, or how many elements of `true` are true, which the graph computes."""
    if size is not None:
        return known_size(size, f"{what}: size")
    if isinstance(true, Constant):
        return int(np.count_nonzero(true.value))
    return value_below(sum_(cast(true, INT64)), product(true.shape) + 1, "count")


# --- places of true elements -------------------------------------------------------------------------
def _true_places(mask: Variable, size: Any, what: str) -> Variable:
    """The places of the first true elements of a vector, in order; its size where there are no more."""
    count = _result_size(size, what, mask)
    return searchsorted(cumsum(cast(mask, INT64), 0), add(arange(count), 1))


def _truth(x: Any) -> Variable:
    """x as bools; a constant stays one."""
    x = as_variable(x)
    if isinstance(x, Constant):
        return constant(x.value != 0)
    return x if x.dtype.kind == "b" else not_equal(x, 0)


def _flat(mask: Variable) -> Variable:
    return constant(mask.value.ravel()) if isinstance(mask, Constant) else ravel(mask)


def _unravel(places: Variable, shape: Shape) -> list[Variable]:
    """The index along each axis of places in row-major order."""
    rest: Size = 1
    found: list[Variable] = []
    for n in reversed(shape):
        found.append(mod(floor_divide(places, rest), n))
        rest = rest * n
    return found[::-1]


@public
def nonzero(x: Any, size: Any = None, fill_value: int = 0) -> tuple[Variable, ...]:
    """The indices of the elements that are not 0, an int64 vector for each axis, in row-major order.

    `size` (an int or a Dim) is the length of the vectors, filled up with `fill_value`; without it there is one
    for each such element, a size that is known once the graph has computed it.  Raises ShapeError for a scalar.
    """
    mask = _truth(x)
    if mask.ndim == 0:
        raise ShapeError("nonzero: a scalar has no places", hint="see gf.where")
    places = _true_places(_flat(mask), size, "nonzero")
    missing = equal(places, product(mask.shape))
    return tuple(where(missing, fill_value, i) for i in _unravel(places, mask.shape))


@public
def flatnonzero(x: Any, size: Any = None, fill_value: int = 0) -> Variable:
    """The places of the elements of the flattened x that are not 0; `size` and `fill_value` as in `nonzero`."""
    mask = _flat(_truth(x))
    places = _true_places(mask, size, "flatnonzero")
    return where(equal(places, mask.shape[0]), fill_value, places)


@public
def argwhere(x: Any, size: Any = None, fill_value: int = 0) -> Variable:
    """The indices of the elements that are not 0, a row for each element (tf.where of one operand); as `nonzero`."""
    mask = _truth(x)
    if mask.ndim == 0:
        raise ShapeError("argwhere: a scalar has no places", hint="see gf.where")
    return stack(nonzero(mask, size=size, fill_value=fill_value), axis=1)


@public
def boolean_mask(x: Any, mask: Any, size: Any = None, fill_value: float = 0, axis: int = 0) -> Variable:
    """The parts of x at which a mask of its axes `axis`, `axis` + 1, ... is true, as tf.boolean_mask.

    `size` (an int or a Dim) is how many are returned, filled up with `fill_value`; without it all are.  Raises ShapeError for a mask with other sizes than those axes.
    """
    x, mask = as_variable(x), _truth(mask)
    if mask.ndim == 0 or not 0 <= axis <= x.ndim - mask.ndim:
        raise ShapeError(f"boolean_mask: a mask of rank {mask.ndim} from axis {axis} does not fit rank {x.ndim}")
    end = axis + mask.ndim
    for have, want in zip(x.shape[axis:end], mask.shape, strict=True):
        require_equal(have, want, "boolean_mask: a mask has the sizes of the axes it selects from")
    n = product(mask.shape)
    places = _true_places(_flat(mask), size, "boolean_mask")
    merged = reshape(x, (*x.shape[:axis], n, *x.shape[end:]))
    widths = [(0, 1) if a == axis else (0, 0) for a in range(merged.ndim)]
    return take(pad(merged, widths, constant_values=fill_value), places, axis)


# --- distinct elements -------------------------------------------------------------------------------
@public
def unique(
    x: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    size: Any = None,
    fill_value: Any = None,
) -> Any:
    """The distinct elements of x in ascending order, as numpy.unique; NaN counts as one element.

    `size` (an int or a Dim) is how many are returned, all by default.  If there are fewer, the rest is `fill_value`,
    by default the smallest element (0 if x has none); further ones are left out.  Also, as asked for, in this order: where each first occurs in the flattened x (for the rest:
    where the smallest does), the number of each element of x among the distinct ones, and how often each occurs
    (0 for the rest).
    """
    x = as_variable(x)
    flat = ravel(x)
    n = flat.shape[0]
    order = argsort(flat)
    ordered = take(flat, order)
    begins = _differs_from_previous(ordered)
    count = int(np.unique(x.value).size) if isinstance(x, Constant) and size is None else _result_size(size, "unique", begins)
    number = subtract(cumsum(cast(begins, INT64), 0), 1)
    places = searchsorted(number, arange(count))  # of the first of each, or n
    exists = less(places, n)
    first = where(exists, places, 0)
    values = take(pad(ordered, (0, 1)), first)
    if fill_value is not None:
        values = where(exists, values, cast(as_variable(fill_value), x.dtype))
    found = [values]
    if return_index:
        found.append(take(pad(order, (0, 1)), first))
    if return_inverse:
        found.append(reshape(scatter_update(zeros(n, INT64), order, number), x.shape))
    if return_counts:
        found.append(subtract(searchsorted(number, arange(count), "right"), places))
    return tuple(found) if len(found) > 1 else values


def _differs_from_previous(x: Variable) -> Variable:
    """For each element of a vector whether it is not the one before; true for the first."""
    before = pad(x, (1, 0))[: x.shape[0]]
    both_nan = logical_and(not_equal(x, x), not_equal(before, before))
    differs = logical_and(not_equal(x, before), logical_not(both_nan))
    return logical_or(equal(iota(x.shape), 0), differs)
