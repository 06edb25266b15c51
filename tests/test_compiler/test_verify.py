"""Each rule broken once, and what the algebra can prove about accesses."""

from __future__ import annotations

import numpy as np
import pytest

from graphflow.compiler.kernel import (
    BOOL,
    F32,
    F64,
    I32,
    I64,
    Alloc,
    Bits,
    Buffer,
    Call,
    Cast,
    Check,
    Const,
    Fold,
    For,
    If,
    Index,
    Kind,
    Let,
    Load,
    Mask,
    Mode,
    Proc,
    Select,
    Space,
    Store,
    Var,
    call,
    const,
    index,
)
from graphflow.compiler.verify import unproven_accesses, verify
from graphflow.graph.dim import Dim, Symbol
from graphflow.graph.errors import CompileError

N = Symbol("n")
n = Dim.of(N)
X, Y = Buffer("x", F32, (n, 8)), Buffer("y", F32, (n, 8), mode=Mode.OUT)
R = Buffer("r", F32, (8,), Space.REG)
ROW, COLUMN, V = Symbol("i", 0, n), Symbol("j", 0, 8), Symbol("v")
i, j = Dim.of(ROW), Dim.of(COLUMN)
zero = const(F32, 0)
x = Load(X, (i, j))
copy = Store(Y, (i, j), x)


def rows(*body, kind=Kind.ANY):
    return For(ROW, n, kind, body)


def lanes(*body, kind=Kind.LANES):
    return For(COLUMN, 8, kind, body)


def proc(*body, params=(X, Y), sites=()):
    return Proc("k", (N,), params, body, sites)


GOOD = {
    "tile": proc(rows(Alloc(R), lanes(Store(R, (j,), x)), For(V, 8, Kind.UNROLL, (Fold("add", R, (Dim.of(V),), (zero,)),)))),
    "team": proc(rows(lanes(copy), kind=Kind.TEAM)),
    "mask": proc(rows(lanes(Mask(index(j) < 3, (copy,))))),
    "let": proc(rows(lanes(Let(V, x), Store(Y, (i, j), Var(V, F32))))),
    "scatter": proc(rows(lanes(Let(V, index(7 - j)), Store(Y, (i, Dim.of(V)), x)))),
    "uniform": proc(rows(If(index(i) < 3, (lanes(copy),), (For(Symbol("l", 0, 8), 8, Kind.ANY, (Check(index(i) < 2, 0),)),)))),
    "function": proc(rows(lanes(Store(Y, (i, j), call("exp", x))))),
}


@pytest.mark.smoke
@pytest.mark.parametrize("name", GOOD)
def test_accepts(name):
    verify(GOOD[name])


other = Buffer("other", F32, (4,))
big = Buffer("big", F32, (n,), Space.REG)
inner_lanes = For(Symbol("l", 0, 4), 4, Kind.LANES, (copy,))
short = Symbol("s", 0, 3)
lane_value = Buffer("lane", BOOL, (), Space.REG)

BROKEN = [
    ("scope: i in i is not in scope", [lanes(copy)]),
    ("scope: v is not in scope", [rows(lanes(Store(Y, (i, j), Var(V, F32))))]),
    ("scope: v in i + v is not in scope", [rows(lanes(Store(Y, (i + Dim.of(V), j), x)))]),
    ("scope: other is not in scope", [rows(lanes(Store(Y, (i, j), Load(other, (0,)))))]),
    ("scope: r is not in scope", [rows(If(index(i) < 1, (Alloc(R),)), Store(R, (0,), zero))]),
    ("scope: i is bound while it is bound", [rows(rows(lanes(copy)))]),
    ("scope: r is allocated while it is in scope", [Alloc(R), rows(Alloc(R))]),
    ("dtype: a value for y is f64, not f32", [rows(lanes(Store(Y, (i, j), Cast(F64, x))))]),
    ("dtype: a value for y is i64, not f32", [rows(lanes(Fold("add", Y, (i, j), (index(i),))))]),
    ("dtype: dot folds 2 values, got 1", [rows(lanes(Fold("dot", Y, (i, j), (x,))))]),
    ("dtype: and does not take f32", [rows(lanes(Fold("and", Y, (i, j), (x,))))]),
    ("dtype: xor is no monoid", [rows(lanes(Fold("xor", Y, (i, j), (x,))))]),
    ("dtype: the condition is i64, not bool", [rows(If(index(i), (lanes(copy),)))]),
    ("dtype: the condition is f32, not bool", [rows(lanes(Mask(x, (copy,))))]),
    ("dtype: the operand is f32, not i64", [rows(Check(index(i) < 2, 0, zero))]),
    ("dtype: the condition of a load is f32", [rows(lanes(Store(Y, (i, j), Load(X, (i, j), zero))))]),
    ("dtype: the default of x is i64", [rows(lanes(Store(Y, (i, j), Load(X, (i, j), index(i) < 1, index(j)))))]),
    ("dtype: a load of x has a default but no condition", [rows(lanes(Store(Y, (i, j), Load(X, (i, j), None, zero))))]),
    ("dtype: the second side of select is i64", [rows(lanes(Store(Y, (i, j), Select(index(i) < 1, x, index(j)))))]),
    ("dtype: an operand of add is i64", [rows(lanes(Store(Y, (i, j), Call("add", (x, index(j)), F32))))]),
    ("dtype: muladd takes 3 operands, got 2", [rows(lanes(Store(Y, (i, j), Call("muladd", (x, x), F32))))]),
    ("dtype: idiv does not take f32", [rows(lanes(Store(Y, (i, j), call("idiv", x, x))))]),
    ("dtype: lt gives bool, not float32", [rows(lanes(Store(Y, (i, j), Call("lt", (x, x), F32))))]),
    ("dtype: frobnicate is no prim", [rows(lanes(Store(Y, (i, j), Call("frobnicate", (x,), F32))))]),
    ("dtype: the constant 1 is no float32", [rows(lanes(Store(Y, (i, j), Const(F32, 1))))]),
    ("dtype: the bits of float32 are not those of a float64", [rows(lanes(Let(V, Bits(F64, x))))]),
    ("dtype: v is float32, not int64", [rows(lanes(Let(V, x), Store(Y, (i, j), Cast(F32, Var(V, I64)))))]),
    ("dtype: v in v is float32, not an int64", [rows(lanes(Let(V, x), Store(Y, (i, Dim.of(V)), x)))]),
    ("rank: y has 2 axes, got 1 indices", [rows(lanes(Store(Y, (i,), x)))]),
    ("kind: the extent n of LANES is not constant", [rows(kind=Kind.LANES)]),
    ("kind: the extent n of UNROLL is not constant", [rows(kind=Kind.UNROLL)]),
    ("kind: LANES inside LANES", [rows(lanes(inner_lanes))]),
    ("kind: a TEAM loop is not outermost", [lanes(rows(copy, kind=Kind.TEAM), kind=Kind.ANY)]),
    ("kind: a TEAM loop is not the last", [rows(lanes(copy), kind=Kind.TEAM), Alloc(R)]),
    ("register: other is allocated in global", [Alloc(other)]),
    ("register: the shape of big is not constant", [Alloc(big)]),
    ("register: r is indexed by j", [Alloc(R), lanes(Store(R, (j,), zero), kind=Kind.SEQ)]),
    ("register: r is indexed by i", [Alloc(R), rows(Store(R, (i,), zero))]),
    ("mode: x is an input", [rows(lanes(Store(X, (i, j), zero)))]),
    ("write: all iterations of the ANY loop over i", [rows(lanes(Store(Y, (0, j), zero)))]),
    ("write: all iterations of the LANES loop over j", [Alloc(R), lanes(Fold("add", R, (0,), (zero,)))]),
    ("write: all iterations of the TEAM loop over i", [rows(lanes(Store(Y, (0, j), zero)), kind=Kind.TEAM)]),
    ("uniform: control flow depends on the lane j", [lanes(If(index(j) < 3, (Store(Y, (0, j), zero),)))]),
    ("uniform: control flow depends on the lane j", [lanes(Let(V, index(j) < 3), If(Var(V, BOOL), (Store(Y, (0, j), zero),)))]),
    ("uniform: control flow depends on the lane j", [lanes(For(Symbol("l", 0, 8), j, Kind.SEQ, ()))]),
    (
        "uniform: control flow depends on the lane j",
        [lanes(Alloc(lane_value), Store(lane_value, (), const(BOOL, True)), If(Load(lane_value, ()), (Store(Y, (0, j), zero),)))],
    ),
    ("bound: index 8 of axis 1 of y", [rows(Store(Y, (i, 8), zero))]),
    ("bound: s goes from 0 to 8", [For(short, 8, Kind.SEQ, ())]),
    ("bound: site 1 of 1", [rows(Check(index(i) < 2, 1))]),
]


@pytest.mark.parametrize(("message", "body"), BROKEN)
def test_rejects(message, body):
    with pytest.raises(CompileError) as e:
        verify(proc(*body, sites=("the only one",)))
    assert message in str(e.value)


def test_names_the_kernel_and_the_path():
    with pytest.raises(CompileError) as e:
        verify(proc(rows(lanes(Mask(index(j) < 3, (Store(Y, (i, j), Index(i)),))))))
    assert str(e.value).startswith("kernel k, for i in n / for j in 8 lanes / mask j < 3 / y[i,j] = i: dtype: ")


def test_parameters_are_global_and_given_once():
    with pytest.raises(CompileError, match="kernel k, its parameters: mode: parameter r is in reg"):
        verify(proc(params=(R,)))
    with pytest.raises(CompileError, match="scope: x is a parameter twice"):
        verify(proc(params=(X, X)))


def test_final_rules():
    with pytest.raises(CompileError, match="final: exp was not expanded"):
        verify(GOOD["function"], final=True)
    indexed = proc(Alloc(R), lanes(Store(R, (j,), zero), kind=Kind.ANY))
    verify(indexed)
    with pytest.raises(CompileError, match="register: r is indexed by j"):
        verify(indexed, final=True)
    verify(GOOD["tile"], final=True)


def test_idempotent_writes_through_a_let_of_the_loop_variable_count():
    half = Symbol("half", 0, n)
    verify(proc(rows(Let(half, index(i // 2)), lanes(Store(Y, (Dim.of(half), j), x)))))


def test_the_last_tile_may_store_where_no_other_does():
    tile, r, c = Symbol("t", 0, (n + 5) // 6), Symbol("r", 0, n % 6), Symbol("c", 0, 6)
    whole = 6 * Dim.of(tile) + Dim.of(c)
    last = n // 6 * 6 + Dim.of(r)
    stores = [For(v, v.hi, Kind.ANY, (Store(Y, (at, 0), zero),)) for v, at in ((c, whole), (r, last))]
    branch = If(index(6 * Dim.of(tile) + 6) <= index(n), (stores[0],), (stores[1],))
    tiled = proc(For(tile, (n + 5) // 6, Kind.TEAM, (branch,)))
    verify(tiled)
    assert unproven_accesses(tiled) == []
    with pytest.raises(CompileError, match="write: all iterations of the TEAM loop over t"):
        verify(proc(For(tile, (n + 5) // 6, Kind.TEAM, (stores[1],))))


# --- accesses in bounds -----------------------------------------------------------------------------
def unproven(*body, **kw):
    return [(u.buffer.name, u.axis, str(u.index)) for u in unproven_accesses(proc(*body, **kw))]


def test_unproven_accesses_are_listed_and_not_raised():
    assert unproven(rows(lanes(copy))) == []
    assert unproven(rows(lanes(Store(Y, (i, j), Load(X, (i + 1, j)))))) == [("x", 0, "i + 1")]
    assert unproven(rows(lanes(Store(Y, (i - 1, j), x)))) == [("y", 0, "i - 1")]
    text = str(unproven_accesses(proc(rows(lanes(Store(Y, (i, j + 1), x)))))[0])
    assert text == "for i in n / for j in 8 lanes / y[i,j+1] = x[i,j]: axis 1 of y: 0 <= j + 1 < 8"


def test_conditions_around_an_access_are_used():
    inside = (index(1) <= index(i)) & (index(j) < 7)
    moved = Load(X, (i - 1, j + 1))
    assert unproven(rows(lanes(Mask(inside, (Store(Y, (i, j), moved),))))) == []
    assert unproven(rows(lanes(Store(Y, (i, j), Load(X, (i - 1, j + 1), inside))))) == []
    assert unproven(rows(lanes(Let(V, inside), Store(Y, (i, j), Load(X, (i - 1, j + 1), Var(V, BOOL)))))) == []
    first = index(i) < 1
    assert unproven(rows(If(first, (), (lanes(Store(Y, (i, j), Load(X, (i - 1, j)))),)))) == []
    assert unproven(rows(If(first, (lanes(Store(Y, (i, j), Load(X, (i - 1, j)))),)))) == [("x", 0, "i - 1")]


def test_a_mask_ends_with_its_block():
    inside = Mask(index(j) < 7, (Store(Y, (i, j + 1), zero),))
    assert unproven(rows(lanes(inside, Store(Y, (i, j + 1), zero)))) == [("y", 1, "j + 1")]


def test_bounded_lets_are_trusted():
    position = Symbol("p", 0, n)
    table = Buffer("t", I64, (8,))
    clamped = call("max", call("min", Load(table, (j,)), index(n - 1)), const(I64, 0))
    body = rows(lanes(Let(position, clamped), Store(Y, (i, j), Load(X, (Dim.of(position), j)))))
    assert unproven(body, params=(X, Y, table)) == []


def test_constants_have_the_type_they_say():
    verify(proc(rows(lanes(Store(Y, (i, j), Const(F32, np.float32(1)))))))
    verify(proc(rows(Let(V, Cast(I32, const(I64, 1))))))
