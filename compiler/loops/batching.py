"""An op on a row -> the op on all rows at once.

Each form of op that can run over a further leading axis has a rule; what has none stays in its loop.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from string import ascii_letters

from graphflow.graph import source
from graphflow.graph.dim import Size
from graphflow.graph.op import ContractOp, FoldOp, Op, ScalarOp
from graphflow.graph.traversal import toposort
from graphflow.graph.variable import Apply, Variable
from graphflow.ops.contraction import Contract
from graphflow.ops.shape import BroadcastTo, ExpandDims, Reshape, Squeeze, Transpose, reshape
from graphflow.ops.slicing import Pad, Slice

Rows = tuple[Variable, bool]  # a value, and whether its first axis runs over rows
OneView = Callable[[Op, Variable, Size], Variable]


def _transpose(op: Op, x: Variable, length: Size) -> Variable:
    assert isinstance(op, Transpose)
    made: Variable = Transpose((0, *(a + 1 for a in op.order)))(x)
    return made


def _expand_dims(op: Op, x: Variable, length: Size) -> Variable:
    assert isinstance(op, ExpandDims)
    made: Variable = ExpandDims(tuple(a + 1 for a in op.axes))(x)
    return made


def _squeeze(op: Op, x: Variable, length: Size) -> Variable:
    assert isinstance(op, Squeeze)
    made: Variable = Squeeze(tuple(a + 1 for a in op.axes))(x)
    return made


def _reshape(op: Op, x: Variable, length: Size) -> Variable:
    assert isinstance(op, Reshape)
    made: Variable = Reshape((length, *op.shape))(x)
    return made


def _broadcast(op: Op, x: Variable, length: Size) -> Variable:
    assert isinstance(op, BroadcastTo)
    made: Variable = BroadcastTo((length, *op.shape))(_aligned(x, len(op.shape), length))
    return made


def _slice(op: Op, x: Variable, length: Size) -> Variable:
    assert isinstance(op, Slice)
    made: Variable = Slice((0, *op.starts), (1, *op.steps), (length, *op.sizes))(x)
    return made


def _pad(op: Op, x: Variable, length: Size) -> Variable:
    assert isinstance(op, Pad)
    made: Variable = Pad((0, *op.starts), (1, *op.steps), (length, *op.shape), op.value)(x)
    return made


VIEWS: Mapping[type[Op], OneView] = {
    Transpose: _transpose, ExpandDims: _expand_dims, Squeeze: _squeeze, Reshape: _reshape, BroadcastTo: _broadcast,
    Slice: _slice, Pad: _pad,
}  # fmt: skip


def can_batch(node: Apply) -> bool:
    """Is there a rule for the op?  Elementwise ops that know where their elements are (random ones) have none."""
    op = node.op
    if isinstance(op, ScalarOp):
        return type(op).infer is ScalarOp.infer
    return isinstance(op, ContractOp | FoldOp) or type(op) in VIEWS


def _aligned(x: Variable, rank: int, length: Size) -> Variable:
    """Rows of a lower rank than `rank`, with axes of size 1 after the first."""
    missing = rank - (x.ndim - 1)
    return x if missing <= 0 else reshape(x, (length, *(1,) * missing, *x.shape[1:]))


def batched(node: Apply, operands: Sequence[Rows], length: Size) -> Variable:
    """The op on rows: at least one operand has them, and so has the result."""
    op, values = node.op, [v for v, _ in operands]
    if isinstance(op, ScalarOp):
        rank = len(node.outputs[0].shape)
        return op(*(_aligned(v, rank, length) if rows else v for v, rows in operands))  # type: ignore[no-any-return]
    if isinstance(op, ContractOp):
        return contraction_of_rows(op, operands, keep=True)
    if isinstance(op, FoldOp):
        return fold_of_rows(op, values[0])
    return VIEWS[type(op)](op, values[0], length)


def fold_of_rows(op: FoldOp, x: Variable, *, rows: bool = False) -> Variable:
    """The fold of each row, or (`rows`) over the rows too."""
    axes = ((0,) if rows else ()) + tuple(a + 1 for a in op.axes)
    made: Variable = dataclasses.replace(op, axes=axes)(x)  # type: ignore[type-var]
    return made


def contraction_of_rows(op: ContractOp, operands: Sequence[Rows], *, keep: bool) -> Variable:
    """The products of the rows, or their sum over the rows (both operands have them then)."""
    left, right, out = op.labels
    row = next(c for c in ascii_letters if c not in left + right + out)
    (a, a_rows), (b, b_rows) = operands
    made: Variable = Contract(row * a_rows + left, row * b_rows + right, row * keep + out)(a, b)
    return made


class Batch:
    """Values of a body for all rows: `known` are the ones to begin with."""

    def __init__(self, known: Mapping[Variable, Rows], length: Size) -> None:
        self.known: dict[Variable, Rows] = dict(known)
        self.length = length

    def value(self, v: Variable) -> Rows:
        """A value of the body, from the known ones; everything between can be batched."""
        for node in toposort([v], set(self.known)):
            operands = [self.known.get(x, (x, False)) for x in node.inputs]
            with source.at(node.source):
                rows = any(r for _, r in operands)
                made = (batched(node, operands, self.length),) if rows else self.same(node, [x for x, _ in operands])
            self.known.update({out: (new, rows) for out, new in zip(node.outputs, made, strict=True)})
        return self.known.get(v, (v, False))

    @staticmethod
    def same(node: Apply, inputs: Sequence[Variable]) -> tuple[Variable, ...]:
        made = node.op(*inputs)
        return made if isinstance(made, tuple) else (made,)
