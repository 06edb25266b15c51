"""Metrics: functions of (y_true, y_pred) whose mean over samples is reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.graph.variable import Variable, as_variable
from graphflow.keras import backend as K
from graphflow.keras import losses
from graphflow.keras.lookup import Table
from graphflow.keras.structure import KerasShape
from graphflow.ops.elementwise import cast
from graphflow.ops.logic import equal, greater
from graphflow.ops.reduction import argmax
from graphflow.ops.statistics import mean

METRICS = Table("metric")
Metric = Callable[[Variable, Variable], Variable]


@METRICS.add()
def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Variable:
    """The part of the last axis where y_pred > threshold is what y_true says."""
    return mean(_number(equal(y_true, _number(greater(y_pred, threshold)))), axis=-1)


@METRICS.add()
def categorical_accuracy(y_true: Any, y_pred: Any) -> Variable:
    """1 where the largest of the last axis is at the same place."""
    return _number(equal(argmax(y_true, axis=-1), argmax(y_pred, axis=-1)))


@METRICS.add()
def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Variable:
    """1 where the largest of y_pred is at the place whose number y_true has."""
    return _number(equal(losses.class_numbers(y_true, as_variable(y_pred)), argmax(y_pred, axis=-1)))


def _number(x: Variable) -> Variable:
    return cast(x, K.floatx())


mean_squared_error = mse = MSE = METRICS.add("mse")(losses.mean_squared_error)
mean_absolute_error = mae = MAE = METRICS.add("mae")(losses.mean_absolute_error)
binary_crossentropy = METRICS.add()(losses.binary_crossentropy)
categorical_crossentropy = METRICS.add()(losses.categorical_crossentropy)
sparse_categorical_crossentropy = METRICS.add()(losses.sparse_categorical_crossentropy)

# what 'accuracy' and 'crossentropy' mean: for two classes, class numbers, and one-hot targets
_BY_TARGETS: dict[str, tuple[Metric, Metric, Metric]] = {
    "acc": (binary_accuracy, sparse_categorical_accuracy, categorical_accuracy),
    "ce": (binary_crossentropy, sparse_categorical_crossentropy, categorical_crossentropy),
}
_SHORT = {"accuracy": "acc", "acc": "acc", "crossentropy": "ce", "ce": "ce"}


def resolve(identifier: Any, output_shape: KerasShape, loss: Any) -> tuple[str, Metric]:
    """(name, function) of a metric of an output; 'accuracy' and 'crossentropy' by the output's shape and its loss."""
    short = _SHORT.get(identifier.lower()) if isinstance(identifier, str) else None
    if short is None:
        found = get(identifier)
        name: str = getattr(found, "name", "") or getattr(found, "__name__", type(found).__name__)
        return name, found
    binary, sparse, categorical = _BY_TARGETS[short]
    if output_shape[-1] == 1 or loss is losses.binary_crossentropy:
        return short, binary
    return short, sparse if loss is losses.sparse_categorical_crossentropy else categorical


def get(identifier: Any) -> Any:
    """The metric for a name or function.  Raises GraphError that lists the known names."""
    return METRICS.get(identifier)


def serialize(metric: Any) -> str:
    name: str = metric.__name__
    return name


def deserialize(name: Any) -> Any:
    return get(name)
