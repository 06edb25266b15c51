"""The incomplete gamma and beta functions, the Hurwitz zeta function and polygammas.

All are computed in float64 and rounded to the dtype of the operands, as TensorFlow and SciPy define them.
Relative errors of the incomplete functions in float64, of values above 1e-280: below 5e-13 for parameters up to 100,
2e-11 up to 3000, growing in proportion to them; of zeta and polygammas: 2e-15.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.graph.op import ComposeOp, In, Sample, broadcast_shapes, register
from graphflow.graph.types import DType, TensorType
from graphflow.graph.variable import Variable
from graphflow.ops.elementwise import Grads, add, cast, divide, multiply, negative, subtract, where
from graphflow.ops.identity import stop_gradient
from graphflow.ops.iterations import F64, BetaFraction, GammaFraction, GammaSeries, iterated
from graphflow.ops.logic import equal, greater, less, logical_and, logical_or
from graphflow.ops.power import power
from graphflow.ops.promotion import coerce, inexact
from graphflow.ops.public import public
from graphflow.ops.rounding import floor, mod
from graphflow.ops.shape import broadcast_to
from graphflow.ops.special import digamma, lgamma
from graphflow.ops.transcendental import exp, log, log1p

LARGE = 1e5  # parameters above have a gradient by an expansion


def _wide(*operands: Any) -> tuple[list[Variable], DType]:
    """The operands broadcast in float64, and the dtype of the result."""
    xs = coerce(*operands, to=inexact)
    shape = broadcast_shapes([x.shape for x in xs])
    return [broadcast_to(cast(x, F64), shape) for x in xs], xs[0].dtype


# --- gamma ---------------------------------------------------------------------------------------
class _Parts:
    """P or Q of a > 0 and x >= 0 by the series or the fraction, where each is good; all graphs."""

    def __init__(self, a: Variable, x: Variable) -> None:
        self.a, self.x = a, x
        self.below = less(x, add(a, 1))
        series = [where(self.below, v, other) for v, other in ((a, 1), (x, 0))]
        fraction = [where(self.below, other, v) for v, other in ((a, 1), (x, 9))]
        self.sum, self.d_sum = iterated(GammaSeries, *series)[:2]
        self.fraction, self.d_fraction = iterated(GammaFraction, *fraction)[:2]

    def regularized(self, upper: bool) -> Variable:
        positive = greater(self.x, 0)
        x = where(positive, self.x, 1)
        scale = exp(subtract(subtract(multiply(self.a, log(x)), x), lgamma(add(self.a, where(self.below, 1, 0)))))
        part = multiply(scale, where(self.below, self.sum, self.fraction))
        direct = where(self.below, not upper, upper)
        return where(positive, where(direct, part, subtract(1, part)), float(upper))

    def slope(self, log_x: Variable) -> Variable:
        """dx / (x da) along a quantile: -(dP/da) / (x dP/dx), which neither under- nor overflows."""
        below = divide(add(multiply(self.sum, subtract(log_x, digamma(add(self.a, 1)))), self.d_sum), negative(self.a))
        above = add(multiply(self.fraction, subtract(log_x, digamma(self.a))), self.d_fraction)
        return where(self.below, below, above)


def quantile_slope(a: Variable, x: Variable, log_x: Variable) -> Variable:
    """dx / (x da) for x the quantile of a gamma distribution of shape a, at one probability; float64.

    M. Figurnov, S. Mohamed, A. Mnih, "Implicit reparameterization gradients" (2018).  Above LARGE by Cornish's and
    Fisher's expansion, to a**-1.5.
    """
    large = greater(a, LARGE)
    usual = _Parts(where(large, 1, a), where(large, 1, x)).slope(where(large, 0, log_x))
    n_squared = divide(multiply(subtract(x, a), subtract(x, a)), a)
    expanded = subtract(divide(add(x, a), multiply(2, a)), divide(subtract(n_squared, 1), multiply(6, a)))
    return where(large, divide(expanded, x), usual)


@register
class IncompleteGamma(ComposeOp):
    """The regularized lower (or upper) incomplete gamma function of float64 a and x of one shape."""

    name = "igamma"
    upper: bool

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(F64, inputs[0].known_shape)

    def reference(self, *arrays: Any) -> Any:
        lower = np.asarray(np.frompyfunc(igamma_of, 2, 1)(*arrays), F64)
        return 1 - lower if self.upper else lower

    def expand(self, *inputs: Variable) -> Variable:
        a, x = inputs
        valid = logical_and(greater(a, 0), logical_or(greater(x, 0), equal(x, 0)))
        finite = less(x, np.inf)
        usable = logical_and(valid, finite)
        found = _Parts(where(usable, a, 1), where(usable, x, 1)).regularized(self.upper)
        return where(valid, where(finite, found, float(not self.upper)), np.nan)

    def vjp(self, inputs: Any, outputs: Any, grads: Grads) -> Grads:
        (a, x), (g,) = inputs, grads
        if g is None:
            return None, None
        positive = greater(x, 0)
        log_x = log(where(positive, x, 1))
        density = where(positive, exp(subtract(subtract(multiply(subtract(a, 1), log_x), x), lgamma(a))), 0)
        signed = negative(g) if self.upper else g
        slope = multiply(quantile_slope(a, where(positive, x, 1), log_x), where(positive, x, 0))
        return negative(multiply(signed, multiply(density, slope))), multiply(signed, density)

    @classmethod
    def samples(cls) -> Any:
        for name, low, high in (("series", 0.0, 1.5), ("fraction", 6.0, 9.0)):
            ins = (In(("m",), "float64", 0.7, 4.0), In(("m",), "float64", low, high))
            yield Sample(lambda a, x: igamma(a, x), ins, grad=False, name=name)
            yield Sample(lambda a, x: igammac(a, x), ins, grad=False, name=f"upper, {name}")


def igamma_of(a: float, x: float) -> float:
    """P(a, x) by its power series alone (NIST DLMF 8.11.4)."""
    if not (a > 0 and x >= 0):
        return math.nan
    if x == 0 or math.isinf(x):
        return float(x > 0)
    total, term, n = 1.0, 1.0, 1
    while term > total * 1e-17:
        term *= x / (a + n)
        total, n = total + term, n + 1
    return math.exp(a * math.log(x) - x - math.lgamma(a + 1)) * total


def _gamma(a: Any, x: Any, upper: bool) -> Variable:
    (a, x), dtype = _wide(a, x)
    return cast(IncompleteGamma(upper)(a, x), dtype)


@public
def igamma(a: Any, x: Any) -> Variable:
    """Elementwise regularized lower incomplete gamma function P(a, x), a > 0 and x >= 0, else NaN; gradients in both."""
    return _gamma(a, x, False)


@public
def igammac(a: Any, x: Any) -> Variable:
    """Elementwise regularized upper incomplete gamma function Q(a, x) = 1 - P(a, x), accurate where it is small."""
    return _gamma(a, x, True)


# --- beta ----------------------------------------------------------------------------------------
@register
class IncompleteBeta(ComposeOp):
    """The regularized incomplete beta function of float64 a, b and x of one shape."""

    name = "betainc"

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(F64, inputs[0].known_shape)

    def reference(self, *arrays: Any) -> Any:
        return np.asarray(np.frompyfunc(betainc_of, 3, 1)(*arrays), F64)

    def expand(self, *inputs: Variable) -> Variable:
        a, b, x = inputs
        valid = logical_and(logical_and(greater(a, 0), greater(b, 0)), logical_and(logical_or(greater(x, 0), equal(x, 0)), logical_or(less(x, 1), equal(x, 1))))
        inner = logical_and(valid, logical_and(greater(x, 0), less(x, 1)))
        a, b, x = where(inner, a, 1), where(inner, b, 1), where(inner, x, 0.5)
        turned = greater(multiply(x, add(add(a, b), 2)), add(a, 1))
        p, q = where(turned, b, a), where(turned, a, b)
        part = multiply(exp(subtract(_log_weight(a, b, x), log(p))), iterated(BetaFraction, p, q, where(turned, subtract(1, x), x))[0])
        return where(inner, where(turned, subtract(1, part), part), where(valid, inputs[2], np.nan))

    def vjp(self, inputs: Any, outputs: Any, grads: Grads) -> Grads:
        (a, b, x), (g,) = inputs, grads
        if g is None:
            return None, None, None
        inner = logical_and(greater(x, 0), less(x, 1))
        at = where(inner, x, 0.5)
        density = divide(exp(_log_weight(a, b, at)), multiply(at, subtract(1, at)))
        return None, None, where(inner, multiply(g, density), 0)

    @classmethod
    def samples(cls) -> Any:
        ins = (In(("m",), "float64", 0.7, 9.0), In(("m",), "float64", 0.7, 9.0), In(("m",), "float64", 0.0, 1.0))
        yield Sample(lambda a, b, x: betainc(a, b, x), ins, grad=False)


def _log_weight(a: Variable, b: Variable, x: Variable) -> Variable:
    """log(x**a (1 - x)**b / B(a, b)) inside 0 < x < 1."""
    weight = add(multiply(a, log(x)), multiply(b, log1p(negative(x))))
    return add(weight, subtract(lgamma(add(a, b)), add(lgamma(a), lgamma(b))))


def betainc_of(a: float, b: float, x: float) -> float:
    """I_x(a, b) by its power series alone, turned for x above a half (NIST DLMF 8.17.8)."""
    if not (a > 0 and b > 0 and 0 <= x <= 1):
        return math.nan
    if x in (0, 1):
        return float(x)
    if x > 0.5:
        return 1 - betainc_of(b, a, 1 - x)
    total, term, n = 1.0, 1.0, 0
    while term > total * 1e-17:
        term *= x * (a + b + n) / (a + 1 + n)
        total, n = total + term, n + 1
    weight = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a + 1) - math.lgamma(b)
    return math.exp(weight) * total


@public
def betainc(a: Any, b: Any, x: Any) -> Variable:
    """Elementwise regularized incomplete beta function I_x(a, b), a and b > 0 and 0 <= x <= 1, else NaN.

    Gradients flow to x alone.
    """
    (a, b, x), dtype = _wide(a, b, x)
    return cast(IncompleteBeta()(stop_gradient(a), stop_gradient(b), x), dtype)


# --- zeta ----------------------------------------------------------------------------------------
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
_TERMS = 10


@public
def zeta(s: Any, q: Any) -> Variable:
    """Elementwise Hurwitz zeta function, the sum of (q + k)**-s over k = 0, 1 ...; by Euler's and Maclaurin's formula.

    For s > 1 and q > 0; inf at s = 1 and for q = 0, -1, -2 ..., else NaN.  Gradients flow to both.
    """
    (s, q), dtype = _wide(s, q)
    valid = logical_and(greater(s, 1), greater(q, 0))
    t, p = where(valid, s, 2), where(valid, q, 1)
    total = power(p, negative(t))
    for k in range(1, _TERMS):
        total = add(total, power(add(p, k), negative(t)))
    end = add(p, _TERMS)
    last = power(end, negative(t))
    total = add(total, add(divide(multiply(last, end), subtract(t, 1)), multiply(0.5, last)))
    factor = divide(multiply(t, last), end)
    for j, b in enumerate(_BERNOULLI, 1):
        total = add(total, multiply(b / math.factorial(2 * j), factor))
        factor = divide(multiply(factor, multiply(add(t, 2 * j - 1), add(t, 2 * j))), multiply(end, end))
    pole = logical_or(equal(s, 1), logical_and(greater(s, 1), equal(q, floor(q))))
    return cast(where(valid, total, where(pole, np.inf, np.nan)), dtype)


@public
def polygamma(n: Any, x: Any) -> Variable:
    """Elementwise n-th derivative of digamma at x > 0, n = 0, 1, 2 ...; NaN for other n."""
    (n, x), dtype = _wide(n, x)
    whole = logical_and(equal(n, floor(n)), greater(n, -1))
    order = where(whole, n, 1)
    sign = subtract(multiply(2, mod(order, 2)), 1)
    higher = multiply(multiply(sign, exp(lgamma(add(order, 1)))), zeta(add(where(equal(order, 0), 1, order), 1), x))
    return cast(where(whole, where(equal(order, 0), digamma(x), higher), np.nan), dtype)
