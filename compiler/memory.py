"""Where intermediate values live: lifetimes over launches, slots of one arena.

Sizes may depend on Dims, so a slot is shared only where one size provably covers the other for
every value of the Dims; offsets are expressions the Program evaluates at each call.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from graphflow.graph.dim import Size, maximum, proves_nonnegative
from graphflow.graph.variable import Variable

ALIGNMENT = 64
HEADER = 64  # the error record


@dataclass
class Slot:
    """A part of the arena, with the Variables that live there one after the other."""

    size: Size
    number: int
    tenants: list[Variable] = field(default_factory=list)


@dataclass
class Plan:
    """Offsets of Variables in the workspace, and its total size, in bytes."""

    offset: dict[Variable, Size]
    total: Size
    slots: list[Slot]


def aligned(size: Size) -> Size:
    return (size + (ALIGNMENT - 1)) // ALIGNMENT * ALIGNMENT


def plan(lifetimes: list[tuple[Variable, int, int]], first_offset: int, reuse: bool = True) -> Plan:
    """Assign slots to (variable, first launch, last launch), in order of first launch."""
    slots: list[Slot] = []
    free: dict[Size, list[Slot]] = {}
    ends: list[tuple[int, int, Slot]] = []  # slots in use, by the launch after which they are free
    for v, start, end in sorted(lifetimes, key=lambda t: t[1]):
        while ends and ends[0][0] < start:
            ended = heapq.heappop(ends)[2]
            free.setdefault(ended.size, []).append(ended)
        slot = _take(free, v.type.nbytes) if reuse else None
        if slot is None:
            slot = Slot(v.type.nbytes, len(slots))
            slots.append(slot)
        slot.tenants.append(v)
        heapq.heappush(ends, (end, slot.number, slot))
    offset: dict[Variable, Size] = {}
    at: Size = first_offset
    for slot in slots:
        for v in slot.tenants:
            offset[v] = at
        at = at + aligned(slot.size)
    return Plan(offset, at, slots)


def _take(free: dict[Size, list[Slot]], size: Size) -> Slot | None:
    """A free slot of the same size, else the smallest that covers it, else the largest static one, grown."""
    candidates: list[Size] = [size] if free.get(size) else []
    if not candidates:
        covering = [s for s, slots in free.items() if slots and proves_nonnegative(s - size)]
        static = sorted(s for s in covering if isinstance(s, int))
        candidates = [*static[:1]] or covering[:1]
    if not candidates and isinstance(size, int):
        candidates = [*sorted((s for s, slots in free.items() if slots and isinstance(s, int)), reverse=True)[:1]]
    if not candidates:
        return None
    slot = free[candidates[0]].pop()
    slot.size = maximum(slot.size, size)
    return slot
