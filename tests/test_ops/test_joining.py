"""concatenate, stack, split, tile, repeat and pad against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from graphflow.graph.dim import Dim
from graphflow.graph.errors import CheckError, DTypeError, ShapeError
from graphflow.graph.variable import as_variable, placeholder
from graphflow.ops import joining as ops

X = np.arange(12.0).reshape(3, 4)
V = np.arange(5.0)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_concatenate(axis, dynamic, run):
    x, y = (placeholder("float64", (None, None) if dynamic else X.shape) for _ in range(2))
    np.testing.assert_array_equal(run([ops.concatenate([x, y, X], axis)], {x: X, y: -X})[0], np.concatenate([X, -X, X], axis))


@pytest.mark.parametrize("name,axes", [("stack", (0, 1, 2, -1)), ("hstack", ()), ("vstack", ())])
def test_stacks(name, axes, run):
    for array in (X, V, np.float64(2)):
        x = placeholder("float64", np.shape(array))
        for axis in [a for a in axes if a <= np.ndim(array)] or [None]:
            extra = () if axis is None else (axis,)
            (value,) = run([getattr(ops, name)([x, array], *extra)], {x: array})
            np.testing.assert_array_equal(value, getattr(np, name)([array, array], *extra))


@pytest.mark.smoke
def test_sizes_add_up():
    m, n = Dim.symbol("m"), Dim.symbol("n")
    x, y = placeholder("float32", (m, 4)), placeholder("float32", (n, 4))
    assert ops.concatenate([x, y, x]).shape == (2 * m + n, 4)
    assert ops.tile(x, (2, 3)).shape == (2 * m, 12)
    assert ops.repeat(x, 3, 0).shape == (3 * m, 4)
    assert ops.pad(x, ((1, 2), (0, 0)), "reflect").shape == (m + 3, 4)
    assert [p.shape for p in ops.split(ops.concatenate([x, x]), 2)] == [(m, 4), (m, 4)]


def test_joining_promotes(run):
    x = placeholder("int32", (2,))
    assert ops.concatenate([x, placeholder("float32", (3,))]).dtype == "float64"
    assert ops.stack([placeholder("float32", ()), 1, 2.5]).dtype == "float32"
    np.testing.assert_array_equal(run([as_variable([x[0], 1, x[1]])], {x: [7, 8]})[0], [7, 1, 8])


@pytest.mark.parametrize("dynamic", [False, True])
def test_split(dynamic, run):
    x = placeholder("float64", (None, None) if dynamic else X.shape)
    for how, axis in [(3, 0), (2, 1), ([1, 3], 1), ([2], -1), ([0, 9], 0), (np.array([1]), 0)]:
        for ours, theirs in zip(run(ops.split(x, how, axis), {x: X}), np.split(X, how, axis), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    if dynamic:
        with pytest.raises(CheckError):
            run(ops.split(x, 2), {x: X})


def test_unstack(run):
    x = placeholder("float64", X.shape)
    for axis in (0, 1):
        np.testing.assert_array_equal(np.stack(run(ops.unstack(x, axis), {x: X}), axis), X)


@pytest.mark.parametrize("reps", [2, (2,), (2, 3), (2, 1, 3), (0, 1), (1, 1)])
def test_tile(reps, run):
    x = placeholder("float64", (None, None))
    np.testing.assert_array_equal(run([ops.tile(x, reps)], {x: X})[0], np.tile(X, reps))


@pytest.mark.parametrize("repeats,axis", [(2, None), (3, 0), (2, -1), (0, 1), ([0, 2, 1], 0), (np.array([1, 0, 0, 3]), 1)])
def test_repeat(repeats, axis, run):
    x = placeholder("float64", (None, None))
    np.testing.assert_array_equal(run([ops.repeat(x, repeats, axis)], {x: X})[0], np.repeat(X, repeats, axis))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("width", [2, (1, 3), ((0, 2), (3, 1)), ((7, 9), (8, 11)), ((1, 0),), np.array([[1, 2], [3, 4]]), 0])
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric", "wrap"])
def test_pad(mode, width, dynamic, run):
    x = placeholder("float64", (None, None) if dynamic else X.shape)
    np.testing.assert_array_equal(run([ops.pad(x, width, mode)], {x: X})[0], np.pad(X, width, mode=mode))


def test_pad_with_a_value(run):
    x = placeholder("int32", (None,))
    np.testing.assert_array_equal(run([ops.pad(x, (1, 2), constant_values=-7)], {x: [1, 2]})[0], [-7, 1, 2, -7, -7])


@pytest.mark.parametrize(
    "make,error,text",
    [
        (lambda x: ops.concatenate([]), ShapeError, "nothing to join"),
        (lambda x: ops.concatenate([x, x[0]]), ShapeError, "different ranks"),
        (lambda x: ops.concatenate([x, x[:, 1:]]), ShapeError, r"\[3, 4\] and \[3, 3\] differ in axis 1: 4 and 3"),
        (lambda x: ops.concatenate([x[0, 0], x[0, 1]]), ShapeError, "gf.stack"),
        (lambda x: ops.concatenate([x, x], 2), ShapeError, "out of range"),
        (lambda x: ops.stack([x, x[1:]]), ShapeError, "differ in axis"),
        (lambda x: ops.split(x, 2), ShapeError, "no multiple of 2"),
        (lambda x: ops.split(x, 0), ShapeError, "number of parts is 0"),
        (lambda x: ops.unstack(placeholder("float32", (None,))), ShapeError, "known only at run time"),
        (lambda x: ops.repeat(x, [1, 2], 0), ShapeError, "count for each element"),
        (lambda x: ops.repeat(x, 1.5), DTypeError, "must be an integer"),
        (lambda x: ops.pad(x, -1), ShapeError, "negative width"),
        (lambda x: ops.pad(x, ((1, 1), (1, 1), (1, 1))), ShapeError, "not a width for 2 axes"),
        (lambda x: ops.pad(x, 1, "mean"), ShapeError, "no mode 'mean'"),
        (lambda x: ops.pad(x[:0], 1, "edge"), ShapeError, "cannot be continued"),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=text):
        make(placeholder("float32", (3, 4)))
