"""Fused group -> Kernel IR: loops, folds and stores, before any schedule.

Association is chosen here and nowhere else: float sums over trailing axes are the canonical
fold (64 partial sums in chunks of 4096, a fixed tree, chunks in order); sums over leading axes
and contractions go through the summed axes in order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphflow.compiler import kernel as K
from graphflow.compiler.fuse import Access, Fusion, Group, axis_symbols, broadcast_index, cost_of, point
from graphflow.compiler.kernel import Buffer, Expr, Mode
from graphflow.graph import source
from graphflow.graph.dim import (
    Dim,
    Size,
    Symbol,
    floordiv,
    mod,
    product,
    row_major_strides,
    substitute,
    symbols_of,
)
from graphflow.graph.op import ReshapeOp, ScalarOp, ViewOp
from graphflow.graph.types import DType, Shape, TensorType
from graphflow.graph.variable import Apply, Constant, Variable

PARTIALS = 64
CHUNK = 4096
BLOCK, GROUP = 512, 96  # terms and columns of a copied block of a product's right operand; groups are twice as wide where columns are many
LEAST_PACKED, LEAST_PACKED_ROWS = 1 << 18, 64  # elements of the right operand, and rows that use a copy, from which copies pay


@dataclass(frozen=True)
class Param:
    """A kernel parameter: the memory of `root`, seen with the shape of `buffer`; `over`: the value that `root` is written over."""

    root: Variable
    buffer: Buffer
    over: Variable | None = None


@dataclass
class Lowered:
    """A kernel and what it is launched with."""

    proc: K.Proc
    params: list[Param]
    group: Group
    after: list[Variable] = field(default_factory=list)  # scalars whose values its sizes need

    @property
    def stores(self) -> list[Variable]:
        """The memory this launch makes."""
        return [p.root for p in self.params if p.buffer.mode in (Mode.OUT, Mode.INOUT)]

    @property
    def work(self) -> list[Variable]:
        """Memory that only this launch needs."""
        return [p.root for p in self.params if p.buffer.mode is Mode.WORK]

    @property
    def touched(self) -> list[Variable]:
        """All memory that this launch has to do with."""
        return [*(p.root for p in self.params), *self.after]

    @property
    def symbols(self) -> set[Symbol]:
        """The Dims it depends on."""
        return set(self.proc.dims)

    @property
    def checks(self) -> bool:
        """Does it have run-time checks?"""
        return bool(self.proc.sites)

    @property
    def slots(self) -> int:
        """Words that its arguments take."""
        return len(self.params) + len(self.proc.dims) + 1


class ScalarBuilder:
    """What `ScalarOp.scalar`, `FoldOp.before/after` and nests build values with."""

    def __init__(self, ix: tuple[Size, ...] = (), shape: Shape = ()) -> None:
        self._ix, self._shape = ix, shape

    def const(self, dtype: Any, value: Any) -> Expr:
        return K.const(np.dtype(dtype), value)

    def cast(self, dtype: Any, x: Expr) -> Expr:
        return K.cast(np.dtype(dtype), x)

    def bits(self, dtype: Any, x: Expr) -> Expr:
        return K.Bits(np.dtype(dtype), x)

    def select(self, cond: Expr, a: Any, b: Any) -> Expr:
        like = a if isinstance(a, Expr) else b
        a, b = (v if isinstance(v, Expr) else K.const(like.dtype, v) for v in (a, b))
        return K.select(cond, a, b)

    def call(self, prim: str, *xs: Any) -> Expr:
        return K.call(prim, *xs)

    def index(self, axis: int) -> Expr:
        return K.index(self._ix[axis])

    def at(self, axis: int) -> Size:
        """The index along `axis`, for index arithmetic; `dim` makes a value of it."""
        return self._ix[axis]

    def flat(self) -> Expr:
        total: Size = 0
        for i, stride in zip(self._ix, row_major_strides(self._shape), strict=True):
            total = total + i * stride
        return K.index(total)

    def dim(self, size: Size) -> Expr:
        return K.index(size)


class Lowering:
    """One group's way to a Proc.  Subclasses write the loops."""

    def __init__(self, fusion: Fusion, group: Group, name: str) -> None:
        self.fusion = fusion
        self.group = group
        self.name = name
        self.params: dict[tuple[Variable, Shape], Buffer] = {}
        self.known: dict[tuple[Variable, tuple[Size, ...]], Expr] = {}
        self.body: list[K.Stmt] = []
        self.runs: list[tuple[tuple[Symbol, ...], Symbol, Size]] = []  # merged axes: symbols, loop, extent
        self.ix_of: dict[Symbol, Size] = {}  # axis symbol -> expression of loop variables
        self.moved: dict[Symbol, Size] = {}  # loop variable -> what stands for it in a split pass
        self.sites: list[str] = []
        self.fresh_names: dict[str, int] = {}

    # --- names and memory ---------------------------------------------------------------------
    def symbol(self, name: str, lo: Size = 0, hi: Size | None = None) -> Symbol:
        n = self.fresh_names[name] = self.fresh_names.get(name, -1) + 1
        return Symbol(f"{name}{n}" if n else name, lo, hi)

    def buffer(self, v: Variable, shape: Shape) -> Buffer:
        """The parameter for the memory of `v`, seen with `shape`."""
        root = self.fusion.root(v)
        key = (root, shape)
        if key not in self.params:
            stored = root in self.group.stores
            self.params[key] = Buffer(f"{'o' if stored else 'b'}{len(self.params)}", root.dtype, shape, mode=Mode.OUT if stored else Mode.IN)
        return self.params[key]

    def work_buffer(self, name: str, dtype: DType, shape: Shape) -> None:
        """Memory for the schedule: the unscheduled kernel does not touch it."""
        root = Variable(TensorType(dtype, shape), name=name)
        self.params[root, shape] = Buffer(name, dtype, shape, mode=Mode.WORK)

    def reg(self, name: str, dtype: DType, shape: tuple[int, ...] = ()) -> Buffer:
        n = self.fresh_names[name] = self.fresh_names.get(name, -1) + 1
        buffer = Buffer(f"{name}{n}" if n else name, dtype, shape, K.Space.REG)
        self.emit(K.Alloc(buffer))
        return buffer

    def emit(self, s: K.Stmt) -> None:
        self.body.append(s)

    def let(self, name: str, e: Expr) -> Expr:
        if isinstance(e, K.Const | K.Var):
            return e
        var = self.symbol(name)
        self.emit(K.Let(var, e))
        return K.Var(var, e.dtype)

    @contextlib.contextmanager
    def inside(self, wrap: Callable[[K.Block], K.Stmt]) -> Iterator[None]:
        """Statements emitted inside go into the block of the statement that `wrap` makes."""
        outer, self.body = self.body, []
        try:
            yield
        finally:
            block, self.body = tuple(self.body), outer
        if block:
            self.emit(wrap(block))

    @contextlib.contextmanager
    def loop(self, name: str, extent: Size, kind: K.Kind = K.Kind.ANY) -> Iterator[Dim]:
        var = self.symbol(name, 0, extent)
        with self.inside(lambda body: K.For(var, extent, kind, body)):
            yield Dim.of(var)

    # --- indices ------------------------------------------------------------------------------
    def open_axes(self, shape: Shape, first: int, names: str, merge: bool = True) -> list[tuple[Symbol, Size]]:
        """Loop variables for the axes `first ...` of the space; adjacent axes that all accesses go
        through contiguously share one.  Returns (loop variable, extent), outermost first."""
        axes = axis_symbols(first + len(shape))[first:]
        runs: list[list[int]] = []
        for a, size in enumerate(shape):
            if isinstance(size, int) and size == 1:
                continue
            if runs and merge and runs[-1][-1] == a - 1 and self.contiguous(axes[a - 1], axes[a], size):
                runs[-1].append(a)
            else:
                runs.append([a])
        loops: list[tuple[Symbol, Size]] = []
        for run in runs:
            extent = product([shape[a] for a in run])
            var = self.symbol(names[min(len(loops), len(names) - 1)], 0, extent)
            loops.append((var, extent))
            symbols = tuple(axes[a] for a in run)
            if len(run) > 1:
                self.runs.append((symbols, var, extent))
            rest: Size = Dim.of(var)
            for a in reversed(run):
                self.ix_of[axes[a]] = rest if a == run[0] else mod(rest, shape[a])
                rest = floordiv(rest, shape[a])
        return loops

    def contiguous(self, a: Symbol, b: Symbol, size: Size) -> bool:
        """Do all accesses of the group treat axes a, b (b of `size`) as one?"""
        for access in self.all_accesses():
            if access.at is None:
                return False
            for p, i in enumerate(access.at):
                held = symbols_of(i)
                if a not in held and b not in held:
                    continue
                good = i == Dim.of(a) and p + 1 < len(access.at) and access.at[p + 1] == Dim.of(b) and access.base.shape[p + 1] == size
                good = good or (i == Dim.of(b) and p > 0 and access.at[p - 1] == Dim.of(a))
                if not good:
                    return False
        return True

    def all_accesses(self) -> list[Access]:
        cached: list[Access] | None = self.__dict__.get("_accesses")
        if cached is None:
            cached = [a for node in self.group.members for a in self.fusion.node_accesses(node)]
            for v in self.group.stores:
                cached.append(Access(v, point(v.shape)))
                if v in self.fusion.inline:  # a view that is stored
                    cached.extend(self.fusion.accesses(v, point(v.shape), inlined_root=True))
            self.__dict__["_accesses"] = cached
        return cached

    def place(self, v: Variable, at: tuple[Size, ...]) -> tuple[Buffer, tuple[Size, ...]]:
        """Buffer and index for an access in terms of axis symbols, merged axes as one."""
        shape: list[Size] = []
        index: list[Size] = []
        p = 0
        while p < len(at):
            run = next((r for r in self.runs if at[p] == Dim.of(r[0][0]) and at[p : p + len(r[0])] == tuple(Dim.of(s) for s in r[0])), None)
            if run is None:
                index.append(self.actual(at[p]))
                shape.append(v.shape[p])
                p += 1
            else:
                index.append(self.actual(Dim.of(run[1])))
                shape.append(product(v.shape[p : p + len(run[0])]))
                p += len(run[0])
        return self.buffer(v, tuple(shape)), tuple(index)

    # --- values -------------------------------------------------------------------------------
    def value(self, v: Variable, at: tuple[Size, ...], where: Expr | None = None, enter: bool = False) -> Expr:
        """An element of `v` at an index in axis symbols; where `where` is false nothing is read."""
        known = self.known.get((v, at))
        if known is not None:
            return known
        node = v.owner
        if isinstance(v, Constant) and v.value.ndim == 0:
            return K.const(v.dtype, v.value[()])
        if isinstance(v, Constant) and v.value.size and (v.value == v.value.flat[0]).all() and not np.signbit(v.value).any():
            return K.const(v.dtype, v.value.flat[0])
        if node is None or isinstance(node.op, ReshapeOp) or not (enter or v in self.fusion.inline):
            buffer, index = self.place(v, at)
            return K.Load(buffer, index, where)
        if isinstance(node.op, ViewOp):
            return self.view(node, at, where)
        return self.scalar(node, at, where)

    def view(self, node: Apply, at: tuple[Size, ...], where: Expr | None) -> Expr:
        (x,) = node.inputs
        op = node.op
        assert isinstance(op, ViewOp)
        inside: Expr | None = None
        for a, b in op.inside(at, x.shape):
            for test in (K.index(0) <= self.sized(a), self.sized(a) < self.sized(b)):
                inside = test if inside is None else inside & test
        if inside is None:
            return self.value(x, op.index(at, x.shape), where)
        inside = self.let("inside", inside)
        both = inside if where is None else where & inside
        found = self.value(x, op.index(at, x.shape), both)
        return K.select(inside, found, K.const(x.dtype, op.fill))

    def actual(self, size: Size) -> Size:
        """An index in axis symbols as one in loop variables."""
        return substitute(substitute(size, self.ix_of), self.moved)

    def sized(self, size: Size) -> Expr:
        return K.index(self.actual(size))

    def scalar(self, node: Apply, at: tuple[Size, ...], where: Expr | None) -> Expr:
        op = node.op
        assert isinstance(op, ScalarOp)
        xs = [self.value(x, broadcast_index(at, x.shape), where) for x in node.inputs]
        xs = [self.let("t", x) if isinstance(x, K.Call | K.Select | K.Load | K.Cast) else x for x in xs]
        b = ScalarBuilder(tuple(map(self.actual, at)), node.outputs[0].shape)
        with source.at(node.source):
            e: Expr = op.scalar(b, *xs)
        assert e.dtype == node.outputs[0].dtype, f"{op}.scalar gives {e.dtype}, infer says {node.outputs[0].dtype}"
        return e

    def store(self, v: Variable, at: tuple[Size, ...], e: Expr) -> None:
        buffer, index = self.place(v, at)
        self.emit(K.Store(buffer, index, e))

    # --- folds --------------------------------------------------------------------------------
    def fold_identity(self, monoid: str, dtype: DType) -> Expr:
        if monoid == "add":
            return K.const(dtype, 0)
        if monoid == "mul":
            return K.const(dtype, 1)
        if monoid in ("and", "or"):
            return K.const(dtype, monoid == "and")
        if dtype.kind == "f":
            return K.const(dtype, -np.inf if monoid == "max" else np.inf)
        if dtype.kind == "b":
            return K.const(dtype, monoid == "min")
        info = np.iinfo(dtype)
        return K.const(dtype, info.min if monoid == "max" else info.max)

    # --- result -------------------------------------------------------------------------------
    def work(self) -> Size:
        """Rough number of elementary operations."""
        return product(self.group.space) * sum((cost_of(n) for n in self.group.members), 1)

    def finish(self) -> Lowered:
        dims: set[Symbol] = set()
        bound = {s.var for s in K.statements(tuple(self.body)) if isinstance(s, K.For | K.Let)}
        for s in K.statements(tuple(self.body)):
            sizes: list[Size] = [s.extent] if isinstance(s, K.For) else list(s.at) if isinstance(s, K.Store | K.Fold) else []
            for e in K.own_exprs(s):
                for x in K.subexprs(e):
                    if isinstance(x, K.Load):
                        sizes.extend(x.at)
                    elif isinstance(x, K.Index):
                        sizes.append(x.size)
            for size in sizes:
                dims |= symbols_of(size)
        for buffer in self.params.values():
            for size in buffer.shape:
                dims |= symbols_of(size)
        free = sorted(dims - bound, key=lambda s: s.serial)
        params = [Param(root, b) for (root, _), b in self.params.items()]
        notes = tuple(dict.fromkeys(source.short(n.source) for n in self.group.members if n.source))
        proc = K.Proc(self.name, tuple(free), tuple(p.buffer for p in params), tuple(self.body), tuple(self.sites), self.work(), notes)
        return Lowered(proc, params, self.group)


def lower(fusion: Fusion, group: Group, name: str) -> list[Lowered]:
    """The unscheduled kernels of a group: one, or two that follow each other."""
    from graphflow.compiler.lower_loops import LOWERINGS

    lowered: list[Lowered] = LOWERINGS[group.kind](fusion, group, name).run()
    return lowered
