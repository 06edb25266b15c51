"""Moments of optimizers from files whose weights are stored otherwise than ours: they are changed as the weights are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.op import Array
from graphflow.keras.saving.checked import Group
from graphflow.keras.saving.conversion import Origin, converted


def as_weights(arrays: Sequence[Array], model: Any, weights: Group, origin: Origin) -> list[Array]:
    """The state of an optimizer in the order and the shapes of the model's weights.

    `arrays`: counters, then one kind of moments after the other; in Keras 1 each is sorted by the weights' names.
    """
    layers = [layer for layer in model.layers if layer.weights]
    stored = [names for name in weights.texts("layer_names") or () if (names := weights.group(name).texts("weight_names"))]
    groups = [weights.group(name) for name in weights.texts("layer_names") or () if weights.group(name).texts("weight_names")]
    trained = [names[: len(names) - len(layer.non_trainable_weights)] for layer, names in zip(layers, stored, strict=True)]
    order = [(number, name) for number, names in enumerate(trained) for name in names]
    if origin.generation == "1":
        order.sort(key=lambda place: place[1])
    counters, moments = [a for a in arrays if not a.ndim], [a for a in arrays if a.ndim]
    found = list(counters)
    while order and len(moments) >= len(order):
        kind, moments = dict(zip(order, moments, strict=False)), moments[len(order) :]
        for number, layer in enumerate(layers):
            kept = [np.zeros_like(groups[number].array(name)) for name in stored[number][len(trained[number]) :]]
            own = [kind[number, name] for name in trained[number]]
            found += converted(layer, [*own, *kept], origin)[: len(layer.trainable_weights)] if own else []
    return [*found, *moments]
