"""Contractions read and write their operands in any order of axes: transposes become labels."""

from __future__ import annotations

from graphflow.compiler.pattern import procedural
from graphflow.compiler.rewrite import Replacement, RewriteOptions, Rule
from graphflow.graph.variable import Apply, Variable
from graphflow.ops.contraction import Contract, contract
from graphflow.ops.elementwise import Negative, negative
from graphflow.ops.shape import Transpose


@procedural("contract", "contract(transpose(x), y) -> contract(x, y)")
def operands_transposed(node: Apply, options: RewriteOptions) -> Replacement:
    assert isinstance(node.op, Contract)
    (x, y), op = node.inputs, node.op
    (a, left), (b, right) = _untransposed(x, op.left), _untransposed(y, op.right)
    return None if a is x and b is y else contract(a, b, left, right, op.result)


def _untransposed(x: Variable, labels: str) -> tuple[Variable, str]:
    """What a transpose was made of, with the labels its axes had there."""
    if x.owner is None or not isinstance(x.owner.op, Transpose):
        return x, labels
    order = x.owner.op.order
    return x.owner.inputs[0], "".join(labels[order.index(a)] for a in range(len(order)))


@procedural("transpose", "transpose(contract(x, y)) -> contract(x, y)")
def result_transposed(node: Apply, options: RewriteOptions) -> Replacement:
    (product,) = node.inputs
    assert isinstance(node.op, Transpose)
    if product.owner is None or not isinstance(product.owner.op, Contract):
        return None
    (x, y), op = product.owner.inputs, product.owner.op
    return contract(x, y, op.left, op.right, "".join(op.result[a] for a in node.op.order))


@procedural("contract", "contract(-x, y) -> -contract(x, y)", assumes="real")
def negated_operand(node: Apply, options: RewriteOptions) -> Replacement:
    assert isinstance(node.op, Contract)
    (x, y), op = node.inputs, node.op
    for operand in (x, y):
        if operand.owner is not None and isinstance(operand.owner.op, Negative):
            (inner,) = operand.owner.inputs
            a, b = (inner, y) if operand is x else (x, inner)
            return negative(contract(a, b, op.left, op.right, op.result))
    return None


CONTRACTIONS: list[Rule] = [operands_transposed, result_transposed, negated_operand]
