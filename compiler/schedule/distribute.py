"""Distribute a loop over the statements of its body: the rewrite that makes register tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from graphflow.compiler.kernel import (
    Alloc,
    Block,
    Buffer,
    For,
    If,
    Kind,
    Let,
    Load,
    Proc,
    Space,
    Stmt,
    Store,
    Var,
    blocks,
    own_exprs,
    statements,
    subexprs,
)
from graphflow.compiler.rebuild import Substitution, bound_symbols, map_blocks, own_symbols
from graphflow.compiler.schedule.loops import find_loop, map_loop, owns_its_places, require, varying
from graphflow.graph.dim import Dim, Symbol

Segment = Stmt | list[Stmt]


def distribute(proc: Proc, var: Symbol, kind: Kind | None = None) -> Proc:
    """`for v: {alloc a; s; for k: t; u}  ->  alloc a[v]; for v: s; for k: for v: t; for v: u`

    `v` sinks through all loops but LANES and UNROLL loops of straight-line code; each run of
    straight-line code keeps one copy of it, over a fresh symbol of the same name.  A Let is not
    shared by two copies: index arithmetic is computed again, other values move to a register,
    and Lets that do not depend on `v` stay outside.  Distribute inner loops before outer ones.
    `kind`: of the loops this makes, by default that of the loop.

    Raises CompileError where the extent is not constant, where iterations are not known to be
    independent, or where an extent or condition around inner loops depends on `v`.
    """
    loop = find_loop(proc, var)
    require(proc, isinstance(loop.extent, int), "distribute", f"the extent {loop.extent} of {var} is not constant")
    independent = loop.kind in (Kind.ANY, Kind.LANES) or (loop.kind is Kind.UNROLL and owns_its_places(loop))
    require(proc, independent, "distribute", f"the iterations of the {loop.kind.name} loop over {var} are not known to be independent")
    made = replace(loop, kind=kind or loop.kind)
    return map_loop(proc, var, lambda loop: _Distribution(proc, made).block(loop.body))


def is_straight(s: Stmt) -> bool:
    """Code without loops other than LANES and UNROLL loops of such code."""
    if isinstance(s, For) and s.kind not in (Kind.LANES, Kind.UNROLL):
        return False
    return all(is_straight(t) or (isinstance(s, For) and isinstance(t, Alloc)) for part in blocks(s) for t in part) and not isinstance(s, Alloc)


class _Distribution:
    def __init__(self, proc: Proc, loop: For) -> None:
        self.proc = proc
        self.loop = loop
        self.varying = varying(loop)
        self.expanded: dict[Buffer, Buffer] = {}
        self.lets: dict[Symbol, Let] = {}  # the varying ones, in order
        self.registers: dict[Symbol, Buffer] = {}  # of those whose value moves from run to run
        runs = list(self._runs(loop.body))
        for run in runs:
            self.lets |= {s.var: s for s in run if isinstance(s, Let)}
        for run in runs:
            for let in self._borrowed(run):
                if _reads_memory(let):
                    self.registers[let.var] = Buffer(let.var.name, let.value.dtype, (loop.extent,), Space.REG)

    def _segments(self, body: Block) -> list[Segment]:
        """The statements of a block, straight-line ones that `v` is wrapped around in lists."""
        found: list[Segment] = []
        run: list[Stmt] = []
        for s in body:
            if is_straight(s) and not (isinstance(s, Let) and s.var not in self.varying) and not self._is_fixed_branch(s):
                run.append(s)
                continue
            if run and not isinstance(s, Alloc | Let):  # those two may stand before the run
                found.append(run)
                run = []
            found.append(s)
        return [*found, run] if run else found

    def _is_fixed_branch(self, s: Stmt) -> bool:
        """An If that goes the same way for all `v`: it stays one, with the copies inside."""
        return isinstance(s, If) and not own_symbols(s) & self.varying and not any(isinstance(e, Load) for e in subexprs(s.cond))

    def _runs(self, body: Block) -> Iterator[list[Stmt]]:
        """All runs in order; notes the Allocs between them and checks what control flow depends on."""
        for s in self._segments(body):
            if isinstance(s, list):
                yield s
            elif isinstance(s, Alloc):
                b = s.buffer
                self.expanded[b] = Buffer(b.name, b.dtype, (self.loop.extent, *b.shape), b.space, b.mode)
            elif not isinstance(s, Let):
                read = {e.buffer for x in own_exprs(s) for e in subexprs(x) if isinstance(e, Load)}
                fixed = not own_symbols(s) & self.varying and not read & self.expanded.keys()
                require(self.proc, fixed, "distribute", f"control flow around inner loops depends on {self.loop.var}")
                for part in blocks(s):
                    yield from self._runs(part)

    def _borrowed(self, run: Sequence[Stmt]) -> list[Let]:
        """The Lets of other runs that `run` needs, in order."""
        own = bound_symbols(tuple(run))
        needed: set[Symbol] = set()
        pending = [x for s in statements(tuple(run)) for x in own_symbols(s)]
        while pending:
            x = pending.pop()
            if x in self.lets and x not in own and x not in needed:
                needed.add(x)
                if not _reads_memory(self.lets[x]):
                    pending += own_symbols(self.lets[x])
        return [let for x, let in self.lets.items() if x in needed]

    def block(self, body: Block) -> Block:
        out: list[Stmt] = []
        for s in self._segments(body):
            if isinstance(s, list):
                out += self._copy(s)
            elif isinstance(s, Alloc):
                out.append(Alloc(self.expanded[s.buffer]))
            else:
                out.append(map_blocks(s, self.block))
        return tuple(out)

    def _copy(self, run: Sequence[Stmt]) -> list[Stmt]:
        """One copy of the loop, around `run`."""
        v = Symbol(self.loop.var.name, 0, self.loop.extent)
        at = (Dim.of(v),)
        borrowed = [Let(t.var, Load(self.registers[t.var], at)) if t.var in self.registers else t for t in self._borrowed(run)]
        body: list[Stmt] = []
        for s in run:
            body.append(s)
            if isinstance(s, Let) and s.var in self.registers:
                body.append(Store(self.registers[s.var], at, Var(s.var, s.value.dtype)))
        here = Substitution({self.loop.var: at[0]}, {b: (new, at) for b, new in self.expanded.items()})
        here.fresh = True
        head = here.block(tuple(borrowed))
        here.fresh = False
        kept = [Alloc(self.registers[s.var]) for s in run if isinstance(s, Let) and s.var in self.registers]
        return [*kept, For(v, self.loop.extent, self.loop.kind, head + here.block(tuple(body)))]


def _reads_memory(let: Let) -> bool:
    return any(isinstance(e, Load) for e in subexprs(let.value))
