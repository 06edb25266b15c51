"""A fused graph -> steps: kernels lowered and ordered, operands placed in memory.

The bodies of loops and branches are assembled first: what they need of the arena is one operand of their step.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from graphflow.compiler import kernel as K
from graphflow.compiler import memory
from graphflow.compiler.fuse import Fusion, Group, Kind, fuse
from graphflow.compiler.inplace import in_place, merge
from graphflow.compiler.library import Library, canonical, compile_kernel, name_of, team_extent
from graphflow.compiler.lower import Lowered, lower
from graphflow.compiler.lower_calls import LoweredCall
from graphflow.compiler.lower_regions import LoweredChoice, LoweredLoop, lower_region
from graphflow.compiler.order import launch_order
from graphflow.compiler.program import Launch, Loop, Measure, Place, Program, Read, Step, step_sizes, walk
from graphflow.compiler.schedule import schedule
from graphflow.compiler.target.machine import Machine
from graphflow.graph.dim import Dim, Size, Symbol, extreme, substitute, symbols_of
from graphflow.graph.errors import CompileError, ShapeError
from graphflow.graph.variable import Constant, Placeholder, Shared, Variable

MANY = 16  # operands that end in one kernel, above which none is taken over: each is looked for in all of its code

Item = Lowered | LoweredCall | LoweredLoop | LoweredChoice


@dataclass(frozen=True)
class Cell:
    """A leaf that becomes `value`: state, or a carry.

    `place` is where the old value is, and the new one if it can be written over it; `otherwise` is where it goes if not
    (None: into the arena, and into place after all steps).
    """

    leaf: Variable
    value: Variable
    place: Place
    otherwise: Place | None = None


@dataclass
class Context:
    """What all blocks of a Program share."""

    machine: Machine
    inputs: list[Placeholder]
    reuse: bool
    library: Library | None
    verify: bool
    state: list[Shared]
    constants: list[Constant] = field(default_factory=list)
    sites: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    procs: dict[str, K.Proc] = field(default_factory=dict)
    locals: int = 0

    def local(self) -> int:
        self.locals += 1
        return self.locals - 1

    def leaf(self, v: Variable) -> Place:
        """Where a leaf of the whole graph is."""
        if isinstance(v, Constant):
            return Place("const", _number(v, self.constants))
        if isinstance(v, Shared):
            return Place("state", _number(v, self.state))
        assert isinstance(v, Placeholder), v
        return Place("in", self.inputs.index(v))


Leaf = TypeVar("Leaf", bound=Variable)


def _number(v: Leaf, known: list[Leaf]) -> int:
    """The place of `v` in a table, which it joins."""
    if v not in known:
        known.append(v)
    return known.index(v)


class Block:
    """The steps of one graph, `results` of which are `kept` in memory that is not the block's.

    `leaves`: where the placeholders of a body are.
    """

    def __init__(self, context: Context, results: Sequence[Variable], kept: Mapping[int, Place], cells: Sequence[Cell], leaves: Mapping[Variable, Place], computed: Mapping[Symbol, Variable] | None = None) -> None:
        self.context = context
        self.computed = computed or {}
        self.fusion: Fusion = fuse(results)
        self.leaves = dict(leaves)
        self.cells = list(cells)
        self.place_of: dict[Variable, Place] = {self.fusion.root(results[i]): place for i, place in kept.items()}
        groups = [g for g in self.fusion.groups if g.stores]
        items = [item for i, g in enumerate(groups) for item in self.lowered(g, i)]
        for item in items if self.computed else ():
            item.after = [self.fusion.root(self.computed[s]) for s in sorted(item.symbols & self.computed.keys(), key=lambda s: s.serial)]
        self.items: list[Item] = launch_order(items, self.written(), self.place_of)
        self.copied = self.place_cells()

    def lowered(self, group: Group, number: int) -> list[Item]:
        node = group.members[0] if group.members else None
        if node is not None and group.kind is Kind.EXTERN:
            return [LoweredCall(self.fusion, group)]
        if node is not None and group.kind is Kind.REGION:
            return [lower_region(self, group)]
        return [*lower(self.fusion, group, f"k{number}")]

    # --- values that are written over ----------------------------------------------------------------
    def written(self) -> dict[Variable, list[Variable]]:
        """The memory that becomes a cell's, and whose."""
        found: dict[Variable, list[Variable]] = {}
        for cell in self.cells:
            found.setdefault(self.fusion.root(cell.value), []).append(cell.leaf)
        return found

    def place_cells(self) -> list[Cell]:
        """Write new values straight over old ones where every reader of the old one ran before; the cells that are copied after all steps."""
        copied: list[Cell] = []
        writers = {v: i for i, one in enumerate(self.items) for v in one.stores}
        last_reader = {v: i for i, one in enumerate(self.items) for v in one.touched}
        for cell in self.cells:
            root = self.fusion.root(cell.value)
            writer = writers[root]
            one = self.items[writer]
            free = root not in self.place_of and last_reader.get(cell.leaf, -1) <= writer and root.type.nbytes == cell.leaf.type.nbytes
            if free and isinstance(one, Lowered) and all(in_place(one, p.buffer, root) for p in one.params if p.root is cell.leaf):
                self.place_of[root] = cell.place
                for p in [p for p in one.params if p.root is cell.leaf]:
                    one = merge(one, p.buffer, root)
                self.items[writer] = one
            elif free and cell.leaf not in one.touched:
                self.place_of[root] = cell.place
            elif cell.otherwise is None or root in self.place_of:
                copied.append(cell)
            else:
                self.place_of[root] = cell.otherwise
        return copied

    # --- memory -----------------------------------------------------------------------------------
    @property
    def slots(self) -> int:
        """Words that the operands of one step take at most."""
        return max((one.slots for one in self.items), default=0)

    def plan(self, first_offset: int) -> memory.Plan:
        """Offsets of what the block computes, from `first_offset`."""
        first: dict[Variable, int] = {}
        last: dict[Variable, int] = {}
        for i, one in enumerate(self.items):
            for v in (*one.stores, *one.work):
                first[v] = last[v] = i
            for v in one.touched:
                if v in first:
                    last[v] = i
                elif v.owner is not None:
                    raise CompileError(f"step {i} reads {v.label} before a step computed it", location=v.source)
        for v in (*(self.fusion.root(cell.value) for cell in self.copied), *map(self.fusion.root, self.fusion.outputs)):
            if v in first:
                last[v] = len(self.items)
        homes = self.work_in_place(first, last) if self.context.reuse else {}
        spans = [memory.Span(v, first[v], last[v], self.most(v.type.nbytes)) for v in first if v not in self.place_of and v not in homes]
        plan = memory.plan(spans, first_offset, self.context.reuse)
        plan.offset.update({v: plan.offset[home] for v, home in homes.items()})
        return plan

    def most(self, size: Size) -> Size:
        """The size at most, where it depends on what is computed on the way."""
        found = extreme(size, self.computed) if self.computed else size
        if isinstance(found, int) and found > memory.LARGEST:
            raise ShapeError(f"a size of {size} bytes is known only when the graph has computed it, and has no bound", hint="bound it, e.g. with gf.minimum(n, most)")
        return found

    def work_in_place(self, first: dict[Variable, int], last: dict[Variable, int]) -> dict[Variable, Variable]:
        """Results that take over the memory of an operand that ends there: result -> the value whose memory it is."""
        homes: dict[Variable, Variable] = {}
        for i, one in enumerate(self.items):
            if not isinstance(one, Lowered):
                continue
            views = Counter(p.root for p in one.params)
            ending = [p for p in one.params if views[p.root] == 1 and last.get(p.root) == i and first[p.root] < i and p.root not in self.place_of]
            for v in one.stores if len(ending) <= MANY else ():
                p = next((p for p in ending if p.root.dtype == v.dtype and in_place(one, p.buffer, v)), None)
                if v in self.place_of or p is None:
                    continue
                ending.remove(p)
                one = self.items[i] = merge(one, p.buffer, v)
                home = homes[v] = homes.get(p.root, p.root)
                last[home] = last[v]
        return homes

    def place(self, v: Variable) -> Place:
        """Where the memory of `v` is."""
        root = self.fusion.root(v)
        if root in self.place_of:
            return self.place_of[root]
        if root in self.leaves:
            return self.leaves[root]
        assert root.owner is None, root
        return self.context.leaf(root)

    # --- steps ------------------------------------------------------------------------------------
    def steps(self, plan: memory.Plan, base: Size = 0) -> list[Step]:
        """The steps, with the block's part of the arena at `base`."""
        for v, offset in plan.offset.items():
            self.place_of[v] = Place("arena", offset=base + offset)
        found: list[Step] = []
        waiting = dict(self.computed)
        for one in self.items:
            found.append(self.launch(one) if isinstance(one, Lowered) else one.step(self))
            for s, v in list(waiting.items()):
                if self.fusion.root(v) in one.stores:
                    del waiting[s]
                    found.append(Measure(s, self.place(v), v.dtype))
        return found

    def launch(self, one: Lowered) -> Launch:
        """The launch of a lowered kernel, which is compiled now unless the library knows it."""
        context, shape, dims = self.context, one.group.kind.value, one.proc.dims
        first_site = len(context.sites)
        context.sites.extend(one.proc.sites)
        places = [self.place(p.root) for p in one.params]
        proc = canonical(one.proc)
        name = name_of(proc, shape, context.machine, context.library.build if context.library else "")
        proc = replace(proc, name=name)
        if context.library is None:
            if name not in context.procs:
                context.procs[name] = schedule(proc, context.machine, shape)
            proc = context.procs[name]
            own: dict[Symbol, Size] = {d: Dim.of(s) for d, s in zip(proc.dims, dims, strict=True)}
            team = None if proc.team is None else substitute(proc.team.extent, own)
        else:
            code = context.library.find(name)
            if code is None:
                code = compile_kernel(proc, shape, context.machine, context.verify)
                context.library.add(name, code)
            context.objects[name] = code.object
            team = team_extent(code, dims)
        return Launch(proc, dims, places, first_site, len(one.proc.sites), team, one.proc.work, one.group, one.proc.notes, tuple((p.root, p.over) for p in one.params))


def assemble(inputs: Sequence[Placeholder], outputs: Sequence[Variable], updates: Sequence[tuple[Shared, Variable]], machine: Machine, reuse: bool = True, library: Library | None = None, verify: bool = False, computed: Sequence[tuple[Symbol, Variable]] = (), checks: Sequence[tuple[Size, Size, str]] = ()) -> Program:
    """The Program of a graph that all passes have gone over; its kernels are compiled into `library`, if there is one.

    `computed`: Dims that are the values of scalars of the graph.  `checks`: sizes that must be equal once those are known.
    """
    context = Context(machine, list(inputs), reuse, library, verify, [s for s, _ in updates])
    results = [*outputs, *(v for _, v in updates), *(v for _, v in computed)]
    kept = {i: Place("out", i) for i in range(len(outputs))}
    cells = [Cell(s, v, Place("state", i)) for i, (s, v) in enumerate(updates)]
    block = Block(context, results, kept, cells, {}, dict(computed))
    plan = block.plan(memory.HEADER + 8 * ((block.slots + 7) // 8 * 8))
    steps = block.steps(plan)
    add_checks(steps, checks, context.sites)
    copies = [(block.place(cell.value), cell.place, cell.value.type.nbytes) for cell in block.copied]
    dims = program_dims(steps, plan.total, outputs)
    return Program(context.inputs, context.state, context.constants, list(outputs), list(updates), dims, steps, copies, plan.total, context.sites, list(context.objects.values()), plan)


def add_checks(steps: Sequence[Step], checks: Sequence[tuple[Size, Size, str]], sites: list[str]) -> None:
    """Each check goes where the last size it depends on becomes known."""
    measures = [step for step in steps if isinstance(step, Measure)]
    for a, b, text in checks:
        last = next(m for m in reversed(measures) if m.symbol in symbols_of(a) | symbols_of(b))
        last.checks.append((a, b, len(sites)))
        sites.append(text)


def program_dims(steps: Sequence[Step], total: Size, outputs: Sequence[Variable]) -> list[Symbol]:
    """The Dims that the steps and results depend on; those that a loop sets are not among them."""
    found: dict[Symbol, None] = {}
    bound: set[Symbol] = set()
    sizes = itertools.chain(*map(step_sizes, walk(steps)), [total], *(v.shape for v in outputs))
    for size in sizes:
        found.update(dict.fromkeys(sorted(symbols_of(size), key=lambda s: s.serial)))
    for step in walk(steps):
        if isinstance(step, Loop):
            bound.update({step.trip, *(b.symbol for b in step.bindings if isinstance(b, Read))})
    return [s for s in found if s not in bound]
