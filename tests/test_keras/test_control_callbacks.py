"""Early stopping, schedules, plateaus, tables and servers."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib import parse

import numpy as np
import pytest

from graphflow.graph.errors import GraphError
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LearningRateScheduler,
    ReduceLROnPlateau,
    RemoteMonitor,
)
from graphflow.keras.layers import Dense
from graphflow.keras.models import Sequential
from graphflow.keras.optimizers import SGD


def linear() -> Sequential:
    model = Sequential([Dense(1, input_dim=1)])
    model.compile(SGD(0.5), "mse")
    return model


class Says(Callback):
    """Puts given values into the logs, and a number of its own into the weights."""

    def __init__(self, name: str, values: list[float]) -> None:
        super().__init__()
        self.name, self.values = name, values

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs[self.name] = self.values[epoch]
        self.model.set_weights([np.full((1, 1), epoch), np.full(1, epoch)])


def train(says: Says, *callbacks: Any, epochs: int | None = None) -> Any:
    model = linear()
    history = model.fit(np.ones((2, 1)), np.ones(2), epochs=epochs or len(says.values), verbose=0, callbacks=[says, *callbacks])
    return model, history


@pytest.mark.parametrize(
    ("values", "options", "epochs"),
    [
        ([3, 2, 2, 2, 1], {}, 3),
        ([3, 2, 2, 2, 1], {"patience": 2}, 4),
        ([3, 2, 2, 2, 1], {"patience": 3}, 5),
        ([3, 2.5, 2.1, 2.0, 1.9], {"min_delta": 0.45}, 3),
        ([1, 2, 3, 3], {"mode": "max"}, 4),
        ([5, 4, 3, 2], {"baseline": 3.5, "patience": 2}, 2),
        ([5, 6, 7, 8], {"start_from_epoch": 2, "patience": 1}, 4),
        ([1, float("nan"), 0.5], {}, 2),
    ],
)
def test_early_stopping(values: list[float], options: dict[str, Any], epochs: int) -> None:
    _, history = train(Says("val_loss", values), EarlyStopping(**options))
    assert len(history.epoch) == epochs


def test_early_stopping_goes_by_the_name_of_the_value() -> None:
    assert len(train(Says("val_acc", [0.1, 0.2, 0.3]), EarlyStopping("val_accuracy"))[1].epoch) == 3
    with pytest.warns(RuntimeWarning, match="Early stopping conditioned on metric `val_loss` which is not available. Available metrics are: loss, other"):
        train(Says("other", [1, 2]), EarlyStopping())
    with pytest.warns(RuntimeWarning, match="EarlyStopping mode best is unknown"):
        EarlyStopping(mode="best")


def test_the_best_weights_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    stop = EarlyStopping(patience=2, restore_best_weights=True, verbose=1)
    model, _ = train(Says("val_loss", [3, 1, 2, 2, 0]), stop)
    assert model.get_weights()[1] == 1 and stop.stopped_epoch == 3 and stop.best == 1
    assert capsys.readouterr().out == "Restoring model weights from the end of the best epoch\nEpoch 00004: early stopping\n"
    model, _ = train(Says("val_loss", [3, 1, 2]), EarlyStopping(patience=5, restore_best_weights=True))
    assert model.get_weights()[1] == 2
    with generation.using("3"):
        model, _ = train(Says("val_loss", [3, 1, 2]), EarlyStopping(patience=5, restore_best_weights=True))
        assert model.get_weights()[1] == 1


def test_schedules(capsys: pytest.CaptureFixture[str]) -> None:
    model, history = train(Says("x", [0, 0, 0]), LearningRateScheduler(lambda epoch: 0.5**epoch, verbose=1))
    np.testing.assert_allclose(history.history["lr"], [1, 0.5, 0.25])
    assert capsys.readouterr().out.startswith("\nEpoch 00001: LearningRateScheduler setting learning rate to 1.0.\n")
    _, history = train(Says("x", [0, 0, 0]), LearningRateScheduler(lambda epoch, rate: rate / 2))
    np.testing.assert_allclose(history.history["lr"], [0.25, 0.125, 0.0625])
    with pytest.raises(GraphError, match="should be float"):
        train(Says("x", [0]), LearningRateScheduler(lambda epoch: 1))
    model.optimizer = object()
    with pytest.raises(GraphError, match='must have a "lr"'):
        schedule = LearningRateScheduler(lambda epoch: 0.1)
        schedule.set_model(model)
        schedule.on_epoch_begin(0)


@pytest.mark.parametrize(
    ("values", "options", "rates"),
    [
        ([3, 3, 3, 3], {"patience": 1}, [0.5, 0.5, 0.05, 0.005]),
        ([3, 3, 3, 3, 3], {"patience": 2, "factor": 0.5}, [0.5, 0.5, 0.5, 0.25, 0.25]),
        ([3, 3, 3, 3, 3], {"patience": 1, "cooldown": 2, "factor": 0.5}, [0.5, 0.5, 0.25, 0.25, 0.125]),
        ([3, 3, 3, 3], {"patience": 1, "min_lr": 0.1}, [0.5, 0.5, 0.1, 0.1]),
        ([1, 2, 3], {"mode": "max", "patience": 1}, [0.5, 0.5, 0.5]),
    ],
)
def test_plateaus(values: list[float], options: dict[str, Any], rates: list[float]) -> None:
    _, history = train(Says("val_loss", values), ReduceLROnPlateau(**options))
    np.testing.assert_allclose(history.history["lr"], rates)


def test_arguments_of_plateaus() -> None:
    with pytest.raises(GraphError, match=r"factor >= 1\.0"):
        ReduceLROnPlateau(factor=2)
    with pytest.warns(DeprecationWarning, match="min_delta"):
        assert ReduceLROnPlateau(epsilon=0.5).min_delta == 0.5


def test_a_table_of_epochs(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    train(Says("val_loss", [3, 1]), CSVLogger(path))
    lines = path.read_text().splitlines()
    assert lines[0] == "epoch,loss,val_loss" and [line.split(",")[::2] for line in lines[1:]] == [["0", "3"], ["1", "1"]]
    train(Says("val_loss", [7]), CSVLogger(path, append=True))
    assert len(path.read_text().splitlines()) == 4 and path.read_text().splitlines()[-1].endswith(",7")
    train(Says("val_loss", [7]), CSVLogger(str(path), separator=";"))
    assert path.read_text().splitlines()[0] == "epoch;loss;val_loss"


def test_a_value_that_an_epoch_lacks_is_na(tmp_path: Path) -> None:
    model = linear()
    model.fit(np.ones((2, 1)), np.ones(2), epochs=2, verbose=0, validation_data=(np.ones((1, 1)), np.ones(1)), validation_freq=[1], callbacks=[CSVLogger(tmp_path / "a")])
    assert (tmp_path / "a").read_text().splitlines()[2].endswith(",NA")


def test_logs_are_sent_to_a_server() -> None:
    came: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            came.append((self.path, json.loads(body if "json" in self.headers["Content-Type"] else parse.parse_qs(body)["data"][0])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    root = f"http://127.0.0.1:{server.server_port}"
    train(Says("val_loss", [3]), RemoteMonitor(root), RemoteMonitor(root, "/x/", send_as_json=True))
    server.shutdown()
    server.server_close()
    assert [path for path, _ in came] == ["/publish/epoch/end/", "/x/"] and all(logs["epoch"] == 0 and logs["val_loss"] == 3 for _, logs in came)
    with pytest.warns(UserWarning, match="Could not reach RemoteMonitor root server"):
        train(Says("val_loss", [3]), RemoteMonitor(root))


def test_rates_are_set_and_read_while_training() -> None:
    seen: list[float] = []

    class Reads(Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            seen.append(float(K.get_value(self.model.optimizer.lr)))

    train(Says("x", [0, 0]), LearningRateScheduler(lambda epoch: 0.25), Reads())
    assert seen == [0.25, 0.25]
