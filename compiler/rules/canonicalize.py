"""One form for what can be written in several ways, so that other rules have one form to look for.

Constants stand on the right, x - c is x + (-c), 1 / x is a division, negation moves outwards, constants
meet and fold, broadcasts leave elementwise ops, and chains of views become one view.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from graphflow.compiler.facts import is_constant
from graphflow.compiler.pattern import Match, P, hole, procedural, rule, rule_set, scalar
from graphflow.compiler.rewrite import Replacement, RewriteOptions
from graphflow.compiler.rules.broadcasts import BROADCASTS
from graphflow.compiler.rules.contractions import CONTRACTIONS
from graphflow.compiler.rules.fold import FOLD
from graphflow.compiler.rules.reductions import REDUCTIONS
from graphflow.compiler.rules.views import VIEWS
from graphflow.graph.op import ScalarOp
from graphflow.graph.variable import Apply

x, y, any_x, float_x = hole("x"), hole("y"), hole("x", "any"), hole("x", "float")
c, d = scalar("c"), scalar("d")


@procedural(ScalarOp, "op(c, x) -> op(x, c) for commutative ops")
def order_operands(node: Apply, options: RewriteOptions) -> Replacement:
    """Constants right, else the older operand left, so that a + b and b + a are one node.  Extremes keep their order: they choose between 0.0 and -0.0."""
    if not node.op.commutative or len(node.inputs) != 2:
        return None
    a, b = node.inputs
    first, second = is_constant(a), is_constant(b)
    if node.op.name in ("maximum", "minimum"):
        wrong = first and not second
    else:
        wrong = first > second or (first == second and a.serial > b.serial)
    return node.op(b, a) if wrong else None


def _of_constants(combine: Callable[[Any, Any], Any], kept: Callable[[Any], bool]) -> Callable[[Match], bool]:
    """A condition on the constant that c and d become; whatever integers become is right."""

    def where(m: Match) -> bool:
        if m.type.dtype.kind != "f":
            return True
        with np.errstate(all="ignore"):
            return kept(combine(m.value("c"), m.value("d")))

    return where


def is_normal(value: Any) -> bool:
    """Finite, and large enough to have all its digits."""
    return bool(np.isfinite(value)) and bool(np.abs(value) >= np.finfo(value.dtype).tiny)


sum_is_finite = _of_constants(operator.add, np.isfinite)
difference_is_finite = _of_constants(operator.sub, np.isfinite)
product_is_normal = _of_constants(operator.mul, is_normal)
quotient_is_normal = _of_constants(operator.truediv, is_normal)
inverse_quotient_is_normal = _of_constants(lambda c, d: d / c, is_normal)


def is_power_of_two(m: Match) -> bool:
    value = m.value("c")
    return bool(np.abs(np.frexp(value)[0]) == 0.5) and is_normal(value) and is_normal(1 / value)


SAME = [
    rule(P.identity(any_x), any_x),
    rule(P.stop_gradient(any_x), any_x),
    rule(P.reciprocal(float_x), 1 / float_x),
    rule(x * x, P.square(x)),
    rule(x + x, 2 * x),
]

NEGATION = [
    rule(P.negative(-x), x),
    rule(-(x - y), y - x, assumes="real"),
    rule(-(x + c), (-c) - x, assumes="real"),
    rule(-(x * c), x * (-c)),
    rule(-(x / c), x / (-c)),
    rule(-(c / x), (-c) / x),
    rule(x + (-y), x - y),
    rule(x - (-y), x + y),
    rule((-x) - y, -(x + y), assumes="real"),
    rule((-x) * y, -(x * y)),
    rule((-x) / y, -(x / y)),
    rule(x / (-y), -(x / y)),
    rule(P.square(-x), P.square(x)),
    rule(P.abs(-x), P.abs(x)),
]

CONSTANTS = [
    rule(x - c, x + (-c)),
    rule((x + c) + d, x + (c + d), where=sum_is_finite, assumes="real"),
    rule((c - x) + d, (c + d) - x, where=sum_is_finite, assumes="real"),
    rule(c - (x + d), (c - d) - x, where=difference_is_finite, assumes="real"),
    rule(c - (d - x), x + (c - d), where=difference_is_finite, assumes="real"),
    rule((x * c) * d, x * (c * d), where=product_is_normal, assumes="real"),
    rule((c / x) * d, (c * d) / x, where=product_is_normal, assumes="real"),
    rule((x / c) * d, x * (d / c), where=inverse_quotient_is_normal, assumes="real"),
    rule((x * c) / d, x * (c / d), where=quotient_is_normal, assumes="real"),
    rule((c / x) / d, (c / d) / x, where=quotient_is_normal, assumes="real"),
    rule((x / c) / d, x / (c * d), where=product_is_normal, assumes="real"),
    rule(c / (x * d), (c / d) / x, where=quotient_is_normal, assumes="real"),
    rule(c / (x / d), (c * d) / x, where=product_is_normal, assumes="real"),
    rule(c / (d / x), x * (c / d), where=quotient_is_normal, assumes="real"),
    rule(x / c, x * (1 / c), where=is_power_of_two, doc="x / c -> x * (1 / c) for a power of two"),
]

CANONICALIZE = rule_set(
    "canonicalize",
    [*VIEWS, *BROADCASTS, order_operands, *SAME, *NEGATION, *CONSTANTS, *REDUCTIONS, *CONTRACTIONS],
    after=[FOLD],
)
