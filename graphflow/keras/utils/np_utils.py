"""Labels as arrays, and vectors of length one."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array
from graphflow.keras.arguments import no_more, with_new_names

__all__ = [
    "categorical_probas_to_classes", "normalize", "pack_x_y_sample_weight", "probas_to_classes", "to_categorical", "unpack_x_y_sample_weight",
]  # fmt: skip


def to_categorical(y: Any, num_classes: int | None = None, dtype: Any = "float32", **renamed: Any) -> Array:
    """Class numbers as one-hot vectors along a new last axis (a last axis of size 1 is dropped first).

    `num_classes`: the largest label + 1 by default.  Raises GraphError for a label outside 0 .. num_classes - 1.
    """
    arguments = with_new_names("to_categorical", renamed)
    num_classes = arguments.pop("num_classes", num_classes)
    no_more("to_categorical", arguments)
    labels = np.asarray(y).astype(np.int64)
    shape = labels.shape[:-1] if labels.ndim > 1 and labels.shape[-1] == 1 else labels.shape
    labels = labels.reshape(-1)
    classes = int(num_classes or (labels.max(initial=-1) + 1))
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise GraphError(
            f"to_categorical: labels reach from {labels.min()} to {labels.max()}, and there are {classes} classes",
            hint="classes are numbered from 0",
        )
    made = np.zeros((labels.size, classes), dtype)
    made[np.arange(labels.size), labels] = 1
    return made.reshape(*shape, classes)


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """What a generator gives for data with and without targets and weights: x, (x, y) or (x, y, sample_weight)."""
    if y is None:
        return (x,) if isinstance(x, list | tuple) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) of what a generator gives, None for what is missing."""
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise GraphError(f"a batch of {len(data)} parts", hint="it is x, (x, y) or (x, y, sample_weight)")
    x, y, sample_weight = (*data, None, None)[:3]
    return x, y, sample_weight


def normalize(x: Any, axis: int = -1, order: int = 2) -> Array:
    """x divided by its norms of this order along an axis; vectors of zeros stay."""
    norms = np.atleast_1d(np.linalg.norm(x, order, axis))
    norms[norms == 0] = 1
    divided: Array = np.asarray(x) / np.expand_dims(norms, axis)
    return divided


def probas_to_classes(y_pred: Any) -> Array:
    """Probabilities as class numbers: the largest of several, and whether a single one is above 1/2."""
    y_pred = np.asarray(y_pred)
    if y_pred.ndim > 1 and y_pred.shape[1] > 1:
        return categorical_probas_to_classes(y_pred)
    likely: Array = (y_pred.reshape(-1) > 0.5).astype(np.int64)
    return likely


def categorical_probas_to_classes(p: Any) -> Array:
    """The number of the largest in each row."""
    largest: Array = np.argmax(np.asarray(p), axis=1)
    return largest
