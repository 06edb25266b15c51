"""The memory of a call: what is alive in the arena at each launch, and what is alive where it is fullest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphflow.compiler.op_cost import format_bytes
from graphflow.compiler.profile_entry import events_in
from graphflow.compiler.program import Program
from graphflow.graph import source
from graphflow.graph.dim import Size, Symbol, evaluate
from graphflow.graph.variable import Variable
from graphflow.runtime.kernel_names import KernelName

BAR = 24  # characters of a full bar
LISTED = 20  # values listed at the peak


@dataclass(frozen=True)
class Held:
    """An intermediate value in the arena (and what takes its memory over), from one launch to another."""

    name: str
    shape: str
    bytes: int
    first: int
    last: int
    place: str


@dataclass(frozen=True)
class MemoryProfile:
    """Bytes a call uses: `held` and `live` (at each launch) are of the arena, which is a part of the workspace."""

    launches: list[str]
    held: list[Held]
    live: list[int]
    arena: int
    inputs: int
    state: int
    constants: int
    outputs: int

    @property
    def peak(self) -> int:
        """The launch at which most bytes are alive."""
        return max(range(len(self.live)), key=lambda i: self.live[i], default=0)

    @property
    def at_peak(self) -> list[Held]:
        """What is alive there, largest first."""
        return sorted((h for h in self.held if h.first <= self.peak <= h.last), key=lambda h: -h.bytes)

    def table(self, width: int = 120) -> str:
        """Bytes by kind, live bytes over launches, and what is alive at the peak."""
        most = max(self.live, default=0)
        lines = [
            f"inputs {format_bytes(self.inputs)}, outputs {format_bytes(self.outputs)}, state {format_bytes(self.state)}, constants {format_bytes(self.constants)}, arena {format_bytes(self.arena)}",
            "",
            f"{'#':>3} {'live':>8} {'new':>8}  {'':{BAR}}  launch",
        ]
        for i, (name, live) in enumerate(zip(self.launches, self.live, strict=True)):
            made = sum(h.bytes for h in self.held if h.first == i)
            bar = "█" * round(BAR * live / max(most, 1))
            lines.append(f"{i:>3} {format_bytes(live):>8} {format_bytes(made) if made else '':>8}  {bar:{BAR}}  {name}"[:width].rstrip())
        if self.held:
            lines += ["", f"at the peak, launch {self.peak}: {format_bytes(most)} alive"]
            lines += [f"    {format_bytes(h.bytes):>8}  {h.name} {h.shape}, launches {h.first} to {h.last}{', ' + h.place if h.place else ''}" for h in self.at_peak[:LISTED]]
            left = self.at_peak[LISTED:]
            lines += [f"    {format_bytes(sum(h.bytes for h in left)):>8}  in {len(left)} smaller ones"] if left else []
        return "\n".join(lines)

    __str__ = table


def memory_profile(program: Program, sizes: Mapping[Symbol, int], names: Sequence[KernelName], inputs: int, state: int) -> MemoryProfile:
    """The plan of a Program at the sizes of a call, which was given `inputs` bytes and found `state` bytes."""
    held = [_held(span.value, span.size, *events_of(program, span.first, span.last), sizes) for span in program.plan.spans]
    live = [sum(h.bytes for h in held if h.first <= i <= h.last) for i in range(len(names))]
    first = min((evaluate(at, sizes) for at in program.plan.offset.values()), default=0)
    arena = evaluate(program.workspace, sizes) - first if held else 0
    return MemoryProfile(
        [name.text for name in names],
        held,
        live,
        arena,
        inputs,
        state,
        sum(c.value.nbytes for c in program.constants),
        sum(evaluate(v.type.nbytes, sizes) for v in program.outputs),
    )


def events_of(program: Program, first: int, last: int) -> tuple[int, int]:
    """The first and last event of a range of steps: a loop is as many as there are in it."""
    counts = [len(events_in([step])) for step in program.steps]
    begin = sum(counts[:first])
    return begin, max(begin, sum(counts[: last + 1]) - 1)


def _held(v: Variable, size: Size, first: int, last: int, sizes: Mapping[Symbol, int]) -> Held:
    shape = f"{v.dtype.name}[{', '.join(str(evaluate(n, sizes)) for n in v.shape)}]"
    return Held(v.label, shape, evaluate(size, sizes), first, last, source.short(v.source) if v.source else "")
