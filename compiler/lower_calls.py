"""Extern group -> a call of foreign code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphflow.compiler.fuse import Fusion, Group
from graphflow.compiler.program import Call
from graphflow.graph import source
from graphflow.graph.dim import Symbol, symbols_of
from graphflow.graph.op import ExternOp
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable

if TYPE_CHECKING:
    from graphflow.compiler.assemble import Block


class LoweredCall:
    """An ExternOp and what it is called with."""

    checks = True

    def __init__(self, fusion: Fusion, group: Group) -> None:
        self.group, self.node = group, group.members[0]
        op = self.node.op
        assert isinstance(op, ExternOp)
        self.op = op
        self.stores = list(dict.fromkeys(map(fusion.root, self.node.outputs)))
        self.operands = [fusion.root(v) for v in self.node.inputs]
        self.after: list[Variable] = []  # scalars whose values its sizes need
        scratch = op.work(*(v.type for v in self.node.inputs))
        self.work = [] if scratch == 0 else [Variable(TensorType.make("uint8", (scratch,)), name="work")]

    @property
    def touched(self) -> list[Variable]:
        return [*self.operands, *self.after]

    @property
    def symbols(self) -> set[Symbol]:
        """The Dims it depends on."""
        return {s for v in (*self.node.inputs, *self.node.outputs) for size in v.shape for s in symbols_of(size)}

    @property
    def slots(self) -> int:
        operands = (*self.node.inputs, *self.node.outputs)
        return len(operands) + sum(len(v.shape) for v in operands)

    def step(self, block: Block) -> Call:
        site = len(block.context.sites)
        block.context.sites.append(f"{self.op.failure}\n{source.describe(self.node.source)}")
        sizes = [s for v in (*self.node.inputs, *self.node.outputs) for s in v.shape]
        scratch = block.place(self.work[0]) if self.work else None
        return Call(self.op.symbol, [block.place(v) for v in self.node.inputs], [block.place(v) for v in self.node.outputs], sizes, scratch, site, self.group)
