"""NumPy, written by hand: what a step costs with no framework at all.

Products run on as many threads as OPENBLAS_NUM_THREADS says, which is set for every worker.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import data, networks
from benchmarks.data import f32
from benchmarks.peers import ready
from benchmarks.workloads import INFER, REGRESSION_EPOCHS, TRAIN, Case, Factory, factories

to_numpy, wait = np.asarray, ready
LAYERS = SimpleNamespace(dense=lambda x, w, b: x @ w + b, relu=lambda x: np.maximum(x, 0))
Slope = Callable[[np.ndarray, np.ndarray], tuple[np.floating[Any], np.ndarray]]


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.floating[Any], np.ndarray]:
    """The mean cross entropy and its gradient."""
    shifted = logits - logits.max(1, keepdims=True)
    slope = np.exp(shifted)
    total, rows = slope.sum(1, keepdims=True), np.arange(len(labels))
    loss = (np.log(total[:, 0]) - shifted[rows, labels]).mean()
    slope /= total
    slope[rows, labels] -= 1
    slope *= f32(1 / len(labels))
    return loss, slope


def squared_error(found: np.ndarray, wanted: np.ndarray) -> tuple[np.floating[Any], np.ndarray]:
    """The mean squared error and its gradient."""
    difference = found - wanted
    return np.square(difference).mean(), difference * f32(2 / difference.size)


def gradients(weights: list[np.ndarray], x: np.ndarray, y: np.ndarray, slope_of: Slope) -> tuple[np.floating[Any], list[np.ndarray]]:
    """The loss of a dense network, and its gradients in the order of the weights."""
    activations = [x]
    for i in range(0, len(weights), 2):
        z = activations[-1] @ weights[i] + weights[i + 1]
        activations.append(np.maximum(z, 0) if i < len(weights) - 2 else z)
    loss, slope = slope_of(activations[-1], y)
    found: list[np.ndarray] = []
    for i in range(len(weights) - 2, -1, -2):
        below = activations[i // 2]
        found[:0] = [below.T @ slope, slope.sum(0)]
        if i:
            slope = slope @ weights[i].T
            slope *= below > 0
    return loss, found


def make_step(weights: list[np.ndarray], optimizer: str, slope_of: Slope) -> Callable[[np.ndarray, np.ndarray], np.floating[Any]]:
    rate, count = networks.RATES[optimizer], itertools.count(1)
    firsts, seconds = ([np.zeros_like(p) for p in weights] for _ in range(2))

    def descend(x: np.ndarray, y: np.ndarray) -> np.floating[Any]:
        loss, slopes = gradients(weights, x, y, slope_of)
        for p, g in zip(weights, slopes, strict=True):
            p -= f32(rate) * g
        return loss

    def adam(x: np.ndarray, y: np.ndarray) -> np.floating[Any]:
        loss, slopes = gradients(weights, x, y, slope_of)
        t = next(count)
        corrected = f32(rate * (1 - networks.BETA2**t) ** 0.5 / (1 - networks.BETA1**t))
        for p, g, m, v in zip(weights, slopes, firsts, seconds, strict=True):
            m += f32(1 - networks.BETA1) * (g - m)
            v += f32(1 - networks.BETA2) * (g * g - v)
            p -= corrected * m / (np.sqrt(v) + f32(networks.EPSILON))
        return loss

    return {"sgd": descend, "adam": adam}[optimizer]


def train(name: str) -> Case:
    work = TRAIN[name]
    step = make_step(networks.WEIGHTS[work.model](), work.optimizer, cross_entropy)
    feed = itertools.cycle(data.minibatches(work.model, work.batch))
    return Case(lambda: step(*next(feed)))


def regression(name: str) -> Case:
    weights = networks.mlp_weights(networks.REGRESSION_SIZES)
    batches, step = data.sine_batches(), make_step(weights, "adam", squared_error)

    def run() -> np.float64:
        for _ in range(REGRESSION_EPOCHS):
            for x, y in batches:
                step(x, y)
        return networks.regression_loss(weights)

    return Case(run)


def infer(name: str) -> Case:
    work = INFER[name]
    weights, x = networks.WEIGHTS[work.model](), data.images(work.model, work.batch)
    return Case(lambda: networks.mlp(LAYERS, weights, x))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def logsumexp(x: np.ndarray) -> np.ndarray:
    largest = x.max(-1, keepdims=True)
    return np.asarray(np.log(np.exp(x - largest).sum(-1)) + largest[:, 0])


FUNCTIONS = SimpleNamespace(
    tanh=np.tanh, sqrt=np.sqrt, abs=np.abs, exp=np.exp, sum=np.sum, softmax=softmax, logsumexp=logsumexp,
    sigmoid=lambda x: 1 / (1 + np.exp(-x)), rsqrt=lambda x: 1 / np.sqrt(x), mean=lambda x: x.mean(-1, keepdims=True),
)  # fmt: skip


def evaluate(name: str) -> Case:
    f, x = networks.formula(name, FUNCTIONS), data.formula_input(name)
    return Case(lambda: f(x))


def call(name: str) -> Case:
    x, y = data.summands(name)
    return Case(lambda: x + y)


def multiply(name: str) -> Case:
    a = data.square_matrix(name)
    return Case(lambda: a @ a)


def workloads() -> dict[str, Factory]:
    return factories(
        models=("mlp", "logreg"), train=train, regression=regression, infer=infer, formula=evaluate, call=call, product=multiply,
    )  # fmt: skip
