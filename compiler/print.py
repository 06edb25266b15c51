"""The text form of a Proc.

    kernel dense[B](x f32[B,784] in, w f32[784,300] in, b f32[300] in, y f32[B,300] out):
      for i in B, j in 300:                            # perfectly nested loops share a line
        acc f32[] reg                                  # Alloc
        acc = 0.0                                      # Store
        for k in 784 seq: acc ~ x[i,k], w[k,j]         # Fold dot; `acc +=. e` adds, `acc max= e` ...
        let s f32 = acc + b[j]                         # Let
        mask j < 9: y[i,j] = max(s, 0.0)               # Mask
        check j < 9 else site 0                        # Check

Kinds stand after the extent, `any` is left out.  Index algebra is written without spaces
(`64*p+l`), values with them.  `(x[i] where c else 0.0)` is a guarded load.  What a statement
uses more than once is named on a line before it (`%0 = exp(x[i])`).

The text is the same in every process: a name used again while the first is in scope gets a
suffix in order of appearance, and terms of index algebra are ordered by that, too.  It says all
that the kernel means: kernels with the same text (and name) compute the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from graphflow.compiler.kernel import (
    COMPARISONS,
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
    Proc,
    Select,
    Stmt,
    Store,
    Transpose,
    Var,
    children,
    own_exprs,
)
from graphflow.compiler.rebuild import postorder
from graphflow.graph.dim import Atom, Dim, Monomial, Size, Symbol
from graphflow.graph.types import DType, Shape

WIDTH = 120

# infix prims and how tightly they bind, as in Python
_INFIX = {
    "eq": ("==", 1), "ne": ("!=", 1), "lt": ("<", 1), "le": ("<=", 1), "or": ("|", 2), "xor": ("^", 3), "and": ("&", 4),
    "shl": ("<<", 5), "shr": (">>", 5), "add": ("+", 6), "sub": ("-", 6), "mul": ("*", 7), "div": ("/", 7),
}  # fmt: skip
_PREFIX = {"neg": "-", "not": "~"}
_COMPARE, _SUM, _PRODUCT, _UNARY, _ATOM = 1, 6, 7, 8, 9
_FOLDS = {"add": "+=.", "mul": "*=.", "max": "max=", "min": "min=", "and": "&=", "or": "|=", "dot": "~"}

Text = tuple[str, int]  # with its binding strength


def to_text(proc: Proc) -> str:
    """The kernel as text, ending in a newline."""
    return "\n".join(Printer().proc(proc)) + "\n"


def dtype_text(dtype: DType) -> str:
    if dtype.kind in "bV":
        return "bool" if dtype.kind == "b" else "bf16"
    return f"{dtype.kind}{8 * dtype.itemsize}"


class Printer:
    """Names in scope, and the lines of what is printed with them."""

    def __init__(self) -> None:
        self.names: dict[Symbol | Buffer, str] = {}
        self.taken: set[str] = set()
        self.order: dict[Symbol, int] = {}

    # --- names --------------------------------------------------------------------------
    def name(self, thing: Symbol | Buffer) -> str:
        """The name it was given in this scope; something unbound is named here."""
        if thing not in self.names:
            self._declare(thing)
        return self.names[thing]

    def _declare(self, thing: Symbol | Buffer) -> str:
        stem, count = re.sub(r"[^\w.]|^(?=[\d.])", "_", thing.name) or "_", 1
        name = stem
        while name in self.taken:
            count += 1
            name = f"{stem}_{count}"
        self.taken.add(name)
        self.names[thing] = name
        if isinstance(thing, Symbol):
            self.order[thing] = len(self.order)
        return name

    @contextmanager
    def _scope(self) -> Iterator[None]:
        before = set(self.taken)
        yield
        self.taken = before

    # --- statements -----------------------------------------------------------------------
    def proc(self, proc: Proc) -> list[str]:
        return [f"{self.signature(proc)}:", *_indented(self.block(proc.body))]

    def signature(self, proc: Proc) -> str:
        dims = ",".join(self._declare(d) + self._bounds(d) for d in proc.dims)
        params = ", ".join(f"{self._declare(p)} {self._type(p.dtype, p.shape)} {p.mode.value}" for p in proc.params)
        return f"kernel {proc.name}[{dims}]({params})"

    def block(self, body: Block) -> list[str]:
        with self._scope():
            return [line for s in body for line in self.stmt(s)]

    def stmt(self, s: Stmt) -> list[str]:
        if isinstance(s, For):
            return self._loop(s)
        lines = self.head(s)
        if isinstance(s, Mask | If):
            lines += _headed(f"{lines.pop()}:", self.block(s.body if isinstance(s, Mask) else s.yes))
        if isinstance(s, If) and s.no:
            lines += _headed("else:", self.block(s.no))
        return lines

    def head(self, s: Stmt) -> list[str]:
        """The lines of a statement without its blocks; the last is the statement itself."""
        lines, texts = self._values(own_exprs(s))
        match s:
            case For():
                kind = "" if s.kind is Kind.ANY else f" {s.kind.value}"
                extent = self.size(s.extent)
                text = f"for {self._declare(s.var)} in {extent}{kind}"
            case If():
                text = f"if {texts[0]}"
            case Mask():
                text = f"mask {texts[0]}"
            case Alloc():
                text = f"{self._declare(s.buffer)} {self._type(s.buffer.dtype, s.buffer.shape)} {s.buffer.space.value}"
            case Let():
                text = f"let {self._declare(s.var)}{self._bounds(s.var)} {dtype_text(s.value.dtype)} = {texts[0]}"
            case Store():
                text = f"{self.place(s.buffer, s.at)} = {texts[0]}"
            case Fold():
                text = f"{self.place(s.buffer, s.at)} {_FOLDS.get(s.monoid, s.monoid)} {', '.join(texts)}"
            case Transpose():
                text = f"{s.target} = transpose {s.source}"
            case Check():
                text = f"check {texts[0]} else site {s.site}" + "".join(f", {t}" for t in texts[1:])
            case _:
                raise AssertionError(type(s))
        return [*lines, text]

    def _loop(self, s: For) -> list[str]:
        with self._scope():
            (head,) = self.head(s)
            inner = self.block(s.body)
        if len(s.body) == 1 and isinstance(s.body[0], For):
            joined = f"{head}, {inner[0].removeprefix('for ')}"
            if len(joined) <= WIDTH:
                return [joined, *inner[1:]]
        return _headed(f"{head}:", inner)

    # --- index algebra ------------------------------------------------------------------------
    def size(self, size: Size) -> str:
        return self._size(size)[0]

    def place(self, buffer: Buffer, at: tuple[Size, ...]) -> str:
        return f"{self.name(buffer)}[{','.join(map(self.size, at))}]" if at else self.name(buffer)

    def _bounds(self, s: Symbol) -> str:
        """What index algebra may assume of a dim or Let, beyond `>=0`."""
        low = "" if s.lo == 0 else f">={self.size(s.lo)}"
        return low if s.hi is None else f"{low}<{self.size(s.hi)}"

    def _type(self, dtype: DType, shape: Shape) -> str:
        return f"{dtype_text(dtype)}[{','.join(map(self.size, shape))}]"

    def _size(self, size: Size) -> Text:
        if isinstance(size, int):
            return str(size), _ATOM if size >= 0 else _UNARY
        terms = sorted((self._monomial(m, c) for m, c in size.terms.items()), key=lambda t: t[0])
        text = "".join(t for _, t, _ in terms).removeprefix("+")
        return text, terms[0][2] if len(terms) == 1 else _SUM

    def _monomial(self, mono: Monomial, c: int) -> tuple[tuple[bool, list[list[int]], bool, str], str, int]:
        """Sort key (constants last, older symbols first), signed text, and binding strength of a term."""
        atoms = sorted(((self._age(a), self._atom(a)) for a in mono), key=lambda t: (t[0], t[1][0]))
        factors = [_within(t, _ATOM) if len(mono) > 1 or abs(c) != 1 else t[0] for _, t in atoms]
        if abs(c) != 1 or not mono:
            factors.insert(0, str(abs(c)))
        body = "*".join(factors)
        strength = _SUM if c < 0 else _PRODUCT if len(factors) > 1 else atoms[0][1][1] if mono else _ATOM
        return (not mono, [age for age, _ in atoms], c < 0, body), f"{'-' if c < 0 else '+'}{body}", strength

    def _atom(self, atom: Atom) -> Text:
        if isinstance(atom, Symbol):
            return self.name(atom), _ATOM
        if atom.kind in ("min", "max"):
            return f"{atom.kind}({self.size(atom.a)},{self.size(atom.b)})", _ATOM
        return f"{_within(self._size(atom.a), _PRODUCT)}{atom.kind}{_within(self._size(atom.b), _ATOM)}", _PRODUCT

    def _age(self, atom: Atom) -> list[int]:
        symbols = [atom] if isinstance(atom, Symbol) else [s for part in (atom.a, atom.b) if isinstance(part, Dim) for s in part.symbols()]
        for s in sorted(symbols, key=lambda s: s.serial):
            self.name(s)
        return sorted(self.order[s] for s in symbols)

    # --- expressions ------------------------------------------------------------------------
    def _values(self, roots: Sequence[Expr]) -> tuple[list[str], list[str]]:
        """Lines that name what `roots` use more than once, and the text of each root."""
        uses = Counter(id(e) for e in roots)
        nodes = list(postorder(*roots))
        uses.update(id(c) for e in nodes for c in children(e))
        lines: list[str] = []
        done: dict[int, Text] = {}
        bare: set[int] = set()  # constants and what is made of nothing else: their text does not say their dtype
        for e in nodes:
            xs = [done[id(c)] for c in children(e)]
            if isinstance(e, Const) or (not _converts(e) and xs and all(id(c) in bare for c in children(e)[isinstance(e, Select) :])):
                bare.add(id(e))
            if _converts(e) and all(id(c) in bare for c in children(e)):
                xs[0] = f"{_within(xs[0], _UNARY)}:{dtype_text(children(e)[0].dtype)}", _UNARY
            text = self._expr(e, xs)
            if uses[id(e)] > 1 and xs:
                lines.append(f"%{len(lines)} = {text[0]}")
                text = f"%{len(lines) - 1}", _ATOM
            done[id(e)] = text
        return lines, [done[id(e)][0] for e in roots]

    def _expr(self, e: Expr, xs: list[Text]) -> Text:
        match e:
            case Const():
                return _literal(e), _UNARY
            case Var():
                return self.name(e.symbol), _ATOM
            case Index():
                return self._size(e.size)
            case Load():
                place = self.place(e.buffer, e.at)
                guard = "".join(f" {word} {text}" for word, (text, _) in zip(("where", "else"), xs, strict=False))
                return f"({place}{guard})" if guard else place, _ATOM
            case Call():
                return self._call(e.prim, xs)
            case Cast() | Bits():
                word = dtype_text(e.dtype) if isinstance(e, Cast) else f"bits_{dtype_text(e.dtype)}"
                return f"{word}({xs[0][0]})", _ATOM
            case Select():
                return f"select({', '.join(x for x, _ in xs)})", _ATOM
        raise AssertionError(type(e))

    def _call(self, prim: str, xs: list[Text]) -> Text:
        if prim in _INFIX:
            sign, strength = _INFIX[prim]
            left = _within(xs[0], strength + (strength == _COMPARE))
            return f"{left} {sign} {_within(xs[1], strength + 1)}", strength
        if prim in _PREFIX:
            return f"{_PREFIX[prim]}{_within(xs[0], _ATOM)}", _UNARY
        return f"{prim}({', '.join(x for x, _ in xs)})", _ATOM


def _converts(e: Expr) -> bool:
    """Is the dtype of the operands another than that of the value?"""
    return isinstance(e, Cast | Bits) or (isinstance(e, Call) and e.prim in COMPARISONS)


def _within(text: Text, strength: int) -> str:
    return text[0] if text[1] >= strength else f"({text[0]})"


def _literal(e: Const) -> str:
    if e.dtype.kind == "b":
        return "true" if e.value else "false"
    return str(e.value)


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _headed(head: str, lines: list[str]) -> list[str]:
    """A header with its block: on one line where that is one line and fits."""
    if len(lines) == 1 and len(head) + 1 + len(lines[0]) <= WIDTH:
        return [f"{head} {lines[0]}"]
    return [head, *_indented(lines or ["pass"])]
