"""Random bits, integers, truth values and classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.graph.dim import Dim, Size, product
from graphflow.graph.dim import maximum as maximum_size
from graphflow.graph.errors import DTypeError, GraphError, ShapeError
from graphflow.graph.op import require_equal
from graphflow.graph.types import Shape, as_dtype
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.creation import dim_value, iota, known_shape, known_size
from graphflow.ops.cumulative import cumsum
from graphflow.ops.elementwise import add, cast, divide, maximum, minimum, multiply, negative, subtract, where
from graphflow.ops.gathering import take
from graphflow.ops.logic import equal, less, less_equal
from graphflow.ops.promotion import coerce, is_weak, quotient
from graphflow.ops.random.draws import (
    F64,
    I64,
    RandomBelow,
    RandomBits,
    RandomExponential,
    RandomUniform,
    draw,
    shape_of,
)
from graphflow.ops.random.philox import U64
from graphflow.ops.reduction import max_, normalize_axes, sum_
from graphflow.ops.rounding import ceil
from graphflow.ops.searching import searchsorted
from graphflow.ops.shape import expand_dims, reshape, squeeze
from graphflow.ops.sorting import argsort
from graphflow.ops.transcendental import exp, log1p


def bits(shape: Any = (), seed: int | None = None, step: Any = None) -> Variable:
    """Random bits, as uint64."""
    return draw(RandomBits, known_shape(shape), U64, seed, step)


def bernoulli(shape: Any = None, p: Any = 0.5, dtype: Any = "bool", seed: int | None = None, step: Any = None) -> Variable:
    """True (or 1 of another dtype) with probability p, a number or a Variable; never for NaN."""
    work = np.dtype("float32") if is_weak(p) else quotient(p)
    u = draw(RandomUniform, shape_of(shape, p), work, seed, step)
    return cast(less(u, *coerce(p, to=work)), dtype)


def randint(shape: Any = None, low: Any = 0, high: Any = 2, dtype: Any = "int64", seed: int | None = None, step: Any = None) -> Variable:
    """Integers low <= i < high of equal probability (to one part in 2**64).

    low and high are ints, of any range that the dtype holds, or integer Variables.  Raises GraphError for an
    empty range of ints, and where they do not fit the dtype; an empty range known only at run time gives low.
    """
    target = as_dtype(dtype)
    if target.kind not in "iu":
        raise DTypeError(f"randint: {target.name} is not an integer dtype", hint="use gf.random.uniform, or bernoulli for bool")
    if isinstance(low, int) and isinstance(high, int):
        info = np.iinfo(target)
        if low >= high or low < info.min or high - 1 > info.max:
            raise GraphError(f"randint: no integers {low} <= i < {high} in {target.name}", hint="low must be below high, and both in the dtype")
        first, span = as_variable(np.uint64(low % 2**64)), as_variable(np.uint64((high - low) % 2**64))
    else:
        start, stop = coerce(low, high, to=I64)
        first, span = cast(start, U64), cast(where(less(start, stop), subtract(stop, start), 1), U64)
    number = draw(RandomBelow, shape_of(shape, low, high), U64, seed, step, span)
    return cast(cast(add(number, first), I64) if target.kind == "i" else add(number, first), target)


def categorical(logits: Any, num_samples: Any = None, dtype: Any = "int64", seed: int | None = None, step: Any = None) -> Variable:
    """Classes along the last axis of `logits`, with probabilities proportional to e**logit; as tf.random.categorical.

    One for each row, of the shape of `logits` without its last axis; `num_samples` (an int or a Dim) of
    them on a last axis of their own if given.  A logit of -inf is never drawn while another one is finite.
    The distribution function is summed up in float64.  Raises ShapeError for a scalar.
    """
    x = as_variable(logits)
    if x.ndim == 0:
        raise ShapeError("categorical: the logits need an axis of classes")
    x = cast(x, F64)
    found = _drawn(exp(subtract(x, max_(x, axis=-1, keepdims=True))), 1 if num_samples is None else num_samples, seed, step)
    return cast(squeeze(found, -1) if num_samples is None else found, dtype)


def _drawn(weights: Variable, count: Any, seed: int | None, step: Any) -> Variable:
    """Places on the last axis of float64 `weights`, `count` for each row: as many as there are sums that u does not exceed."""
    sums = cumsum(weights, axis=-1)
    u = draw(RandomUniform, known_shape((*weights.shape[:-1], count)), F64, seed, step)
    at = multiply(u, sums[..., -1:])  # less than the last sum, also after rounding
    if weights.ndim == 1:
        found = searchsorted(sums, at, side="right")
    else:
        found = sum_(cast(less_equal(expand_dims(sums, -2), expand_dims(at, -1)), I64), axis=-1)
    return minimum(found, dim_value(weights.shape[-1] - 1))


def multinomial(n: Any, pvals: Any, dtype: Any = "int64", seed: int | None = None, step: Any = None) -> Variable:
    """How often each class came in n draws (an int or a Dim) with probabilities proportional to the last axis of `pvals`."""
    p = cast(as_variable(pvals), F64)
    if p.ndim == 0:
        raise ShapeError("multinomial: the probabilities need an axis of classes")
    found = _drawn(p, n, seed, step)
    classes = iota((p.shape[-1], 1))
    return cast(sum_(cast(equal(expand_dims(found, -2), classes), I64), axis=-1), dtype)


def geometric(shape: Any = None, p: Any = 0.5, dtype: Any = "int64", seed: int | None = None, step: Any = None) -> Variable:
    """The number of trials of probability p up to the first success, 1 or more."""
    e = draw(RandomExponential, shape_of(shape, p), F64, seed, step)
    (chance,) = coerce(p, to=F64)
    return cast(maximum(ceil(divide(e, negative(log1p(negative(chance))))), 1), dtype)


# --- orders --------------------------------------------------------------------------------------
def permutation(x: Any, axis: int = 0, seed: int | None = None, step: Any = None) -> Variable:
    """The integers below x in random order, for an int or a Dim; else x, reordered along `axis`: `shuffle`."""
    if isinstance(x, int | Dim):
        return argsort(bits((known_size(x, "permutation: the size"),), seed, step))
    return shuffle(x, axis, seed, step)


def shuffle(x: Any, axis: int = 0, seed: int | None = None, step: Any = None) -> Variable:
    """x with the slices along `axis` in random order; gradients go back to where they came from."""
    x = as_variable(x)
    (axis,) = normalize_axes(axis, x.ndim)
    return take(x, argsort(bits((x.shape[axis],), seed, step)), axis)


def choice(a: Any, shape: Any = (), replace: bool = True, p: Any = None, axis: int = 0, seed: int | None = None, step: Any = None) -> Variable:
    """Slices of `a` along `axis` (or integers below an int or a Dim `a`), drawn with or without replacement.

    `p`: probabilities, or any weights, of the slices, equal ones by default.  Without replacement they are
    drawn one after the other by the weights of those that are left (P. S. Efraimidis and P. G. Spirakis, "Weighted random sampling
    with a reservoir", 2006); those of weight 0 come last.  Raises ShapeError for more slices than there are.
    """
    sizes = known_shape(shape)
    whole = isinstance(a, int | Dim)
    source = a if whole else as_variable(a)
    n = known_size(a, "choice: the size") if whole else source.shape[normalize_axes(axis, source.ndim)[0]]
    places = _places(n, sizes, replace, None if p is None else cast(as_variable(p), F64), seed, step)
    return places if whole else take(source, places, axis)


def _places(n: Size, sizes: Shape, replace: bool, p: Variable | None, seed: int | None, step: Any) -> Variable:
    count = product(sizes)
    if p is not None:
        require_equal(p.shape[0], n, "choice: the number of probabilities and of slices differ")
    if replace:
        return randint(sizes, 0, dim_value(n), "int64", seed, step) if p is None else reshape(_drawn(p, count, seed, step), sizes)
    if isinstance(n, int) and isinstance(count, int) and count > n:
        raise ShapeError(f"choice: {count} of {n} without replacement", hint="draw fewer, or with replacement")
    require_equal(maximum_size(count, n), n, "choice: the number of slices and the larger of it and those drawn differ")
    keys = bits((n,), seed, step) if p is None else divide(draw(RandomExponential, (n,), F64, seed, step), p)
    return reshape(argsort(keys)[:count], sizes)
