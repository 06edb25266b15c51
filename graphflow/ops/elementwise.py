"""Arithmetic on elements, where, maximum and minimum, cast, and the bases of all elementwise ops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from graphflow.graph.errors import DTypeError
from graphflow.graph.op import In, Op, Sample, ScalarOp, Value, register
from graphflow.graph.types import DType, as_dtype, is_float, is_half
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.half import rounded
from graphflow.ops.promotion import coerce, inexact, numeric, quotient
from graphflow.ops.public import PUBLIC, public

Grads = Sequence[Variable | None]
BOOL = np.dtype(bool)


# --- bases -------------------------------------------------------------------------------------
class Elementwise(ScalarOp):
    """NumPy's `ufunc`, and `prim` in the Kernel IR (the op's own name by default).

    The class says how its samples look: `kind` of dtype and `domain` of values, away from poles and kinks.
    """

    ufunc: ClassVar[Any]
    prim: ClassVar[str] = ""
    prim_on_bool: ClassVar[str] = ""
    kind: ClassVar[str] = "number"
    domain: ClassVar[tuple[float, float]] = (-2.0, 2.0)
    rtol: ClassVar[float] = 2e-6

    def scalar(self, b: Any, *xs: Value) -> Value:
        if self.prim_on_bool and xs[0].dtype.kind == "b":
            return b.call(self.prim_on_bool, *xs)
        return b.call(self.prim or self.name, *xs)

    def reference(self, *arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            return self.ufunc(*arrays)


class Unary(Elementwise):
    """A function of one element; `cotangent` pulls g back where the result is a float."""

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        """g * dy/dx."""
        raise NotImplementedError

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x,), (y,), (g,) = inputs, outputs, grads
        return (None if g is None or y.dtype.kind != "f" else self.cotangent(g, x, y),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(PUBLIC[cls.name], (In(("m", "n"), cls.kind, *cls.domain),), rtol=cls.rtol)


class Binary(Elementwise):
    """A function of two elements; `second` is the domain of the second where it differs."""

    second: ClassVar[tuple[float, float] | None] = None

    def cotangents(self, g: Variable, x: Variable, y: Variable, z: Variable) -> Grads:
        """g * dz/dx and g * dz/dy."""
        raise NotImplementedError

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x, y), (z,), (g,) = inputs, outputs, grads
        return (None, None) if g is None or z.dtype.kind != "f" else self.cotangents(g, x, y, z)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        first, second = cls.domain, cls.second or cls.domain
        for shape, name in ((("m", "n"), ""), (("n",), "row"), (("m", 1), "column")):
            kind = "float" if name and cls.kind == "number" else cls.kind
            yield Sample(PUBLIC[cls.name], (In(("m", "n"), kind, *first), In(shape, kind, *second)), rtol=cls.rtol, name=name)


def elementwise(op: Op, *operands: Variable) -> Variable:
    """op applied to operands that have their dtype already."""
    result: Variable = op(*operands)
    return result


def refuse_bool(name: str, hint: str, *operands: Variable) -> None:
    """DTypeError for the functions NumPy has no meaning for on bool."""
    if operands[0].dtype.kind == "b":
        raise DTypeError(f"{name} has no meaning on bool", hint=hint)


# --- sums and products ---------------------------------------------------------------------------
@register
class Add(Binary):
    name = "add"
    prim_on_bool = "or"
    commutative = True
    ufunc = np.add

    def cotangents(self, g: Variable, x: Variable, y: Variable, z: Variable) -> Grads:
        return g, g


@public
def add(x: Any, y: Any) -> Variable:
    """Elementwise x + y (`or` for bool), with broadcasting; integers wrap."""
    return elementwise(Add(), *coerce(x, y))


@register
class Subtract(Binary):
    name = "subtract"
    prim = "sub"
    ufunc = np.subtract

    def cotangents(self, g: Variable, x: Variable, y: Variable, z: Variable) -> Grads:
        return g, negative(g)


@public
def subtract(x: Any, y: Any) -> Variable:
    """Elementwise x - y, with broadcasting; integers wrap.  Raises DTypeError for two bools."""
    operands = coerce(x, y)
    refuse_bool("subtract", "use gf.logical_xor, or cast to an integer dtype", *operands)
    return elementwise(Subtract(), *operands)


@register
class Multiply(Binary):
    name = "multiply"
    prim = "mul"
    prim_on_bool = "and"
    commutative = True
    ufunc = np.multiply

    def cotangents(self, g: Variable, x: Variable, y: Variable, z: Variable) -> Grads:
        return multiply(g, y), multiply(g, x)


@public
def multiply(x: Any, y: Any) -> Variable:
    """Elementwise x * y (`and` for bool), with broadcasting; integers wrap."""
    return elementwise(Multiply(), *coerce(x, y))


@register
class Divide(Binary):
    name = "divide"
    prim = "div"
    ufunc = np.true_divide
    kind = "float"
    second = (0.5, 2.0)

    def cotangents(self, g: Variable, x: Variable, y: Variable, z: Variable) -> Grads:
        share = divide(g, y)
        return share, negative(multiply(share, z))


@public
def divide(x: Any, y: Any) -> Variable:
    """Elementwise x / y, with broadcasting.  Integers of any width divide in float64; x / 0 is inf or NaN."""
    return elementwise(Divide(), *coerce(x, y, to=quotient))


@register
class Negative(Unary):
    name = "negative"
    prim = "neg"
    ufunc = np.negative

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return negative(g)


@public
def negative(x: Any) -> Variable:
    """Elementwise -x; unsigned integers wrap.  Raises DTypeError for bool."""
    operands = coerce(x)
    refuse_bool("negative", "use gf.logical_not", *operands)
    return elementwise(Negative(), *operands)


@register
class Reciprocal(Unary):
    name = "reciprocal"
    ufunc = np.reciprocal
    kind = "float"
    domain = (0.5, 2.0)

    def scalar(self, b: Any, *xs: Value) -> Value:
        return 1 / xs[0]

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return negative(multiply(g, square(y)))


@public
def reciprocal(x: Any) -> Variable:
    """Elementwise 1 / x of floats.  Raises DTypeError for integers, where NumPy truncates to 0."""
    (operand,) = coerce(x)
    if operand.dtype.kind != "f":
        raise DTypeError(f"the reciprocal of {operand.dtype.name} would truncate to 0", hint="use gf.divide(1, x)")
    return elementwise(Reciprocal(), operand)


# --- powers and roots ----------------------------------------------------------------------------
@register
class Square(Unary):
    name = "square"
    ufunc = np.square

    def scalar(self, b: Any, *xs: Value) -> Value:
        return xs[0] * xs[0]

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(g, multiply(2, x))


@public
def square(x: Any) -> Variable:
    """Elementwise x * x; integers wrap."""
    return elementwise(Square(), *coerce(x, to=numeric))


@register
class Sqrt(Unary):
    name = "sqrt"
    ufunc = np.sqrt
    kind = "float"
    domain = (0.2, 4.0)
    cost = 4

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return divide(multiply(g, 0.5), y)


@public
def sqrt(x: Any) -> Variable:
    """Elementwise square root, correctly rounded; NaN below zero."""
    return elementwise(Sqrt(), *coerce(x, to=inexact))


@register
class Rsqrt(Unary):
    name = "rsqrt"
    kind = "float"
    domain = (0.2, 4.0)
    cost = 5

    def reference(self, *arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            return 1 / np.sqrt(arrays[0])

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return multiply(multiply(g, -0.5), divide(y, x))


@public
def rsqrt(x: Any) -> Variable:
    """Elementwise 1 / sqrt(x): inf at zero, NaN below."""
    return elementwise(Rsqrt(), *coerce(x, to=inexact))


# --- choice --------------------------------------------------------------------------------------
def truth(x: Any) -> Variable:
    """x as bool: what is not 0 is True, NaN included."""
    return cast(as_variable(x), BOOL)


@register
class Where(ScalarOp):
    name = "where"

    def result_dtype(self, *dtypes: DType) -> DType:
        return dtypes[1]

    def scalar(self, b: Any, *xs: Value) -> Value:
        return b.select(*xs)

    def reference(self, *arrays: Any) -> Any:
        return np.where(*arrays)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (c, x, _), (g,) = inputs, grads
        if g is None or x.dtype.kind != "f":
            return (None, None, None)
        return None, where(c, g, 0), where(c, 0, g)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(where, (In(("m", "n"), "bool"), In(("m", "n"), "any"), In(("m", "n"), "any")))
        yield Sample(where, (In(("m", 1), "bool"), In(("m", "n")), In(("n",))), name="broadcast")
        yield Sample(lambda c, x: where(c, x, 0), (In(("m", "n"), "bool"), In(("n",))), name="constant")


@public
def where(condition: Any, x: Any, y: Any) -> Variable:
    """Elementwise x where `condition` is not 0, else y, with broadcasting; x and y are promoted together.

    Both sides are computed: a NaN in the side not taken stays out of the value, but a gradient of
    inf or NaN there still poisons (0 * inf); choose a safe argument as well, `log(where(c, x, 1))`.
    """
    return elementwise(Where(), truth(condition), *coerce(x, y))


# --- absolute value, extremes --------------------------------------------------------------------
@register
class Abs(Unary):
    name = "abs"
    ufunc = np.abs

    def scalar(self, b: Any, *xs: Value) -> Value:
        return xs[0] if xs[0].dtype.kind in "bu" else b.call("abs", *xs)

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        from graphflow.ops.rounding import sign

        return multiply(g, sign(x))

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(abs_, (In(("m", "n"), "number", 0.1, 2.0),), name="positive")
        yield Sample(abs_, (In(("m", "n"), "any"),), grad=False)


@public
def abs_(x: Any) -> Variable:
    """Elementwise absolute value; the least integer stays itself.  The gradient at 0 is 0."""
    return elementwise(Abs(), *coerce(x))


class Extreme(Binary):
    """maximum and minimum: at a tie the whole gradient goes to x."""

    commutative = True
    kind = "any"

    def share(self, g: Variable, first: Variable) -> Grads:
        """g to x where `first` holds, to y elsewhere."""
        return where(first, g, 0), where(first, 0, g)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        fn = PUBLIC[cls.name]
        yield Sample(fn, (In(("m", "n"), "any"), In(("m", "n"), "any")), grad=False)
        yield Sample(fn, (In(("m", "n"), "float", -2.0, -0.1), In(("n",), "float", 0.1, 2.0)), name="y above")
        yield Sample(fn, (In(("m", "n"), "float", 0.1, 2.0), In(("m", 1), "float", -2.0, -0.1)), name="x above")


@register
class Maximum(Extreme):
    name = "maximum"
    prim = "max"
    prim_on_bool = "or"
    ufunc = np.maximum

    def cotangents(self, g: Variable, x: Variable, y: Variable, z: Variable) -> Grads:
        from graphflow.ops.logic import greater_equal

        return self.share(g, greater_equal(x, y))


@public
def maximum(x: Any, y: Any) -> Variable:
    """Elementwise larger of x and y, NaN where either is NaN.  At a tie the gradient goes to x."""
    return elementwise(Maximum(), *coerce(x, y))


@register
class Minimum(Extreme):
    name = "minimum"
    prim = "min"
    prim_on_bool = "and"
    ufunc = np.minimum

    def cotangents(self, g: Variable, x: Variable, y: Variable, z: Variable) -> Grads:
        from graphflow.ops.logic import less_equal

        return self.share(g, less_equal(x, y))


@public
def minimum(x: Any, y: Any) -> Variable:
    """Elementwise smaller of x and y, NaN where either is NaN.  At a tie the gradient goes to x."""
    return elementwise(Minimum(), *coerce(x, y))


@public
def clip(x: Any, a_min: Any = None, a_max: Any = None) -> Variable:
    """minimum(maximum(x, a_min), a_max); None leaves a side open.  The gradient is 1 on the closed interval, 0 outside."""
    lower = as_variable(x) if a_min is None else maximum(x, a_min)
    return lower if a_max is None else minimum(lower, a_max)


# --- other dtypes --------------------------------------------------------------------------------
@register
class Cast(ScalarOp):
    name = "cast"
    dtype: DType

    def result_dtype(self, *dtypes: DType) -> DType:
        return self.dtype

    def scalar(self, b: Any, *xs: Value) -> Value:
        return b.cast(self.dtype, xs[0])

    def reference(self, *arrays: Any) -> Any:
        return saturating_cast(arrays[0], self.dtype)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x,), (g,) = inputs, grads
        if g is None or not is_float(x.dtype) or not is_float(self.dtype):
            return (None,)
        return (cast(g, x.dtype),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for dtype in ("float32", "float64", "float16", "int32", "uint8", "bool"):
            yield Sample(lambda x, dtype=dtype: cast(x, dtype), (In(("m", "n"), "any"),), grad=dtype == "float64", name=dtype)


def saturating_cast(x: Any, dtype: DType) -> Any:
    """NumPy's cast with float -> int defined everywhere: truncating, saturating, NaN to 0."""
    x = np.asarray(x)
    if is_half(dtype):
        return rounded(x, dtype)
    x = x.astype(np.float32) if is_half(x.dtype) else x
    with np.errstate(all="ignore"):
        if x.dtype.kind != "f" or dtype.kind not in "iu":
            return x.astype(dtype)
        info = np.iinfo(dtype)
        whole = np.where(np.isnan(x), 0, np.trunc(x.astype(np.float64)))
        inside = (whole >= float(info.min)) & (whole < float(info.max))
        bound = np.where(whole < 0, dtype.type(info.min), dtype.type(info.max))
        return np.where(inside, np.where(inside, whole, 0).astype(dtype), bound)


@public
def cast(x: Any, dtype: Any) -> Variable:
    """x with another dtype; float to int truncates and saturates, NaN gives 0."""
    x, target = as_variable(x), as_dtype(dtype)
    return x if x.dtype == target else elementwise(Cast(target), x)


PUBLIC.update(true_divide=divide, absolute=abs_)
