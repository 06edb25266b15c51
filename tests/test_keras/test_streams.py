"""Generators and Sequences for fit, evaluate and predict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from graphflow.graph.errors import FeedError
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.callbacks import Callback, LambdaCallback
from graphflow.keras.layers import Dense
from graphflow.keras.models import Model, Sequential
from graphflow.keras.optimizers import SGD
from graphflow.keras.sequences import Sequence

X = np.linspace(-1, 1, 60).reshape(20, 3)
Y = X.sum(1, keepdims=True) + 1


def linear() -> Sequential:
    np.random.seed(1)
    model = Sequential([Dense(1, input_dim=3)])
    model.compile(SGD(0.05), "mse", metrics=["mae"])
    return model


def batches(size: int = 4, weights: bool = False) -> Iterator[Any]:
    while True:
        for i in range(0, 20, size):
            part = slice(i, i + size)
            yield (X[part], Y[part], np.arange(1.0, len(X[part]) + 1)) if weights else (X[part], Y[part])


class InOrder(Sequence):
    def __init__(self, size: int = 4, **options: Any) -> None:
        super().__init__(**options)
        self.size = size

    def __len__(self) -> int:
        return -(-20 // self.size)

    def __getitem__(self, index: int) -> Any:
        part = slice(index * self.size, (index + 1) * self.size)
        return X[part], Y[part]


@pytest.mark.smoke
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_generator_and_a_sequence_train_as_arrays_do(workers: int) -> None:
    expected = linear()
    history = expected.fit(X, Y, batch_size=4, epochs=3, shuffle=False, verbose=0).history
    for source, steps in ((batches(), 5), (InOrder(), None)):
        model = linear()
        found = model.fit(source, steps_per_epoch=steps, epochs=3, shuffle=False, verbose=0, workers=workers).history
        assert found.keys() == history.keys()
        for name in history:
            np.testing.assert_allclose(found[name], history[name], rtol=1e-6)
        for mine, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_evaluation_and_prediction_of_batches() -> None:
    model = linear()
    expected = model.evaluate(X, Y, verbose=0)
    for source, steps in ((batches(8), 3), (InOrder(8), None)):
        np.testing.assert_allclose(model.evaluate(source, steps=steps, verbose=0), expected, rtol=1e-6)
    np.testing.assert_array_equal(model.predict(batches(), steps=5), model.predict(X, batch_size=4))
    np.testing.assert_array_equal(model.predict_generator(InOrder(7)), model.predict(X, batch_size=7))
    only_x = (X[i : i + 5] for i in range(0, 20, 5))
    np.testing.assert_array_equal(model.predict(only_x, steps=4), model.predict(X, batch_size=5))
    np.testing.assert_allclose(model.evaluate_generator(batches(), 5), expected, rtol=1e-6)


def test_validation_by_batches() -> None:
    model = linear()
    history = model.fit(batches(), steps_per_epoch=5, epochs=2, validation_data=batches(), validation_steps=5, verbose=0).history
    np.testing.assert_allclose([history["val_loss"][-1], history["val_mean_absolute_error"][-1]], model.evaluate(X, Y, verbose=0), rtol=1e-6)
    history = model.fit(X, Y, epochs=4, validation_data=InOrder(), validation_freq=2, verbose=0).history
    assert len(history["loss"]) == 4 and len(history["val_loss"]) == 2
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(X, Y, verbose=0)[0], rel=1e-6)
    history = model.fit(X, Y, epochs=4, validation_data=(X, Y), validation_freq=[1, 4], verbose=0).history
    assert len(history["val_loss"]) == 2


def test_weights_come_with_batches() -> None:
    model, by_hand = linear(), linear()
    model.fit(batches(weights=True), steps_per_epoch=5, verbose=0)
    for i in range(5):
        by_hand.train_on_batch(X[4 * i : 4 * i + 4], Y[4 * i : 4 * i + 4], sample_weight=np.arange(1.0, 5))
    np.testing.assert_array_equal(model.get_weights()[0], by_hand.get_weights()[0])


def test_hooks_see_numbers_and_sizes_of_batches() -> None:
    seen: list[Any] = []

    class Notes(Callback):
        def on_batch_begin(self, batch: int, logs: Any = None) -> None:
            seen.append((batch, logs["size"]))

        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(("test", batch, sorted(logs)))

        def on_test_begin(self, logs: Any = None) -> None:
            seen.append("testing")

    model = linear()
    model.fit(InOrder(8), shuffle=False, verbose=0, validation_data=(X, Y), callbacks=[Notes()])
    assert seen == [(0, 8), (1, 8), (2, 4), "testing", ("test", 0, ["batch", "loss", "mean_absolute_error", "size"])]
    assert model.history.params["steps"] == 3 and model.history.params["samples"] is None
    called: list[str] = []
    model.predict(X, callbacks=[LambdaCallback(on_predict_batch_end=lambda batch, logs: called.append("batch"), on_predict_end=lambda logs: called.append("end"))])
    model.evaluate(X, Y, verbose=0, callbacks=[LambdaCallback(on_test_end=lambda logs: called.append(f"{sorted(logs)}"))])
    assert called == ["batch", "end", "['loss', 'mean_absolute_error']"]


def test_a_subclass_meets_its_first_data_in_a_generator() -> None:
    class Mine(Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = Dense(1)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    model = Mine()
    model.compile("sgd", "mse", metrics=["mae"])
    history = model.fit(batches(), steps_per_epoch=5, epochs=2, verbose=0)
    assert list(history.history) == ["loss", "mean_absolute_error"] and model.input_names == ["mine_1_input_1"] and model.output_names == ["output_1"]


def test_data_that_run_out_end_training_with_a_warning() -> None:
    model = linear()
    few = (pair for pair, _ in zip(batches(), range(7), strict=False))
    with pytest.warns(UserWarning, match="ran out of data"):
        history = model.fit(few, steps_per_epoch=5, epochs=4, verbose=0)
    assert history.epoch == [0, 1] and K.get_value(model.optimizer.iterations) == 7


def test_from_tf_keras_on_a_generator_may_end_an_epoch() -> None:
    model = linear()
    with pytest.raises(FeedError, match="steps_per_epoch=None"):
        model.fit(batches(), verbose=0)
    with generation.using("2.4"):
        model.fit((pair for pair, _ in zip(batches(), range(3), strict=False)), verbose=0)
    assert K.get_value(model.optimizer.iterations) == 3


def test_old_names_of_generators_arguments() -> None:
    model = linear()
    with pytest.warns(DeprecationWarning):
        history = model.fit_generator(batches(), samples_per_epoch=5, nb_epoch=2, verbose=0, max_q_size=2, nb_worker=1)
    assert history.epoch == [0, 1] and K.get_value(model.optimizer.iterations) == 10


@pytest.mark.parametrize(
    ("mistake", "text"),
    [
        (lambda m: m.fit(batches(), Y, steps_per_epoch=1), "`y` argument is not supported"),
        (lambda m: m.fit(batches(), steps_per_epoch=1, validation_split=0.1), "`validation_split` argument"),
        (lambda m: m.fit(iter([(X, Y, Y, Y)]), steps_per_epoch=1, verbose=0), "Output of generator should be a tuple"),
        (lambda m: m.fit_generator((X, Y), 1), "a generator or Sequence is needed"),
    ],
)
def test_mistakes(mistake: Any, text: str) -> None:
    with pytest.raises(FeedError, match=text):
        mistake(linear())


def test_an_error_in_a_generator_is_raised_and_workers_end() -> None:
    import threading

    def broken() -> Iterator[Any]:
        yield X, Y
        raise OSError("the disk is gone")

    before = threading.active_count()
    for workers in (0, 1):
        with pytest.raises(OSError, match="disk is gone"):
            linear().fit(broken(), steps_per_epoch=3, verbose=0, workers=workers)
    assert threading.active_count() == before


def test_steps_take_a_part_of_arrays() -> None:
    model = linear()
    model.fit(X, Y, batch_size=4, epochs=2, steps_per_epoch=2, verbose=0)
    assert K.get_value(model.optimizer.iterations) == 4
    assert model.predict(X, batch_size=4, steps=2).shape == (8, 1)
    np.testing.assert_allclose(model.evaluate(X, Y, batch_size=4, steps=2, verbose=0), model.evaluate(X[:8], Y[:8], verbose=0), rtol=1e-6)


def test_epochs_of_steps_go_on_where_the_one_before_ended() -> None:
    model, by_hand = linear(), linear()
    model.fit(X, Y, batch_size=5, epochs=4, steps_per_epoch=3, shuffle=False, verbose=0)
    for i in range(12):
        part = slice(5 * (i % 4), 5 * (i % 4) + 5)
        by_hand.train_on_batch(X[part], Y[part])
    np.testing.assert_array_equal(model.get_weights()[0], by_hand.get_weights()[0])
    seen: list[Any] = []
    note = LambdaCallback(on_batch_begin=lambda batch, logs: seen.append((batch, logs["size"])))
    with pytest.warns(UserWarning, match="ran out of data"):
        history = linear().fit(X, Y, batch_size=8, epochs=2, steps_per_epoch=5, verbose=0, callbacks=[note])
    assert seen == [(0, 8), (1, 8), (2, 4), (3, 8), (4, 8), (0, 4)] and history.epoch == [0, 1]
