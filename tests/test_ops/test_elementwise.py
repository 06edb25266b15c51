"""Elementwise ops where they are special: ties, zeros, infinities, saturation, exact comparisons."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphflow.ops
from graphflow.graph.errors import DTypeError, GraphError
from graphflow.graph.variable import constant, placeholder
from graphflow.ops.elementwise import cast, clip, maximum, minimum, multiply, reciprocal, where
from graphflow.ops.identity import identity, stop_gradient
from graphflow.ops.logic import isfinite, isinf, isnan
from graphflow.ops.power import Power, power
from graphflow.ops.reduction import sum_
from graphflow.ops.rounding import fmod, mod, round_
from graphflow.ops.transcendental import log, sqrt

SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.1, 3.0, -7.5, 1e300, np.inf, -np.inf, np.nan])


def value(run, v, feeds=None):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run([v], feeds or {})[0]


def slope(run, pull, fn, at, order=1):
    """The derivative of fn at the float `at`, of the order asked for."""
    x = placeholder("float64", ())
    y = fn(x)
    for _ in range(order):
        (y,) = pull(y, constant(1.0), [x])
    return float(value(run, y, {x: np.float64(at)}))


@pytest.mark.smoke
def test_power_is_differentiable_at_zero(run, pull):
    assert [slope(run, pull, lambda x, n=n: power(x, n), 0.0) for n in (0, 1, 2, 3)] == [0, 1, 0, 0]
    assert [slope(run, pull, lambda x, n=n: power(x, n), 0.0, order=2) for n in (0, 1, 2, 3)] == [0, 0, 2, 0]
    assert slope(run, pull, lambda x: power(x, 3), 0.0, order=3) == 6
    assert slope(run, pull, lambda x: power(x, 2.0), -3.0) == -6
    assert slope(run, pull, lambda y: power(0.0, y), 2.0) == 0
    assert slope(run, pull, lambda y: power(2.0, y), 3.0) == pytest.approx(8 * np.log(2))


@given(st.sampled_from(["int8", "uint8", "int32", "int64", "uint64"]), st.integers(-9, 9), st.integers(-70, 70))
@settings(max_examples=200, deadline=None)
def test_integer_power_wraps_like_python(dtype, x, n):
    d = np.dtype(dtype)
    x, n = (abs(x), abs(n)) if d.kind == "u" else (x, n)
    exact = x**n if n >= 0 else int(1 / x**-n) if x else 0
    expected = np.array(exact % 2 ** (8 * d.itemsize), "uint64").astype(d)
    assert Power().reference(d.type(x), d.type(n)) == expected


def test_negative_constant_exponents_of_integers():
    with pytest.raises(DTypeError, match="negative integer powers"):
        power(placeholder("int32", (3,)), -1)
    with pytest.raises(DTypeError, match="negative integer powers"):
        power(placeholder("int32", (3,)), np.array([1, -2, 3]))
    assert power(placeholder("float32", (3,)), -1).dtype == "float32"


def test_gradients_at_ties(run, pull):
    x, y = placeholder("float64", (3,)), placeholder("float64", (3,))
    a, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])
    for fn, for_x in ((maximum, [0, 1, 1]), (minimum, [1, 1, 0])):
        gx, gy = run(pull(fn(x, y), constant(np.ones(3)), [x, y]), {x: a, y: b})
        assert gx.tolist() == for_x and (gx + gy).tolist() == [1, 1, 1]
    (g,) = run(pull(clip(x, 2.0, 2.5), constant(np.ones(3)), [x]), {x: a})
    assert g.tolist() == [0, 1, 0]


def test_clip_leaves_a_side_open(run):
    x = constant(np.arange(5))
    assert value(run, clip(x, 2)).tolist() == [2, 2, 2, 3, 4]
    assert value(run, clip(x, None, 2)).tolist() == [0, 1, 2, 2, 2]
    assert clip(x) is x


@pytest.mark.parametrize("name", ["floor_divide", "mod", "fmod", "maximum", "minimum", "divide", "sign", "abs", "round", "isinf", "isfinite"])
def test_special_floats_as_numpy_without_warnings(name, run):
    numpy_name = {"round": "rint"}.get(name, name)
    ufunc = getattr(np, numpy_name)
    pairs = np.array(list(itertools.product(SPECIAL, SPECIAL))).T[: ufunc.nin]
    with np.errstate(all="ignore"):
        expected = ufunc(*pairs)
    np.testing.assert_array_equal(value(run, graphflow.ops.PUBLIC[name](*map(constant, pairs))), expected)


def test_integers_by_zero(run):
    x, zero = constant(np.array([5, -5, 0])), constant(np.zeros(3, int))
    for name in ("floor_divide", "mod", "fmod"):
        assert value(run, graphflow.ops.PUBLIC[name](x, zero)).tolist() == [0, 0, 0]
    assert value(run, mod(constant(np.array([-7, 7])), np.array([3, -3]))).tolist() == [2, -2]
    assert value(run, fmod(constant(np.array([-7, 7])), np.array([3, -3]))).tolist() == [-1, 1]


@pytest.mark.parametrize("decimals", [-2, -1, 0, 1, 3])
def test_round_to_decimals(decimals, run):
    for array in (np.array([0.5, 1.5, 2.5, -0.5, 123.4567, 15.0, 25.0]), np.array([4, 15, 25, 149, -150])):
        got = value(run, round_(constant(array), decimals))
        expected = np.round(array, decimals)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


# --- casts, comparisons, choice ------------------------------------------------------------------
def test_casts_saturate(run):
    x = constant(np.array([1e30, -1e30, 300.7, -300.7, np.nan, np.inf, -np.inf]))
    assert value(run, cast(x, "uint8")).tolist() == [255, 0, 255, 0, 0, 255, 0]
    assert value(run, cast(x, "int8")).tolist() == [127, -128, 127, -128, 0, 127, -128]
    assert value(run, cast(x, "int64")).tolist() == [2**63 - 1, -(2**63), 300, -300, 0, 2**63 - 1, -(2**63)]
    assert value(run, cast(x, "uint64")).tolist() == [2**64 - 1, 0, 300, 0, 0, 2**64 - 1, 0]
    assert value(run, cast(x, "bool")).tolist() == [True] * 7


def test_a_cast_passes_its_gradient_back_in_the_dtype_it_came_from(pull):
    x = placeholder("float64", (2,))
    (g,) = pull(sum_(cast(x, "float32")), constant(np.float32(1)), [x])
    assert g.dtype == "float64"
    assert pull(sum_(cast(cast(x, "int32"), "float64")), constant(1.0), [x]) == [None]


@pytest.mark.smoke
def test_integer_comparisons_are_exact(run):
    big = [0, 1, -1, 127, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1]
    signed = [n for n in big if -(2**63) <= n < 2**63]
    unsigned = [n for n in big if n >= 0]
    compare = {"equal": int.__eq__, "not_equal": int.__ne__, "less": int.__lt__, "less_equal": int.__le__, "greater": int.__gt__, "greater_equal": int.__ge__}
    for name, python in compare.items():
        fn = graphflow.ops.PUBLIC[name]
        for a, b in itertools.product(signed, unsigned):
            assert value(run, fn(np.int64(a), np.uint64(b))) == python(a, b), (name, a, b)
            assert value(run, fn(np.uint64(b), np.int64(a))) == python(b, a), (name, b, a)
        for b in big:
            assert value(run, fn(np.int8(5), b)) == python(5, b)
            assert value(run, fn(b, np.uint8(5))) == python(b, 5)


def test_where_promotes_and_takes_any_condition(run):
    x = placeholder("float32", (3,))
    assert where(x, x, 1.5).dtype == "float32"
    assert where(True, 1, 2.0).dtype == "float64"
    assert value(run, where(np.array([0.0, np.nan, 2.0]), 1, 0)).tolist() == [0, 1, 1]


def test_tests_for_nan_of_integers_need_no_kernel(run):
    x = constant(np.arange(3))
    assert not value(run, isnan(x)).any() and not value(run, isinf(x)).any() and value(run, isfinite(x)).all()


# --- identity, refusals --------------------------------------------------------------------------
def test_stop_gradient_and_identity(pull, run):
    x = placeholder("float64", ())
    assert pull(stop_gradient(x), constant(1.0), [x]) == [None]
    y = multiply(identity(x), stop_gradient(x))
    assert run(pull(y, constant(1.0), [x]), {x: np.float64(3)}) == [3.0]
    assert identity(x) is not x and identity(x).type == x.type
    np.testing.assert_array_equal(value(run, identity(3)), np.identity(3))


def test_what_numpy_refuses_on_bool_is_refused():
    flag = placeholder("bool", (2,))
    for name in ("negative", "positive", "sign"):
        with pytest.raises(DTypeError) as e:
            graphflow.ops.PUBLIC[name](flag)
        assert e.value.hint
    with pytest.raises(DTypeError):
        graphflow.ops.PUBLIC["subtract"](flag, flag)
    with pytest.raises(DTypeError, match="truncate"):
        reciprocal(placeholder("int32", ()))


def test_trigamma_has_no_gradient(pull):
    x = placeholder("float64", ())
    with pytest.raises(GraphError, match="third derivative") as e:
        pull(graphflow.ops.PUBLIC["trigamma"](x), constant(1.0), [x])
    assert "stop_gradient" in e.value.hint


def test_functions_of_integers_work_in_floats(run):
    assert value(run, sqrt(constant(np.array([1, 4], "int8")))).dtype == "float32"
    assert value(run, log(constant(np.array([1, 4], "int32")))).dtype == "float64"
    assert value(run, log(2)) == np.log(2)


def test_aliases():
    names = graphflow.ops.PUBLIC
    for alias, name in {
        "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "asinh": "arcsinh", "acosh": "arccosh",
        "atanh": "arctanh", "true_divide": "divide", "absolute": "abs", "remainder": "mod", "around": "round", "pow": "power",
        "amax": "max", "amin": "min", "consider_constant": "stop_gradient",
    }.items():  # fmt: skip
        assert names[alias] is names[name]
