"""arange, linspace, eye and their kin against NumPy, with sizes known at run time."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphflow.graph.dim import Dim
from graphflow.graph.errors import DTypeError, GraphError, ShapeError
from graphflow.graph.variable import constant, placeholder
from graphflow.ops.creation import (
    arange,
    dim_value,
    eye,
    full,
    full_like,
    iota,
    linspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from graphflow.ops.elementwise import add, multiply


def value(run, v, feeds=None):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run([v], feeds or {})[0]


def same(got, expected):
    assert got.dtype == expected.dtype and got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(-4, 4).filter(bool), st.sampled_from([None, "int8", "uint8", "float32", "float64"]))
@settings(max_examples=100, deadline=None)
def test_arange_of_ints(run, start, stop, step, dtype):
    with np.errstate(all="ignore"):
        same(value(run, arange(start, stop, step, dtype)), np.arange(start, stop, step).astype(dtype or "int64"))


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.1, 3), st.sampled_from([None, "float32"]))
@settings(max_examples=100, deadline=None)
def test_arange_of_floats_has_numpys_bits(run, start, stop, step, dtype):
    got, expected = value(run, arange(start, stop, step, dtype)), np.arange(start, stop, step, dtype)
    expected[1:2] = got[1:2] if np.allclose(got[1:2], expected[1:2]) else np.nan  # NumPy rounds start + step only once
    same(got, expected)


@pytest.mark.smoke
@given(st.integers(0, 9), st.integers(-5, 5), st.integers(-3, 3).filter(bool))
@settings(max_examples=60, deadline=None)
def test_arange_of_sizes_known_at_run_time(run, n, other, step):
    x = placeholder("float32", (None,))
    feeds = {x: np.zeros(n, "float32")}
    same(value(run, arange(other, x.shape[0], step), feeds), np.arange(other, n, step))
    same(value(run, arange(x.shape[0], other, step), feeds), np.arange(n, other, step))
    same(value(run, arange(x.shape[0], 2 * x.shape[0] + 1, dtype="float32"), feeds), np.arange(n, 2 * n + 1, dtype="float32"))


def test_arange_follows_sizes_through_the_graph(run):
    x = placeholder("float32", (None, 3))
    n = dim_value(x.shape[0])
    same(value(run, arange(add(multiply(n, 2), 1)), {x: np.zeros((2, 3), "float32")}), np.arange(5))


def test_arange_refuses_what_it_cannot_size():
    with pytest.raises(GraphError, match="step is 0"):
        arange(0, 3, 0)
    with pytest.raises(GraphError, match="constant step"):
        arange(0.5, Dim.symbol("n"))
    with pytest.raises(DTypeError):
        arange(3, dtype="bool")


@pytest.mark.parametrize("args", [(0, 1, 5), (2.0, -3.0, 4), (0, 1, 1), (0, 1, 0), (-1, 1, 7, False), (0, 1, 1, False)])
def test_linspace(args, run):
    np.testing.assert_allclose(value(run, linspace(*args)), np.linspace(*args), rtol=1e-15, atol=1e-15)
    assert value(run, linspace(*args)).dtype == "float64"


def test_linspace_of_variables_and_dims(run, pull):
    a, x = placeholder("float32", ()), placeholder("float32", (None,))
    points = linspace(a, 2.0, x.shape[0])
    feeds = {a: np.float32(1), x: np.zeros(3, "float32")}
    same(value(run, points, feeds), np.array([1, 1.5, 2], "float32"))
    (g,) = pull(points, constant(np.ones(3, "float32")), [a])
    assert value(run, g, feeds) == pytest.approx(1.5)
    same(value(run, linspace(0, 10, 4, dtype="int64")), np.array([0, 3, 6, 10]))


def test_eye(run):
    for args in ((3,), (2, 4), (3, 3, 1), (4, 2, -2), (0, 3)):
        same(value(run, eye(*args)), np.eye(*args))
    x = placeholder("float32", (None, None))
    same(value(run, eye(x.shape[0], x.shape[1], 1, "int32"), {x: np.zeros((2, 3), "float32")}), np.eye(2, 3, 1, "int32"))


def test_one_value_everywhere(run):
    same(value(run, zeros(3)), np.zeros(3))
    same(value(run, ones((2, 0), "int8")), np.ones((2, 0), "int8"))
    same(value(run, full((2, 2), 7)), np.full((2, 2), 7))
    same(value(run, full((2, 3), np.arange(3), "float32")), np.full((2, 3), np.arange(3), "float32"))
    x = placeholder("uint8", (None, 2))
    feeds = {x: np.ones((3, 2), "uint8")}
    same(value(run, zeros_like(x), feeds), np.zeros((3, 2), "uint8"))
    same(value(run, ones_like(x, "float32"), feeds), np.ones((3, 2), "float32"))
    same(value(run, full_like(x, 5), feeds), np.full((3, 2), 5, "uint8"))
    with pytest.raises(ShapeError, match="negative"):
        zeros((2, -1))


def test_iota(run):
    same(value(run, iota((2, 3), -1)), np.indices((2, 3))[1])
    with pytest.raises(ShapeError):
        iota((2, 3), 2)
