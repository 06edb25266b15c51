"""The oracle's arithmetic against exact arithmetic, and what it must refuse."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from graphflow.compiler.interpret import cast_scalar, fma32, fma64, run
from graphflow.compiler.kernel import (
    BOOL,
    F32,
    F64,
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
    select,
)
from graphflow.graph.dim import Dim, Symbol
from graphflow.graph.errors import CompileError


def value(e):
    """The interpreter's value of an expression over constants."""
    out = Buffer("out", e.dtype, (), mode=Mode.OUT)
    array = np.zeros((), e.dtype)
    assert run(Proc("k", (), (out,), (Store(out, (), e),)), {out: array}, {}) == []
    return array[()]


# --- fused multiply-add --------------------------------------------------------------------------
def rounded(exact: Fraction, digits: int, lowest: int) -> Fraction:
    """The nearest multiple of a power of two that leaves `digits` bits (and none below 2**lowest), ties to even."""
    if not exact:
        return exact
    exponent = math.floor(math.log2(abs(exact.numerator))) - math.floor(math.log2(exact.denominator))
    while abs(exact) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(exact) < Fraction(2) ** exponent:
        exponent -= 1
    step = Fraction(2) ** max(exponent - digits + 1, lowest)
    return round(exact / step) * step


FORMATS = {F32: (fma32, 24, -149), F64: (fma64, 53, -1074)}


def check_fma(dtype, a, b, c):
    fma, digits, lowest = FORMATS[dtype]
    a, b, c = map(dtype.type, (a, b, c))
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    with np.errstate(all="ignore"):
        got = fma(a, b, c)
    assert got.dtype == dtype
    expected = rounded(exact, digits, lowest)
    if abs(expected) >= Fraction(2) ** (128 if dtype == F32 else 1024):
        assert math.isinf(got) and (got > 0) == (expected > 0)
    else:
        assert Fraction(float(got)) == expected
        assert exact == 0 or (math.copysign(1, got) > 0) == (exact > 0)


finite32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
finite64 = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.smoke
@given(finite32, finite32, finite32)
@example(1 + 2.0**-23, 1 + 2.0**-23, 2.0**-54)
@example(2.0**-100, 2.0**-100, 1.0)
@example(-(2.0**-140), 2.0**-140, 0.0)
@example(2.0**127, 2.0, -(2.0**127))
def test_fma_of_float32_rounds_once(a, b, c):
    check_fma(F32, a, b, c)


@given(finite64, finite64, finite64)
@example(2.0**-600, 2.0**-600, 0.0)
@example(-(2.0**-600), 2.0**-600, 0.0)
@example(1e308, 10.0, -1e308)
@example(1 + 2.0**-52, 1 + 2.0**-52, -1 - 2.0**-51)
def test_fma_of_float64_rounds_once(a, b, c):
    check_fma(F64, a, b, c)


@given(st.integers(-(2**24), 2**24), st.integers(-(2**24), 2**24), st.integers(-60, 10), st.integers(-(2**24), 2**24))
def test_fma_of_float32_near_ties(a, b, shift, c):
    check_fma(F32, float(a), float(b) * 2.0**-30, float(c) * 2.0**shift)


def test_float64_arithmetic_is_not_enough_for_float32():
    a, b, c = np.float32(1 + 2.0**-12), np.float32(1 + 2.0**-12), np.float32(2.0**-60)  # a * b is half way between two float32
    assert fma32(a, b, c) == np.float32(1 + 2.0**-11 + 2.0**-23)
    assert np.float32(float(a) * float(b) + float(c)) == np.float32(1 + 2.0**-11)


@pytest.mark.parametrize("fma", [fma32, fma64])
def test_fma_of_zeros_and_infinities(fma):
    t = np.float32 if fma is fma32 else np.float64
    zero, one, inf = t(0), t(1), t(math.inf)
    with np.errstate(all="ignore"):
        assert not np.signbit(fma(-zero, one, zero)) and np.signbit(fma(-zero, one, -zero))
        assert not np.signbit(fma(one, one, -one))
        assert fma(one, inf, one) == inf and math.isnan(fma(inf, one, -inf)) and math.isnan(fma(zero, inf, one))
        assert fma(t(np.finfo(t).max), t(4), -inf) == -inf
        assert math.isnan(fma(one, one, t(math.nan)))


@pytest.mark.parametrize("dtype", [F32, F64])
def test_muladd_rounds_once_or_twice_by_target(dtype):
    x, out = Buffer("x", dtype, (2,)), Buffer("out", dtype, (2,), mode=Mode.OUT)
    e = np.finfo(dtype).eps
    body = (
        Store(out, (0,), call("muladd", Load(x, (0,)), Load(x, (0,)), Load(x, (1,)))),
        Store(out, (1,), Load(x, (1,))),
        Fold("dot", out, (1,), (Load(x, (0,)), Load(x, (0,)))),
    )
    array = np.array([1 + e, -1 - 2 * e], dtype)
    for fma, expected in ((True, e * e), (False, 0)):
        got = np.zeros(2, dtype)
        run(Proc("k", (), (x, out), body), {x: array, out: got}, {}, fma=fma)
        assert got.tolist() == [expected, expected]


# --- prims --------------------------------------------------------------------------------------
LOW, HIGH = -128, 127
INTEGER_CASES = [
    ("add", "int8", (HIGH, 1), LOW), ("sub", "uint8", (0, 1), 255), ("mul", "int8", (64, 2), LOW), ("muladd", "int8", (64, 2, 1), LOW + 1),
    ("neg", "int8", (LOW,), LOW), ("neg", "uint8", (1,), 255), ("abs", "int8", (LOW,), LOW), ("not", "uint8", (1,), 254), ("not", "int8", (0,), -1),
    ("idiv", "int8", (-7, 2), -4), ("imod", "int8", (-7, 2), 1), ("imod", "int8", (7, -2), -1),
    ("idiv", "int8", (5, 0), 0), ("imod", "int8", (5, 0), 0), ("idiv", "int8", (LOW, -1), LOW), ("imod", "int8", (LOW, -1), 0),
    ("idiv", "int64", (-(2**63), -1), -(2**63)), ("idiv", "uint64", (2**64 - 1, 2), 2**63 - 1),
    ("shl", "int8", (1, 7), LOW), ("shl", "int8", (1, 8), 0), ("shl", "int8", (1, -1), 0), ("shl", "uint8", (3, 200), 0),
    ("shr", "int8", (-8, 1), -4), ("shr", "int8", (-8, 9), -1), ("shr", "int8", (8, 9), 0), ("shr", "int8", (-8, -1), -1), ("shr", "uint8", (200, 8), 0),
    ("mulhi", "int8", (-128, 127), -64), ("mulhi", "uint32", (2**32 - 1, 2**32 - 1), 2**32 - 2), ("mulhi", "int64", (-1, 1), -1),
    ("popcount", "int8", (-1,), 8), ("popcount", "uint16", (0x0F0F,), 8), ("min", "int8", (-1, 3), -1), ("max", "uint8", (200, 3), 200),
    ("and", "int8", (-1, 6), 6), ("or", "uint8", (5, 2), 7), ("xor", "int8", (-1, 1), -2),
]  # fmt: skip


@pytest.mark.smoke
@pytest.mark.parametrize(("prim", "dtype", "xs", "expected"), INTEGER_CASES)
def test_integer_prims_are_total(prim, dtype, xs, expected):
    got = value(call(prim, *(const(np.dtype(dtype), x) for x in xs)))
    assert got.dtype == dtype and int(got) == expected


def test_comparisons_of_unsigned_integers_and_bools():
    assert value(const(np.dtype("uint64"), 2**63) < const(np.dtype("uint64"), 1)) == False  # noqa: E712
    assert value(const(BOOL, False) < const(BOOL, True)) and value(const(BOOL, True) ^ const(BOOL, True)) == False  # noqa: E712
    assert value(~const(BOOL, False)) and value(call("max", const(BOOL, False), const(BOOL, True)))


NAN = math.nan


@pytest.mark.parametrize(
    ("prim", "a", "b", "expected"),
    [
        ("max", 1, 2, 2), ("min", 1, 2, 1), ("max", NAN, 1, NAN), ("max", 1, NAN, NAN), ("min", NAN, 1, NAN), ("min", 1, NAN, NAN),
        ("max", -0.0, 0.0, 0.0), ("max", 0.0, -0.0, -0.0), ("min", 0.0, -0.0, -0.0), ("min", -0.0, 0.0, 0.0),
        ("div", 1, 0, math.inf), ("div", 0, 0, NAN), ("add", 3e38, 3e38, math.inf),
    ],
)  # fmt: skip
def test_float_prims(prim, a, b, expected):
    x = Buffer("x", F32, (2,))
    out = Buffer("out", F32, (), mode=Mode.OUT)
    got = np.zeros((), F32)
    with np.errstate(all="ignore"):
        array = np.array([a, b], F32)
    run(Proc("k", (), (x, out), (Store(out, (), call(prim, Load(x, (0,)), Load(x, (1,)))),)), {x: array, out: got}, {})
    np.testing.assert_array_equal(got, np.float32(expected))
    assert math.isnan(expected) or np.signbit(got) == np.signbit(expected)


@pytest.mark.parametrize(
    ("prim", "x", "expected"), [("rint", 2.5, 2), ("rint", -0.4, -0.0), ("floor", -0.5, -1), ("ceil", -0.5, -0.0), ("trunc", -1.7, -1), ("abs", -0.0, 0.0), ("neg", 0.0, -0.0), ("sqrt", 2.0, 2**0.5)]
)  # fmt: skip
def test_rounding(prim, x, expected):
    got = value(call(prim, const(F64, x)))
    assert got == expected and np.signbit(got) == np.signbit(expected)


# --- casts --------------------------------------------------------------------------------------
CASTS = [
    ("float32", NAN, "int32", 0), ("float32", 3e9, "int32", 2**31 - 1), ("float32", -3e9, "int32", -(2**31)), ("float32", -1.9, "int32", -1),
    ("float64", 2147483647.5, "int32", 2**31 - 1), ("float64", -2147483648.9, "int32", -(2**31)), ("float32", 2.0**63, "int64", 2**63 - 1),
    ("float32", -(2.0**63), "int64", -(2**63)), ("float32", -1.5, "uint8", 0), ("float32", 255.9, "uint8", 255), ("float64", 1e30, "uint64", 2**64 - 1),
    ("float64", math.inf, "int8", 127), ("float64", -math.inf, "uint16", 0),
    ("int32", 300, "uint8", 44), ("int8", -1, "uint32", 2**32 - 1), ("uint64", 2**64 - 1, "int64", -1), ("bool", True, "int8", 1), ("bool", True, "float32", 1),
    ("float32", NAN, "bool", True), ("float64", -0.0, "bool", False), ("int32", 256, "bool", True),
    ("int64", 2**24 + 1, "float32", 2**24), ("int64", 2**25 + 2**1 + 1, "float32", 2**25 + 2**2), ("uint64", 2**64 - 1, "float64", 2.0**64),
    ("float64", 1e300, "float32", math.inf), ("float64", 2.0**-150, "float32", 0.0),
]  # fmt: skip


@pytest.mark.smoke
@pytest.mark.parametrize(("source", "x", "target", "expected"), CASTS)
def test_casts(source, x, target, expected):
    with np.errstate(all="ignore"):
        got = cast_scalar(np.dtype(target), np.dtype(source).type(x))
    assert got.dtype == target and got == expected


def test_bits():
    assert value(const(F32, 1).bits(I32)) == 0x3F800000
    assert value(const(np.dtype("uint64"), 0x3FF0000000000000).bits(F64)) == 1.0


# --- statements -----------------------------------------------------------------------------------
N = Symbol("n")
n = Dim.of(N)
X, Y = Buffer("x", F32, (n,)), Buffer("y", F32, (n,), mode=Mode.OUT)
R = Buffer("r", F32, (2,), Space.REG)
ROW = Symbol("i", 0, n)
i = Dim.of(ROW)


def execute(*body, size=4, params=(X, Y)):
    proc = Proc("k", (N,), params, body)
    arrays = {p: np.arange(size).astype(p.dtype) for p in params}
    failed = run(proc, arrays, {N: size})
    return arrays[params[-1]], failed


def loop(*body):
    return For(ROW, n, Kind.ANY, body)


def test_loops_lets_masks_and_branches():
    v = Symbol("v")
    doubled = Let(v, Load(X, (i,)) * 2)
    got, failed = execute(
        loop(
            doubled,
            If(index(i) < 2, (Store(Y, (i,), Var(v, F32)),), (Store(Y, (i,), const(F32, -1)),)),
            Mask(index(i).eq(3), (Fold("add", Y, (i,), (const(F32, 10),)),)),
            Check(index(i) < 2, 5),
            Check(index(i) < 1, 3),
        )
    )
    assert got.tolist() == [0, 2, -1, 9] and failed == [3, 5]


def test_lets_are_indices_and_a_guarded_load_reads_nothing():
    back = Symbol("back", 0, n)
    shifted = Load(X, (i - 2,), index(2) <= index(i), const(F32, 7))
    assert execute(loop(Let(back, index(n - 1 - i)), Store(Y, (Dim.of(back),), shifted)))[0].tolist() == [1, 0, 7, 7]
    assert execute(loop(Store(Y, (i,), Load(X, (i - 2,), index(2) <= index(i)))))[0].tolist() == [0, 0, 0, 1]


def test_both_sides_of_a_select_are_values():
    e = select(index(i) < 2, Load(X, (i,)), const(F32, 0) / const(F32, 0))
    assert np.isnan(execute(loop(Store(Y, (i,), e)))[0]).tolist() == [False, False, True, True]


def test_functions_are_expanded():
    got, _ = execute(loop(Store(Y, (i,), call("exp", Load(X, (i,))))))
    np.testing.assert_allclose(got, np.exp(np.arange(4)), rtol=1e-6)


def test_a_fold_takes_its_operands_in_order():
    big = Buffer("x", F32, (n,))
    acc = Buffer("acc", F32, (), Space.REG)
    body = (Alloc(acc), Store(acc, (), const(F32, 0)), loop(Fold("add", acc, (), (Load(big, (i,)),))), Store(Y, (0,), Load(acc, ())))
    data = np.array([2.0**24, 1, 1, -(2.0**24)], F32)
    got = np.zeros(4, F32)
    run(Proc("k", (N,), (big, Y), body), {big: data, Y: got}, {N: 4})
    assert got[0] == 0


def test_a_shared_value_is_evaluated_once():
    e = Load(X, (0,)) + const(F32, 1)
    for _ in range(2000):
        e = e + e
    assert math.isinf(execute(Store(Y, (0,), e))[0][0])


def test_int64_values_wrap_outside_the_index_algebra():
    out = Buffer("out", I64, (n,), mode=Mode.OUT)
    v = Symbol("v")
    body = (Let(v, const(I64, 2**63 - 1) + 1), Store(out, (0,), cast(I64, Var(v))))
    assert execute(*body, params=(X, out))[0][0] == -(2**63)


REFUSED = {
    "out of bounds: its shape is": [loop(Store(Y, (i + 1,), Load(X, (i,))))],
    "x[-1] is out of bounds": [loop(Store(Y, (i,), Load(X, (i - 1,))))],
    "register r[1] is read before": [Alloc(R), Store(R, (0,), const(F32, 0)), Store(Y, (0,), Load(R, (1,)))],
    "register r[0] is read before": [loop(Alloc(R), Mask(index(i).eq(0), (Store(R, (0,), const(F32, 0)),)), Store(Y, (i,), Load(R, (0,))))],
    "y[0] is read before": [Fold("add", Y, (0,), (const(F32, 0),))],
    "x is an input": [Store(X, (0,), const(F32, 0))],
    "outside its bounds 0 <= p < 4": [Let(p := Symbol("p", 0, n), index(n)), Store(Y, (0,), Load(X, (Dim.of(p),)))],
}


@pytest.mark.parametrize("message", REFUSED)
def test_refuses(message):
    with pytest.raises(CompileError) as e:
        execute(*REFUSED[message])
    assert message in str(e.value) and "kernel k" in str(e.value)


def test_two_parameters_may_be_one_memory():
    flat, square = Buffer("flat", F32, (4,), mode=Mode.OUT), Buffer("square", F32, (2, 2), mode=Mode.OUT)
    memory = np.zeros((2, 2), F32)
    body = (Store(square, (1, 0), const(F32, 3)), Store(flat, (0,), Load(flat, (2,))))
    run(Proc("k", (), (flat, square), body), {flat: memory.reshape(4), square: memory}, {})
    assert memory[0, 0] == 3


def test_refuses_arrays_of_another_shape_or_dtype():
    for wrong in (np.zeros(3, F32), np.zeros(4, F64)):
        with pytest.raises(CompileError, match="x is float32"):
            run(Proc("k", (N,), (X,), ()), {X: wrong}, {N: 4})
