"""x[key] and assignment to it, against NumPy, with static sizes and with Dims."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphflow as gf
from graphflow.graph.dim import Dim
from graphflow.graph.errors import CheckError, DTypeError, GraphError, ShapeError
from graphflow.graph.variable import as_variable, constant, placeholder
from graphflow.ops.gathering import Take
from graphflow.ops.indexing import gather_nd, getitem, inc_subtensor, one_hot, set_subtensor

X = np.arange(3 * 4 * 5, dtype="float64").reshape(3, 4, 5)
ROW, PAIR = np.array([2, 0, -1]), np.array([[0, 1], [-1, -2]])

BASIC = [
    (), 0, -1, (1, 2, 3), slice(None), slice(1, 3), slice(None, None, -1), slice(None, None, 2), slice(5, 1, -2), slice(-2, None),
    (slice(None), -1), (Ellipsis, 0), (0, Ellipsis), (Ellipsis, slice(1, None)), Ellipsis, None, (None, 0), (0, None, slice(None), 2),
    (slice(None), None, slice(1, 3), None), (slice(2, 2),), (slice(10, 20), slice(-10, 10)), (slice(0, 0), 0), (slice(-1, -4, -1), slice(3, 0, -3)),
]  # fmt: skip
ADVANCED = [
    ROW, [2, 0], (slice(None), ROW), (Ellipsis, PAIR), PAIR, (ROW, ROW), (PAIR, 1), (1, PAIR), (0, slice(None), ROW), (slice(None), 0, ROW),
    (ROW, slice(1, 3), ROW), (ROW, slice(None, None, -1)), (None, ROW), (slice(None), None, ROW), (ROW, None, ROW), (ROW, Ellipsis, ROW),
    (slice(None), ROW, ROW), (slice(1, None), ROW[:, None], PAIR[0]), (slice(None), ROW, Ellipsis, ROW), (np.array(1), slice(None), ROW),
    (ROW, 0, 0), ([[0], [1]], [0, 1, 2]), [], (slice(None), []), np.array([0, 2], "uint8"), (X[:, :, 0] > 20), (slice(None), X[0] % 2 == 0),
    (np.array([True, False, True]), slice(1, 2)), (0, None, slice(None), None, ROW), (slice(0, 0), ROW),
]  # fmt: skip


def variables(dynamic):
    return placeholder("float64", (None, None, None) if dynamic else X.shape, "x")


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("key", BASIC + ADVANCED, ids=repr)
def test_keys_select_as_in_numpy(key, dynamic, run):
    x = variables(dynamic)
    (value,) = run([x[key]], {x: X})
    np.testing.assert_array_equal(value, X[key])


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("key", BASIC + ADVANCED, ids=repr)
def test_assignment_writes_as_in_numpy(key, dynamic, run):
    x = variables(dynamic)
    y = np.random.default_rng(0).normal(size=X[key].shape)
    expected, added = X.copy(), X.copy()
    expected[key] = y
    np.add.at(added, key, y)
    for compose in (False, True):
        np.testing.assert_array_equal(run([set_subtensor(x[key], y)], {x: X}, compose)[0], expected)
        np.testing.assert_array_equal(run([inc_subtensor(x[key], y)], {x: X}, compose)[0], added)


bounds = st.none() | st.integers(-9, 9)
slices = st.builds(slice, bounds, bounds, st.sampled_from([None, 1, 2, 3, 7, -1, -2, -3]))


@pytest.mark.smoke
@settings(max_examples=300, deadline=None)
@given(key=slices, n=st.integers(0, 7), kinds=st.lists(st.sampled_from(["int", "dim", "scalar"]), min_size=2, max_size=2))
def test_slices_with_ints_dims_and_scalars_as_bounds(key, n, kinds, run):
    array = np.arange(float(n))
    x = placeholder("float64", (None,))
    feeds, given = {x: array}, []
    for kind, bound in zip(kinds, (key.start, key.stop), strict=True):
        if bound is None or kind == "int":
            given.append(bound)
        elif kind == "dim":
            like = placeholder("float64", (None,))
            feeds[like] = np.zeros(abs(bound))
            given.append(like.shape[0] if bound >= 0 else -like.shape[0])
        else:
            scalar = placeholder("int64", ())
            feeds[scalar] = bound
            given.append(scalar)
    sliced = x[slice(*given, key.step)]
    (value, back, changed) = run([sliced, inc_subtensor(sliced, 1.0), set_subtensor(sliced, -1.0)], feeds, expand=True)
    np.testing.assert_array_equal(value, array[key])
    ones, written = array.copy(), array.copy()
    ones[key] += 1
    written[key] = -1
    np.testing.assert_array_equal(back, ones)
    np.testing.assert_array_equal(changed, written)


def test_a_minibatch_by_a_symbolic_number_is_a_view(run):
    x, i = placeholder("float64", (50, 3)), placeholder("int64", (), "i")
    batch = x[i * 20 : (i + 1) * 20]
    assert batch.owner.op.name == "slice"
    data = np.random.default_rng(0).normal(size=(50, 3))
    for number in (0, 1, 2, 3):
        np.testing.assert_array_equal(run([batch], {x: data, i: number})[0], data[number * 20 : (number + 1) * 20])


def test_dims_cancel_in_slices_of_unknown_size():
    n = Dim.symbol("n")
    x = placeholder("float32", (n,))
    assert x[:].shape == x[::-1].shape == x[-n:].shape == (n,)
    assert x[1:].shape == x[:-1].shape
    y = placeholder("float32", (2 * n + 3,))
    assert y[:n].shape == y[n : 2 * n].shape == y[::2][1 : n + 1].shape == (n,)
    assert y[1:3].shape == y[:2].shape == (2,) and y[-3:].shape == (3,) and y[1:].shape == (2 * n + 2,)


@pytest.mark.parametrize("index", [placeholder("int32", (), "i"), placeholder("int64", (None,), "i"), placeholder("uint8", (None, 2), "i")])
def test_variables_as_indices(index, run):
    x = variables(True)
    value = np.array(np.arange(index.ndim * 2) % 3, index.dtype).reshape((-1, 2)[-index.ndim :] if index.ndim else ()) if index.ndim else np.array(2, index.dtype)
    for key, numpy_key in [(index, value), ((slice(None), index), (slice(None), value)), ((0, slice(1, 3), index), (0, slice(1, 3), value))]:
        np.testing.assert_array_equal(run([x[key]], {x: X, index: value})[0], X[numpy_key])


def test_lists_of_scalars_and_dims_as_indices(run):
    x, i = variables(True), placeholder("int64", (), "i")
    np.testing.assert_array_equal(run([x[[i, 0]]], {x: X, i: 2})[0], X[[2, 0]])
    np.testing.assert_array_equal(run([x[x.shape[0] - 1, i]], {x: X, i: -1})[0], X[2, -1])


def test_indices_out_of_range_fail_the_run(run):
    x, i = variables(True), placeholder("int64", (None,), "i")
    for bad in ([3], [-4], [0, 99]):
        with pytest.raises(CheckError, match="axis 0"):
            run([x[i]], {x: X, i: np.array(bad)})
    with pytest.raises(CheckError):
        run([x[7]], {x: X})
    with pytest.raises(CheckError):
        run([x[-4]], {x: X})


@pytest.mark.parametrize(
    "key,error,text",
    [
        (3, ShapeError, "index 3 is out of range for axis 0 of size 3"),
        ((slice(None), -5), ShapeError, "axis 1"),
        ((0, 0, 0, 0), ShapeError, "4 indices"),
        ((Ellipsis, Ellipsis), ShapeError, "more than one"),
        (1.5, DTypeError, "an index must be an integer"),
        ("a", DTypeError, "an index must be an integer"),
        (True, DTypeError, "not an index"),
        (np.array([0.5]), DTypeError, "indices must be integers"),
        (slice(None, None, 0), ShapeError, "step"),
        (slice(0.5, None), DTypeError, "start of a slice"),
        (np.array([True, False]), ShapeError, "mask"),
        ([0, 3], ShapeError, "index 3 is out of range"),
        (([0, 1], [0, 1, 2]), ShapeError, "do not broadcast"),
        (placeholder("bool", ()), GraphError, "all or nothing"),
    ],
    ids=repr,
)
def test_keys_that_do_not_fit(key, error, text):
    with pytest.raises(error, match=text):
        variables(False)[key]


def test_assignment_takes_the_last_of_repeated_indices_and_its_gradient_knows(run, pull):
    x, y = placeholder("float64", (4,)), placeholder("float64", (3,))
    out = set_subtensor(x[[1, 2, 1]], y)
    feeds = {x: np.zeros(4), y: np.array([5.0, 6.0, 7.0])}
    weights = constant(np.array([1.0, 2.0, 3.0, 4.0]))
    gx, gy = pull(out, weights, [x, y])
    value, dx, dy = run([out, gx, gy], feeds)
    assert value.tolist() == [0, 7, 6, 0]
    assert dx.tolist() == [1, 0, 0, 4]
    assert dy.tolist() == [0, 3, 2]


def test_assignment_broadcasts_and_casts(run):
    x = placeholder("float32", (3, 4))
    (value,) = run([set_subtensor(x[1:, ::2], np.array([[1], [2]], "float64"))], {x: np.zeros((3, 4))})
    expected = np.zeros((3, 4), "float32")
    expected[1:, ::2] = [[1], [2]]
    np.testing.assert_array_equal(value, expected)
    assert value.dtype == "float32"


def test_assignment_wants_the_result_of_indexing():
    with pytest.raises(GraphError, match=r"is not x\[...\]"):
        set_subtensor(placeholder("float32", (3,)) + 1, 0)
    with pytest.raises(ShapeError):
        set_subtensor(placeholder("float32", (3, 2))[0], np.zeros(3))


def test_a_key_is_one_op():
    x = variables(False)
    assert isinstance(x[ROW, 1:3].owner.op, Take) and x[ROW, 1:3].owner.inputs[0] is x
    assert x[0, 1:, ::-1].owner.op.name == "slice" and x[0, 1:, ::-1].owner.inputs[0] is x


def test_gather_nd(run):
    x = variables(True)
    places = np.array([[0, 1], [2, 3]])
    np.testing.assert_array_equal(run([gather_nd(x, places)], {x: X})[0], X[places[:, 0], places[:, 1]])
    with pytest.raises(ShapeError):
        gather_nd(x, np.zeros((2, 4), int))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot(dtype, axis, run):
    labels = placeholder(dtype, (None,))
    values = np.array([0, 2, 1, 7], dtype)
    (value,) = run([one_hot(labels, 3, axis)], {labels: values})
    expected = (values[:, None] == np.arange(3)).astype("float32")
    np.testing.assert_array_equal(value, expected.T if axis == 0 else expected)
    (value,) = run([one_hot(labels, 3, on_value=5, off_value=-1, dtype="int32")], {labels: values})
    np.testing.assert_array_equal(value, np.where(expected > 0, 5, -1))


def test_indexing_works_on_constants_and_public_names():
    assert as_variable(X)[0].shape == (4, 5)
    assert gf.getitem is getitem
