"""TensorFlow: a step written by hand in tf.function, with the fused optimiser ops.

Variants: xla (jit_compile=True); v1 (a TF1 graph and Session.run, fed from NumPy).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np
import tensorflow as tf

from benchmarks import data, networks
from benchmarks.peers import THREADS, VARIANT, ready
from benchmarks.workloads import INFER, REGRESSION_EPOCHS, TRAIN, Case, Factory, factories

tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(THREADS)
to_numpy, wait = np.asarray, ready
XLA = VARIANT == "xla"


class Layers:
    """On NHWC images and HWIO kernels."""

    dense = staticmethod(lambda x, w, b: tf.nn.bias_add(tf.matmul(x, w), b))
    relu, add = staticmethod(tf.nn.relu), staticmethod(tf.add)

    def conv(self, x: Any, w: Any, b: Any, stride: int = 1, pad: int = 0) -> Any:
        y = tf.nn.conv2d(x, w, stride, [[0, 0], [pad, pad], [pad, pad], [0, 0]] if pad else "VALID")
        return y if b is None else tf.nn.bias_add(y, b)

    def bn(self, x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Any:
        return tf.nn.batch_normalization(x, mean, variance, offset, scale, networks.BATCH_NORM_EPSILON)

    def maxpool(self, x: Any, size: int, stride: int, pad: int = 0) -> Any:
        if pad:
            x = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]], constant_values=-np.inf)
        return tf.nn.max_pool2d(x, size, stride, "VALID")

    def gap(self, x: Any) -> Any:
        return tf.reduce_mean(x, (1, 2))

    def flatten(self, x: Any) -> Any:
        return tf.reshape(x, (x.shape[0], -1))


LAYERS = Layers()


def lstm_loss(weights: Any, x: Any, y: Any) -> Any:
    embedding, kernel, recurrent, bias, dense, dense_bias = weights
    units, (batch, words) = networks.LSTM_UNITS, x.shape
    inputs = tf.matmul(tf.reshape(tf.gather(embedding, x), (batch * words, -1)), kernel) + bias
    inputs = tf.transpose(tf.reshape(inputs, (batch, words, 4 * units)), (1, 0, 2))

    def cell(t: Any, state: Any, memory: Any) -> Any:
        i, f, g, o = tf.split(inputs[t] + tf.matmul(state, recurrent), 4, 1)
        memory = tf.sigmoid(f) * memory + tf.sigmoid(i) * tf.tanh(g)
        return t + 1, tf.sigmoid(o) * tf.tanh(memory), memory

    zero = tf.zeros((batch, units))
    _, last, _ = tf.while_loop(lambda t, state, memory: t < words, cell, (0, zero, zero), maximum_iterations=words)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, LAYERS.dense(last, dense, dense_bias)))


def loss_function(model: str) -> Callable[[Any, Any, Any], Any]:
    if model == "lstm":
        return lstm_loss

    def loss(weights: Any, x: Any, y: Any) -> Any:
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, networks.MODELS[model](LAYERS, weights, x)))

    return loss


Apply = Callable[[Sequence[Any]], None]


def make_optimizer(name: str, params: list[Any]) -> Apply:
    """What applies gradients to the parameters."""
    return {"sgd": _sgd, "rmsprop": _rmsprop, "adam": _adam}[name](params)


def _slots(params: list[Any]) -> list[Any]:
    return [tf.Variable(tf.zeros_like(p)) for p in params]


def _sgd(params: list[Any]) -> Apply:
    def apply(slopes: Sequence[Any]) -> None:
        for p, g in zip(params, slopes, strict=True):
            tf.raw_ops.ResourceApplyGradientDescent(var=p.handle, alpha=networks.RATES["sgd"], delta=g)

    return apply


def _rmsprop(params: list[Any]) -> Apply:
    squares, momenta = _slots(params), _slots(params)

    def apply(slopes: Sequence[Any]) -> None:
        for p, v, m, g in zip(params, squares, momenta, slopes, strict=True):
            tf.raw_ops.ResourceApplyRMSProp(
                var=p.handle, ms=v.handle, mom=m.handle, lr=networks.RATES["rmsprop"], rho=networks.RHO, momentum=0.0,
                epsilon=networks.RMSPROP_EPSILON, grad=g,
            )  # fmt: skip

    return apply


def _adam(params: list[Any]) -> Apply:
    firsts, seconds = _slots(params), _slots(params)
    power1, power2 = tf.Variable(networks.BETA1), tf.Variable(networks.BETA2)

    def apply(slopes: Sequence[Any]) -> None:
        p1, p2 = tf.identity(power1), tf.identity(power2)
        for p, m, v, g in zip(params, firsts, seconds, slopes, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=p.handle, m=m.handle, v=v.handle, beta1_power=p1, beta2_power=p2, lr=networks.RATES["adam"],
                beta1=networks.BETA1, beta2=networks.BETA2, epsilon=networks.EPSILON, grad=g,
            )  # fmt: skip
        power1.assign(p1 * networks.BETA1)
        power2.assign(p2 * networks.BETA2)

    return apply


def make_step(loss_of: Callable[[Any, Any, Any], Any], params: list[Any], optimizer: str) -> Any:
    apply = make_optimizer(optimizer, params)

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(params, x, y)
        apply([tf.convert_to_tensor(g) for g in tape.gradient(loss, params)])
        return loss

    return tf.function(step, jit_compile=XLA)


def train(name: str) -> Case:
    work = TRAIN[name]
    params = [tf.Variable(p) for p in networks.WEIGHTS[work.model]()]
    step = make_step(loss_function(work.model), params, work.optimizer)
    feed = itertools.cycle([(tf.constant(x), tf.constant(y)) for x, y in data.minibatches(work.model, work.batch)])
    return Case(lambda: step(*next(feed)))


def regression(name: str) -> Case:
    params = [tf.Variable(p) for p in networks.mlp_weights(networks.REGRESSION_SIZES)]
    step = make_step(lambda params, x, y: tf.reduce_mean((networks.mlp(LAYERS, params, x) - y) ** 2), params, "adam")
    batches = [(tf.constant(x), tf.constant(y)) for x, y in data.sine_batches()]

    def run() -> np.float64:
        for _ in range(REGRESSION_EPOCHS):
            for rows in batches:
                step(*rows)
        return networks.regression_loss([p.numpy() for p in params])

    return Case(run)


def infer(name: str) -> Case:
    work = INFER[name]
    weights = tf.nest.map_structure(tf.constant, networks.WEIGHTS[work.model]())
    f = tf.function(lambda x: networks.MODELS[work.model](LAYERS, weights, x), jit_compile=XLA)
    x = tf.constant(data.images(work.model, work.batch))
    return Case(lambda: f(x))


FUNCTIONS = SimpleNamespace(
    tanh=tf.tanh, sigmoid=tf.sigmoid, sqrt=tf.sqrt, abs=tf.abs, exp=tf.exp, rsqrt=tf.math.rsqrt, sum=tf.reduce_sum,
    mean=lambda x: tf.reduce_mean(x, -1, keepdims=True), softmax=tf.nn.softmax, logsumexp=lambda x: tf.reduce_logsumexp(x, -1),
)  # fmt: skip


def evaluate(name: str) -> Case:
    f, x = tf.function(networks.formula(name, FUNCTIONS), jit_compile=XLA), tf.constant(data.formula_input(name))
    return Case(lambda: f(x))


def call(name: str) -> Case:
    f, (x, y) = tf.function(lambda x, y: x + y, jit_compile=XLA), data.summands(name)
    if name.endswith("numpy"):
        return Case(lambda: f(tf.constant(x), tf.constant(y)).numpy())
    a, b = tf.constant(x), tf.constant(y)
    return Case(lambda: f(a, b))


# --- the TF1 way: placeholders, optimizer.minimize, Session.run ---------------------------------
def session() -> Any:
    v1 = tf.compat.v1
    return v1.Session(config=v1.ConfigProto(intra_op_parallelism_threads=THREADS, inter_op_parallelism_threads=THREADS))


def train_v1(name: str) -> Case:
    v1, work = tf.compat.v1, TRAIN[name]
    batches = data.minibatches(work.model, work.batch)
    with tf.Graph().as_default():
        x, y = (v1.placeholder(a.dtype, a.shape) for a in batches[0])
        params = [v1.get_variable(f"p{i}", initializer=p, use_resource=True) for i, p in enumerate(networks.WEIGHTS[work.model]())]
        loss = loss_function(work.model)(params, x, y)
        rate = networks.RATES[work.optimizer]
        optimizer = v1.train.GradientDescentOptimizer(rate) if work.optimizer == "sgd" else v1.train.AdamOptimizer(rate, epsilon=networks.EPSILON)
        minimize, run = optimizer.minimize(loss, var_list=params), session()
        run.run(v1.global_variables_initializer())
    feed = itertools.cycle([{x: a, y: b} for a, b in batches])
    return Case(lambda: run.run([loss, minimize], next(feed))[0])


def call_v1(name: str) -> Case:
    v1, (a, b) = tf.compat.v1, data.summands(name)
    with tf.Graph().as_default():
        x, y = v1.placeholder(tf.float32, a.shape), v1.placeholder(tf.float32, b.shape)
        z, run = x + y, session()
    return Case(lambda: run.run(z, {x: a, y: b}))


def workloads() -> dict[str, Factory]:
    if VARIANT == "v1":  # Session.run takes and gives NumPy arrays, so w8_call_vec10_numpy says it all
        found = factories(models=("mlp", "cnn", "logreg"), train=train_v1, call=call_v1)
        del found["w8_call_vec10"]
        return found
    return factories(train=train, regression=regression, infer=infer, formula=evaluate, call=call)
