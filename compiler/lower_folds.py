"""What folds keep and how they step: row folds in their canonical order, and positions of extremes.

A fold over the trailing axes keeps 64 partial results in chunks of 4096; see `lower`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from graphflow.compiler import kernel as K
from graphflow.compiler.fuse import point
from graphflow.compiler.kernel import Buffer, Expr
from graphflow.compiler.lower import CHUNK, PARTIALS, Lowering, ScalarBuilder
from graphflow.graph.dim import Dim, Size, Symbol, floordiv, minimum, mod, product, symbols_of
from graphflow.graph.op import FoldOp
from graphflow.graph.types import DType
from graphflow.graph.variable import Apply

if TYPE_CHECKING:
    from graphflow.compiler.lower_loops import MapLowering

SEQ = K.Kind.SEQ


def is_position(node: Apply) -> bool:
    """argmax and argmin: they keep a value and where it was."""
    return isinstance(node.op, FoldOp) and node.op.monoid.startswith("arg")


def folded_axes(node: Apply) -> tuple[int, ...]:
    assert isinstance(node.op, FoldOp)
    return node.op.axes


def start_position(lowering: Lowering, node: Apply, lanes: tuple[int, ...] = ()) -> tuple[Buffer, ...]:
    """Registers for the best element so far and its position."""
    assert isinstance(node.op, FoldOp)
    best = lowering.reg("best", node.inputs[0].dtype, lanes)
    where = lowering.reg("where", position_dtype(node), lanes)
    return best, where


def position_dtype(node: Apply) -> DType:
    """int32 lanes are as many as float32 ones; int64 where positions may not fit."""
    axes = [node.inputs[0].shape[a] for a in folded_axes(node)]
    size = product(axes)
    fits = size < 2**31 if isinstance(size, int) else len(axes) == 1 and size in {Dim.of(s) for s in symbols_of(size)}
    return K.I32 if fits else K.I64


def kept_dtypes(node: Apply) -> list[DType]:
    """Of what a fold keeps."""
    return [node.inputs[0].dtype, position_dtype(node)] if is_position(node) else [node.outputs[0].dtype]


def clear_position(lowering: Lowering, node: Apply, kept: tuple[Buffer, ...], at: tuple[Size, ...] = ()) -> None:
    """No element is worse than this one; where all are as bad, position 0 is the first."""
    best, where = kept
    assert isinstance(node.op, FoldOp)
    lowering.emit(K.Store(best, at, lowering.fold_identity(node.op.monoid.removeprefix("arg"), best.dtype)))
    lowering.emit(K.Store(where, at, K.const(where.dtype, 0)))


def step_position(lowering: Lowering, monoid: str, kept: tuple[Buffer, ...], x: Expr, position: Expr, at: tuple[Size, ...] = ()) -> None:
    """The first extreme wins; the first NaN wins over all and stays.  Positions come in rising order."""
    best, where = kept
    x = lowering.let("x", x)
    old = lowering.let("old", K.Load(best, at))
    better = lowering.let("better", is_better(monoid, x, old))
    lowering.emit(K.Store(where, at, K.select(better, lowering.let("here", K.cast(where.dtype, position)), K.Load(where, at))))
    lowering.emit(K.Store(best, at, K.select(better, x, old)))


def is_better(monoid: str, x: Expr, old: Expr) -> Expr:
    """Does `x` take the place of `old`, which came before?"""
    better = ~(x <= old) if monoid == "argmax" else ~(old <= x)
    return better & old.eq(old) if x.dtype.kind == "f" else better


def merge_positions(lowering: Lowering, monoid: str, into: tuple[Buffer, ...], at: tuple[Size, ...], other: tuple[Buffer, ...], there: tuple[Size, ...]) -> None:
    """The better of two bests; of equal ones (NaNs too) the one with the smaller position."""
    best, where = into
    old, x = lowering.let("old", K.Load(best, at)), lowering.let("x", K.Load(other[0], there))
    held, position = lowering.let("held", K.Load(where, at)), lowering.let("here", K.Load(other[1], there))
    same = x.eq(old)
    if x.dtype.kind == "f":
        same = same | (x.ne(x) & old.ne(old))
    better = lowering.let("better", is_better(monoid, x, old) | (same & (position < held)))
    lowering.emit(K.Store(where, at, K.select(better, position, held)))
    lowering.emit(K.Store(best, at, K.select(better, x, old)))


class RowFold:
    """Folds over the trailing axes of one row, all in the same pass."""

    def __init__(self, lowering: MapLowering, folds: Sequence[Apply]) -> None:
        self.l = lowering
        self.folds = folds
        self.acc: dict[Apply, tuple[Buffer, ...]] = {}

    def run(self, inner: list[tuple[Symbol, Size]], compute: Callable[[], None]) -> None:
        lw = self.l
        size = product([extent for _, extent in inner])
        for node in self.folds:
            self.acc[node] = self.start(node)
        if inner:
            self.canonical(inner, size, compute)
        else:  # one element
            compute()
            for node in self.folds:
                self.step(node, self.acc[node], ())
        lw.end_pass()
        self.count = size

    @staticmethod
    def monoid(node: Apply) -> str:
        assert isinstance(node.op, FoldOp)
        return node.op.monoid

    def operand(self, node: Apply) -> Expr:
        op, x = node.op, node.inputs[0]
        assert isinstance(op, FoldOp)
        e: Expr = op.before(ScalarBuilder(tuple(map(self.l.actual, point(x.shape))), x.shape), self.l.value(x, self.l.full_point))
        return e

    def start(self, node: Apply) -> tuple[Buffer, ...]:
        kept = self.registers(node, "acc")
        self.clear(node, kept, ())
        return kept

    def registers(self, node: Apply, name: str, lanes: tuple[int, ...] = ()) -> tuple[Buffer, ...]:
        if is_position(node):
            return start_position(self.l, node, lanes)
        return (self.l.reg(name, node.outputs[0].dtype, lanes),)

    def clear(self, node: Apply, kept: tuple[Buffer, ...], at: tuple[Size, ...]) -> None:
        if is_position(node):
            clear_position(self.l, node, kept, at)
        else:
            self.l.emit(K.Store(kept[0], at, self.l.fold_identity(self.monoid(node), kept[0].dtype)))

    def step(self, node: Apply, kept: tuple[Buffer, ...], at: tuple[Size, ...]) -> None:
        if is_position(node):
            step_position(self.l, self.monoid(node), kept, self.operand(node), self.flat_inner(), at)
        else:
            self.l.emit(K.Fold(self.monoid(node), kept[0], at, (self.operand(node),)))

    def merge(self, node: Apply, into: tuple[Buffer, ...], at: tuple[Size, ...], other: tuple[Buffer, ...], there: tuple[Size, ...]) -> None:
        if is_position(node):
            merge_positions(self.l, self.monoid(node), into, at, other, there)
        else:
            self.l.emit(K.Fold(self.monoid(node), into[0], at, (K.Load(other[0], there),)))

    def flat_inner(self) -> Expr:
        """The position within the row, row-major over the folded axes."""
        lw = self.l
        rows = len(lw.group.row_shape())
        shape = lw.group.space[rows:]
        ix = tuple(map(lw.actual, lw.full_point[rows:]))
        return ScalarBuilder(ix, shape).flat()

    def canonical(self, inner: list[tuple[Symbol, Size]], size: Size, compute: Callable[[], None]) -> None:
        """fold64: 64 partial results in chunks of 4096, combined by a fixed tree, chunks in order.

        Partials that never receive an element are left out: they hold the identity.
        """
        lanes = PARTIALS
        if isinstance(size, int):
            while lanes > 1 and lanes // 2 >= size:
                lanes //= 2
        with contextlib.ExitStack() as stack:
            start: Size = 0
            length: Size = size
            if not isinstance(size, int) or size > CHUNK:
                c = stack.enter_context(self.l.loop("c", (size + CHUNK - 1) // CHUNK, SEQ))
                start, length = c * CHUNK, minimum(size - c * CHUNK, CHUNK)
            for n, part in self.chunk(inner, start, length, lanes, compute).items():
                self.merge(n, self.acc[n], (), part, (0,))

    def chunk(self, inner: list[tuple[Symbol, Size]], start: Size, length: Size, lanes: int, compute: Callable[[], None]) -> dict[Apply, tuple[Buffer, ...]]:
        """Fold `length` elements from `start` on: the results are in lane 0."""
        lw = self.l
        parts = {n: self.registers(n, "part", (lanes,)) for n in self.folds}
        with lw.loop("l", lanes) as lane:
            for n, part in parts.items():
                self.clear(n, part, (lane,))
        full, rest = length // lanes, length % lanes
        if not (isinstance(full, int) and full == 0):
            with lw.loop("r", full, SEQ) as r, lw.loop("l", lanes) as lane:
                self.element(inner, start + r * lanes + lane, parts, lane, compute)
        if not (isinstance(rest, int) and rest == 0):
            with lw.loop("l", lanes) as lane, lw.inside(lambda body: K.Mask(K.index(lane) < K.index(rest), body)):
                self.element(inner, start + full * lanes + lane, parts, lane, compute)
        half = lanes // 2
        while half:
            with lw.loop("l", half) as lane:
                for n, part in parts.items():
                    self.merge(n, part, (lane,), part, (lane + half,))
            half //= 2
        return parts

    def run_chunks(self, inner: list[tuple[Symbol, Size]], kept: dict[Apply, tuple[Buffer, ...]], compute: Callable[[], None]) -> None:
        """Each chunk's results into memory, whoever computes it."""
        size = product([extent for _, extent in inner])
        with self.l.loop("c", (size + CHUNK - 1) // CHUNK) as c:
            for n, part in self.chunk(inner, c * CHUNK, minimum(size - c * CHUNK, CHUNK), PARTIALS, compute).items():
                for memory, register in zip(kept[n], part, strict=True):
                    self.l.emit(K.Store(memory, (c,), K.Load(register, (0,))))

    def join_chunks(self, size: Size, kept: dict[Apply, tuple[Buffer, ...]]) -> None:
        """The chunks' results in order, as `canonical` takes them."""
        self.acc = {node: self.start(node) for node in self.folds}
        self.count = size
        with self.l.loop("c", (size + CHUNK - 1) // CHUNK, SEQ) as c:
            for n in self.folds:
                self.merge(n, self.acc[n], (), kept[n], (c,))

    def element(self, inner: list[tuple[Symbol, Size]], at: Size, parts: dict[Apply, tuple[Buffer, ...]], lane: Size, compute: Callable[[], None]) -> None:
        lw = self.l
        rest = at
        for var, extent in reversed(inner):  # axes that do not merge are still one sequence of elements
            lw.moved[var] = rest if var is inner[0][0] else mod(rest, extent)
            rest = floordiv(rest, extent)
        compute()
        for n in self.folds:
            self.step(n, parts[n], (lane,))
        lw.end_pass()
        for var, _ in inner:
            del lw.moved[var]

    def result(self, node: Apply) -> Expr:
        lw, op = self.l, node.op
        assert isinstance(op, FoldOp)
        acc = self.acc[node]
        e: Expr = K.Load(acc[-1], ())
        if is_position(node):
            return lw.let("arg", K.cast(node.outputs[0].dtype, e))
        return lw.let("s", op.after(ScalarBuilder(), e, K.index(self.count)))
