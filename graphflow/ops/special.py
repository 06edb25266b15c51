"""The error function, its inverse, and the logarithm of the gamma function with two derivatives.

NumPy has none of them: the references work in float64, from the math library where it has the
function, else from the formulas named at each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.op import In, Sample, register
from graphflow.graph.variable import Variable
from graphflow.ops.elementwise import elementwise, multiply, negative, square
from graphflow.ops.promotion import coerce, inexact
from graphflow.ops.public import PUBLIC, public
from graphflow.ops.transcendental import FloatFunction, exp


def each(function: Callable[[float], float], x: Any) -> Any:
    """A float64 array of function(element)."""
    return np.asarray(np.frompyfunc(function, 1, 1)(np.asarray(x, np.float64)), np.float64)


# --- the error function --------------------------------------------------------------------------
@register
class Erf(FloatFunction):
    name = "erf"
    cost = 25

    def reference(self, *arrays: Any) -> Any:
        return each(math.erf, arrays[0]).astype(arrays[0].dtype)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, _bell(x))


@register
class Erfc(FloatFunction):
    name = "erfc"
    cost = 30

    def reference(self, *arrays: Any) -> Any:
        return each(math.erfc, arrays[0]).astype(arrays[0].dtype)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return negative(multiply(g, _bell(x)))


@register
class Erfinv(FloatFunction):
    name = "erfinv"
    domain = (-0.9, 0.9)
    rtol = 4e-6
    cost = 30

    def reference(self, *arrays: Any) -> Any:
        return each(erfinv_of, arrays[0]).astype(arrays[0].dtype)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, multiply(math.sqrt(math.pi) / 2, exp(square(y))))


def _bell(x: Variable) -> Variable:
    """The derivative of erf: 2 / sqrt(pi) * e**(-x**2)."""
    return multiply(2 / math.sqrt(math.pi), exp(negative(square(x))))


def erfinv_of(x: float) -> float:
    """Newton's method on erf, or on erfc near 1, from Winitzki's approximation."""
    if not abs(x) < 1:
        return math.copysign(math.inf, x) if abs(x) == 1 else math.nan
    tail = 1 - abs(x)  # exact where it is used
    half_log = math.log1p(-x * x) / 2
    a = 2 / (math.pi * 0.147) + half_log
    y = math.sqrt(max(0.0, math.sqrt(a * a - 2 * half_log / 0.147) - a))
    for _ in range(4):
        off = tail - math.erfc(y) if tail < 0.5 else math.erf(y) - abs(x)
        y -= off * math.sqrt(math.pi) / 2 * math.exp(y * y)
    return math.copysign(y, x)


@public
def erf(x: Any) -> Variable:
    """Elementwise error function, 2 / sqrt(pi) times the integral of e**(-t**2) from 0 to x."""
    return elementwise(Erf(), *coerce(x, to=inexact))


@public
def erfc(x: Any) -> Variable:
    """Elementwise 1 - erf(x), accurate for large x."""
    return elementwise(Erfc(), *coerce(x, to=inexact))


@public
def erfinv(x: Any) -> Variable:
    """Elementwise inverse of erf: inf and -inf at 1 and -1, NaN outside."""
    return elementwise(Erfinv(), *coerce(x, to=inexact))


# --- the gamma function --------------------------------------------------------------------------
@register
class Lgamma(FloatFunction):
    name = "lgamma"
    domain = (2.5, 8.0)
    rtol = 4e-6
    cost = 60

    def reference(self, *arrays: Any) -> Any:
        return each(lgamma_of, arrays[0]).astype(arrays[0].dtype)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, digamma(x))


@register
class Digamma(FloatFunction):
    name = "digamma"
    domain = (2.0, 8.0)
    rtol = 4e-6
    cost = 60

    def reference(self, *arrays: Any) -> Any:
        return each(digamma_of, arrays[0]).astype(arrays[0].dtype)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, trigamma(x))

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield _without_gradient(cls)  # which is tested as the second derivative of lgamma


@register
class Trigamma(FloatFunction):
    name = "trigamma"
    domain = (0.5, 8.0)
    rtol = 4e-6
    cost = 60

    def reference(self, *arrays: Any) -> Any:
        return each(trigamma_of, arrays[0]).astype(arrays[0].dtype)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        raise GraphError(
            "trigamma has no gradient: the third derivative of lgamma is not available",
            hint="wrap it in gf.stop_gradient if none is wanted",
        )

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield _without_gradient(cls)


def _without_gradient(cls: type[FloatFunction]) -> Sample:
    return Sample(PUBLIC[cls.name], (In(("m", "n"), "float", *cls.domain),), grad=False, rtol=cls.rtol)


def lgamma_of(x: float) -> float:
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):  # at 0, -1, -2 ... and beyond the largest double
        return math.inf


# Coefficients of the asymptotic series in 1 / x**2 (Abramowitz and Stegun 6.3.18 and 6.4.12): Bernoulli numbers.
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def digamma_of(x: float) -> float:
    """Reflection below 0, recurrence up to 10, asymptotic series above."""
    if math.isinf(x):
        return x if x > 0 else math.nan
    if x <= 0:
        if x == math.floor(x):
            return math.copysign(math.inf, -x) if x == 0 else math.nan
        return digamma_of(1 - x) - math.pi / math.tan(math.pi * math.remainder(x, 1))
    total = 0.0
    while x < 10:
        total -= 1 / x
        x += 1
    series = sum(c / (2 * k * x ** (2 * k)) for k, c in enumerate(_BERNOULLI, 1))
    return total + math.log(x) - 0.5 / x - series


def trigamma_of(x: float) -> float:
    """Reflection below 0, recurrence up to 10, asymptotic series above."""
    if math.isinf(x):
        return 0.0 if x > 0 else math.nan
    if x <= 0:
        if x == math.floor(x):
            return math.inf
        return (math.pi / math.sin(math.pi * math.remainder(x, 1))) ** 2 - trigamma_of(1 - x)
    total = 0.0
    while x < 10:
        total += 1 / (x * x)
        x += 1
    series = sum(c / x ** (2 * k + 1) for k, c in enumerate(_BERNOULLI, 1))
    return total + 1 / x + 0.5 / (x * x) + series


@public
def lgamma(x: Any) -> Variable:
    """Elementwise logarithm of |gamma(x)|: inf at 0, -1, -2 ..."""
    return elementwise(Lgamma(), *coerce(x, to=inexact))


@public
def digamma(x: Any) -> Variable:
    """Elementwise derivative of lgamma; NaN at -1, -2 ..."""
    return elementwise(Digamma(), *coerce(x, to=inexact))


@public
def trigamma(x: Any) -> Variable:
    """Elementwise second derivative of lgamma.  It has no gradient: GraphError when one is asked for."""
    return elementwise(Trigamma(), *coerce(x, to=inexact))
