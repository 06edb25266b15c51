"""compile, fit, evaluate, predict: values, validation, weights of samples and classes, reproducibility."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import CheckError, FeedError, GraphError, ShapeError, StateError
from graphflow.keras import backend as K
from graphflow.keras import generation, losses
from graphflow.keras.arguments import ArgumentError
from graphflow.keras.layers import Activation, Dense, Dropout, Input
from graphflow.keras.models import Model, Sequential
from graphflow.keras.optimizers import SGD, Adam
from graphflow.keras.utils import to_categorical
from graphflow.runtime.batches import Stepwise


def linear(loss: Any = "mse", **options: Any) -> Sequential:
    model = Sequential([Dense(1, input_dim=2, **options)])
    model.compile(SGD(0.1), loss)
    return model


def data(n: int = 10) -> tuple[Any, Any]:
    return np.random.rand(n, 2), np.random.rand(n, 1)


# --- a model that learns -------------------------------------------------------------------------
@pytest.mark.smoke
def test_digits_are_learned() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    mixed = np.random.permutation(len(images))
    x, labels = images[mixed] / 16, labels[mixed]
    model = Sequential([Dense(64, "relu", input_shape=(64,)), Dropout(0.1), Dense(10, "softmax")])
    model.compile(Adam(lr=0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x[:1500], labels[:1500], epochs=12, batch_size=32, validation_data=(x[1500:], labels[1500:]), verbose=0)
    assert history.history["acc"][-1] > 0.97
    loss, accuracy = model.evaluate(x[1500:], labels[1500:], verbose=0)
    assert accuracy > 0.95 and loss == pytest.approx(history.history["val_loss"][-1], rel=1e-5)
    assert (model.predict_classes(x[1500:]) == labels[1500:]).mean() == pytest.approx(accuracy)
    assert len(model.train_step().compiled.executables) == 1  # 1500 = 46 * 32 + 28: the last batch runs the same code


def test_a_deep_step_equals_numpy() -> None:
    model = Sequential([Dense(8, "relu", input_shape=(5,)), Dense(4, activation="softmax")])
    model.compile(SGD(0.5), "sparse_categorical_crossentropy")
    w1, b1, w2, b2 = (w.astype(np.float64) for w in model.get_weights())
    x, t = np.random.randn(7, 5), np.random.randint(0, 4, 7)
    for _ in range(3):
        h = np.maximum(x @ w1 + b1, 0)
        z = h @ w2 + b2
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        assert model.train_on_batch(x, t) == pytest.approx(-np.log(p[np.arange(7), t]).mean(), rel=1e-5)
        dz = (p - np.eye(4)[t]) / 7
        dh = dz @ w2.T * (h > 0)
        w1, b1, w2, b2 = w1 - 0.5 * x.T @ dh, b1 - 0.5 * dh.sum(0), w2 - 0.5 * h.T @ dz, b2 - 0.5 * dz.sum(0)
    for ours, expected in zip(model.get_weights(), (w1, b1, w2, b2), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)


# --- numbers that are reported -------------------------------------------------------------------
def test_epochs_weigh_batches_by_size() -> None:
    model = linear()
    K.set_value(model.optimizer.lr, 0.0)
    x, y = data(10)
    history = model.fit(x, y, batch_size=4, verbose=0)
    expected = np.mean((model.predict(x) - y) ** 2)
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-5)
    assert model.evaluate(x, y, batch_size=4, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert model.test_on_batch(x, y) == pytest.approx(expected, rel=1e-5)


def test_predict_joins_batches_of_any_size() -> None:
    model = linear()
    x, _ = data(10)
    whole = model.predict_on_batch(x)
    for size in (1, 3, 9, 64):
        np.testing.assert_allclose(model.predict(x, batch_size=size), whole, rtol=1e-6)
    assert model.predict(x[:0]).shape == (0, 1)
    assert len(model.predict_step().compiled.executables) == 1


@pytest.mark.parametrize(
    ("loss", "units", "targets", "name"),
    [
        ("binary_crossentropy", 1, "binary", "acc"),
        ("categorical_crossentropy", 3, "one-hot", "acc"),
        ("sparse_categorical_crossentropy", 3, "numbers", "acc"),
    ],
)
def test_accuracy_is_found_by_shapes_and_loss(loss: str, units: int, targets: str, name: str) -> None:
    model = Sequential([Dense(units, "sigmoid" if units == 1 else "softmax", input_dim=2)])
    model.compile("sgd", loss, metrics=["accuracy"])
    x, labels = np.random.randn(20, 2), np.random.randint(0, max(2, units), 20)
    p = model.predict(x)
    right = (p[:, 0] > 0.5) == labels if units == 1 else p.argmax(1) == labels
    assert model.metrics_names == ["loss", name]
    _, accuracy = model.test_on_batch(x, to_categorical(labels) if targets == "one-hot" else labels)
    assert accuracy == pytest.approx(right.mean())


def test_metrics_are_called_as_each_generation_calls_them() -> None:
    def own(t: Any, p: Any) -> Any:
        return gf.max(p)

    x, y = data()
    for name, expected in (("2.2", ["loss", "mean_absolute_error", "acc", "own"]), ("2.3", ["loss", "mae", "accuracy", "own"])):
        with generation.using(name):
            model = Sequential([Dense(1, input_dim=2)])
            model.compile("sgd", "mse", metrics=["mae", "accuracy", own])
            assert model.metrics_names == expected
    _, mae, _, largest = model.test_on_batch(x, y)
    p = model.predict(x)
    assert mae == pytest.approx(np.abs(p - y).mean(), rel=1e-5) and largest == pytest.approx(p.max(), rel=1e-5)


def test_several_outputs_have_weighted_losses_and_metrics_of_their_own() -> None:
    x = Input((2,))
    model = Model(x, [Dense(1, name="a")(x), Dense(1, name="b")(x)])
    model.compile("sgd", {"a": "mse", "b": "mae"}, metrics={"b": ["mse"]}, loss_weights=[0.9, 0.1])
    assert model.metrics_names == ["loss", "a_loss", "b_loss", "b_mean_squared_error"]
    data_in, y = data()
    a, b = model.predict(data_in)
    expected = [0.9 * np.mean((a - y) ** 2) + 0.1 * np.mean(abs(b - y)), np.mean((a - y) ** 2), np.mean(abs(b - y)), np.mean((b - y) ** 2)]
    for targets in ([y, y], {"b": y, "a": y}):
        np.testing.assert_allclose(model.evaluate(data_in, targets, verbose=0), expected, rtol=1e-5)


def test_weights_that_no_loss_depends_on_are_left_alone_with_a_warning() -> None:
    x = Input((2,))
    model = Model(x, [Dense(1, name="a")(x), Dense(1, name="b")(x)])
    model.compile("sgd", {"b": "mse"})
    assert model.metrics_names == ["loss", "b_loss"]
    before = model.get_weights()
    with pytest.warns(UserWarning, match="a/kernel, a/bias"):
        model.fit(*data(), verbose=0)
    assert [np.array_equal(w, v) for w, v in zip(model.get_weights(), before, strict=True)] == [True, True, False, False]


def test_own_losses_may_take_targets_of_another_shape() -> None:
    def chosen(t: Any, p: Any) -> Any:
        return losses.sparse_categorical_crossentropy(t, p, from_logits=True)

    model = Sequential([Dense(3, input_dim=2)])
    model.compile("sgd", chosen)
    x, labels = np.random.rand(6, 2), np.arange(6) % 3
    z = model.predict(x).astype(np.float64)
    expected = (np.log(np.exp(z).sum(1)) - z[np.arange(6), labels]).mean()
    assert model.test_on_batch(x, labels) == pytest.approx(expected, rel=1e-5)


def test_penalties_are_part_of_the_loss() -> None:
    model = Sequential([Dense(1, input_dim=2, kernel_regularizer="l2", bias_regularizer="l1", activity_regularizer="l1", bias_initializer="ones")])
    model.compile("sgd", "mse")
    x, y = data(4)
    w, b = model.get_weights()
    p = x @ w + b
    expected = np.mean((p - y) ** 2) + 0.01 * (w**2).sum() + 0.01 * abs(b).sum() + 0.01 * abs(p).sum()
    assert model.test_on_batch(x, y) == pytest.approx(expected, rel=1e-5)


# --- weights of samples --------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "over_all"), [("2.2", False), ("2.3", True)])
def test_sample_weights_equal_numpy(name: str, over_all: bool) -> None:
    x, y = data(8)
    weight = np.array([0.0, 1, 2, 0.5, 0, 3, 1, 1])
    with generation.using(name):
        model = linear()
        p, kernel = model.predict(x), model.get_weights()[0]
        each = ((p - y) ** 2)[:, 0] * weight
        expected = each.mean() / (1 if over_all else (weight != 0).mean())
        assert model.test_on_batch(x, y, sample_weight=weight) == pytest.approx(expected, rel=1e-5)
        model.train_on_batch(x, y, sample_weight=weight)
    error = 2 * weight[:, None] * (p - y) / (8 if over_all else (weight != 0).sum())
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.1 * x.T @ error, rtol=1e-4)
    np.testing.assert_allclose(model.get_weights()[1], -0.1 * error.sum(0), rtol=1e-4)


def test_class_weights_equal_sample_weights_and_multiply_with_them() -> None:
    x = np.random.randn(9, 2)
    labels = np.arange(9) % 3
    weights, by_sample = {0: 1.0, 1: 2.0, 2: 0.5}, np.random.rand(9)
    for loss, targets in (("sparse_categorical_crossentropy", labels), ("categorical_crossentropy", to_categorical(labels))):
        results = []
        for given in ({"class_weight": weights, "sample_weight": by_sample}, {"sample_weight": np.array([weights[int(c)] for c in labels]) * by_sample}):
            np.random.seed(1)
            model = Sequential([Dense(3, "softmax", input_dim=2)])
            model.compile("sgd", loss)
            model.fit(x, targets, epochs=2, batch_size=4, verbose=0, **given)
            results.append(model.get_weights()[0])
        np.testing.assert_allclose(results[0], results[1], rtol=1e-6)


def test_weighted_metrics() -> None:
    model = Sequential([Dense(1, input_dim=2)])
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mae"])
    x, y = data(4)
    weight = np.array([1.0, 3, 0, 0])
    error = abs(model.predict(x) - y)[:, 0]
    _, plain, weighted = model.test_on_batch(x, y, sample_weight=weight)
    assert model.metrics_names[2] == "weighted_mean_absolute_error"
    assert (plain, weighted) == pytest.approx((error.mean(), (error * weight).sum() / 2), rel=1e-5)


def test_wrong_weights_are_refused() -> None:
    x, y = data(4)
    model = linear()
    with pytest.raises(ShapeError, match="different numbers of samples"):
        model.fit(x, y, sample_weight=np.ones(3), verbose=0)
    with pytest.raises(ShapeError, match="one weight for each sample"):
        model.fit(x, y, sample_weight=np.ones((4, 2)), verbose=0)
    with pytest.raises(GraphError, match=r"no weight for the classes \[1\]"):
        model.fit(x, [0, 1, 0, 1], class_weight={0: 1.0}, verbose=0)


class Watched:
    """A step whose batches run one call at a time; `seen` holds the first column of each."""

    def __init__(self, model: Sequential, kind: str) -> None:
        self.step = model._function(kind, False)
        self.seen: list[list[int]] = []
        model._functions[kind, False] = self  # type: ignore[assignment]

    def batches(self, arrays: list[Any], size: int) -> Stepwise:
        return Stepwise(self.call, arrays, size, [True])

    def call(self, arrays: Any) -> Any:
        self.seen.append(arrays[0][:, 0].astype(int).tolist())
        return self.step(*arrays)


# --- validation ----------------------------------------------------------------------------------
def test_validation_split_takes_the_last_samples_before_shuffling() -> None:
    model = linear()
    x = np.stack([np.arange(10.0), np.zeros(10)], 1)
    y = np.zeros(10)
    tests = Watched(model, "test")
    history = model.fit(x, y, validation_split=0.25, epochs=2, verbose=0, batch_size=2)
    assert tests.seen == [[7, 8], [9]] * 2  # int(10 * 0.75) are trained on
    assert history.params["samples"] == 7 and history.params["do_validation"]
    assert history.history["val_loss"][-1] == pytest.approx(model.evaluate(x[7:], y[7:], verbose=0), rel=1e-5)
    with pytest.raises(GraphError, match="leaves 0 of 10"):
        model.fit(x, y, validation_split=1.0)


def test_validation_data_with_weights() -> None:
    model = linear()
    x, y = data(6)
    weight = np.arange(6.0)
    history = model.fit(x, y, validation_data=(x, y, weight), verbose=0)
    assert history.history["val_loss"][0] == pytest.approx(model.evaluate(x, y, sample_weight=weight, verbose=0), rel=1e-6)
    with pytest.raises(GraphError, match="1 parts"):
        model.fit(x, y, validation_data=(x,), verbose=0)


# --- order and seeds -----------------------------------------------------------------------------
def rows_seen(shuffle: Any, epochs: int = 1) -> list[list[int]]:
    model = linear()
    training = Watched(model, "train")
    model.fit(np.stack([np.arange(7.0), np.zeros(7)], 1), np.zeros(7), batch_size=3, epochs=epochs, shuffle=shuffle, verbose=0)
    return training.seen


def test_shuffling_is_numpys_and_in_whole_batches_on_request() -> None:
    assert rows_seen(False) == [[0, 1, 2], [3, 4, 5], [6]]
    np.random.seed(5)
    seen = rows_seen(True, epochs=2)
    np.random.seed(5)
    np.random.randint(10**7)  # the seed of the kernel's initializer
    rows = np.arange(7)
    for epoch in (seen[:3], seen[3:]):
        np.random.shuffle(rows)  # each epoch shuffles the order of the one before
        assert epoch == [rows[:3].tolist(), rows[3:6].tolist(), rows[6:].tolist()]
    in_batches = rows_seen("batch", epochs=6)
    assert sorted(map(tuple, in_batches)) == [(0, 1, 2)] * 6 + [(3, 4, 5)] * 6 + [(6,)] * 6 and in_batches[2::3] == [[6]] * 6


def test_two_seeds_make_a_run_reproducible() -> None:
    def run() -> list[Any]:
        np.random.seed(3)
        gf.random.seed(4)
        model = Sequential([Dense(16, "relu", input_dim=2), Dropout(0.5), Dense(1)])
        model.compile("adam", "mse")
        x, y = data(20)
        history = model.fit(x, y, epochs=2, batch_size=8, verbose=0, validation_split=0.2)
        return [*model.get_weights(), history.history["loss"], history.history["val_loss"]]

    for first, second in zip(run(), run(), strict=True):
        np.testing.assert_array_equal(first, second)


# --- arguments and mistakes ----------------------------------------------------------------------
def test_epochs_and_their_old_name() -> None:
    x, y = data()
    model = linear()
    assert model.fit(x, y, verbose=0).epoch == [0]
    with pytest.warns(DeprecationWarning, match="fit: the argument 'nb_epoch' is now called 'epochs'") as caught:
        assert model.fit(x, y, nb_epoch=2, verbose=0).epoch == [0, 1]
        model.fit(x, y, nb_epoch=1, verbose=0)
    assert len(caught) == 1
    assert model.fit(x, y, epochs=5, initial_epoch=3, verbose=0).epoch == [3, 4]
    with generation.using("1"):
        assert len(model.fit(x, y, verbose=0).epoch) == 10
    with pytest.raises(ArgumentError, match="epoch"):
        model.fit(x, y, epoch=3)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("mistake", "error", "text"),
    [
        (lambda x, y: Sequential([Dense(1, input_dim=2)]).fit(x, y), StateError, "model.compile"),
        (lambda x, y: linear().fit(x[:, :1], y), ShapeError, r"expected dense_1_input to have shape \(2,\) but got array with shape \(1,\)"),
        (lambda x, y: linear().fit(x[None], y), ShapeError, r"to have 2 dimensions, but got array with shape \(1, 10, 2\)"),
        (lambda x, y: linear().fit(x, y[:5]), ShapeError, "dense_1_input: 10, dense_1: 5"),
        (lambda x, y: linear().fit([[1, 2], [3]], y), FeedError, "equal lengths"),
        (lambda x, y: linear().fit([x, x], y), FeedError, "1 input, and a list of 2 arrays"),
        (lambda x, y: linear("mean_sqared_error"), GraphError, "did you mean 'mean_squared_error'.*known: mean_squared_error, mean_absolute"),
        (lambda x, y: linear(3), GraphError, "3 is not a loss"),
        (lambda x, y: linear({"x": "mse"}), GraphError, "'x', which is no output"),
        (lambda x, y: linear(["mse", "mse"]), GraphError, "2 entries, and the model has 1"),
        (lambda x, y: linear(None), GraphError, "nothing to minimise"),
        (lambda x, y: linear().fit(x, np.zeros((10, 3))), ShapeError, "expected dense_1 to have shape"),
    ],
)
def test_mistakes_name_the_users_line(mistake: Callable[[Any, Any], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        mistake(*data())
    assert "test_training.py" in str(caught.value)


def test_mistakes_of_class_numbers() -> None:
    x, _ = data(4)
    model = Sequential([Dense(3, "softmax", input_dim=2)])
    model.compile("sgd", "categorical_crossentropy")
    with pytest.raises(ShapeError, match="to_categorical"):
        model.fit(x, [0, 1, 2, 0], verbose=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(FeedError, match="whole numbers"):
        model.fit(x, [0.5, 1, 2, 0], verbose=0)
    with pytest.raises(CheckError, match="out of range"):
        model.fit(x, [0, 1, 2, 3], verbose=0)


def test_the_learning_phase_of_other_functions_is_state() -> None:
    model = Sequential([Dropout(0.5, input_shape=(50,)), Activation("linear")])
    run = gf.function(model.inputs, model.outputs[0])
    x = np.ones((4, 50), "float32")
    np.testing.assert_array_equal(run(x), x)
    K.set_learning_phase(1)
    assert set(np.unique(run(x))) == {0.0, 2.0}
    np.testing.assert_array_equal(model.predict(x), x)


def test_weights_are_in_the_default_store_whatever_session_is_open() -> None:
    model = linear()
    x, y = data()
    before = model.get_weights()[0]
    with gf.Session():
        model.train_on_batch(x, y)
        assert not np.array_equal(model.get_weights()[0], before)


def test_lists_and_frames_are_data() -> None:
    pandas = pytest.importorskip("pandas")
    model = linear()
    x, y = data(4)
    expected = model.predict(x)
    np.testing.assert_array_equal(model.predict(x.tolist()), expected)
    np.testing.assert_array_equal(model.predict(pandas.DataFrame(x)), expected)
    assert model.evaluate(pandas.DataFrame(x), pandas.Series(y[:, 0]), verbose=0) == model.evaluate(x, y, verbose=0)


def test_a_step_is_made_before_there_are_data() -> None:
    with pytest.raises(StateError, match="compile"):
        Sequential([Dense(1, input_dim=2)]).train_step()
    model = linear()
    x, y = (a.astype("float32") for a in data())
    before = model.get_weights()[0]
    (loss,) = model.train_step()(x, y)
    assert loss == pytest.approx(np.mean((x @ before - y) ** 2), rel=1e-5) and not np.array_equal(before, model.get_weights()[0])


def test_float64_models() -> None:
    K.set_floatx("float64")
    model = linear()
    x, y = data()
    model.fit(x, y, verbose=0)
    assert model.predict(x).dtype == np.float64 and model.get_weights()[0].dtype == np.float64
    np.testing.assert_allclose(model.predict(x), x @ model.get_weights()[0] + model.get_weights()[1], rtol=1e-14)
