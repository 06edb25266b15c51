"""What each rewrite makes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from graphflow.compiler.kernel import (
    F32,
    Alloc,
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
    Var,
    call,
    cast,
    const,
    index,
)
from graphflow.compiler.print import to_text
from graphflow.compiler.rebuild import allocated, bound_symbols
from graphflow.compiler.schedule.loops import loops
from graphflow.compiler.schedule.rewrites import (
    cut,
    distribute,
    find_loop,
    interchange,
    join,
    order,
    set_kind,
    split,
    substitute_block,
)
from graphflow.compiler.verify import unproven_accesses, verify
from graphflow.graph.dim import Dim, Size, Symbol
from graphflow.graph.errors import CompileError

SEQ, ANY, LANES, UNROLL, TEAM = Kind.SEQ, Kind.ANY, Kind.LANES, Kind.UNROLL, Kind.TEAM


def loop(name: str, extent: Size, body: Callable[[Size], tuple], kind: Kind = ANY) -> For:
    var = Symbol(name, 0, extent)
    return For(var, extent, kind, body(Dim.of(var)))


def reg(name, shape=(), dtype=F32):
    return Buffer(name, dtype, shape, Space.REG)


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


# --- golden texts -----------------------------------------------------------------------------------
B = Symbol("B")


def dense_784_300() -> tuple[Proc, Symbol, Symbol]:
    params, body = dense(Dim.of(B), 300, 784)
    proc = Proc("dense", (B,), params, body)
    i, j, _ = loops(proc.body)
    return proc, i.var, j.var


TILE = """\
kernel dense[B](x f32[B,784] in, w f32[784,300] in, b f32[300] in, y f32[B,300] out):
  for jo in 5, io in B//6:
    acc f32[6,4,16] reg
    for ii in 6 unroll, jio in 4 unroll, jii in 16 lanes: acc[ii,jio,jii] = 0.0
    for k in 784 seq, ii in 6 unroll, jio in 4 unroll:
      for jii in 16 lanes: acc[ii,jio,jii] ~ x[6*io+ii,k], (w[k,64*jo+16*jio+jii] where 64*jo+16*jio+jii < 300 else 0.0)
    for ii in 6 unroll, jio in 4 unroll, jii in 16 lanes:
      mask 64*jo+16*jio+jii < 300: y[6*io+ii,64*jo+16*jio+jii] = max(0.0, acc[ii,jio,jii] + b[64*jo+16*jio+jii])
  for i in B-6*(B//6), jo in 5, jio in 4, jii in 16:
    acc f32[] reg
    acc = 0.0
    for k in 784 seq: acc ~ x[6*(B//6)+i,k], (w[k,64*jo+16*jio+jii] where 64*jo+16*jio+jii < 300 else 0.0)
    mask 64*jo+16*jio+jii < 300: y[6*(B//6)+i,64*jo+16*jio+jii] = max(0.0, acc + b[64*jo+16*jio+jii])
"""


@pytest.mark.smoke
def test_the_register_tile_of_a_dense_layer():
    proc, i, j = dense_784_300()
    proc, panel, column = split(proc, j, 64, "mask")
    proc, vector, lane = split(proc, column, 16)
    proc, tile, row = split(proc, i, 6, "cut")
    proc = order(proc, panel, tile, row, vector, lane)
    for var, kind in ((lane, LANES), (vector, UNROLL), (row, UNROLL)):
        proc = distribute(set_kind(proc, var, kind), var)
    verify(proc, final=False)
    assert to_text(proc) == TILE
    assert unproven_accesses(proc) == []


def body_text(proc: Proc) -> list[str]:
    return [line.removeprefix("  ") for line in to_text(proc).splitlines()[1:]]


X, Y = Buffer("x", F32, (12,)), Buffer("y", F32, (12,), mode=Mode.OUT)


def one_loop(body, extent=12, kind=ANY, params=(X, Y)):
    made = loop("i", extent, body, kind)
    return Proc("k", (), params, (made,)), made.var


def copy(i):
    return (Store(Y, (i,), Load(X, (i,))),)


def test_split():
    proc, i = one_loop(copy)
    assert body_text(split(proc, i, 4)[0]) == ["for io in 3, ii in 4: y[4*io+ii] = x[4*io+ii]"]
    assert body_text(split(proc, i, 5, "cut")[0]) == ["for io in 2, ii in 5: y[5*io+ii] = x[5*io+ii]", "for i in 2: y[i+10] = x[i+10]"]
    assert body_text(split(proc, i, 5, "mask")[0]) == ["for io in 3, ii in 5: mask 5*io+ii < 12: y[5*io+ii] = x[5*io+ii]"]
    assert body_text(split(set_kind(proc, i, LANES), i, 4)[0]) == ["for io in 3 unroll, ii in 4 lanes: y[4*io+ii] = x[4*io+ii]"]
    assert body_text(split(set_kind(proc, i, TEAM), i, 4)[0]) == ["for io in 3 team, ii in 4: y[4*io+ii] = x[4*io+ii]"]


def test_split_makes_copies_of_everything_bound_in_the_second_nest():
    proc, i, _ = dense_784_300()
    proc, outer, inner = split(proc, i, 6, "cut")
    first, second = proc.body
    assert not bound_symbols((first,)) & bound_symbols((second,)) and not allocated((first,)) & allocated((second,))
    assert find_loop(proc, inner) in find_loop(proc, outer).body


def test_cut_names_both_parts():
    proc, i = one_loop(copy)
    proc, first, second = cut(proc, i, 8)
    assert body_text(proc) == ["for i in 8: y[i] = x[i]", "for i in 4: y[i+8] = x[i+8]"]
    assert [find_loop(proc, v).extent for v in (first, second)] == [8, 4]


def test_join_makes_linear_addresses_linear():
    flat = Buffer("flat", F32, (12,))
    m, n = Dim.of(Symbol("m")), 4
    y = Buffer("y", F32, (m, n), mode=Mode.OUT)
    nest = loop("i", m, lambda i: (loop("j", n, lambda j: (Store(y, (i, j), Load(flat, (n * i + j,))),)),))
    proc = Proc("k", (m.atom,), (flat, y), (nest,))
    proc, both = join(proc, nest.var, nest.body[0].var)
    assert body_text(proc) == ["for ij in 4*m: y[ij//4,ij-4*(ij//4)] = flat[ij]"]
    assert find_loop(proc, both).extent == 4 * m


def test_distribute_moves_values_to_registers_and_computes_indices_again():
    z = Buffer("z", F32, (3,))
    i, mirrored, t, u = Symbol("i", 0, 12), Symbol("p", 0, 12), Symbol("t"), Symbol("u")
    at = Dim.of(i)
    acc = reg("acc")
    body = (
        Let(mirrored, index(11 - at)),
        Let(t, Load(X, (Dim.of(mirrored),))),
        Let(u, Load(z, (2,))),
        Alloc(acc),
        Store(acc, (), Var(t, F32)),
        loop("k", 3, lambda k: (Fold("dot", acc, (), (Load(z, (k,)), Var(t, F32))),), SEQ),
        Store(Y, (Dim.of(mirrored),), Load(acc, ()) + Var(u, F32)),
    )
    proc = Proc("k", (), (X, z, Y), (For(i, 12, LANES, body),))
    proc = distribute(proc, i)
    verify(proc)
    assert body_text(proc) == [
        "let u f32 = z[2]",
        "acc f32[12] reg",
        "t f32[12] reg",
        "for i in 12 lanes:",
        "  let p<12 i64 = -i+11",
        "  let t_2 f32 = x[p]",
        "  t[i] = t_2",
        "  acc[i] = t_2",
        "for k in 3 seq, i in 12 lanes:",
        "  let t_2 f32 = t[i]",
        "  acc[i] ~ z[k], t_2",
        "for i in 12 lanes:",
        "  let p<12 i64 = -i+11",
        "  y[p] = acc[i] + u",
    ]


def test_substitution_replaces_symbols_in_indices_and_as_values():
    proc, i = one_loop(lambda i: (Store(Y, (i,), cast(F32, index(i * 2))), Store(Y, (i,), cast(F32, Var(i.atom)))))
    block = substitute_block(proc.body[0].body, {i: Dim.of(B) + 1})
    assert body_text(replace(proc, dims=(B,), body=block)) == ["y[B+1] = f32(2*B+2)", "y[B+1] = f32(B+1)"]


# --- refusals -----------------------------------------------------------------------------------------
def stencil():
    """Time steps: the order of the two loops matters though each step is independent inside."""
    y = Buffer("y", F32, (12,), mode=Mode.INOUT)
    steps = loop("t", 3, lambda t: (loop("i", 11, lambda i: (Store(y, (i,), Load(y, (i + 1,))),)),), SEQ)
    return Proc("k", (), (y,), (steps,)), steps.var, steps.body[0].var


def running_sum(i):
    return (Store(Y, (i,), Load(Y, (i - 1,), index(1) <= index(i)) + Load(X, (i,))),)


def triangle():
    y = Buffer("y", F32, (4, 4), mode=Mode.OUT)
    outer = loop("i", 4, lambda i: (loop("j", i, lambda j: (Store(y, (i, j), const(F32, 0)),)),))
    return Proc("k", (), (y,), (outer,)), outer.var, outer.body[0].var


def refusals():
    proc, i = one_loop(copy)
    pair, a, b = dense_784_300()
    steps, t, s = stencil()
    lower, p, q = triangle()
    k = list(loops(pair.body))[2].var
    total = one_loop(running_sum, kind=SEQ)
    branch = one_loop(lambda i: (If(index(i) < 2, copy(i)),))
    r = reg("r", (6,))
    registers = loop("l", 6, lambda n: (Store(r, (n,), const(F32, 0)),))
    tile = Proc("k", (), (), (Alloc(r), registers))
    tiled, outer, inner = split(proc, i, 4)
    laned = set_kind(tiled, inner, LANES)
    return [
        ("find: 0 loops over B", lambda: split(proc, B, 2)),
        ("split: 5 is not known to divide the extent 12", lambda: split(proc, i, 5)),
        ("split: 4 is not known to divide the extent B", lambda: split(pair, a, 4)),
        ("split: i has 12 iterations, fewer than 16", lambda: split(proc, i, 16, "cut")),
        ("split: the factor 0 is not positive", lambda: split(proc, i, 0)),
        ("split: no tail 'shift'", lambda: split(proc, i, 5, "shift")),
        ("split: l indexes registers", lambda: split(tile, registers.var, 4, "mask")),
        ("cut: 13 is not known to be in 0 .. 12", lambda: cut(proc, i, 13)),
        ("cut: B is not known to be in 0 .. 12", lambda: cut(proc, i, Dim.of(B))),
        ("cut: i is a TEAM loop", lambda: cut(set_kind(proc, i, TEAM), i, 2)),
        ("set_kind: LANES needs a constant extent, i has B", lambda: set_kind(pair, a, LANES)),
        ("set_kind: j is not the last outermost loop", lambda: set_kind(pair, b, TEAM)),
        ("set_kind: the iterations over i are not known to be independent", lambda: set_kind(*total, ANY)),
        ("set_kind: control flow inside depends on i", lambda: set_kind(*branch, LANES)),
        ("set_kind: there are LANES around or inside io", lambda: set_kind(laned, outer, LANES)),
        ("set_kind: l indexes registers", lambda: set_kind(tile, registers.var, SEQ)),
        ("interchange: the order of t and i may matter", lambda: interchange(steps, t, s)),
        ("interchange: the extent of j depends on i", lambda: interchange(lower, p, q)),
        ("interchange: j and k are not perfectly nested", lambda: interchange(pair, b, k)),
        ("interchange: a TEAM loop stays outermost", lambda: interchange(set_kind(pair, a, TEAM), a, b)),
        ("join: SEQ and ANY loops do not join", lambda: join(steps, t, s)),
        ("distribute: the extent B of i is not constant", lambda: distribute(pair, a)),
        ("distribute: the iterations of the SEQ loop over i", lambda: distribute(*total)),
        ("distribute: the iterations of the UNROLL loop over i", lambda: distribute(set_kind(*total, UNROLL), total[1])),
        ("distribute: control flow around inner loops depends on i", lambda: distribute(lower, p)),
    ]


@pytest.mark.parametrize(("message", "attempt"), refusals())
def test_refuses(message, attempt):
    with pytest.raises(CompileError) as e:
        attempt()
    assert message in str(e.value) and str(e.value).startswith("kernel ")


def test_sequential_loops_become_independent_where_that_is_proved():
    proc, i = one_loop(copy, kind=SEQ)
    assert find_loop(set_kind(proc, i, LANES), i).kind is LANES
    proc, outer, _ = split(proc, i, 4)
    assert find_loop(set_kind(proc, outer, ANY), outer).kind is ANY  # 4*io + ii: the inner part stays inside a step
