"""Optimizers: updates of weights from gradients; schedules of learning rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.keras import generation
from graphflow.keras.custom_objects import custom_object_scope
from graphflow.keras.lookup import as_data
from graphflow.keras.optimizers import legacy, schedules
from graphflow.keras.optimizers.algorithms import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lamb,
    Lion,
    Nadam,
    RMSprop,
    adadelta,
    adagrad,
    adam,
    adamax,
    nadam,
    rmsprop,
    sgd,
)
from graphflow.keras.optimizers.base import OPTIMIZERS, Updates, clip_norm
from graphflow.keras.optimizers.custom import Optimizer

__all__ = [
    "OPTIMIZERS", "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "Nadam", "Optimizer",
    "RMSprop", "Updates", "adadelta", "adagrad", "adam", "adamax", "clip_norm", "deserialize", "get", "legacy", "nadam", "optimizer_from_config", "rmsprop",
    "schedules", "serialize", "sgd",
]  # fmt: skip


def get(identifier: Any) -> Any:
    """The optimizer for a name, {'class_name', 'config'} or object.  Raises GraphError that lists the known names."""
    found = OPTIMIZERS.get(identifier)
    if not hasattr(found, "get_updates"):
        raise GraphError(f"{identifier!r:.60} is not an optimizer", hint=f"known: {', '.join(OPTIMIZERS)}")
    return found


def serialize(optimizer: Any) -> Any:
    """The optimizer as data: its class and arguments."""
    return as_data(optimizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The optimizer for what `serialize` gives; `custom_objects` come first.

    A class of Keras's own is then called by small letters in `config`, as Keras 2 leaves it, and its tests expect.
    """
    with custom_object_scope(custom_objects or {}):
        found = get(config)
    if isinstance(config, dict) and type(found).__name__ in OPTIMIZERS and generation.current() != "3":
        config["class_name"] = config["class_name"].lower()
    return found


optimizer_from_config = deserialize
