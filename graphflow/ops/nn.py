"""`gf.nn`: activations, softmax, cross entropies, normalisation, dropout.

Names follow Theano's `T.nnet`, `tf.nn` and Keras.  Activations work in the float dtype of x
(ints are cast).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.op import Value, register
from graphflow.graph.variable import Variable
from graphflow.ops.convolution import conv, conv_transpose, depthwise_conv, separable_conv
from graphflow.ops.ctc import ctc_loss
from graphflow.ops.ctc_decoding import ctc_beam_search_decode, ctc_greedy_decode
from graphflow.ops.elementwise import (
    Unary,
    abs_,
    add,
    clip,
    divide,
    elementwise,
    maximum,
    minimum,
    multiply,
    rsqrt,
    square,
    subtract,
    where,
)
from graphflow.ops.logic import greater
from graphflow.ops.losses import (
    binary_crossentropy,
    categorical_crossentropy,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    sparse_softmax_cross_entropy,
)
from graphflow.ops.pooling import average_pool, max_pool
from graphflow.ops.promotion import coerce, inexact, numeric
from graphflow.ops.public import public
from graphflow.ops.random import bernoulli
from graphflow.ops.reduction import normalize_axes, sum_
from graphflow.ops.shape import squeeze
from graphflow.ops.softmax import log_softmax, softmax
from graphflow.ops.special import erf
from graphflow.ops.statistics import mean
from graphflow.ops.transcendental import expm1, sigmoid, softplus, tanh

__all__ = [
    "average_pool", "binary_crossentropy", "categorical_crossentropy", "conv", "conv_transpose", "ctc_beam_search_decode", "ctc_greedy_decode", "ctc_loss", "depthwise_conv", "dropout", "elu", "gelu", "hard_sigmoid", "l2_normalize", "leaky_relu",
    "log_softmax", "max_pool", "moments", "relu", "relu6", "selu", "separable_conv", "sigmoid", "sigmoid_cross_entropy", "silu", "softmax",
    "softmax_cross_entropy", "softplus", "softsign", "sparse_softmax_cross_entropy", "swish", "tanh",
]  # fmt: skip

# Klambauer et al. 2017, "Self-Normalizing Neural Networks", with the digits of their code
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def _float(x: Any) -> Variable:
    (found,) = coerce(x, to=inexact)
    return found


# --- piecewise linear ----------------------------------------------------------------------------
@register
class Relu(Unary):
    """max(x, 0), with the derivative 0 at 0."""

    name = "relu"

    def scalar(self, b: Any, *xs: Value) -> Value:
        return b.call("max", xs[0], 0)

    def reference(self, *arrays: Any) -> Any:
        return np.maximum(arrays[0], arrays[0].dtype.type(0))

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return where(greater(y, 0), g, 0)


@public
def relu(x: Any) -> Variable:
    """Elementwise max(x, 0); the derivative at 0 is 0."""
    return elementwise(Relu(), *coerce(x, to=numeric))


@public
def relu6(x: Any) -> Variable:
    """Elementwise min(max(x, 0), 6)."""
    return minimum(relu(x), 6)


@public
def leaky_relu(x: Any, alpha: Any = 0.2) -> Variable:
    """x where it is positive, else alpha * x.  (0.2 is TensorFlow's slope; Keras's layer has 0.3.)"""
    x = _float(x)
    return where(greater(x, 0), x, multiply(x, alpha))


@public
def hard_sigmoid(x: Any) -> Variable:
    """0.2 * x + 0.5 clipped to 0 .. 1, as in Theano and Keras 1 and 2."""
    return clip(add(multiply(_float(x), 0.2), 0.5), 0.0, 1.0)


# --- smooth --------------------------------------------------------------------------------------
@public
def elu(x: Any, alpha: Any = 1.0) -> Variable:
    """x where it is positive, else alpha * (exp(x) - 1)."""
    x = _float(x)
    return where(greater(x, 0), x, multiply(expm1(minimum(x, 0)), alpha))


@public
def selu(x: Any) -> Variable:
    """The ELU scaled so that activations keep mean 0 and variance 1 (Klambauer et al. 2017)."""
    return multiply(elu(x, SELU_ALPHA), SELU_SCALE)


@public
def softsign(x: Any) -> Variable:
    """Elementwise x / (1 + |x|)."""
    x = _float(x)
    return divide(x, add(abs_(x), 1))


@public
def silu(x: Any) -> Variable:
    """Elementwise x * sigmoid(x), also called swish."""
    x = _float(x)
    return multiply(x, sigmoid(x))


@public
def swish(x: Any) -> Variable:
    """Elementwise x * sigmoid(x), also called silu."""
    return silu(x)


@public
def gelu(x: Any, approximate: bool = False) -> Variable:
    """x times the normal distribution function of x, or its tanh approximation (Hendrycks and Gimpel 2016)."""
    x = _float(x)
    if approximate:
        bell = tanh(multiply(add(x, multiply(multiply(square(x), x), 0.044715)), math.sqrt(2 / math.pi)))
    else:
        bell = erf(multiply(x, math.sqrt(0.5)))
    return multiply(multiply(x, 0.5), add(bell, 1))


# --- normalisation and noise ---------------------------------------------------------------------
@public
def moments(x: Any, axes: int | Sequence[int] | None = None, keepdims: bool = False) -> tuple[Variable, Variable]:
    """(mean, variance) over `axes`; the variance is the mean of squared deviations."""
    x = _float(x)
    over = normalize_axes(axes, x.ndim)
    center = mean(x, axis=over, keepdims=True)
    spread = mean(square(subtract(x, center)), axis=over, keepdims=keepdims)
    return (center if keepdims else squeeze(center, over)), spread


@public
def l2_normalize(x: Any, axis: int | Sequence[int] | None = None, epsilon: float = 1e-12) -> Variable:
    """x / sqrt(max(sum(x ** 2), epsilon)) along `axis`."""
    x = _float(x)
    return multiply(x, rsqrt(maximum(sum_(square(x), axis=axis, keepdims=True), epsilon)))


@public
def dropout(x: Any, rate: Any, seed: int | None = None) -> Variable:
    """x with each element 0 with probability `rate`, the others scaled by 1 / (1 - rate).

    Every call has its own random stream.  Raises GraphError for a rate outside 0 .. 1 (1 excluded).
    """
    operand = _float(x)
    if isinstance(rate, int | float) and not 0 <= rate < 1:
        raise GraphError(f"dropout: the rate is {rate}", hint="rate is the part of elements dropped, from 0 to below 1")
    if isinstance(rate, int | float) and rate == 0:
        return operand
    keep = 1 - rate
    return where(bernoulli(operand.shape, keep, seed=seed), divide(operand, keep), 0)
