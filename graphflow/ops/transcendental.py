"""Exponentials, logarithms, circular and hyperbolic functions, sigmoid and softplus.

Integers are taken as floats: float32 up to 16 bits, float64 above.  The compiled functions
are the compiler's own code; the references here are NumPy's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.graph.op import register
from graphflow.graph.variable import Variable
from graphflow.ops.elementwise import (
    Binary,
    Grads,
    Unary,
    add,
    divide,
    elementwise,
    multiply,
    negative,
    rsqrt,
    sqrt,
    square,
    subtract,
)
from graphflow.ops.promotion import coerce, inexact
from graphflow.ops.public import PUBLIC, public


class FloatFunction(Unary):
    """A function on floats."""

    kind = "float"
    cost = 16


# --- exponentials and logarithms -----------------------------------------------------------------
@register
class Exp(FloatFunction):
    name = "exp"
    ufunc = np.exp
    cost = 12

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, y)


@public
def exp(x: Any) -> Variable:
    """Elementwise e**x."""
    return elementwise(Exp(), *coerce(x, to=inexact))


@register
class Exp2(FloatFunction):
    name = "exp2"
    ufunc = np.exp2
    cost = 12

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, multiply(math.log(2), y))


@public
def exp2(x: Any) -> Variable:
    """Elementwise 2**x."""
    return elementwise(Exp2(), *coerce(x, to=inexact))


@register
class Expm1(FloatFunction):
    name = "expm1"
    ufunc = np.expm1

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, exp(x))


@public
def expm1(x: Any) -> Variable:
    """Elementwise e**x - 1, accurate near 0."""
    return elementwise(Expm1(), *coerce(x, to=inexact))


@register
class Log(FloatFunction):
    name = "log"
    ufunc = np.log
    domain = (0.2, 4.0)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return divide(g, x)


@public
def log(x: Any) -> Variable:
    """Elementwise natural logarithm: -inf at 0, NaN below."""
    return elementwise(Log(), *coerce(x, to=inexact))


@register
class Log2(FloatFunction):
    name = "log2"
    ufunc = np.log2
    domain = (0.2, 4.0)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return divide(g, multiply(math.log(2), x))


@public
def log2(x: Any) -> Variable:
    """Elementwise logarithm to base 2."""
    return elementwise(Log2(), *coerce(x, to=inexact))


@register
class Log10(FloatFunction):
    name = "log10"
    ufunc = np.log10
    domain = (0.2, 4.0)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return divide(g, multiply(math.log(10), x))


@public
def log10(x: Any) -> Variable:
    """Elementwise logarithm to base 10."""
    return elementwise(Log10(), *coerce(x, to=inexact))


@register
class Log1p(FloatFunction):
    name = "log1p"
    ufunc = np.log1p
    domain = (-0.8, 4.0)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return divide(g, add(1, x))


@public
def log1p(x: Any) -> Variable:
    """Elementwise log(1 + x), accurate near 0."""
    return elementwise(Log1p(), *coerce(x, to=inexact))


# --- circular functions --------------------------------------------------------------------------
@register
class Sin(FloatFunction):
    name = "sin"
    ufunc = np.sin

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, cos(x))


@public
def sin(x: Any) -> Variable:
    """Elementwise sine of an angle in radians."""
    return elementwise(Sin(), *coerce(x, to=inexact))


@register
class Cos(FloatFunction):
    name = "cos"
    ufunc = np.cos

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return negative(multiply(g, sin(x)))


@public
def cos(x: Any) -> Variable:
    """Elementwise cosine of an angle in radians."""
    return elementwise(Cos(), *coerce(x, to=inexact))


@register
class Tan(FloatFunction):
    name = "tan"
    ufunc = np.tan
    domain = (-1.2, 1.2)
    cost = 24

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, add(1, square(y)))


@public
def tan(x: Any) -> Variable:
    """Elementwise tangent of an angle in radians."""
    return elementwise(Tan(), *coerce(x, to=inexact))


def _one_minus_square(x: Variable) -> Variable:
    """1 - x**2 without cancellation near 1."""
    return multiply(subtract(1, x), add(1, x))


@register
class Arcsin(FloatFunction):
    name = "arcsin"
    prim = "asin"
    ufunc = np.arcsin
    domain = (-0.9, 0.9)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, rsqrt(_one_minus_square(x)))


@public
def arcsin(x: Any) -> Variable:
    """Elementwise inverse sine, from -pi/2 to pi/2; NaN outside -1 .. 1."""
    return elementwise(Arcsin(), *coerce(x, to=inexact))


@register
class Arccos(FloatFunction):
    name = "arccos"
    prim = "acos"
    ufunc = np.arccos
    domain = (-0.9, 0.9)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return negative(multiply(g, rsqrt(_one_minus_square(x))))


@public
def arccos(x: Any) -> Variable:
    """Elementwise inverse cosine, from 0 to pi; NaN outside -1 .. 1."""
    return elementwise(Arccos(), *coerce(x, to=inexact))


@register
class Arctan(FloatFunction):
    name = "arctan"
    prim = "atan"
    ufunc = np.arctan

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return divide(g, add(1, square(x)))


@public
def arctan(x: Any) -> Variable:
    """Elementwise inverse tangent, from -pi/2 to pi/2."""
    return elementwise(Arctan(), *coerce(x, to=inexact))


@register
class Arctan2(Binary):
    name = "arctan2"
    prim = "atan2"
    ufunc = np.arctan2
    kind = "float"
    second = (0.2, 2.0)
    cost = 24

    def cotangents(self, g: Variable, x: Variable, y: Variable, z: Variable) -> Grads:
        share = divide(g, add(square(x), square(y)))
        return multiply(share, y), negative(multiply(share, x))


@public
def arctan2(y: Any, x: Any) -> Variable:
    """Elementwise angle of the point (x, y), from -pi to pi; mind the order of the arguments."""
    return elementwise(Arctan2(), *coerce(y, x, to=inexact))


# --- hyperbolic functions ------------------------------------------------------------------------
@register
class Sinh(FloatFunction):
    name = "sinh"
    ufunc = np.sinh

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, cosh(x))


@public
def sinh(x: Any) -> Variable:
    """Elementwise hyperbolic sine."""
    return elementwise(Sinh(), *coerce(x, to=inexact))


@register
class Cosh(FloatFunction):
    name = "cosh"
    ufunc = np.cosh

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, sinh(x))


@public
def cosh(x: Any) -> Variable:
    """Elementwise hyperbolic cosine."""
    return elementwise(Cosh(), *coerce(x, to=inexact))


@register
class Tanh(FloatFunction):
    name = "tanh"
    ufunc = np.tanh

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, subtract(1, square(y)))


@public
def tanh(x: Any) -> Variable:
    """Elementwise hyperbolic tangent."""
    return elementwise(Tanh(), *coerce(x, to=inexact))


@register
class Arcsinh(FloatFunction):
    name = "arcsinh"
    prim = "asinh"
    ufunc = np.arcsinh
    cost = 24

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, rsqrt(add(square(x), 1)))


@public
def arcsinh(x: Any) -> Variable:
    """Elementwise inverse hyperbolic sine."""
    return elementwise(Arcsinh(), *coerce(x, to=inexact))


@register
class Arccosh(FloatFunction):
    name = "arccosh"
    prim = "acosh"
    ufunc = np.arccosh
    domain = (1.2, 4.0)
    cost = 24

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return divide(g, multiply(sqrt(subtract(x, 1)), sqrt(add(x, 1))))


@public
def arccosh(x: Any) -> Variable:
    """Elementwise inverse hyperbolic cosine; NaN below 1."""
    return elementwise(Arccosh(), *coerce(x, to=inexact))


@register
class Arctanh(FloatFunction):
    name = "arctanh"
    prim = "atanh"
    ufunc = np.arctanh
    domain = (-0.9, 0.9)
    cost = 24

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return divide(g, _one_minus_square(x))


@public
def arctanh(x: Any) -> Variable:
    """Elementwise inverse hyperbolic tangent; NaN outside -1 .. 1."""
    return elementwise(Arctanh(), *coerce(x, to=inexact))


# --- sigmoid and its integral --------------------------------------------------------------------
@register
class Sigmoid(FloatFunction):
    name = "sigmoid"

    def reference(self, *arrays: Any) -> Any:
        (x,) = arrays
        decay = np.exp(-np.abs(x))  # at most 1: no overflow on either side
        return np.where(x >= 0, 1, decay) / (1 + decay)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, multiply(y, subtract(1, y)))


@public
def sigmoid(x: Any) -> Variable:
    """Elementwise 1 / (1 + e**-x), without overflow."""
    return elementwise(Sigmoid(), *coerce(x, to=inexact))


@register
class Softplus(FloatFunction):
    name = "softplus"
    cost = 28

    def reference(self, *arrays: Any) -> Any:
        (x,) = arrays
        with np.errstate(all="ignore"):
            return np.logaddexp(x, x.dtype.type(0))

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, sigmoid(x))


@public
def softplus(x: Any) -> Variable:
    """Elementwise log(1 + e**x), without overflow; its derivative is the sigmoid."""
    return elementwise(Softplus(), *coerce(x, to=inexact))


PUBLIC.update(
    asin=arcsin, acos=arccos, atan=arctan, atan2=arctan2, asinh=arcsinh, acosh=arccosh, atanh=arctanh,
)  # fmt: skip
