"""Labels as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array
from graphflow.keras.arguments import no_more, with_new_names

__all__ = ["to_categorical"]


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
