"""What a kernel costs at given sizes: floating-point operations and compulsory traffic, from its Kernel IR.

*Operations* are those the emitted code does: an expression counts at the innermost loop it depends
on, where the emitter places it, and functions (exp, tanh ...) as the prims they expand to.
`muladd` and the step of a `dot` are 2, other arithmetic on floats 1; sign changes, comparisons,
choices, conversions and work on integers and bools 0.

*Traffic* is what has to pass at least once: the distinct elements that are read of each parameter
the kernel did not write itself, and the distinct elements that are written.  Cache lines that are
used in part count what is used of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from graphflow.compiler import kernel as K
from graphflow.compiler.iterations import Iterations
from graphflow.compiler.math import expand_proc
from graphflow.compiler.rebuild import postorder
from graphflow.graph.dim import Dim, Size, Symbol, evaluate, substitute, symbols_of

OPERATIONS = {"muladd": 2, **dict.fromkeys(["add", "sub", "mul", "div", "sqrt", "min", "max", "floor", "ceil", "rint", "trunc"], 1)}


@dataclass(frozen=True)
class Cost:
    """`flops` by dtype name; bytes `read` and `written` by parameter, in order; `exact`: counted, not estimated."""

    flops: dict[str, int]
    read: tuple[int, ...]
    written: tuple[int, ...]
    exact: bool


def cost(proc: K.Proc, sizes: Mapping[Symbol, int]) -> Cost:
    """The cost of one launch of an unscheduled kernel; `sizes` has a value for each of its dims."""
    counter = _Counter(expand_proc(proc), sizes)
    counter.block(counter.proc.body)
    touched = [(counter.reached(p, counter.loads), counter.reached(p, counter.stores)) for p in proc.params]
    return Cost(dict(counter.flops), tuple(r for r, _ in touched), tuple(w for _, w in touched), counter.exact)


Reached = dict[tuple[K.Buffer, tuple[Size, ...]], int]  # elements, by buffer and index over numbered loops


@dataclass
class _Counter:
    """One walk over a kernel; `nest[d]` are the iterations inside `d` loops, masks and branches."""

    proc: K.Proc
    sizes: Mapping[Symbol, int]
    flops: dict[str, int] = field(default_factory=dict)
    loads: Reached = field(default_factory=dict)
    stores: Reached = field(default_factory=dict)
    exact: bool = True

    def __post_init__(self) -> None:
        self.nest = [Iterations.once()]
        self.depth: dict[Symbol, int] = dict.fromkeys(self.sizes, 0)
        self.lets: dict[Symbol, K.Expr] = {}
        self.counted: dict[int, int] = {}  # id of an expression -> the depth it is computed at
        self.deciding = _deciding(self.proc.body)
        self.loops: dict[tuple[object, int], Symbol] = {}  # stand-ins for loops, by the values they take and their place in an index

    def block(self, body: K.Block) -> None:
        for s in body:
            self.exact &= self.nest[-1].exact
            self.statement(s)

    def statement(self, s: K.Stmt) -> None:
        now = self.nest[-1]
        for e in K.own_exprs(s):
            self.count(e)
        match s:
            case K.For():
                self.depth[s.var] = len(self.nest)
                self.enter(now.loop(s.var, s.extent, self.sizes, s.var in self.deciding), s.body)
            case K.Mask():
                self.enter(now.where(s.cond, self.sizes, self.lets), s.body)
            case K.If():
                self.enter(now.where(s.cond, self.sizes, self.lets), s.yes)
                self.enter(now.where(s.cond, self.sizes, self.lets, False), s.no)
            case K.Let():
                self.lets[s.var] = s.value
                self.depth[s.var] = self.counted[id(s.value)]
            case K.Store():
                self.store(s.buffer, s.at, now)
            case K.Fold():
                self.store(s.buffer, s.at, now)
                self.operation(s.buffer.dtype.kind == "f", s.buffer.dtype.name, 2 if s.monoid == "dot" else 1, len(self.nest) - 1)

    def enter(self, inside: Iterations, body: K.Block) -> None:
        self.nest.append(inside)
        self.block(body)
        self.nest.pop()

    # --- operations -----------------------------------------------------------------------
    def count(self, root: K.Expr) -> None:
        """Count the operations and loads of an expression, each object once."""
        for e in postorder(root):
            if id(e) in self.counted:
                continue
            depth = max((self.counted[id(x)] for x in K.children(e)), default=0)
            match e:
                case K.Var():
                    depth = self.depth[e.symbol]
                case K.Index():
                    depth = self.depth_of(e.size)
                case K.Load():
                    depth = max([depth, *map(self.depth_of, e.at)])
                    self.load(e)
                    if e.buffer.space is K.Space.REG or e.buffer.mode is not K.Mode.IN:
                        depth = len(self.nest) - 1
                case K.Call():
                    self.operation(e.dtype.kind == "f", e.dtype.name, OPERATIONS.get(e.prim, 0), depth)
            self.counted[id(e)] = depth

    def depth_of(self, size: Size) -> int:
        return max((self.depth[s] for s in symbols_of(size)), default=0)

    def operation(self, floating: bool, dtype: str, operations: int, depth: int) -> None:
        if floating and operations:
            self.flops[dtype] = self.flops.get(dtype, 0) + operations * self.nest[depth].count

    # --- traffic --------------------------------------------------------------------------
    def load(self, e: K.Load) -> None:
        if e.buffer.mode in (K.Mode.IN, K.Mode.INOUT):
            now = self.nest[-1]
            self.reach(self.loads, e.buffer, e.at, now if e.where is None else now.where(e.where, self.sizes, self.lets))

    def store(self, b: K.Buffer, at: tuple[Size, ...], now: Iterations) -> None:
        if b.mode in (K.Mode.OUT, K.Mode.INOUT):
            self.reach(self.stores, b, at, now)

    def reach(self, table: Reached, b: K.Buffer, at: tuple[Size, ...], now: Iterations) -> None:
        if b.space is K.Space.GLOBAL:
            shape = [evaluate(n, self.sizes) for n in b.shape]
            key = b, self.numbered(at, now)
            table[key] = max(table.get(key, 0), now.places(at, shape, self.sizes))

    def numbered(self, at: tuple[Size, ...], now: Iterations) -> tuple[Size, ...]:
        """The index over loops by the values they take: two passes over a row read the same elements."""
        stand_ins: dict[Symbol, Size] = {}
        for size in at:
            for s in sorted(symbols_of(size) - self.sizes.keys(), key=lambda s: s.serial):
                key = now.values_of(s), len(stand_ins)
                stand_ins.setdefault(s, Dim.of(self.loops.setdefault(key, Symbol("loop"))))
        return tuple(substitute(size, stand_ins) for size in at)

    def reached(self, p: K.Buffer, table: Reached) -> int:
        """Bytes of `p` that were reached through any index."""
        elements = sum(n for (b, _), n in table.items() if b is p)
        return min(elements, prod(evaluate(n, self.sizes) for n in p.shape)) * p.dtype.itemsize


def _deciding(body: K.Block) -> set[Symbol]:
    """The symbols that conditions, and extents of loops, depend on."""
    lets = {s.var: s.value for s in K.statements(body) if isinstance(s, K.Let)}
    extents = [s.extent for s in K.statements(body) if isinstance(s, K.For)]
    conditions = [s.cond for s in K.statements(body) if isinstance(s, K.If | K.Mask)]
    conditions += [x.where for x in K.loads(body) if x.where is not None]
    found: set[Symbol] = set().union(*map(symbols_of, extents))
    while conditions:
        for e in K.subexprs(conditions.pop()):
            if isinstance(e, K.Index):
                found |= symbols_of(e.size)
            elif isinstance(e, K.Var) and e.symbol not in found:
                found.add(e.symbol)
                conditions += [lets[e.symbol]] if e.symbol in lets else []
    return found
