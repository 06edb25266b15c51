"""Losses of numbers: differences, logarithms, angles, and the hinge family.

They keep the batch and take the mean over the last axis.
"""

from __future__ import annotations

import math
from typing import Any

from graphflow.graph.variable import Variable, as_variable
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.losses.base import LOSSES, as_float
from graphflow.ops import nn
from graphflow.ops.elementwise import (
    abs_,
    add,
    cast,
    clip,
    divide,
    maximum,
    multiply,
    negative,
    square,
    subtract,
    where,
)
from graphflow.ops.logic import equal, less_equal, logical_or
from graphflow.ops.reduction import all_, max_, sum_
from graphflow.ops.statistics import mean
from graphflow.ops.transcendental import log, softplus


def _pair(y_true: Any, y_pred: Any) -> tuple[Variable, Variable]:
    """Both as Variables in the float dtype of the prediction."""
    p = as_float(y_pred)
    p = p if p.dtype.kind == "f" else cast(p, K.floatx())
    return cast(as_variable(y_true), p.dtype), p


@LOSSES.add("mse")
def mean_squared_error(y_true: Any, y_pred: Any) -> Variable:
    """mean((y_pred - y_true) ** 2) over the last axis."""
    t, p = _pair(y_true, y_pred)
    return mean(square(p - t), axis=-1)


@LOSSES.add("mae")
def mean_absolute_error(y_true: Any, y_pred: Any) -> Variable:
    """mean(|y_pred - y_true|) over the last axis."""
    t, p = _pair(y_true, y_pred)
    return mean(abs_(p - t), axis=-1)


@LOSSES.add("mape")
def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Variable:
    """100 * mean(|(y_true - y_pred) / y_true|) over the last axis, with |y_true| at least epsilon."""
    t, p = _pair(y_true, y_pred)
    return multiply(mean(abs_(divide(t - p, maximum(abs_(t), K.epsilon()))), axis=-1), 100.0)


@LOSSES.add("msle")
def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Variable:
    """mean((log(y_true + 1) - log(y_pred + 1)) ** 2) over the last axis, of values of at least epsilon."""
    t, p = (log(maximum(v, K.epsilon()) + 1) for v in _pair(y_true, y_pred))
    return mean(square(p - t), axis=-1)


@LOSSES.add("log_cosh")
def logcosh(y_true: Any, y_pred: Any) -> Variable:
    """mean(log(cosh(y_pred - y_true))) over the last axis, without overflow."""
    t, p = _pair(y_true, y_pred)
    x = p - t
    return mean(x + softplus(multiply(x, -2.0)) - math.log(2.0), axis=-1)


@LOSSES.add("huber_loss")
def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Variable:
    """The mean over the last axis of e ** 2 / 2 where |e| <= delta, else delta * (|e| - delta / 2) (Huber 1964)."""
    t, p = _pair(y_true, y_pred)
    error = abs_(p - t)
    return mean(where(less_equal(error, delta), multiply(square(error), 0.5), multiply(subtract(error, 0.5 * delta), delta)), axis=-1)


@LOSSES.add("kld", "kl_divergence")
def kullback_leibler_divergence(y_true: Any, y_pred: Any) -> Variable:
    """sum(t * log(t / p)) over the last axis, with both between epsilon and 1."""
    t, p = (_probabilities(v) for v in _pair(y_true, y_pred))
    return sum_(t * log(t / p), axis=-1)


def _probabilities(p: Variable) -> Variable:
    """Probabilities of at least epsilon and at most 1."""
    return clip(p, K.epsilon(), 1.0)


@LOSSES.add()
def poisson(y_true: Any, y_pred: Any) -> Variable:
    """mean(p - t * log(p + epsilon)) over the last axis."""
    t, p = _pair(y_true, y_pred)
    return mean(p - t * log(p + K.epsilon()), axis=-1)


# --- angles --------------------------------------------------------------------------------------
@LOSSES.add("cosine", "cosine_similarity")
def cosine_proximity(y_true: Any, y_pred: Any, axis: int = -1) -> Variable:
    """Minus the cosine of the angle between both along `axis` (in Keras 1, divided by the size of the axis)."""
    product = multiply(*(nn.l2_normalize(v, axis) for v in _pair(y_true, y_pred)))
    fold = mean if generation.resolve("cosine_proximity is a mean") else sum_
    return negative(fold(product, axis=axis))


# --- hinges --------------------------------------------------------------------------------------
def _signs(t: Variable) -> Variable:
    """Targets -1 and 1; from tf.keras on, targets that are all 0 or 1 are read so."""
    if not generation.resolve("hinge takes targets 0 and 1"):
        return t
    binary = all_(logical_or(equal(t, 0), equal(t, 1)))
    return where(binary, subtract(multiply(t, 2), 1), t)


@LOSSES.add()
def hinge(y_true: Any, y_pred: Any) -> Variable:
    """mean(max(1 - t * p, 0)) over the last axis, for targets -1 and 1."""
    t, p = _pair(y_true, y_pred)
    return mean(maximum(1 - _signs(t) * p, 0), axis=-1)


@LOSSES.add()
def squared_hinge(y_true: Any, y_pred: Any) -> Variable:
    """mean(max(1 - t * p, 0) ** 2) over the last axis, for targets -1 and 1."""
    t, p = _pair(y_true, y_pred)
    return mean(square(maximum(1 - _signs(t) * p, 0)), axis=-1)


@LOSSES.add()
def categorical_hinge(y_true: Any, y_pred: Any) -> Variable:
    """max(0, 1 + the largest prediction of a wrong class - that of the right one), for one-hot targets."""
    t, p = _pair(y_true, y_pred)
    right, wrong = sum_(t * p, axis=-1), max_((1 - t) * p, axis=-1)
    return maximum(add(subtract(wrong, right), 1), 0)


mse = MSE = mean_squared_error
mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
msle = MSLE = mean_squared_logarithmic_error
kld = KLD = kl_divergence = kullback_leibler_divergence
log_cosh = logcosh
huber_loss = huber
cosine = cosine_similarity = cosine_proximity
