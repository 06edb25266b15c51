"""The passes over loops: `keep_residuals` on the graph as it was written, `lighten` once it is made of simple ops."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphflow.compiler.clone import transform
from graphflow.compiler.loops.after import Later
from graphflow.compiler.loops.before import move_before, move_turned_operands
from graphflow.compiler.loops.draft import Draft, RowResult
from graphflow.compiler.loops.prune import drop_unused_operands, last_of_history, prune
from graphflow.compiler.loops.residuals import Kept, plan_residuals
from graphflow.graph.traversal import toposort
from graphflow.graph.variable import Apply, Variable
from graphflow.ops.loops import Scan
from graphflow.ops.slicing import Slice


def has_loops(outputs: Sequence[Variable]) -> bool:
    return any(isinstance(node.op, Scan) for node in toposort(outputs))


def used_variables(outputs: Sequence[Variable]) -> set[Variable]:
    return {v for node in toposort(outputs) for v in node.inputs} | set(outputs)


def keep_residuals(outputs: Sequence[Variable]) -> list[Variable]:
    """Forward loops stack what their gradients need and would have to compute again."""
    plan = plan_residuals(outputs)
    if not plan:
        return list(outputs)
    used = used_variables(outputs)
    stacked: dict[tuple[Apply, Variable], Variable] = {}

    def visit(node: Apply, inputs: list[Variable]) -> Sequence[Variable] | None:
        kept = plan.get(node, Kept())
        if not isinstance(node.op, Scan) or not (kept.rows or kept.read):
            return None
        draft = Draft(node, inputs, used)
        added = {v: RowResult(v, None) for v in kept.rows}
        draft.rows += added.values()
        draft.replace({mine: draft.add_sequence(stacked[source]) for mine, source in kept.read.items()})
        draft.build()
        for v, row in added.items():
            stacked[node, v] = draft.stacked(row.value)
        return draft.old_outputs()

    return transform(outputs, visit)


def lighten(outputs: Sequence[Variable]) -> list[Variable]:
    """Loops without what nothing needs, and without work that can be done before or after them."""
    return _after_loops(take_last_values(outputs))


def take_last_values(outputs: Sequence[Variable]) -> list[Variable]:
    """history[length] -> the final carry"""

    def visit(node: Apply, inputs: list[Variable]) -> Sequence[Variable] | None:
        if not isinstance(node.op, Slice) or inputs[0].owner is None:
            return None
        loop, index = inputs[0].owner, inputs[0].index
        if not isinstance(loop.op, Scan) or loop.op.length is None or loop.op.counted or loop.op.until or not loop.op.carries <= index < 2 * loop.op.carries:
            return None
        rest = last_of_history(node.op, loop.op.length, loop.op.reverse)
        return None if rest is None else [rest(loop.outputs[index - loop.op.carries])]

    return transform(outputs, visit)


def turn_operands(outputs: Sequence[Variable]) -> list[Variable]:
    """Constants that products in loops read across are turned before the loops."""

    def change(draft: Draft) -> None:
        move_turned_operands(draft)
        drop_unused_operands(draft)

    return redrafted(outputs, change)


def _after_loops(outputs: Sequence[Variable]) -> list[Variable]:
    def change(draft: Draft) -> Callable[[], None]:
        prune(draft)
        move_before(draft)
        later = Later(draft)
        drop_unused_operands(draft)
        return later.finish

    return redrafted(outputs, change)


def redrafted(outputs: Sequence[Variable], change: Callable[[Draft], Callable[[], None] | None]) -> list[Variable]:
    """The graph with its loops changed; what `change` returns is called once the new loop is there."""
    used = used_variables(outputs)

    def visit(node: Apply, inputs: list[Variable]) -> Sequence[Variable] | None:
        if not isinstance(node.op, Scan):
            return None
        draft = Draft(node, inputs, used)
        finish = change(draft)
        if not draft.changed:
            return None
        if draft.carries or draft.rows or draft.stop is not None or draft.trips is not None:
            draft.build()
        if finish is not None:
            finish()
        return draft.old_outputs()

    return transform(outputs, visit)
