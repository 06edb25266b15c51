"""Golden texts of hand-built kernels."""

from __future__ import annotations

import os
import subprocess
import sys

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
    Cast,
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
    const,
    index,
    select,
)
from graphflow.compiler.print import to_text
from graphflow.graph.dim import Dim, Symbol, maximum, minimum


def dense() -> Proc:
    batch = Symbol("B")
    n = Dim.of(batch)
    x, w, b = Buffer("x", F32, (n, 784)), Buffer("w", F32, (784, 300)), Buffer("b", F32, (300,))
    y = Buffer("y", F32, (n, 300), mode=Mode.OUT)
    acc = Buffer("acc", F32, (), Space.REG)
    i, j, k = Symbol("i", 0, n), Symbol("j", 0, 300), Symbol("k", 0, 784)
    at, to, by = Dim.of(i), Dim.of(j), Dim.of(k)
    body = (
        Alloc(acc),
        Store(acc, (), const(F32, 0)),
        For(k, 784, Kind.SEQ, (Fold("dot", acc, (), (Load(x, (at, by)), Load(w, (by, to)))),)),
        Store(y, (at, to), call("max", Load(acc, ()) + Load(b, (to,)), 0)),
    )
    return Proc("dense", (batch,), (x, w, b, y), (For(i, n, Kind.ANY, (For(j, 300, Kind.ANY, body),)),))


def softmax() -> Proc:
    rows, columns = Symbol("B"), Symbol("N")
    m, n = Dim.of(rows), Dim.of(columns)
    x, y = Buffer("x", F32, (m, n)), Buffer("y", F32, (m, n), mode=Mode.OUT)
    top, part, total = Buffer("m", F32, (), Space.REG), Buffer("part", F32, (64,), Space.REG), Buffer("s", F32, (), Space.REG)
    i, j, r, last = Symbol("i", 0, m), Symbol("j", 0, n), Symbol("r", 0, (n + 63) // 64), Symbol("j", 0, n)
    lanes = [Symbol("l", 0, extent) for extent in (64, 64, 32)]
    clear, lane, half = map(Dim.of, lanes)
    at, to = Dim.of(i), 64 * Dim.of(r) + lane
    e = Symbol("e")
    inner = Mask(
        index(to) < index(n),
        (
            Let(e, call("exp", Load(x, (at, to)) - Load(top, ()))),
            Store(y, (at, to), Var(e, F32)),
            Fold("add", part, (lane,), (Var(e, F32),)),
        ),
    )
    row = (
        Alloc(top),
        Store(top, (), const(F32, float("-inf"))),
        For(j, n, Kind.SEQ, (Fold("max", top, (), (Load(x, (at, Dim.of(j))),)),)),
        Alloc(part),
        For(lanes[0], 64, Kind.ANY, (Store(part, (clear,), const(F32, 0)),)),
        For(r, (n + 63) // 64, Kind.SEQ, (For(lanes[1], 64, Kind.LANES, (inner,)),)),
        For(lanes[2], 32, Kind.UNROLL, (Fold("add", part, (half,), (Load(part, (half + 32,)),)),)),
        Alloc(total),
        Store(total, (), Load(part, (0,))),
        For(last, n, Kind.ANY, (Store(y, (at, Dim.of(last)), Load(y, (at, Dim.of(last))) / Load(total, ())),)),
    )
    return Proc("softmax", (rows, columns), (x, y), (For(i, m, Kind.TEAM, row),))


DENSE = """\
kernel dense[B](x f32[B,784] in, w f32[784,300] in, b f32[300] in, y f32[B,300] out):
  for i in B, j in 300:
    acc f32[] reg
    acc = 0.0
    for k in 784 seq: acc ~ x[i,k], w[k,j]
    y[i,j] = max(0.0, acc + b[j])
"""

SOFTMAX = """\
kernel softmax[B,N](x f32[B,N] in, y f32[B,N] out):
  for i in B team:
    m f32[] reg
    m = -inf
    for j in N seq: m max= x[i,j]
    part f32[64] reg
    for l in 64: part[l] = 0.0
    for r in (N+63)//64 seq, l in 64 lanes:
      mask 64*r+l < N:
        let e f32 = exp(x[i,64*r+l] - m)
        y[i,64*r+l] = e
        part[l] +=. e
    for l in 32 unroll: part[l] +=. part[l+32]
    s f32[] reg
    s = part[0]
    for j in N: y[i,j] = y[i,j] / s
"""


@pytest.mark.smoke
@pytest.mark.parametrize(("make", "text"), [(dense, DENSE), (softmax, SOFTMAX)])
def test_golden(make, text):
    assert to_text(make()) == text


def lines_of(*body, dims=(), params=()):
    return [line.removeprefix("  ") for line in to_text(Proc("k", dims, params, body)).splitlines()[1:]]


X = Buffer("x", F32, (9,))
Y = Buffer("y", F32, (9,), mode=Mode.OUT)
ROW, COLUMN = Symbol("i", 0, 9), Symbol("j", 0, 9)
i, j = Dim.of(ROW), Dim.of(COLUMN)
a, b, c = (Load(X, (n,)) for n in range(3))
p, q = Var(Symbol("p"), I32), Var(Symbol("q"), I32)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (a + b - c, "x[0] + x[1] - x[2]"),
        (a + (b - c), "x[0] + (x[1] - x[2])"),
        ((a + b) * c, "(x[0] + x[1]) * x[2]"),
        (a * b / c, "x[0] * x[1] / x[2]"),
        (-(a * b), "-(x[0] * x[1])"),
        (-a, "-x[0]"),
        (-const(F32, 2), "-(2.0)"),
        (a - const(F32, -2), "x[0] - -2.0"),
        (call("muladd", a, b, c), "muladd(x[0], x[1], x[2])"),
        (select((a < b) & (b < c), a, b), "select((x[0] < x[1]) & (x[1] < x[2]), x[0], x[1])"),
        (~((p.eq(q)) | (p.ne(q))), "~((p == q) | (p != q))"),
        ((p << 2) ^ (q >> 1), "p << 2 ^ q >> 1"),
        (Cast(F64, a), "f64(x[0])"),
        (Cast(F32, const(I64, 7)), "f32(7:i64)"),
        (Bits(I32, a + b), "bits_i32(x[0] + x[1])"),
        (Cast(F64, const(F32, 1) + const(F32, -2)), "f64((1.0 + -2.0):f32)"),
        (const(I64, 1) < const(I64, 2), "1:i64 < 2"),
        (Cast(F32, p + 1), "f32(p + 1)"),
        (Load(X, (i,), index(i) < 3), "(x[i] where i < 3)"),
        (Load(X, (i,), index(i) < 3, const(F32, 1)), "(x[i] where i < 3 else 1.0)"),
        (const(F32, 0.1), "0.1"),
        (const(F32, -0.0), "-0.0"),
        (const(BOOL, True), "true"),
    ],
)
def test_values(value, text):
    assert lines_of(Let(Symbol("v"), value))[0].partition(" = ")[2] == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (3, "3"),
        (i * 64 + j + 5, "64*i+j+5"),
        (j - i, "-i+j"),
        (i * j * 2, "2*i*j"),
        ((i + j) // 4, "(i+j)//4"),
        (4 * ((i + j) // 4), "4*((i+j)//4)"),
        (100 - 6 * ((i + 5) // 6), "-6*((i+5)//6)+100"),
        ((i + 7 * j) % (j + 1), "(i+7*j)%(j+1)"),
        (minimum(i, j) + maximum(i, j - 1), "max(i,j-1)+min(i,j)"),
    ],
)
def test_index_algebra(size, text):
    loop = For(ROW, 9, Kind.ANY, (For(COLUMN, 9, Kind.ANY, (Store(Y, (size,), a),)),))
    assert lines_of(loop, params=(X, Y)) == [f"for i in 9, j in 9: y[{text}] = x[0]"]


def test_names_in_scope_get_suffixes_in_order_and_siblings_share_a_name():
    inner, outer, later = Symbol("i", 0, 3), Symbol("i", 0, 3), Symbol("i", 0, 3)
    nest = For(outer, 3, Kind.SEQ, (For(inner, 3, Kind.SEQ, (Store(Y, (3 * Dim.of(outer) + Dim.of(inner),), a),)),))
    assert lines_of(nest, For(later, 3, Kind.SEQ, (Store(Y, (Dim.of(later),), b),)), params=(X, Y)) == [
        "for i in 3 seq, i_2 in 3 seq: y[3*i+i_2] = x[0]",
        "for i in 3 seq: y[i] = x[1]",
    ]


def test_order_of_terms_does_not_depend_on_the_order_of_construction():
    late, early = Symbol("late", 0, 3), Symbol("early", 0, 3)
    body = Store(Y, (3 * Dim.of(early) + Dim.of(late),), a)
    assert lines_of(For(early, 3, Kind.ANY, (For(late, 3, Kind.ANY, (body,)),)), params=(X, Y)) == [
        "for early in 3, late in 3: y[3*early+late] = x[0]"
    ]


def test_statements():
    site = Check(index(i) < 5, 0, index(i))
    branch = If(index(i) < 4, (Store(Y, (i,), a), Store(Y, (i,), b)), (Store(Y, (i,), c),))
    masked = Mask(index(i) < 3, (Fold("min", Y, (i,), (a,)), Fold("mul", Y, (i,), (b,))))
    assert lines_of(For(ROW, 9, Kind.SEQ, (site, branch, masked)), params=(X, Y)) == [
        "for i in 9 seq:",
        "  check i < 5 else site 0, i",
        "  if i < 4:",
        "    y[i] = x[0]",
        "    y[i] = x[1]",
        "  else: y[i] = x[2]",
        "  mask i < 3:",
        "    y[i] min= x[0]",
        "    y[i] *=. x[1]",
    ]


def test_a_shared_value_is_named_once():
    square = a * b
    assert lines_of(Store(Y, (0,), square + square * square), params=(X, Y)) == ["%0 = x[0] * x[1]", "y[0] = %0 + %0 * %0"]


def test_text_is_linear_in_a_deep_dag():
    e = a
    for _ in range(3000):
        e = e + e
    assert len(lines_of(Store(Y, (0,), e), params=(X, Y))) == 3000


def test_names_are_words_and_bounds_are_told():
    dims = Symbol("a,b"), Symbol("3d", 1), Symbol("n", 0, 9)
    text = to_text(Proc("k", dims, (), (Let(Symbol("pos", 0, Dim.of(dims[2])), index(0)), Let(Symbol("t"), index(0)))))
    assert text == "kernel k[a_b,_3d>=1,n<9]():\n  let pos<n i64 = 0\n  let t i64 = 0\n"


def test_long_nests_break():
    names = [Symbol("a_rather_long_name_of_a_loop", 0, 2) for _ in range(6)]
    s = Store(Y, (0,), a)
    for name in names:
        s = For(name, 2, Kind.SEQ, (s,))
    assert max(map(len, lines_of(s, params=(X, Y)))) <= 120


def test_text_does_not_depend_on_the_process():
    program = "import runpy, sys; t = runpy.run_path(sys.argv[1]); print(t['to_text'](t['softmax']()), end='')"
    texts = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(p or os.curdir for p in sys.path)}
        texts.add(subprocess.run([sys.executable, "-c", program, __file__], env=env, capture_output=True, text=True, check=True).stdout)
    assert texts == {SOFTMAX}
