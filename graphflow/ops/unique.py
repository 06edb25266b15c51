"""Results whose size depends on the data: unique, nonzero, boolean_mask, with a size given.

The compiler knows sizes before it sees data, so `size` says how many elements to return: further ones are
left out, missing ones are filled up, as in jax.numpy.  Constants need no `size`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.graph.dim import Size, product
from graphflow.graph.errors import GraphError, ShapeError
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
from graphflow.ops.rounding import floor_divide, mod
from graphflow.ops.searching import searchsorted
from graphflow.ops.shape import ravel, reshape
from graphflow.ops.sorting import argsort


def _result_size(size: Any, call: str, known: int | None) -> Size:
    """The number of elements to return; raises GraphError where only the data would tell."""
    if size is not None:
        return known_size(size, f"{call.split('(')[0]}: size")
    if known is not None:
        return known
    raise GraphError(
        f"gf.{call}: the number of elements depends on values known only at run time",
        hint=f"gf.{call[:-1]}, size=n) returns n elements: the first ones, filled up if there are fewer",
    )


# --- places of true elements -------------------------------------------------------------------------
def _true_places(mask: Variable, size: Any, call: str) -> Variable:
    """The places of the first true elements of a vector, in order; its size where there are no more."""
    known = int(np.count_nonzero(mask.value)) if isinstance(mask, Constant) else None
    count = _result_size(size, call, known)
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

    `size` (an int or a Dim) is the length of the vectors, filled up with `fill_value`; without it x must be a
    constant, else GraphError is raised.  Raises ShapeError for a scalar.
    """
    mask = _truth(x)
    if mask.ndim == 0:
        raise ShapeError("nonzero: a scalar has no places", hint="see gf.where")
    places = _true_places(_flat(mask), size, "nonzero(x)")
    missing = equal(places, product(mask.shape))
    return tuple(where(missing, fill_value, i) for i in _unravel(places, mask.shape))


@public
def flatnonzero(x: Any, size: Any = None, fill_value: int = 0) -> Variable:
    """The places of the elements of the flattened x that are not 0; `size` and `fill_value` as in `nonzero`."""
    mask = _flat(_truth(x))
    places = _true_places(mask, size, "flatnonzero(x)")
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

    `size` (an int or a Dim) is how many are returned, filled up with `fill_value`; without it the mask must be a
    constant, else GraphError is raised.  Raises ShapeError for a mask with other sizes than those axes.
    """
    x, mask = as_variable(x), _truth(mask)
    if mask.ndim == 0 or not 0 <= axis <= x.ndim - mask.ndim:
        raise ShapeError(f"boolean_mask: a mask of rank {mask.ndim} from axis {axis} does not fit rank {x.ndim}")
    end = axis + mask.ndim
    for have, want in zip(x.shape[axis:end], mask.shape, strict=True):
        require_equal(have, want, "boolean_mask: a mask has the sizes of the axes it selects from")
    n = product(mask.shape)
    places = _true_places(_flat(mask), size, "boolean_mask(x, mask)")
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

    `size` (an int or a Dim) is how many are returned.  If there are fewer, the rest is `fill_value`, by default
    the smallest element (0 if x has none); further ones are left out.  Without `size` x must be a constant, else
    GraphError is raised.  Also, as asked for, in this order: where each first occurs in the flattened x (for the rest:
    where the smallest does), the number of each element of x among the distinct ones, and how often each occurs
    (0 for the rest).
    """
    x = as_variable(x)
    known = int(np.unique(x.value).size) if isinstance(x, Constant) else None
    count = _result_size(size, "unique(x)", known)
    flat = ravel(x)
    n = flat.shape[0]
    order = argsort(flat)
    ordered = take(flat, order)
    number = subtract(cumsum(cast(_differs_from_previous(ordered), INT64), 0), 1)
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
