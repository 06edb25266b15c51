"""Walks that rebuild Kernel IR: expressions bottom-up, statements with symbols and buffers replaced.

Trees are immutable and expressions are DAGs: a shared subexpression is rebuilt once and stays
shared, and what does not change stays the same object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from graphflow.compiler.kernel import (
    Alloc,
    Bits,
    Block,
    Buffer,
    Call,
    Cast,
    Check,
    Expr,
    Fold,
    For,
    If,
    Index,
    Let,
    Load,
    Mask,
    Select,
    Stmt,
    Store,
    Transpose,
    Var,
    children,
    index,
    own_exprs,
    statements,
)
from graphflow.graph.dim import Dim, Size, Symbol, substitute, symbols_of

Place = tuple[Buffer, tuple[Size, ...]]


# --- expressions -----------------------------------------------------------------------------
def postorder(*roots: Expr) -> Iterator[Expr]:
    """Every distinct expression object under `roots`, operands before what uses them."""
    seen: set[int] = set()
    stack = [(e, False) for e in reversed(roots)]
    while stack:
        e, ready = stack.pop()
        if ready:
            yield e
        elif id(e) not in seen:
            seen.add(id(e))
            stack.append((e, True))
            stack.extend((c, False) for c in reversed(children(e)))


def with_children(e: Expr, new: Sequence[Expr]) -> Expr:
    """`e` over other operands, in the order of `kernel.children`; `e` itself if they are the same objects."""
    if all(a is b for a, b in zip(children(e), new, strict=True)):
        return e
    match e:
        case Call():
            return Call(e.prim, tuple(new), e.dtype)
        case Cast() | Bits():
            return type(e)(e.dtype, new[0])
        case Select():
            return Select(*new)
        case Load():
            rest = iter(new)
            return replace(e, where=e.where and next(rest), other=e.other and next(rest))
    raise AssertionError(f"{type(e).__name__} has no operands")


def map_expr(root: Expr, fn: Callable[[Expr], Expr], memo: dict[int, Expr] | None = None) -> Expr:
    """Rebuild bottom-up: `fn` sees each node over its rebuilt operands.  `memo` shares results between calls."""
    done = {} if memo is None else memo
    for e in postorder(root):
        if id(e) not in done:
            done[id(e)] = fn(with_children(e, [done[id(c)] for c in children(e)]))
    return done[id(root)]


def expr_symbols(e: Expr) -> set[Symbol]:
    """The loop variables, dims and Lets an expression mentions, in indices too."""
    found: set[Symbol] = set()
    for x in postorder(e):
        match x:
            case Var():
                found.add(x.symbol)
            case Index():
                found |= symbols_of(x.size)
            case Load():
                found.update(*map(symbols_of, x.at))
    return found


# --- statements ------------------------------------------------------------------------------
def map_blocks(s: Stmt, fn: Callable[[Block], Block]) -> Stmt:
    """`s` with each block directly inside it replaced by `fn` of it."""
    match s:
        case For() | Mask():
            body = fn(s.body)
            return s if body is s.body else replace(s, body=body)
        case If():
            yes, no = fn(s.yes), fn(s.no)
            return s if yes is s.yes and no is s.no else If(s.cond, yes, no)
    return s


def own_sizes(s: Stmt) -> tuple[Size, ...]:
    """The sizes a statement holds itself: extent or index (not those of its expressions)."""
    if isinstance(s, For):
        return (s.extent,)
    return s.at if isinstance(s, Store | Fold) else ()


def own_symbols(s: Stmt) -> set[Symbol]:
    """The symbols a statement mentions itself (not those of its blocks)."""
    found: set[Symbol] = set()
    return found.union(*map(symbols_of, own_sizes(s)), *map(expr_symbols, own_exprs(s)))


def bound_symbols(body: Block) -> set[Symbol]:
    """The loop variables and Lets that are bound in a block."""
    return {s.var for s in statements(body) if isinstance(s, For | Let)}


def allocated(body: Block) -> set[Buffer]:
    return {s.buffer for s in statements(body) if isinstance(s, Alloc)}


class Substitution:
    """Replaces symbols by sizes, in index algebra and as values, and buffers by places.

    `places[b] = (c, (v,))` turns `b[at]` into `c[v, *at]`.  A loop variable or Let whose bounds change
    gets a new symbol of the same name; with `fresh`, everything bound inside does, registers too,
    so that the copy can stand beside the original.
    """

    def __init__(self, symbols: Mapping[Symbol, Size], places: Mapping[Buffer, Place] | None = None, *, fresh: bool = False) -> None:
        self.symbols = dict(symbols)
        self.places = dict(places or {})
        self.fresh = fresh
        self._memo: dict[int, Expr] = {}

    def size(self, size: Size) -> Size:
        return substitute(size, self.symbols)

    def place(self, buffer: Buffer, at: tuple[Size, ...]) -> Place:
        target, prefix = self.places.get(buffer, (buffer, ()))
        return target, (*prefix, *map(self.size, at))

    def expr(self, e: Expr) -> Expr:
        return map_expr(e, self._node, self._memo)

    def block(self, body: Block) -> Block:
        return tuple(map(self.stmt, body))

    def stmt(self, s: Stmt) -> Stmt:
        match s:
            case For():
                return For(self._bind(s.var), self.size(s.extent), s.kind, self.block(s.body))
            case If():
                return If(self.expr(s.cond), self.block(s.yes), self.block(s.no))
            case Mask():
                return Mask(self.expr(s.cond), self.block(s.body))
            case Alloc():
                return Alloc(self._allocate(s.buffer))
            case Let():
                value = self.expr(s.value)
                return Let(self._bind(s.var), value)
            case Store():
                return Store(*self.place(s.buffer, s.at), self.expr(s.value))
            case Fold():
                return Fold(s.monoid, *self.place(s.buffer, s.at), tuple(map(self.expr, s.values)))
            case Transpose():
                return Transpose(self.place(s.target, ())[0], self.place(s.source, ())[0])
            case Check():
                return replace(s, ok=self.expr(s.ok), operand=s.operand and self.expr(s.operand))
        raise AssertionError(type(s))

    def _bind(self, old: Symbol) -> Symbol:
        lo, hi = self.size(old.lo), None if old.hi is None else self.size(old.hi)
        if not self.fresh and lo == old.lo and hi == old.hi:
            return old
        new = Symbol(old.name, lo, hi, old.origin)
        self.symbols[old] = Dim.of(new)
        return new

    def _allocate(self, old: Buffer) -> Buffer:
        if self.fresh and old not in self.places:
            self.places[old] = (replace(old), ())
        return self.places.get(old, (old, ()))[0]

    def _node(self, e: Expr) -> Expr:
        match e:
            case Var() if e.symbol in self.symbols:
                size = self.symbols[e.symbol]
                renamed = size.atom if isinstance(size, Dim) else None
                return Var(renamed, e.dtype) if isinstance(renamed, Symbol) else index(size)
            case Index():
                size = self.size(e.size)
                return e if size == e.size else index(size)
            case Load():
                buffer, at = self.place(e.buffer, e.at)
                return e if buffer is e.buffer and at == e.at else replace(e, buffer=buffer, at=at)
        return e


def substitute_block(body: Block, symbols: Mapping[Symbol, Size]) -> Block:
    """`body` with symbols replaced, in index algebra and as values."""
    return Substitution(symbols).block(body)
