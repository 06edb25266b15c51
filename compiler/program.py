"""The Program: what an Executable runs and a bundle exports.

Steps in the order in which they run, with where each operand is: kernels, calls of foreign code, loops and branches of
further steps.  Sizes are expressions over the Dims; run-time checks come before writes to state where they can, writes
to state come last.  `assemble.py` makes a Program of a graph, `entry.py` one native function of a Program.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from graphflow.compiler import kernel as K
from graphflow.compiler import memory
from graphflow.compiler.fuse import Group
from graphflow.graph.dim import Dim, Size, Symbol
from graphflow.graph.types import DType
from graphflow.graph.variable import Constant, Placeholder, Shared, Variable


@dataclass(frozen=True)
class Place:
    """Where an operand is: `kind` in/out/state/const/local with a number, or arena with an offset.

    A local is a pointer that a loop or branch around the step has set.
    """

    kind: str
    number: int = 0
    offset: Size = 0


@dataclass
class Launch:
    """A kernel and its operands.

    `proc` is over dims of its own: scheduled, or as lowered where its code came from a library.
    `dims`, `team` (the extent of the team loop, if any) and `work` are in the program's Dims.  `values`: what each operand is, and
    what it is written over, if anything.
    """

    proc: K.Proc
    dims: tuple[Symbol, ...]
    places: list[Place]
    first_site: int
    sites: int
    team: Size | None
    work: Size
    group: Group
    notes: tuple[str, ...]
    values: tuple[tuple[Variable, Variable | None], ...]


@dataclass
class Call:
    """A call of foreign code by its symbol, with the shapes of all operands; `site` is what a failure is reported as."""

    symbol: str
    inputs: list[Place]
    outputs: list[Place]
    sizes: list[Size]
    scratch: Place | None
    site: int
    group: Group


# --- what a loop does to pointers and sizes ---------------------------------------------------------
@dataclass(frozen=True)
class Fixed:
    """`local` is `place`, each trip."""

    local: int
    place: Place


@dataclass(frozen=True)
class Row:
    """`local` is row `row` of `place`, whose rows take `stride` bytes; `row` is in the loop's trip symbol."""

    local: int
    place: Place
    stride: Size
    row: Size


@dataclass(frozen=True)
class History:
    """A carry all of whose values are kept: trips read one row of `place` and write the next one.

    `initial` is copied to where the first trip reads, the last row to `final`.
    """

    read: int
    write: int
    place: Place
    stride: Size
    initial: Place
    final: Place | None


@dataclass(frozen=True)
class Swap:
    """A carry that takes turns between two buffers; the first trip reads `initial`, the last value ends in `final`."""

    read: int
    write: int
    initial: Place
    final: Place
    other: Place
    nbytes: Size


@dataclass(frozen=True)
class Overwrite:
    """A carry that trips write over, in `final`; `initial` is copied there first."""

    local: int
    initial: Place
    final: Place
    nbytes: Size


@dataclass(frozen=True)
class Read:
    """The integer scalar at `place` is the value of `symbol` in sizes, each trip."""

    symbol: Symbol
    place: Place
    dtype: DType


Binding = Fixed | Row | History | Swap | Overwrite | Read


@dataclass
class Loop:
    """Steps that run again and again.

    `trip` stands for the row number in sizes, and is stored at `number` where the steps read it.  `length` bounds the
    trips (None: nothing does but `stop`), `count` holds a further bound.  `stop` holds whether a trip was the last one.
    The number of trips goes to `trips`.  `cleared`: stacked results whose rows are zeros where there was no trip, with
    the rows they have beyond trips and the bytes of a row.  `checks`: sizes that must be equal each trip, with their sites.
    """

    steps: list[Step]
    trip: Symbol
    length: Size | None
    reverse: bool
    bindings: list[Binding]
    number: Place | None = None
    count: Place | None = None
    stop: Place | None = None
    trips: Place | None = None
    cleared: list[tuple[Place, Size, Size]] = field(default_factory=list)
    checks: list[tuple[Size, Size, int]] = field(default_factory=list)
    group: Group | None = None


@dataclass
class Measure:
    """The integer scalar at `place`, which a step has computed, is the value of `symbol` in sizes from now on.

    `checks`: sizes that must be equal once it is known, with their sites.
    """

    symbol: Symbol
    place: Place
    dtype: DType
    checks: list[tuple[Size, Size, int]] = field(default_factory=list)


@dataclass
class Choice:
    """One of two lists of steps, by the bool at `flag`; `bindings` are for both."""

    flag: Place
    yes: list[Step]
    no: list[Step]
    bindings: list[Binding]
    group: Group | None = None


Step = Launch | Call | Loop | Choice | Measure


def binding_sizes(bindings: Sequence[Binding]) -> Iterator[Size]:
    for b in bindings:
        for name in ("place", "initial", "final", "other"):
            place = getattr(b, name, None)
            if place is not None:
                yield place.offset
        yield from (getattr(b, name) for name in ("stride", "row", "nbytes") if hasattr(b, name))


def step_sizes(step: Step) -> Iterator[Size]:
    """All sizes in a step, those inside its bodies left out."""
    match step:
        case Launch():
            yield from (Dim.of(d) for d in step.dims)
            yield from (p.offset for p in step.places)
            yield from (step.work, *([] if step.team is None else [step.team]))
        case Call():
            yield from step.sizes
            yield from (p.offset for p in (*step.inputs, *step.outputs, *([step.scratch] if step.scratch else [])))
        case Loop():
            yield from binding_sizes(step.bindings)
            yield from (p.offset for p in (step.number, step.count, step.stop, step.trips) if p is not None)
            yield from ([] if step.length is None else [step.length])
            yield from (size for place, extra, nbytes in step.cleared for size in (place.offset, extra, nbytes))
            yield from (size for a, b, _ in step.checks for size in (a, b))
        case Choice():
            yield step.flag.offset
            yield from binding_sizes(step.bindings)
        case Measure():
            yield from (Dim.of(step.symbol), step.place.offset)
            yield from (size for a, b, _ in step.checks for size in (a, b))


@dataclass
class Program:
    """What to do, in order, and with what."""

    inputs: list[Placeholder]
    state: list[Shared]
    constants: list[Constant]
    outputs: list[Variable]
    updates: list[tuple[Shared, Variable]]
    dims: list[Symbol]
    steps: list[Step]
    copies: list[tuple[Place, Place, Size]]
    workspace: Size
    sites: list[str]
    objects: list[bytes]  # code of the kernels that came from a library
    plan: memory.Plan

    @property
    def measured(self) -> list[Symbol]:
        """The Dims whose values are computed on the way."""
        return [step.symbol for step in self.steps if isinstance(step, Measure)]

    @property
    def launches(self) -> list[Launch]:
        """All launches, those in loops and branches included, in the order in which the entry has them."""
        return [step for step in walk(self.steps) if isinstance(step, Launch)]

    @property
    def calls(self) -> list[Call]:
        return [step for step in walk(self.steps) if isinstance(step, Call)]

    @property
    def kernels(self) -> list[K.Proc]:
        """The distinct kernels."""
        return list({launch.proc.name: launch.proc for launch in self.launches}.values())


def bodies(step: Step) -> list[list[Step]]:
    """The lists of steps inside a step."""
    match step:
        case Loop():
            return [step.steps]
        case Choice():
            return [step.yes, step.no]
    return []


def walk(steps: Sequence[Step]) -> Iterator[Step]:
    """Every step, and after it those inside it."""
    for step in steps:
        yield step
        for inner in bodies(step):
            yield from walk(inner)


def work_of(steps: Sequence[Step]) -> Size:
    """Rough number of elementary operations; a loop without a bound is counted as one trip."""
    total: Size = 0
    for step in steps:
        match step:
            case Launch():
                total = total + step.work
            case Loop():
                total = total + work_of(step.steps) * (1 if step.length is None else step.length)
            case Choice():
                total = total + work_of(step.yes)
    return total
