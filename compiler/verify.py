"""What every kernel must satisfy, checked after each rewrite in tests and before emission.

    scope     every symbol and buffer is bound where it is used, none while it is bound
    dtype     values have the dtype of their place, conditions are bool, prims get what they take
    rank      an access has one index per axis
    kind      LANES and UNROLL extents are constant, LANES is not nested, TEAM is outermost
    register  constant shape, allocated inside; indexed by constants and UNROLL and LANES variables
    mode      parameters are GLOBAL; an IN buffer is never stored to
    write     an ANY, TEAM or LANES loop writes places that depend on its variable, or in its last iteration only
    uniform   no If and no extent depends on the lane
    bound     a constant index is inside a constant extent; a loop variable's own bounds hold
    final     no FUNCTIONS, no register indexed by an ANY variable

Accesses that cannot be proved in bounds are no error; `unproven_accesses` lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass

from graphflow.compiler.bounds import at_most_once, contradictory, facts_of, proves
from graphflow.compiler.kernel import (
    BOOL,
    COMPARISONS,
    FUNCTIONS,
    I64,
    MONOIDS,
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
    Kind,
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
    own_exprs,
)
from graphflow.compiler.print import Printer, dtype_text
from graphflow.compiler.rebuild import expr_symbols, postorder
from graphflow.graph.dim import Size, Symbol, symbols_of
from graphflow.graph.errors import CompileError
from graphflow.graph.types import DType

INDEPENDENT = (Kind.ANY, Kind.TEAM, Kind.LANES)

# prim -> number of operands, kinds of dtype it takes
_SIGNATURES: dict[str, tuple[int, str]] = {
    **dict.fromkeys(["add", "sub", "mul"], (2, "iuf")),
    **dict.fromkeys(["min", "max"], (2, "iufb")),
    **dict.fromkeys(["idiv", "imod", "mulhi", "shl", "shr"], (2, "iu")),
    **dict.fromkeys(["and", "or", "xor"], (2, "iub")),
    **dict.fromkeys(["eq", "ne", "lt", "le"], (2, "iufb")),
    **dict.fromkeys(["sqrt", "floor", "ceil", "rint", "trunc"], (1, "f")),
    **dict.fromkeys(FUNCTIONS, (1, "f")),
    **dict.fromkeys(["atan2", "pow", "fmod"], (2, "f")),
    "muladd": (3, "iuf"), "div": (2, "f"), "neg": (1, "iuf"), "abs": (1, "iuf"), "not": (1, "iub"), "popcount": (1, "iu"),
}  # fmt: skip


def verify(proc: Proc, final: bool = False) -> None:
    """Check all rules; `final`: also those that hold only before emission.

    Raises CompileError naming the kernel, the path to the statement, and the rule.
    """
    _Verifier(proc, final).run()


@dataclass(frozen=True)
class Unproven:
    """An index of an access that the algebra cannot prove to be in `0 .. extent - 1`."""

    path: str
    buffer: Buffer
    axis: int
    index: Size
    extent: Size

    def __str__(self) -> str:
        return f"{self.path}: axis {self.axis} of {self.buffer}: 0 <= {self.index} < {self.extent}"


def unproven_accesses(proc: Proc) -> list[Unproven]:
    """Accesses not proved in bounds by the bounds of their symbols and the masks around them.

    Raises CompileError as `verify` does.
    """
    verifier = _Verifier(proc, final=False, prove=True)
    verifier.run()
    return verifier.unproven


class _Verifier:
    def __init__(self, proc: Proc, final: bool, prove: bool = False) -> None:
        self.proc = proc
        self.final = final
        self.prove = prove
        self.unproven: list[Unproven] = []
        self.path: list[Stmt] = []
        self.loops: list[For] = []  # around the current statement
        self.dtypes: dict[Symbol, DType] = {}  # of the symbols in scope
        self.lets: dict[Symbol, Expr] = {}
        self.depth: dict[Buffer, int] = {}  # of the buffers in scope: loops around their Alloc
        self.facts: list[Size] = []

    def run(self) -> None:
        for d in self.proc.dims:
            self.bind(d, I64)
        for p in self.proc.params:
            self.require(p.space is Space.GLOBAL, "mode", f"parameter {p} is in {p.space.value}, not global")
            self.require(p not in self.depth, "scope", f"{p} is a parameter twice")
            self.depth[p] = 0
            for n in p.shape:
                self.size(n)
        for at, s in enumerate(self.proc.body):
            team = isinstance(s, For) and s.kind is Kind.TEAM
            self.require(not team or at == len(self.proc.body) - 1, "kind", "a TEAM loop is not the last statement of its kernel")
        self.block(self.proc.body)

    def require(self, ok: bool, rule: str, message: str) -> None:
        if not ok:
            raise self.error(rule, message)

    def error(self, rule: str, message: str) -> CompileError:
        return CompileError(f"kernel {self.proc.name}, {self.here()}: {rule}: {message}")

    def here(self) -> str:
        """The statements around the current one and itself, as text."""
        printer = Printer()
        printer.signature(self.proc)
        return " / ".join(printer.head(s)[-1] for s in self.path) or "its parameters"

    @contextmanager
    def scope(self, facts: Sequence[Size] = ()) -> Iterator[None]:
        before = self.dtypes, self.lets, self.depth, self.facts
        self.dtypes, self.lets, self.depth, self.facts = dict(self.dtypes), dict(self.lets), dict(self.depth), [*self.facts, *facts]
        yield
        self.dtypes, self.lets, self.depth, self.facts = before

    def bind(self, symbol: Symbol, dtype: DType) -> None:
        self.require(symbol not in self.dtypes, "scope", f"{symbol} is bound while it is bound")
        self.dtypes[symbol] = dtype

    # --- statements -----------------------------------------------------------------------
    def block(self, body: Block, facts: Sequence[Size] = ()) -> None:
        with self.scope(facts):
            for s in body:
                self.path.append(s)
                for e in own_exprs(s):
                    self.expr(e)
                self.stmt(s)
                self.path.pop()

    def stmt(self, s: Stmt) -> None:
        match s:
            case For():
                self.loop(s)
            case If():
                self.has(s.cond, BOOL, "the condition")
                self.uniform(expr_symbols(s.cond), s.cond)
                self.block(s.yes, facts_of(s.cond, self.lets))
                self.block(s.no, facts_of(s.cond, self.lets, holds=False))
            case Mask():
                self.has(s.cond, BOOL, "the condition")
                self.block(s.body, facts_of(s.cond, self.lets))
            case Alloc():
                self.alloc(s.buffer)
            case Let():
                self.bind(s.var, s.value.dtype)
                self.lets[s.var] = s.value
            case Store():
                self.write(s.buffer, s.at, [s.value])
            case Fold():
                self.require(s.monoid in MONOIDS, "dtype", f"{s.monoid} is no monoid")
                count = 2 if s.monoid == "dot" else 1
                self.require(len(s.values) == count, "dtype", f"{s.monoid} folds {count} values, got {len(s.values)}")
                self.takes("muladd" if s.monoid == "dot" else s.monoid, s.buffer.dtype)
                self.write(s.buffer, s.at, s.values)
            case Transpose():
                self.require(s.target in self.depth and s.source in self.depth, "scope", f"{s.target} or {s.source} is not in scope")
                square = len(s.source.shape) == 2 and s.source.shape[0] == s.source.shape[1] and s.target.shape == s.source.shape
                alike = s.target.dtype == s.source.dtype and s.target.space is s.source.space is Space.REG
                self.require(square and alike, "register", f"{s.target} and {s.source} are no square registers of one type")
            case Check():
                self.has(s.ok, BOOL, "the condition")
                if s.operand is not None:
                    self.has(s.operand, I64, "the operand")
                self.require(not self.proc.sites or 0 <= s.site < len(self.proc.sites), "bound", f"site {s.site} of {len(self.proc.sites)}")

    def loop(self, s: For) -> None:
        self.size(s.extent)
        self.uniform(symbols_of(s.extent))
        constant = isinstance(s.extent, int)
        self.require(constant or s.kind not in (Kind.LANES, Kind.UNROLL), "kind", f"the extent {s.extent} of {s.kind.name} is not constant")
        nested = s.kind is Kind.LANES and any(loop.kind is Kind.LANES for loop in self.loops)
        self.require(not nested, "kind", "LANES inside LANES")
        self.require(s.kind is not Kind.TEAM or len(self.path) == 1, "kind", "a TEAM loop is not outermost")
        holds = proves(-s.var.lo, self.facts) and (s.var.hi is None or proves(s.var.hi - s.extent, self.facts))
        self.require(holds, "bound", f"{s.var} goes from 0 to {s.extent} and is said to be in {s.var.lo} .. {s.var.hi}")
        self.loops.append(s)
        with self.scope():
            self.bind(s.var, I64)
            self.block(s.body, [s.extent - 1])
        self.loops.pop()

    def alloc(self, b: Buffer) -> None:
        self.require(b.space is Space.REG, "register", f"{b} is allocated in {b.space.value}")
        self.require(all(isinstance(n, int) for n in b.shape), "register", f"the shape of {b} is not constant")
        self.require(b not in self.depth, "scope", f"{b} is allocated while it is in scope")
        self.depth[b] = len(self.loops)

    def write(self, b: Buffer, at: tuple[Size, ...], values: Sequence[Expr]) -> None:
        self.place(b, at)
        for v in values:
            self.has(v, b.dtype, f"a value for {b}")
        self.require(b.space is Space.REG or b.mode is not Mode.IN, "mode", f"{b} is an input")
        for loop in self.loops[self.depth[b] :]:
            ok = loop.kind not in INDEPENDENT or self.depends(at, loop) or at_most_once(loop.var, loop.extent, self.facts)
            self.require(ok, "write", f"all iterations of the {loop.kind.name} loop over {loop.var} write the same place of {b}")

    def depends(self, at: tuple[Size, ...], loop: For) -> bool:
        return loop.var in self.closure({s for i in at for s in symbols_of(i)})

    def closure(self, symbols: Set[Symbol]) -> set[Symbol]:
        """`symbols` and those that the Lets among them are computed from."""
        found: set[Symbol] = set()
        pending = list(symbols)
        while pending:
            s = pending.pop()
            if s not in found:
                found.add(s)
                pending += expr_symbols(self.lets[s]) if s in self.lets else ()
        return found

    def uniform(self, symbols: Set[Symbol], cond: Expr | None = None) -> None:
        """No lane variable among `symbols`, and no register of a lane read by what they stand for."""
        lane = next((at for at, loop in enumerate(self.loops) if loop.kind is Kind.LANES), None)
        if lane is None:
            return
        used = self.closure(symbols)
        values = [self.lets[s] for s in used if s in self.lets] + ([] if cond is None else [cond])
        own = any(isinstance(e, Load) and self.depth.get(e.buffer, 0) > lane for v in values for e in postorder(v))
        var = self.loops[lane].var
        self.require(var not in used and not own, "uniform", f"control flow depends on the lane {var}")

    # --- places and sizes -------------------------------------------------------------------
    def size(self, size: Size) -> None:
        for s in symbols_of(size):
            if s not in self.dtypes:
                raise self.error("scope", f"{s} in {size} is not in scope")
            if self.dtypes[s] != I64:
                raise self.error("dtype", f"{s} in {size} is {self.dtypes[s]}, not an int64")

    def place(self, b: Buffer, at: tuple[Size, ...], where: Expr | None = None) -> None:
        self.require(b in self.depth, "scope", f"{b} is not in scope")
        self.require(len(at) == len(b.shape), "rank", f"{b} has {len(b.shape)} axes, got {len(at)} indices")
        facts = [*self.facts, *(facts_of(where, self.lets) if where is not None else ())]
        for axis, (i, n) in enumerate(zip(at, b.shape, strict=True)):
            self.size(i)
            if isinstance(i, int) and isinstance(n, int):
                self.require(0 <= i < n or contradictory(facts), "bound", f"index {i} of axis {axis} of {b} is not in 0 .. {n - 1}")
            elif self.prove and not (proves(i, facts) and proves(n - i - 1, facts)):
                self.unproven.append(Unproven(self.here(), b, axis, i, n))
        if b.space is Space.REG:
            allowed = (Kind.UNROLL, Kind.LANES) if self.final else (Kind.UNROLL, Kind.LANES, Kind.ANY)
            constant = {loop.var for loop in self.loops if loop.kind in allowed and isinstance(loop.extent, int)}
            for s in (s for i in at for s in symbols_of(i)):
                self.require(s in constant, "register", f"{b} is indexed by {s}, which is no UNROLL or LANES variable")

    # --- expressions ------------------------------------------------------------------------
    def has(self, e: Expr, dtype: DType, what: str) -> None:
        self.require(e.dtype == dtype, "dtype", f"{what} is {dtype_text(e.dtype)}, not {dtype_text(dtype)}")

    def takes(self, prim: str, dtype: DType) -> None:
        self.require(dtype.kind in _SIGNATURES[prim][1], "dtype", f"{prim} does not take {dtype_text(dtype)}")

    def expr(self, root: Expr) -> None:
        for e in postorder(root):
            self.node(e)

    def node(self, e: Expr) -> None:
        match e:
            case Const():
                self.require(getattr(e.value, "dtype", None) == e.dtype, "dtype", f"the constant {e.value!r} is no {e.dtype}")
            case Var():
                self.require(e.symbol in self.dtypes, "scope", f"{e.symbol} is not in scope")
                self.require(self.dtypes[e.symbol] == e.dtype, "dtype", f"{e.symbol} is {self.dtypes[e.symbol]}, not {e.dtype}")
            case Index():
                self.size(e.size)
            case Load():
                self.place(e.buffer, e.at, e.where)
                if e.where is not None:
                    self.has(e.where, BOOL, "the condition of a load")
                if e.other is not None:
                    self.require(e.where is not None, "dtype", f"a load of {e.buffer} has a default but no condition")
                    self.has(e.other, e.dtype, f"the default of {e.buffer}")
            case Call():
                self.call(e)
            case Cast():
                self.require(e.dtype.kind in "iufb", "dtype", f"no cast to {e.dtype}")
            case Bits():
                ok = e.dtype.itemsize == e.arg.dtype.itemsize and "b" not in (e.dtype.kind, e.arg.dtype.kind)
                self.require(ok, "dtype", f"the bits of {e.arg.dtype} are not those of a {e.dtype}")
            case Select():
                self.has(e.cond, BOOL, "the condition of select")
                self.has(e.b, e.a.dtype, "the second side of select")

    def call(self, e: Call) -> None:
        self.require(e.prim in _SIGNATURES, "dtype", f"{e.prim} is no prim")
        self.require(not (self.final and e.prim in FUNCTIONS), "final", f"{e.prim} was not expanded")
        count = _SIGNATURES[e.prim][0]
        self.require(len(e.args) == count, "dtype", f"{e.prim} takes {count} operands, got {len(e.args)}")
        for a in e.args:
            self.takes(e.prim, a.dtype)
            self.has(a, e.args[0].dtype, f"an operand of {e.prim}")
        expected = BOOL if e.prim in COMPARISONS else e.args[0].dtype
        self.require(e.dtype == expected, "dtype", f"{e.prim} gives {expected}, not {e.dtype}")
