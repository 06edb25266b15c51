"""Tiling a loop whose extent need not divide: full tiles get code of their own."""

from __future__ import annotations

from graphflow.compiler import kernel as K
from graphflow.compiler.kernel import For, If, Kind, Proc
from graphflow.compiler.rebuild import Substitution, substitute_block
from graphflow.compiler.schedule.loops import find_loop, map_loop, require
from graphflow.graph.dim import Dim, Size, Symbol


def tile(proc: Proc, var: Symbol, size: int, kind: Kind | None = None) -> tuple[Proc, Symbol, Symbol | None, Symbol | None]:
    """`for i in n: s  ->  for io in ceil(n/f): if whole: for ii in f: s  else: for ii in rest: s`

    Returns the variables of the loop over tiles, of a whole tile and of the rest (None where it cannot occur).
    """
    loop = find_loop(proc, var)
    require(proc, loop.kind in (Kind.ANY, Kind.SEQ), "tile", f"{var} is a {loop.kind.name} loop")
    n = loop.extent
    count: Size = (n + size - 1) // size
    outer = Symbol(f"{var.name}t", 0, count)
    start = Dim.of(outer) * size
    rest: Size = n % size  # only the last tile is not whole
    inner = Symbol(f"{var.name}i", 0, size)
    whole = (For(inner, size, loop.kind, substitute_block(loop.body, {var: start + Dim.of(inner)})),)
    never_whole = isinstance(n, int) and n < size
    if isinstance(rest, int) and rest == 0:
        made = For(outer, count, kind or loop.kind, whole)
        return map_loop(proc, var, lambda _: (made,)), outer, inner, None
    base: Size = n // size * size
    last = Symbol(f"{var.name}r", 0, rest)
    partly = (For(last, rest, loop.kind, Substitution({var: base + Dim.of(last)}, fresh=True).block(loop.body)),)
    if never_whole:
        made = For(outer, count, kind or loop.kind, partly)
        return map_loop(proc, var, lambda _: (made,)), outer, None, last
    is_whole = K.index(start + size) <= K.index(n)
    made = For(outer, count, kind or loop.kind, (If(is_whole, whole, partly),))
    return map_loop(proc, var, lambda _: (made,)), outer, inner, last


