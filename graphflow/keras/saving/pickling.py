"""Models as data for pickle and copy: configuration, weights and the state of training, and the user's own classes by reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphflow.graph.op import Array
from graphflow.graph.variable import Shared
from graphflow.keras.custom_objects import CustomObjectScope, get_registered_name
from graphflow.keras.engine.registry import deserialize
from graphflow.keras.lookup import as_data
from graphflow.keras.saving.classes import is_built_in
from graphflow.keras.saving.optimizer_state import make_state


@dataclass(frozen=True)
class Training:
    """The arguments of `compile`, and the optimizer's state."""

    optimizer: Any
    arguments: dict[str, Any]
    state: list[Array]


def reduced(model: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """What `__reduce__` of a model gives.  Raises GraphError for a subclass whose connections are code."""
    training = None
    if model.optimizer is not None:
        terms = {name: _portable(getattr(model, name)) for name in ("loss", "metrics", "loss_weights", "weighted_metrics", "sample_weight_mode")}
        training = Training(as_data(model.optimizer), terms, model.optimizer.get_weights())
    return restored, (as_data(model), own_objects(model), model.get_weights() if model.built else None, training)


def restored(data: Mapping[str, Any], own: Mapping[str, Any], weights: list[Array] | None, training: Training | None) -> Any:
    """The model that `reduced` described."""
    with CustomObjectScope(own):
        model = deserialize(data)
        if weights is not None:
            model.set_weights(weights)
        if training is not None:
            model.compile(training.optimizer, **training.arguments)
            _take_state(model, training.state)
    return model


def _take_state(model: Any, state: list[Array]) -> None:
    if len(state) > len(model.optimizer.weights):
        make_state(model)
    model.optimizer.set_weights(state)


def own_objects(model: Any) -> dict[str, Any]:
    """The user's classes among a model's parts, and the functions of its Lambda layers, by the names that configurations have."""
    found: dict[str, Any] = {}
    for part in model._all_parts():
        if not is_built_in(type(part)):
            found[get_registered_name(type(part))] = type(part)
        for name, value in vars(part).items():
            if callable(value) and not isinstance(value, Shared):
                kind = value if hasattr(value, "__name__") else type(value)
                if name == "function":
                    found[part.name] = value
                elif not kind.__module__.startswith("graphflow."):
                    found[kind.__name__] = kind
    return found


def _portable(terms: Any) -> Any:
    """Losses and metrics: functions stay, objects become data."""
    if isinstance(terms, Mapping):
        return {name: _portable(term) for name, term in terms.items()}
    if isinstance(terms, list | tuple):
        return [_portable(term) for term in terms]
    return as_data(terms) if hasattr(terms, "get_config") else terms
