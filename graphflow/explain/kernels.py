"""The kernels: what each is made of, its code in all forms, and what it costs."""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphflow.compiler import kernel as K
from graphflow.compiler.emit import Emitter, finish_module
from graphflow.compiler.entry import PARALLEL_WORK
from graphflow.compiler.fuse import Group
from graphflow.compiler.print import to_text
from graphflow.compiler.program import Choice, Launch, Loop, Measure, Place, Program, Step, bodies, walk
from graphflow.compiler.schedule import schedule
from graphflow.compiler.target.machine import Machine, compile_module
from graphflow.explain.assembly import Assembly, assembly
from graphflow.explain.stages import numbered
from graphflow.graph import source
from graphflow.graph.dim import Symbol, evaluate
from graphflow.graph.variable import Apply
from graphflow.runtime.kernel_names import name_launch, title
from graphflow.runtime.profile import launch_work
from graphflow.runtime.roofline import Roofline


@dataclass(frozen=True)
class Line:
    """A line of the user's that a kernel comes from, and the ops from there."""

    file: str
    number: int
    text: str
    ops: tuple[str, ...]


@dataclass(frozen=True)
class Operand:
    """A parameter of a kernel: its name there, its type and mode, and where it is."""

    name: str
    type: str
    mode: str
    place: str
    bytes: int


@dataclass(frozen=True)
class Code:
    """One launch: `symbol`, its code in four forms, and its cost at the sizes of the page; `times`: how often a loop around it runs it."""

    symbol: str
    kernel_ir: str
    scheduled: str
    llvm: str
    assembly: Assembly
    operands: list[Operand]
    launch: str
    flops: int
    read: int
    written: int
    seconds: float
    bound: str
    exact: bool
    times: int


@dataclass(frozen=True)
class Kernel:
    """A group of nodes; `codes` are its launches, one or two, and `launches` their places in the order of all.

    A foreign call has none, a loop or branch has the numbers of what is `inside` it.
    """

    number: int
    ops: tuple[str, ...]
    form: str
    scopes: tuple[str, ...]
    lines: list[Line]
    launches: tuple[int, ...]
    codes: list[Code]
    inside: tuple[int, ...] = ()

    @property
    def seconds(self) -> float:
        return sum(code.seconds * code.times for code in self.codes)


def explain_kernels(program: Program, sizes: Mapping[Symbol, int], machine: Machine, measured: Roofline, threads: int) -> list[Kernel]:
    """Kernels in the order in which they run, each with its launches; a loop or branch comes before what is inside it."""
    numbers = numbered(program)
    launches: dict[Group, list[tuple[int, Launch]]] = {}
    for i, launch in enumerate(program.launches):
        launches.setdefault(launch.group, []).append((i, launch))
    trips = {id(launch): n for launch, n in _trips(program.steps, sizes)}
    known: dict[str, tuple[str, str, str, Assembly]] = {}

    def code(launch: Launch) -> Code:
        if launch.proc.name not in known:
            known[launch.proc.name] = _forms(launch, machine)
        return _code(program, launch, known[launch.proc.name], sizes, measured, threads, trips[id(launch)])

    inside = {step.group: [numbers[g] for g in numbered_in(step)] for step in walk(program.steps) if isinstance(step, Loop | Choice)}
    kernels: list[Kernel] = []
    for group, number in numbers.items():
        own = launches.get(group, [])
        nodes = list(group.members) or [v.owner for v in group.stores if v.owner is not None]
        ops = name_launch(own[0][1], sizes).ops if own else tuple(map(title, nodes))
        scopes = tuple(dict.fromkeys(node.scope for node in nodes if node.scope))
        form = "loop" if group in inside else group.kind.value
        kernels.append(Kernel(number, ops, form, scopes, _lines(nodes), tuple(i for i, _ in own), [code(launch) for _, launch in own], tuple(inside.get(group, ()))))
    return kernels


def numbered_in(step: Step) -> list[Group]:
    """The groups of a step's bodies."""
    return list(dict.fromkeys(inner.group for body in bodies(step) for inner in body if not isinstance(inner, Measure) and inner.group is not None))


def _trips(steps: Sequence[Step], sizes: Mapping[Symbol, int], times: int = 1) -> Iterator[tuple[Launch, int]]:
    """Each launch, and how often the loops around it run it at most; one whose bound is not known counts as one trip."""
    for step in steps:
        if isinstance(step, Launch):
            yield step, times
        inner = times * evaluate(step.length, sizes) if isinstance(step, Loop) and step.length is not None else times
        for body in bodies(step):
            yield from _trips(body, sizes, inner)


def _forms(launch: Launch, machine: Machine) -> tuple[str, str, str, Assembly]:
    """Kernel IR as lowered and as scheduled, LLVM text, assembly."""
    proc = launch.proc
    scheduled = schedule(proc, machine, launch.group.kind.value)
    llvm = Emitter(scheduled, machine).function()
    code = compile_module(finish_module(llvm, machine), machine, assembly=True)
    assert isinstance(code, str)
    return to_text(proc), to_text(scheduled), llvm, assembly(code)


def _code(program: Program, launch: Launch, forms: tuple[str, str, str, Assembly], sizes: Mapping[Symbol, int], measured: Roofline, threads: int, times: int) -> Code:
    own = {d: sizes[outer] for d, outer in zip(launch.proc.dims, launch.dims, strict=True)}
    work = launch_work(launch, sizes)
    team = None if launch.team is None else evaluate(launch.team, sizes)
    amount = evaluate(launch.work, sizes)
    shared = team is not None and team > 1 and threads > 1 and amount > PARALLEL_WORK
    bound = measured.speed(threads if shared else 1).bound(work.flops, work.read, work.written)
    how = "one thread" if team is None else f"{team} piece{'s' * (team != 1)}" + (f", shared by {threads} threads" if shared else ", too little work to share" if threads > 1 else "")
    given = ", ".join(f"{d.name}={outer.name}={sizes[outer]}" for d, outer in zip(launch.proc.dims, launch.dims, strict=True))
    operands = [_operand(program, b, place, own, sizes) for b, place in zip(launch.proc.params, launch.places, strict=True)]
    return Code(launch.proc.name, *forms, operands, f"{how}{f'; {given}' if given else ''}", sum(work.flops.values()), work.read, work.written, bound.seconds, bound.by, work.exact, times)


def _operand(program: Program, b: K.Buffer, place: Place, own: Mapping[Symbol, int], sizes: Mapping[Symbol, int]) -> Operand:
    shape = tuple(evaluate(n, own) for n in b.shape)
    elements = 1
    for n in shape:
        elements *= n
    return Operand(b.name, f"{b.dtype.name}[{', '.join(map(str, b.shape))}]", b.mode.value, place_text(program, place, sizes), elements * b.dtype.itemsize)


def place_text(program: Program, place: Place, sizes: Mapping[Symbol, int]) -> str:
    """`input x`, `state w`, `arena at 4096`."""
    match place.kind:
        case "in":
            return f"input {program.inputs[place.number].label}"
        case "state":
            return f"state {program.state[place.number].label}"
        case "const":
            return f"constant {program.constants[place.number].label}"
        case "out":
            return f"result {place.number}"
        case "arena":
            return f"arena at {evaluate(place.offset, sizes):,}"
    return f"set by the loop around it ({place.number})"


def _lines(nodes: list[Apply]) -> list[Line]:
    """The user's lines, in order of first use, each with its ops."""
    found: dict[tuple[str, int], dict[str, None]] = {}
    for node in nodes:
        if node.source:
            found.setdefault(source.line_of(node.source), {}).setdefault(title(node))
    return [Line(file, number, linecache.getline(file, number).strip(), tuple(ops)) for (file, number), ops in found.items()]
