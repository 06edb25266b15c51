"""The arena as a picture: launches to the right, addresses downwards, a rectangle for each value's time and place."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from graphflow.compiler.op_cost import format_bytes
from graphflow.compiler.program import Launch, Program, walk
from graphflow.draw.svg import escaped
from graphflow.graph import source
from graphflow.graph.dim import Symbol, evaluate

WIDTH, HEIGHT, MARGIN = 920.0, 300.0, 4.0


@dataclass(frozen=True)
class Held:
    """A value in the arena, from its first launch to its last."""

    name: str
    bytes: int
    offset: int
    first: int
    last: int
    place: str


@dataclass(frozen=True)
class MemoryMap:
    held: list[Held]
    arena: int
    launches: int

    @property
    def peak(self) -> int:
        """The most bytes that are alive at once."""
        return max((sum(h.bytes for h in self.held if h.first <= i <= h.last) for i in range(self.launches)), default=0)

    def svg(self) -> str:
        """The picture; each rectangle has the launches it spans as data."""
        top = min((h.offset for h in self.held), default=0)
        span = max((h.offset + h.bytes for h in self.held), default=1) - top or 1
        column = WIDTH / max(1, self.launches)
        parts = [f'<svg class="arena" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" preserveAspectRatio="none" role="img" aria-label="the arena over the launches">']
        for i, h in enumerate(sorted(self.held, key=lambda h: -h.bytes)):
            x, y = h.first * column, (h.offset - top) / span * HEIGHT
            wide, high = (h.last - h.first + 1) * column, max(1.0, h.bytes / span * HEIGHT)
            words = f"{h.name}\n{format_bytes(h.bytes)} at {h.offset:,}\nlaunches {h.first} to {h.last}{f' · {h.place}' if h.place else ''}"
            parts.append(f'<rect class="c{i % 6}" data-first="{h.first}" data-last="{h.last}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"><title>{escaped(words)}</title></rect>')
        return "".join([*parts, "</svg>"])


def memory_map(program: Program, sizes: Mapping[Symbol, int]) -> MemoryMap:
    """The plan of a Program at these sizes; what is inside loops is one value of theirs."""
    counts = [sum(isinstance(inner, Launch) for inner in walk([step])) for step in program.steps]
    starts = [0, *itertools.accumulate(counts)]
    held = [
        Held(
            f"{s.value.label} {s.value.dtype.name}[{', '.join(str(evaluate(n, sizes)) for n in s.value.shape)}]",
            evaluate(s.size, sizes), evaluate(program.plan.offset[s.value], sizes), starts[s.first], max(starts[s.first], starts[min(s.last + 1, len(counts))] - 1),
            source.short(s.value.source) if s.value.source else "",
        )
        for s in program.plan.spans
    ]  # fmt: skip
    first = min((h.offset for h in held), default=0)
    return MemoryMap(held, evaluate(program.workspace, sizes) - first if held else 0, max(len(program.launches), 1 + max((h.last for h in held), default=0)))
