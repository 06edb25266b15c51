"""Values of a forward loop that its gradient need not make again.

The body of a gradient begins as a copy of the forward body.  Where it would compute something dear a second time, the
forward loop stacks that value, and the gradient reads its rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from graphflow.compiler.fuse import DEAR
from graphflow.compiler.intern import encode
from graphflow.graph.op import ReshapeOp, ScalarOp, ViewOp
from graphflow.graph.traversal import toposort
from graphflow.graph.variable import Apply, Constant, Variable
from graphflow.ops.loops import Scan
from graphflow.ops.slicing import Slice


@dataclass
class Kept:
    """What a loop has to stack for others (`rows`: values of its body), and what it reads of others (its own value -> (loop, value there))."""

    rows: dict[Variable, None] = field(default_factory=dict)
    read: dict[Variable, tuple[Apply, Variable]] = field(default_factory=dict)


def plan_residuals(outputs: Sequence[Variable]) -> dict[Apply, Kept]:
    """For the loops of a graph what they keep and read."""
    plan: dict[Apply, Kept] = {}
    for node in toposort(outputs):
        if isinstance(node.op, Scan):
            for forward in forward_loops(node):
                for mine, theirs in shared_values(forward, node).items():
                    if mine not in plan.setdefault(node, Kept()).read:
                        plan[node].read[mine] = forward, theirs
                        plan.setdefault(forward, Kept()).rows[theirs] = None
    return plan


def forward_loops(node: Apply) -> list[Apply]:
    """The loops over the same rows whose histories a loop reads."""
    op = node.op
    assert isinstance(op, Scan)
    found: dict[Apply, None] = {}
    for v in op.operands(node.inputs).sequences:
        source = history_of(v)
        if source is not None and source[0].op.length == op.length:  # type: ignore[attr-defined]
            found[source[0]] = None
    return list(found)


def history_of(v: Variable) -> tuple[Apply, int] | None:
    """The loop and the carry whose values before each trip are the rows of `v`."""
    node = v.owner
    if node is None or not isinstance(node.op, Slice) or node.inputs[0].owner is None:
        return None
    loop, index = node.inputs[0].owner, node.inputs[0].index
    if not isinstance(loop.op, Scan) or loop.op.length is None or not loop.op.carries <= index < 2 * loop.op.carries:
        return None
    first = (int(loop.op.reverse), *[0] * (v.ndim - 1))
    whole = node.op.sizes == v.shape and v.shape[0] == loop.op.length and set(node.op.steps) == {1} and node.op.starts == first
    return (loop, index - loop.op.carries) if whole else None


def shared_values(forward: Apply, node: Apply) -> dict[Variable, Variable]:
    """Values of the body of `node` that are dear, wanted, and values of the body of `forward`: mine -> theirs."""
    theirs = counterparts(forward, node)
    op = node.op
    assert isinstance(op, Scan)
    wanted = [v for n in op.body.nodes if n.outputs[0] not in theirs for v in n.inputs] + list(op.body.outputs)
    found: dict[Variable, Variable] = {}
    stack, seen = list(wanted), set()
    while stack:
        v = stack.pop()
        if v in seen or v.owner is None or v not in theirs:
            continue
        seen.add(v)
        if is_dear(v.owner):
            found[v] = theirs[v]
        else:
            stack += v.owner.inputs
    return found


def counterparts(forward: Apply, node: Apply) -> dict[Variable, Variable]:
    """Values of one body that are values of the other one in each trip: mine -> theirs."""
    a, b = forward.op, node.op
    assert isinstance(a, Scan) and isinstance(b, Scan)
    given, names = a.operands(forward.inputs), a.parameters
    by_source: dict[Variable, Variable] = {**dict(zip(given.sequences, names.sequences, strict=True))}
    constants = dict(zip(given.constants, names.constants, strict=True))
    mine, mine_names = b.operands(node.inputs), b.parameters
    theirs: dict[Variable, Variable] = {b.body.inputs[0]: a.body.inputs[0]}
    for v, p in zip(mine.sequences, mine_names.sequences, strict=True):
        source = history_of(v)
        if source is not None and source[0] is forward:
            theirs[p] = names.carries[source[1]]
        elif v in by_source:
            theirs[p] = by_source[v]
    theirs.update({p: constants[v] for v, p in zip(mine.constants, mine_names.constants, strict=True) if v in constants})
    known: dict[Hashable, Apply] = {}
    for n in a.body.nodes:
        known.setdefault((encode(n.op), tuple(map(_key, n.inputs))), n)
    for n in b.body.nodes:
        if all(v in theirs or isinstance(v, Constant) for v in n.inputs):
            same = known.get((encode(n.op), tuple(_key(theirs.get(v, v)) for v in n.inputs)))
            if same is not None:
                theirs.update(zip(n.outputs, same.outputs, strict=True))
    return theirs


def _key(v: Variable) -> Hashable:
    if isinstance(v, Constant) and v.value.nbytes <= 64:
        return v.value.dtype.str, v.value.shape, v.value.tobytes()
    return v


def is_dear(node: Apply) -> bool:
    """Is it better to read a value than to make it again?"""
    if isinstance(node.op, ScalarOp):
        return node.op.cost >= DEAR
    return bool(node.inputs) and not isinstance(node.op, ViewOp | ReshapeOp)
