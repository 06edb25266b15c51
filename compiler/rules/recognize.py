"""Compositions that have a name: log(softmax), log(sum(exp)), exp / sum(exp).

They are tried before composed ops are expanded, never after: an expansion contains the very formula.
"""

from __future__ import annotations

from graphflow.compiler.pattern import Match, P, hole, param, procedural, rule, rule_set
from graphflow.compiler.rewrite import Replacement, RewriteOptions
from graphflow.compiler.rules.cancel import times
from graphflow.compiler.rules.canonicalize import CANONICALIZE
from graphflow.compiler.rules.fold import FOLD
from graphflow.compiler.rules.simplify import SIMPLIFY
from graphflow.compiler.rules.stabilize import STABILIZE
from graphflow.graph.variable import Apply, Variable
from graphflow.ops.elementwise import Divide, multiply
from graphflow.ops.reduction import Sum
from graphflow.ops.shape import ExpandDims, broadcast_to, expand_dims
from graphflow.ops.softmax import softmax
from graphflow.ops.transcendental import Exp

x, axis, axes = hole("x"), param("axis", 1), param("axes", (1,))


def _has_elements(m: Match) -> bool:
    return all(m.x.shape[a] != 0 for a in m.axes)


@procedural("divide", "exp(x) / sum(exp(x)) -> softmax(x)", assumes="real")
def quotient_of_exponentials(node: Apply, options: RewriteOptions) -> Replacement:
    e, total = node.inputs
    axis = _summed_axis(total, e)
    return None if axis is None else softmax(_exponent(e), axis)


@procedural("multiply", "exp(x) * (a / sum(exp(x))) -> a * softmax(x)", assumes="real")
def product_with_quotient(node: Apply, options: RewriteOptions) -> Replacement:
    """What the gradient of log(sum(exp(x))) multiplies, where both factors may overflow; also for sums of such quotients."""
    for e, share in (node.inputs, node.inputs[::-1]):
        if e.owner is not None and isinstance(e.owner.op, Exp):
            result = times(share, e, lambda v, e=e: _share(v, e))  # type: ignore[misc]
            if result is not None:
                return result
    return None


def _share(v: Variable, e: Variable) -> Variable | None:
    """a * softmax(x) for v = a / sum(e) and e = exp(x), new axes of size 1 apart."""
    inner, new_axis = _without_new_axis(v)
    if inner.owner is None or not isinstance(inner.owner.op, Divide):
        return None
    a, total = inner.owner.inputs
    if inner is v and (axis := _summed_axis(total, e)) is not None:
        return multiply(a, softmax(_exponent(e), axis))
    axis = _reduced_axis(total, e)
    if axis is None or axis != new_axis:
        return None
    return multiply(expand_dims(broadcast_to(a, total.shape), axis), softmax(_exponent(e), axis))


def _exponent(e: Variable) -> Variable:
    assert e.owner is not None
    return e.owner.inputs[0]


def _summed_axis(total: Variable, e: Variable) -> int | None:
    """The axis if `total`, broadcast to e = exp(x), is the sum of e along it."""
    inner, new_axis = _without_new_axis(total)
    axis = _reduced_axis(inner, e)
    return axis if axis == new_axis else None


def _without_new_axis(v: Variable) -> tuple[Variable, int | None]:
    """What one new axis was given to, and its place; a value of lower rank has its new axis in front."""
    if v.owner is not None and isinstance(v.owner.op, ExpandDims):
        return v.owner.inputs[0], v.owner.op.axes[0] if len(v.owner.op.axes) == 1 else None
    return v, 0


def _reduced_axis(total: Variable, e: Variable) -> int | None:
    """The one axis if `total` is sum(e, axis) of an exponential."""
    if e.owner is None or not isinstance(e.owner.op, Exp) or total.owner is None or not isinstance(total.owner.op, Sum):
        return None
    axes = total.owner.op.axes
    return axes[0] if total.owner.inputs[0] is e and len(axes) == 1 and e.shape[axes[0]] != 0 else None


RECOGNIZE = rule_set(
    "recognize",
    [
        rule(P.log(P.softmax(x, axis=axis)), P.log_softmax(x, axis=axis), assumes="real"),
        rule(P.exp(P.log_softmax(x, axis=axis)), P.softmax(x, axis=axis), assumes="real"),
        rule(P.log(P.sum(P.exp(x), axes=axes)), P.logsumexp(x, axes=axes), where=_has_elements, assumes="real"),
        quotient_of_exponentials,
        product_with_quotient,
    ],
    after=[FOLD, CANONICALIZE, SIMPLIFY, STABILIZE],
)
