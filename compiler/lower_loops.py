"""The loops of each kind of group: maps with row folds, column folds, contractions, nests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.compiler import kernel as K
from graphflow.compiler.fuse import Kind, Level, axis_symbols, phases_of, point
from graphflow.compiler.kernel import Buffer, Expr
from graphflow.compiler.lower import (
    BLOCK,
    CHUNK,
    GROUP,
    LEAST_PACKED,
    LEAST_PACKED_ROWS,
    PARTIALS,
    Lowered,
    Lowering,
    ScalarBuilder,
)
from graphflow.compiler.lower_folds import (
    RowFold,
    clear_position,
    folded_axes,
    is_position,
    kept_dtypes,
    start_position,
    step_position,
)
from graphflow.graph import source
from graphflow.graph.dim import Dim, Size, Symbol, product
from graphflow.graph.op import ContractOp, FoldOp, NestOp, ScalarOp, ViewOp
from graphflow.graph.types import DType, Shape, TensorType
from graphflow.graph.variable import Apply, Variable

ANY, SEQ = K.Kind.ANY, K.Kind.SEQ
FEW_SUMS, LONG_SUM = 1 << 20, 1 << 14  # results, and terms of each, where sums wait in memory of their own
LONG_FOLD = 16 * CHUNK  # elements from which a fold of everything is worth two kernels


class MapLowering(Lowering):
    """Elementwise values over a space, with folds over its trailing axes.

    The folds split the work on a row into phases: values of phase p need folds of phase p - 1.
    Each phase is one pass over the row.
    """

    def run(self) -> list[Lowered]:
        g = self.group
        self.full_point, self.row_point = point(g.space), point(g.row_shape())
        self.phase_of = phases_of(self.fusion, g)
        if self.is_one_long_fold():
            return self.in_chunks()
        outer = self.open_axes(g.row_shape(), 0, "ijpq")
        inner = self.open_axes(g.space[len(g.row_shape()) :], len(g.row_shape()), "kl")
        with contextlib.ExitStack() as stack:
            self.enter_loops(stack, outer)
            last = max(self.phase_of.values(), default=0)
            for phase in range(last + 1):
                self.row_values(phase)
                self.pass_over_row(phase, inner)
            self.row_values(last + 1)
        return [self.finish()]

    def is_one_long_fold(self) -> bool:
        """Does a single pass fold more than a thread should do alone, with nothing but the results left to do?"""
        g = self.group
        if g.rows != 0 or max(self.phase_of.values(), default=0) != 1:
            return False
        sizes = [n for n in g.space if not (isinstance(n, int) and n == 1)]
        total = product(sizes)
        long = total > LONG_FOLD if isinstance(total, int) else len(sizes) > 1  # one open axis is a batch's
        after = any(self.phase_of[n.outputs[0]] == 1 and g.level[n.outputs[0]] is Level.FULL for n in g.members)
        before = any(self.phase_of[n.outputs[0]] == 0 and g.level[n.outputs[0]] is Level.ROW for n in g.members)
        return long and not after and not before

    def in_chunks(self) -> list[Lowered]:
        """Two kernels: chunks, each by some thread; then their results in order, and what is made of them."""
        g = self.group
        folds = [n for n in g.members if isinstance(n.op, FoldOp)]
        inner = self.open_axes(g.space, 0, "kl")
        size = product([extent for _, extent in inner])
        stores = [v for v in g.stores if g.level.get(v, Level.FULL) is Level.FULL]
        needed = self.needed_for(folds, stores)
        memory = {n: [Variable(TensorType(d, ((size + CHUNK - 1) // CHUNK,)), name="chunks") for d in kept_dtypes(n)] for n in folds}
        kept = {n: tuple(self.chunk_buffer(v, K.Mode.OUT) for v in found) for n, found in memory.items()}
        RowFold(self, folds).run_chunks(inner, kept, lambda: self.full_values(needed, stores))
        return [self.finish(), MapLowering(self.fusion, g, f"{self.name}_join").join(folds, size, memory)]

    def join(self, folds: Sequence[Apply], size: Size, memory: dict[Apply, list[Variable]]) -> Lowered:
        """The second of two kernels: what chunks gave, in order."""
        self.full_point, self.row_point = point(self.group.space), ()
        self.phase_of = phases_of(self.fusion, self.group)
        fold = RowFold(self, folds)
        fold.join_chunks(size, {n: tuple(self.chunk_buffer(v, K.Mode.IN) for v in found) for n, found in memory.items()})
        self.take_results(fold)
        self.row_values(1)
        return self.finish()

    def chunk_buffer(self, v: Variable, mode: K.Mode) -> Buffer:
        made = self.params[v, v.shape] = Buffer(f"c{len(self.params)}", v.dtype, v.shape, mode=mode)
        return made

    def enter_loops(self, stack: contextlib.ExitStack, loops: Sequence[tuple[Symbol, Size]]) -> None:
        for var, extent in loops:
            stack.enter_context(self.inside(lambda body, var=var, extent=extent: K.For(var, extent, ANY, body)))  # type: ignore[misc]

    @contextlib.contextmanager
    def loops_of_pass(self, inner: Sequence[tuple[Symbol, Size]], kind: K.Kind) -> Iterator[None]:
        """Loops over the folded axes, with variables of their own."""
        with contextlib.ExitStack() as stack:
            for var, extent in inner:
                self.moved[var] = stack.enter_context(self.loop(var.name, extent, kind))
            yield
        for var, _ in inner:
            del self.moved[var]

    def row_values(self, phase: int) -> None:
        """Members of ROW level that become known before the pass of `phase`."""
        for node in self.group.members:
            v = node.outputs[0]
            if self.group.level[v] is Level.ROW and self.phase_of[v] == phase and isinstance(node.op, ScalarOp):
                at = point(v.shape)
                self.bind(v, at, self.let("r", self.scalar(node, at, None)))
                if v in self.group.stores:
                    self.store(v, at, self.known[v, at])

    def bind(self, v: Variable, at: tuple[Size, ...], e: Expr) -> None:
        self.known[v, at] = e
        if self.group.level.get(v) is Level.ROW:  # read from FULL level through broadcasting views
            row = point(self.group.row_shape())
            self.known[v, row + (0,) * (len(v.shape) - len(row))] = e

    def pass_over_row(self, phase: int, inner: list[tuple[Symbol, Size]]) -> None:
        g = self.group
        folds = [n for n in g.members if isinstance(n.op, FoldOp) and self.phase_of[n.outputs[0]] == phase + 1]
        stores = [v for v in g.stores if g.level.get(v, Level.FULL) is Level.FULL and self.phase_of.get(v, 0) == phase]
        if not folds and not stores:
            return
        if not folds:
            with self.loops_of_pass(inner, ANY):
                self.full_values(self.needed_for((), stores), stores)
            self.end_pass()
            return
        self.fold_pass(folds, inner, stores)

    def fold_pass(self, folds: Sequence[Apply], inner: list[tuple[Symbol, Size]], stores: Sequence[Variable]) -> None:
        needed = self.needed_for(folds, stores)
        row = RowFold(self, folds)
        row.run(inner, lambda: self.full_values(needed, stores))
        self.take_results(row)

    def take_results(self, row: RowFold) -> None:
        for node in row.folds:
            v = node.outputs[0]
            self.bind(v, self.row_point, row.result(node))
            if v in self.group.stores:
                self.store(v, self.row_point, self.known[v, self.row_point])

    def needed_for(self, folds: Sequence[Apply], stores: Sequence[Variable]) -> list[Apply]:
        """FULL-level members that a pass must compute, in order; what is in memory already is loaded."""
        g = self.group
        wanted: set[Variable] = set(stores)
        order: list[Apply] = []
        readers = [*folds]
        for node in readers:
            wanted |= {a.base for a in self.fusion.node_accesses(node)}
        for node in reversed(g.members):
            v = node.outputs[0]
            if v not in wanted or g.level[v] is not Level.FULL or self.in_memory(v, stores):
                continue
            order.append(node)
            wanted |= {a.base for a in self.fusion.node_accesses(node)}
        return order[::-1]

    def in_memory(self, v: Variable, stores: Sequence[Variable]) -> bool:
        """Stored by an earlier pass over the same row."""
        return v in self.group.stores and v not in stores

    def full_values(self, needed: Sequence[Apply], stores: Sequence[Variable]) -> None:
        at = self.full_point
        for node in needed:
            v = node.outputs[0]
            self.known[v, at] = self.let("v", self.scalar(node, at, None))
        for v in stores:
            entered = self.known.get((v, at))
            self.store(v, point(v.shape), entered if entered is not None else self.value(v, point(v.shape), enter=True))
        self.forget = [(n.outputs[0], at) for n in needed]

    def end_pass(self) -> None:
        for key in getattr(self, "forget", ()):
            self.known.pop(key, None)


class ColumnLowering(Lowering):
    """Folds that keep the last axis: for each kept place, the folded axes in order; all folds of one operand together."""

    def run(self) -> list[Lowered]:
        g = self.group
        outer = self.open_axes(g.space, 0, "ijpq")
        with contextlib.ExitStack() as stack:
            for var, extent in outer:
                stack.enter_context(self.inside(lambda body, var=var, extent=extent: K.For(var, extent, ANY, body)))  # type: ignore[misc]
            epilogue(self, self.fold([n for n in g.members if isinstance(n.op, FoldOp)]))
        return [self.finish()]

    def fold(self, folds: Sequence[Apply]) -> dict[Apply, Expr]:
        """The results of folds of one operand over the same axes."""
        (x,), axes = folds[0].inputs, folded_axes(folds[0])
        registers = {node: self.start(node) for node in folds}
        kept = iter(point(folds[0].outputs[0].shape))
        at: list[Size] = []
        position: Size = 0
        with contextlib.ExitStack() as stack:
            for axis, size in enumerate(x.shape):
                if axis in axes:
                    k = stack.enter_context(self.loop("k", size, SEQ))
                    at.append(0 if isinstance(size, int) and size == 1 else k)
                    position = position * size + k
                else:
                    at.append(next(kept))
            b = ScalarBuilder(tuple(map(self.actual, at)), x.shape)
            value = self.value(x, tuple(at))
            value = value if len(folds) == 1 else self.let("x", value)
            for node in folds:
                assert isinstance(node.op, FoldOp)
                e: Expr = node.op.before(b, value)
                if is_position(node):
                    step_position(self, node.op.monoid, registers[node], e, K.index(position))
                else:
                    self.emit(K.Fold(node.op.monoid, registers[node][0], (), (e,)))
        return {node: self.result(node, registers[node][-1], product([x.shape[a] for a in axes])) for node in folds}

    def start(self, node: Apply) -> tuple[Buffer, ...]:
        assert isinstance(node.op, FoldOp)
        if is_position(node):
            kept = start_position(self, node)
            clear_position(self, node, kept)
            return kept
        acc = self.reg("acc", node.outputs[0].dtype)
        self.emit(K.Store(acc, (), self.fold_identity(node.op.monoid, acc.dtype)))
        return (acc,)

    def result(self, node: Apply, acc: Buffer, count: Size) -> Expr:
        assert isinstance(node.op, FoldOp)
        if is_position(node):
            return self.let("arg", K.cast(node.outputs[0].dtype, K.Load(acc, ())))
        return self.let("s", node.op.after(ScalarBuilder(), K.Load(acc, ()), K.index(count)))


def epilogue(lowering: Lowering, computed: dict[Apply, Expr]) -> None:
    """Store what the loops gave and what the group's elementwise members make of it."""
    g = lowering.group
    at = point(g.space)
    for member in g.members:
        v = member.outputs[0]
        lowering.known[v, at] = computed[member] if member in computed else lowering.let("v", lowering.scalar(member, at, None))
    for v in g.stores:
        lowering.store(v, at, lowering.known[v, at])


class ContractLowering(Lowering):
    """A sum of products: output axes, then the summed axes in order into one accumulator."""

    def run(self) -> list[Lowered]:
        g = self.group
        node = g.members[0]
        op = node.op
        assert isinstance(op, ContractOp)
        left, right, out = op.labels
        axes = dict(zip(out, axis_symbols(len(out)), strict=True))
        sizes: dict[str, Size] = {}
        for labels, v in ((left, node.inputs[0]), (right, node.inputs[1])):
            for label, size in zip(labels, v.shape, strict=True):
                if label not in sizes or (isinstance(sizes[label], int) and sizes[label] == 1):
                    sizes[label] = size
        outer = self.open_axes(g.space, 0, "ijpq", merge=False)
        ix: dict[str, Size] = {label: 0 if isinstance(s, int) and s == 1 else Dim.of(axes[label]) for label, s in zip(out, g.space, strict=True)}
        summed = [label for label in left if label not in out]
        summed += [label for label in right if label not in out and label not in summed]
        with contextlib.ExitStack() as stack:
            for var, extent in outer:
                stack.enter_context(self.inside(lambda body, var=var, extent=extent: K.For(var, extent, ANY, body)))  # type: ignore[misc]
            dtype = node.outputs[0].dtype
            acc = self.reg("acc", dtype)
            self.emit(K.Store(acc, (), K.const(dtype, 0)))
            with contextlib.ExitStack() as reduction:
                for label in summed:
                    k = reduction.enter_context(self.loop("k", sizes[label], SEQ))
                    ix[label] = 0 if isinstance(sizes[label], int) and sizes[label] == 1 else k
                a, b = (
                    self.operand(v, tuple(0 if isinstance(s, int) and s == 1 else ix[label] for label, s in zip(labels, v.shape, strict=True)))
                    for labels, v in ((left, node.inputs[0]), (right, node.inputs[1]))
                )
                self.emit(K.Fold("or", acc, (), (a & b,)) if dtype.kind == "b" else K.Fold("dot", acc, (), (a, b)))
            epilogue(self, {node: self.let("s", K.Load(acc, ()))})
        self.depth = product([sizes[label] for label in summed])
        if len(summed) > 1:
            self.keep_long_sums(product([sizes[label] for label in summed[1:]]))
        self.give_work_memory(product([sizes[label] for label in out[:-1]]), sizes[out[-1]] if out else 1)
        return [self.finish()]

    def keep_long_sums(self, inner: Size) -> None:
        """A long sum over several axes with few results, as a convolution's kernel gets: room for the results between blocks."""
        space = product(self.group.space)
        few = isinstance(space, int) and space <= FEW_SUMS
        long = not isinstance(self.depth, int) or self.depth >= LONG_SUM
        if few and long and isinstance(inner, int) and inner >= PARTIALS:
            self.work_buffer("totals", self.group.members[0].outputs[0].dtype, (space,))

    def give_work_memory(self, rows: Size, columns: Size) -> None:
        """Where the right operand may be too large for caches: room for copies of its blocks, and for sums between blocks."""
        op = self.group.members[0].op
        assert isinstance(op, ContractOp)
        left, right, out = op.labels
        is_product = bool(out) and out[-1] in right and not set(left) & set(right) & set(out) and self.depth != 1
        elements, step = self.depth * columns, columns
        small = [isinstance(n, int) and n < least for n, least in ((elements, LEAST_PACKED), (rows, LEAST_PACKED_ROWS), (self.depth, 2 * BLOCK))]
        # what fits into the second-level cache is copied only where its rows would meet in few sets of the first one
        fits = isinstance(elements, int) and elements < 2 * LEAST_PACKED and isinstance(step, int) and step % 512 != 0
        batch = isinstance(columns, int) and not isinstance(self.depth, int)  # a weight's gradient sums over a batch, most often a short one
        if not is_product or any(small) or fits or batch:
            return
        dtype = self.group.members[0].outputs[0].dtype
        group = 2 * GROUP if isinstance(columns, int) and columns >= 8 * GROUP else GROUP
        self.work_buffer("copies", dtype, ((columns + group - 1) // group, BLOCK, group))
        if len(self.group.members) > 1 or self.group.stores != list(self.group.members[0].outputs):
            self.work_buffer("sums", dtype, (rows, columns))

    def operand(self, v: Variable, at: tuple[Size, ...]) -> Expr:
        """An element of an operand: through the views above memory, which may have been made for it."""
        while v in self.fusion.inline and v not in self.fusion.stored_operands and v.owner is not None and isinstance(v.owner.op, ViewOp):
            op, x = v.owner.op, v.owner.inputs[0]
            v, at = x, op.index(at, x.shape)
        if v in self.fusion.stored_operands:
            buffer, index = self.place(v, at)
            return K.Load(buffer, index)
        return self.value(v, at)

    def work(self) -> Size:
        return super().work() * self.depth // 4  # a product of a register tile is cheap


class NestLowering(Lowering):
    """A NestOp writes its own loops."""

    def run(self) -> list[Lowered]:
        (node,) = self.group.members
        op = node.op
        assert isinstance(op, NestOp)
        ins = [Operand(self, v) for v in node.inputs]
        outs = [Result(self, v) for v in node.outputs]
        with source.at(node.source):
            op.nest(Nest(self, str(op.name)), ins, outs)
        return [self.finish()]


class Operand:
    """An input of a nest: `load(*ix)`; producers that were fused are computed there."""

    def __init__(self, lowering: Lowering, v: Variable) -> None:
        self._lowering, self._v = lowering, v
        self.shape: Shape = v.shape
        self.dtype: DType = v.dtype

    def load(self, *ix: Size) -> Expr:
        return self._lowering.value(self._v, ix)


class Result:
    """An output of a nest: `store(ix, value)`, and `load(*ix)` of what was stored."""

    def __init__(self, lowering: Lowering, v: Variable) -> None:
        self._lowering, self._v = lowering, v
        self.shape: Shape = v.shape
        self.dtype: DType = v.dtype

    def store(self, ix: tuple[Size, ...], value: Expr) -> None:
        assert value.dtype == self.dtype, (value.dtype, self.dtype)
        self._lowering.emit(K.Store(self._lowering.buffer(self._v, self.shape), tuple(ix), value))

    def load(self, *ix: Size) -> Expr:
        return K.Load(self._lowering.buffer(self._v, self.shape), ix)


class Register:
    """A local scalar of a nest."""

    def __init__(self, lowering: Lowering, buffer: Buffer) -> None:
        self._lowering, self._buffer = lowering, buffer

    def get(self) -> Expr:
        return self._lowering.let("t", K.Load(self._buffer, ()))

    def set(self, value: Expr) -> None:
        self._lowering.emit(K.Store(self._buffer, (), value))


class Nest(ScalarBuilder):
    """The loop builder handed to `NestOp.nest`."""

    def __init__(self, lowering: Lowering, name: str) -> None:
        super().__init__()
        self._lowering, self._name = lowering, name

    @contextlib.contextmanager
    def loop(self, name: str, extent: Size, *, sequential: bool = False) -> Iterator[Size]:
        with self._lowering.loop(name, extent, SEQ if sequential else ANY) as i:
            yield i

    @contextlib.contextmanager
    def mask(self, cond: Expr) -> Iterator[None]:
        with self._lowering.inside(lambda body: K.Mask(cond, body)):
            yield

    def register(self, dtype: Any, init: Expr) -> Register:
        r = Register(self._lowering, self._lowering.reg("reg", np.dtype(dtype)))
        r.set(init)
        return r

    def let(self, value: Expr) -> Expr:
        return self._lowering.let("t", value)

    def value(self, ix: Size) -> Expr:
        return K.index(ix)

    def position(self, value: Expr, extent: Size, message: str, shown: Expr | None = None) -> Size:
        """An int64 value as an index: clamped into the axis; out of range fails the run with `message` and the value `shown`."""
        lw = self._lowering
        v = lw.let("at", K.cast(K.I64, value))
        n = K.index(extent)
        ok = (K.const(K.I64, 0) <= v) & (v < n)
        site = f"{self._name}: {message}" if not message.startswith(self._name) else message
        where = source.describe(source.here())
        lw.sites.append(f"{site}\n{where}" if where else site)
        lw.emit(K.Check(ok, len(lw.sites) - 1, v if shown is None else shown))
        var = lw.symbol("pos", 0, extent)
        clamped = K.call("max", K.const(K.I64, 0), K.call("min", n - 1, v))
        lw.emit(K.Let(var, clamped))
        return Dim.of(var)


LOWERINGS: dict[Kind, type[Any]] = {
    Kind.MAP: MapLowering,
    Kind.COLUMN: ColumnLowering,
    Kind.CONTRACT: ContractLowering,
    Kind.NEST: NestLowering,
}
