"""fit, evaluate and predict in native slices: the same bits as batch by batch, callbacks, stops, interrupts."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import CheckError, GraphError
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.callbacks import (
    BaseLogger,
    Callback,
    History,
    LambdaCallback,
    ProgbarLogger,
    TerminateOnNaN,
    listens_to_batches,
    listens_to_epochs,
)
from graphflow.keras.layers import Activation, Dense, Dropout, Input, Layer
from graphflow.keras.models import Model, Sequential
from graphflow.keras.optimizers import SGD, Adam
from graphflow.runtime.batches import Stepwise
from graphflow.runtime.function import Function
from graphflow.runtime.loop import Loop


def classifier() -> Sequential:
    gf.random.seed(5)
    np.random.seed(6)
    K.clear_session()
    model = Sequential([Dense(8, "relu", input_shape=(4,)), Dropout(0.3), Dense(3, "softmax")])
    model.compile(Adam(0.01, decay=0.1), "sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["accuracy"])
    return model


def data(rows: int = 53) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((rows, 4)), rng.integers(0, 3, rows)


class Listens(Callback):
    """Wants every batch."""

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        assert logs["batch"] == batch and logs["loss"] > 0


class HearsEpochs(Callback):
    """Wants every epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        assert epoch >= 0


def outcome(callbacks: Any, **options: Any) -> list[Any]:
    model = classifier()
    history = model.fit(*data(), batch_size=8, epochs=6, callbacks=callbacks, verbose=0, **options)
    after = np.random.random()
    return [history.epoch, dict(history.history), *model.get_weights(), *model.optimizer.get_weights(), after]


def assert_same(a: list[Any], b: list[Any]) -> None:
    assert a[:2] == b[:2] and len(a) == len(b)
    for one, other in zip(a[2:], b[2:], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.smoke
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": False},
        {"shuffle": "batch"},
        {"validation_split": 0.2},
        {"sample_weight": np.linspace(0, 2, 53)},
        {"class_weight": {0: 1.0, 1: 0.5, 2: 3.0}, "validation_data": data(21)},
        {"initial_epoch": 2},
    ],
)
def test_slices_epochs_and_batches_give_the_same_bits(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    together = outcome([], **options)
    assert_same(together, outcome([HearsEpochs()], **options))
    assert_same(together, outcome([Listens()], **options))
    monkeypatch.setattr(Function, "batches", lambda f, tables, size: Stepwise(f._call_one, tables, size, [True] * len(f.compiled.request.outputs)))
    assert_same(together, outcome([], **options))


def test_native_calls_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    run = Loop.run
    monkeypatch.setattr(Loop, "run", lambda loop, orders, sums, until, watched: (ran.append(until - loop.at), run(loop, orders, sums, until, watched))[1])
    model = Sequential([Dense(1, input_dim=1)])
    model.compile("sgd", "mse")
    x = np.random.rand(20, 1)
    model.fit(x, x, batch_size=10, epochs=300, verbose=0)
    assert sum(ran) == model.train_step().compiled.executables[0].calls == 600 and len(ran) < 20
    ran.clear()
    model.fit(x, x, batch_size=10, epochs=30, verbose=0, callbacks=[HearsEpochs()])
    assert sum(ran) == 60 and len(ran) <= 32
    ran.clear()
    model.fit(x, x, batch_size=10, epochs=30, verbose=0, callbacks=[Listens()])
    assert ran == [1] * 60


def test_evaluate_and_predict_equal_batches() -> None:
    model = classifier()
    x, y = data(70)
    for size in (1, 7, 32, 100):
        parts = [slice(i, i + size) for i in range(0, 70, size)]
        np.testing.assert_array_equal(model.predict(x, batch_size=size), np.concatenate([model.predict_on_batch(x[p]) for p in parts]))
        sums = sum(np.array(model.test_on_batch(x[p], y[p])) * len(x[p]) for p in parts)
        assert model.evaluate(x, y, batch_size=size, verbose=0) == (sums / 70).tolist()
    assert np.isnan(model.evaluate(x[:0], y[:0], verbose=0)).all()
    several = Model(model.inputs, [model.outputs[0], Activation("tanh")(model.outputs[0])])
    first, second = several.predict(x, batch_size=16)
    np.testing.assert_array_equal(np.tanh(first).shape, second.shape)
    np.testing.assert_array_equal(first, model.predict(x, batch_size=16))


def test_predict_needs_rows() -> None:
    class Total(Layer):
        def call(self, inputs: Any) -> Any:
            return gf.sum(inputs)

    x = Input((2,))
    model = Model(x, Total()(x))
    assert model.predict(np.ones((3, 2))) == 6
    with pytest.raises(GraphError, match="an output of the model has none"):
        model.predict(np.ones((3, 2)), batch_size=2)


def test_images_as_bytes_are_read_where_they_are() -> None:
    model = Sequential([Dense(1, input_dim=30)])
    model.compile(SGD(1e-6), "mse")
    images = np.random.randint(0, 256, (40, 30), np.uint8)
    start = model.get_weights()
    expected = model.fit(images.astype("float32"), np.zeros(40), shuffle=False, verbose=0).history
    model.set_weights(start)
    assert model.fit(images, np.zeros(40), shuffle=False, verbose=0).history == expected
    assert model.train_step().batches([images, np.zeros((40, 1))], 32).tables[0] is images


# --- callbacks -------------------------------------------------------------------------------------
def test_who_listens_to_what() -> None:
    class Loud(ProgbarLogger):
        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            super().on_batch_end(batch, logs)

    class Quiet(Loud):
        def on_slice_end(self, done: Any) -> None:
            pass

    class Duck:
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            pass

    class Answers:
        """Gives every hook that is asked for."""

        def __getattr__(self, name: str) -> Any:
            return lambda *args: None

    def nothing(*args: Any) -> None:
        pass

    table: list[tuple[Any, bool, bool]] = [
        (Callback(), False, False), (BaseLogger(), False, False), (History(), False, False), (TerminateOnNaN(), False, False),
        (ProgbarLogger(), False, True), (Loud(), True, True), (Quiet(), False, True), (Listens(), True, False), (HearsEpochs(), False, True),
        (LambdaCallback(), False, False), (LambdaCallback(on_batch_end=nothing), True, False), (LambdaCallback(on_epoch_begin=nothing), False, True),
        (LambdaCallback(on_train_batch_begin=nothing), True, False), (LambdaCallback(on_train_end=nothing), False, False),
        (Duck(), False, True), (Answers(), True, True),
    ]  # fmt: skip
    for callback, batches, epochs in table:
        assert (listens_to_batches(callback), listens_to_epochs(callback)) == (batches, epochs), type(callback).__name__


def test_functions_are_called_as_hooks() -> None:
    seen: list[Any] = []
    callback = LambdaCallback(
        on_train_begin=lambda logs: seen.append("begin"),
        on_batch_end=lambda batch, logs: seen.append((batch, logs["size"], type(logs["loss"]))),
        on_epoch_end=lambda epoch, logs: seen.append((epoch, sorted(logs))),
    )
    classifier().fit(*data(10), batch_size=8, epochs=1, callbacks=[callback], verbose=0)
    assert seen == ["begin", (0, 8, float), (1, 2, float), (0, ["acc", "loss", "weighted_acc"])]


def test_a_schedule_takes_effect_at_its_epoch() -> None:
    class Schedule(Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            K.set_value(self.model.optimizer.lr, 0.0 if epoch == 1 else 0.1)

    model = Sequential([Dense(1, input_dim=1)])
    model.compile(SGD(1.0), "mse")
    x = np.ones((8, 1))
    losses = model.fit(x, x * 3, batch_size=8, epochs=4, callbacks=[Schedule()], verbose=0).history["loss"]
    assert losses[1] == losses[2] and losses[0] > losses[1] and losses[2] > losses[3]


def exploding() -> tuple[Sequential, Any, Any]:
    """A model whose loss is infinite in batch 3 of epoch 1, rows in order."""
    model = Sequential([Dense(1, input_dim=1, use_bias=False, kernel_initializer="ones")])
    model.compile(SGD(0.0), "mse")
    x = np.ones((10, 1))
    x[7] = 1e30
    return model, x, np.zeros(10)


@pytest.mark.parametrize("others", [[], [HearsEpochs()], [LambdaCallback(on_batch_begin=lambda *args: None)]])
def test_training_ends_after_a_batch_with_an_invalid_loss(others: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    model, x, y = exploding()
    with np.errstate(over="ignore"):
        history = model.fit(x, y, batch_size=2, epochs=5, shuffle=False, callbacks=[*others, TerminateOnNaN()], verbose=0, validation_data=(x, y) if others else None)
    assert capsys.readouterr().out == "Batch 3: Invalid loss, terminating training\n"
    assert history.epoch == [0] and history.history == {"loss": [np.inf]} and K.get_value(model.optimizer.iterations) == 4
    assert model.stop_training


def test_an_invalid_loss_after_some_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    found: list[Any] = []
    for others in ([], [HearsEpochs()], [Listens()]):
        model = Sequential([Dense(1, input_dim=1, use_bias=False, kernel_initializer="ones")])
        model.compile(SGD(30.0), "mse")
        np.random.seed(8)
        x = np.random.rand(7, 1)
        history = model.fit(x, np.zeros(7), batch_size=2, epochs=100, callbacks=[TerminateOnNaN(), *others], verbose=0)
        found.append((history.epoch, history.history, np.random.random(), capsys.readouterr().out))
    assert found[0] == found[1] == found[2] and 1 < len(found[0][0]) < 100 and found[0][1]["loss"][-1] == np.inf


def test_stopping_from_outside_ends_between_slices() -> None:
    import threading

    model = Sequential([Dense(1, input_dim=1)])
    model.compile("sgd", "mse")
    x = np.random.rand(8, 1)
    timer = threading.Timer(0.2, lambda: setattr(model, "stop_training", True))
    timer.start()
    history = model.fit(x, x, batch_size=4, epochs=10**8, verbose=0)
    timer.join()
    assert 0 < len(history.epoch) < 10**8 and K.get_value(model.optimizer.iterations) == 2 * len(history.epoch)


@pytest.mark.parametrize("name", ["2.2", "2.4"])
def test_the_progress_bar_moves_with_slices(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loop, "run", one_batch(Loop.run))
    with generation.using(name):
        for others in ([], [Listens()]):
            model = Sequential([Dense(1, input_dim=1, kernel_initializer="ones")])
            model.compile(SGD(0.0), "mse")
            history = model.fit(np.arange(10.0), np.zeros(10), batch_size=4, epochs=1, shuffle=False, callbacks=others, validation_data=(np.ones(2), np.zeros(2)))
            lines = [line.strip() for line in capsys.readouterr().out.split("\n") if "=" in line or ">" in line]
            target = 10 if name == "2.2" else 3
            assert lines[0].startswith(f" {4 if target == 10 else 1}/{target} ".strip()) and "loss: 3.5000" in lines[0]
            assert lines[-1].startswith(f"{target}/{target} [") and lines[-1].endswith("loss: 28.5000 - val_loss: 1.0000")
            assert history.history["loss"] == [28.5]


def one_batch(run: Callable[..., None]) -> Callable[..., None]:
    """Slices of one batch: as if batches took long."""
    return lambda loop, orders, sums, until, watched: run(loop, orders, sums, loop.at + 1, watched)


# --- errors and interrupts -----------------------------------------------------------------------------
@pytest.mark.parametrize("others", [[], [HearsEpochs()], [Listens()]])
def test_a_failed_check_names_epoch_and_batch(others: list[Any]) -> None:
    model = classifier()
    x, y = data(20)
    y[13] = 9
    with pytest.raises(CheckError, match="9") as caught:
        model.fit(x, y, batch_size=4, epochs=3, shuffle=False, callbacks=others, verbose=0)
    assert "in batch 3 of the epoch, places 12 to 15" in str(caught.value) and "in epoch 1" in str(caught.value)
    assert K.get_value(model.optimizer.iterations) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to oneself")
@pytest.mark.parametrize("callbacks", ["[]", "[Hears()]", "[Batches()]"])
def test_ctrl_c_ends_fit_between_batches_and_it_can_go_on(callbacks: str) -> None:
    script = f"""
        import os, signal, threading, time
        import numpy as np
        from graphflow.keras import backend as K
        from graphflow.keras.callbacks import Callback
        from graphflow.keras.layers import Dense
        from graphflow.keras.models import Sequential

        class Hears(Callback):
            def on_epoch_end(self, epoch, logs=None):
                pass

        class Batches(Callback):
            def on_batch_end(self, batch, logs=None):
                pass

        model = Sequential([Dense(20, "tanh", input_dim=3), Dense(1)])
        model.compile("adam", "mse")
        x, y = np.random.rand(100, 3), np.random.rand(100)
        model.fit(x, y, verbose=0)
        began = int(K.get_value(model.optimizer.iterations))
        threading.Timer(0.4, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        start = time.perf_counter()
        try:
            model.fit(x, y, batch_size=32, epochs=10**7, callbacks={callbacks}, verbose=0)
        except KeyboardInterrupt:
            took = time.perf_counter() - start
        assert took < 5, took
        done = int(K.get_value(model.optimizer.iterations)) - began
        epochs = len(model.history.epoch)
        assert 0 <= done - 4 * epochs <= 4 and done > 100, (done, epochs)
        assert all(np.isfinite(w).all() for w in model.get_weights())
        assert len(set(map(len, model.history.history.values())) | {{epochs}}) == 1
        history = model.fit(x, y, epochs=2, verbose=0)
        assert history.history["loss"][-1] < 1
        print("went on")
    """
    root = Path(gf.__file__).parent.parent
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=root, capture_output=True, text=True, timeout=120)
    assert run.stdout == "went on\n", run.stderr
