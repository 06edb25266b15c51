"""JAX: jax.jit of the whole step, parameters donated.  Variant scan: w5 with a lax.scan over each epoch."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import data, networks
from benchmarks.peers import THREADS, VARIANT
from benchmarks.workloads import INFER, REGRESSION_BATCH, REGRESSION_EPOCHS, TRAIN, Case, Factory, factories

os.environ["NPROC"] = str(THREADS)  # the size of XLA's pool on the CPU
if THREADS == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
from jax import lax

to_numpy, wait = np.asarray, jax.block_until_ready


class Layers:
    """On NHWC images and HWIO kernels."""

    dense = staticmethod(lambda x, w, b: x @ w + b)
    relu, add = staticmethod(jax.nn.relu), staticmethod(jnp.add)

    def conv(self, x: Any, w: Any, b: Any, stride: int = 1, pad: int = 0) -> Any:
        y = lax.conv_general_dilated(x, w, (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return y if b is None else y + b

    def bn(self, x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Any:
        return (x - mean) * (scale * lax.rsqrt(variance + networks.BATCH_NORM_EPSILON)) + offset

    def maxpool(self, x: Any, size: int, stride: int, pad: int = 0) -> Any:
        sides = [(0, 0), (pad, pad), (pad, pad), (0, 0)]
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, size, size, 1), (1, stride, stride, 1), sides)

    def gap(self, x: Any) -> Any:
        return x.mean((1, 2))

    def flatten(self, x: Any) -> Any:
        return x.reshape(x.shape[0], -1)


LAYERS = Layers()


def cross_entropy(logits: Any, labels: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()


def lstm_loss(weights: Any, x: Any, y: Any) -> Any:
    embedding, kernel, recurrent, bias, dense, dense_bias = weights
    h = networks.LSTM_UNITS

    def cell(carry: Any, x: Any) -> Any:
        state, memory = carry
        z = x + state @ recurrent
        i, f, o = (jax.nn.sigmoid(z[:, gate * h : (gate + 1) * h]) for gate in (0, 1, 3))
        memory = f * memory + i * jnp.tanh(z[:, 2 * h : 3 * h])
        return (o * jnp.tanh(memory), memory), None

    zero = jnp.zeros((x.shape[0], h))
    (last, _), _ = lax.scan(cell, (zero, zero), (embedding[x] @ kernel + bias).swapaxes(0, 1))
    z = last @ dense + dense_bias
    return (jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z)))).mean()


def loss_function(model: str) -> Callable[[Any, Any, Any], Any]:
    if model == "lstm":
        return lstm_loss
    return lambda weights, x, y: cross_entropy(networks.MODELS[model](LAYERS, weights, x), y)


def initial_state(optimizer: str, weights: Any) -> Any:
    zeros = functools.partial(jax.tree.map, jnp.zeros_like)
    if optimizer == "sgd":
        return ()
    return zeros(weights) if optimizer == "rmsprop" else (jnp.float32(0), zeros(weights), zeros(weights))


def update(optimizer: str, weights: Any, slopes: Any, state: Any) -> tuple[Any, Any]:
    """New weights and the optimiser's new state."""
    rate, over = networks.RATES[optimizer], jax.tree.map
    if optimizer == "sgd":
        return over(lambda p, g: p - rate * g, weights, slopes), state
    if optimizer == "rmsprop":
        squares = over(lambda v, g: networks.RHO * v + (1 - networks.RHO) * g * g, state, slopes)
        return over(lambda p, g, v: p - rate * g * lax.rsqrt(v + networks.RMSPROP_EPSILON), weights, slopes, squares), squares
    b1, b2 = networks.BETA1, networks.BETA2
    t = state[0] + 1
    corrected = rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
    firsts = over(lambda m, g: b1 * m + (1 - b1) * g, state[1], slopes)
    seconds = over(lambda v, g: b2 * v + (1 - b2) * g * g, state[2], slopes)
    new = over(lambda p, m, v: p - corrected * m / (jnp.sqrt(v) + networks.EPSILON), weights, firsts, seconds)
    return new, (t, firsts, seconds)


def train(name: str) -> Case:
    work = TRAIN[name]
    loss_of = loss_function(work.model)

    def one(weights: Any, state: Any, x: Any, y: Any) -> Any:
        loss, slopes = jax.value_and_grad(loss_of)(weights, x, y)
        return *update(work.optimizer, weights, slopes, state), loss

    compiled = jax.jit(one, donate_argnums=(0, 1))
    weights = [jnp.array(p) for p in networks.WEIGHTS[work.model]()]
    state = initial_state(work.optimizer, weights)
    feed = itertools.cycle([(jnp.array(x), jnp.array(y)) for x, y in data.minibatches(work.model, work.batch)])

    def step() -> Any:
        nonlocal weights, state
        weights, state, loss = compiled(weights, state, *next(feed))
        return loss

    return Case(step)


def regression_step(carry: Any, rows: Any) -> tuple[Any, None]:
    weights, state = carry
    x, y = rows
    slopes = jax.grad(lambda weights: jnp.mean((networks.mlp(LAYERS, weights, x) - y) ** 2))(weights)
    return update("adam", weights, slopes, state), None


def epoch_by_steps() -> Callable[[Any], Any]:
    batches = [(jnp.array(x), jnp.array(y)) for x, y in data.sine_batches()]
    one = jax.jit(lambda carry, rows: regression_step(carry, rows)[0], donate_argnums=0)
    return lambda carry: functools.reduce(one, batches, carry)


def epoch_by_scan() -> Callable[[Any], Any]:
    pair = data.noisy_sine()
    whole = len(pair[0]) // REGRESSION_BATCH * REGRESSION_BATCH
    head = tuple(jnp.array(a[:whole].reshape(-1, REGRESSION_BATCH, 1)) for a in pair)
    tail = tuple(jnp.array(a[whole:]) for a in pair)
    made: Callable[[Any], Any] = jax.jit(
        lambda carry: regression_step(lax.scan(regression_step, carry, head)[0], tail)[0], donate_argnums=0
    )
    return made


def regression(name: str) -> Case:
    weights = [jnp.array(p) for p in networks.mlp_weights(networks.REGRESSION_SIZES)]
    carry = (weights, initial_state("adam", weights))
    epoch = epoch_by_scan() if VARIANT == "scan" else epoch_by_steps()

    def run() -> np.float64:
        nonlocal carry
        for _ in range(REGRESSION_EPOCHS):
            carry = epoch(carry)
        return networks.regression_loss(carry[0])

    return Case(run)


def infer(name: str) -> Case:
    work = INFER[name]
    weights = jax.tree.map(jnp.array, networks.WEIGHTS[work.model]())
    x, f = jnp.array(data.images(work.model, work.batch)), jax.jit(lambda weights, x: networks.MODELS[work.model](LAYERS, weights, x))
    return Case(lambda: f(weights, x).block_until_ready())


FUNCTIONS = SimpleNamespace(
    tanh=jnp.tanh, sigmoid=jax.nn.sigmoid, sqrt=jnp.sqrt, abs=jnp.abs, exp=jnp.exp, rsqrt=lax.rsqrt, sum=jnp.sum,
    mean=lambda x: x.mean(-1, keepdims=True), softmax=lambda x: jax.nn.softmax(x, -1), logsumexp=lambda x: jax.nn.logsumexp(x, -1),
)  # fmt: skip


def evaluate(name: str) -> Case:
    f, x = jax.jit(networks.formula(name, FUNCTIONS)), jnp.array(data.formula_input(name))
    return Case(lambda: f(x).block_until_ready())


def call(name: str) -> Case:
    f, (x, y) = jax.jit(lambda x, y: x + y), data.summands(name)
    if name.endswith("numpy"):
        return Case(lambda: np.asarray(f(x, y)))
    a, b = jnp.array(x), jnp.array(y)
    return Case(lambda: f(a, b))


def multiply(name: str) -> Case:
    a, f = jnp.array(data.square_matrix(name)), jax.jit(jnp.matmul)
    return Case(lambda: f(a, a).block_until_ready())


def workloads() -> dict[str, Factory]:
    if VARIANT == "scan":
        return factories(regression=regression)
    return factories(train=train, regression=regression, infer=infer, formula=evaluate, call=call, product=multiply)
