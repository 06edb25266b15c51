"""Losses of classes: cross entropies, focal losses, overlaps.

On the result of a softmax or sigmoid, cross entropies are computed from what went into it, which is
exact for any value; other probabilities are kept epsilon away from 0 and 1.
"""

from __future__ import annotations

from typing import Any

from graphflow.graph.op import Op
from graphflow.graph.variable import Variable, as_variable
from graphflow.keras import backend as K
from graphflow.keras.losses.base import LOSSES, as_float
from graphflow.ops import nn
from graphflow.ops.along_axis import take_along_axis
from graphflow.ops.elementwise import cast, clip, divide, multiply, negative, subtract, where
from graphflow.ops.identity import Identity
from graphflow.ops.logic import not_equal
from graphflow.ops.power import power
from graphflow.ops.reduction import Axis, sum_
from graphflow.ops.shape import broadcast_to, expand_dims, reshape, squeeze
from graphflow.ops.softmax import Softmax
from graphflow.ops.statistics import mean
from graphflow.ops.transcendental import Sigmoid, log


# --- cross entropies -----------------------------------------------------------------------------
@LOSSES.add("bce")
def binary_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1) -> Variable:
    """The mean over `axis` of -t * log(p) - (1 - t) * log(1 - p), with t moved by half of `label_smoothing` towards 0.5."""
    p = as_float(y_pred)
    t = _smoothed(_targets(y_true, p), label_smoothing, 2)
    x = p if from_logits else before(Sigmoid, p)
    if x is not None:
        return mean(nn.sigmoid_cross_entropy(x, t), axis=axis)
    return mean(nn.binary_crossentropy(_inside(p), t), axis=axis)


@LOSSES.add()
def categorical_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1) -> Variable:
    """-sum(t * log(p)) along `axis`, for one-hot or soft targets; p is scaled to a sum of 1."""
    p = as_float(y_pred)
    t = _smoothed(_targets(y_true, p), label_smoothing, p.shape[axis])
    x = p if from_logits else before(Softmax, p, axis)
    if x is not None:
        return nn.softmax_cross_entropy(x, t, axis)
    return nn.categorical_crossentropy(_inside(p / sum_(p, axis=axis, keepdims=True)), t, axis)


@LOSSES.add()
def sparse_categorical_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1) -> Variable:
    """-log(p[t]) along `axis`, for class numbers t of the shape of p without it, or with a 1 there.

    Targets `ignore_class` give 0, and do not count in a mean over losses.
    """
    p = as_float(y_pred)
    labels = class_numbers(y_true, p)
    x = p if from_logits else before(Softmax, p, axis)
    scores = log(_inside(p)) if x is None else x
    if ignore_class is None:
        return nn.sparse_softmax_cross_entropy(scores, labels, axis)
    counted = not_equal(labels, ignore_class)
    losses = where(counted, nn.sparse_softmax_cross_entropy(scores, where(counted, labels, 0), axis), 0)
    losses.tag.counted = cast(counted, losses.dtype)
    return losses


def class_numbers(y_true: Any, y_pred: Variable) -> Variable:
    """Targets as integers of the shape of predictions without the last axis."""
    labels = as_variable(y_true)
    if labels.ndim == y_pred.ndim:
        labels = reshape(labels, labels.shape[:-1])
    return cast(labels, "int64")


def before(op: type[Op], y_pred: Any, axis: int = -1) -> Variable | None:
    """x where y_pred is op(x) along the axis, else None."""
    y = as_variable(y_pred)
    while y.owner is not None and isinstance(y.owner.op, Identity):
        y = y.owner.inputs[0]
    if y.owner is None or not isinstance(y.owner.op, op):
        return None
    return y.owner.inputs[0] if getattr(y.owner.op, "axis", axis % y.ndim) == axis % y.ndim else None


def _targets(y_true: Any, p: Variable) -> Variable:
    return cast(as_variable(y_true), p.dtype)


def _smoothed(t: Variable, amount: float, classes: Any) -> Variable:
    """Targets moved by the share `amount` towards 1 / classes."""
    return multiply(t, 1.0 - amount) + divide(amount, cast(as_variable(classes), t.dtype)) if amount else t


def _inside(p: Variable) -> Variable:
    return clip(p, K.epsilon(), 1 - K.epsilon())


# --- focal losses --------------------------------------------------------------------------------
@LOSSES.add()
def binary_focal_crossentropy(
    y_true: Any, y_pred: Any, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
) -> Variable:  # fmt: skip
    """Binary cross entropy times (1 - the probability of the right class) ** gamma (Lin et al. 2017, arXiv:1708.02002)."""
    p = as_float(y_pred)
    t = _smoothed(_targets(y_true, p), label_smoothing, 2)
    x = p if from_logits else before(Sigmoid, p)
    entropy = nn.binary_crossentropy(_inside(p), t) if x is None else nn.sigmoid_cross_entropy(x, t)
    p = nn.sigmoid(p) if from_logits else p
    losses = multiply(power(t * (1 - p) + (1 - t) * p, gamma), entropy)
    if apply_class_balancing:
        losses = multiply(losses, multiply(t, alpha) + multiply(1 - t, 1 - alpha))
    return mean(losses, axis=axis)


@LOSSES.add()
def categorical_focal_crossentropy(
    y_true: Any, y_pred: Any, alpha: float = 0.25, gamma: float = 2.0, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Variable:
    """-sum(alpha * (1 - p) ** gamma * t * log(p)) along `axis`, for one-hot targets."""
    p = as_float(y_pred)
    t = _smoothed(_targets(y_true, p), label_smoothing, p.shape[axis])
    p = nn.softmax(p, axis) if from_logits else p / sum_(p, axis=axis, keepdims=True)
    p = _inside(p)
    return negative(sum_(multiply(power(1 - p, gamma), alpha) * t * log(p), axis=axis))


@LOSSES.add()
def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float = 0.5) -> Variable:
    """(1 - p[t] ** q) / q for class numbers t (Zhang and Sabuncu 2018, arXiv:1805.07836)."""
    p = as_float(y_pred)
    chosen = squeeze(take_along_axis(p, expand_dims(class_numbers(y_true, p), -1), -1), -1)
    return divide(subtract(1, power(chosen, q)), q)


@LOSSES.add()
def ctc(y_true: Any, y_pred: Any) -> Variable:
    """Connectionist temporal classification (Graves et al. 2006) of logits (batch, frames, classes), class 0 the blank.

    `y_true`: class numbers (batch, labels), all of which count, as all frames do.
    """
    logits, labels = as_float(y_pred), cast(as_variable(y_true), "int64")
    counts, frames = (broadcast_to(as_variable(x.shape[1], "int64"), x.shape[:1]) for x in (labels, logits))
    return nn.ctc_loss(labels, logits, counts, frames, logits_time_major=False)


# --- overlaps ------------------------------------------------------------------------------------
@LOSSES.add()
def dice(y_true: Any, y_pred: Any, axis: Axis = None) -> Variable:
    """1 - 2 * sum(t * p) / (sum(t) + sum(p)) over `axis`, all of them by default: one number for the batch."""
    p = as_float(y_pred)
    t = _targets(y_true, p)
    shared, total = sum_(t * p, axis=axis), sum_(t, axis=axis) + sum_(p, axis=axis)
    return subtract(1, divide(multiply(shared, 2) + K.epsilon(), total + K.epsilon()))


@LOSSES.add()
def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Axis = None) -> Variable:
    """1 - sum(t * p) / (sum(t * p) + alpha * sum(t * (1 - p)) + beta * sum((1 - t) * p)) over `axis`, by default all of them.

    Salehi et al. 2017 (arXiv:1706.05721), with alpha for what is missed, as in Keras.
    """
    p = as_float(y_pred)
    t = _targets(y_true, p)
    shared, missed, wrong = (sum_(v, axis=axis) for v in (t * p, t * (1 - p), (1 - t) * p))
    return subtract(1, divide(shared, shared + multiply(missed, alpha) + multiply(wrong, beta) + K.epsilon()))


bce = BCE = binary_crossentropy
