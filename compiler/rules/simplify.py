"""Neutral and absorbing elements, inverse functions, powers, choices and comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.compiler.facts import finite, nonnegative, nonzero, uniform_value
from graphflow.compiler.pattern import Match, P, hole, procedural, rule, rule_set, scalar
from graphflow.compiler.rewrite import Replacement, RewriteOptions
from graphflow.compiler.rules.canonicalize import CANONICALIZE
from graphflow.compiler.rules.fold import FOLD
from graphflow.graph.variable import Apply, Variable
from graphflow.ops.creation import ones_like
from graphflow.ops.elementwise import divide, multiply, rsqrt, sqrt, square, where
from graphflow.ops.logic import greater_equal

x = hole("x")
f, p = hole("x", "float"), hole("p", "bool")
i, j, n = hole("i", "int"), hole("j", "int"), hole("n", "bits")
a, b, other = hole("a", "any"), hole("b", "any"), hole("other", "any")
c, d = scalar("c"), scalar("d")


NEUTRAL = [
    rule(x * 1, x),
    rule(x * -1, -x),
    rule(f + -0.0, f),
    rule(x + 0, x, assumes="real"),
    rule(0 - x, -x, assumes="real"),
    rule(P.floor_divide(i, 1), i),
    rule(P.mod(i, 1), 0),
    rule(p * True, p),
    rule(p + False, p),
    rule(P.bitwise_and(p, True), p),
    rule(P.bitwise_and(p, False), False),
    rule(P.bitwise_or(p, True), True),
    rule(P.bitwise_or(p, False), p),
    rule(P.bitwise_xor(p, False), p),
    rule(P.bitwise_xor(p, True), P.invert(p)),
    rule(P.bitwise_and(i, 0), 0),
    rule(P.bitwise_or(i, 0), i),
    rule(P.bitwise_xor(i, 0), i),
]

ABSORBING = [
    rule(x * 0, 0, assumes="finite"),
    rule(x - x, 0, assumes="finite"),
    rule(0 / f, 0, assumes="finite", proof=lambda m: finite(m.x) and nonzero(m.x)),
    rule(f / f, 1, assumes="finite", proof=lambda m: finite(m.x) and nonzero(m.x)),
]

SELF = [
    rule(P.maximum(a, a), a),
    rule(P.minimum(a, a), a),
    rule(P.bitwise_and(n, n), n),
    rule(P.bitwise_or(n, n), n),
    rule(P.bitwise_xor(n, n), 0),
    rule(P.less(a, a), False),
    rule(P.equal(n, n), True),
    rule(P.not_equal(n, n), False),
    rule(P.less_equal(n, n), True),
]

EXTREMES = [
    rule(P.maximum(P.maximum(x, c), d), P.maximum(x, P.maximum(c, d))),
    rule(P.minimum(P.minimum(x, c), d), P.minimum(x, P.minimum(c, d))),
    rule(P.relu(P.relu(x)), P.relu(x)),
    rule(P.maximum(P.relu(x), 0), P.relu(x)),
    rule(P.abs(P.abs(x)), P.abs(x)),
    rule(P.abs(P.square(f)), P.square(f)),
    rule(P.abs(x), x, where=lambda m: nonnegative(m.x), assumes="real", doc="abs(x) -> x for x proved >= 0"),
    rule(P.relu(x), x, where=lambda m: nonnegative(m.x), assumes="real", doc="relu(x) -> x for x proved >= 0"),
    rule(P.square(P.abs(x)), P.square(x)),
]

LOGIC = [
    rule(P.invert(P.invert(n)), n),
    rule(P.invert(P.equal(a, b)), P.not_equal(a, b)),
    rule(P.invert(P.not_equal(a, b)), P.equal(a, b)),
    rule(P.invert(P.less(i, j)), P.less_equal(j, i)),
    rule(P.invert(P.less_equal(i, j)), P.less(j, i)),
    rule(P.where(True, a, b), a),
    rule(P.where(False, a, b), b),
    rule(P.where(p, a, a), a),
    rule(P.where(p, True, False), p),
    rule(P.where(p, False, True), P.invert(p)),
    rule(P.where(P.invert(p), a, b), P.where(p, b, a)),
    rule(P.where(p, P.where(p, a, other), b), P.where(p, a, b)),
    rule(P.where(p, a, P.where(p, other, b)), P.where(p, a, b)),
]


# --- powers ------------------------------------------------------------------------------------
LARGEST_POWER = 8


@procedural("power", "x ** n -> products of x for a small whole n", assumes="real")
def whole_power(node: Apply, options: RewriteOptions) -> Replacement:
    base, exponent = node.inputs
    value = uniform_value(exponent)
    if value is None or value != np.rint(value) or abs(value) > LARGEST_POWER or (value < 0 and base.dtype.kind != "f"):
        return None
    n = int(value)
    power = _product(base, abs(n)) if n else ones_like(base)
    return power if n >= 0 else divide(1, power)


def _product(v: Variable, n: int) -> Variable:
    """v**n by squaring, n > 0."""
    if n == 1:
        return v
    half = square(_product(v, n // 2))
    return multiply(half, v) if n % 2 else half


@procedural("power", "x ** 0.5 -> sqrt(x)", assumes="real")
def half_power(node: Apply, options: RewriteOptions) -> Replacement:
    """Also -0.5, 1.5 and -1.5."""
    base, exponent = node.inputs
    value: Any = uniform_value(exponent)
    if base.dtype.kind != "f" or value is None or abs(value) not in (0.5, 1.5):
        return None
    root = sqrt(base) if value > 0 else rsqrt(base)
    if abs(value) == 0.5:
        return root
    return multiply(base, root) if value > 0 else divide(root, base)


# --- inverse functions -------------------------------------------------------------------------
def where_not_negative(m: Match) -> Variable:
    """x, and NaN where x is below 0, as the root or logarithm that stood here gave."""
    v: Variable = m.x
    return v if nonnegative(v) else where(greater_equal(v, 0), v, np.nan)


INVERSE = [
    rule(P.log(P.exp(f)), f, assumes="real"),
    rule(P.exp(P.log(f)), where_not_negative, assumes="real", doc="exp(log(x)) -> x where x >= 0, else NaN"),
    rule(P.log1p(P.expm1(f)), f, assumes="real"),
    rule(P.log(P.exp2(f)), float(np.log(2)) * f, assumes="real"),
    rule(P.log2(P.exp2(f)), f, assumes="real"),
    rule(P.square(P.sqrt(f)), where_not_negative, assumes="real", doc="sqrt(x) ** 2 -> x where x >= 0, else NaN"),
    rule(P.sqrt(P.square(f)), P.abs(f), assumes="real"),
    rule(1 / P.sqrt(f), P.rsqrt(f), assumes="real"),
]

SIMPLIFY = rule_set(
    "simplify",
    [*NEUTRAL, *ABSORBING, *SELF, *EXTREMES, *LOGIC, whole_power, half_power, *INVERSE],
    after=[FOLD, CANONICALIZE],
)
