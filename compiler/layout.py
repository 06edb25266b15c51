"""Bringing folds and contractions into the forms lowering has good loops for.

These choices fix association, so they depend on types and static sizes only.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphflow.compiler.clone import transform
from graphflow.graph.op import ContractOp, FoldOp
from graphflow.graph.variable import Apply, Variable
from graphflow.ops.contraction import Contract
from graphflow.ops.elementwise import cast, multiply
from graphflow.ops.reduction import Sum
from graphflow.ops.shape import expand_dims, transpose


def arrange(outputs: Sequence[Variable]) -> list[Variable]:
    """All folds over trailing axes or keeping the last one; all contractions with lanes to run along."""
    return transform(outputs, _arrange_node)


def _arrange_node(node: Apply, inputs: list[Variable]) -> Sequence[Variable] | None:
    if isinstance(node.op, FoldOp):
        return _arrange_fold(node.op, inputs[0])
    if isinstance(node.op, ContractOp):
        return _arrange_contraction(node.op, *inputs)
    return None


def _arrange_fold(op: FoldOp, x: Variable) -> Sequence[Variable] | None:
    """fold over (0, 2) of (a, b, c) -> fold over 0 of fold over 2, for sums; transposed for others."""
    rank = x.ndim
    trailing = tuple(a for a in op.axes if all(b in op.axes for b in range(a, rank)))
    if len(trailing) == len(op.axes) or rank - 1 not in op.axes:
        return None
    if type(op) is Sum:
        inner: Variable = Sum(trailing)(x)
        return [Sum(tuple(a for a in op.axes if a not in trailing))(inner)]
    kept = tuple(a for a in range(rank) if a not in op.axes)
    turned = transpose(x, kept + op.axes)
    import dataclasses

    moved = dataclasses.replace(op, axes=tuple(range(len(kept), rank)))  # type: ignore[type-var]
    return [moved(turned)]


def _arrange_contraction(op: ContractOp, a: Variable, b: Variable) -> Sequence[Variable] | None:
    left, right, out = op.labels
    summed = [x for x in dict.fromkeys(left + right) if x not in out]
    if a.dtype.kind != "b" and summed and _is_dot_like(left, right, out):
        return [_as_fold(left, right, out, summed, a, b)]
    if not out:
        return None
    n = out[-1]
    if n not in right:  # multiplication commutes exactly
        a, b, left, right = b, a, right, left
    if right[-1] != n:
        order = [x for x in right if x != n] + [n]
        b = transpose(b, tuple(right.index(x) for x in order))
        right = "".join(order)
    return None if (left, right, out) == op.labels else [Contract(left, right, out)(a, b)]


def _is_dot_like(left: str, right: str, out: str) -> bool:
    """Both operands run along a summed axis, and one has no axis of its own: there are no lanes but the summed ones."""
    if left[-1] in out or right[-1] in out or left[-1] != right[-1]:
        return False
    return not (set(left) - set(right)) & set(out) or not (set(right) - set(left)) & set(out)


def _as_fold(left: str, right: str, out: str, summed: list[str], a: Variable, b: Variable) -> Variable:
    """einsum('mk,k->m') -> sum(a * b, over k), which is the canonical fold."""
    order = out + "".join(summed)

    def aligned(v: Variable, labels: str) -> Variable:
        present = [x for x in order if x in labels]
        v = transpose(v, tuple(labels.index(x) for x in present))
        return expand_dims(v, tuple(i for i, x in enumerate(order) if x not in labels))

    product = multiply(aligned(a, left), aligned(b, right))
    result: Variable = Sum(tuple(range(len(out), len(order))))(product)
    return cast(result, a.dtype)
