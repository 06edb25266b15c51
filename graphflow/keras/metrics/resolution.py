"""Metrics by name; what 'accuracy' and 'crossentropy' mean for an output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphflow.graph.variable import Variable
from graphflow.keras import losses
from graphflow.keras.custom_objects import custom_object_scope
from graphflow.keras.lookup import Table, as_data
from graphflow.keras.metrics import functions
from graphflow.keras.metrics.functions import METRICS
from graphflow.keras.structure import KerasShape

METRIC_CLASSES = Table("metric", makes=True)
Formula = Callable[[Variable, Variable], Variable]

# what 'accuracy' and 'crossentropy' mean: for two classes, class numbers, and one-hot targets
_BY_TARGETS: dict[str, tuple[Formula, Formula, Formula]] = {
    "acc": (functions.binary_accuracy, functions.sparse_categorical_accuracy, functions.categorical_accuracy),
    "ce": (losses.binary_crossentropy, losses.sparse_categorical_crossentropy, losses.categorical_crossentropy),
}
_SHORT = {"accuracy": "acc", "acc": "acc", "crossentropy": "ce", "ce": "ce"}


def resolve(identifier: Any, output_shape: KerasShape, loss: Any) -> tuple[str, Any]:
    """(name, function or object) of a metric of an output; 'accuracy' and 'crossentropy' by the output's shape and its loss."""
    short = _SHORT.get(identifier.lower()) if isinstance(identifier, str) else None
    if short is None:
        found = get(identifier)
        name: str = getattr(found, "name", "") or getattr(found, "__name__", type(found).__name__)
        return name, found
    binary, sparse, categorical = _BY_TARGETS[short]
    of_loss = losses.formula(loss)
    if output_shape[-1] == 1 or of_loss is losses.binary_crossentropy:
        return short, binary
    return short, sparse if of_loss is losses.sparse_categorical_crossentropy else categorical


def get(identifier: Any) -> Any:
    """The metric for a name, {'class_name', 'config'}, class, function or object; None for None.

    A class's own name gives an object ('AUC'), any other name a function ('mse').  Raises GraphError that
    lists the known names.
    """
    if isinstance(identifier, Mapping) or identifier in list(METRIC_CLASSES) or (identifier not in METRICS and identifier in METRIC_CLASSES):
        return METRIC_CLASSES.get(identifier)
    return METRICS.get(identifier)


def serialize(metric: Any) -> Any:
    """A function's name; {'class_name', 'config'} of an object."""
    return as_data(metric)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The metric for what `serialize` gives; `custom_objects` come first."""
    with custom_object_scope(custom_objects or {}):
        return get(config)


def clone_metric(metric: Any) -> Any:
    """Another metric with the same arguments; a function is its own."""
    return type(metric).from_config(metric.get_config()) if hasattr(metric, "get_config") else metric


def clone_metrics(metrics: Sequence[Any]) -> list[Any]:
    return [clone_metric(metric) for metric in metrics]
