"""Elementwise functions made of others: x log y, hypot, logaddexp, sinc, copysign, isclose and the like.

Gradients are finite wherever the function's own are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.op import require_equal
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.elementwise import (
    abs_,
    add,
    cast,
    divide,
    maximum,
    minimum,
    multiply,
    negative,
    sqrt,
    square,
    subtract,
    where,
)
from graphflow.ops.logic import equal, greater, isinf, isnan, less, less_equal, logical_and, logical_or, not_equal
from graphflow.ops.power import power
from graphflow.ops.promotion import coerce, inexact
from graphflow.ops.public import public
from graphflow.ops.reduction import all_
from graphflow.ops.rounding import sign
from graphflow.ops.shape import reshape
from graphflow.ops.transcendental import log, log1p, sin, softplus


@public
def add_n(inputs: Sequence[Any]) -> Variable:
    """The sum of tensors, in order.  Raises GraphError for none."""
    if not inputs:
        raise GraphError("add_n: there are no tensors", hint="give at least one")
    return reduce(add, [as_variable(x) for x in inputs])


@public
def bias_add(x: Any, bias: Any, data_format: str = "channels_last") -> Variable:
    """x plus a vector along its last axis, or along axis 1 for 'channels_first'.  Raises ShapeError for what is no vector."""
    x, bias = coerce(x, bias)
    if bias.ndim != 1:
        raise ShapeError(f"bias_add: the bias {bias!r} is not a vector")
    axis = 1 if data_format in ("channels_first", "NCHW") else x.ndim - 1
    require_equal(bias.shape[0], x.shape[axis], "bias_add: the sizes of the bias and of the axis differ")
    return add(x, reshape(bias, tuple(bias.shape[0] if a == axis else 1 for a in range(x.ndim))))


@public
def squared_difference(x: Any, y: Any) -> Variable:
    """Elementwise (x - y)**2."""
    return square(subtract(x, y))


# --- logarithms ----------------------------------------------------------------------------------
@public
def xlogy(x: Any, y: Any) -> Variable:
    """Elementwise x * log(y); 0 where x is 0, for any y but NaN."""
    x, y = coerce(x, y, to=inexact)
    return multiply(x, log(where(logical_and(equal(x, 0), equal(y, y)), 1, y)))


@public
def xlog1py(x: Any, y: Any) -> Variable:
    """Elementwise x * log(1 + y); 0 where x is 0, for any y but NaN."""
    x, y = coerce(x, y, to=inexact)
    return multiply(x, log1p(where(logical_and(equal(x, 0), equal(y, y)), 0, y)))


@public
def xlogx(x: Any) -> Variable:
    """Elementwise x * log(x); 0 at 0, where the gradient is 1."""
    (x,) = coerce(x, to=inexact)
    return xlogy(x, x)


@public
def xdivy(x: Any, y: Any) -> Variable:
    """Elementwise x / y; 0 where x is 0, for any y but NaN."""
    x, y = coerce(x, y, to=inexact)
    return divide(x, where(logical_and(equal(x, 0), equal(y, y)), 1, y))


@public
def divide_no_nan(x: Any, y: Any) -> Variable:
    """Elementwise x / y; 0 where y is 0."""
    x, y = coerce(x, y, to=inexact)
    zero = equal(y, 0)
    return where(zero, 0, divide(x, where(zero, 1, y)))


@public
def logaddexp(x: Any, y: Any) -> Variable:
    """Elementwise log(e**x + e**y) without overflow."""
    x, y = coerce(x, y, to=inexact)
    same = equal(x, y)  # infinities included
    larger, smaller = (where(same, 0, f(x, y)) for f in (maximum, minimum))
    apart = add(larger, softplus(subtract(smaller, larger)))
    return where(same, add(multiply(add(x, y), 0.5), math.log(2)), apart)


@public
def logaddexp2(x: Any, y: Any) -> Variable:
    """Elementwise log2(2**x + 2**y) without overflow."""
    x, y = coerce(x, y, to=inexact)
    return divide(logaddexp(multiply(x, math.log(2)), multiply(y, math.log(2))), math.log(2))


@public
def log_sigmoid(x: Any) -> Variable:
    """Elementwise log(sigmoid(x)), accurate for any x."""
    (x,) = coerce(x, to=inexact)
    return negative(softplus(negative(x)))


# --- geometry ------------------------------------------------------------------------------------
@public
def hypot(x: Any, y: Any) -> Variable:
    """Elementwise sqrt(x**2 + y**2) without overflow; the gradient at (0, 0) is 0."""
    x, y = (abs_(v) for v in coerce(x, y, to=inexact))
    longer, shorter = maximum(x, y), minimum(x, y)
    flat = logical_or(equal(longer, 0), isinf(longer))
    ratio = divide(where(flat, 0, shorter), where(flat, 1, longer))
    return multiply(longer, sqrt(add(square(ratio), 1)))


@public
def deg2rad(x: Any) -> Variable:
    """Elementwise x * pi / 180."""
    (x,) = coerce(x, to=inexact)
    return multiply(x, math.pi / 180)


@public
def rad2deg(x: Any) -> Variable:
    """Elementwise x * 180 / pi."""
    (x,) = coerce(x, to=inexact)
    return multiply(x, 180 / math.pi)


@public
def sinc(x: Any) -> Variable:
    """Elementwise sin(pi x) / (pi x), 1 at 0."""
    (x,) = coerce(x, to=inexact)
    zero = equal(x, 0)
    turned = multiply(where(zero, 1, x), math.pi)
    return where(zero, 1, divide(sin(turned), turned))


@public
def cbrt(x: Any) -> Variable:
    """Elementwise cube root, also of negative numbers; within 2 ulp."""
    (x,) = coerce(x, to=inexact)
    y = multiply(sign(x), power(abs_(x), 1 / 3))
    usable = logical_and(not_equal(y, 0), less(abs_(y), np.inf))
    root = where(usable, y, 1)
    return where(usable, subtract(root, divide(subtract(root, divide(where(usable, x, 1), square(root))), 3)), add(x, y))


# --- signs and specials --------------------------------------------------------------------------
@public
def signbit(x: Any) -> Variable:
    """Elementwise: is x negative?  -0.0 is; so is NaN with a sign, which is not looked at: it is not."""
    (x,) = coerce(x)
    if x.dtype.kind != "f":
        return less(x, 0)
    zero = equal(x, 0)
    return logical_or(less(x, 0), logical_and(zero, less(divide(1, where(zero, x, 1)), 0)))


@public
def copysign(x: Any, y: Any) -> Variable:
    """Elementwise |x| with the sign of y; the gradient flows to x."""
    x, y = coerce(x, y, to=inexact)
    return where(signbit(y), negative(abs_(x)), abs_(x))


@public
def heaviside(x: Any, middle: Any) -> Variable:
    """Elementwise 0 for x < 0, `middle` at 0, 1 for x > 0; NaN for NaN."""
    x, middle = coerce(x, middle, to=inexact)
    return where(isnan(x), x, where(equal(x, 0), middle, cast(greater(x, 0), x.dtype)))


@public
def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Variable:
    """Elementwise x with numbers for NaN and the infinities; the largest finite ones by default."""
    (number,) = coerce(x)
    if number.dtype.kind != "f":
        return number
    largest = float(np.finfo(number.dtype).max)
    high, low = largest if posinf is None else posinf, -largest if neginf is None else neginf
    return where(isnan(number), nan, where(isinf(number), where(greater(number, 0), high, low), number))


@public
def isclose(x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Variable:
    """Elementwise |x - y| <= atol + rtol * |y|; equal infinities are close, NaNs with `equal_nan` only."""
    x, y = coerce(x, y, to=inexact)
    finite = logical_and(less(abs_(x), np.inf), less(abs_(y), np.inf))
    near = less_equal(abs_(subtract(x, y)), add(multiply(abs_(y), rtol), atol))
    close = logical_or(equal(x, y), logical_and(finite, near))
    return logical_or(close, logical_and(isnan(x), isnan(y))) if equal_nan else close


@public
def allclose(x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Variable:
    """Are all elements close, as by `isclose`?  A bool scalar."""
    close: Variable = all_(isclose(x, y, rtol, atol, equal_nan))
    return close
