"""Divisors that a gradient multiplies with again cancel.

The gradient of `t * log(p)` with p = softmax(x) is `t / p`, which the gradient of softmax multiplies by p: inf * 0
where p underflows.  A value that is positive in real arithmetic (an exponential, a sigmoid, a softmax, sums of them) is
0 or infinite only by rounding, so it cancels.
"""

from __future__ import annotations

from collections.abc import Callable

from graphflow.compiler.facts import positive_up_to_rounding
from graphflow.compiler.pattern import procedural
from graphflow.compiler.rewrite import Replacement, RewriteOptions
from graphflow.graph.variable import Apply, Variable
from graphflow.ops.elementwise import (
    Add,
    Divide,
    Multiply,
    Negative,
    Subtract,
    add,
    divide,
    multiply,
    negative,
    subtract,
)

DEPTH = 4

Cancel = Callable[[Variable], Variable | None]


@procedural("multiply", "(a / y + b) * y -> a + b * y for y > 0", assumes="real")
def cancel_divisor(node: Apply, options: RewriteOptions) -> Replacement:
    """For any sums, products and quotients in place of a / y + b, and for one or more factors y."""
    for e, product in (node.inputs, node.inputs[::-1]):
        factors = factors_of(product)
        for i, y in enumerate(factors):
            if not positive_up_to_rounding(y):
                continue
            cancelled = times(e, y, lambda v, y=y: _above(v, y))  # type: ignore[misc]
            if cancelled is not None:
                return product_of([cancelled, *factors[:i], *factors[i + 1 :]])
    return None


@procedural("divide", "(a * y) / y -> a for y > 0", assumes="real")
def cancel_factor(node: Apply, options: RewriteOptions) -> Replacement:
    product, y = node.inputs
    factors = factors_of(product)
    if y not in factors[len(factors) == 1 :] or not positive_up_to_rounding(y):
        return None
    factors.remove(y)
    return product_of(factors)


def factors_of(v: Variable, depth: int = 2) -> list[Variable]:
    """v, or the factors of the product it is."""
    if depth and v.owner is not None and isinstance(v.owner.op, Multiply):
        return [f for x in v.owner.inputs for f in factors_of(x, depth - 1)]
    return [v]


def product_of(factors: list[Variable]) -> Variable:
    result = factors[0]
    for f in factors[1:]:
        result = multiply(result, f)
    return result


def _above(v: Variable, y: Variable) -> Variable | None:
    """a for v = a / y."""
    return v.owner.inputs[0] if v.owner is not None and isinstance(v.owner.op, Divide) and v.owner.inputs[1] is y else None


def times(e: Variable, y: Variable, cancel: Cancel, depth: int = DEPTH) -> Variable | None:
    """e * y, multiplied out so far that `cancel(v)`, which gives v * y or None, applies; None where it never does."""
    found = cancel(e)
    if found is not None or e.owner is None or depth == 0:
        return found
    op, inputs = e.owner.op, e.owner.inputs
    if isinstance(op, Negative):
        inner = times(inputs[0], y, cancel, depth - 1)
        return None if inner is None else negative(inner)
    if isinstance(op, Divide):
        inner = times(inputs[0], y, cancel, depth - 1)
        return None if inner is None else divide(inner, inputs[1])
    if not isinstance(op, Add | Subtract | Multiply):
        return None
    left, right = (times(x, y, cancel, depth - 1) for x in inputs)
    if left is None and right is None:
        return None
    if isinstance(op, Multiply):
        return multiply(inputs[0], right) if left is None else multiply(left, inputs[1])
    combine = add if isinstance(op, Add) else subtract
    return combine(*(multiply(x, y) if done is None else done for x, done in zip(inputs, (left, right), strict=True)))
