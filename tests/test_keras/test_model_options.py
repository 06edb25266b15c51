"""What compile and fit take beyond arrays and a loss: weights of steps, masks, frozen layers, own losses and metrics, targets."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import FeedError, GraphError, ShapeError
from graphflow.keras import backend as K
from graphflow.keras import generation, metrics
from graphflow.keras.arguments import ArgumentError
from graphflow.keras.callbacks import Callback
from graphflow.keras.layers import Activation, Dense, Dropout, Input, Layer, Masking
from graphflow.keras.models import Model, Sequential
from graphflow.keras.optimizers import SGD

X = np.random.RandomState(0).rand(12, 3)
Y = X.sum(1, keepdims=True)


def linear(**options: Any) -> Sequential:
    model = Sequential([Dense(1, input_dim=3)])
    model.compile(SGD(0.1), "mse", **options)
    return model


# --- weights of steps, masks -----------------------------------------------------------------------
@pytest.mark.smoke
@pytest.mark.parametrize(("name", "mode"), [("2.2", "temporal"), ("2.4", None)])
def test_weights_of_steps(name: str, mode: str | None) -> None:
    x, y, weight = (np.random.rand(*s) for s in ((4, 5, 3), (4, 5, 2), (4, 5)))
    weight[0, 1] = 0
    with generation.using(name):
        model = Sequential([Dense(2, input_shape=(5, 3))])
        model.compile(SGD(0.1), "mse", sample_weight_mode=mode)
        each = ((model.predict(x) - y) ** 2).mean(-1) * weight
        expected = each.mean() / ((weight != 0).mean() if name == "2.2" else 1)
        assert model.evaluate(x, y, sample_weight=weight, verbose=0) == pytest.approx(expected, rel=1e-5)
        assert model.train_on_batch(x, y, sample_weight=weight) == pytest.approx(expected, rel=1e-5)
        history = model.fit(x, y, sample_weight=weight, validation_data=(x, y, weight), verbose=0).history
        assert history["val_loss"][0] < history["loss"][0] < expected


def test_weights_of_steps_with_weights_of_classes() -> None:
    model = Sequential([Dense(1, input_shape=(2, 3))])
    model.compile("sgd", "mse", sample_weight_mode="temporal")
    with pytest.raises(GraphError, match="3\\+ dimensional targets"):
        model.fit(np.ones((2, 2, 3)), np.ones((2, 2, 1)), class_weight={0: 1.0, 1: 2.0})
    with pytest.raises(ShapeError, match=r"Found a sample_weight array with shape \(2,\)(.|\n)*temporal"):
        model.fit(np.ones((2, 2, 3)), np.ones((2, 2, 1)), sample_weight=np.ones(2))
    with pytest.raises(ShapeError, match=r"shape \(2, 3\) for dense_1, whose targets have the shape \(2, 2, 1\)"):
        model.fit(np.ones((2, 2, 3)), np.ones((2, 2, 1)), sample_weight=np.ones((2, 3)))


def test_a_mask_leaves_steps_out_of_the_loss() -> None:
    model = Sequential([Masking(input_shape=(4, 2)), Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.rand(3, 4, 2)
    x[0, 2:] = 0
    x[1, 1:] = 0
    mask = (x != 0).any(-1)
    y = np.random.rand(3, 4, 1)
    each = ((model.predict(x) - y) ** 2)[..., 0]
    assert model.evaluate(x, y, verbose=0) == pytest.approx(each[mask].sum() / mask.sum(), rel=1e-5)


def test_weights_for_some_outputs() -> None:
    x = Input((3,))
    model = Model(x, [Dense(1, name="a")(x), Dense(1, name="b")(x)])
    model.compile("sgd", "mse")
    weight = np.linspace(0, 1, 12)
    a, b = (((p - Y) ** 2)[:, 0] for p in model.predict(X))
    expected = (a * weight).mean() / (11 / 12) + b.mean()
    for given in ({"a": weight}, [weight, None]):
        assert model.evaluate(X, [Y, Y], sample_weight=given, verbose=0)[0] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(FeedError, match="'c', which is no output"):
        model.evaluate(X, [Y, Y], sample_weight={"c": weight}, verbose=0)


# --- what is trained -------------------------------------------------------------------------------
def test_what_is_trainable_counts_when_the_model_is_compiled() -> None:
    model = Sequential([Dense(2, input_dim=3), Dense(1)])
    model.compile("sgd", "mse")
    model.layers[0].trainable = False
    before = model.get_weights()
    with pytest.warns(UserWarning, match="did you set `model.trainable` without calling `model.compile` after"):
        model.fit(X, Y, verbose=0)
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    model.compile("sgd", "mse")
    before = model.get_weights()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, Y, verbose=0)
    assert [bool((a == b).all()) for a, b in zip(before, model.get_weights(), strict=True)] == [True, True, False, False]


def test_two_models_train_the_parts_of_one_network() -> None:
    """The idiom of adversarial nets: one model is compiled before its layers are frozen in the other."""
    critic = Sequential([Dense(1, "sigmoid", input_dim=2)])
    critic.compile("sgd", "binary_crossentropy")
    maker = Sequential([Dense(2, input_dim=3)])
    critic.trainable = False
    both = Sequential([maker, critic])
    both.compile("sgd", "binary_crossentropy")
    before = both.get_weights()
    both.train_on_batch(X, np.ones(12))
    changed = [bool((a != b).any()) for a, b in zip(before, both.get_weights(), strict=True)]
    assert changed == [True, True, False, False]
    before = both.get_weights()
    critic.train_on_batch(X[:, :2], np.ones(12))
    assert [bool((a != b).any()) for a, b in zip(before, both.get_weights(), strict=True)] == [False, False, True, True]


# --- losses and metrics of one's own -----------------------------------------------------------------
def test_losses_that_are_added() -> None:
    x = Input((3,))
    code = Dense(2, name="code")(x)
    model = Model(x, Dense(3)(code))
    model.add_loss(0.5 * K.mean(K.square(code)))
    model.compile("sgd", "mse")
    hidden = Model(x, code).predict(X)
    expected = ((model.predict(X) - X) ** 2).mean() + 0.5 * (hidden**2).mean()
    assert model.evaluate(X, X, verbose=0) == pytest.approx(expected, rel=1e-5)
    model.compile("sgd")
    with pytest.warns(UserWarning, match="does not depend on dense_1/kernel, dense_1/bias"):
        assert model.train_on_batch(X) == pytest.approx(0.5 * (hidden**2).mean(), rel=1e-5)
    assert len(model.fit(X, epochs=2, verbose=0).history["loss"]) == 2


class Watched(Layer):
    def call(self, x: Any) -> Any:
        self.add_loss(gf.mean(gf.square(x)) * 0.1)
        self.add_metric(gf.max(x), name="largest", aggregation="mean")
        return x


def test_layers_add_losses_and_metrics_inside_models_too() -> None:
    inner = Sequential([Watched(input_shape=(3,))])
    x = Input((3,))
    model = Model(x, Dense(1)(inner(x)))
    model.compile("sgd", "mse")
    assert model.metrics_names == ["loss", "largest"]
    loss, largest = model.evaluate(X, Y, verbose=0)
    assert largest == pytest.approx(X.max(), rel=1e-6)
    assert loss == pytest.approx(((model.predict(X) - Y) ** 2).mean() + 0.1 * (X**2).mean(), rel=1e-5)


def test_metrics_with_state_count_whole_epochs() -> None:
    model = Sequential([Dense(1, "sigmoid", input_dim=3)])
    labels = (Y > 1.5).astype(float)
    model.compile(SGD(0.0), "binary_crossentropy", metrics=[metrics.Precision(name="p"), "acc"])
    chosen = model.predict(X) > 0.5
    expected = (chosen & (labels == 1)).sum() / chosen.sum()
    history = model.fit(X, labels, batch_size=5, epochs=3, verbose=0, validation_data=(X, labels)).history
    np.testing.assert_allclose([history["p"], history["val_p"]], expected, rtol=1e-6)
    assert model.evaluate(X, labels, batch_size=5, verbose=0)[1] == pytest.approx(expected, rel=1e-6)
    one = model.train_on_batch(X[:1], labels[:1])[1]
    assert one == pytest.approx(float(labels[0, 0]) if chosen[0, 0] else 0)

    class Batches(Callback):
        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            assert 0 <= logs["p"] <= 1

    assert model.fit(X, labels, batch_size=5, verbose=0, callbacks=[Batches()]).history["p"] == pytest.approx([expected])


# --- other options -----------------------------------------------------------------------------------
def test_results_by_name() -> None:
    model = linear(metrics=["mae"])
    expected = model.evaluate(X, Y, verbose=0)
    assert list(model.evaluate(X, Y, verbose=0, return_dict=True).items()) == [("loss", expected[0]), ("mean_absolute_error", expected[1])]
    assert list(model.test_on_batch(X, Y, return_dict=True)) == ["loss", "mean_absolute_error"]


def test_targets_that_are_given() -> None:
    model = Sequential([Dense(1, input_dim=3)])
    target = K.placeholder((None, 1))
    model.compile("sgd", "mse", target_tensors=[target])
    assert model.targets == [target]
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(((model.predict(X) - Y) ** 2).mean(), rel=1e-5)
    with pytest.raises(GraphError, match="targets are fed"):
        model.compile("sgd", "mse", target_tensors=[K.constant([1.0])])


def test_options_of_compile() -> None:
    linear(run_eagerly=False, steps_per_execution=4)
    with pytest.raises(ArgumentError, match="optimiser"):
        linear(optimiser="sgd")
    model = Sequential([Dense(1, input_dim=3)])
    model.compile(loss="mse")
    assert type(model.optimizer).__name__ == "RMSprop"


@pytest.mark.smoke
def test_a_model_of_arrays_gives_arrays() -> None:
    model = Sequential([Dense(3, "tanh", input_dim=3), Dropout(0.5)])
    x = X.astype("float32")
    result = model(x)
    np.testing.assert_array_equal(result.numpy(), model.predict(x))
    assert (model(x, training=True) == 0).any() and len(model._inbound_nodes) == 1
    two = Input((3,))
    pair = Model(two, [Dense(1)(two), Activation("relu")(two)])
    assert [v.shape for v in pair(x)] == [(12, 1), (12, 3)]


def test_callbacks_see_the_model_and_may_end_training_from_a_hook_of_testing() -> None:
    class Stops(Callback):
        def on_test_end(self, logs: Any = None) -> None:
            self.model.stop_training = True

    assert linear().fit(X, Y, epochs=5, verbose=0, validation_split=0.25, callbacks=[Stops()]).epoch == [0]


def test_the_batch_size_of_declared_inputs() -> None:
    model = Sequential([Dense(1, batch_input_shape=(4, 3))])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    assert K.get_value(model.optimizer.iterations) == 3 and model.predict(X).shape == (12, 1)


def test_predict_loops_neither_leak_nor_slow_down() -> None:
    resource = pytest.importorskip("resource")
    model = Sequential([Dense(8, "relu", input_dim=4), Dense(2, "softmax")])
    row = np.random.rand(1, 4)
    for call in (model.predict, model.predict_on_batch, model):
        for _ in range(200):
            call(row)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(4000):
            call(row)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1024  # kB


# --- state from batch to batch, models as code ---------------------------------------------------------
class Counts(Layer):
    """Adds the number of batches it has seen."""

    stateful = True

    def build(self, input_shape: Any) -> None:
        self.seen = self.add_weight("seen", (), initializer="zeros", trainable=False)
        self.built = True

    def call(self, x: Any) -> Any:
        self.add_update((self.seen, self.seen + 1))
        return x + self.seen

    def reset_states(self) -> None:
        K.set_value(self.seen, 0)


def test_state_goes_from_batch_to_batch_until_it_is_reset() -> None:
    model = Sequential([Counts(input_shape=(1,))])
    assert model.stateful
    x = np.zeros((6, 1))
    np.testing.assert_array_equal(model.predict(x, batch_size=2)[:, 0], [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(model.predict_on_batch(x)[:, 0], [3] * 6)
    model.reset_states()
    np.testing.assert_array_equal(model.predict(x, batch_size=3)[:, 0], [0, 0, 0, 1, 1, 1])
    model.compile("sgd", "mae")
    model.reset_states()
    assert model.evaluate(x, x, batch_size=3, verbose=0) == 0.5 and model.test_on_batch(x, x) == 2
    with pytest.raises(ShapeError, match=r"can be divided by the batch size\. Found: 6 samples"):
        model.predict(x, batch_size=4)


def test_a_subclass_is_built_by_a_shape() -> None:
    class Two(Model):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [Dense(1), Dense(2)]

        def call(self, inputs: Any, training: Any = None) -> Any:
            a, b = inputs
            return self.parts[0](a), self.parts[1](b)

    model = Two()
    with pytest.raises(RuntimeError, match="has not yet been built"):
        model.summary()
    model.build([(None, 2), (None, 3)])
    assert model.count_params() == 3 + 8 and len(model.trainable_variables) == 4
    model.compile("sgd", ["mse", "mae"])
    assert model.metrics_names == ["loss", "output_1_loss", "output_2_loss"]
    assert [p.shape for p in model.predict([np.ones((4, 2)), np.ones((4, 3))])] == [(4, 1), (4, 2)]
    model.fit([np.ones((4, 2)), np.ones((4, 3))], [np.ones(4), np.ones((4, 2))], verbose=0)


def test_a_model_predicts_in_several_threads() -> None:
    import threading

    model = Sequential([Dense(2, "tanh", input_dim=3)])
    model._make_predict_function()
    expected = model.predict(X)
    wrong: list[int] = []

    def work() -> None:
        for _ in range(100):
            wrong.extend([1] if (model.predict(X) != expected).any() else [])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
