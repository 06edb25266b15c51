"""The definitions of math.expand, evaluated over NumPy arrays, against mpmath and SciPy."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from graphflow.compiler import kernel as K
from graphflow.compiler.math import DEFINITIONS, ERROR_ULP, expand, expand_proc
from graphflow.graph.dim import Dim, Symbol
from graphflow.graph.errors import CompileError

DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("float32"), "float64": np.dtype("float64")}
BINARY = {"pow", "fmod", "atan2"}
WIDE = {np.dtype("float32"): np.float64, np.dtype("float64"): np.longdouble}


# --- an evaluator of expanded expressions ------------------------------------------------------
def evaluate(expr: K.Expr, values: dict[Symbol, Any], fused: bool = True) -> Any:
    """The value of `expr` as the Kernel IR defines it; `muladd` with one rounding if `fused`, else with two."""
    done: dict[K.Expr, Any] = {}
    for e in reversed(topological(expr)):
        args = [done[c] for c in K.children(e)]
        match e:
            case K.Const():
                done[e] = e.value
            case K.Var():
                done[e] = values[e.symbol]
            case K.Select():
                done[e] = np.where(*args)
            case K.Bits():
                done[e] = np.asarray(args[0]).view(e.dtype)
            case K.Cast():
                done[e] = converted(np.asarray(args[0]), e.dtype)
            case K.Call("muladd") if fused:
                wide = WIDE[e.dtype]
                done[e] = (np.asarray(args[0], wide) * args[1] + args[2]).astype(e.dtype)
            case K.Call():
                done[e] = np.asarray(PRIMS[e.prim](*args), e.dtype)
    return done[expr]


def topological(expr: K.Expr) -> list[K.Expr]:
    """Every expression object once, users before what they use."""
    order: list[K.Expr] = []
    state: dict[K.Expr, bool] = {}
    stack = [expr]
    while stack:
        e = stack[-1]
        if state.get(e) is None:
            state[e] = False
            stack.extend(c for c in K.children(e) if c not in state)
        else:
            stack.pop()
            if not state[e]:
                state[e] = True
                order.append(e)
    return order[::-1]


def converted(x: Any, dtype: np.dtype[Any]) -> Any:
    if x.dtype.kind != "f" or dtype.kind not in "iu":
        return x.astype(dtype)
    info = np.iinfo(dtype)
    inside = (x > float(info.min)) & (x < float(info.max))
    limit = np.where(x > 0, info.max, np.where(np.isnan(x), 0, info.min))
    return np.where(inside, np.where(inside, x, 0).astype(dtype), limit.astype(dtype))


def shifted(shift: Callable[..., Any], x: Any, n: Any) -> Any:
    width = np.asarray(x).dtype.itemsize * 8
    inside = (n >= 0) & (n < width)
    beyond = shift(x, np.asarray(width - 1, np.asarray(x).dtype)) if shift is np.right_shift and np.asarray(x).dtype.kind == "i" else 0
    return np.where(inside, shift(x, np.where(inside, n, 0)), beyond)


PRIMS: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "abs": np.abs, "sqrt": np.sqrt,
    "muladd": lambda a, b, c: np.asarray(np.multiply(a, b) + c), "rint": np.rint, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "not": np.invert, "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
    "shl": lambda x, n: shifted(np.left_shift, x, n), "shr": lambda x, n: shifted(np.right_shift, x, n),
}  # fmt: skip


def function(name: str, dtype: np.dtype[Any]) -> tuple[K.Expr, list[Symbol]]:
    symbols = [Symbol("x"), Symbol("y")][: 2 if name in BINARY else 1]
    return expand(K.call(name, *(K.Var(s, dtype) for s in symbols))), symbols


def run(name: str, *arrays: Any, fused: bool = True) -> Any:
    expr, symbols = function(name, arrays[0].dtype)
    with np.errstate(all="ignore"):
        return evaluate(expr, dict(zip(symbols, arrays, strict=True)), fused)


# --- where to look ------------------------------------------------------------------------------
ALL = 1.7e308
# intervals that show a function's joints, per function; and the magnitudes to which it is not constant
INTERVALS: dict[str, tuple[tuple[float, float], ...]] = {
    "exp": ((-2, 2), (-746, 710)), "exp2": ((-2, 2), (-1076, 1024)), "expm1": ((-1.5, 1.5), (-40, 710)),
    "sinh": ((-2, 2), (-711, 711)), "cosh": ((-2, 2), (-711, 711)), "tanh": ((-1, 1), (-20, 20)), "sigmoid": ((-4, 4), (-746, 40)),
    "log": ((0, 3), (0.7, 1.42), (0, ALL)), "log2": ((0, 3), (0.7, 1.42), (0, ALL)), "log10": ((0, 3), (0.7, 1.42), (0, ALL)),
    "log1p": ((-1, 1), (-0.3, 0.5), (0, ALL)), "softplus": ((-3, 3), (-746, 700)),
    "asinh": ((-2, 2), (-ALL, ALL)), "acosh": ((1, 1.01), (1, 4), (1, ALL)), "atanh": ((-1, 1), (-0.1, 0.1)),
    "sin": ((-1, 1), (-10, 10), (-1e6, 1e6), (-ALL, ALL)), "cos": ((-1, 1), (-10, 10), (-1e6, 1e6), (-ALL, ALL)),
    "tan": ((-1, 1), (-10, 10), (-1e6, 1e6), (-ALL, ALL)),
    "asin": ((-1, 1), (0.99, 1)), "acos": ((-1, 1), (0.99, 1), (-1, -0.99)), "atan": ((-1, 1), (-5, 5)),
    "erf": ((-1.2, 1.2), (-6, 6)), "erfc": ((-1, 1), (-6, 27.3)), "erfinv": ((-1, 1), (0.9999, 1)),
    "lgamma": ((0, 4), (-6, 10), (-170, 200), (0, 1e300)), "digamma": ((0, 4), (-6, 10), (-1e4, 1e10)), "trigamma": ((0, 4), (-6, 10), (-100, 1000)),
    "rsqrt": ((0, 4), (0, ALL)),
}  # fmt: skip
LARGEST = {"exp": 700.0, "exp2": 1000.0, "expm1": 700.0, "sinh": 700.0, "cosh": 700.0, "tanh": 18.0, "sigmoid": 700.0, "softplus": 700.0,
           "erf": 5.0, "erfc": 26.0, "asin": 1.0, "acos": 1.0, "atanh": 1.0, "erfinv": 1.0, "lgamma": 1e6, "digamma": 1e6, "trigamma": 100.0}  # fmt: skip
DOMAIN = {"log": 0.0, "log2": 0.0, "log10": 0.0, "rsqrt": 0.0, "acosh": 1.0, "log1p": -1.0}  # from here up, where it is not the whole line


def arguments(name: str, dtype: np.dtype[Any], count: int) -> Any:
    """Uniform in the intervals, and uniform in exponent down to the subnormals."""
    rng = np.random.default_rng(sum(map(ord, name)))
    top = float(np.finfo(dtype).max) * 0.99
    parts = [rng.uniform(max(lo, -top) * 0.5, min(hi, top) * 0.5, count) * 2 for lo, hi in INTERVALS[name]]
    low = -149 if dtype == np.float32 else -1074
    size = 2.0 ** rng.uniform(low / 2, math.log2(min(LARGEST.get(name, top), top)) / 2, count)
    parts.append(size * size * rng.choice([-1, 1], count))
    x = np.concatenate(parts).astype(dtype)
    return x[x > DOMAIN.get(name, -np.inf)]


def pairs(name: str, dtype: np.dtype[Any], count: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(sum(map(ord, name)))
    half = 74 if dtype == np.float32 else 537

    def size() -> Any:
        return (2.0 ** rng.uniform(-half, half - 26, count)) ** 2 * rng.choice([-1, 1], count)

    x, y = [rng.uniform(-3, 3, count), size()], [rng.uniform(-3, 3, count), size()]
    if name == "pow":
        base = np.abs(np.concatenate([size(), rng.uniform(0.5, 2, count), 1 + 2.0 ** rng.uniform(-20, -1, count)])).astype(dtype)
        with np.errstate(all="ignore"):
            power = rng.uniform(-1, 1, base.size) * 2 * half / np.log2(base.astype(np.float64))
        x, y = [base, -rng.uniform(0, 3, count)], [power, rng.integers(-90, 90, count)]
    with np.errstate(all="ignore"):
        return np.concatenate(x).astype(dtype), np.concatenate(y).astype(dtype)


# --- references -----------------------------------------------------------------------------------
def sigmoid64(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


REFERENCE64: dict[str, Callable[..., Any]] = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "sigmoid": sigmoid64,
    "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "softplus": lambda x: np.logaddexp(x, 0.0),
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin,
    "acos": np.arccos, "atan": np.arctan, "erf": sp.erf, "erfc": sp.erfc, "erfinv": sp.erfinv, "lgamma": sp.gammaln,
    "digamma": sp.digamma, "trigamma": lambda x: sp.polygamma(1, x), "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "pow": np.power, "atan2": np.arctan2, "fmod": np.fmod,
}  # fmt: skip

mp = mpmath.mp
PRECISION = 140  # bits: enough for what is left of 1 - x^2, 1 - cos and the like


def mp_softplus(x: Any) -> Any:
    return mp.log1p(mp.exp(-abs(x))) + max(x, 0)


def mp_erfinv(x: Any) -> Any:
    """Newton's method from SciPy's value, on erfc where that has the digits."""
    y, a = mp.mpf(float(sp.erfinv(float(abs(x))))), abs(x)
    for _ in range(3):
        rest = mp.erf(y) - a if a < 0.5 else (1 - a) - mp.erfc(y)
        y -= rest * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
    return y if x > 0 else -y


def mp_lgamma(x: Any) -> Any:
    return mp.loggamma(x) if x > 0 else mp.log(mp.pi / abs(mp.sinpi(x))) - mp.loggamma(1 - x)


REFERENCE_MP: dict[str, Callable[..., Any]] = {
    "exp": mp.exp, "exp2": lambda x: mp.mpf(2) ** x, "expm1": mp.expm1, "sinh": mp.sinh, "cosh": mp.cosh, "tanh": mp.tanh,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)), "log": mp.log, "log2": lambda x: mp.log(x, 2), "log10": mp.log10, "log1p": mp.log1p,
    "softplus": mp_softplus, "asinh": mp.asinh, "acosh": mp.acosh, "atanh": mp.atanh, "sin": mp.sin, "cos": mp.cos, "tan": mp.tan,
    "asin": mp.asin, "acos": mp.acos, "atan": mp.atan, "erf": mp.erf, "erfc": mp.erfc, "erfinv": mp_erfinv, "lgamma": mp_lgamma,
    "digamma": mp.digamma, "trigamma": lambda x: mp.polygamma(1, x), "rsqrt": lambda x: 1 / mp.sqrt(x), "atan2": mp.atan2,
    "pow": lambda x, y: mp.power(x, int(y) if x < 0 else y),
}  # fmt: skip
SLOW = {"lgamma": 50, "digamma": 50, "trigamma": 30, "erfinv": 60, "erfc": 120, "erf": 120}  # points an interval instead of 500


def unit_of(name: str, x: float, reference: float) -> float:
    """What the error is counted relative to: |y|, but for the functions with zeros between poles."""
    if name == "digamma" or (name == "lgamma" and x < 0):
        other = abs(float(REFERENCE64[name](1.0 - x))) if x < 0 else 0.0
        return max(1.0, abs(reference), other)
    return abs(reference)


def errors_f32(name: str, args: tuple[Any, ...], got: Any) -> Any:
    wide = [a.astype(np.float64) for a in args]
    with np.errstate(all="ignore"):
        reference = REFERENCE64[name](*wide)
        unit = np.abs(reference)
        if name in ("lgamma", "digamma"):
            whole = np.maximum(np.maximum(1.0, unit), np.where(wide[0] < 0, np.abs(REFERENCE64[name](1.0 - wide[0])), 0.0))
            unit = np.where((wide[0] < 0) | (name == "digamma"), whole, unit)
        exponent = np.clip(np.frexp(unit)[1], -125, 128)
        capped = np.clip(reference, -(2.0**128), 2.0**128)
        error = np.abs(np.clip(got.astype(np.float64), -(2.0**128), 2.0**128) - capped) / np.ldexp(1.0, exponent - 24)
    return np.where(np.isnan(reference), np.where(np.isnan(got), 0.0, np.inf), np.where(np.isnan(got), np.inf, error))


@pytest.mark.parametrize("name", sorted(set(DEFINITIONS) - {"fmod"}))
def test_float32_error(name: str) -> None:
    dtype = DTYPES["float32"]
    args = pairs(name, dtype, 20_000) if name in BINARY else (arguments(name, dtype, 20_000),)
    for fused in (True, False):
        error = errors_f32(name, args, run(name, *args, fused=fused))
        worst = int(np.argmax(error))
        assert error[worst] <= ERROR_ULP[name, "float32"], (fused, error[worst], [a[worst] for a in args])


@pytest.mark.parametrize("name", sorted(set(DEFINITIONS) - {"fmod"}))
def test_float64_error(name: str) -> None:
    dtype = DTYPES["float64"]
    count = SLOW.get(name, 500)
    args = pairs(name, dtype, count) if name in BINARY else (arguments(name, dtype, count),)
    results = [run(name, *args, fused=fused) for fused in (True, False)]
    with mpmath.workprec(PRECISION):
        for i, point in enumerate(zip(*args, strict=True)):
            reference = REFERENCE_MP[name](*(mp.mpf(float(v)) for v in point))
            unit = unit_of(name, float(point[0]), reference)
            exponent = min(max(mp.frexp(unit)[1], -1021), 1024)
            for result in results:
                value = mp.mpf(float(result[i])) if np.isfinite(result[i]) else mp.sign(float(result[i])) * mp.mpf(2) ** 1024
                error = abs(value - max(min(reference, mp.mpf(2) ** 1024), -(mp.mpf(2) ** 1024))) / mp.mpf(2) ** (exponent - 53)
                assert error <= ERROR_ULP[name, "float64"], (float(error), point, result[i])


# --- special values ---------------------------------------------------------------------------------
def specials(dtype: np.dtype[Any]) -> Any:
    info = np.finfo(dtype)
    values = [0.0, 1.0, 2.0, 3.0, 7.0, 0.5, 1.5, np.inf, info.smallest_subnormal, info.tiny, info.max, 2.0 ** (info.nmant + 1)]
    return np.array([*values, *(-v for v in values), np.nan], dtype)


# where ours differs from SciPy: an odd function keeps the sign of zero, lgamma(-inf) is as in C99
OURS = {("erfinv", "-0.0"): -0.0, ("lgamma", "-inf"): np.inf}


@pytest.mark.smoke
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_special_values(name: str, dtype: np.dtype[Any]) -> None:
    """NaN, infinities and zeros with their signs, where NumPy and SciPy have them."""
    s = specials(dtype)
    args = (np.repeat(s, s.size), np.tile(s, s.size)) if name in BINARY else (s,)
    with np.errstate(all="ignore"):
        expected = REFERENCE64[name](*(a.astype(np.float64) for a in args)).astype(dtype)
    if name == "lgamma":  # SciPy's overflows for subnormals
        expected[np.abs(s) == np.finfo(dtype).smallest_subnormal] = math.lgamma(float(np.finfo(dtype).smallest_subnormal))
    for (function_name, x), value in OURS.items():
        if function_name == name:
            expected[[str(float(v)) == x for v in s]] = value
    got = run(name, *args)
    for i in range(expected.size):
        e, g = expected[i], got[i]
        at = [a[i] for a in args]
        assert np.isnan(e) == np.isnan(g), (at, g, e)
        if not np.isfinite(e) or not np.isfinite(g) or e == 0 or g == 0:
            assert np.isnan(e) or (e == g and np.signbit(e) == np.signbit(g)), (at, g, e)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_fmod_is_exact(dtype: np.dtype[Any]) -> None:
    x, y = pairs("fmod", dtype, 3000)
    with np.errstate(all="ignore"):
        small = (y * np.random.default_rng(0).uniform(-1e4, 1e4, y.size)).astype(dtype)
        for a in (x, small):
            np.testing.assert_array_equal(run("fmod", a, y), np.fmod(a, y))


@settings(max_examples=60, deadline=None)
@given(st.floats(), st.floats())
def test_fmod_of_any_two_numbers(x: float, y: float) -> None:
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(run("fmod", np.array([x]), np.array([y])), np.fmod([x], [y]))


@settings(max_examples=60, deadline=None)
@given(st.floats(width=32), st.sampled_from(["asin", "asinh", "atan", "atanh", "erf", "erfinv", "expm1", "log1p", "sin", "sinh", "tan", "tanh"]))
def test_float32_against_float64(x: float, name: str) -> None:
    args = (np.array([x], np.float32),)
    assert errors_f32(name, args, run(name, *args))[0] <= ERROR_ULP[name, "float32"]


@settings(max_examples=100, deadline=None)
@given(st.floats(), st.sampled_from(["asin", "asinh", "atan", "atanh", "erf", "erfinv", "sin", "sinh", "tan", "tanh"]))
def test_odd_functions_are_odd_in_every_bit(x: float, name: str) -> None:
    a = np.array([x])
    np.testing.assert_array_equal(np.abs(run(name, -a)), np.abs(run(name, a)))
    if not np.isnan(run(name, a)[0]):
        assert np.signbit(run(name, -a)[0]) != np.signbit(run(name, a)[0])


def test_sine_of_the_double_nearest_to_a_multiple_of_half_pi() -> None:
    """6381956970095103 * 2^797 is 4.7e-19 from one: 60 bits cancel."""
    x = np.array([6381956970095103 * 2.0**797])
    with mpmath.workprec(2000):
        expected = float(mp.cos(mp.mpf(float(x[0]))))
    assert abs(expected) < 1e-18
    for fused in (True, False):
        assert abs(run("cos", x, fused=fused)[0] - expected) <= np.spacing(abs(expected))


# --- the expansion itself ------------------------------------------------------------------------------
@pytest.mark.smoke
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("name", sorted(K.FUNCTIONS))
def test_only_prims_remain(name: str, dtype: np.dtype[Any]) -> None:
    expr, _ = function(name, dtype)
    assert expr.dtype == dtype
    prims = {e.prim for e in K.subexprs(expr) if isinstance(e, K.Call)}
    assert prims <= K.PRIMS
    assert (name, str(dtype)) in ERROR_ULP
    if dtype == K.F32:
        assert K.F64 not in {e.dtype for e in K.subexprs(expr)}, "float32 functions also run where there is no float64"


@pytest.mark.parametrize(("name", "most"), [("exp", 20), ("log", 30), ("tanh", 28), ("sigmoid", 23), ("erf", 33), ("rsqrt", 2)])
def test_hot_functions_stay_short(name: str, most: int) -> None:
    expr, _ = function(name, K.F32)
    assert sum(isinstance(e, K.Call | K.Cast | K.Select) for e in K.subexprs(expr)) <= most


@pytest.mark.smoke
def test_equal_parts_become_one_object() -> None:
    x = K.Var(Symbol("x"), K.F64)

    def size(expr: K.Expr) -> int:
        return sum(1 for _ in K.subexprs(expr))

    sin, cos = expand(K.call("sin", x)), expand(K.call("cos", x))
    both = expand(K.call("sin", x) + K.call("cos", x))
    assert size(both) < 0.6 * (size(sin) + size(cos))
    assert expand(both) is both


def test_a_deep_chain_expands() -> None:
    e: K.Expr = K.Var(Symbol("x"), K.F32)
    for _ in range(20_000):
        e = e * 0.5 + 1.0
    x = next(v.symbol for v in K.subexprs(e) if isinstance(v, K.Var))
    assert evaluate(expand(K.call("exp", e)), {x: np.array([0.0], np.float32)})[0] == pytest.approx(math.exp(2.0), rel=1e-6)


def test_functions_of_integers_are_refused() -> None:
    with pytest.raises(CompileError, match=r"exp .* not for int32") as caught:
        expand(K.call("exp", K.Var(Symbol("n"), K.I32)))
    assert "cast" in caught.value.hint


@pytest.mark.smoke
def test_every_statement_is_expanded() -> None:
    i, v = Symbol("i"), Symbol("v")
    x = K.Buffer("x", K.F32, (8,))
    y = K.Buffer("y", K.F32, (8,), mode=K.Mode.OUT)
    acc = K.Buffer("acc", K.F32, (1,), K.Space.REG)
    at = (Dim.of(i),)
    load = K.Load(x, at)
    wave = K.call("sin", load)
    guarded = K.Load(x, at, wave < 0.5, K.call("cos", load))
    body: K.Block = (
        K.Let(v, K.call("exp", load)),
        K.If(K.call("tanh", load) < 0.0, (K.Store(y, at, K.call("log", load)),), (K.Store(y, at, wave),)),
        K.Mask(wave < 0.0, (K.Fold("dot", acc, (0,), (wave, K.call("erf", load))),)),
        K.Store(y, at, guarded),
        K.Check(K.call("sqrt", load).eq(K.call("rsqrt", load)), 0),
    )
    proc = K.Proc("p", (), (x, y), (K.Alloc(acc), K.For(i, 8, K.Kind.ANY, body)), ("site",))
    assert functions_of(proc) == {"exp", "tanh", "log", "sin", "erf", "cos", "rsqrt"}
    expanded = expand_proc(proc)
    assert functions_of(expanded) == set()
    assert [type(s) for s in K.statements(expanded.body)] == [type(s) for s in K.statements(proc.body)]
    assert (expanded.name, expanded.params, expanded.sites) == ("p", (x, y), ("site",))
    folds = [s for s in K.statements(expanded.body) if isinstance(s, K.Fold)]
    stores = [s for s in K.statements(expanded.body) if isinstance(s, K.Store)]
    assert folds[0].values[0] is stores[1].value  # sin x was one object and is one object


def functions_of(proc: K.Proc) -> set[str]:
    exprs = (e for s in K.statements(proc.body) for own in K.own_exprs(s) for e in K.subexprs(own))
    return {e.prim for e in exprs if isinstance(e, K.Call) and e.prim in K.FUNCTIONS}


def test_the_documented_errors_are_the_stated_ones() -> None:
    text = (Path(__file__).parents[2] / "docs" / "math.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (float\d\d) \| ([\d.]+) \| ([\d.]+) \|", text, re.MULTILINE)
    assert {(name, dtype): float(stated) for name, dtype, stated, _ in rows} == ERROR_ULP
    assert all(float(measured) <= float(stated) for _, _, stated, measured in rows)
