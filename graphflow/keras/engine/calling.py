"""The call of a layer's formula in a phase."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from graphflow.keras import generation, phase
from graphflow.keras.engine.masks import give_masks, mask_of
from graphflow.keras.structure import as_list, unwrapped

if TYPE_CHECKING:
    from graphflow.keras.engine.base_layer import Layer

PACKAGE = "graphflow."


def called(layer: Layer, given: Any, arguments: dict[str, Any]) -> Any:
    """What `layer.call` gives.  An argument `training` holds for layers inside as well.

    From tf.keras on, a user's `call(x, training)` is told the phase as True or False, so that it may ask
    `if training:`.  It is called for either, and what it gives is chosen when the phase is known.
    """
    training = arguments.get("training")
    if training is not None or not _asks(layer):
        with phase.decided(training):
            return layer.call(given, **arguments)
    now = phase.decision()
    if now is not None:
        return layer.call(given, **{**arguments, "training": now})
    with phase.decided(True):
        trained = as_list(layer.call(given, **{**arguments, "training": True}))
    kept = [(part, len(part._own_losses), len(part._own_updates), len(part._own_metrics)) for part in layer._all_parts()]
    with phase.decided(False):
        tested = as_list(layer.call(given, **{**arguments, "training": False}))
    for part, losses, updates, metrics in kept:  # what training added says it all
        del part._own_losses[losses:], part._own_updates[updates:], part._own_metrics[metrics:]
    results = [x if x is y else phase.in_train_phase(x, y) for x, y in zip(trained, tested, strict=True)]
    give_masks(results, [mask_of(v) for v in tested])
    return unwrapped(results)


def takes(layer: Layer, argument: str) -> bool:
    """Whether the layer's `call` has an argument of this name."""
    return takes_argument(layer.call, argument)


def takes_argument(function: Callable[..., Any], argument: str) -> bool:
    """Whether a function has an argument of this name; False for functions that do not show theirs."""
    try:
        return argument in inspect.signature(function).parameters
    except ValueError:
        return False


def _asks(layer: Layer) -> bool:
    own = type(layer).__module__.startswith(PACKAGE)
    return not own and generation.resolve("layers are told the phase") and takes(layer, "training")
