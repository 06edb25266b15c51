"""The FUNCTIONS of the Kernel IR as prims: exp, log, sin, erf, pow ... in straight lines that vectorise.

`expand` replaces every call of a function by its definition at the dtype of the call; the
definitions are in the sibling files, one family each.  They use no table look-up, no branch and
no call of a library, so each target computes the same function, and they hold for every
argument: subnormal arguments and results, signed zeros, infinities and NaN (as NumPy and SciPy
have them, and C99 annex F for pow and atan2).  No definition needs `muladd` to be fused, and no
float32 one computes in float64.

`ERROR_ULP` states the largest error of each, in units in the last place of the exact result,
fused or not.  Exceptions to that unit: digamma's is relative to max(1, |y|), and left of zero
lgamma's and digamma's are relative to max(1, |y|, |f(1 - x)|), for these have zeros between poles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from graphflow.compiler.kernel import (
    FUNCTIONS,
    Bits,
    Block,
    Call,
    Cast,
    Check,
    Const,
    Expr,
    Fold,
    For,
    If,
    Let,
    Load,
    Mask,
    Proc,
    Select,
    Stmt,
    Store,
    children,
)
from graphflow.compiler.math.error_function import erf, erfc, erfinv
from graphflow.compiler.math.exponential import cosh, exp, exp2, expm1, sigmoid, sinh, tanh
from graphflow.compiler.math.floating import FORMATS
from graphflow.compiler.math.gamma import digamma, lgamma, trigamma
from graphflow.compiler.math.inverse_trigonometric import acos, asin, atan, atan2
from graphflow.compiler.math.logarithm import acosh, asinh, atanh, log, log1p, log2, log10, softplus
from graphflow.compiler.math.power import fmod, pow, rsqrt
from graphflow.compiler.math.trigonometric import cos, sin, tan
from graphflow.graph.errors import CompileError

__all__ = ["DEFINITIONS", "ERROR_ULP", "expand", "expand_proc"]

DEFINITIONS: dict[str, Callable[..., Expr]] = {
    f.__name__: f
    for f in (
        exp, exp2, expm1, sinh, cosh, tanh, sigmoid, log, log2, log10, log1p, softplus, asinh, acosh, atanh, pow, rsqrt, fmod,
        sin, cos, tan, asin, acos, atan, atan2, erf, erfc, erfinv, lgamma, digamma, trigamma,
    )
}  # fmt: skip

# The same for both dtypes: the fits are made to err well under the roundings.
STATED: dict[str, float] = {
    "exp": 1.5, "exp2": 1.5, "expm1": 1.5, "sinh": 2.0, "cosh": 2.0, "tanh": 2.0, "sigmoid": 2.0,
    "log": 1.0, "log2": 1.0, "log10": 1.0, "log1p": 1.0, "softplus": 2.0, "asinh": 1.5, "acosh": 2.0, "atanh": 1.5,
    "pow": 1.5, "rsqrt": 1.5, "fmod": 0.0,
    "sin": 1.0, "cos": 1.0, "tan": 2.0, "asin": 1.0, "acos": 1.0, "atan": 1.5, "atan2": 2.0,
    "erf": 1.5, "erfc": 4.0, "erfinv": 3.0, "lgamma": 4.0, "digamma": 8.0, "trigamma": 6.0,
}  # fmt: skip

ERROR_ULP: dict[tuple[str, str], float] = {(name, dtype.name): error for name, error in STATED.items() for dtype in FORMATS}


def expand(expr: Expr) -> Expr:
    """`expr` without calls of FUNCTIONS.  Raises CompileError for one at another dtype than float32 or float64."""
    return Expansion().expr(expr)


def expand_proc(proc: Proc) -> Proc:
    """`proc` with every expression of every statement expanded; what they share stays shared."""
    return replace(proc, body=Expansion().block(proc.body))


class Expansion:
    """One pass over expressions: every object once, equal ones made one (sin x and cos x share their reduction)."""

    def __init__(self) -> None:
        self.done: dict[Expr, Expr] = {}
        self.known: dict[tuple[object, ...], Expr] = {}

    def expr(self, root: Expr) -> Expr:
        stack = [root]
        while stack:
            e = stack[-1]
            if e in self.done:
                stack.pop()
            elif pending := [c for c in children(e) if c not in self.done]:
                stack.extend(reversed(pending))
            else:
                self.done[e] = self.result(e, tuple(self.done[c] for c in children(e)))
        return self.done[root]

    def result(self, e: Expr, args: tuple[Expr, ...]) -> Expr:
        """`e` with expanded children `args`, or the equal expression met before."""
        if isinstance(e, Call) and e.prim in FUNCTIONS:
            if e.dtype not in FORMATS:
                raise CompileError(f"{e.prim} is defined for float32 and float64, not for {e.dtype}", hint="cast the operand first")
            for a in args:
                self.done[a] = a
            return self.expr(DEFINITIONS[e.prim](*args))
        key = identity(e, args)
        if key is None:
            return e if args == children(e) else with_children(e, args)
        if key not in self.known:
            self.known[key] = e if args == children(e) else with_children(e, args)
        return self.known[key]

    def block(self, body: Block) -> Block:
        return tuple(self.stmt(s) for s in body)

    def stmt(self, s: Stmt) -> Stmt:
        match s:
            case For():
                return replace(s, body=self.block(s.body))
            case If():
                return If(self.expr(s.cond), self.block(s.yes), self.block(s.no))
            case Mask():
                return Mask(self.expr(s.cond), self.block(s.body))
            case Let() | Store():
                return replace(s, value=self.expr(s.value))
            case Fold():
                return replace(s, values=tuple(self.expr(v) for v in s.values))
            case Check():
                return replace(s, ok=self.expr(s.ok))
        return s


def identity(e: Expr, args: tuple[Expr, ...]) -> tuple[object, ...] | None:
    """What makes two expressions of the same kind and children equal; None for those that stay objects of their own."""
    match e:
        case Const():
            return (Const, e.dtype, np.asarray(e.value).tobytes())
        case Call():
            return (Call, e.prim, *args)
        case Cast() | Bits():
            return (type(e), e.dtype, *args)
        case Select():
            return (Select, *args)
    return None


def with_children(e: Expr, args: tuple[Expr, ...]) -> Expr:
    match e:
        case Call():
            return Call(e.prim, args, e.dtype)
        case Cast() | Bits():
            return type(e)(e.dtype, args[0])
        case Select():
            return Select(*args)
        case Load():
            rest = iter(args)
            return replace(e, where=None if e.where is None else next(rest), other=None if e.other is None else next(rest))
    raise CompileError(f"an expression of kind {type(e).__name__} has no children to replace")
