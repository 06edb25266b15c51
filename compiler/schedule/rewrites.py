"""The schedule vocabulary: kernel -> kernel rewrites, none of which changes a bit.

Loops are named by their variable.  Each function checks its own precondition and raises
CompileError with the kernel's name; none reorders the operands of a Fold.  `distribute`, the
register-tiling rewrite, has a file of its own.
"""

from __future__ import annotations

from dataclasses import replace

from graphflow.compiler.bounds import proves
from graphflow.compiler.kernel import (
    Alloc,
    Block,
    Buffer,
    Check,
    Expr,
    Fold,
    For,
    If,
    Kind,
    Let,
    Load,
    Mask,
    Proc,
    Stmt,
    Store,
    Transpose,
    const,
    index,
    own_exprs,
    subexprs,
)
from graphflow.compiler.rebuild import Substitution, expr_symbols, map_expr, substitute_block
from graphflow.compiler.schedule.distribute import distribute
from graphflow.compiler.schedule.loops import (
    INDEPENDENT,
    around,
    find_loop,
    indexes_registers,
    loops,
    map_loop,
    owns_its_places,
    require,
    steers,
)
from graphflow.graph.dim import Dim, Size, Symbol, symbols_of

__all__ = ["cut", "distribute", "find_loop", "interchange", "join", "map_loop", "order", "set_kind", "split", "substitute_block"]

# kinds of the two loops a split makes; no entry: such a loop is not split
_SPLIT = {
    Kind.SEQ: (Kind.SEQ, Kind.SEQ),
    Kind.ANY: (Kind.ANY, Kind.ANY),
    Kind.TEAM: (Kind.TEAM, Kind.ANY),
    Kind.UNROLL: (Kind.UNROLL, Kind.UNROLL),
    Kind.LANES: (Kind.UNROLL, Kind.LANES),
}
_JOIN = {pair: kind for kind, pair in _SPLIT.items() if kind is not Kind.LANES}


def set_kind(proc: Proc, var: Symbol, kind: Kind) -> Proc:
    """`for i in n  ->  for i in n kind`

    ANY, LANES and TEAM need a loop of such a kind, or a proof that each iteration owns the places it writes;
    LANES and UNROLL a constant extent; TEAM the last place of the kernel; LANES no LANES around or inside and
    the same control flow in all iterations; a variable that indexes registers stays ANY, LANES or UNROLL.
    """
    loop = find_loop(proc, var)
    require(proc, kind not in (Kind.SEQ, Kind.TEAM) or not indexes_registers(loop), "set_kind", f"{var} indexes registers")
    constant = isinstance(loop.extent, int) or kind not in (Kind.LANES, Kind.UNROLL)
    require(proc, constant, "set_kind", f"{kind.name} needs a constant extent, {var} has {loop.extent}")
    independent = kind not in INDEPENDENT or loop.kind in INDEPENDENT or owns_its_places(loop)
    require(proc, independent, "set_kind", f"the iterations over {var} are not known to be independent")
    require(proc, kind is not Kind.TEAM or proc.body[-1] is loop, "set_kind", f"{var} is not the last outermost loop")
    require(proc, kind is not Kind.LANES or not steers(loop), "set_kind", f"control flow inside depends on {var}")
    others = [*around(proc, var), *loops(loop.body)]
    nested = kind is Kind.LANES and any(other.kind is Kind.LANES for other in others)
    require(proc, not nested, "set_kind", f"there are LANES around or inside {var}")
    return map_loop(proc, var, lambda loop: (replace(loop, kind=kind),))


def interchange(proc: Proc, outer: Symbol, inner: Symbol) -> Proc:
    """`for i: for j: s  ->  for j: for i: s`

    For perfectly nested loops, `i` independent; or `j` independent and owning its places also while `i` runs
    (or each step of `i` could read what another `j` wrote in the step before).
    """
    i, j = _perfect_nest(proc, outer, inner, "interchange")
    require(proc, Kind.TEAM not in (i.kind, j.kind), "interchange", "a TEAM loop stays outermost")
    free = i.kind in INDEPENDENT or (j.kind in INDEPENDENT and owns_its_places(j, moving=i))
    require(proc, free, "interchange", f"the order of {outer} and {inner} may matter")
    return map_loop(proc, outer, lambda _: (replace(j, body=(replace(i, body=j.body),)),))


def order(proc: Proc, *variables: Symbol) -> Proc:
    """`for a: for b: for c: s  ->  for c: for a: for b: s` for `order(c, a, b)`: perfectly nested loops, by interchanges."""
    for done, var in enumerate(variables):
        while (path := [loop.var for loop in around(proc, var)])[-1:] and path[-1] in variables[done:]:
            proc = interchange(proc, path[-1], var)
    return proc


def join(proc: Proc, outer: Symbol, inner: Symbol) -> tuple[Proc, Symbol]:
    """`for i in n: for j in m: s  ->  for ij in n*m: s[i = ij//m, j = ij - m*(ij//m)]`; also the new variable.

    An address that is linear in `i*m + j` becomes linear in `ij`.
    """
    i, j = _perfect_nest(proc, outer, inner, "join")
    kind = _JOIN.get((i.kind, j.kind))
    require(proc, kind is not None, "join", f"{i.kind.name} and {j.kind.name} loops do not join")
    assert kind is not None
    extent = i.extent * j.extent
    keeps = isinstance(extent, int) or not (indexes_registers(i) or indexes_registers(j))
    require(proc, keeps, "join", f"{outer} or {inner} indexes registers, and {extent} is not constant")
    both = Symbol(outer.name + inner.name, 0, extent)
    row = Symbol(outer.name, 0, i.extent)
    body = substitute_block(j.body, {outer: Dim.of(row), inner: Dim.of(both) - j.extent * Dim.of(row)})
    body = substitute_block(body, {row: Dim.of(both) // j.extent})
    return map_loop(proc, outer, lambda _: (For(both, extent, kind, body),)), both


def cut(proc: Proc, var: Symbol, at: Size) -> tuple[Proc, Symbol, Symbol]:
    """`for i in n: s  ->  for i in at: s; for i in n - at: s[i = at + i]`; also the two variables.

    The first part keeps the symbols of the loops inside, the second has copies of its own.
    """
    loop = find_loop(proc, var)
    require(proc, proves(at) and proves(loop.extent - at), "cut", f"{at} is not known to be in 0 .. {loop.extent}")
    require(proc, loop.kind is not Kind.TEAM, "cut", f"{var} is a TEAM loop, cut it before")
    require(proc, isinstance(at, int) or not indexes_registers(loop), "cut", f"{var} indexes registers, and {at} is not constant")
    rest = loop.extent - at
    first, second = Symbol(var.name, 0, at), Symbol(var.name, 0, rest)
    parts = (
        For(first, at, loop.kind, substitute_block(loop.body, {var: Dim.of(first)})),
        For(second, rest, loop.kind, Substitution({var: at + Dim.of(second)}, fresh=True).block(loop.body)),
    )
    return map_loop(proc, var, lambda _: parts), first, second


def split(proc: Proc, var: Symbol, factor: int, tail: str = "exact") -> tuple[Proc, Symbol, Symbol]:
    """`for i in n: s  ->  for io in n/f: for ii in f: s[i = io*f + ii]`; also the outer and inner variable.

    `tail` says what becomes of the rest where `f` does not divide `n`:
    `exact`  there must be none;
    `cut`    a second nest for the last `n - n//f*f` iterations (use `cut` itself to name its loop);
    `mask`   one more outer iteration, in which those past `n` touch no memory and no register that
             outlives them: they may compute garbage in registers of their own.
    """
    loop = find_loop(proc, var)
    require(proc, tail in ("exact", "cut", "mask"), "split", f"no tail {tail!r}")
    require(proc, factor > 0, "split", f"the factor {factor} is not positive")
    whole, rest = loop.extent // factor, loop.extent % factor
    exact = isinstance(rest, int) and rest == 0
    if tail == "cut" and not exact:
        require(proc, not isinstance(whole, int) or whole > 0, "split", f"{var} has {loop.extent} iterations, fewer than {factor}")
        proc, first, _ = cut(proc, var, whole * factor)
        return split(proc, first, factor)
    require(proc, exact or tail == "mask", "split", f"{factor} is not known to divide the extent {loop.extent} of {var}")
    require(proc, exact or not indexes_registers(loop), "split", f"{var} indexes registers, which have no place for a masked rest")
    count = whole if exact else (loop.extent + factor - 1) // factor
    outer, inner = Symbol(f"{var.name}o", 0, count), Symbol(f"{var.name}i", 0, factor)
    ix = Dim.of(outer) * factor + Dim.of(inner)
    body = substitute_block(loop.body, {var: ix})
    if not exact:
        body = _Tail(index(ix) < index(loop.extent), inner).block(body)
    kinds = _SPLIT[loop.kind]
    return map_loop(proc, var, lambda _: (For(outer, count, kinds[0], (For(inner, factor, kinds[1], body),)),)), outer, inner


class _Tail:
    """Guards a block so that it has no effect where `cond` is false, with masks around as little as possible.

    In each step of the outer loop at least the first iteration of `inner` is a real one, so what does not
    depend on `inner` may be read in any case.
    """

    def __init__(self, cond: Expr, inner: Symbol) -> None:
        self.cond = cond
        self.varying = {inner}
        self.own: set[Buffer] = set()

    def block(self, body: Block) -> Block:
        out: list[Stmt] = []
        for s in body:
            for guarded in self.stmt(s):
                last = out[-1] if out else None
                if isinstance(guarded, Mask) and guarded.cond is self.cond and isinstance(last, Mask) and last.cond is self.cond:
                    out[-1] = Mask(self.cond, last.body + guarded.body)
                else:
                    out.append(guarded)
        return tuple(out)

    def stmt(self, s: Stmt) -> Block:
        match s:
            case Alloc():
                self.own.add(s.buffer)
                return (s,)
            case Let():
                if self.varies(s):
                    self.varying.add(s.var)
                return (Let(s.var, self.expr(s.value)),)
            case For():
                if symbols_of(s.extent) & self.varying:
                    self.varying.add(s.var)
                return (replace(s, body=self.block(s.body)),)
            case If():
                return (If(self.expr(s.cond), self.block(s.yes), self.block(s.no)),)
            case Mask():
                return (Mask(self.expr(s.cond), self.block(s.body)),)
            case Store() if self.is_own(s):
                return (replace(s, value=self.expr(s.value)),)
            case Fold() if self.is_own(s):
                return (replace(s, values=tuple(map(self.expr, s.values))),)
            case Transpose():
                return (s,)
            case Store() | Fold() | Check():
                return (Mask(self.cond, (s,)),)
        raise AssertionError(type(s))

    def is_own(self, s: Store | Fold) -> bool:
        return s.buffer in self.own and not any(symbols_of(i) & self.varying for i in s.at)

    def varies(self, s: Let) -> bool:
        read = {e.buffer for x in own_exprs(s) for e in subexprs(x) if isinstance(e, Load)}
        return bool(expr_symbols(s.value) & self.varying or read & self.own)

    def expr(self, e: Expr) -> Expr:
        return map_expr(e, self.guard)

    def guard(self, e: Expr) -> Expr:
        if not isinstance(e, Load) or not any(symbols_of(i) & self.varying for i in e.at):
            return e
        where = self.cond if e.where is None else self.cond & e.where
        return Load(e.buffer, e.at, where, const(e.dtype, 0) if e.other is None else e.other)


def _perfect_nest(proc: Proc, outer: Symbol, inner: Symbol, rewrite: str) -> tuple[For, For]:
    i, j = find_loop(proc, outer), find_loop(proc, inner)
    require(proc, i.body == (j,), rewrite, f"{outer} and {inner} are not perfectly nested")
    require(proc, outer not in symbols_of(j.extent), rewrite, f"the extent of {inner} depends on {outer}")
    return i, j
