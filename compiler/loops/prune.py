"""Parts of a loop that nothing needs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from graphflow.compiler.intern import encode
from graphflow.compiler.loops.draft import Carry, Draft, Operand
from graphflow.graph.dim import Size
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.variable import Constant, Variable
from graphflow.ops.slicing import Slice


def prune(draft: Draft) -> None:
    """Drop carries, sequences and constants that no result needs; merge what is given twice; make constants of carries that stay."""
    drop_dead_carries(draft)
    merge_operands(draft)
    inline_numbers(draft)
    merge_carries(draft)
    unchanging_carries(draft)
    drop_unused_operands(draft)


def drop_unused_operands(draft: Draft) -> None:
    """Sequences and constants that the body does not read."""
    needed = set(leaves(draft.values()))
    for name in ("sequences", "constants"):
        kept = [o for o in getattr(draft, name) if o.param in needed]
        if len(kept) < len(getattr(draft, name)):
            setattr(draft, name, kept)
            draft.changed = True


def drop_dead_carries(draft: Draft) -> None:
    live = [c for c in draft.carries if c.final is not None or c.history is not None]
    results = [*(r.value for r in draft.rows), *([draft.stop] if draft.stop is not None else [])]
    while True:
        needed = set(leaves([*results, *(c.new for c in live)]))
        more = [c for c in draft.carries if c.param in needed and c not in live]
        if not more:
            break
        live += more
    if len(live) < len(draft.carries):
        draft.carries = [c for c in draft.carries if c in live]
        draft.changed = True


def merge_operands(draft: Draft) -> None:
    """Sequences, and constants, that are given the same value are one."""
    table: dict[Variable, Variable] = {}
    for operands in (draft.sequences, draft.constants):
        first: dict[Variable, Operand] = {}
        for o in operands:
            kept = first.setdefault(o.given, o)
            if kept is not o:
                table[o.param] = kept.param
    draft.replace(table)


def merge_carries(draft: Draft) -> None:
    """Carries that begin alike and go on alike are one: those are alike that nothing tells apart, trip after trip."""
    alike: dict[Carry, Hashable] = {c: c.initial for c in draft.carries}
    while len(set(alike.values())) < len(alike):
        number = value_numbers(draft, alike)
        finer: dict[Carry, Hashable] = {c: (alike[c], number[c.new]) for c in draft.carries}
        if len(set(finer.values())) == len(set(alike.values())):
            break
        alike = finer
    first: dict[Hashable, Carry] = {}
    twins = [(c, kept) for c in draft.carries if (kept := first.setdefault(alike[c], c)) is not c]
    for c, kept in twins:
        draft.carries.remove(c)
        kept.final = draft.alias(c.final, kept.final)
        kept.history = draft.alias(c.history, kept.history)
    draft.replace({c.param: kept.param for c, kept in twins})


def value_numbers(draft: Draft, alike: Mapping[Carry, Hashable]) -> dict[Variable, Hashable]:
    """A number for each value of the body, the same for equal expressions; carries that are alike count as equal."""
    classes = {kind: i for i, kind in enumerate(dict.fromkeys(alike.values()))}
    number: dict[Variable, Hashable] = {c.param: ("carry", classes[alike[c]]) for c in draft.carries}
    known: dict[Hashable, int] = {}
    for node in toposort(draft.values()):
        key = (encode(node.op), *(number.get(v, v) for v in node.inputs))
        place = known.setdefault(key, len(known))
        number.update({v: (place, v.index) for v in node.outputs})
    return {v: number.get(v, v) for v in draft.values()}


def inline_numbers(draft: Draft) -> None:
    """Constants that are numbers become part of the body, where rules see them."""
    draft.replace({k.param: k.given for k in draft.constants if isinstance(k.given, Constant) and k.given.value.ndim == 0})


def unchanging_carries(draft: Draft) -> None:
    """A carry that the body returns as it is, is a constant."""
    same: list[Carry] = [c for c in draft.carries if c.new is c.param and c.history is None]
    for c in same:
        draft.carries.remove(c)
        if c.final is not None:
            draft.results[c.final] = c.initial
        draft.constants.append(Operand(c.param, c.initial))
        draft.changed = True


def last_of_history(op: Slice, length: Size, reverse: bool) -> Slice | None:
    """x[length] of a history is the final carry: what is left to take of it, None if the slice takes other rows."""
    if op.sizes[0] is not None or op.starts[0] != (0 if reverse else length):
        return None
    return Slice(op.starts[1:], op.steps[1:], op.sizes[1:])
