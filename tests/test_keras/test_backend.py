"""K by name: values against NumPy, functions, gradients, phases, variables."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import FeedError, GraphError, ShapeError
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.layers import Dense, Dropout
from graphflow.keras.models import Sequential
from graphflow.keras.phase import folded

X = np.linspace(-2, 3, 24).reshape(2, 3, 4).astype("float32")
M = X[0]
TABLE: list[tuple[str, tuple[Any, ...], dict[str, Any], Any]] = [
    ("sum", (X,), {"axis": (0, 2), "keepdims": True}, X.sum((0, 2), keepdims=True)),
    ("sum", (X, 1, True), {}, X.sum(1, keepdims=True)),
    ("max", (X,), {"axis": [1]}, X.max(1)), ("min", (X,), {}, X.min()), ("prod", (M,), {"axis": 0}, M.prod(0)),
    ("mean", (X > 0,), {"axis": -1}, (X > 0).mean(-1)), ("std", (X,), {"axis": -1}, X.std(-1)), ("var", (X,), {}, X.var()),
    ("any", (X > 2,), {"axis": 0}, (X > 2).any(0)), ("all", (X > -3,), {}, True), ("argmax", (X,), {}, X.argmax(-1)), ("argmin", (X, 0), {}, X.argmin(0)),
    ("logsumexp", (X,), {"axis": 1}, np.log(np.exp(X).sum(1))), ("cumsum", (M,), {}, M.cumsum(0)), ("cumprod", (M, 1), {}, M.cumprod(1)),
    ("sqrt", (X,), {}, np.sqrt(np.maximum(X, 0))), ("square", (X,), {}, X * X), ("abs", (X,), {}, abs(X)), ("pow", (X, 2), {}, X**2),
    ("clip", (X, 1, -1), {}, np.clip(X, 1, 1)), ("clip", (X, None, 0.5), {}, np.minimum(X, 0.5)), ("round", ([0.5, 1.5, 2.4],), {}, [0, 2, 2]),
    ("relu", (X,), {"alpha": 0.1, "max_value": 2.0}, np.minimum(np.where(X > 0, X, 0.1 * X), 2)),
    ("relu", (X,), {"threshold": 1.0}, np.where(X > 1, X, 0)), ("hard_sigmoid", (X,), {}, np.clip(0.2 * X + 0.5, 0, 1)),
    ("softmax", (X, 1), {}, np.exp(X) / np.exp(X).sum(1, keepdims=True)), ("elu", (X, 2.0), {}, np.where(X > 0, X, 2 * (np.exp(X) - 1))),
    ("l2_normalize", (M, 1), {}, M / np.linalg.norm(M, axis=1, keepdims=True)),
    ("dot", (M, X.transpose(0, 2, 1)), {}, np.dot(M, X.transpose(0, 2, 1))),
    ("batch_dot", (X, X), {"axes": 2}, np.einsum("bik,bjk->bij", X, X)), ("batch_dot", (X, X.transpose(0, 2, 1)), {}, X @ X.transpose(0, 2, 1)),
    ("batch_dot", (X[:, 0], X[:, 1]), {"axes": 1}, (X[:, 0] * X[:, 1]).sum(1)[:, None]),
    ("batch_dot", (X, X[:, :, 0]), {"axes": (1, 1)}, np.einsum("bij,bi->bj", X, X[:, :, 0])),
    ("permute_dimensions", (X, (2, 0, 1)), {}, X.transpose(2, 0, 1)), ("batch_flatten", (X,), {}, X.reshape(2, 12)), ("flatten", (X,), {}, X.reshape(-1)),
    ("reshape", (X, (-1, 6)), {}, X.reshape(-1, 6)), ("repeat", (M, 2), {}, np.repeat(M[:, None], 2, 1)), ("repeat_elements", (X, 3, 1), {}, X.repeat(3, 1)),
    ("tile", (M, (2, 1)), {}, np.tile(M, (2, 1))), ("arange", (1, 7, 2), {}, np.arange(1, 7, 2)), ("reverse", (X, 1), {}, X[:, ::-1]),
    ("slice", (X, (0, 1, 2), (1, -1, 2)), {}, X[:1, 1:, 2:]), ("gather", (M, [2, 0]), {}, M[[2, 0]]), ("one_hot", ([1, 0], 3), {}, np.eye(3)[[1, 0]]),
    ("concatenate", ([M, M],), {}, np.concatenate([M, M], -1)), ("stack", ([M, M], 1), {}, np.stack([M, M], 1)), ("expand_dims", (M,), {}, M[..., None]),
    ("squeeze", (M[None], 0), {}, M), ("in_top_k", (M, [3, 0, 3], 1), {}, [True, False, True]), ("switch", (X[:, 0, 0] > 0, X, -X), {}, np.where((X[:, 0, 0] > 0)[:, None, None], X, -X)),
    ("temporal_padding", (X, (1, 2)), {}, np.pad(X, [(0, 0), (1, 2), (0, 0)])), ("identity", (X,), {}, X), ("cast", (X, "int32"), {}, X.astype("int32")),
    ("spatial_2d_padding", (X[None], ((1, 0), (0, 2))), {"data_format": "channels_first"}, np.pad(X[None], [(0, 0), (0, 0), (1, 0), (0, 2)])),
    ("resize_images", (X[None], 2, 1), {}, X[None].repeat(2, 1)), ("resize_volumes", (X[None, ..., None], 1, 2, 3), {}, X[None, ..., None].repeat(2, 2).repeat(3, 3)),
    ("bias_add", (X, [1.0, 2, 3]), {"data_format": "channels_first"}, X + np.array([1, 2, 3.0])[:, None]),
    ("pool2d", (X[None], (1, 2), (1, 2)), {"pool_mode": "avg"}, (X[None][:, :, :2:2] + X[None][:, :, 1:2]) / 2),
    ("binary_crossentropy", ([1.0, 0], [0.2, 0.4]), {}, -np.log([0.2, 0.6])),
    ("categorical_crossentropy", ([[0.0, 1]], [[1.0, 3]]), {}, [-np.log(0.75)]),
    ("sparse_categorical_crossentropy", ([1], [[0.2, 0.8]]), {}, [-np.log(0.8)]),
    ("sparse_categorical_crossentropy", ([1], [[0.0, np.log(3)]], True), {}, [-np.log(0.75)]),
    ("batch_normalization", (X, [1.0, 2, 3], [4.0, 1, 9], [1.0, 0, 0], [2.0, 1, 1]), {"axis": 1, "epsilon": 0.0},
     (X - np.array([1, 2, 3.0])[:, None]) / np.array([2, 1, 3.0])[:, None] * np.array([2, 1, 1.0])[:, None] + np.array([1.0, 0, 0])[:, None]),
    ("conv1d", (X, np.ones((2, 4, 1), "float32")), {"padding": "causal"}, X.sum(-1, keepdims=True) + np.pad(X.sum(-1, keepdims=True), [(0, 0), (1, 0), (0, 0)])[:, :-1]),
    ("local_conv1d", (X, np.stack([np.ones((8, 1)), np.full((8, 1), 2.0)]).astype("float32"), (2,), (1,)), {},
     np.stack([X[:, :2].sum((1, 2)), 2 * X[:, 1:].sum((1, 2))], 1)[..., None]),
]  # fmt: skip


@pytest.mark.parametrize("case", TABLE, ids=[f"{row[0]}-{i}" for i, row in enumerate(TABLE)])
def test_functions_equal_numpy(case: tuple[str, tuple[Any, ...], dict[str, Any], Any]) -> None:
    name, args, kwargs, expected = case
    result = K.eval(getattr(K, name)(*args, **kwargs))
    assert np.shape(result) == np.shape(expected)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_every_name_is_there() -> None:
    assert len(K.__all__) > 160 and all(hasattr(K, name) for name in K.__all__)


@pytest.mark.smoke
def test_functions_are_fed_and_update() -> None:
    x, w = K.placeholder(shape=(None, 2)), K.variable([[1.0], [2.0]])
    f = K.function([x], [K.dot(x, w), K.sum(x)], updates=[K.update_add(w, K.ones_like(w))])
    y, total = f([[[1.0, 1.0], [0.0, 1.0]]])
    np.testing.assert_array_equal(y, [[3], [2]])
    assert total == 3 and K.get_value(w).tolist() == [[2], [3]]
    with pytest.raises(FeedError, match="takes 1 inputs"):
        f([1, 2])
    with generation.using("2.4"):
        assert K.function([x], K.sum(x))([[[1.0, 2.0]]]) == 3


def test_the_learning_phase_is_an_input() -> None:
    model = Sequential([Dropout(0.5, input_shape=(100,))])
    f = K.function([model.input, K.learning_phase()], [model.output])
    x = np.ones((2, 100), "float32")
    np.testing.assert_array_equal(f([x, 0])[0], x)
    assert set(np.unique(f([x, 1])[0])) == {0.0, 2.0}


def test_the_results_of_a_layer_and_gradients_for_an_input() -> None:
    model = Sequential([Dense(3, "tanh", input_dim=2), Dense(1)])
    x = np.random.rand(4, 2).astype("float32")
    hidden = K.function([model.layers[0].input], [model.layers[0].output])([x])[0]
    w1, b1, w2, _ = model.get_weights()
    np.testing.assert_allclose(hidden, np.tanh(x @ w1 + b1), rtol=1e-5)
    found = K.gradients(model.output, [model.input, model.layers[0].output, K.variable(1.0)])
    assert found[2] is None
    by_input, by_hidden = K.function([model.input], found[:2])([x])
    np.testing.assert_allclose(by_hidden, np.broadcast_to(w2.T, (4, 3)), rtol=1e-5)
    np.testing.assert_allclose(by_input, ((1 - hidden**2) * w2.T) @ w1.T, rtol=1e-4)


def test_a_session_sees_weights() -> None:
    model = Sequential([Dense(1, input_dim=2)])
    run = K.get_session().run
    x = np.ones((1, 2), "float32")
    np.testing.assert_array_equal(run(model.output, feed_dict={model.input: x}), model.predict(x))
    model.set_weights([np.ones((2, 1)), np.ones(1)])
    assert run(model.output, feed_dict={model.input: x}) == 3 and K.get_session() is K.get_session()


def test_variables_have_values() -> None:
    v = K.variable(np.zeros((2, 2)), name="v")
    K.set_value(v, np.ones((2, 2)))
    K.batch_set_value([(v, K.get_value(v) * 3)])
    assert K.eval(v).tolist() == [[3, 3], [3, 3]] and K.count_params(v) == 4 and K.int_shape(v) == (2, 2) and K.dtype(v) == "float32"
    assert K.eval(K.eye(2)).tolist() == [[1, 0], [0, 1]] and K.eval(K.zeros((2,))).tolist() == [0, 0] and K.eval(K.ones_like(v)).sum() == 4
    x, new = K.moving_average_update(v, K.zeros_like(v), 0.5)
    assert x is v and K.eval(new).tolist() == [[1.5, 1.5], [1.5, 1.5]]
    assert K.is_variable(v) and not K.is_placeholder(v) and K.is_placeholder(K.placeholder(ndim=2)) and K.is_tensor(v)
    assert K.eval(K.constant(2, shape=(2,))).tolist() == [2, 2] and K.ndim(v) == 2 and K.eval(K.size(v)) == 4
    with pytest.raises(GraphError, match="Unexpectedly found"):
        K.is_keras_tensor(3)
    drawn = K.get_value(K.random_normal_variable((1000,), 3.0, 0.1, seed=1))
    assert abs(drawn.mean() - 3) < 0.02 and abs(drawn.std() - 0.1) < 0.02


def test_random_values_have_the_shape_of_a_batch() -> None:
    x = K.placeholder((None, 3))
    noise = K.random_normal(shape=(K.shape(x)[0], 2), mean=1.0, stddev=0.5)
    drawn = K.function([x], [noise])([np.zeros((500, 3))])[0]
    assert drawn.shape == (500, 2) and abs(drawn.mean() - 1) < 0.1 and abs(drawn.std() - 0.5) < 0.1
    flips = K.eval(K.random_binomial((1000,), 0.3))
    assert set(np.unique(flips)) == {0.0, 1.0} and abs(flips.mean() - 0.3) < 0.06
    kept = K.eval(K.dropout(gf.ones((4, 50), dtype="float32"), 0.5, noise_shape=(None, 1)))
    assert all(len(set(row)) == 1 for row in kept) and set(np.unique(kept)) <= {0.0, 2.0}


def test_normalize_batch_in_training() -> None:
    y, mean, var = K.normalize_batch_in_training(X, np.ones(4), np.zeros(4), [0, 1])
    np.testing.assert_allclose(K.eval(mean), X.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(K.eval(y), (X - X.mean((0, 1))) / np.sqrt(X.var((0, 1)) + 1e-3), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(K.eval(var), X.var((0, 1)), rtol=1e-4)


# --- loops ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("time_major", [False, True])
def test_rnn_equals_a_loop_in_numpy(backwards: bool, masked: bool, time_major: bool) -> None:
    w, u = (np.random.rand(*s).astype("float32") for s in ((3, 2), (2, 2)))
    x = np.random.rand(4, 5, 3).astype("float32")
    mask = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 0, 1], [0, 0, 1, 1, 1], [1] * 5], bool) if masked else np.ones((4, 5), bool)
    h = out = np.zeros((4, 2))
    rows = []
    for t in range(5)[:: -1 if backwards else 1]:
        new = np.tanh(x[:, t] @ w + h @ u)
        h, out = np.where(mask[:, t, None], new, h), np.where(mask[:, t, None], new, out)
        rows.append(out)

    def step(row: Any, states: Any) -> Any:
        new = K.tanh(K.dot(row, states[1]) + K.dot(states[0], u))
        return new, [new]

    given = K.placeholder((None, None, 3))
    fed_mask = K.placeholder((None, None), dtype="bool") if masked else None
    samples = K.shape(given)[1 if time_major else 0]
    results = K.rnn(
        step, given, [gf.zeros((samples, 2), dtype="float32")], go_backwards=backwards, mask=fed_mask, constants=[K.variable(w)], time_major=time_major
    )
    f = K.function([given, *([fed_mask] if fed_mask is not None else [])], [results[0], results[1], results[2][0]])
    turned = x.swapaxes(0, 1) if time_major else x
    last, outputs, state = f([turned, *([mask.T if time_major else mask] if masked else [])])
    np.testing.assert_allclose(last, out, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs, np.stack(rows, 0 if time_major else 1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state, h, rtol=1e-5, atol=1e-6)


def test_the_phase_reaches_into_loops() -> None:
    x = K.placeholder((None, None, 3))
    _, outputs, _ = K.rnn(lambda row, states: (K.in_train_phase(lambda: row * 2, row), []), x, [])
    value = np.ones((2, 4, 3), "float32")
    for training in (True, False):
        np.testing.assert_array_equal(gf.function([x], folded([outputs], training)[0])(value), value * (2 if training else 1))
    with pytest.raises(ShapeError, match="at least 3D"):
        K.rnn(lambda row, states: (row, []), K.placeholder((None, 3)), [])


def test_folds_and_maps() -> None:
    assert K.eval(K.foldl(lambda total, row: total + row, np.arange(5.0))) == 10
    assert K.eval(K.foldr(lambda total, row: total * 2 + row, np.arange(3.0))) == 10
    assert K.eval(K.foldl(lambda total, row: total - row, np.arange(3.0), initializer=gf.constant(1.0))) == -2
    np.testing.assert_array_equal(K.eval(K.map_fn(lambda row: K.sum(row * row), np.ones((3, 2)))), [2, 2, 2])
    np.testing.assert_array_equal(K.eval(K.map_fn(lambda rows: rows[0] + rows[1], [np.arange(3.0), np.ones(3)])), [1, 2, 3])


def test_ctc_equals_the_sum_over_all_paths() -> None:
    samples, steps, classes = 3, 5, 4
    p = np.random.rand(samples, steps, classes).astype("float32")
    p /= p.sum(-1, keepdims=True)
    labels, input_length, label_length = np.array([[0, 1], [2, 2], [1, 0]]), np.array([[5], [4], [3]]), np.array([[2], [2], [1]])

    def cost(i: int) -> float:
        total, wanted = 0.0, labels[i, : label_length[i, 0]].tolist()
        for path in itertools.product(range(classes), repeat=int(input_length[i, 0])):
            if [k for k, _ in itertools.groupby(path) if k != classes - 1] == wanted:
                total += float(np.prod([p[i, t, k] for t, k in enumerate(path)]))
        return -np.log(total)

    fed = [K.placeholder((None, None), dtype="int32"), K.placeholder((None, None, classes)), K.placeholder((None, 1), dtype="int32"), K.placeholder((None, 1), dtype="int32")]
    loss = K.ctc_batch_cost(*fed)
    f = K.function(fed, [loss, *K.gradients(loss, [fed[1]])])
    found, slope = f([labels, p, input_length, label_length])
    np.testing.assert_allclose(found[:, 0], [cost(i) for i in range(samples)], rtol=1e-4)
    moved = [p.copy(), p.copy()]
    moved[0][0, 1, 2] += 1e-2
    moved[1][0, 1, 2] -= 1e-2
    more, less = (f([labels, q, input_length, label_length])[0].sum() for q in moved)
    assert slope[0, 1, 2] == pytest.approx((more - less) / 2e-2, rel=1e-2) and (slope[2, 3:] == 0).all()


def test_ctc_decode() -> None:
    p = np.eye(4)[[[0, 0, 3, 0, 1], [3, 2, 2, 3, 3], [1, 1, 1, 0, 0]]] * 0.9 + 0.02
    (labels,), score = K.ctc_decode(K.constant(p), K.constant([[5], [4], [3]], dtype="int32"))
    np.testing.assert_array_equal(K.eval(labels), [[0, 0, 1, -1, -1], [2, -1, -1, -1, -1], [1, -1, -1, -1, -1]])
    np.testing.assert_allclose(K.eval(score)[:, 0], -np.log(0.92) * np.array([5, 4, 3]), rtol=1e-4)
    with pytest.raises(GraphError, match="beam search"):
        K.ctc_decode(p, [5, 4, 3], greedy=False)


def test_settings() -> None:
    assert K.backend() == "tensorflow" and K.image_dim_ordering() == "tf" and K.normalize_data_format(None) == "channels_last"
    K.set_image_dim_ordering("th")
    assert K.image_data_format() == "channels_first"
    K.set_image_data_format("channels_last")
    with pytest.raises(GraphError, match="data_format"):
        K.normalize_data_format("sideways")
    with pytest.raises(ShapeError, match="batch_dot"):
        K.batch_dot(M[0], M[0])
    K.set_learning_phase(1)
    K.clear_session()
    assert not K.get_value(K.learning_phase()) and K.get_uid("dense") == 1
