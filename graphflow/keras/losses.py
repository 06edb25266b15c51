"""Losses: functions of (y_true, y_pred) that keep the batch and take the mean over the last axis.

On the result of a softmax or sigmoid, cross entropies are computed from what went into it, which is
exact for any value; other probabilities are kept epsilon away from 0 and 1.
"""

from __future__ import annotations

from typing import Any

from graphflow.graph.op import Op
from graphflow.graph.variable import Variable, as_variable
from graphflow.keras import backend as K
from graphflow.keras.lookup import Table
from graphflow.ops import nn
from graphflow.ops.elementwise import abs_, cast, clip, square
from graphflow.ops.identity import Identity
from graphflow.ops.reduction import sum_
from graphflow.ops.shape import reshape
from graphflow.ops.softmax import Softmax
from graphflow.ops.statistics import mean
from graphflow.ops.transcendental import Sigmoid, log

LOSSES = Table("loss")


@LOSSES.add("mse")
def mean_squared_error(y_true: Any, y_pred: Any) -> Variable:
    """mean((y_pred - y_true) ** 2) over the last axis."""
    return mean(square(y_pred - y_true), axis=-1)


@LOSSES.add("mae")
def mean_absolute_error(y_true: Any, y_pred: Any) -> Variable:
    """mean(|y_pred - y_true|) over the last axis."""
    return mean(abs_(y_pred - y_true), axis=-1)


@LOSSES.add()
def binary_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False) -> Variable:
    """The mean over the last axis of -t * log(p) - (1 - t) * log(1 - p)."""
    x = as_variable(y_pred) if from_logits else before(Sigmoid, y_pred)
    if x is not None:
        return mean(nn.sigmoid_cross_entropy(x, y_true), axis=-1)
    return mean(nn.binary_crossentropy(_inside(as_variable(y_pred)), y_true), axis=-1)


@LOSSES.add()
def categorical_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False) -> Variable:
    """-sum(t * log(p)) over the last axis, for one-hot or soft targets; p is scaled to a sum of 1."""
    x = as_variable(y_pred) if from_logits else before(Softmax, y_pred)
    if x is not None:
        return nn.softmax_cross_entropy(x, y_true)
    return nn.categorical_crossentropy(_inside(y_pred / sum_(y_pred, axis=-1, keepdims=True)), y_true)


@LOSSES.add()
def sparse_categorical_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False) -> Variable:
    """-log(p[t]) on the last axis, for class numbers t of the shape of p without it, or with a 1 there."""
    labels = class_numbers(y_true, as_variable(y_pred))
    x = as_variable(y_pred) if from_logits else before(Softmax, y_pred)
    return nn.sparse_softmax_cross_entropy(log(_inside(as_variable(y_pred))) if x is None else x, labels)


def class_numbers(y_true: Any, y_pred: Variable) -> Variable:
    """Targets as integers of the shape of predictions without the last axis."""
    labels = as_variable(y_true)
    if labels.ndim == y_pred.ndim:
        labels = reshape(labels, labels.shape[:-1])
    return cast(labels, "int64")


def before(op: type[Op], y_pred: Any) -> Variable | None:
    """x where y_pred is op(x) along the last axis, else None."""
    y = as_variable(y_pred)
    while y.owner is not None and isinstance(y.owner.op, Identity):
        y = y.owner.inputs[0]
    if y.owner is None or not isinstance(y.owner.op, op):
        return None
    return y.owner.inputs[0] if getattr(y.owner.op, "axis", y.ndim - 1) == y.ndim - 1 else None


def _inside(p: Variable) -> Variable:
    return clip(p, K.epsilon(), 1 - K.epsilon())


mse = MSE = mean_squared_error
mae = MAE = mean_absolute_error


def get(identifier: Any) -> Any:
    """The loss for a name or function; None for None.  Raises GraphError that lists the known names."""
    return LOSSES.get(identifier)


def serialize(loss: Any) -> str:
    name: str = loss.__name__
    return name


def deserialize(name: Any) -> Any:
    return get(name)
