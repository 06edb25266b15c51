"""Keras 3 as its users write it: Sequential, compile, fit.  The variant is the backend.

Timed: `fit` over an epoch, per step; `fit` for 500 epochs (w5); `predict_on_batch` (w6).
"""

from __future__ import annotations

import importlib
import itertools
import os
from typing import Any

import numpy as np

from benchmarks import data, networks
from benchmarks.peers import VARIANT, ready
from benchmarks.workloads import INFER, REGRESSION_BATCH, REGRESSION_EPOCHS, TRAIN, Case, Factory, factories

BACKEND = VARIANT or "tensorflow"
os.environ["KERAS_BACKEND"] = BACKEND
importlib.import_module(f"benchmarks.peers.{BACKEND}")  # sets the number of threads

import keras  # noqa: E402  after the backend is chosen
from keras import layers  # noqa: E402

to_numpy, wait = np.asarray, ready
EPOCH_ROUNDS = {"cnn3": 2, "lstm": 2}  # times the minibatches in the epoch that is timed; else:
DEFAULT_ROUNDS = 12


def _conv(filters: int) -> Any:
    return layers.Conv2D(filters, 3, activation="relu")


def _layers(model: str, last: str) -> list[Any]:
    dense, image = layers.Dense, layers.Input((28, 28, 1))
    made: dict[str, Any] = {
        "mlp": lambda: [layers.Input((784,)), dense(300, "relu"), dense(100, "relu"), dense(10, last)],
        "cnn": lambda: [
            image, _conv(32), layers.MaxPooling2D(), _conv(32), layers.MaxPooling2D(),
            layers.Flatten(), dense(64, "relu"), dense(10, last),
        ],
        "cnn3": lambda: [image, _conv(32), _conv(64), layers.MaxPooling2D(4), _conv(64), layers.Flatten(), dense(10, last)],
        "sine": lambda: [layers.Input((1,)), dense(10, "relu"), dense(10, "relu"), dense(1)],
        "logreg": lambda: [layers.Input((784,)), dense(10, last)],
        "lstm": lambda: [
            layers.Input((data.WORDS,), dtype="int32"), layers.Embedding(data.VOCABULARY, networks.LSTM_EMBEDDING),
            layers.LSTM(networks.LSTM_UNITS), dense(1, activation="sigmoid"),
        ],
    }  # fmt: skip
    found: list[Any] = made[model]()
    return found


def network(model: str, last: str = "softmax") -> Any:
    """A Sequential with the weights of networks.py; `last`: the activation of a classifier's last layer."""
    made = keras.Sequential(_layers(model, last))
    made.set_weights(networks.mlp_weights(networks.REGRESSION_SIZES) if model == "sine" else networks.WEIGHTS[model]())
    return made


def make_optimizer(name: str) -> Any:
    rate = networks.RATES[name]
    if name == "sgd":
        return keras.optimizers.SGD(rate)
    if name == "rmsprop":
        return keras.optimizers.RMSprop(rate, rho=networks.RHO, epsilon=networks.RMSPROP_EPSILON)
    return keras.optimizers.Adam(rate, epsilon=networks.EPSILON)


def train(name: str) -> Case:
    work = TRAIN[name]
    model = network(work.model)
    model.compile(make_optimizer(work.optimizer), "binary_crossentropy" if work.model == "lstm" else "sparse_categorical_crossentropy")
    batches, rounds = data.minibatches(work.model, work.batch), EPOCH_ROUNDS.get(work.model, DEFAULT_ROUNDS)
    x, y = (np.concatenate([pair[i] for pair in batches] * rounds) for i in (0, 1))
    feed = itertools.cycle(batches)

    def step() -> Any:
        model.reset_metrics()
        return model.train_on_batch(*next(feed))

    def epoch() -> Any:
        return model.fit(x, y, batch_size=work.batch, epochs=1, shuffle=False, verbose=0)

    return Case(step, epoch, rounds * data.BATCHES)


def regression(name: str) -> Case:
    model = network("sine")
    model.compile(make_optimizer("adam"), "mse")
    x, y = data.noisy_sine()

    def run() -> np.float64:
        model.fit(x, y, batch_size=REGRESSION_BATCH, epochs=REGRESSION_EPOCHS, shuffle=False, verbose=0)
        return networks.regression_loss(model.get_weights())

    return Case(run)


def infer(name: str) -> Case:
    work = INFER[name]
    model, x = network(work.model, "linear"), data.images(work.model, work.batch)
    return Case(lambda: model.predict_on_batch(x))


def workloads() -> dict[str, Factory]:
    return factories(models=("mlp", "cnn", "cnn3", "lstm", "logreg"), train=train, regression=regression, infer=infer)
