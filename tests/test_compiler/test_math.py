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
from graphflow.graph.dim import Symbol
from graphflow.graph.errors import CompileError

DTYPES = {"float32": np.dtype("float32"), "float64": np.dtype("float64")}
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
    "lgamma": ((0, 4), (-6, 10), (-170, 200), (0, 1e300)), "digamma": ((0, 4), (-6, 10), (-1e4, 1e10)), "trigamma": ((0, 4), (-6, 10), (-1e4, 1e10)),
    "rsqrt": ((0, 4), (0, ALL)),
}  # fmt: skip
LARGEST = {"exp": 700.0, "exp2": 1000.0, "expm1": 700.0, "sinh": 700.0, "cosh": 700.0, "tanh": 18.0, "sigmoid": 700.0, "softplus": 700.0,
           "erf": 5.0, "erfc": 26.0, "asin": 1.0, "acos": 1.0, "atanh": 1.0, "erfinv": 1.0, "lgamma": 1e6, "digamma": 1e6, "trigamma": 1e6}  # fmt: skip
POSITIVE = {"log", "log2", "log10", "acosh", "rsqrt"}


def arguments(name: str, dtype: np.dtype[Any], count: int) -> Any:
    """Uniform in the intervals, and uniform in exponent down to the subnormals."""
    rng = np.random.default_rng(sum(map(ord, name)))
    top = float(np.finfo(dtype).max) * 0.99
    parts = [rng.uniform(max(lo, -top) * 0.5, min(hi, top) * 0.5, count) * 2 for lo, hi in INTERVALS[name]]
    low = -149 if dtype == np.float32 else -1074
    size = 2.0 ** rng.uniform(low / 2, math.log2(min(LARGEST.get(name, top), top)) / 2, count)
    parts.append(size * size * (1 if name in POSITIVE else rng.choice([-1, 1], count)))
    x = np.concatenate(parts).astype(dtype)
    return x[x > 0] if name in POSITIVE else x


def pairs(name: str, dtype: np.dtype[Any], count: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(sum(map(ord, name)))
    half = 74 if dtype == np.float32 else 537
    size = lambda: (2.0 ** rng.uniform(-half, half - 12, count)) ** 2 * rng.choice([-1, 1], count)  # noqa: E731
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

mp = mpmath.mp.clone() if hasattr(mpmath.mp, "clone") else mpmath.mp
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
    return mp.re(mp.loggamma(x)) if x > 0 else mp.log(mp.pi / abs(mp.sinpi(x))) - mp.re(mp.loggamma(1 - x))


REFERENCE_MP: dict[str, Callable[..., Any]] = {
    "exp": mp.exp, "exp2": lambda x: mp.mpf(2) ** x, "expm1": mp.expm1, "sinh": mp.sinh, "cosh": mp.cosh, "tanh": mp.tanh,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)), "log": mp.log, "log2": lambda x: mp.log(x, 2), "log10": mp.log10, "log1p": mp.log1p,
    "softplus": mp_softplus, "asinh": mp.asinh, "acosh": mp.acosh, "atanh": mp.atanh, "sin": mp.sin, "cos": mp.cos, "tan": mp.tan,
    "asin": mp.asin, "acos": mp.acos, "atan": mp.atan, "erf": mp.erf, "erfc": mp.erfc, "erfinv": mp_erfinv, "lgamma": mp_lgamma,
    "digamma": mp.digamma, "trigamma": lambda x: mp.polygamma(1, x), "rsqrt": lambda x: 1 / mp.sqrt(x),
    "pow": lambda x, y: mp.mpf(x) ** (int(y) if x < 0 else mp.mpf(y)), "atan2": lambda y, x: mp.atan2(y, x),
}  # fmt: skip
SLOW = {"lgamma": 120, "digamma": 100, "trigamma": 60, "erfinv": 150, "erfc": 300, "erf": 300}
