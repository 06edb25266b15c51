"""Loops by name: finding them, rebuilding the path to them, and when their iterations are independent.

A loop is named by its variable.  Trees are immutable: `map_loop` rebuilds the path from the root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from graphflow.compiler.bounds import linear_in, proves
from graphflow.compiler.kernel import (
    Block,
    Buffer,
    Fold,
    For,
    If,
    Kind,
    Let,
    Load,
    Mode,
    Proc,
    Space,
    Store,
    blocks,
    loads,
    own_exprs,
    statements,
    subexprs,
)
from graphflow.compiler.rebuild import allocated, bound_symbols, map_blocks, own_symbols
from graphflow.graph.dim import Dim, Size, Symbol, symbols_of
from graphflow.graph.errors import CompileError

INDEPENDENT = (Kind.ANY, Kind.TEAM, Kind.LANES)


def require(proc: Proc, ok: bool, rewrite: str, message: str) -> None:
    """The precondition of a rewrite: raises CompileError naming the kernel where it does not hold."""
    if not ok:
        raise CompileError(f"kernel {proc.name}: {rewrite}: {message}")


def loops(body: Block) -> Iterator[For]:
    """All loops of a block, outer before inner."""
    return (s for s in statements(body) if isinstance(s, For))


def find_loop(proc: Proc, var: Symbol) -> For:
    """The loop over `var`; raises CompileError where there is none, or more than one."""
    found = [loop for loop in loops(proc.body) if loop.var is var]
    require(proc, len(found) == 1, "find", f"{len(found)} loops over {var}")
    return found[0]


def map_loop(proc: Proc, var: Symbol, fn: Callable[[For], Block]) -> Proc:
    """The kernel with the loop over `var` replaced by the statements `fn` makes of it."""
    loop = find_loop(proc, var)
    made = fn(loop)

    def rebuild(body: Block) -> Block:
        if loop in body:
            at = body.index(loop)
            return body[:at] + made + body[at + 1 :]
        new = tuple(map_blocks(s, rebuild) for s in body)
        return new if any(a is not b for a, b in zip(new, body, strict=True)) else body

    return replace(proc, body=rebuild(proc.body))


def around(proc: Proc, var: Symbol) -> list[For]:
    """The loops around the loop over `var`, outermost first."""

    def search(body: Block, path: list[For]) -> list[For] | None:
        for s in body:
            if isinstance(s, For) and s.var is var:
                return path
            inside = [*path, s] if isinstance(s, For) else path
            for part in blocks(s):
                if (found := search(part, inside)) is not None:
                    return found
        return None

    return search(proc.body, []) or []


def accesses(body: Block) -> Iterator[tuple[Buffer, tuple[Size, ...]]]:
    """All places of a block that are read or written."""
    for s in statements(body):
        if isinstance(s, Store | Fold):
            yield s.buffer, s.at
    for e in loads(body):
        yield e.buffer, e.at


def indexes_registers(loop: For) -> bool:
    """Does the loop variable stand in the index of a register?"""
    return any(b.space is Space.REG and any(loop.var in symbols_of(i) for i in at) for b, at in accesses(loop.body))


def varying(loop: For) -> set[Symbol]:
    """The loop variable and the Lets inside that may differ between iterations."""
    found = {loop.var}
    for s in statements(loop.body):
        if isinstance(s, Let):
            fixed = all(e.buffer.space is Space.GLOBAL and e.buffer.mode is Mode.IN for e in loads((s,)))
            if not fixed or own_symbols(s) & found:
                found.add(s.var)
    return found


def steers(loop: For) -> bool:
    """Does an extent or the condition of an If inside depend on the iteration?"""
    symbols, local = varying(loop), allocated(loop.body)
    control = [s for s in statements(loop.body) if isinstance(s, For | If)]
    read = {e.buffer for s in control for x in own_exprs(s) for e in subexprs(x) if isinstance(e, Load)}
    return any(own_symbols(s) & symbols for s in control) or bool(read & local)


def owns_its_places(loop: For, moving: For | None = None) -> bool:
    """Does each iteration of `loop` touch places of its own, so that any order of them gives the same?

    Proved where, for each buffer written inside that outlives an iteration, all accesses share on some
    axis an index `slope * var + fixed + rest` with `0 <= rest < slope`, `fixed` the same while `moving`
    (by default the loop) runs.  Buffers are taken to be distinct memory.
    """
    inside, local = bound_symbols(loop.body), allocated(loop.body)
    inside |= {moving.var} if moving is not None else set()
    written = {s.buffer for s in statements(loop.body) if isinstance(s, Store | Fold)} - local
    touched: dict[Buffer, list[tuple[Size, ...]]] = {}
    for b, at in accesses(loop.body):
        touched.setdefault(b, []).append(at)
    return all(any(_separates(axis, loop.var, inside) for axis in zip(*touched[b], strict=True)) for b in written)


def _separates(indices: tuple[Size, ...], var: Symbol, inside: set[Symbol]) -> bool:
    slopes: set[Size] = set()
    fixed: set[Size] = set()
    for i in indices:
        found = linear_in(i, var)
        if found is None or not isinstance(found[0], int) or found[0] <= 0:
            return False
        slope, base = found
        terms = base.terms.items() if isinstance(base, Dim) else ()
        rest = sum((Dim({mono: c}) for mono, c in terms if symbols_of(Dim({mono: c})) & inside), start=0)
        if var in symbols_of(base) or not proves(rest) or not proves(slope - 1 - rest):
            return False
        slopes.add(slope)
        fixed.add(base - rest)
    return len(slopes) == len(fixed) == 1
