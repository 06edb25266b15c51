"""Comparisons, logic on bools, bits of integers, tests for NaN and infinity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from graphflow.graph.errors import DTypeError
from graphflow.graph.op import In, Sample, Value, register
from graphflow.graph.types import DType
from graphflow.graph.variable import Variable, as_variable, constant
from graphflow.ops.creation import ones_like, zeros_like
from graphflow.ops.elementwise import BOOL, Binary, Unary, cast, elementwise, truth, where
from graphflow.ops.promotion import coerce, common_dtype, is_weak, numeric
from graphflow.ops.public import PUBLIC, public


# --- comparisons ---------------------------------------------------------------------------------
class Comparison(Binary):
    """The result is bool; comparing with NaN is False (True for not_equal)."""

    kind = "any"

    def result_dtype(self, *dtypes: DType) -> DType:
        return BOOL

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for sample in super().samples():
            yield Sample(sample.make, sample.inputs, grad=False, name=sample.name)


@register
class Equal(Comparison):
    name = "equal"
    commutative = True
    ufunc = np.equal

    def scalar(self, b: Any, *xs: Value) -> Value:
        x, y = xs
        return ~(x ^ y) if x.dtype.kind == "b" else x.eq(y)


@register
class NotEqual(Comparison):
    name = "not_equal"
    commutative = True
    ufunc = np.not_equal

    def scalar(self, b: Any, *xs: Value) -> Value:
        x, y = xs
        return x ^ y if x.dtype.kind == "b" else x.ne(y)


@register
class Less(Comparison):
    name = "less"
    ufunc = np.less

    def scalar(self, b: Any, *xs: Value) -> Value:
        x, y = xs
        return ~x & y if x.dtype.kind == "b" else x < y


@register
class LessEqual(Comparison):
    name = "less_equal"
    ufunc = np.less_equal

    def scalar(self, b: Any, *xs: Value) -> Value:
        x, y = xs
        return ~x | y if x.dtype.kind == "b" else x <= y


def compare(op: Comparison, x: Any, y: Any) -> Variable:
    """op on x and y, exact for every pair of integers as in NumPy 2: no detour through floats."""
    x, y = _fitting(x, y), _fitting(y, x)
    if not is_weak(x) and not is_weak(y):
        x, y = as_variable(x), as_variable(y)
        if {x.dtype.kind, y.dtype.kind} == {"i", "u"} and common_dtype((x, y)).kind == "f":
            return _compare_with_uint64(op, x, y)
    return elementwise(op, *coerce(x, y))


def _fitting(value: Any, other: Any) -> Any:
    """A Python integer too large for the dtype it meets becomes a constant with a dtype of its own."""
    if isinstance(value, int) and is_weak(value) and not is_weak(other):
        dtype = common_dtype((other,))
        if dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            return constant(value)
    return value


def _compare_with_uint64(op: Comparison, x: Variable, y: Variable) -> Variable:
    """Where the signed side is negative the answer is known; elsewhere both sides are uint64."""
    signed, known = (x, op.ufunc(-1, 0)) if x.dtype.kind == "i" else (y, op.ufunc(0, -1))
    unsigned = elementwise(op, cast(x, "uint64"), cast(y, "uint64"))
    return where(elementwise(Less(), signed, constant(0, signed.dtype)), bool(known), unsigned)


@public
def equal(x: Any, y: Any) -> Variable:
    """Elementwise x == y as bool, with broadcasting (the operator `==` is identity of Variables)."""
    return compare(Equal(), x, y)


@public
def not_equal(x: Any, y: Any) -> Variable:
    """Elementwise x != y as bool, with broadcasting."""
    return compare(NotEqual(), x, y)


@public
def less(x: Any, y: Any) -> Variable:
    """Elementwise x < y as bool, with broadcasting."""
    return compare(Less(), x, y)


@public
def less_equal(x: Any, y: Any) -> Variable:
    """Elementwise x <= y as bool, with broadcasting."""
    return compare(LessEqual(), x, y)


@public
def greater(x: Any, y: Any) -> Variable:
    """Elementwise x > y as bool, with broadcasting; the op is `less` with the sides exchanged."""
    return compare(Less(), y, x)


@public
def greater_equal(x: Any, y: Any) -> Variable:
    """Elementwise x >= y as bool, with broadcasting; the op is `less_equal` with the sides exchanged."""
    return compare(LessEqual(), y, x)


# --- bits of integers, logic on bools ------------------------------------------------------------
class Bitwise(Binary):
    """Bits of integers; on bools the logical operation."""

    kind = "int"
    commutative = True

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        fn = PUBLIC[cls.name]
        yield Sample(fn, (In(("m", "n"), "int"), In(("m", "n"), "int")), grad=False)
        yield Sample(fn, (In(("m", "n"), "bool"), In(("n",), "bool")), grad=False, name="bool row")


@register
class BitwiseAnd(Bitwise):
    name = "bitwise_and"
    prim = "and"
    ufunc = np.bitwise_and


@register
class BitwiseOr(Bitwise):
    name = "bitwise_or"
    prim = "or"
    ufunc = np.bitwise_or


@register
class BitwiseXor(Bitwise):
    name = "bitwise_xor"
    prim = "xor"
    ufunc = np.bitwise_xor


@register
class Invert(Unary):
    name = "invert"
    prim = "not"
    ufunc = np.invert

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for kind in ("int", "bool"):
            yield Sample(invert, (In(("m", "n"), kind),), grad=False, name=kind)


class Shift(Binary):
    """A shift by the width or more leaves 0, or -1 of a negative number shifted right."""

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        fn = PUBLIC[cls.name]
        yield Sample(fn, (In(("m", "n"), "int", -100, 100), In(("m", "n"), "int", 0, 9)), grad=False)
        yield Sample(fn, (In(("m", "n"), "int", -100, 100), In((1, "n"), "int", 0, 80)), grad=False, name="far")


@register
class LeftShift(Shift):
    name = "left_shift"
    prim = "shl"
    ufunc = np.left_shift


@register
class RightShift(Shift):
    name = "right_shift"
    prim = "shr"
    ufunc = np.right_shift


def _integers(name: str, *operands: Variable) -> tuple[Variable, ...]:
    if operands[0].dtype.kind not in "iub":
        raise DTypeError(f"{name} needs integers or bools, and the operands have the dtype {operands[0].dtype.name}", hint="cast them first")
    return operands


@public
def bitwise_and(x: Any, y: Any) -> Variable:
    """Elementwise bits of both x and y.  Raises DTypeError for floats."""
    return elementwise(BitwiseAnd(), *_integers("bitwise_and", *coerce(x, y)))


@public
def bitwise_or(x: Any, y: Any) -> Variable:
    """Elementwise bits of x or y.  Raises DTypeError for floats."""
    return elementwise(BitwiseOr(), *_integers("bitwise_or", *coerce(x, y)))


@public
def bitwise_xor(x: Any, y: Any) -> Variable:
    """Elementwise bits of either x or y but not both.  Raises DTypeError for floats."""
    return elementwise(BitwiseXor(), *_integers("bitwise_xor", *coerce(x, y)))


@public
def invert(x: Any) -> Variable:
    """Elementwise ~x: all bits exchanged, `not` for bool.  Raises DTypeError for floats."""
    return elementwise(Invert(), *_integers("invert", *coerce(x)))


@public
def left_shift(x: Any, y: Any) -> Variable:
    """Elementwise x << y; 0 where y is the width or more.  Raises DTypeError for floats."""
    return elementwise(LeftShift(), *_integers("left_shift", *coerce(x, y, to=numeric)))


@public
def right_shift(x: Any, y: Any) -> Variable:
    """Elementwise x >> y, which keeps the sign.  Raises DTypeError for floats."""
    return elementwise(RightShift(), *_integers("right_shift", *coerce(x, y, to=numeric)))


@public
def logical_and(x: Any, y: Any) -> Variable:
    """Elementwise `x and y` as bool; what is not 0 is True, NaN included."""
    return elementwise(BitwiseAnd(), truth(x), truth(y))


@public
def logical_or(x: Any, y: Any) -> Variable:
    """Elementwise `x or y` as bool; what is not 0 is True."""
    return elementwise(BitwiseOr(), truth(x), truth(y))


@public
def logical_xor(x: Any, y: Any) -> Variable:
    """Elementwise: one of x and y is not 0, as bool."""
    return elementwise(BitwiseXor(), truth(x), truth(y))


@public
def logical_not(x: Any) -> Variable:
    """Elementwise x == 0, as bool."""
    return elementwise(Invert(), truth(x))


# --- NaN and infinity ----------------------------------------------------------------------------
class FloatTest(Unary):
    """A property of a float, as bool; the functions answer for integers without a kernel."""

    kind = "float"

    def result_dtype(self, *dtypes: DType) -> DType:
        return BOOL

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        fn = PUBLIC[cls.name]
        yield Sample(lambda x: fn(x), (In(("m", "n"), "any"),), grad=False)
        yield Sample(lambda x: fn(_with_specials(x)), (In(("m", "n"), "float"),), grad=False, name="specials")


def _with_specials(x: Variable) -> Variable:
    """inf above 1, -inf below -1, NaN between -0.5 and 0."""
    x = where(greater(x, 1), np.inf, where(less(x, -1), -np.inf, x))
    return where(logical_and(less(x, 0), greater(x, -0.5)), np.nan, x)


@register
class IsNan(FloatTest):
    name = "isnan"
    ufunc = np.isnan

    def scalar(self, b: Any, *xs: Value) -> Value:
        return xs[0].ne(xs[0])


@register
class IsInf(FloatTest):
    name = "isinf"
    ufunc = np.isinf

    def scalar(self, b: Any, *xs: Value) -> Value:
        return b.call("abs", xs[0]).eq(np.inf)


@register
class IsFinite(FloatTest):
    name = "isfinite"
    ufunc = np.isfinite

    def scalar(self, b: Any, *xs: Value) -> Value:
        return b.call("abs", xs[0]) < np.inf


@public
def isnan(x: Any) -> Variable:
    """Elementwise: x is NaN, as bool; False for integers."""
    x = as_variable(x)
    return elementwise(IsNan(), x) if x.dtype.kind == "f" else zeros_like(x, BOOL)


@public
def isinf(x: Any) -> Variable:
    """Elementwise: x is inf or -inf, as bool; False for integers."""
    x = as_variable(x)
    return elementwise(IsInf(), x) if x.dtype.kind == "f" else zeros_like(x, BOOL)


@public
def isfinite(x: Any) -> Variable:
    """Elementwise: x is neither NaN nor infinite, as bool; True for integers."""
    x = as_variable(x)
    return elementwise(IsFinite(), x) if x.dtype.kind == "f" else ones_like(x, BOOL)
