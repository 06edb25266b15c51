"""The Kernel IR's meaning, executed: one element at a time, exactly as `kernel.py` says.

This is the oracle that schedules and emitters are tested against, bit for bit.  Loops of all
kinds run in order.  What compiled code may not do raises CompileError here: an access out of
bounds, and a read of a register or of an OUT element that was never stored.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from graphflow.compiler.kernel import (
    FUNCTIONS,
    I64,
    Alloc,
    Bits,
    Block,
    Buffer,
    Call,
    Cast,
    Check,
    Const,
    Expr,
    Fold,
    For,
    If,
    Index,
    Let,
    Load,
    Mask,
    Mode,
    Proc,
    Select,
    Space,
    Stmt,
    Store,
    Transpose,
    Var,
    children,
    const,
    own_exprs,
    statements,
    subexprs,
)
from graphflow.compiler.rebuild import own_sizes, postorder
from graphflow.graph.dim import Size, Symbol, evaluate, symbols_of
from graphflow.graph.errors import CompileError
from graphflow.graph.types import DType

Scalar = Any  # a NumPy scalar of the expression's dtype
Array = np.ndarray[Any, np.dtype[Any]]


def run(proc: Proc, buffers: Mapping[Buffer, Array], dims: Mapping[Symbol, int], fma: bool = True) -> list[int]:
    """Execute `proc` on NumPy arrays in place; the sites of the Checks that failed, each once, in order.

    `buffers` has an array of the right dtype and shape for each parameter.  `fma`: `muladd` rounds
    once, as on a target that has it.  Raises CompileError for what compiled code may not do.
    """
    if any(isinstance(e, Call) and e.prim in FUNCTIONS for s in statements(proc.body) for x in own_exprs(s) for e in subexprs(x)):
        from graphflow.compiler.math import expand_proc  # large, and most kernels call no function

        proc = expand_proc(proc)
    with np.errstate(all="ignore"):
        return Interpreter(proc, buffers, dims, fma).run()


class Interpreter:
    """One run of one Proc."""

    def __init__(self, proc: Proc, buffers: Mapping[Buffer, Array], dims: Mapping[Symbol, int], fma: bool) -> None:
        self.proc = proc
        self.fma = fma
        self.values: dict[Symbol, Any] = dict(dims)  # int64 ones as Python ints
        self.arrays: dict[Buffer, Array] = {}
        self.registers: dict[Buffer, dict[tuple[int, ...], Scalar]] = {}
        self.written: set[int] = set()  # addresses of OUT elements that were stored: two parameters may be one memory
        self.failed: list[int] = []
        self.plans: dict[int, list[tuple[Callable[..., Scalar], list[int]]]] = {}
        self.indices = _symbols_in_indices(proc.body)
        for p in proc.params:
            array, shape = buffers[p], tuple(evaluate(s, dims) for s in p.shape)
            if array.dtype != p.dtype or array.shape != shape:
                raise self.error(f"{p} is {p.dtype}{list(shape)}, was given {array.dtype}{list(array.shape)}")
            self.arrays[p] = array

    def run(self) -> list[int]:
        self.block(self.proc.body)
        return self.failed

    def error(self, message: str) -> CompileError:
        bound = ", ".join(f"{s}={v}" for s, v in self.values.items())
        return CompileError(f"kernel {self.proc.name}: {message}", context=(f"  with {bound}",) if bound else ())

    # --- statements -----------------------------------------------------------------------
    def block(self, body: Block) -> None:
        for s in body:
            self.stmt(s)

    def stmt(self, s: Stmt) -> None:
        match s:
            case For():
                for i in range(evaluate(s.extent, self.values)):
                    self.values[s.var] = i
                    self.block(s.body)
            case If():
                self.block(s.yes if self.value(s.cond) else s.no)
            case Mask():
                if self.value(s.cond):
                    self.block(s.body)
            case Alloc():
                self.registers[s.buffer] = {}
            case Let():
                self.bind(s.var, self.value(s.value))
            case Store():
                self.write(s.buffer, s.at, self.value(s.value))
            case Fold():
                values = [self.value(v) for v in s.values]
                old = self.read(s.buffer, s.at)
                prim, args = ("muladd", [*values, old]) if s.monoid == "dot" else (s.monoid, [old, *values])
                self.write(s.buffer, s.at, self.operation(prim, s.buffer.dtype)(*args))
            case Transpose():
                self.registers[s.target] = {(j, i): value for (i, j), value in self.registers[s.source].items()}
            case Check():
                if not self.value(s.ok) and s.site not in self.failed:
                    self.failed.append(s.site)

    def bind(self, var: Symbol, value: Scalar) -> None:
        if var in self.indices:
            low, high = evaluate(var.lo, self.values), None if var.hi is None else evaluate(var.hi, self.values)
            if value < low or (high is not None and value >= high):
                raise self.error(f"let {var} = {value} is outside its bounds {low} <= {var} < {high}, which index algebra relies on")
        self.values[var] = int(value) if value.dtype == I64 else value

    # --- memory ---------------------------------------------------------------------------
    def place(self, b: Buffer, at: tuple[Size, ...]) -> tuple[int, ...]:
        place = tuple(evaluate(i, self.values) for i in at)
        shape = self.arrays[b].shape if b.space is Space.GLOBAL else tuple(evaluate(n, self.values) for n in b.shape)
        if len(place) != len(shape) or not all(0 <= i < n for i, n in zip(place, shape, strict=True)):
            raise self.error(f"{b}{list(place)} is out of bounds: its shape is {list(shape)}")
        return place

    def read(self, b: Buffer, at: tuple[Size, ...]) -> Scalar:
        place = self.place(b, at)
        if b.space is Space.GLOBAL:
            array = self.arrays[b]
            if b.mode in (Mode.OUT, Mode.WORK) and _address(array, place) not in self.written:
                raise self.error(f"{b}{list(place)} is read before it is stored")
            return array[place]
        found = self.registers[b].get(place)
        if found is None:
            raise self.error(f"register {b}{list(place)} is read before it is stored")
        return found

    def write(self, b: Buffer, at: tuple[Size, ...], value: Scalar) -> None:
        place = self.place(b, at)
        if b.space is not Space.GLOBAL:
            self.registers[b][place] = value
        elif b.mode is Mode.IN:
            raise self.error(f"{b} is an input and is stored to")
        else:
            self.arrays[b][place] = value
            self.written.add(_address(self.arrays[b], place))

    # --- expressions ------------------------------------------------------------------------
    def value(self, root: Expr) -> Scalar:
        """The value now; what `root` uses twice is evaluated once."""
        plan = self.plans.get(id(root))
        if plan is None:
            slot: dict[int, int] = {}
            plan = self.plans[id(root)] = []
            for e in postorder(root):
                slot[id(e)] = len(plan)
                plan.append((self.step(e), [slot[id(c)] for c in children(e)]))
        values: list[Scalar] = []
        for fn, slots in plan:
            values.append(fn(*(values[i] for i in slots)))
        return values[-1]

    def step(self, e: Expr) -> Callable[..., Scalar]:
        """What computes `e` from its operands."""
        match e:
            case Const():
                return lambda: e.value
            case Var():
                return lambda: self.integer(e.symbol) if e.dtype == I64 else self.values[e.symbol]
            case Index():
                return lambda: const(I64, evaluate(e.size, self.values)).value
            case Load(where=None):
                return lambda: self.read(e.buffer, e.at)
            case Load():
                zero = e.dtype.type(0)
                return lambda where, other=zero: self.read(e.buffer, e.at) if where else other
            case Call():
                return self.operation(e.prim, e.args[0].dtype)
            case Cast():
                return functools.partial(cast_scalar, e.dtype)
            case Bits():
                return lambda x: x.view(e.dtype)
            case Select():
                return lambda c, a, b: a if c else b
        raise AssertionError(type(e))

    def integer(self, symbol: Symbol) -> Scalar:
        return const(I64, self.values[symbol]).value

    def operation(self, prim: str, dtype: DType) -> Callable[..., Scalar]:
        if prim in _COMPARISONS:
            return _COMPARISONS[prim]
        if dtype.kind in "iu":
            return functools.partial(_on_integers, _INTEGER[prim], dtype)
        if prim == "muladd" and self.fma:
            return fma32 if dtype.itemsize == 4 else fma64
        return (_BOOLEAN if dtype.kind == "b" else _FLOAT)[prim]


def _symbols_in_indices(body: Block) -> set[Symbol]:
    """Symbols the index algebra reasons about."""
    found: set[Symbol] = set()
    for s in statements(body):
        sizes = list(own_sizes(s))
        for e in own_exprs(s):
            for x in subexprs(e):
                sizes += [x.size] if isinstance(x, Index) else x.at if isinstance(x, Load) else []
        found.update(*map(symbols_of, sizes))
    return found


def _address(array: Array, place: Sequence[int]) -> int:
    start: int = array.__array_interface__["data"][0]
    return start + sum(i * step for i, step in zip(place, array.strides, strict=True))


# --- casts -------------------------------------------------------------------------------------
def cast_scalar(dtype: DType, x: Scalar) -> Scalar:
    """To `dtype`: integers wrap, float -> int truncates and saturates with NaN -> 0, to bool is `x != 0`."""
    if dtype.kind in "iu" and x.dtype.kind == "f":
        if math.isnan(x):
            return dtype.type(0)
        info = np.iinfo(dtype)
        return dtype.type(info.min if x <= info.min else info.max if x >= info.max else int(x))
    return const(dtype, int(x)).value if dtype.kind in "iu" else x.astype(dtype)


# --- prims -------------------------------------------------------------------------------------
def fma32(a: Scalar, b: Scalar, c: Scalar) -> Scalar:
    """a * b + c in float32 with one rounding.

    The product is exact in float64; the sum is rounded to odd there (Boldo and Melquiond, 2008:
    29 spare bits suffice), so that rounding it to float32 is the only rounding that shows.
    """
    product, addend = float(a) * float(b), float(c)
    total = product + addend
    if math.isfinite(total):
        back = total - product
        error = (product - (total - back)) + (addend - back)  # exact (Knuth's two-sum)
        if error and not np.float64(total).view(np.int64) & 1:
            total = math.nextafter(total, math.copysign(math.inf, error))
    return np.float32(total)


def fma64(a: Scalar, b: Scalar, c: Scalar) -> Scalar:
    """a * b + c in float64 with one rounding, by rational arithmetic."""
    if not (np.isfinite(a) and np.isfinite(b)):
        return a * b + c
    if not np.isfinite(c):
        return c
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if not exact:  # the sign of a zero: ordinary arithmetic has it, except where a tiny product vanishes
        return a * b + c if not (a and b) else np.float64(0)
    try:
        return np.float64(exact.numerator / exact.denominator)  # division of ints is correctly rounded
    except OverflowError:
        return np.float64(math.inf if exact > 0 else -math.inf)


def _maximum(a: Scalar, b: Scalar) -> Scalar:
    return a if a > b or a != a else b


def _minimum(a: Scalar, b: Scalar) -> Scalar:
    return a if a < b or a != a else b


_COMPARISONS: dict[str, Callable[..., Scalar]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le,
}  # fmt: skip

_FLOAT: dict[str, Callable[..., Scalar]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv,
    "muladd": lambda a, b, c: a * b + c,
    "neg": operator.neg, "abs": abs, "min": _minimum, "max": _maximum,
    "sqrt": np.sqrt, "floor": np.floor, "ceil": np.ceil, "rint": np.rint, "trunc": np.trunc,
}  # fmt: skip

_BOOLEAN: dict[str, Callable[..., Scalar]] = {
    "and": operator.and_, "or": operator.or_, "xor": operator.xor, "not": np.logical_not,
    "min": operator.and_, "max": operator.or_,
}  # fmt: skip


def _on_integers(fn: Callable[..., int], dtype: DType, *xs: Scalar) -> Scalar:
    """`fn(bits, *ints)`, wrapped to `dtype`."""
    return const(dtype, fn(8 * dtype.itemsize, *map(int, xs))).value


def _shift(fn: Callable[[int, int], int]) -> Callable[[int, int, int], int]:
    """A negative amount counts as unsigned: as large as can be."""
    return lambda bits, a, n: fn(a, n if 0 <= n < bits else bits)


_INTEGER: dict[str, Callable[..., int]] = {
    "add": lambda w, a, b: a + b, "sub": lambda w, a, b: a - b, "mul": lambda w, a, b: a * b,
    "muladd": lambda w, a, b, c: a * b + c, "mulhi": lambda w, a, b: (a * b) >> w,
    "idiv": lambda w, a, b: a // b if b else 0, "imod": lambda w, a, b: a % b if b else 0,
    "neg": lambda w, a: -a, "abs": lambda w, a: abs(a), "not": lambda w, a: ~a,
    "min": lambda w, a, b: min(a, b), "max": lambda w, a, b: max(a, b),
    "and": lambda w, a, b: a & b, "or": lambda w, a, b: a | b, "xor": lambda w, a, b: a ^ b,
    "shl": _shift(operator.lshift), "shr": _shift(operator.rshift),
    "popcount": lambda w, a: (a & ((1 << w) - 1)).bit_count(),
}  # fmt: skip
