"""What to call a launch: the ops in it, and the user's line that most of its work comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphflow.compiler.memory import guide_size
from graphflow.compiler.op_cost import flops
from graphflow.compiler.program import Call, Launch
from graphflow.graph import source
from graphflow.graph.dim import Dim, Size, Symbol, substitute
from graphflow.graph.op import ContractOp
from graphflow.graph.variable import Apply


@dataclass(frozen=True)
class KernelName:
    """The kernel's symbol, its ops with the dominant one first, and that one's file and line (0: unknown)."""

    symbol: str
    ops: tuple[str, ...]
    file: str
    line: int

    @property
    def text(self) -> str:
        return " · ".join(self.ops)

    @property
    def place(self) -> str:
        """`file.py:12`."""
        return f"{source.shown_name(self.file)}:{self.line}" if self.line else ""


def name_launch(launch: Launch, sizes: Mapping[Symbol, int]) -> KernelName:
    """The name of a launch at the sizes of a call."""
    made_of = list(launch.group.members) or [v.owner for v in launch.group.stores if v.owner is not None]
    first = max(made_of, key=lambda node: _weight(node, sizes))
    others = [title(node) for node in made_of if node is not first]
    file, line = source.line_of(first.source) if first.source else ("", 0)
    return KernelName(launch.proc.name, (title(first), *dict.fromkeys(others)), file, line)


def name_call(call: Call) -> KernelName:
    """The name of a foreign call."""
    (node,) = call.group.members
    file, line = source.line_of(node.source) if node.source else ("", 0)
    return KernelName(call.symbol, (title(node),), file, line)


def title(node: Apply) -> str:
    """The op's name; a contraction is its labels, `ij,jk→ik`."""
    if isinstance(node.op, ContractOp):
        left, right, result = node.op.labels
        return f"{left},{right}→{result}"
    return str(node.op).partition("{")[0]


def _weight(node: Apply, sizes: Mapping[Symbol, int]) -> tuple[int, int]:
    """What decides which op of a kernel dominates: its operations, then its elements."""
    operations = flops(node)
    return _at(0 if operations is None else operations, sizes), max(_at(v.size, sizes) for v in (*node.inputs, *node.outputs))


def _at(size: Size, sizes: Mapping[Symbol, int]) -> int:
    return guide_size(substitute(size, dict(sizes))) if isinstance(size, Dim) else size
