"""Kernels that write their result over an operand."""

from __future__ import annotations

from dataclasses import replace

from graphflow.compiler import kernel as K
from graphflow.compiler.lower import Lowered
from graphflow.compiler.rebuild import Substitution
from graphflow.graph.dim import Size
from graphflow.graph.variable import Variable


def in_place(one: Lowered, old: K.Buffer, root: Variable) -> bool:
    """May `old` be overwritten by the kernel's result `root`?  Only if each element is read just where it is written, before."""
    new = next(p.buffer for p in one.params if p.root is root)
    if old.shape != new.shape:
        return False
    places = [s.at for s in K.statements(one.proc.body) if isinstance(s, K.Store) and s.buffer is new]
    return len(places) == 1 and _reads_before(one.proc.body, old, new, places[0])


def _reads_before(body: K.Block, old: K.Buffer, new: K.Buffer, at: tuple[Size, ...]) -> bool:
    """All loads of `old` stand in the block of the one store to `new`, before it, at the same index."""
    home = next((b for b in _all_blocks(body) if any(isinstance(s, K.Store) and s.buffer is new for s in b)), ())
    allowed = 0
    for s in home:
        for e in K.own_exprs(s):
            allowed += sum(isinstance(x, K.Load) and x.buffer is old and x.at == at for x in K.subexprs(e))
        if isinstance(s, K.Store) and s.buffer is new:
            break
    return allowed == sum(x.buffer is old for x in K.loads(body))


def _all_blocks(body: K.Block) -> list[K.Block]:
    found = [body]
    for s in body:
        for inner in K.blocks(s):
            found.extend(_all_blocks(inner))
    return found


def merge(one: Lowered, old: K.Buffer, root: Variable) -> Lowered:
    """Make reads of `old` reads of the buffer of `root`: the kernel works in place."""
    new = next(p for p in one.params if p.root is root)
    over = next(p.root for p in one.params if p.buffer is old)
    both = replace(new.buffer, mode=K.Mode.INOUT)
    params = [replace(p, buffer=both, over=over) if p is new else p for p in one.params if p.buffer is not old]
    body = Substitution({}, {old: (both, ()), new.buffer: (both, ())}).block(one.proc.body)
    return replace(one, proc=replace(one.proc, body=body, params=tuple(p.buffer for p in params)), params=params)
