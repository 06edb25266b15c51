"""Result dtypes against NumPy's, for all pairs of dtypes and Python numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import graphflow.ops
from graphflow.graph.dim import Dim
from graphflow.graph.errors import DTypeError
from graphflow.graph.types import SUPPORTED
from graphflow.graph.variable import constant, placeholder
from graphflow.ops.promotion import coerce, common_dtype

PUBLIC = graphflow.ops.PUBLIC
UNARY = [
    "negative", "positive", "abs", "sign", "square", "sqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p",
    "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "floor",
    "ceil", "trunc", "rint", "isnan", "isinf", "isfinite", "invert", "logical_not",
]  # fmt: skip
BINARY = [
    "add", "subtract", "multiply", "divide", "floor_divide", "mod", "fmod", "power", "maximum", "minimum", "arctan2",
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_xor",
    "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift",
]  # fmt: skip
NUMBERS = (True, 2, 1.5)


def numpy_dtype(name, *operands):
    """NumPy's result dtype, with float32 for the float16 graphflow does not have; None where NumPy refuses."""
    try:
        with np.errstate(all="ignore"):
            dtype = getattr(np, name)(*operands).dtype
    except TypeError:
        return None
    return np.dtype("float32") if dtype == np.float16 else dtype


def check(name, *operands):
    expected = numpy_dtype(name, *operands)
    symbolic = [placeholder(v.dtype, (1,)) if isinstance(v, np.ndarray) else v for v in operands]
    if expected is None:
        with pytest.raises(DTypeError):
            PUBLIC[name](*symbolic)
    else:
        assert PUBLIC[name](*symbolic).dtype == expected, (name, operands)


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    for dtype in SUPPORTED:
        check(name, np.ones(1, dtype))


@pytest.mark.parametrize("name", BINARY)
def test_pairs(name):
    for a, b in itertools.product(SUPPORTED, SUPPORTED):
        check(name, np.ones(1, a), np.ones(1, b))


@pytest.mark.smoke
@pytest.mark.parametrize("name", BINARY)
def test_python_numbers_are_weak(name):
    for dtype, number in itertools.product(SUPPORTED, NUMBERS):
        check(name, np.ones(1, dtype), number)
        check(name, number, np.ones(1, dtype))


def test_numbers_alone_and_dims():
    assert common_dtype((1, 2)) == "int64"
    assert common_dtype((1, 2.0)) == "float64"
    assert common_dtype((True, False)) == "bool"
    n = Dim.symbol("n")
    assert common_dtype((n, np.float32(1))) == "float32"
    assert [v.dtype for v in coerce(n, placeholder("uint8", ()))] == ["uint8", "uint8"]


def test_numpy_scalars_are_strong():
    assert PUBLIC["add"](placeholder("float32", ()), np.float64(1)).dtype == "float64"


@pytest.mark.parametrize("dtype,value", [("int8", 300), ("uint8", -1), ("uint64", -1), ("int64", 2**63), ("float32", 10**400)])
def test_integers_that_do_not_fit(dtype, value):
    with pytest.raises(DTypeError, match=r"does not fit|not supported") as e:
        PUBLIC["add"](placeholder(dtype, (2,)), value)
    assert e.value.hint


def test_a_float_beyond_float32_is_infinite(run):
    (value,) = run([PUBLIC["add"](constant(np.float32(1)), 1e300)], {})
    assert value == np.inf and value.dtype == "float32"


def test_unsupported_dtypes():
    with pytest.raises(DTypeError):
        PUBLIC["add"](np.ones(2, "complex64"), 1)
    with pytest.raises(DTypeError):
        PUBLIC["add"](1, 10**30)
