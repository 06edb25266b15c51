"""Scan: the loop of the graph.  scan, while_loop and their gradients are all this op.

Each trip the body gets the trip's row number, the carries, a row of every sequence, and the constants; it gives the
carries of the next trip, and rows that are stacked.  The history of a carry holds all its values, one more than there
are rows: in the order of the rows it lies before row 0 and after each row, so that `history[:-1]` is what trips began
with and `history[1:]` what they ended with (the other way round where rows are visited backwards).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from graphflow.graph.dim import Size
from graphflow.graph.errors import DTypeError, GraphError, ShapeError
from graphflow.graph.op import In, RegionOp, Sample, SizeConstraints, register, require_equal
from graphflow.graph.region import Region
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable, hook

T = TypeVar("T")
Grads = Sequence[Variable | None]
INT64 = np.dtype("int64")


@dataclass(frozen=True)
class Operands(Generic[T]):
    """The inputs of a Scan by what they are for."""

    count: T | None
    carries: tuple[T, ...]
    sequences: tuple[T, ...]
    constants: tuple[T, ...]


@dataclass(frozen=True)
class Results(Generic[T]):
    """The outputs of a Scan; `histories` and `rows` are empty where the number of trips has no bound."""

    finals: tuple[T, ...]
    histories: tuple[T, ...]
    rows: tuple[T, ...]
    trips: T | None


@register
class Scan(RegionOp):
    """Up to `length` trips through `body` (None: no bound, and nothing is stacked).

    Inputs: the number of trips if `counted`, `carries` initial values, `sequences` stacked operands, constants.
    Body: (row number, carries, rows of sequences, constants) -> (carries, stacked rows, and if `until` whether this was
    the last trip).  Outputs: final carries, histories, stacked rows, and the number of trips if counted or until.
    `reverse` visits rows from the last (of the count, if counted) to the first.  Rows of trips that were not made are
    zeros.  `truncate`: trips through which gradients flow back, 0 for all.
    """

    name = "scan"
    body: Region
    length: Size | None
    carries: int
    sequences: int
    reverse: bool = False
    counted: bool = False
    until: bool = False
    truncate: int = 0

    # --- parts ------------------------------------------------------------------------------------
    def operands(self, inputs: Sequence[T]) -> Operands[T]:
        first = int(self.counted)
        middle, last = first + self.carries, first + self.carries + self.sequences
        return Operands(inputs[0] if self.counted else None, tuple(inputs[first:middle]), tuple(inputs[middle:last]), tuple(inputs[last:]))

    def results(self, outputs: Sequence[T]) -> Results[T]:
        n, bounded, ends_early = self.carries, self.length is not None, self.counted or self.until
        rows = tuple(outputs[2 * n if bounded else n : len(outputs) - ends_early])
        return Results(tuple(outputs[:n]), tuple(outputs[n : 2 * n]) if bounded else (), rows, outputs[-1] if ends_early else None)

    @property
    def parameters(self) -> Operands[Variable]:
        """The body's inputs, the row number left out."""
        n = 1 + self.carries
        inputs = self.body.inputs
        return Operands(inputs[0], tuple(inputs[1:n]), tuple(inputs[n : n + self.sequences]), tuple(inputs[n + self.sequences :]))

    @property
    def new_carries(self) -> tuple[Variable, ...]:
        return self.body.outputs[: self.carries]

    @property
    def row_results(self) -> tuple[Variable, ...]:
        return self.body.outputs[self.carries : len(self.body.outputs) - self.until]

    @property
    def regions(self) -> tuple[Region, ...]:
        return (self.body,)

    def __str__(self) -> str:
        how = [f"{self.length} trips" if self.length is not None else "trips", *(word for word in ("reverse", "counted", "until") if getattr(self, word))]
        return f"scan{{{', '.join(how)}}}"

    def with_regions(self, regions: Sequence[Region]) -> Scan:
        return Scan(regions[0], self.length, self.carries, self.sequences, self.reverse, self.counted, self.until, self.truncate)

    # --- types ------------------------------------------------------------------------------------
    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        given, wanted = self.operands(inputs), self.parameters
        for i, (a, v) in enumerate(zip(given.carries, wanted.carries, strict=True)):
            same_type(a, v.type, f"the initial value of carry {i}")
        for i, (a, v) in enumerate(zip(given.constants, wanted.constants, strict=True)):
            same_type(a, v.type, f"constant {i}")
        for i, (a, v) in enumerate(zip(given.sequences, wanted.sequences, strict=True)):
            assert self.length is not None
            require_equal(a.known_shape[0], self.length, f"sequence {i} has {a.known_shape[0]} rows for {self.length} trips; sizes")
            same_type(TensorType(a.dtype, a.known_shape[1:]), v.type, f"a row of sequence {i}")
        for i, (new, v) in enumerate(zip(self.new_carries, wanted.carries, strict=True)):
            same_type(new.type, v.type, f"what the body makes of carry {i}", "a carry keeps its type: cast or broadcast the initial value, or the body's result")
        SizeConstraints.pending.extend(self.body.constraints())
        finals = [v.type for v in self.new_carries]
        stacked: list[TensorType] = []
        if self.length is not None:
            stacked = [stack_of(self.length + 1, t) for t in finals] + [stack_of(self.length, v.type) for v in self.row_results]
        trips = [TensorType(INT64, ())] if self.counted or self.until else []
        return (*finals, *stacked, *trips)

    # --- reference ----------------------------------------------------------------------------------
    def reference(self, *arrays: Any) -> Any:
        given = self.operands(arrays)
        length = self.trips_of(given)
        step = hook("interpreter")(self.body)
        carries, histories, rows = list(given.carries), [[c] for c in given.carries], []
        trips, stopped = 0, False
        while not stopped and (length is None or trips < length):
            row = length - 1 - trips if self.reverse and length is not None else trips
            results = step([np.int64(row), *carries, *(s[row] for s in given.sequences), *given.constants])
            carries = results[: self.carries]
            rows.append(results[self.carries : len(results) - self.until])
            stopped = self.until and bool(results[-1])
            trips += 1
            if self.length is not None:
                for past, c in zip(histories, carries, strict=True):
                    past.append(c)
        outputs = [*carries]
        if self.length is not None:
            outputs += [self.stacked(past, self.static_length(given) + 1, v.type) for past, v in zip(histories, self.new_carries, strict=True)]
            outputs += [self.stacked([r[j] for r in rows], self.static_length(given), v.type) for j, v in enumerate(self.row_results)]
        if self.counted or self.until:
            outputs.append(np.int64(trips))
        return tuple(outputs)

    def static_length(self, given: Operands[Any]) -> int:
        return len(given.sequences[0]) if given.sequences else int(self.length)  # type: ignore[arg-type]

    def trips_of(self, given: Operands[Any]) -> int | None:
        bound = None if self.length is None else self.static_length(given)
        if given.count is None:
            return bound
        return int(given.count) if bound is None else max(0, min(int(given.count), bound))

    def stacked(self, parts: list[Any], length: int, type: TensorType) -> Any:
        """Rows in order, zeros where there were no trips."""
        shape = parts[0].shape if parts else tuple(int(s) for s in type.known_shape)
        out = np.zeros((length, *shape), type.dtype)
        for i, part in enumerate(parts):
            out[len(parts) - 1 - i if self.reverse else i] = part
        return out

    # --- gradient -----------------------------------------------------------------------------------
    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        from graphflow.ops.loop_gradient import cotangents

        if self.length is None:
            raise GraphError("a loop without a bound on its trips has no reverse gradient: what the trips computed has to be kept", hint="give gf.while_loop a maximum_iterations=")
        return cotangents(self, inputs, outputs, grads)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        from graphflow.ops.control import scan, while_loop
        from graphflow.ops.elementwise import add, multiply
        from graphflow.ops.reduction import max_
        from graphflow.ops.transcendental import tanh

        def recurrence(x: Variable, h: Variable, w: Variable) -> Variable:
            found: Variable = scan(lambda x, h: tanh(add(multiply(h, w), x)), sequences=x, outputs_info=h)[0]
            return found

        def halved(x: Variable) -> Variable:
            found: Variable = while_loop(lambda i, v: max_(v, keepdims=False) > 0.5, lambda i, v: (i + 1, multiply(v, 0.5)), [np.int64(0), x], maximum_iterations=6)[1]
            return found

        yield Sample(recurrence, (In(("t", "m")), In(("m",)), In(("m",))), rtol=2e-5)
        yield Sample(halved, (In((3,), low=1.0, high=1.9),), name="while")


def stack_of(length: Size, row: TensorType) -> TensorType:
    return TensorType(row.dtype, (length, *row.known_shape))


def same_type(a: TensorType, b: TensorType, what: str, hint: str = "") -> None:
    """Raises DTypeError or ShapeError for different types; sizes known at run time are checked then."""
    if a.dtype != b.dtype:
        raise DTypeError(f"{what} is {a}, and the body takes {b}", hint=hint or "cast it to the dtype of the body's parameter")
    if len(a.known_shape) != len(b.known_shape):
        raise ShapeError(f"{what} is {a}, and the body takes {b}", hint=hint)
    for x, y in zip(a.known_shape, b.known_shape, strict=True):
        require_equal(x, y, f"{what} is {a}, and the body takes {b}; sizes", hint)
