"""Initial weights, models and formulas, written once over what each peer supplies.

Weights are in Keras's layout: dense (in, out), convolution HWIO; images are NHWC.  A peer that works on
NCHW images permutes the dense kernel that follows a Flatten with `after_nchw_flatten`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from benchmarks.data import VOCABULARY, WORDS, f32, noisy_sine

RATES = {"sgd": 0.01, "adam": 0.001, "rmsprop": 0.001}
# Adam; epsilon so small that its place in the formula, which differs between libraries, does not matter
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-9
# RMSprop: v = rho v + (1 - rho) g^2; w -= rate g / sqrt(v + epsilon)
RHO, RMSPROP_EPSILON = 0.9, 1e-14
LSTM_EMBEDDING, LSTM_UNITS, LSTM_STEPS = 64, 128, WORDS
MLP_SIZES, REGRESSION_SIZES = (784, 300, 100, 10), (1, 10, 10, 1)
BATCH_NORM_EPSILON = 1e-5
# of ResNet-50: blocks, channels of the 3x3 convolution, stride of the first block
STAGES = [(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)]
# the dense kernel after a Flatten: its place among the weights, and the height, width and channels flattened
FLATTENED = {"cnn": (4, (5, 5, 32)), "cnn3": (6, (4, 4, 64))}

Weights = list[np.ndarray]


# --- weights ------------------------------------------------------------------------------------
def _normal(r: np.random.Generator, *shape: int, fan_in: int | None = None) -> np.ndarray:
    fan_in = fan_in or int(np.prod(shape[:-1]))
    return np.asarray(r.standard_normal(shape) * np.sqrt(2.0 / fan_in), f32)


def _with_biases(seed: int, *shapes: tuple[int, ...]) -> Weights:
    r = np.random.default_rng(seed)
    return [w for shape in shapes for w in (_normal(r, *shape), np.zeros(shape[-1], f32))]


def mlp_weights(sizes: tuple[int, ...] = MLP_SIZES) -> Weights:
    return _with_biases(0, *itertools.pairwise(sizes))


def cnn_weights() -> Weights:
    return _with_biases(1, (3, 3, 1, 32), (3, 3, 32, 32), (800, 64), (64, 10))


def cnn3_weights() -> Weights:
    return _with_biases(2, (3, 3, 1, 32), (3, 3, 32, 64), (3, 3, 64, 64), (1024, 10))


def logreg_weights() -> Weights:
    return [np.zeros((784, 10), f32), np.zeros(10, f32)]


def lstm_weights() -> Weights:
    """Embedding, kernel (E, 4H), recurrent kernel (H, 4H), bias (4H), dense, bias; gates i f c o."""
    r = np.random.default_rng(3)
    e, h = LSTM_EMBEDDING, LSTM_UNITS
    bias = np.zeros(4 * h, f32)
    bias[h : 2 * h] = 1
    embedding = (r.standard_normal((VOCABULARY, e)) * 0.5).astype(f32)
    return [
        embedding, _normal(r, e, 4 * h, fan_in=2 * e), _normal(r, h, 4 * h, fan_in=2 * h), bias,
        _normal(r, h, 1), np.zeros(1, f32),
    ]  # fmt: skip


def resnet50_weights() -> dict[str, Any]:
    """`NAME.w`: a kernel; `NAME.bn`: scale, offset, mean and variance; `fc.w` and `fc.b`."""
    r = np.random.default_rng(4)
    weights: dict[str, Any] = {}

    def convolution(name: str, width: int, channels: int, filters: int) -> None:
        weights[f"{name}.w"] = _normal(r, width, width, channels, filters)
        scale = 0.5 if name.endswith("c") else 1.0  # keeps the sum of residuals bounded
        weights[f"{name}.bn"] = [
            np.full(filters, scale, f32), (0.1 * r.standard_normal(filters)).astype(f32),
            (0.1 * r.standard_normal(filters)).astype(f32), r.uniform(0.5, 1.5, filters).astype(f32),
        ]  # fmt: skip

    convolution("stem", 7, 3, 64)
    channels = 64
    for stage, (blocks, width, _) in enumerate(STAGES):
        for block in range(blocks):
            name = f"s{stage}b{block}"
            convolution(f"{name}a", 1, channels, width)
            convolution(f"{name}b", 3, width, width)
            convolution(f"{name}c", 1, width, 4 * width)
            if block == 0:
                convolution(f"{name}d", 1, channels, 4 * width)
            channels = 4 * width
    weights["fc.w"], weights["fc.b"] = _normal(r, 2048, 1000), np.zeros(1000, f32)
    return weights


def after_nchw_flatten(w: np.ndarray, height: int, width: int, channels: int) -> np.ndarray:
    """Rows of a dense kernel from (h, w, c) order into (c, h, w) order."""
    by_axes = w.reshape(height, width, channels, -1).transpose(2, 0, 1, 3)
    return np.ascontiguousarray(by_axes.reshape(height * width * channels, -1))


def nchw_weights(model: str) -> Any:
    """The weights of a model that works on NCHW images; kernels stay HWIO."""
    weights = WEIGHTS[model]()
    if model in FLATTENED:
        place, sizes = FLATTENED[model]
        weights[place] = after_nchw_flatten(weights[place], *sizes)
    return weights


# --- models -------------------------------------------------------------------------------------
class Layers(Protocol):
    """What a peer supplies for the models, on its own arrays."""

    def dense(self, x: Any, w: Any, b: Any) -> Any: ...
    def conv(self, x: Any, w: Any, b: Any, stride: int = 1, pad: int = 0) -> Any:
        """`b` may be None; `pad`: zeros on each side of both axes."""

    def bn(self, x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Any:
        """Batch normalisation of inference, with BATCH_NORM_EPSILON."""

    def relu(self, x: Any) -> Any: ...
    def add(self, x: Any, y: Any) -> Any: ...
    def maxpool(self, x: Any, size: int, stride: int, pad: int = 0) -> Any: ...
    def gap(self, x: Any) -> Any:
        """The mean over height and width."""

    def flatten(self, x: Any) -> Any: ...


def mlp(k: Any, weights: Any, x: Any) -> Any:
    """Any number of dense layers, relu between them."""
    for i in range(0, len(weights), 2):
        x = k.dense(x, weights[i], weights[i + 1])
        if i < len(weights) - 2:
            x = k.relu(x)
    return x


def cnn(k: Layers, weights: Any, x: Any) -> Any:
    x = k.maxpool(k.relu(k.conv(x, weights[0], weights[1])), 2, 2)
    x = k.maxpool(k.relu(k.conv(x, weights[2], weights[3])), 2, 2)
    return k.dense(k.relu(k.dense(k.flatten(x), weights[4], weights[5])), weights[6], weights[7])


def cnn3(k: Layers, weights: Any, x: Any) -> Any:
    x = k.relu(k.conv(k.relu(k.conv(x, weights[0], weights[1])), weights[2], weights[3]))
    x = k.relu(k.conv(k.maxpool(x, 4, 4), weights[4], weights[5]))
    return k.dense(k.flatten(x), weights[6], weights[7])


def resnet50(k: Layers, weights: Any, x: Any) -> Any:
    """He et al. 2015 (arXiv:1512.03385), the stride in the 3x3 convolution."""

    def normalised(x: Any, name: str, stride: int = 1, pad: int = 0) -> Any:
        return k.bn(k.conv(x, weights[f"{name}.w"], None, stride, pad), *weights[f"{name}.bn"])

    x = k.maxpool(k.relu(normalised(x, "stem", 2, 3)), 3, 2, 1)
    for stage, (blocks, _, first_stride) in enumerate(STAGES):
        for block in range(blocks):
            name, stride = f"s{stage}b{block}", first_stride if block == 0 else 1
            y = k.relu(normalised(x, f"{name}a"))
            y = k.relu(normalised(y, f"{name}b", stride, 1))
            y = normalised(y, f"{name}c")
            x = k.relu(k.add(y, normalised(x, f"{name}d", stride) if block == 0 else x))
    return k.dense(k.gap(x), weights["fc.w"], weights["fc.b"])


MODELS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "mlp": mlp, "cnn": cnn, "cnn3": cnn3, "resnet50": resnet50, "logreg": mlp,
}  # fmt: skip
WEIGHTS: dict[str, Callable[[], Any]] = {
    "mlp": mlp_weights, "cnn": cnn_weights, "cnn3": cnn3_weights, "resnet50": resnet50_weights,
    "logreg": logreg_weights, "lstm": lstm_weights,
}  # fmt: skip


def regression_loss(weights: Any) -> np.float64:
    """The mean squared error on the noisy sine, in NumPy, of a network with these weights."""
    x, y = noisy_sine()
    layers = SimpleNamespace(dense=lambda x, w, b: x @ w + b, relu=lambda x: np.maximum(x, 0))
    loss: np.float64 = np.square(mlp(layers, [np.asarray(w) for w in weights], x) - y, dtype=np.float64).mean()
    return loss


# --- formulas -----------------------------------------------------------------------------------
def _chain(m: Any, x: Any) -> Any:
    return m.tanh(1.7 * x + 0.3) * m.sigmoid(x) + m.sqrt(m.abs(x)) - 0.5 * x * x


def _layernorm(m: Any, x: Any) -> Any:
    centred = x - m.mean(x)
    return centred * m.rsqrt(m.mean(centred * centred) + 1e-5) * 1.5 + 0.25


def formula(name: str, m: Any) -> Callable[[Any], Any]:
    """The function of a workload of FORMULAS over a namespace of functions.

    tanh, sigmoid, sqrt, abs, exp, rsqrt; sum of all; mean of rows, an axis of 1 kept; softmax and logsumexp of rows.
    """
    made: dict[str, Callable[[Any], Any]] = {
        "chain": lambda x: _chain(m, x), "layernorm": lambda x: _layernorm(m, x), "softmax": lambda x: m.softmax(x),
        "logsumexp": lambda x: m.logsumexp(x), "sumexp": lambda x: m.sum(m.exp(x)),
    }  # fmt: skip
    return made[name.split("_")[1]]
