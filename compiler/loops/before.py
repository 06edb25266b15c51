"""Work that leaves a loop for the place before it.

What depends on constants alone is computed once.  Products of a sequence's rows and constants (the input products of a
recurrent layer) are one contraction over all rows.
"""

from __future__ import annotations

import enum

from graphflow.compiler.clone import Cloner
from graphflow.compiler.loops.batching import Batch, can_batch
from graphflow.compiler.loops.draft import Draft
from graphflow.graph.op import ContractOp, ViewOp
from graphflow.graph.traversal import toposort
from graphflow.graph.variable import Apply, Constant, Variable
from graphflow.ops.shape import Transpose


class Level(enum.IntEnum):
    """What a value of a body depends on, at most."""

    CLOSED = 0  # literals
    CONSTANT = 1  # what is given to all trips
    ROW = 2  # rows of sequences, in ways that can be batched
    TRIP = 3  # the trip, or a carry


def levels_of(draft: Draft) -> dict[Variable, Level]:
    """The level of each value."""
    level: dict[Variable, Level] = {draft.trip: Level.TRIP}
    level.update({c.param: Level.TRIP for c in draft.carries})
    level.update({s.param: Level.ROW for s in draft.sequences})
    level.update({k.param: Level.CONSTANT for k in draft.constants})
    for node in toposort(draft.values()):
        found = max((level.get(v, Level.CLOSED) for v in node.inputs), default=Level.CLOSED)
        if found is Level.ROW and not can_batch(node):
            found = Level.TRIP
        level.update(dict.fromkeys(node.outputs, found))
    return level


def move_before(draft: Draft) -> None:
    """Constants and row products out of the body."""
    move_constants(draft)
    if draft.length is not None:
        move_row_products(draft)


def frontier(draft: Draft, level: dict[Variable, Level], at: Level) -> list[Variable]:
    """Values at a level, made by the body, that values above it or the results use."""
    results = set(draft.values())
    found: dict[Variable, None] = {}
    for node in toposort(draft.values()):
        if level[node.outputs[0]] > at:
            found.update(dict.fromkeys(v for v in node.inputs if v.owner is not None and level[v] is at))
        found.update(dict.fromkeys(v for v in node.outputs if v in results and level[v] is at))
    return list(found)


def move_constants(draft: Draft) -> None:
    """Work on constants alone; views of them stay, they are free."""
    level = levels_of(draft)
    moved = [v for v in frontier(draft, level, Level.CONSTANT) if any(not isinstance(n.op, ViewOp) for n in cone(draft, v, level, Level.CONSTANT))]
    if moved:
        outside = Cloner({k.param: k.given for k in draft.constants}).clone(moved)
        draft.replace({v: draft.add_constant(new) for v, new in zip(moved, outside, strict=True)})


def move_turned_operands(draft: Draft) -> None:
    """Right operands of products that are constants read across: they would be turned again for each trip."""
    level = levels_of(draft)
    products = [node for node in toposort(draft.values()) if isinstance(node.op, ContractOp)]
    turned = {node.inputs[1]: None for node in products if level.get(node.inputs[1]) is Level.CONSTANT and any(isinstance(n.op, Transpose) for n in toposort([node.inputs[1]]))}
    if turned:
        outside = Cloner({k.param: k.given for k in draft.constants}).clone(list(turned))
        draft.replace({v: draft.add_constant(new) for v, new in zip(turned, outside, strict=True)})


def move_row_products(draft: Draft) -> None:
    """Contractions of rows with constants, and what is elementwise about them."""
    level = levels_of(draft)
    moved = [v for v in frontier(draft, level, Level.ROW) if any(isinstance(n.op, ContractOp) for n in cone(draft, v, level, Level.ROW))]
    if not moved:
        return
    assert draft.length is not None
    known: dict[Variable, tuple[Variable, bool]] = {k.param: (k.given, False) for k in draft.constants}
    known.update({s.param: (s.given, True) for s in draft.sequences})
    batch = Batch(known, draft.length)
    draft.replace({v: draft.add_sequence(batch.value(v)[0]) for v in moved})


def cone(draft: Draft, v: Variable, level: dict[Variable, Level], at: Level) -> list[Apply]:
    """The nodes at a level that make `v`."""
    return [node for node in toposort([v]) if level[node.outputs[0]] is at and not all(isinstance(x, Constant) for x in node.inputs)]
