"""The Kernel IR: everything between a fused group of ops and LLVM text.

    proc  = Proc(name, dims, params, body)              -- one launch
    param = Buffer(name, dtype, shape, space, mode)     -- row-major; `shape` of Sizes over dims
    space = GLOBAL                                      -- memory of the caller or the arena
          | REG                                         -- registers: constant shape, constant or lane index
    mode  = IN | OUT | INOUT                            -- INOUT: an element is read only by the iteration that writes it
          | WORK                                        -- memory of this launch alone, for what a schedule keeps
    stmt  = For(var, extent, kind, body)                -- var in 0 .. extent - 1
          | If(cond, yes, no)                           -- uniform over lanes
          | Mask(cond, body)                            -- per lane: nothing is loaded, stored or folded where false
          | Alloc(buffer)                               -- lives to the end of its block; undefined until stored
          | Let(var, value)                             -- a scalar, bound once; int64 ones may stand in indices
          | Store(buffer, at, value)
          | Fold(monoid, buffer, at, values)            -- place = m(place, value); `dot`: place = muladd(a, b, place)
          | Check(ok, site, operand)                    -- where false: remember a failing site, go on
          | Transpose(target, source)                   -- square registers: target[i, j] = source[j, i]
    kind  = SEQ                                         -- in order
          | ANY                                         -- iterations are independent
          | LANES | UNROLL                              -- constant extent: one SIMD value; copies
          | TEAM                                        -- threads; each iteration by exactly one; outermost only
    expr  = Const(dtype, value) | Var(symbol, dtype) | Index(size)          -- Index: an int64 of the index algebra
          | Load(buffer, at, where, other)              -- `other` where `where` is false; nothing is read there
          | Call(prim, args) | Cast(dtype, e) | Bits(dtype, e) | Select(cond, a, b)

Indices are `graphflow.graph.dim` polynomials over loop variables, dims and int64 Lets.

Meaning.  Every operation is total: integer division by zero gives 0, INT_MIN / -1 wraps,
shifts by the width or more give 0 (or the sign), float -> int saturates with NaN -> 0.
max(a, b) is a where a > b or a is NaN, else b (min likewise), so NaN propagates.  `muladd` rounds once on a target with FMA and twice on one without.
Lowering alone chooses association and contraction; schedules never reorder the operands of
a Fold.  `FUNCTIONS` (exp, log ...) are expanded into prims by `math.expand` before emission.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Union

import numpy as np

from graphflow.graph.dim import Dim, Size, Symbol
from graphflow.graph.types import DType, Shape, is_half

BOOL = np.dtype(bool)
I32 = np.dtype("int32")
I64 = np.dtype("int64")
F32 = np.dtype("float32")
F64 = np.dtype("float64")

ARITHMETIC = frozenset(
    ["add", "sub", "mul", "muladd", "div", "neg", "abs", "min", "max", "sqrt", "floor", "ceil", "rint", "trunc", "idiv", "imod", "mulhi", "and", "or", "xor", "not", "shl", "shr", "popcount"]
)
COMPARISONS = frozenset(["eq", "ne", "lt", "le"])
PRIMS = ARITHMETIC | COMPARISONS
FUNCTIONS = frozenset(
    ["exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "erfinv", "lgamma", "digamma", "trigamma", "pow", "sigmoid", "softplus", "rsqrt", "fmod"]
)
MONOIDS = frozenset(["add", "mul", "max", "min", "and", "or", "dot"])


class Kind(enum.Enum):
    SEQ = "seq"
    ANY = "any"
    LANES = "lanes"
    UNROLL = "unroll"
    TEAM = "team"


class Space(enum.Enum):
    GLOBAL = "global"
    REG = "reg"


class Mode(enum.Enum):
    IN = "in"
    OUT = "out"
    INOUT = "inout"
    WORK = "work"


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory with a type; compared by identity."""

    name: str
    dtype: DType
    shape: Shape
    space: Space = Space.GLOBAL
    mode: Mode = Mode.IN

    def __repr__(self) -> str:
        return self.name


# --- expressions -----------------------------------------------------------------------------
class Expr:
    """A value of one dtype.  Operators build expressions; numbers are taken at the dtype of the other side."""

    __slots__ = ()
    dtype: DType

    def __add__(self, o: Operand) -> Expr:
        return call("add", self, o)

    def __radd__(self, o: Operand) -> Expr:
        return call("add", self._lift(o), self)

    def __sub__(self, o: Operand) -> Expr:
        return call("sub", self, o)

    def __rsub__(self, o: Operand) -> Expr:
        return call("sub", self._lift(o), self)

    def __mul__(self, o: Operand) -> Expr:
        return call("mul", self, o)

    def __rmul__(self, o: Operand) -> Expr:
        return call("mul", self._lift(o), self)

    def __truediv__(self, o: Operand) -> Expr:
        return call("div", self, o)

    def __rtruediv__(self, o: Operand) -> Expr:
        return call("div", self._lift(o), self)

    def __neg__(self) -> Expr:
        return call("neg", self)

    def __and__(self, o: Operand) -> Expr:
        return call("and", self, o)

    def __or__(self, o: Operand) -> Expr:
        return call("or", self, o)

    def __xor__(self, o: Operand) -> Expr:
        return call("xor", self, o)

    def __invert__(self) -> Expr:
        return call("not", self)

    def __lshift__(self, o: Operand) -> Expr:
        return call("shl", self, o)

    def __rshift__(self, o: Operand) -> Expr:
        return call("shr", self, o)

    def __lt__(self, o: Operand) -> Expr:
        return call("lt", self, o)

    def __le__(self, o: Operand) -> Expr:
        return call("le", self, o)

    def __gt__(self, o: Operand) -> Expr:
        return call("lt", self._lift(o), self)

    def __ge__(self, o: Operand) -> Expr:
        return call("le", self._lift(o), self)

    def eq(self, o: Operand) -> Expr:
        return call("eq", self, o)

    def ne(self, o: Operand) -> Expr:
        return call("ne", self, o)

    def cast(self, dtype: Any) -> Expr:
        return cast(np.dtype(dtype), self)

    def bits(self, dtype: Any) -> Expr:
        """The same bits as another dtype of equal width."""
        return Bits(np.dtype(dtype), self)

    def _lift(self, o: Operand) -> Expr:
        return o if isinstance(o, Expr) else const(self.dtype, o)


Operand = Union[Expr, int, float, bool]


@dataclass(frozen=True, slots=True, eq=False)
class Const(Expr):
    dtype: DType
    value: Any  # a NumPy scalar of `dtype`


@dataclass(frozen=True, slots=True, eq=False)
class Var(Expr):
    symbol: Symbol
    dtype: DType = I64


@dataclass(frozen=True, slots=True, eq=False)
class Index(Expr):
    size: Size
    dtype: DType = I64


@dataclass(frozen=True, slots=True, eq=False)
class Load(Expr):
    buffer: Buffer
    at: tuple[Size, ...]
    where: Expr | None = None
    other: Expr | None = None

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        return self.buffer.dtype


@dataclass(frozen=True, slots=True, eq=False)
class Call(Expr):
    prim: str
    args: tuple[Expr, ...]
    dtype: DType


@dataclass(frozen=True, slots=True, eq=False)
class Cast(Expr):
    dtype: DType
    arg: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Bits(Expr):
    dtype: DType
    arg: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Select(Expr):
    cond: Expr
    a: Expr
    b: Expr

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        return self.a.dtype


def const(dtype: DType, value: Any) -> Const:
    """A constant; a Python int outside an integer dtype wraps."""
    if dtype.kind in "iu" and isinstance(value, int):
        bits = dtype.itemsize * 8
        value &= (1 << bits) - 1
        if dtype.kind == "i" and value >> (bits - 1):
            value -= 1 << bits
    return Const(dtype, dtype.type(value))


def call(prim: str, *args: Operand) -> Expr:
    """An operation; Python numbers take the dtype of the first Expr among `args`."""
    like = next(a for a in args if isinstance(a, Expr)).dtype
    exprs = tuple(a if isinstance(a, Expr) else const(like, a) for a in args)
    if prim in ("min", "max") and isinstance(exprs[1], Const):
        exprs = (exprs[1], exprs[0])  # a constant first is one instruction on x86
    assert prim in PRIMS or prim in FUNCTIONS, prim
    assert all(e.dtype == exprs[0].dtype for e in exprs), (prim, [e.dtype for e in exprs])
    return Call(prim, exprs, BOOL if prim in COMPARISONS else exprs[0].dtype)


def cast(dtype: DType, e: Expr) -> Expr:
    if e.dtype == dtype:
        return e
    if is_half(dtype) or is_half(e.dtype):
        from graphflow.compiler.math.half import converted  # made of the expressions defined here

        return converted(dtype, e)
    if isinstance(e, Const) and dtype.kind == "f" and e.dtype.kind in "fiub":
        return const(dtype, e.value)
    return Cast(dtype, e)


def select(cond: Expr, a: Expr, b: Expr) -> Expr:
    assert cond.dtype == BOOL and a.dtype == b.dtype, (cond.dtype, a.dtype, b.dtype)
    return Select(cond, a, b)


def index(size: Size) -> Expr:
    return const(I64, size) if isinstance(size, int) else Index(size)


# --- statements ------------------------------------------------------------------------------
class Stmt:
    __slots__ = ()


Block = tuple[Stmt, ...]


@dataclass(frozen=True, slots=True, eq=False)
class For(Stmt):
    var: Symbol
    extent: Size
    kind: Kind
    body: Block

    @property
    def ix(self) -> Dim:
        return Dim.of(self.var)


@dataclass(frozen=True, slots=True, eq=False)
class If(Stmt):
    cond: Expr
    yes: Block
    no: Block = ()


@dataclass(frozen=True, slots=True, eq=False)
class Mask(Stmt):
    cond: Expr
    body: Block


@dataclass(frozen=True, slots=True, eq=False)
class Alloc(Stmt):
    buffer: Buffer


@dataclass(frozen=True, slots=True, eq=False)
class Let(Stmt):
    var: Symbol
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Store(Stmt):
    buffer: Buffer
    at: tuple[Size, ...]
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Fold(Stmt):
    monoid: str
    buffer: Buffer
    at: tuple[Size, ...]
    values: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Check(Stmt):
    ok: Expr
    site: int
    operand: Expr | None = None  # int64, reported with the failure


@dataclass(frozen=True, slots=True, eq=False)
class Transpose(Stmt):
    target: Buffer
    source: Buffer


@dataclass(frozen=True, eq=False)
class Proc:
    """One launch.  `sites` are the texts of its Checks; `work` estimates elementary operations."""

    name: str
    dims: tuple[Symbol, ...]
    params: tuple[Buffer, ...]
    body: Block
    sites: tuple[str, ...] = ()
    work: Size = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def team(self) -> For | None:
        """The TEAM loop the whole kernel consists of, if it has one."""
        loop = self.body[-1] if self.body else None
        return loop if isinstance(loop, For) and loop.kind is Kind.TEAM else None


# --- walks -----------------------------------------------------------------------------------
def blocks(s: Stmt) -> tuple[Block, ...]:
    """The blocks directly inside a statement."""
    if isinstance(s, For | Mask):
        return (s.body,)
    return (s.yes, s.no) if isinstance(s, If) else ()


def statements(body: Block) -> Iterator[Stmt]:
    """All statements of a block, outer before inner."""
    for s in body:
        yield s
        for inner in blocks(s):
            yield from statements(inner)


def own_exprs(s: Stmt) -> tuple[Expr, ...]:
    """The expressions a statement holds itself (not those of its blocks)."""
    match s:
        case Let() | Store():
            return (s.value,)
        case Fold():
            return s.values
        case If() | Mask():
            return (s.cond,)
        case Check():
            return (s.ok,) if s.operand is None else (s.ok, s.operand)
    return ()


def children(e: Expr) -> tuple[Expr, ...]:
    match e:
        case Call():
            return e.args
        case Cast() | Bits():
            return (e.arg,)
        case Select():
            return (e.cond, e.a, e.b)
        case Load():
            return tuple(x for x in (e.where, e.other) if x is not None)
    return ()


def subexprs(e: Expr) -> Iterator[Expr]:
    """Every distinct expression object in `e`, parents first."""
    seen: set[int] = set()
    stack = [e]
    while stack:
        x = stack.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        yield x
        stack.extend(children(x))


def loads(body: Block) -> Iterator[Load]:
    for s in statements(body):
        for e in own_exprs(s):
            for x in subexprs(e):
                if isinstance(x, Load):
                    yield x
