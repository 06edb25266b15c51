"""Formulas that overflow, underflow or cancel become the functions that do not."""

from __future__ import annotations

from graphflow.compiler.facts import opposite
from graphflow.compiler.pattern import Call, Match, P, Pattern, PatternRule, hole, rule, rule_set
from graphflow.compiler.rules.cancel import cancel_divisor, cancel_factor
from graphflow.compiler.rules.canonicalize import CANONICALIZE
from graphflow.compiler.rules.fold import FOLD
from graphflow.compiler.rules.simplify import SIMPLIFY

x, y, a = hole("x"), hole("y"), hole("a")

LOGARITHMS = [
    rule(P.log(1 + P.exp(x)), P.softplus(x), assumes="real"),
    rule(P.log1p(P.exp(x)), P.softplus(x), assumes="real"),
    rule(P.log(1 + x), P.log1p(x), assumes="real"),
    rule(P.log(1 - x), P.log1p(-x), assumes="real"),
    rule(P.log(P.sigmoid(x)), -P.softplus(-x), assumes="real"),
    rule(P.log1p(-P.sigmoid(x)), -P.softplus(x), assumes="real"),
    rule(P.log(P.square(x)), 2 * P.log(P.abs(x)), assumes="real"),
    rule(P.log(P.sqrt(x)), 0.5 * P.log(x), assumes="real"),
    rule(P.exp(-P.softplus(x)), P.sigmoid(-x), assumes="real"),
]

CANCELLATIONS = [
    rule(P.exp(x) + -1, P.expm1(x), assumes="real"),
    rule(1 - P.exp(x), -P.expm1(x), assumes="real"),
    rule(1 - P.sigmoid(x), P.sigmoid(-x), assumes="real"),
    rule(1 - P.erf(x), P.erfc(x), assumes="real"),
    rule(1 - P.erfc(x), P.erf(x), assumes="real"),
]

SIGMOIDS = [
    rule(P.exp(x) / (1 + P.exp(x)), P.sigmoid(x), assumes="real"),
    rule(a / (1 + P.exp(x)), a * P.sigmoid(-x), assumes="real"),
]


def _y_is_minus_x(m: Match) -> bool:
    return opposite(m.x, m.y)


def _with_opposite(left: Call, right: Pattern) -> PatternRule:
    return rule(left, right, where=_y_is_minus_x, assumes="real", doc=f"{left} -> {right} for y = -x")


TANH = [
    _with_opposite((P.exp(x) - P.exp(y)) / (P.exp(x) + P.exp(y)), P.tanh(x)),
    _with_opposite(P.expm1(x) * P.sigmoid(y), P.tanh(0.5 * x)),
]

# What gradients of the formulas above multiply: 0 * inf where the factors under- and overflow.
PRODUCTS = [
    _with_opposite(P.sigmoid(x) * P.exp(y), P.sigmoid(y)),
    _with_opposite((a * P.sigmoid(x)) * P.exp(y), a * P.sigmoid(y)),
    _with_opposite((a * P.exp(y)) * P.sigmoid(x), a * P.sigmoid(y)),
]

STABILIZE = rule_set(
    "stabilize",
    [*LOGARITHMS, *CANCELLATIONS, *SIGMOIDS, *TANH, *PRODUCTS, cancel_divisor, cancel_factor],
    after=[FOLD, CANONICALIZE, SIMPLIFY],
)
