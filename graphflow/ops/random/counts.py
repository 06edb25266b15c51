"""Poisson and binomial numbers.

Small means are inverted: a uniform number is compared with the distribution function, summed up from 0.
Large ones are drawn by transformed rejection, W. Hoermann, "The transformed rejection method for generating
Poisson random variables" (1993) and "The generation of binomial random variates" (1993), where probabilities
are computed by C. Loader, "Fast and accurate computation of binomial probabilities" (2000), so that they are
accurate however large the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from graphflow.graph.errors import DTypeError
from graphflow.graph.op import In, Sample, Value, register
from graphflow.graph.types import as_dtype
from graphflow.graph.variable import Variable
from graphflow.ops.elementwise import cast, divide, multiply, subtract, where
from graphflow.ops.logic import isnan
from graphflow.ops.promotion import coerce
from graphflow.ops.random.draws import F64, fraction, second, shape_of
from graphflow.ops.random.elementary import deviance, exp, log, log_residue
from graphflow.ops.random.gamma import RandomGamma
from graphflow.ops.random.rejection import Draws, Rejection, rejected

SMALL = 10.0  # means below are inverted
TERMS = 64  # counts that inversion tells apart: larger ones have a probability below 1e-28
LARGEST = 2.0**62


def _uniforms(b: Any, draws: Draws) -> tuple[Value, Value]:
    """Two uniform numbers, the second above 0."""
    w = draws.words(0)
    return fraction(b, F64, w[0], w[1]), fraction(b, F64, w[2], w[3], 0.5)


def _inverted(b: Any, u: Value, first: Value, ratio: Callable[[float], Value]) -> Value:
    """The count at u: `first` is the probability of 0, `ratio(k)` that of k by that of k - 1."""
    zero, one = b.const(F64, 0.0), b.const(F64, 1.0)
    probability, total, count = first, first, zero
    for k in range(1, TERMS):
        probability = probability * ratio(float(k))
        above = total + probability
        count = count + b.select((total <= u) & (total < above), one, zero)
        total = above
    return count


def _candidate(b: Any, u: Value, a: Value, width: Value, centre: Value) -> tuple[Value, Value, Value]:
    """The candidate at u, how near u is to the ends of its interval, and the area of the hat over that of its table."""
    around = u - 0.5
    near = 0.5 - b.call("abs", around)
    k = b.call("floor", (a * 2.0 / near + width) * around + centre)
    return k, near, a / (near * near) + width


@register
class RandomPoisson(Rejection):
    """Poisson numbers of a mean; NaN for one that is negative, NaN, or above 2**62."""

    name = "random_poisson"

    def typical(self, b: Any, *parameters: Value) -> Value:
        return b.call("floor", parameters[0])

    def attempt(self, b: Any, draws: Draws, *parameters: Value) -> tuple[Value, Value]:
        (mean,) = parameters
        u, v = _uniforms(b, draws)
        valid, small = (mean >= 0.0) & (mean <= LARGEST), mean < SMALL
        low = b.select(valid & small, mean, b.const(F64, 1.0))
        few = _inverted(b, u, exp(b, -low), lambda k: low * (1 / k))

        large = b.select(valid & (mean >= SMALL), mean, b.const(F64, SMALL))
        width = b.call("sqrt", large) * 2.53 + 0.931
        k, near, slope = _candidate(b, u, width * 0.02483 - 0.059, width, large + 0.43)
        at = b.call("max", 0.0, k)
        area = v * (1.1328 / (width - 3.4) + 1.1239)
        below = log(b, F64, area / slope) <= -deviance(b, at, large) - log_residue(b, at)
        quickly = (near >= 0.07) & (v <= 0.9277 - 3.6224 / (width - 2.0))
        accepted = quickly | ((k >= 0.0) & below)
        value = b.select(valid, b.select(small, few, k), b.const(F64, np.nan))
        return accepted | small | ~valid, value

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for low, high in ((-0.5, 9.0), (10.0, 90.0), (1e6, 1e12)):
            x = In(("m", "n"), "float", low, high)
            yield Sample(lambda x: poisson(None, x, dtype="float64", seed=5, step=3), (x,), grad=False, name=f"{low} to {high}")


@register
class RandomBinomial(Rejection):
    """The number of successes in n trials of probability p; NaN where n is negative or above 2**52, or p is no probability."""

    name = "random_binomial"
    cost = 1100

    def typical(self, b: Any, *parameters: Value) -> Value:
        n, p = parameters
        return b.call("floor", n * p)

    def attempt(self, b: Any, draws: Draws, *parameters: Value) -> tuple[Value, Value]:
        n, p = parameters
        valid = (n >= 0.0) & (n <= 2.0**52) & (p >= 0.0) & (p <= 1.0)
        n, p = (b.select(valid, x, b.const(F64, 0.0)) for x in (b.call("floor", n), p))
        rare = b.call("min", p, 1.0 - p)
        u, v = _uniforms(b, draws)
        small = n * rare < SMALL
        few = self._few(b, u, b.select(small, n, b.const(F64, 1.0)), rare)
        enough = b.select(small, b.const(F64, 100.0), n), b.select(small, b.const(F64, 0.5), rare)
        accepted, many = self._many(b, u, v, *enough)
        count = b.select(small, few, many)
        value = b.select(p > 0.5, n - count, count)
        return accepted | small, b.select(valid, value, b.const(F64, np.nan))

    def _few(self, b: Any, u: Value, n: Value, p: Value) -> Value:
        q = 1.0 - p
        odds = p / q
        none = exp(b, n * log(b, F64, q))
        return b.call("min", n, _inverted(b, u, none, lambda k: b.call("max", 0.0, n - (k - 1)) * odds * (1 / k)))

    def _many(self, b: Any, u: Value, v: Value, n: Value, p: Value) -> tuple[Value, Value]:
        mean, rest = n * p, n * (1.0 - p)
        spread = b.call("sqrt", mean * (1.0 - p))
        width = spread * 2.53 + 1.15
        k, near, slope = _candidate(b, u, width * 0.0248 - 0.0873 + p * 0.01, width, mean + 0.5)
        at = b.call("max", 0.0, b.call("min", n, k))

        def height(count: Value) -> Value:
            """The logarithm of its probability, but for a constant, negated."""
            others = n - count
            return deviance(b, count, mean) + deviance(b, others, rest) + log_residue(b, count) + log_residue(b, others)

        mode = b.call("floor", (n + 1.0) * p)
        area = v * spread * (5.1 / width + 2.83)
        below = log(b, F64, area / slope) <= height(mode) - height(at)
        quickly = (near >= 0.07) & (v <= 0.92 - 4.2 / width)
        return quickly | ((k >= 0.0) & (k <= n) & below), k

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        p = In(("m", "n"), "float", -0.1, 1.1)
        for n in (0, 7, 300, 10**9):
            yield Sample(lambda p, n=n: binomial(None, n, p, dtype="float64", seed=5, step=3), (p,), grad=False, name=f"n={n}")


def _count(x: Variable, dtype: Any, name: str) -> Variable:
    """Counts in the dtype asked for: -1 for NaN in a signed integer."""
    target = as_dtype(dtype)
    if target.kind == "f":
        return cast(x, target)
    if target.kind != "i":
        raise DTypeError(f"{name}: {target.name} is not a signed integer or float dtype", hint="use int32 or int64; parameters without a meaning give -1")
    return cast(where(isnan(x), -1, x), target)


def poisson(shape: Any = None, lam: Any = 1.0, dtype: Any = "int64", seed: int | None = None, step: Any = None) -> Variable:
    """Poisson numbers of mean `lam`, a number or a Variable up to 2**62.

    A mean that is negative or NaN gives -1, or NaN in a float dtype.  No gradient flows to it.
    Raises DTypeError for unsigned integers and bool.
    """
    return _count(rejected(RandomPoisson, shape_of(shape, lam), seed, step, lam), dtype, "poisson")


def binomial(shape: Any = None, n: Any = 1, p: Any = 0.5, dtype: Any = "int64", seed: int | None = None, step: Any = None) -> Variable:
    """The number of successes in n trials (up to 2**52) of probability p; numbers or Variables.

    A negative n, or a p outside 0 .. 1, gives -1, or NaN in a float dtype.  No gradient flows to them.
    Raises DTypeError for unsigned integers and bool.
    """
    return _count(rejected(RandomBinomial, shape_of(shape, n, p), seed, step, n, p), dtype, "binomial")


def negative_binomial(shape: Any = None, n: Any = 1, p: Any = 0.5, dtype: Any = "int64", seed: int | None = None, step: Any = None) -> Variable:
    """The number of failures before n successes of probability p (n any number from 0): a Poisson number of a gamma number's mean."""
    count, chance = coerce(n, p, to=F64)
    mean = multiply(rejected(RandomGamma, shape_of(shape, n, p), seed, step, count, log=False), divide(subtract(1, chance), chance))
    return _count(rejected(RandomPoisson, mean.shape, second(seed), step, mean), dtype, "negative_binomial")
