"""The Program: what an Executable runs and a bundle exports.

Kernels in the order in which they run, with where each operand is: sizes are expressions over
the Dims, run-time checks come before writes to state where they can, writes to state come last.
`entry.py` makes one native function of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from graphflow.compiler import kernel as K
from graphflow.compiler import memory
from graphflow.compiler.fuse import Fusion, Group, fuse
from graphflow.compiler.library import Library, canonical, compile_kernel, name_of, team_extent
from graphflow.compiler.lower import Lowered, lower
from graphflow.compiler.order import launch_order
from graphflow.compiler.rebuild import Substitution
from graphflow.compiler.schedule import schedule
from graphflow.compiler.target.machine import Machine
from graphflow.graph.dim import Dim, Size, Symbol, substitute, symbols_of
from graphflow.graph.errors import CompileError
from graphflow.graph.variable import Constant, Placeholder, Shared, Variable

MANY = 16  # operands that end in one kernel, above which none is taken over: each is looked for in all of its code


@dataclass(frozen=True)
class Place:
    """Where a launch's operand is: `kind` in/out/state/const with a number, or arena with an offset."""

    kind: str
    number: int = 0
    offset: Size = 0


@dataclass
class Launch:
    """A kernel and its operands.

    `proc` is over dims of its own: scheduled, or as lowered where its code came from a library.
    `dims`, `team` (the extent of the team loop, if any) and `work` are in the program's Dims.
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


@dataclass
class Program:
    """What to launch, in order, and with what."""

    inputs: list[Placeholder]
    state: list[Shared]
    constants: list[Constant]
    outputs: list[Variable]
    updates: list[tuple[Shared, Variable]]
    dims: list[Symbol]
    launches: list[Launch]
    copies: list[tuple[Place, Place, Size]]
    workspace: Size
    sites: list[str]
    objects: list[bytes]  # code of the kernels that came from a library
    plan: memory.Plan

    @property
    def kernels(self) -> list[K.Proc]:
        """The distinct kernels."""
        return list({launch.proc.name: launch.proc for launch in self.launches}.values())


class Assembler:
    """Fused groups -> Program."""

    def __init__(self, inputs: Sequence[Placeholder], outputs: Sequence[Variable], updates: Sequence[tuple[Shared, Variable]], machine: Machine, reuse: bool = True, library: Library | None = None, verify: bool = False) -> None:
        self.library, self.verify = library, verify
        self.objects: dict[str, bytes] = {}
        self.inputs, self.outputs, self.updates = list(inputs), list(outputs), list(updates)
        self.machine = machine
        self.reuse = reuse
        self.fusion: Fusion = fuse([*outputs, *(v for _, v in updates)])
        self.state: list[Shared] = [s for s, _ in updates]
        self.constants: list[Constant] = []
        self.target_of: dict[Variable, Place] = {}
        self.procs: dict[str, K.Proc] = {}

    def run(self) -> Program:
        for i, v in enumerate(self.outputs):
            self.target_of[self.fusion.root(v)] = Place("out", i)
        kernels = [k for i, g in enumerate(g for g in self.fusion.groups if g.stores) for k in lower(self.fusion, g, f"k{i}")]
        lowered = launch_order(kernels, self.written(), self.target_of)
        copies = self.place_updates(lowered)
        plan = self.plan_memory(lowered, copies)
        for v, offset in plan.offset.items():
            self.target_of[v] = Place("arena", offset=offset)
        launches: list[Launch] = []
        sites: list[str] = []
        for one in lowered:
            launches.append(self.launch(one, len(sites)))
            sites.extend(one.proc.sites)
        moves = [(self.place(v), Place("state", self.state.index(s)), v.type.nbytes) for s, v in copies]
        dims = self.dims_of(launches, plan.total)
        return Program(self.inputs, self.state, self.constants, self.outputs, self.updates, dims, launches, moves, plan.total, sites, list(self.objects.values()), plan)

    def launch(self, one: Lowered, first_site: int) -> Launch:
        """The launch of a lowered kernel, which is compiled now unless the library knows it."""
        shape, dims = one.group.kind.value, one.proc.dims
        proc = canonical(one.proc)
        name = name_of(proc, shape, self.machine, self.library.build if self.library else "")
        proc = replace(proc, name=name)
        places = [self.place(p.root) for p in one.params]
        if self.library is None:
            if name not in self.procs:
                self.procs[name] = schedule(proc, self.machine, shape)
            scheduled = self.procs[name]
            loop = scheduled.team
            own: dict[Symbol, Size] = {d: Dim.of(s) for d, s in zip(scheduled.dims, dims, strict=True)}
            team = None if loop is None else substitute(loop.extent, own)
            return Launch(scheduled, dims, places, first_site, len(one.proc.sites), team, one.proc.work, one.group, one.proc.notes)
        code = self.library.find(name)
        if code is None:
            code = compile_kernel(proc, shape, self.machine, self.verify)
            self.library.add(name, code)
        self.objects[name] = code.object
        team = team_extent(code, dims)
        return Launch(proc, dims, places, first_site, len(one.proc.sites), team, one.proc.work, one.group, one.proc.notes)

    def written(self) -> dict[Variable, list[Shared]]:
        """The memory that becomes state, and which."""
        found: dict[Variable, list[Shared]] = {}
        for s, v in self.updates:
            found.setdefault(self.fusion.root(v), []).append(s)
        return found

    def place_updates(self, lowered: list[Lowered]) -> list[tuple[Shared, Variable]]:
        """Write new values straight into state where every reader of the old value ran before; copy the others."""
        copies: list[tuple[Shared, Variable]] = []
        writers = {v: i for i, one in enumerate(lowered) for v in one.stores}
        last_reader = {p.root: i for i, one in enumerate(lowered) for p in one.params}
        for s, v in self.updates:
            root = self.fusion.root(v)
            writer = writers[root]
            one = lowered[writer]
            reads = [p for p in one.params if p.root is s]
            read_later = last_reader.get(s, -1) > writer
            if root in self.target_of or read_later or root.type.nbytes != s.type.nbytes or not all(in_place(one, p.buffer, root) for p in reads):
                copies.append((s, v))
                continue
            self.target_of[root] = Place("state", self.state.index(s))
            for p in reads:
                lowered[writer] = merge(lowered[writer], p.buffer, root)
        return copies

    def plan_memory(self, lowered: list[Lowered], copies: list[tuple[Shared, Variable]]) -> memory.Plan:
        first: dict[Variable, int] = {}
        last: dict[Variable, int] = {}
        for i, one in enumerate(lowered):
            for v in (*one.stores, *one.work):
                first[v] = last[v] = i
            for p in one.params:
                if p.root in first:
                    last[p.root] = i
                elif p.root.owner is not None:
                    raise CompileError(f"kernel {i} reads {p.root.label} before a kernel computed it", location=p.root.source)
        for _, v in copies:
            last[self.fusion.root(v)] = len(lowered)
        homes = self.work_in_place(lowered, first, last) if self.reuse else {}
        spans = [memory.Span(v, first[v], last[v]) for v in first if v not in self.target_of and v not in homes]
        slots = max((len(one.params) + len(one.proc.dims) + 1 for one in lowered), default=0)
        plan = memory.plan(spans, memory.HEADER + 8 * ((slots + 7) // 8 * 8), self.reuse)
        plan.offset.update({v: plan.offset[home] for v, home in homes.items()})
        return plan

    def work_in_place(self, lowered: list[Lowered], first: dict[Variable, int], last: dict[Variable, int]) -> dict[Variable, Variable]:
        """Results that take over the memory of an operand that ends there: result -> the value whose memory it is."""
        homes: dict[Variable, Variable] = {}
        for i, one in enumerate(lowered):
            views = Counter(p.root for p in one.params)
            ending = [p for p in one.params if views[p.root] == 1 and last.get(p.root) == i and first[p.root] < i and p.root not in self.target_of]
            for v in one.stores if len(ending) <= MANY else ():
                p = next((p for p in ending if p.root.dtype == v.dtype and in_place(lowered[i], p.buffer, v)), None)
                if v in self.target_of or p is None:
                    continue
                ending.remove(p)
                lowered[i] = merge(lowered[i], p.buffer, v)
                home = homes[v] = homes.get(p.root, p.root)
                last[home] = last[v]
        return homes

    def place(self, v: Variable) -> Place:
        if v in self.target_of:
            return self.target_of[v]
        if isinstance(v, Constant):
            if v not in self.constants:
                self.constants.append(v)
            return Place("const", self.constants.index(v))
        if isinstance(v, Shared):
            if v not in self.state:
                self.state.append(v)
            return Place("state", self.state.index(v))
        assert isinstance(v, Placeholder), v
        return Place("in", self.inputs.index(v))

    def dims_of(self, launches: list[Launch], total: Size) -> list[Symbol]:
        found: dict[Symbol, None] = {}
        for launch in launches:
            found.update(dict.fromkeys(launch.dims))
        for size in [total, *(p.offset for launch in launches for p in launch.places)]:
            found.update(dict.fromkeys(sorted(symbols_of(size), key=lambda s: s.serial)))
        for v in self.outputs:
            for size in v.shape:
                found.update(dict.fromkeys(sorted(symbols_of(size), key=lambda s: s.serial)))
        return list(found)


def in_place(one: Lowered, old: K.Buffer, root: Variable) -> bool:
    """May `old` be overwritten by the kernel's result `root`?  Only if each element is read just where it is written, before."""
    new = next(p.buffer for p in one.params if p.root is root)
    if old.shape != new.shape:
        return False
    places = [s.at for s in K.statements(one.proc.body) if isinstance(s, K.Store) and s.buffer is new]
    return len(places) == 1 and _reads_before(one.proc.body, old, new, places[0])


def _reads_before(body: K.Block, old: K.Buffer, new: K.Buffer, at: tuple[Size, ...]) -> bool:
    """All loads of `old` stand in the block of the one store to `new`, before it, at the same index."""
    home = next((b for b in _all_blocks(body) if any(isinstance(s, K.Store) and s.buffer is new for s in b)), ())
    allowed = 0
    for s in home:
        for e in K.own_exprs(s):
            allowed += sum(isinstance(x, K.Load) and x.buffer is old and x.at == at for x in K.subexprs(e))
        if isinstance(s, K.Store) and s.buffer is new:
            break
    return allowed == sum(x.buffer is old for x in K.loads(body))


def _all_blocks(body: K.Block) -> list[K.Block]:
    found = [body]
    for s in body:
        for inner in K.blocks(s):
            found.extend(_all_blocks(inner))
    return found


def merge(one: Lowered, old: K.Buffer, root: Variable) -> Lowered:
    """Make reads of `old` reads of the buffer of `root`: the kernel works in place."""
    new = next(p for p in one.params if p.root is root)
    both = replace(new.buffer, mode=K.Mode.INOUT)
    params = [replace(p, buffer=both) if p is new else p for p in one.params if p.buffer is not old]
    body = Substitution({}, {old: (both, ()), new.buffer: (both, ())}).block(one.proc.body)
    return Lowered(replace(one.proc, body=body, params=tuple(p.buffer for p in params)), params, one.group)
