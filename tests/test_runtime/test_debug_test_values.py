"""`check_test_values` runs nodes as they are made, so that what does not fit is found on its own line."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import CheckError, GraphError, ShapeError


def tagged(dtype: str, shape: tuple[int | None, ...], value: object, name: str) -> gf.Variable:
    x = gf.placeholder(dtype, shape, name=name)
    x.tag.test_value = value
    return x


@pytest.mark.smoke
def test_sizes_that_do_not_fit_are_found_where_they_meet() -> None:
    x = tagged("float32", (None, 4), np.ones((3, 4), np.float32), "x")
    t = tagged("float32", (None, 4), np.ones((5, 4), np.float32), "t")
    with gf.config.override(check_test_values="raise"):
        h = x * 2
        assert (h.tag.test_value == 2).all() and h.tag.test_value.shape == (3, 4)
        with pytest.raises(ShapeError) as caught:
            h - t
    text = str(caught.value)
    assert "[3, 4]" in text and "[5, 4]" in text and "operand 1, t: float32[5, 4]" in text
    assert "h - t" in text and "test_debug_test_values.py" in text


def test_without_the_setting_nothing_is_run() -> None:
    x = tagged("float32", (None,), np.ones(3, np.float32), "x")
    assert not hasattr((x + 1).tag, "test_value")


def test_values_follow_dims_state_and_functions_of_several_ops() -> None:
    x = tagged("float64", (None, 6), np.arange(12.0).reshape(2, 6), "x")
    n = tagged("int64", (), np.int64(2), "n")
    w = gf.shared(np.full(6, 2.0), name="w")
    with gf.config.override(check_test_values="raise"):
        y = gf.reshape(x * w, (x.shape[0] * 2, 3))
        z = gf.nn.softmax(gf.concatenate([y, gf.zeros((x.shape[0], 3))], axis=0))[:n]
    np.testing.assert_array_equal(y.tag.test_value, (np.arange(12.0) * 2).reshape(4, 3))
    np.testing.assert_allclose(z.tag.test_value, z.eval({x: x.tag.test_value, n: 2}), rtol=1e-12)


def test_gradients_are_run_too() -> None:
    x = tagged("float64", (None,), np.array([1.0, 2.0]), "x")
    with gf.config.override(check_test_values="raise"):
        g = gf.grad(gf.sum(gf.square(x)), x)
    np.testing.assert_array_equal(g.tag.test_value, [2.0, 4.0])


def test_an_index_out_of_range_and_nan() -> None:
    i = tagged("int32", (None,), np.array([0, 7]), "i")
    table = gf.shared(np.zeros((5, 2)), name="table")
    with gf.config.override(check_test_values="raise", check_nan=True):
        with pytest.raises(CheckError, match="out of range for axis 0 of size 5") as caught:
            table[i]
        assert "operand 1, i: int32[2]: [0, 7]" in str(caught.value)
        with pytest.raises(CheckError, match="give NaN or infinity"):
            gf.log(tagged("float64", (), 0.0, "y"))


def test_a_placeholder_without_a_test_value() -> None:
    x, y = tagged("float64", (), 1.0, "x"), gf.placeholder("float64", (), name="y")
    with gf.config.override(check_test_values="raise"), pytest.raises(GraphError, match="no test value for y"):
        x + y


def test_a_test_value_of_the_wrong_type() -> None:
    x = tagged("int32", (), 1.5, "x")
    with gf.config.override(check_test_values="raise"), pytest.raises(gf.DTypeError, match="wrong value for x"):
        x + 1


def test_warnings_go_on() -> None:
    x = tagged("float32", (None,), np.ones(3, np.float32), "x")
    t = tagged("float32", (None,), np.ones(4, np.float32), "t")
    with gf.config.override(check_test_values="warn"), pytest.warns(UserWarning, match=r"\[3\] and \[4\]"):
        y = x + t
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gf.function([x, t], y)([1, 2], [3, 4]).tolist() == [4, 6]
