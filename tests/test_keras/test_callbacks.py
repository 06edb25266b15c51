"""Order of hooks, logs, history, stopping, slices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphflow.keras.callbacks import (
    BaseLogger,
    Callback,
    CallbackList,
    History,
    Logs,
    ProgbarLogger,
    listens_to_batches,
)
from graphflow.keras.layers import Dense
from graphflow.keras.models import Sequential


def model() -> Sequential:
    made = Sequential([Dense(1, input_dim=2)])
    made.compile("sgd", "mse", metrics=["accuracy"])
    return made


class Records(Callback):
    """Notes every hook with the names in its logs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def on_train_begin(self, logs: Any = {}) -> None:  # noqa: B006  as the lectures write it
        self.calls.append("train begin")

    def on_train_end(self, logs: Any = None) -> None:
        self.calls.append("train end")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(("epoch begin", epoch))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(("epoch end", epoch, sorted(logs)))

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.calls.append(("batch begin", batch, logs["size"]))

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        self.calls.append(("batch end", batch, sorted(logs)))


@pytest.mark.smoke
def test_hooks_come_in_keras_order_with_keras_logs() -> None:
    seen = Records()
    x, y = np.random.rand(5, 2), np.random.rand(5)
    model().fit(x, y, batch_size=3, epochs=2, callbacks=[seen], validation_data=(x, y), verbose=0)
    batches = [
        ("batch begin", 0, 3), ("batch end", 0, ["acc", "batch", "loss", "size"]),
        ("batch begin", 1, 2), ("batch end", 1, ["acc", "batch", "loss", "size"]),
    ]  # fmt: skip
    end = ["acc", "loss", "val_acc", "val_loss"]
    epochs = [call for e in (0, 1) for call in (("epoch begin", e), *batches, ("epoch end", e, end))]
    assert seen.calls == ["train begin", *epochs, "train end"]
    assert seen.params == {
        "batch_size": 3, "epochs": 2, "steps": 2, "samples": 5, "verbose": 0, "do_validation": True,
        "metrics": ["loss", "acc", "val_loss", "val_acc"],
    }  # fmt: skip


def test_history_answers_to_both_spellings() -> None:
    x, y = np.random.rand(4, 2), np.random.rand(4)
    history = model().fit(x, y, epochs=2, verbose=0, validation_split=0.5)
    assert isinstance(history, History) and history.epoch == [0, 1] and history.model.history is history
    assert set(history.history) == {"loss", "acc", "val_loss", "val_acc"}
    assert history.history["val_accuracy"] is history.history["val_acc"] and "accuracy" in history.history
    assert history.history.get("accuracy") == history.history["acc"] and "val_mae" not in history.history
    with pytest.raises(KeyError):
        _ = history.history["precision"]


def test_logs_answer_the_other_way_round_too() -> None:
    logs = Logs({"val_accuracy": 0.5})
    assert logs["val_acc"] == 0.5 and "val_acc" in logs and logs.get("acc") is None and dict(logs) == {"val_accuracy": 0.5}


def test_the_model_can_be_stopped_after_a_batch_and_after_an_epoch() -> None:
    class Stops(Callback):
        def __init__(self, hook: str) -> None:
            super().__init__()
            self.batches = 0
            setattr(self, hook, self.stop)

        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            self.batches += 1

        def stop(self, number: int, logs: Any = None) -> None:
            self.batches += 1
            self.model.stop_training = True

    x, y = np.random.rand(6, 2), np.random.rand(6)
    for hook, batches, epochs in (("on_batch_end", 1, 1), ("on_epoch_end", 4, 1)):
        stops = Stops(hook)
        history = model().fit(x, y, batch_size=2, epochs=4, callbacks=[stops], verbose=0)
        assert (stops.batches, len(history.epoch)) == (batches, epochs)


def test_a_callback_may_predict_while_training_and_sees_the_weights_of_that_batch() -> None:
    class Predicts(Callback):
        def on_train_begin(self, logs: Any = {}) -> None:  # noqa: B006  as the lectures write it
            self.predictions: list[float] = []

        def on_batch_end(self, batch: int, logs: Any = {}) -> None:  # noqa: B006
            assert logs.get("loss") >= 0
            self.predictions.append(float(self.model.predict(np.ones((1, 2)))[0, 0]))

    predicts = Predicts()
    x, y = np.random.rand(6, 2), np.random.rand(6) + 5
    model().fit(x, y, batch_size=2, callbacks=[predicts], verbose=0)
    assert len(set(predicts.predictions)) == 3 and predicts.predictions == sorted(predicts.predictions)


def test_newer_hooks_are_called_once_and_older_ones_through_them() -> None:
    class Newer(Callback):
        count = 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.count += 1

    class Duck:
        """No subclass of Callback."""

        def on_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.began = batch

    newer, duck = Newer(), Duck()
    hooks = CallbackList([newer])
    hooks.on_batch_end(0)
    hooks.append(duck)
    hooks.on_batch_begin(4)
    assert newer.count == 1 and duck.began == 4


def test_who_listens_to_batches() -> None:
    class Epochs(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            pass

    assert not any(listens_to_batches(c) for c in (Callback(), Epochs(), BaseLogger(), History(), ProgbarLogger()))
    on_the_object = Callback()
    on_the_object.on_batch_end = lambda batch, logs=None: None  # type: ignore[method-assign]
    assert listens_to_batches(on_the_object) and listens_to_batches(Records())
