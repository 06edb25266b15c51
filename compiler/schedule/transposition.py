"""Elementwise kernels that read one operand across its rows: square blocks turned in registers.

Without this each vector of such an operand is gathered element by element, from as many cache lines.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphflow.compiler import kernel as K
from graphflow.compiler.kernel import (
    Alloc,
    Block,
    Buffer,
    Expr,
    For,
    Kind,
    Let,
    Load,
    Proc,
    Space,
    Stmt,
    Store,
    Transpose,
)
from graphflow.compiler.rebuild import map_expr
from graphflow.compiler.schedule.distribute import is_straight
from graphflow.compiler.schedule.loops import find_loop, map_loop
from graphflow.compiler.schedule.rewrites import interchange, order, set_kind
from graphflow.compiler.schedule.strategies import perfect_nest, stride_of
from graphflow.compiler.schedule.tiling import tile
from graphflow.compiler.target.machine import Machine
from graphflow.graph.dim import Dim, Size, Symbol, substitute

MAX_STATEMENTS = 8  # of a body that is written out for each row of a block


@dataclass(frozen=True)
class Turned:
    """Loads that run along `rows`, while the stores run along `columns`; blocks are `width` x `width`."""

    rows: Symbol
    columns: Symbol
    loads: tuple[Load, ...]
    width: int


def find_turned(proc: Proc, machine: Machine) -> Turned | None:
    """The loops and loads of a kernel this is good for."""
    nest = perfect_nest(proc)
    if len(nest) < 2 or len(nest[-1].body) > MAX_STATEMENTS or not all(isinstance(s, Let | Store) for s in nest[-1].body):
        return None
    columns = nest[-1].var
    if any(stride_of(s, columns) != 1 for s in K.statements(proc.body) if isinstance(s, Store)):
        return None
    loads = [e for e in K.loads(nest[-1].body) if e.buffer.space is Space.GLOBAL]
    for loop in reversed(nest[:-1]):
        turned = tuple(e for e in loads if stride_of(e, loop.var) == 1 and stride_of(e, columns) not in (0, 1, None))
        if turned and all(e.where is None and e.buffer.dtype.kind != "b" for e in turned):
            widths = {machine.lanes(e.buffer.dtype) for e in turned}
            width = widths.pop()
            return None if widths or width == 1 else Turned(loop.var, columns, turned, width)
    return None


def turn_blocks(proc: Proc, found: Turned) -> Proc:
    """`for i: for j: s[b[j, i]]  ->  for blocks: {t = b[j.., i..]; u = transpose t; for i: for j: s[u[i, j]]}`; rests as they are."""
    others = [x.var for x in perfect_nest(proc) if x.var not in (found.rows, found.columns)]
    proc = order(proc, *others, found.rows, found.columns)
    proc, outer, rows, _ = tile(proc, found.rows, found.width)
    if rows is not None:
        proc = interchange(proc, rows, found.columns)
        proc, _, columns, rest = tile(proc, found.columns, found.width)
        if columns is not None:
            proc = map_loop(proc, columns, lambda loop: _block(loop, found))
        if rest is not None:
            (inner,) = find_loop(proc, rest).body
            assert isinstance(inner, For)
            proc = interchange(proc, rest, inner.var)
    return set_kind(proc, others[0] if others else outer, Kind.TEAM)


def _block(columns: For, found: Turned) -> Block:
    """The statements of one whole block: `for columns: for rows: body`."""
    (rows,) = columns.body
    assert isinstance(rows, For) and all(map(is_straight, rows.body))
    width = found.width
    seen: dict[tuple[Buffer, tuple[Size, ...]], Buffer] = {}
    head: list[Stmt] = []
    for e in [x for x in K.loads(rows.body) if x.buffer in {y.buffer for y in found.loads}]:
        if (e.buffer, e.at) in seen or stride_of(e, rows.var) != 1:
            continue
        across, along = (Buffer(name, e.buffer.dtype, (width, width), Space.REG) for name in ("across", "turned"))
        a, b = Symbol("a", 0, width), Symbol("b", 0, width)
        at = tuple(substitute(i, {columns.var: Dim.of(a), rows.var: Dim.of(b)}) for i in e.at)
        fill = For(b, width, Kind.LANES, (Store(across, (Dim.of(a), Dim.of(b)), Load(e.buffer, at)),))
        head += [Alloc(across), Alloc(along), For(a, width, Kind.UNROLL, (fill,)), Transpose(along, across)]
        seen[e.buffer, e.at] = along

    def turned(x: Expr) -> Expr:
        if isinstance(x, Load) and (x.buffer, x.at) in seen:
            return Load(seen[x.buffer, x.at], (Dim.of(rows.var), Dim.of(columns.var)))
        return x

    body = tuple(
        Let(s.var, map_expr(s.value, turned)) if isinstance(s, Let) else Store(s.buffer, s.at, map_expr(s.value, turned))
        for s in rows.body
        if isinstance(s, Let | Store)
    )
    return (*head, For(rows.var, width, Kind.UNROLL, (For(columns.var, width, Kind.LANES, body),)))
