"""A Scan under construction: its parts by name, which passes change before it becomes a node again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphflow.compiler.clone import Cloner
from graphflow.graph.dim import Size
from graphflow.graph.region import Region
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Apply, Placeholder, Variable
from graphflow.ops.loop_gradient import rows_of
from graphflow.ops.loops import Scan


@dataclass(eq=False)
class Carry:
    """`param` begins as `initial` and becomes `new`; the old node's outputs for it, None where nobody uses them."""

    param: Placeholder
    initial: Variable
    new: Variable
    final: Variable | None
    history: Variable | None


@dataclass(eq=False)
class Operand:
    """A sequence's row or a constant of the body, and what is given for it."""

    param: Placeholder
    given: Variable


@dataclass(eq=False)
class RowResult:
    """A value of the body that is stacked; `output` of the old node, None for one that a pass has added."""

    value: Variable
    output: Variable | None


class Draft:
    """The parts of a Scan node whose operands are `inputs` now, and of whose outputs some are `used`."""

    def __init__(self, node: Apply, inputs: Sequence[Variable], used: set[Variable]) -> None:
        op = node.op
        assert isinstance(op, Scan)
        self.op, self.node = op, node
        given, names, made = op.operands(inputs), op.parameters, op.results(node.outputs)
        self.trip = op.body.inputs[0]
        self.count = given.count
        histories = made.histories or (None,) * op.carries
        self.carries = [
            Carry(_placeholder(p), first, new, final if final in used else None, h if h in used else None)
            for p, first, new, final, h in zip(names.carries, given.carries, op.new_carries, made.finals, histories, strict=True)
        ]
        self.sequences = [Operand(_placeholder(p), v) for p, v in zip(names.sequences, given.sequences, strict=True)]
        self.constants = [Operand(_placeholder(p), v) for p, v in zip(names.constants, given.constants, strict=True)]
        self.rows = [RowResult(v, out) for v, out in zip(op.row_results, made.rows, strict=True) if out in used]
        self.stop = op.body.outputs[-1] if op.until else None
        self.trips = made.trips if made.trips in used else None
        self.results: dict[Variable, Variable] = {}  # of the old node's outputs
        self.same: dict[Variable, Variable] = {}  # outputs of the old node that are others of them
        self.changed = False

    @property
    def length(self) -> Size | None:
        return self.op.length

    @property
    def always_complete(self) -> bool:
        """Is every row visited?"""
        return self.op.length is not None and not self.op.counted and not self.op.until

    # --- values -----------------------------------------------------------------------------------
    def values(self, without: Carry | None = None) -> list[Variable]:
        """All results of the body, or all but the new value of one carry."""
        return [*(c.new for c in self.carries if c is not without), *(r.value for r in self.rows), *([self.stop] if self.stop is not None else [])]

    def replace(self, table: Mapping[Variable, Variable]) -> None:
        """Put other values in place of some of the body's."""
        if not table:
            return
        new = iter(Cloner(table).clone(self.values()))
        for c in self.carries:
            c.new = next(new)
        for r in self.rows:
            r.value = next(new)
        if self.stop is not None:
            self.stop = next(new)
        self.changed = True

    def add_sequence(self, given: Variable) -> Placeholder:
        """A row of `given` for the body."""
        param = Placeholder(TensorType(given.dtype, given.shape[1:]), given.name)
        self.sequences.append(Operand(param, given))
        self.changed = True
        return param

    def add_constant(self, given: Variable) -> Placeholder:
        param = Placeholder(given.type, given.name)
        self.constants.append(Operand(param, given))
        self.changed = True
        return param

    def alias(self, output: Variable | None, kept: Variable | None) -> Variable | None:
        """The output that stands for both: `output` becomes `kept`, if there is one."""
        if output is not None and kept is not None:
            self.same[output] = kept
        return output if kept is None else kept

    # --- the node -----------------------------------------------------------------------------------
    def build(self) -> None:
        """Make the node; `stacked` then gives what is outside for values of the body."""
        inputs = [self.trip, *(c.param for c in self.carries), *(s.param for s in self.sequences), *(k.param for k in self.constants)]
        region = Region(inputs, self.values())
        op, given = self.op, [*(c.initial for c in self.carries), *(s.given for s in self.sequences), *(k.given for k in self.constants)]
        self.made = Scan(region, op.length, len(self.carries), len(self.sequences), op.reverse, op.counted, op.until, op.truncate)
        outputs = self.made(*([] if self.count is None else [self.count]), *given)
        self.outputs = self.made.results(outputs if isinstance(outputs, tuple) else (outputs,))
        for c, final in zip(self.carries, self.outputs.finals, strict=True):
            if c.final is not None:
                self.results.setdefault(c.final, final)
        for c, history in zip(self.carries, self.outputs.histories, strict=False):
            if c.history is not None:
                self.results.setdefault(c.history, history)
        for r, rows in zip(self.rows, self.outputs.rows, strict=True):
            if r.output is not None:
                self.results.setdefault(r.output, rows)
        if self.trips is not None and self.outputs.trips is not None:
            self.results[self.trips] = self.outputs.trips

    def old_outputs(self) -> list[Variable]:
        """What stands for each output of the old node; something of its type for those nobody uses."""
        found = [self.same.get(v, v) for v in self.node.outputs]
        return [self.results[v] if v in self.results else Variable(v.type) for v in found]

    def stacked(self, value: Variable) -> Variable:
        """Outside, all rows of what trips began or ended with, or of a stacked value of the body."""
        for i, c in enumerate(self.carries):
            if c.param is value:
                return rows_of(self.outputs.histories[i], not self.op.reverse)
        for i, c in enumerate(self.carries):
            if c.new is value:
                return rows_of(self.outputs.histories[i], self.op.reverse)
        found: Variable = self.outputs.rows[next(i for i, r in enumerate(self.rows) if r.value is value)]
        return found


def _placeholder(v: Variable) -> Placeholder:
    assert isinstance(v, Placeholder)
    return v
