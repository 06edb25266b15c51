"""The text that is printed, as Keras 2 prints it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from graphflow.keras import generation
from graphflow.keras.layers import Dense
from graphflow.keras.models import Sequential
from graphflow.keras.progress import Progbar
from graphflow.keras.utils import generic_utils


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


class Clock:
    """Time that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    bar = Progbar(1000, clock=clock)
    for seconds, done, loss in ((1.0, 32, 2.5), (1.01, 64, 1.5), (3.0, 500, 1.0), (6.0, 1000, 0.5)):
        clock.now = 100 + seconds
        bar.update(done, [("loss", loss)])
    first, second, last = printed(capsys).split("\n")[1:4]
    assert first == "  32/1000 [..............................] - ETA: 30s - loss: 2.5000"
    assert second.rstrip() == " 500/1000 [==============>...............] - ETA: 3s - loss: 1.1280"  # 64 came too soon after 32
    assert last.rstrip() == "1000/1000 [==============================] - 6s 6ms/step - loss: 0.8140"
    assert len(second) == len(first)  # what is longer is wiped out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.001, " - 0s 500us/step"), (1.0, " - 1s 500ms/step"), (10.0, " - 10s 5s/step")],
)
def test_units_of_time(seconds: float, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    bar = Progbar(2, clock=clock)
    clock.now += seconds
    bar.update(2)
    assert printed(capsys) == f"\n2/2 [==============================]{text}\n"


def test_times_to_go_small_values_states_and_unknown_targets(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    bar = Progbar(10_000, clock=clock, stateful_metrics=["auc"])
    clock.now += 1
    bar.update(1, [("loss", 0.0005), ("auc", 3.0)])
    assert printed(capsys).endswith("ETA: 2:46:39 - loss: 5.0000e-04 - auc: 3.0000")
    clock.now += 99
    bar.update(1000, [("auc", 7.0)])
    assert "ETA: 15:00 - loss" in (text := printed(capsys)) and "auc: 7.0000" in text
    unknown = Progbar(None, clock=clock)
    clock.now += 2
    unknown.add(5)
    assert printed(capsys) == "\n      5/Unknown - 2s 400ms/step"
    assert generic_utils.Progbar is Progbar


def train(verbose: int, **options: Any) -> None:
    model = Sequential([Dense(1, input_dim=2)])
    model.compile("sgd", "mse", metrics=["mae"])
    x, y = np.random.rand(8, 2), np.random.rand(8)
    model.fit(x, y, epochs=2, batch_size=4, verbose=verbose, **options)


NUMBER = r"\d\.\d{4}(e-\d\d)?"
VALUES = f"loss: {NUMBER} - mean_absolute_error: {NUMBER} - val_loss: {NUMBER} - val_mean_absolute_error: {NUMBER}"


@pytest.mark.smoke
def test_verbose_1(capsys: pytest.CaptureFixture[str]) -> None:
    train(1, validation_split=0.25)
    lines = [line.rstrip() for line in printed(capsys).splitlines() if line]
    assert lines[:2] == ["Train on 6 samples, validate on 2 samples", "Epoch 1/2"] and "Epoch 2/2" in lines
    last = lines[lines.index("Epoch 2/2") - 1]
    assert re.fullmatch(rf"6/6 \[={{30}}\] - \d+s \d+(us|ms|s)/step - {VALUES}", last)
    assert re.match(r"4/6 \[===================>\.{10}\] - ETA: \d+s - loss: ", lines[2])


def test_verbose_2(capsys: pytest.CaptureFixture[str]) -> None:
    train(2, validation_split=0.25)
    lines = printed(capsys).splitlines()
    assert [lines[0], lines[1], lines[3]] == ["Train on 6 samples, validate on 2 samples", "Epoch 1/2", "Epoch 2/2"]
    assert re.fullmatch(rf" - \d+s - {VALUES}", lines[2]) and len(lines) == 5


def test_verbose_0_and_evaluate(capsys: pytest.CaptureFixture[str]) -> None:
    train(0)
    assert printed(capsys) == ""
    model = Sequential([Dense(1, input_dim=2)])
    model.compile("sgd", "mse")
    model.evaluate(np.zeros((8, 2)), np.zeros(8))
    assert re.fullmatch(r"\n8/8 \[={30}\] - \d+s \d+(us|ms|s)/step\n", printed(capsys))
    model.predict(np.zeros((8, 2)))
    assert printed(capsys) == ""


def test_tf_keras_counts_steps(capsys: pytest.CaptureFixture[str]) -> None:
    with generation.using("2.4"):
        train(1, validation_split=0.25)
    text = printed(capsys)
    assert "2/2 [==============================]" in text and "Train on" not in text


def test_what_is_shown_at_the_end_is_what_history_keeps(capsys: pytest.CaptureFixture[str]) -> None:
    model = Sequential([Dense(1, input_dim=2)])
    model.compile("sgd", "mse")
    history = model.fit(np.random.rand(7, 2), np.random.rand(7), batch_size=3, verbose=2)
    assert f"loss: {history.history['loss'][0]:.4f}\n" in printed(capsys)
