"""Blocking for operands that do not fit into caches: sums in blocks, and copies of what a block reads.

A sum in blocks loads and stores its accumulator between them: the order of its terms stays.
"""

from __future__ import annotations

from collections.abc import Callable

from graphflow.compiler import kernel as K
from graphflow.compiler.kernel import Alloc, Block, Buffer, Expr, Fold, For, If, Kind, Load, Proc, Stmt, Store
from graphflow.compiler.rebuild import Substitution, map_blocks, map_expr, substitute_block
from graphflow.compiler.schedule.loops import find_loop, map_loop, require
from graphflow.graph.dim import Dim, Size, Symbol, minimum, substitute

Place = tuple[Buffer, tuple[Size, ...]]


def block_sum(proc: Proc, first: Symbol, var: Symbol, size: int, kept: Place) -> tuple[Proc, Symbol, Symbol]:
    """`for i: {acc = 0; for k: s; rest}  ->  for kb: for i: {acc = kb ? kept[i] : 0; for ki: s; if last: rest else kept[i] = acc}`

    `first`: the outermost of the independent loops i, whose innermost body is the sum over `var` and what is made
    of it; `kept`: where each sum waits between blocks, a place for each i.  Returns also the variables kb and ki.
    """
    loop = find_loop(proc, var)
    require(proc, loop.kind is Kind.SEQ, "block_sum", f"{var} is a {loop.kind.name} loop")
    count: Size = (loop.extent + size - 1) // size
    block = Symbol(f"{var.name}b", 0, count)
    start = Dim.of(block) * size
    rest = loop.extent % size
    extent: Size = size if isinstance(rest, int) and rest == 0 else minimum(loop.extent - start, size)
    inner = Symbol(f"{var.name}i", 0, extent)
    terms = For(inner, extent, Kind.SEQ, substitute_block(loop.body, {var: start + Dim.of(inner)}))
    buffer, at = kept

    def leaf(body: Block) -> Block:
        at_loop = next((i for i, s in enumerate(body) if isinstance(s, For) and s.var is var), None)
        require(proc, at_loop == 2 and isinstance(body[0], Alloc) and isinstance(body[1], Store), "block_sum", "the body is not one sum and what is made of it")
        assert isinstance(body[0], Alloc) and isinstance(body[1], Store)
        acc = body[0].buffer
        begin = If(K.index(Dim.of(block)) < 1, (body[1],), (Store(acc, (), Load(buffer, at)),))
        end = If(K.index(count) <= K.index(Dim.of(block) + 1), body[3:], (Store(buffer, at, Load(acc, ())),))
        return (body[0], begin, terms, end)

    outer = find_loop(proc, first)
    blocked = For(block, count, Kind.SEQ, (_map_leaf(outer, leaf),))
    return map_loop(proc, first, lambda _: (blocked,)), block, inner


def _map_leaf(loop: For, leaf: Callable[[Block], Block]) -> For:
    """The nest with the innermost body replaced."""
    inner = loop.body[0] if len(loop.body) == 1 else None
    if isinstance(inner, For) and inner.kind is Kind.ANY:
        return For(loop.var, loop.extent, loop.kind, (_map_leaf(inner, leaf),))
    return For(loop.var, loop.extent, loop.kind, leaf(loop.body))


def pack(proc: Proc, block: Symbol, source: Buffer, target: Place, rows: tuple[Symbol, Size], columns: tuple[Symbol, Size]) -> tuple[Proc, Symbol]:
    """`for kb: s[source[..k..j..]]  ->  for kb: {for r: for c: target[.., r, c] = source[..r..c..]; s[target[.., k, j]]}`

    `rows`, `columns`: the loops inside over the part of `source` that a block reads, and their extents; `target`: where
    the copy lies, its index without the last two axes.  Returns also the variable c.
    """
    loop = find_loop(proc, block)
    found = [e for e in K.loads(loop.body) if e.buffer is source]
    require(proc, len({e.at for e in found}) == 1 and all(e.where is None for e in found), "pack", f"{source} is not read at one index")
    r, c = Symbol("r", 0, rows[1]), Symbol("c", 0, columns[1])
    moved: dict[Symbol, Size] = {rows[0]: Dim.of(r), columns[0]: Dim.of(c)}
    value = Load(source, tuple(substitute(i, moved) for i in found[0].at))
    buffer, lead = target
    copy = For(r, rows[1], Kind.ANY, (For(c, columns[1], Kind.ANY, (Store(buffer, (*lead, Dim.of(r), Dim.of(c)), value),)),))
    packed = Load(buffer, (*lead, Dim.of(rows[0]), Dim.of(columns[0])))

    def read(e: Expr) -> Expr:
        return packed if isinstance(e, Load) and e.buffer is source else e

    def rebuild(body: Block) -> Block:
        return tuple(_with_exprs(map_blocks(s, rebuild), lambda e: map_expr(e, read)) for s in body)

    return map_loop(proc, block, lambda loop: (For(block, loop.extent, loop.kind, (copy, *rebuild(loop.body))),)), c


def _with_exprs(s: Stmt, fn: Callable[[Expr], Expr]) -> Stmt:
    if isinstance(s, Fold):
        return Fold(s.monoid, s.buffer, s.at, tuple(map(fn, s.values)))
    if isinstance(s, Store):
        return Store(s.buffer, s.at, fn(s.value))
    return s


def version(proc: Proc, var: Symbol, cond: Expr) -> tuple[Proc, Symbol]:
    """`for i: s  ->  if cond: for i: s else: for i': s`; also the variable of the second loop."""
    loop = find_loop(proc, var)
    other = Symbol(var.name, 0, loop.extent)
    body = Substitution({var: Dim.of(other)}, fresh=True).block(loop.body)
    second = For(other, loop.extent, loop.kind, body)
    return map_loop(proc, var, lambda loop: (If(cond, (loop,), (second,)),)), other
