"""Step functions and what they leave over: sign, floor, ceil, round, trunc, floor_divide, mod, fmod.

The steps have the gradient 0 everywhere, the remainders that of the line they follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from graphflow.graph.op import In, Sample, Value, register
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.creation import zeros_like
from graphflow.ops.elementwise import Binary, Grads, Unary, cast, divide, elementwise, multiply, negative, refuse_bool
from graphflow.ops.promotion import coerce, inexact, numeric
from graphflow.ops.public import PUBLIC, public


class Step(Unary):
    """Piecewise constant."""

    kind = "float"

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return zeros_like(x)


@register
class Sign(Step):
    name = "sign"
    kind = "number"
    ufunc = np.sign

    def scalar(self, b: Any, *xs: Value) -> Value:
        (x,) = xs
        zero, one = b.const(x.dtype, 0), b.const(x.dtype, 1)
        rest = b.select(x.eq(0), zero, x) if x.dtype.kind == "f" else zero  # NaN stays NaN
        return b.select(x > 0, one, rest if x.dtype.kind == "u" else b.select(x < 0, -one, rest))


@public
def sign(x: Any) -> Variable:
    """Elementwise -1, 0 or 1; NaN of NaN.  The gradient is 0.  Raises DTypeError for bool."""
    (operand,) = coerce(x)
    refuse_bool("sign", "cast to an integer dtype", operand)
    return elementwise(Sign(), operand)


@register
class Floor(Step):
    name = "floor"
    ufunc = np.floor


@register
class Ceil(Step):
    name = "ceil"
    ufunc = np.ceil


@register
class Trunc(Step):
    name = "trunc"
    ufunc = np.trunc


@register
class Round(Step):
    name = "round"
    prim = "rint"
    ufunc = np.rint


def _step(op: Step, x: Any) -> Variable:
    x = as_variable(x)
    return elementwise(op, x) if x.dtype.kind == "f" else x


@public
def floor(x: Any) -> Variable:
    """Elementwise largest integer not above x, as a float; integers stay as they are.  The gradient is 0."""
    return _step(Floor(), x)


@public
def ceil(x: Any) -> Variable:
    """Elementwise smallest integer not below x, as a float; integers stay as they are.  The gradient is 0."""
    return _step(Ceil(), x)


@public
def trunc(x: Any) -> Variable:
    """Elementwise x without its fraction, as a float; integers stay as they are.  The gradient is 0."""
    return _step(Trunc(), x)


@public
def rint(x: Any) -> Variable:
    """Elementwise nearest integer, halves to even, as a float.  The gradient is 0."""
    return elementwise(Round(), *coerce(x, to=inexact))


@public
def round_(x: Any, decimals: int = 0) -> Variable:
    """Elementwise x to `decimals` places, halves to even; negative places round tens, hundreds ...

    As in NumPy this is rint(x * 10**decimals) / 10**decimals, so decimals that binary floats do
    not have may round either way.  Integers keep their dtype.  The gradient is 0.
    """
    x = as_variable(x)
    if decimals == 0 or (decimals > 0 and x.dtype.kind != "f"):
        return _step(Round(), x)
    factor = float(10 ** abs(decimals))
    if decimals > 0:
        return divide(rint(multiply(x, factor)), factor)
    return cast(multiply(rint(divide(x, factor)), factor), x.dtype)


# --- quotients and remainders --------------------------------------------------------------------
class Remainder(Binary):
    """Division with a remainder; integers divided by 0 give 0, floats NaN or inf."""

    second = (0.6, 3.0)
    cost = 20

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield from super().samples()
        fn = PUBLIC[cls.name]
        yield Sample(fn, (In(("m", "n"), "int", -20, 20), In(("m", "n"), "int", -4, 4)), grad=False, name="all signs")
        yield Sample(fn, (In(("m", "n"), "float", -9.0, 9.0), In(("n",), "float", -3.0, -0.6)), name="negative")


def floor_divmod(b: Any, x: Value, y: Value) -> tuple[Value, Value]:
    """Python's divmod of floats: the remainder is exact and has the sign of y, the quotient fits it."""
    zero = b.const(x.dtype, 0.0)
    rest = b.call("fmod", x, y)
    crossed = rest.ne(0) & ((rest < 0) ^ (y < 0))
    exact = (x - rest) / y
    exact = b.select(crossed, exact - 1, exact)
    whole = b.call("floor", exact)
    whole = b.select(exact - whole > 0.5, whole + 1, whole)
    whole = b.select(exact.eq(0), b.select(x.eq(0), x / y, zero), whole)
    signed_zero = b.select(y < 0, -zero, zero)
    return b.select(y.eq(0), x / y, whole), b.select(crossed, rest + y, b.select(rest.eq(0), signed_zero, rest))


@register
class FloorDivide(Remainder):
    name = "floor_divide"
    ufunc = np.floor_divide

    def scalar(self, b: Any, *xs: Value) -> Value:
        return floor_divmod(b, *xs)[0] if xs[0].dtype.kind == "f" else b.call("idiv", *xs)

    def cotangents(self, g: Variable, x: Variable, y: Variable, z: Variable) -> Grads:
        return zeros_like(x), zeros_like(y)


@register
class Mod(Remainder):
    name = "mod"
    ufunc = np.mod

    def scalar(self, b: Any, *xs: Value) -> Value:
        return floor_divmod(b, *xs)[1] if xs[0].dtype.kind == "f" else b.call("imod", *xs)

    def cotangents(self, g: Variable, x: Variable, y: Variable, z: Variable) -> Grads:
        return g, negative(multiply(g, floor_divide(x, y)))


@register
class FMod(Remainder):
    name = "fmod"
    ufunc = np.fmod

    def scalar(self, b: Any, *xs: Value) -> Value:
        x, y = xs
        if x.dtype.kind == "f":
            return b.call("fmod", x, y)
        rest = b.call("imod", x, y)
        return rest if x.dtype.kind == "u" else b.select(rest.ne(0) & ((x < 0) ^ (y < 0)), rest - y, rest)

    def cotangents(self, g: Variable, x: Variable, y: Variable, z: Variable) -> Grads:
        return g, negative(multiply(g, trunc(divide(x, y))))


@public
def floor_divide(x: Any, y: Any) -> Variable:
    """Elementwise x // y, rounded down; integers by 0 give 0.  The gradient is 0."""
    return elementwise(FloorDivide(), *coerce(x, y, to=numeric))


@public
def mod(x: Any, y: Any) -> Variable:
    """Elementwise x - y * (x // y), with the sign of y; integers by 0 give 0, floats NaN."""
    return elementwise(Mod(), *coerce(x, y, to=numeric))


@public
def fmod(x: Any, y: Any) -> Variable:
    """Elementwise remainder of the division rounded towards 0, with the sign of x, as C's fmod."""
    return elementwise(FMod(), *coerce(x, y, to=numeric))


PUBLIC.update(remainder=mod, around=round_, fix=trunc)
