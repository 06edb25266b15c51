"""Random kernels under random legal rewrites keep every bit, in memory and of failed checks."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphflow.compiler.interpret import run
from graphflow.compiler.kernel import (
    F32,
    I32,
    I64,
    Alloc,
    Buffer,
    Check,
    Fold,
    For,
    If,
    Kind,
    Let,
    Load,
    Mask,
    Mode,
    Proc,
    Space,
    Store,
    Var,
    call,
    cast,
    const,
    index,
    statements,
)
from graphflow.compiler.print import to_text
from graphflow.compiler.schedule.loops import loops
from graphflow.compiler.schedule.rewrites import cut, distribute, interchange, join, set_kind, split
from graphflow.compiler.verify import unproven_accesses, verify
from graphflow.graph.dim import Dim, Size, Symbol, evaluate
from graphflow.graph.errors import CompileError

SEQ, ANY = Kind.SEQ, Kind.ANY



def loop(name: str, extent: Size, body: Callable[[Size], tuple], kind: Kind = ANY) -> For:
    var = Symbol(name, 0, extent)
    return For(var, extent, kind, body(Dim.of(var)))


def reg(name, shape=(), dtype=F32):
    return Buffer(name, dtype, shape, Space.REG)


def let(name, value, body):
    var = Symbol(name)
    return (Let(var, value), *body(Var(var, value.dtype)))


# --- kernels ----------------------------------------------------------------------------------
def dense(m, n, k):
    x, w, b, y = Buffer("x", F32, (m, k)), Buffer("w", F32, (k, n)), Buffer("b", F32, (n,)), Buffer("y", F32, (m, n), mode=Mode.OUT)
    acc = reg("acc")

    def element(i, j):
        return (
            Alloc(acc),
            Store(acc, (), const(F32, 0)),
            loop("k", k, lambda k: (Fold("dot", acc, (), (Load(x, (i, k)), Load(w, (k, j)))),), SEQ),
            Store(y, (i, j), call("max", Load(acc, ()) + Load(b, (j,)), 0)),
        )

    return (x, w, b, y), (loop("i", m, lambda i: (loop("j", n, lambda j: element(i, j)),)),)


def elementwise(m, n, _):
    x, b, y = Buffer("x", F32, (m, n)), Buffer("b", F32, (m,)), Buffer("y", F32, (m, n), mode=Mode.OUT)

    def element(i, j):
        def rest(t):
            return (
                Check(index(i) < index(n), 0),
                Store(y, (i, j), t * t + t),
                Mask(index(1) <= index(i), (Fold("add", y, (i, j), (Load(x, (i - 1, j)),)),)),
            )

        return let("t", Load(x, (i, j)) * Load(b, (i,)), rest)

    return (x, b, y), (loop("i", m, lambda i: (loop("j", n, lambda j: element(i, j)),)),)


def rows(m, n, _):
    """Per row: the maximum, a sum in four interleaved parts, a tree over them, and a scaled copy."""
    x, y = Buffer("x", F32, (m, n)), Buffer("y", F32, (m, n), mode=Mode.OUT)
    top, part = reg("top"), reg("part", (4,))

    def partial(i, r, lane):
        at = 4 * r + lane
        masked = Mask(index(at) < index(n), let("e", Load(x, (i, at)) - Load(top, ()), lambda e: (Fold("add", part, (lane,), (e,)), Store(y, (i, at), e))))
        return (masked,)

    def row(i):
        return (
            Alloc(top),
            Store(top, (), const(F32, -np.inf)),
            loop("j", n, lambda j: (Fold("max", top, (), (Load(x, (i, j)),)),), SEQ),
            Alloc(part),
            loop("l", 4, lambda lane: (Store(part, (lane,), const(F32, 0)),)),
            loop("r", (n + 3) // 4, lambda r: (loop("l", 4, lambda lane: partial(i, r, lane)),), SEQ),
            loop("l", 2, lambda lane: (Fold("add", part, (lane,), (Load(part, (lane + 2,)),)),)),
            loop("l", 1, lambda lane: (Fold("add", part, (lane,), (Load(part, (lane + 1,)),)),)),
            *let("s", Load(part, (0,)), lambda s: (loop("j", n, lambda j: (Store(y, (i, j), Load(y, (i, j)) / s),)),)),
        )

    return (x, y), (loop("i", m, row),)


def columns(m, n, k):
    """Sums over the outer axes of x[m, k, n], in order."""
    x, y = Buffer("x", F32, (m, k, n)), Buffer("y", F32, (n,), mode=Mode.OUT)
    acc = reg("acc")

    def column(j):
        fold = loop("i", m, lambda i: (loop("k", k, lambda k: (Fold("add", acc, (), (Load(x, (i, k, j)),)),), SEQ),), SEQ)
        return (Alloc(acc), Store(acc, (), const(F32, 0)), fold, Store(y, (j,), Load(acc, ())))

    return (x, y), (loop("j", n, column),)


def window(m, n, _):
    """A 3-wide convolution along the rows, zero outside, read through guarded loads; and a gather."""
    x, w, where, y = Buffer("x", F32, (m, n)), Buffer("w", F32, (3,)), Buffer("where", I64, (m,)), Buffer("y", F32, (m, n), mode=Mode.OUT)
    acc = reg("acc")
    at = Symbol("at", 0, m)

    def element(i, j):
        def tap(q):
            inside = (index(0) <= index(j + q - 1)) & (index(j + q - 1) < index(n))
            return let("inside", inside, lambda ok: (Fold("dot", acc, (), (Load(x, (Dim.of(at), j + q - 1), ok), Load(w, (q,)))),))

        return (Alloc(acc), Store(acc, (), const(F32, 0)), loop("q", 3, tap, SEQ), Store(y, (i, j), Load(acc, ())))

    def row(i):
        clamped = call("max", const(I64, 0), call("min", index(m - 1), Load(where, (i,))))
        return (Let(at, clamped), loop("j", n, lambda j: element(i, j)))

    return (x, w, where, y), (loop("i", m, row),)


def integers(m, n, _):
    """A branch, an integer fold, and values carried across an inner loop."""
    x, y, z = Buffer("x", I32, (m, n)), Buffer("y", F32, (m,), mode=Mode.OUT), Buffer("z", I32, (m, n), mode=Mode.INOUT)
    count = reg("count", dtype=I32)

    def row(i):
        def rest(first):
            return (
                loop("j", n, lambda j: (Fold("add", count, (), (Load(x, (i, j)) * first,)), Store(z, (i, j), Load(z, (i, j)) + first)), SEQ),
                If(index(i) < 2, (Store(y, (i,), cast(F32, Load(count, ()))),), (Store(y, (i,), cast(F32, first)),)),
            )

        return (Alloc(count), Store(count, (), const(I32, 3)), *let("first", Load(x, (i, 0)) + Load(z, (i, 0)), rest))

    return (x, y, z), (loop("i", m, row),)


MAKERS = (dense, elementwise, rows, columns, window, integers)


@dataclass
class Case:
    proc: Proc
    dims: dict[Symbol, int]

    def bits(self, proc: Proc) -> list[bytes]:
        """What `proc` leaves in memory (and the sites that failed), for fixed inputs."""
        rng = np.random.default_rng(7)
        arrays = {}
        for p in proc.params:
            shape = tuple(evaluate(s, self.dims) for s in p.shape)
            arrays[p] = (rng.standard_normal(shape) * 3).astype(p.dtype)
        failed = run(proc, arrays, self.dims)
        return [*(arrays[p].tobytes() for p in proc.params), bytes(sorted(failed))]


def make_case(rng: random.Random) -> Case:
    """One of the kernels with odd sizes, each constant or a dim."""
    maker = rng.choice(MAKERS)
    sizes, dims = [], {}
    for name in "mnk":
        size = rng.randint(1, 9)
        if rng.random() < 0.5:
            symbol = Symbol(name.upper(), 1)
            dims[symbol] = size
            sizes.append(Dim.of(symbol))
        else:
            sizes.append(size)
    params, body = maker(*sizes)
    return Case(Proc(maker.__name__, tuple(dims), params, body, sites=("site",)), dims)


# --- random rewrites ------------------------------------------------------------------------------
def random_rewrite(proc: Proc, rng: random.Random) -> tuple[str, Proc]:
    """A rewrite at a random place; raises CompileError where it is not legal."""
    found = list(loops(proc.body))
    one = rng.choice(found)
    inside = [s for s in one.body if isinstance(s, For)]
    other = (rng.choice(inside) if inside else rng.choice(found)).var
    name = rng.choice(["exact", "cut", "mask", "cut at", "kind", "kind", "interchange", "join", "distribute", "distribute"])
    match name:
        case "exact" | "cut" | "mask":
            return name, split(proc, one.var, rng.choice([1, 2, 3, 4]), name)[0]
        case "cut at":
            return name, cut(proc, one.var, rng.choice([0, 1, one.extent]))[0]
        case "kind":
            kind = rng.choice(list(Kind))
            return kind.name, set_kind(proc, one.var, kind)
        case "interchange":
            return name, interchange(proc, one.var, other)
        case "join":
            return name, join(proc, one.var, other)[0]
    return name, distribute(proc, one.var)


def rewrite_at_random(case: Case, rng: random.Random, steps: int) -> tuple[Proc, Counter]:
    proc, done = case.proc, Counter()
    for _ in range(steps):
        try:
            name, new = random_rewrite(proc, rng)
        except CompileError:
            continue
        if sum(1 for _ in statements(new.body)) <= 60:
            proc = new
            done[name] += 1
            verify(proc)
            if not done["join"] and done["mask"] <= 1:  # the prover combines two facts, and none inside a division
                assert unproven_accesses(proc) == [], to_text(proc)
    return proc, done


@pytest.mark.smoke
@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_random_rewrites_keep_every_bit(rng):
    case = make_case(rng)
    assert unproven_accesses(case.proc) == []
    proc, _ = rewrite_at_random(case, rng, steps=12)
    assert case.bits(proc) == case.bits(case.proc), to_text(proc)


def test_random_rewrites_use_all_of_the_vocabulary():
    done = Counter()
    for seed in range(100):
        rng = random.Random(seed)
        done += rewrite_at_random(make_case(rng), rng, steps=12)[1]
    assert all(done[name] >= 3 for name in ("exact", "cut", "mask", "cut at", "interchange", "join", "distribute", "LANES", "UNROLL", "TEAM", "SEQ", "ANY")), done
