"""The reverse gradient of a Scan: a Scan that visits the same rows in the opposite order.

Its body makes the forward body's values again from what a trip began with, which the histories have kept, and pulls
the cotangents through.  The cotangents of carries are its carries; those of sequences are its rows; those of constants
are sums over its trips.  (`compiler/loops/` keeps values that are dear to make again, and takes the sums out.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphflow.graph.dim import Size, minimum
from graphflow.graph.region import Region, trip_number
from graphflow.graph.traversal import depends_on
from graphflow.graph.types import TensorType, is_float
from graphflow.graph.variable import Placeholder, Variable, as_variable, constant, hook
from graphflow.ops.elementwise import add, where
from graphflow.ops.gathering import take
from graphflow.ops.shape import broadcast_to
from graphflow.ops.sizes import as_size
from graphflow.ops.slicing import Pad, Slice

if TYPE_CHECKING:
    from graphflow.ops.loops import Scan

Grads = Sequence[Variable | None]


def cotangents(op: Scan, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
    """The cotangents of `inputs`, None for those that get none."""
    return _Reverse(op, inputs, outputs, grads).run()


class _Reverse:
    def __init__(self, op: Scan, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> None:
        self.op, self.given, self.made, self.grads = op, op.operands(inputs), op.results(outputs), op.results(grads)
        assert op.length is not None
        self.length: Size = op.length
        self.count = self.made.trips if op.until else self.given.count
        self.first: Size = 0  # the rows from `first` on, `window` of them, are those through which gradients flow
        self.window: Size = op.length
        if op.truncate:
            end = op.length if self.count is None else minimum(as_size(self.count), op.length)
            self.window = minimum(op.truncate, end)
            self.first = end - self.window
            self.count = None
        self.carries = self.active_carries()
        self.rows = [j for j, g in enumerate(self.grads.rows) if g is not None and is_float(op.row_results[j].dtype)]
        results = [op.new_carries[i] for i in self.carries] + [op.row_results[j] for j in self.rows]
        reached = depends_on(results, op.body.inputs)
        self.constants = [i for i, k in enumerate(op.parameters.constants) if is_float(k.dtype) and k in reached]

    def active_carries(self) -> list[int]:
        """Carries that have a cotangent, or get one through the body."""
        op = self.op
        known = {i for i, v in enumerate(op.new_carries) if is_float(v.dtype) and (self.grads.finals[i] is not None or self.grads.histories[i] is not None)}
        rows = [v for v, g in zip(op.row_results, self.grads.rows, strict=True) if g is not None]
        while True:
            reached = depends_on([*rows, *(op.new_carries[i] for i in known)], op.parameters.carries)
            more = {i for i, c in enumerate(op.parameters.carries) if is_float(c.dtype) and c in reached} - known
            if not more:
                return sorted(known)
            known |= more

    def run(self) -> Grads:
        op = self.op
        sequences = [*self.before(), *map(self.windowed, self.given.sequences)]
        sequences += [self.windowed(self.grads.rows[j]) for j in self.rows]  # type: ignore[arg-type]
        self.histories = [i for i in self.carries if self.grads.histories[i] is not None]
        sequences += [self.windowed(self.after(self.grads.histories[i])) for i in self.histories]  # type: ignore[arg-type]
        starts = [g if (g := self.grads.finals[i]) is not None else zeros(op.new_carries[i].type) for i in self.carries]
        starts += [zeros(op.parameters.constants[i].type) for i in self.constants]
        body, with_rows = self.body()
        backward = type(op)(body, self.window, len(starts), len(sequences), reverse=not op.reverse, counted=self.count is not None)
        made = backward(*([] if self.count is None else [self.count]), *starts, *sequences, *self.given.constants)
        results = backward.results(made if isinstance(made, tuple) else (made,))
        return self.arrange(results.finals, dict(zip(with_rows, results.rows, strict=True)))

    # --- the body ---------------------------------------------------------------------------------
    def body(self) -> tuple[Region, list[int]]:
        """The backward body, and the sequences whose cotangents are its rows."""
        op = self.op
        names = op.parameters
        trip = trip_number(self.window)
        flowing = [like(op.new_carries[i], "g") for i in self.carries]
        sums = [like(names.constants[i], "gsum") for i in self.constants]
        before, rows = [like(c) for c in names.carries], [like(x) for x in names.sequences]
        row_grads = [like(op.row_results[j], "grow") for j in self.rows]
        history_grads = {i: like(op.new_carries[i], "ghistory") for i in self.histories}
        constants = [like(k) for k in names.constants]

        number = trip if self.first == 0 else add(trip, as_variable(self.first, "int64"))
        made = op.body.of([number, *before, *rows, *constants])
        outs = [made[i] for i in self.carries] + [made[op.carries + j] for j in self.rows]
        seeds = [add(g, history_grads[i]) if i in history_grads else g for i, g in zip(self.carries, flowing, strict=True)] + row_grads
        wanted = [before[i] for i in self.carries] + rows + [constants[i] for i in self.constants]
        found: list[Variable | None] = hook("pullback")(outs, seeds, wanted)

        n, m = len(self.carries), len(self.carries) + len(rows)
        carried = [g if g is not None else zeros(v.type) for g, v in zip(found[:n], wanted, strict=False)]
        summed = [s if g is None else add(s, g) for s, g in zip(sums, found[m:], strict=True)]
        with_rows = [j for j, g in enumerate(found[n:m]) if g is not None]
        stacked = [g for g in found[n:m] if g is not None]
        inputs = [trip, *flowing, *sums, *before, *rows, *row_grads, *history_grads.values(), *constants]
        return Region(inputs, [*carried, *summed, *stacked]), with_rows

    # --- operands and results ---------------------------------------------------------------------------
    def before(self) -> list[Variable]:
        """What each trip began with."""
        return [self.windowed(rows_of(h, not self.op.reverse)) for h in self.made.histories]

    def after(self, history: Variable) -> Variable:
        return rows_of(history, self.op.reverse)

    def windowed(self, rows: Variable) -> Variable:
        """The rows of the last trips that were made, through which gradients flow."""
        if self.window == self.length:
            return rows
        made: Variable = Slice((self.first, *[0] * (rows.ndim - 1)), (1,) * rows.ndim, (self.window, *rows.shape[1:]))(rows)
        return made

    def arrange(self, finals: Sequence[Variable], rows: dict[int, Variable]) -> Grads:
        found: list[Variable | None] = [None] * len(self.given.carries)
        for i, g in zip(self.carries, finals, strict=False):
            found[i] = self.initial(i, g)
        sequences = [self.widened(rows[j]) if j in rows else None for j in range(len(self.given.sequences))]
        constants: list[Variable | None] = [None] * len(self.given.constants)
        for i, g in zip(self.constants, finals[len(self.carries) :], strict=True):
            constants[i] = g
        return [*([None] if self.op.counted else []), *found, *sequences, *constants]

    def initial(self, i: int, g: Variable) -> Variable:
        """The cotangent of an initial value: of the first trip's carry, and of its own place in the history."""
        if self.first != 0:
            g = where(as_variable(self.first, "int64") <= 0, g, constant(0, g.dtype))
        history = self.grads.histories[i]
        if history is None:
            return g
        if not self.op.reverse:
            return add(g, history[0])
        return add(g, history[-1] if self.given.count is None else take(history, self.given.count, axis=0))

    def widened(self, rows: Variable) -> Variable:
        """Zeros for the rows of trips through which no gradient flows."""
        if self.window == self.length:
            return rows
        made: Variable = Pad((self.first, *[0] * (rows.ndim - 1)), (1,) * rows.ndim, (self.length, *rows.shape[1:]), 0)(rows)
        return made


def rows_of(history: Variable, leading: bool) -> Variable:
    """All of a history but its last row, or but its first."""
    n = history.ndim
    sizes = (history.shape[0] - 1, *history.shape[1:])
    made: Variable = Slice((0 if leading else 1, *[0] * (n - 1)), (1,) * n, sizes)(history)
    return made


def like(v: Variable, name: str | None = None) -> Placeholder:
    return Placeholder(v.type, name or v.name)


def zeros(type: TensorType) -> Variable:
    return broadcast_to(constant(0, type.dtype), type.known_shape)
