"""Powers: x**y of floats, and of integers by repeated squaring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from graphflow.graph.errors import DTypeError
from graphflow.graph.op import In, Sample, Value, register
from graphflow.graph.variable import Constant, Variable
from graphflow.ops.elementwise import Binary, Grads, elementwise, multiply, subtract, where
from graphflow.ops.logic import equal
from graphflow.ops.promotion import coerce, numeric
from graphflow.ops.public import PUBLIC, public
from graphflow.ops.transcendental import log


@register
class Power(Binary):
    name = "power"
    cost = 40

    def scalar(self, b: Any, *xs: Value) -> Value:
        x, y = xs
        return b.call("pow", x, y) if x.dtype.kind == "f" else integer_power(b, x, y)

    def reference(self, *arrays: Any) -> Any:
        x, y = arrays
        with np.errstate(all="ignore"):
            if y.dtype.kind != "i":
                return np.power(x, y)
            unit = np.where(x == 1, 1, np.where(x == -1, np.where(y & 1, -1, 1), 0))
            return np.where(y < 0, unit, np.power(x, np.maximum(y, 0))).astype(x.dtype)

    def cotangents(self, g: Variable, x: Variable, y: Variable, z: Variable) -> Grads:
        # y * x**(y - 1) is 0 for y = 0, at x = 0 too, where x**-1 would make it 0 * inf
        below = where(equal(y, 0), 0, subtract(y, 1))
        # 0**y is 0 for all y > 0, so its derivative is 0 and not 0 * log(0)
        slope = multiply(z, log(where(equal(x, 0), 1, x)))
        return multiply(g, multiply(y, power(x, below))), multiply(g, slope)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(power, (In(("m", "n"), "float", 0.2, 2.0), In(("m", "n"))), rtol=4e-6)
        yield Sample(power, (In(("m", "n"), "float", 0.2, 2.0), In(("n",))), rtol=4e-6, name="row")
        yield Sample(power, (In(("m", "n"), "int", -3, 3), In(("m", "n"), "int", 0, 5)), grad=False, name="int")
        yield Sample(power, (In(("m", "n"), "int", -3, 3), In(("m", "n"), "int", -3, 3)), grad=False, name="negative exponents")
        for exponent in (0, 1, 2, 3, -2):
            domain = (-2.0, 2.0) if exponent >= 0 else (0.3, 2.0)
            yield Sample(lambda x, y=exponent: power(x, float(y)), (In(("m", "n"), "float", *domain),), rtol=4e-6, name=f"to the {exponent}")


def integer_power(b: Any, x: Value, n: Value) -> Value:
    """x**n modulo the width, a squaring and a choice for each bit of n; 1 / x towards 0 for n below 0."""
    zero, one = b.const(x.dtype, 0), b.const(x.dtype, 1)
    signed = x.dtype.kind == "i"
    result, square = one, x
    for bit in range(8 * x.dtype.itemsize - signed):
        result = b.select(((n >> bit) & 1).ne(0), result * square, result)
        square = square * square
    if not signed:
        return result
    alternating = b.select((n & 1).ne(0), -one, one)
    unit = b.select(x.eq(1), one, b.select(x.eq(-1), alternating, zero))
    return b.select(n < 0, unit, result)


@public
def power(x: Any, y: Any) -> Variable:
    """Elementwise x**y, with broadcasting.  Floats: NaN for a negative x and a y that is no integer.

    Integers stay integers and wrap.  Raises DTypeError for integers with a constant exponent
    below 0; an exponent below 0 that is known only at run time truncates 1 / x**-y to 0
    (NumPy raises).  Differentiable at x = 0 for constant exponents 0, 1, 2 ...
    """
    base, exponent = coerce(x, y, to=numeric)
    if base.dtype.kind in "iu" and isinstance(exponent, Constant) and bool((exponent.value < 0).any()):
        raise DTypeError("integers to negative integer powers are not integers", hint="cast the base to a float dtype first")
    return elementwise(Power(), base, exponent)


PUBLIC.update(pow=power)
