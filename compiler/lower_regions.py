"""Region group -> a loop or a choice, whose bodies are blocks of their own.

A row of a sequence is read where it lies, a stacked row is written where it belongs.  A carry whose history is used is
read from and written to the history; any other one is written over if the body reads it just where it writes, or else
takes turns between two buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphflow.compiler import memory
from graphflow.compiler.fuse import Group, axis_symbols
from graphflow.compiler.program import Binding, Choice, Fixed, History, Loop, Overwrite, Place, Read, Row, Step, Swap
from graphflow.graph import source
from graphflow.graph.dim import Dim, Size, Symbol, product, substitute, symbols_of
from graphflow.graph.op import RegionOp
from graphflow.graph.region import Region
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Placeholder, Variable
from graphflow.ops.branches import Branch
from graphflow.ops.loops import Scan
from graphflow.ops.sizes import as_size, value_symbol

if TYPE_CHECKING:
    from graphflow.compiler.assemble import Block


def scratch(nbytes: Size, name: str) -> Variable:
    """Memory for one step."""
    return Variable(TensorType.make("uint8", (nbytes,)), name=name)


class LoweredRegion:
    """What loops and choices have in common: operands and results of the outer block, and blocks inside."""

    def __init__(self, outer: Block, group: Group) -> None:
        self.outer, self.group, self.node = outer, group, group.members[0]
        self.context, self.fusion = outer.context, outer.fusion
        self.stores = list(group.stores)
        self.work: list[Variable] = []
        self.after: list[Variable] = []  # scalars whose values its sizes need
        self.blocks: list[Block] = []
        self.plans: list[memory.Plan] = []

    @property
    def checks(self) -> bool:
        return any(one.checks for block in self.blocks for one in block.items)

    @property
    def slots(self) -> int:
        return max(block.slots for block in self.blocks)

    @property
    def touched(self) -> list[Variable]:
        return [*(self.fusion.root(v) for v in self.operands()), *self.after]

    @property
    def symbols(self) -> set[Symbol]:
        """The Dims it depends on."""
        sizes = [size for v in (*self.node.inputs, *self.node.outputs) for size in v.shape]
        return {s for size in sizes for s in symbols_of(size)}.union(*(one.symbols for block in self.blocks for one in block.items))

    def operands(self) -> list[Variable]:
        raise NotImplementedError

    def used(self, v: Variable) -> bool:
        return self.fusion.root(v) in self.stores

    def new_local(self) -> Place:
        return Place("local", self.context.local())

    def add_block(self, results: Sequence[Variable], kept: dict[int, Place], cells: Sequence[tuple[Variable, Variable, Place, Place]], leaves: dict[Variable, Place]) -> Block:
        """Assemble a body; its part of the arena becomes memory of this step."""
        from graphflow.compiler.assemble import Block, Cell

        block = Block(self.context, results, kept, [Cell(*c) for c in cells], leaves)
        self.blocks.append(block)
        self.plans.append(block.plan(0))
        if self.plans[-1].total != 0:
            self.work.append(scratch(self.plans[-1].total, "body"))
        return block

    def block_steps(self) -> list[list[Step]]:
        arenas = iter([v for v in self.work if v.name == "body"])
        return [block.steps(plan, self.outer.place(next(arenas)).offset if plan.total != 0 else 0) for block, plan in zip(self.blocks, self.plans, strict=True)]


class LoweredLoop(LoweredRegion):
    """A Scan."""

    def __init__(self, outer: Block, group: Group) -> None:
        super().__init__(outer, group)
        op = self.node.op
        assert isinstance(op, Scan)
        self.op, self.given, self.made = op, op.operands(self.node.inputs), op.results(self.node.outputs)
        self.body = with_outer_sizes(op.body, op.parameters.constants, self.given.constants)
        self.inner = Scan(self.body, op.length, op.carries, op.sequences, op.reverse, op.counted, op.until)
        trip = self.body.inputs[0]
        symbol = value_symbol(trip)
        assert symbol is not None
        self.trip: Symbol = symbol
        self.number: Variable | None = None
        self.rows = [j for j, v in enumerate(self.made.rows) if self.used(v)]
        self.histories = [i for i, v in enumerate(self.made.histories) if self.used(v)]
        self.buffers: dict[int, tuple[Variable, Variable]] = {}  # of a carry without a history: where its last value goes, and the other one
        self.assemble_body(trip)

    # --- the body ---------------------------------------------------------------------------------
    @property
    def checks(self) -> bool:
        """A loop may be interrupted: what writes state comes after it."""
        return True

    def assemble_body(self, trip: Placeholder) -> None:
        names, inner = self.inner.parameters, self.inner
        leaves: dict[Variable, Place] = {p: self.new_local() for p in (*names.carries, *names.sequences, *names.constants)}
        reads_number = trip in {v for node in self.body.nodes for v in node.inputs} or trip in self.body.outputs
        if reads_number:
            self.number = scratch(8, "trip")
            self.work.append(self.number)
            leaves[trip] = self.new_local()
        self.local = leaves
        results = [*inner.new_carries, *(inner.row_results[j] for j in self.rows), *self.body.outputs[len(self.body.outputs) - inner.until :]]
        kept: dict[int, Place] = {}
        self.row_locals = {j: self.new_local() for j in self.rows}
        kept.update({inner.carries + k: self.row_locals[j] for k, j in enumerate(self.rows)})
        self.written = {i: self.new_local() for i in range(inner.carries)}
        kept.update({i: self.written[i] for i in self.histories})
        cells = [(c, v, leaves[c], self.written[i]) for i, (c, v) in enumerate(zip(names.carries, inner.new_carries, strict=True)) if i not in self.histories]
        for i, v in enumerate(self.made.finals):
            if i not in self.histories:
                final = v if self.used(v) else scratch(v.type.nbytes, "final")
                self.buffers[i] = final, scratch(v.type.nbytes, "other")
        self.results = results
        block = self.add_block(results, kept, cells, leaves)
        for i, (final, other) in self.buffers.items():
            self.work += [w for w in (final, *([] if self.overwrites(block, i) else [other])) if w not in self.stores and w is not self.made.finals[i]]

    def overwrites(self, block: Block, i: int) -> bool:
        return block.place(self.inner.new_carries[i]) == self.local[self.inner.parameters.carries[i]]

    # --- operands -----------------------------------------------------------------------------------
    def operands(self) -> list[Variable]:
        count = [self.given.count] if self.given.count is not None else []
        return [*count, *self.given.carries, *(self.fusion.row_source(v)[0] for v in self.given.sequences), *self.given.constants]

    # --- the step -----------------------------------------------------------------------------------
    def step(self, outer: Block) -> Loop:
        op, block = self.inner, self.blocks[0]
        steps = self.block_steps()[0]
        place = outer.place
        bindings: list[Binding] = [Fixed(self.local[p].number, place(v)) for p, v in zip(op.parameters.constants, self.given.constants, strict=True)]
        if self.number is not None:
            bindings.append(Fixed(self.local[self.body.inputs[0]].number, place(self.number)))
        bindings += [self.row_of(p, v) for p, v in zip(op.parameters.sequences, self.given.sequences, strict=True)]
        bindings += [Row(self.row_locals[j].number, place(self.made.rows[j]), op.row_results[j].type.nbytes, Dim.of(self.trip)) for j in self.rows]
        bindings += [self.carry(block, i) for i in range(op.carries)]
        bindings += [Read(s, self.local[p], p.dtype) for p in (*op.parameters.carries, *op.parameters.sequences) if (s := value_symbol(p)) is not None and isinstance(p, Placeholder)]
        assert self.op.length is not None or not self.rows
        return Loop(
            steps, self.trip, op.length, op.reverse, bindings,
            number=None if self.number is None else place(self.number),
            count=None if self.given.count is None else place(self.given.count),
            stop=block.place(self.results[-1]) if op.until else None,
            trips=place(self.made.trips) if self.made.trips is not None and self.used(self.made.trips) else None,
            cleared=self.cleared(), checks=self.size_checks({self.trip, *(b.symbol for b in bindings if isinstance(b, Read))}), group=self.group,
        )  # fmt: skip

    def row_of(self, p: Variable, v: Variable) -> Row:
        base, row = self.fusion.row_source(v)
        (axis,) = axis_symbols(1)
        return Row(self.local[p].number, self.outer.place(base), p.type.nbytes, substitute(row, {axis: Dim.of(self.trip)}))

    def carry(self, block: Block, i: int) -> Binding:
        place, v = self.outer.place, self.made.finals[i]
        read, initial = self.local[self.inner.parameters.carries[i]], place(self.given.carries[i])
        if i in self.histories:
            return History(read.number, self.written[i].number, place(self.made.histories[i]), v.type.nbytes, initial, place(v) if self.used(v) else None)
        final, other = self.buffers[i]
        if self.overwrites(block, i):
            return Overwrite(read.number, initial, place(final), v.type.nbytes)
        return Swap(read.number, self.written[i].number, initial, place(final), place(other), v.type.nbytes)

    def cleared(self) -> list[tuple[Place, Size, Size]]:
        """Stacked results that may have rows without a trip: with the rows that one trip more has written in histories."""
        if self.op.length is None or not (self.op.counted or self.op.until):
            return []
        found = [(self.made.rows[j], 0) for j in self.rows] + [(self.made.histories[i], 1) for i in self.histories]
        return [(self.outer.place(v), extra, product(v.shape[1:]) * v.dtype.itemsize) for v, extra in found]

    def size_checks(self, own: set[Symbol]) -> list[tuple[Size, Size, int]]:
        """Equalities of sizes that depend on the trip, such as bounds of an index."""
        found: list[tuple[Size, Size, int]] = []
        for node in self.body.nodes:
            for a, b in node.constraints:
                if any(isinstance(s, Dim) and s.symbols() & own for s in (a, b)):
                    found.append((a, b, len(self.context.sites)))
                    self.context.sites.append(f"{node.op} needs the sizes {a} and {b} to be equal\n{source.describe(node.source)}")
        return found


class LoweredChoice(LoweredRegion):
    """A Branch."""

    def __init__(self, outer: Block, group: Group) -> None:
        super().__init__(outer, group)
        op = self.node.op
        assert isinstance(op, Branch)
        self.flag, *self.given = self.node.inputs
        self.kept = [i for i, v in enumerate(self.node.outputs) if self.used(v)]
        self.result_locals = {i: self.new_local() for i in self.kept}
        self.locals = [self.new_local() for _ in self.given]
        for region in op.regions:
            inner = with_outer_sizes(region, region.inputs, self.given)
            leaves: dict[Variable, Place] = dict(zip(inner.inputs, self.locals, strict=True))
            self.add_block([inner.outputs[i] for i in self.kept], dict(enumerate(self.result_locals.values())), [], leaves)

    def operands(self) -> list[Variable]:
        return [self.flag, *self.given]

    def step(self, outer: Block) -> Choice:
        yes, no = self.block_steps()
        fixed = [Fixed(local.number, outer.place(v)) for local, v in zip(self.locals, self.given, strict=True)]
        fixed += [Fixed(local.number, outer.place(self.node.outputs[i])) for i, local in self.result_locals.items()]
        return Choice(outer.place(self.flag), yes, no, list(fixed), self.group)


def with_outer_sizes(region: Region, parameters: Sequence[Variable], given: Sequence[Variable]) -> Region:
    """The region with sizes that are the values of its parameters in terms of what is given for them."""
    values: dict[Symbol, Size] = {}
    for p, v in zip(parameters, given, strict=True):
        symbol = value_symbol(p)
        if symbol is not None:
            values[symbol] = as_size(v)
    return region.substitute(values) if values else region


def lower_region(outer: Block, group: Group) -> LoweredLoop | LoweredChoice:
    """The step of a region group; its bodies are assembled."""
    op = group.members[0].op
    assert isinstance(op, RegionOp)
    return LoweredLoop(outer, group) if isinstance(op, Scan) else LoweredChoice(outer, group)
