"""How often values occur: bincount, histogram, count_nonzero.

The size of a result has to be known when the graph is built (an int or a Dim): NumPy's bincount takes it from
the data, here `length` gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import DTypeError, GraphError, ShapeError
from graphflow.graph.variable import Constant, Variable, as_variable
from graphflow.ops.creation import known_size, linspace, ones_like, zeros
from graphflow.ops.elementwise import cast, divide, maximum, minimum, multiply, subtract, where
from graphflow.ops.gathering import as_index, scatter_add
from graphflow.ops.logic import equal, greater, logical_and, not_equal
from graphflow.ops.ordering import INT64
from graphflow.ops.promotion import coerce, quotient
from graphflow.ops.public import public
from graphflow.ops.reduction import Axis, max_, min_, sum_
from graphflow.ops.rounding import floor
from graphflow.ops.searching import searchsorted
from graphflow.ops.segment import segment_sum
from graphflow.ops.shape import broadcast_to, ravel


@public
def bincount(x: Any, weights: Any = None, minlength: int = 0, length: Any = None) -> Variable:
    """How often each of 0, 1, ... length - 1 occurs in x (or the sum of the weights there), as numpy.bincount.

    `length` (an int or a Dim) is the size of the result; it may be left out for a constant x, whose largest
    element or `minlength` then gives it, else GraphError is raised.  Counts are int64; weights keep a float dtype and
    are float64 otherwise, and are added in order.  An element that is negative or not below `length` fails the run.
    """
    index = ravel(as_index(x))
    if length is None:
        if not isinstance(index, Constant):
            raise GraphError(
                "bincount: the size of the result depends on values known only at run time",
                hint="give length=n: elements are then 0 .. n - 1, and larger ones fail the run",
            )
        length = max(int(index.value.max(initial=-1)) + 1, minlength)
    count = known_size(length, "bincount: length")
    if weights is None:
        return scatter_add(zeros(count, INT64), index, ones_like(index, INT64))
    weights = as_variable(weights)
    weights = ravel(cast(weights, quotient(weights)))
    return scatter_add(zeros(count, weights.dtype), index, weights)


@public
def count_nonzero(x: Any, axis: Axis = None, keepdims: bool = False) -> Variable:
    """The number of elements over `axis` (all axes by default) that are not 0, as int64; NaN is not 0."""
    return sum_(cast(not_equal(as_variable(x), 0), INT64), axis, keepdims=keepdims)


@public
def histogram(x: Any, bins: Any = 10, range: Any = None, density: bool = False, weights: Any = None) -> tuple[Variable, Variable]:
    """How many elements of x (or the sum of their weights) lie in each bin, and the edges of the bins, as numpy.histogram.

    `bins`: a number of bins of equal width in `range` (lowest, highest; by default those of the data), or the
    edges, which increase.  A bin contains its left edge, the last one its right edge as well.  Elements outside and
    NaN are not counted.  Raises ShapeError for a number of bins that is not positive or edges that are no vector.
    """
    values = ravel(as_variable(x))
    edges = _edges(values, bins, range)
    number = edges.shape[0] - 1
    values, limits = coerce(values, edges)
    last = limits[-1]
    bin_ = subtract(searchsorted(limits, values, "right"), 1)
    bin_ = where(equal(values, last), subtract(number, 1), bin_)
    bin_ = where(logical_and(greater(bin_, -1), greater(number, bin_)), bin_, -1)
    if weights is None:
        counts = segment_sum(ones_like(bin_), bin_, number)
    else:
        counts = segment_sum(ravel(broadcast_to(as_variable(weights), as_variable(x).shape)), bin_, number)
    if density:
        widths = subtract(edges[1:], edges[:-1])
        counts = divide(counts, multiply(widths, sum_(counts)))
    return counts, edges


def _edges(values: Variable, bins: Any, limits: Any) -> Variable:
    """The edges of bins from what `histogram` takes."""
    if not isinstance(bins, int | np.integer):
        edges = as_variable(bins)
        if edges.ndim != 1:
            raise ShapeError(f"histogram: the edges {edges!r} are not a vector")
        return edges
    if bins < 1:
        raise ShapeError(f"histogram: {bins} bins", hint="there is at least one")
    work = quotient(values)
    if limits is None:
        low, high = cast(min_(values), work), cast(max_(values), work)
    else:
        low, high = coerce(*limits, to=work)
    same = equal(low, high)
    return linspace(where(same, subtract(low, 0.5), low), where(same, high + 0.5, high), int(bins) + 1)


@public
def histogram_fixed_width(values: Any, value_range: Sequence[Any], nbins: int = 100, dtype: Any = "int32") -> Variable:
    """How many elements lie in each of `nbins` bins of equal width, as tf.histogram_fixed_width.

    Elements below the range count in the first bin, above it in the last; NaN in the first.
    """
    x = ravel(as_variable(values))
    if x.dtype.kind == "b":
        raise DTypeError("histogram_fixed_width: bools have no range", hint="cast them to integers")
    work = quotient(x)
    x, low, high = coerce(x, *value_range, to=work)
    scaled = floor(multiply(divide(subtract(x, low), subtract(high, low)), nbins))
    inside = minimum(maximum(where(equal(scaled, scaled), scaled, 0), 0), nbins - 1)
    return cast(bincount(cast(inside, INT64), length=nbins), dtype)
