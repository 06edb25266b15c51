"""PyTensor, the living Theano.  Variant c: its C linker; else numba, its default.

It has no convolution or pooling for networks any more.
"""

from __future__ import annotations

import itertools
import os
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import data, networks
from benchmarks.data import f32
from benchmarks.peers import VARIANT, ready
from benchmarks.workloads import FORMULAS, INFER, REGRESSION_EPOCHS, TRAIN, Case, Factory, factories

_flags = ["floatX=float32", f"mode={'CVM' if VARIANT == 'c' else 'NUMBA'}", os.environ.get("PYTENSOR_FLAGS", "")]
os.environ["PYTENSOR_FLAGS"] = ",".join(flag for flag in _flags if flag)

import pytensor  # noqa: E402  after its flags are set
import pytensor.tensor as pt  # noqa: E402

to_numpy, wait = np.asarray, ready
LAYERS = SimpleNamespace(dense=lambda x, w, b: pt.dot(x, w) + b, relu=lambda x: pt.maximum(x, 0))


def compiled(inputs: list[Any], output: Any, updates: Any = None) -> Any:
    f = pytensor.function(inputs, output, updates=updates)
    f.trust_input = True
    return f


def shared(weights: list[np.ndarray]) -> list[Any]:
    return [pytensor.shared(p) for p in weights]


def cross_entropy(logits: Any, labels: Any) -> Any:
    return -pt.mean(pt.special.log_softmax(logits, axis=-1)[pt.arange(labels.shape[0]), labels])


def lstm_loss(weights: list[Any], x: Any, y: Any, batch: int) -> Any:
    embedding, kernel, recurrent, bias, dense, dense_bias = weights
    h = networks.LSTM_UNITS

    def cell(x: Any, state: Any, memory: Any, recurrent: Any) -> Any:
        z = x + pt.dot(state, recurrent)
        i, f, o = (pt.sigmoid(z[:, gate * h : (gate + 1) * h]) for gate in (0, 1, 3))
        memory = f * memory + i * pt.tanh(z[:, 2 * h : 3 * h])
        return o * pt.tanh(memory), memory

    inputs, zero = (pt.dot(embedding[x], kernel) + bias).dimshuffle(1, 0, 2), pt.zeros((batch, h), dtype="float32")
    states = pytensor.scan(cell, sequences=[inputs], outputs_info=[zero, zero], non_sequences=[recurrent], return_updates=False)
    z = pt.dot(states[0][-1], dense) + dense_bias
    return pt.mean(pt.maximum(z, 0) - z * y + pt.log1p(pt.exp(-pt.abs(z))))


def updates(optimizer: str, loss: Any, params: list[Any]) -> list[tuple[Any, Any]]:
    slopes, rate = pytensor.grad(loss, params), f32(networks.RATES[optimizer])
    if optimizer == "sgd":
        return [(p, p - rate * g) for p, g in zip(params, slopes, strict=True)]
    b1, b2, t = f32(networks.BETA1), f32(networks.BETA2), pytensor.shared(f32(0))
    corrected = rate * pt.sqrt(1 - b2 ** (t + 1)) / (1 - b1 ** (t + 1))
    found = [(t, t + f32(1))]
    for p, g in zip(params, slopes, strict=True):
        m, v = (pytensor.shared(np.zeros_like(p.get_value())) for _ in range(2))
        new_m, new_v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        found += [(m, new_m), (v, new_v), (p, p - corrected * new_m / (pt.sqrt(new_v) + f32(networks.EPSILON)))]
    return found


def train(name: str) -> Case:
    work = TRAIN[name]
    params = shared(networks.WEIGHTS[work.model]())
    if work.model == "lstm":
        x, y = pt.imatrix(), pt.fmatrix()
        loss = lstm_loss(params, x, y, work.batch)
    else:
        x, y = pt.fmatrix(), pt.ivector()
        loss = cross_entropy(networks.mlp(LAYERS, params, x), y)
    step, feed = compiled([x, y], loss, updates(work.optimizer, loss, params)), itertools.cycle(data.minibatches(work.model, work.batch))
    return Case(lambda: step(*next(feed)))


def regression(name: str) -> Case:
    params, x, y = shared(networks.mlp_weights(networks.REGRESSION_SIZES)), pt.fmatrix(), pt.fmatrix()
    step = compiled([x, y], [], updates("adam", pt.mean((networks.mlp(LAYERS, params, x) - y) ** 2), params))
    batches = data.sine_batches()

    def run() -> np.float64:
        for _ in range(REGRESSION_EPOCHS):
            for rows in batches:
                step(*rows)
        return networks.regression_loss([p.get_value() for p in params])

    return Case(run)


def infer(name: str) -> Case:
    work = INFER[name]
    x = pt.fmatrix()
    f, images = compiled([x], networks.mlp(LAYERS, shared(networks.WEIGHTS[work.model]()), x)), data.images(work.model, work.batch)
    return Case(lambda: f(images))


FUNCTIONS = SimpleNamespace(
    tanh=pt.tanh, sigmoid=pt.sigmoid, sqrt=pt.sqrt, abs=pt.abs, exp=pt.exp, sum=pt.sum, rsqrt=lambda x: 1 / pt.sqrt(x),
    mean=lambda x: x.mean(-1, keepdims=True), softmax=lambda x: pt.special.softmax(x, axis=-1), logsumexp=lambda x: pt.logsumexp(x, axis=-1),
)  # fmt: skip


def evaluate(name: str) -> Case:
    x, a = pt.TensorType("float32", (None,) * len(FORMULAS[name]))(), data.formula_input(name)
    f = compiled([x], networks.formula(name, FUNCTIONS)(x))
    return Case(lambda: f(a))


def call(name: str) -> Case:
    a, b = data.summands(name)
    x, y = (pt.TensorType("float32", (None,) * a.ndim)() for _ in range(2))
    f = compiled([x, y], x + y)
    return Case(lambda: f(a, b))


def workloads() -> dict[str, Factory]:
    found = factories(models=("mlp", "logreg", "lstm"), train=train, regression=regression, infer=infer, formula=evaluate, call=call)
    del found["w8_call_vec10"]  # its own arrays are NumPy's: w8_call_vec10_numpy says it all
    return found
