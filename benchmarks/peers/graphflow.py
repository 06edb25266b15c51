"""graphflow.  Sizes of batches are open (None), as users write them: one compilation serves every batch.

w5 is plain `model.fit` of graphflow.keras.  Variants: static (the sizes of batches are fixed); steps (w5 as
a Python loop over a compiled step); keras (training by `fit`, timed per step; `predict_on_batch`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

import graphflow as gf
from benchmarks import data, networks
from benchmarks.peers import VARIANT, ready
from benchmarks.workloads import FAMILIES, INFER, REGRESSION_BATCH, REGRESSION_EPOCHS, TRAIN, Case, Factory, factories

to_numpy, wait = np.asarray, ready
Program = tuple[Any, Sequence[tuple[Any, ...]]]
EPOCH_ROUNDS = 12  # times the minibatches in an epoch of `fit`


class Layers:
    """On NHWC images and HWIO kernels."""

    dense = staticmethod(lambda x, w, b: x @ w + b)
    add = staticmethod(lambda x, y: x + y)

    def relu(self, x: Any) -> Any:
        return gf.nn.relu(x)

    def conv(self, x: Any, w: Any, b: Any, stride: int = 1, pad: int = 0) -> Any:
        y = gf.nn.conv(x, w, strides=stride, padding=[(pad, pad)] * 2 if pad else "valid")
        return y if b is None else y + b

    def bn(self, x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Any:
        return (x - mean) * (scale * gf.rsqrt(variance + networks.BATCH_NORM_EPSILON)) + offset

    def maxpool(self, x: Any, size: int, stride: int, pad: int = 0) -> Any:
        return gf.nn.max_pool(x, size, strides=stride, padding=[(pad, pad)] * 2 if pad else "valid")

    def gap(self, x: Any) -> Any:
        return gf.mean(x, (1, 2))

    def flatten(self, x: Any) -> Any:
        return gf.reshape(x, (x.shape[0], int(np.prod(x.shape[1:]))))


LAYERS = Layers()


def placeholder(like: np.ndarray) -> Any:
    """A placeholder for arrays like this one and of any length, or of this length (variant static)."""
    length = like.shape[0] if VARIANT == "static" else None
    return gf.placeholder(like.dtype, (length, *like.shape[1:]))


Updates = list[tuple[Any, Any]]


def updates(optimizer: str, loss: Any, params: list[Any]) -> Updates:
    made = {"sgd": _sgd, "rmsprop": _rmsprop, "adam": _adam}[optimizer]
    return made(networks.RATES[optimizer], list(zip(params, gf.grad(loss, params), strict=True)))


def _zeros(p: Any) -> Any:
    return gf.shared(np.zeros_like(p.get_value()))


def _sgd(rate: float, pairs: Updates) -> Updates:
    return [(p, p - rate * g) for p, g in pairs]


def _rmsprop(rate: float, pairs: Updates) -> Updates:
    found: Updates = []
    for p, g in pairs:
        v = _zeros(p)
        new_v = networks.RHO * v + (1 - networks.RHO) * g * g
        found += [(v, new_v), (p, p - rate * g * gf.rsqrt(new_v + networks.RMSPROP_EPSILON))]
    return found


def _adam(rate: float, pairs: Updates) -> Updates:
    b1, b2, steps = networks.BETA1, networks.BETA2, gf.shared(np.float32(0))
    t = steps + 1
    corrected, found = rate * gf.sqrt(1 - b2**t) / (1 - b1**t), [(steps, t)]
    for p, g in pairs:
        m, v = _zeros(p), _zeros(p)
        new_m, new_v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        found += [(m, new_m), (v, new_v), (p, p - corrected * new_m / (gf.sqrt(new_v) + networks.EPSILON))]
    return found


# --- programs: a compiled function, and the arguments of its calls in turn ------------------------
def training(name: str) -> Program:
    work = TRAIN[name]
    batches = data.minibatches(work.model, work.batch)
    x, labels = map(placeholder, batches[0])
    params = [gf.shared(p) for p in networks.WEIGHTS[work.model]()]
    if work.model == "lstm":
        loss = lstm_loss(params, x, labels)
    else:
        loss = gf.mean(gf.nn.sparse_softmax_cross_entropy(networks.MODELS[work.model](LAYERS, params, x), labels))
    return gf.function([x, labels], loss, updates=updates(work.optimizer, loss, params)), batches


def lstm_loss(params: list[Any], x: Any, y: Any) -> Any:
    """The mean cross-entropy of yes or no, from the last state."""
    embedding, kernel, recurrent, bias, dense, dense_bias = params

    def cell(x: Any, h: Any, c: Any) -> Any:
        i, f, g, o = gf.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
        c = gf.sigmoid(f) * c + gf.sigmoid(i) * gf.tanh(g)
        return gf.sigmoid(o) * gf.tanh(c), c

    zero = gf.zeros((x.shape[0], networks.LSTM_UNITS), "float32")
    (states, _), _ = gf.scan(cell, sequences=gf.transpose(gf.take(embedding, x, axis=0), (1, 0, 2)), outputs_info=[zero, zero])
    z = states[-1] @ dense + dense_bias
    return gf.mean(gf.maximum(z, 0) - z * y + gf.log1p(gf.exp(-gf.abs(z))))


def regression_program() -> tuple[Program, list[Any]]:
    """One step of w5, and the parameters."""
    x, y = gf.placeholder("float32", (None, 1)), gf.placeholder("float32", (None, 1))
    params = [gf.shared(p) for p in networks.mlp_weights(networks.REGRESSION_SIZES)]
    loss = gf.mean(gf.square(networks.mlp(LAYERS, params, x) - y))
    return (gf.function([x, y], updates=updates("adam", loss, params)), data.sine_batches()), params


def inference(name: str) -> Program:
    """The weights are constants, as in a frozen model."""
    work = INFER[name]
    images, weights = data.images(work.model, work.batch), networks.WEIGHTS[work.model]()
    x = placeholder(images)
    return gf.function([x], networks.MODELS[work.model](LAYERS, _constants(weights), x)), [(images,)]


def _constants(weights: Any) -> Any:
    if isinstance(weights, dict):
        return {name: _constants(w) for name, w in weights.items()}
    return [_constants(w) for w in weights] if isinstance(weights, list) else gf.constant(weights)


def formula(name: str) -> Program:
    # made here: graphflow loads its parts on first use, and that is part of building a program
    functions = SimpleNamespace(
        tanh=gf.tanh, sigmoid=gf.nn.sigmoid, sqrt=gf.sqrt, abs=gf.abs, exp=gf.exp, rsqrt=gf.rsqrt, sum=gf.sum,
        mean=lambda x: gf.mean(x, -1, keepdims=True), softmax=gf.nn.softmax, logsumexp=lambda x: gf.logsumexp(x, -1),
    )  # fmt: skip
    a = data.formula_input(name)
    x = placeholder(a)
    return gf.function([x], networks.formula(name, functions)(x)), [(a,)]


def addition(name: str) -> Program:
    a, b = data.summands(name)
    x, y = gf.placeholder("float32", a.shape), gf.placeholder("float32", b.shape)
    return gf.function([x, y], x + y), [(a, b)]


def product(name: str) -> Program:
    a = data.square_matrix(name)
    x, y = gf.placeholder("float32", a.shape), gf.placeholder("float32", a.shape)
    return gf.function([x, y], x @ y), [(a, a)]


MAKERS: dict[str, Callable[[str], Program]] = {
    "train": training, "regression": lambda name: regression_program()[0], "infer": inference, "formula": formula,
    "call": addition, "product": product,
}  # fmt: skip


def program(name: str) -> Program:
    """What a workload calls again and again; of w5 it is one step."""
    (family,) = (family for family, names in FAMILIES.items() if name in names)
    return MAKERS[family](name)


def case(name: str) -> Case:
    f, arguments = program(name)
    if len(arguments) == 1:
        return Case(partial(f, *arguments[0]))
    feed = itertools.cycle(arguments)
    return Case(lambda: f(*next(feed)))


def regression_by_steps(name: str) -> Case:
    (step, batches), params = regression_program()

    def run() -> np.float64:
        for _ in range(REGRESSION_EPOCHS):
            for rows in batches:
                step(*rows)
        return networks.regression_loss([p.get_value() for p in params])

    return Case(run)


# --- graphflow.keras ----------------------------------------------------------------------------
def _conv(filters: int, **first: Any) -> Any:
    return gf.keras.layers.Conv2D(filters, 3, activation="relu", **first)


def network(model: str, last: str = "softmax") -> Any:
    """A Sequential with the weights of networks.py; `last`: the activation of a classifier's last layer."""
    layers = gf.keras.layers
    dense, image = layers.Dense, {"input_shape": (28, 28, 1)}
    made: dict[str, Any] = {
        "mlp": lambda: [dense(300, activation="relu", input_shape=(784,)), dense(100, activation="relu"), dense(10, activation=last)],
        "cnn": lambda: [
            _conv(32, **image), layers.MaxPooling2D(), _conv(32), layers.MaxPooling2D(),
            layers.Flatten(), dense(64, activation="relu"), dense(10, activation=last),
        ],
        "cnn3": lambda: [
            _conv(32, **image), _conv(64), layers.MaxPooling2D(4), _conv(64), layers.Flatten(), dense(10, activation=last),
        ],
        "lstm": lambda: [layers.Embedding(data.VOCABULARY, networks.LSTM_EMBEDDING, input_length=data.WORDS), layers.LSTM(networks.LSTM_UNITS, recurrent_activation="sigmoid"), dense(1, activation="sigmoid")],
        "sine": lambda: [dense(10, activation="relu", input_shape=(1,)), dense(10, activation="relu"), dense(1)],
        "logreg": lambda: [dense(10, activation=last, input_shape=(784,))],
    }  # fmt: skip
    found = gf.keras.models.Sequential(made[model]())
    found.set_weights(networks.mlp_weights(networks.REGRESSION_SIZES) if model == "sine" else networks.WEIGHTS[model]())
    return found


def make_optimizer(name: str) -> Any:
    rate, optimizers = networks.RATES[name], gf.keras.optimizers
    if name == "sgd":
        return optimizers.SGD(rate)
    if name == "rmsprop":
        return optimizers.RMSprop(rate, rho=networks.RHO, epsilon=networks.RMSPROP_EPSILON)
    return optimizers.Adam(rate, epsilon=networks.EPSILON)


def train_by_fit(name: str) -> Case:
    work = TRAIN[name]
    model, batches = network(work.model), data.minibatches(work.model, work.batch)
    model.compile(make_optimizer(work.optimizer), "binary_crossentropy" if work.model == "lstm" else "sparse_categorical_crossentropy")
    x, y = (np.concatenate([pair[i] for pair in batches] * EPOCH_ROUNDS) for i in (0, 1))
    feed = itertools.cycle(batches)

    def epoch() -> Any:
        return model.fit(x, y, batch_size=work.batch, epochs=1, shuffle=False, verbose=0)

    return Case(lambda: model.train_on_batch(*next(feed)), epoch, EPOCH_ROUNDS * data.BATCHES)


def regression_by_fit(name: str) -> Case:
    model = network("sine")
    model.compile(make_optimizer("adam"), "mse")
    x, y = data.noisy_sine()

    def run() -> np.float64:
        model.fit(x, y, batch_size=REGRESSION_BATCH, epochs=REGRESSION_EPOCHS, shuffle=False, verbose=0)
        return networks.regression_loss(model.get_weights())

    return Case(run)


def infer_by_keras(name: str) -> Case:
    work = INFER[name]
    model, images = network(work.model, "linear"), data.images(work.model, work.batch)
    return Case(lambda: model.predict_on_batch(images))


def workloads() -> dict[str, Factory]:
    if VARIANT == "steps":
        return factories(regression=regression_by_steps)
    if VARIANT == "keras":
        return factories(models=("mlp", "cnn", "cnn3", "logreg", "lstm"), train=train_by_fit, infer=infer_by_keras)
    found = factories(models=(*networks.MODELS, "lstm"), train=case, infer=case, formula=case, call=case, product=case)
    return found if VARIANT == "static" else found | factories(regression=regression_by_fit)
