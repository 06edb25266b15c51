"""A recurrent layer over a sequence in both directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.keras import generation
from graphflow.keras.arguments import recorded
from graphflow.keras.custom_objects import CustomObjectScope
from graphflow.keras.engine.calling import takes
from graphflow.keras.engine.masks import give_masks, mask_of
from graphflow.keras.engine.registry import deserialize, serialize
from graphflow.keras.layers.wrappers import Wrapper
from graphflow.keras.structure import as_list, unwrapped
from graphflow.ops.elementwise import add, divide, multiply
from graphflow.ops.joining import concatenate
from graphflow.ops.slicing import flip

MERGES: dict[str | None, Callable[[Any, Any], Any]] = {
    "concat": lambda a, b: concatenate([a, b], axis=-1),
    "sum": add,
    "ave": lambda a, b: divide(add(a, b), 2),
    "mul": multiply,
}
IN_COMMON = ("stateful", "return_sequences", "return_state")


@recorded
class Bidirectional(Wrapper):
    """The layer forwards, and a twin of it backwards, whose outputs are in the order of the sequence again.

    `merge_mode`: 'concat', 'sum', 'ave', 'mul', or None for a list of both.  `backward_layer`: another layer in place
    of the twin.  A call takes `initial_state`, the forward layer's first, and `constants` for both.
    """

    supports_masking = True

    def __init__(self, layer: Any, merge_mode: str | None = "concat", weights: Any = None, backward_layer: Any = None, **kwargs: Any) -> None:
        if merge_mode is not None and merge_mode not in MERGES:
            raise GraphError(f'Invalid merge mode. Merge mode should be one of {{"sum", "mul", "ave", "concat", None}}, and {merge_mode!r} came')
        super().__init__(layer, **kwargs)
        self.forward_layer = _twin(layer, f"forward_{layer.name}", layer.go_backwards)
        self.backward_layer = backward_layer or _twin(layer, f"backward_{layer.name}", not layer.go_backwards)
        self.merge_mode, self._num_constants = merge_mode, 0
        self._check_twins()
        self.return_sequences, self.return_state, self.stateful = layer.return_sequences, layer.return_state, layer.stateful
        if generation.resolve("Bidirectional gives zeros at masked steps"):
            for part in self._parts():
                part.zero_output_for_mask = self.return_sequences
        if weights is not None:
            half = len(weights) // 2
            self.forward_layer._first_values, self.backward_layer._first_values = weights[:half], weights[half:]

    def _check_twins(self) -> None:
        forward, backward = self._parts()
        if forward.go_backwards == backward.go_backwards:
            raise GraphError(
                "Forward layer and backward layer should have different `go_backwards` value. "
                f"forward_layer.go_backwards = {forward.go_backwards}, backward_layer.go_backwards = {backward.go_backwards}"
            )
        for name in IN_COMMON:
            one, other = getattr(forward, name), getattr(backward, name)
            if one != other:
                raise GraphError(
                    "Forward layer and backward layer are expected to have the same value for attribute "
                    f'"{name}", got "{one}" for forward layer and "{other}" for backward layer'
                )

    def _parts(self) -> Any:
        return [self.forward_layer, self.backward_layer]

    # --- calls ------------------------------------------------------------------------------------
    def __call__(self, inputs: Any, initial_state: Any = None, constants: Any = None, **kwargs: Any) -> Any:
        given = as_list(inputs)
        if initial_state is not None:
            if len(as_list(initial_state)) % 2:
                raise ShapeError(
                    "When passing `initial_state` to a Bidirectional RNN, the state should be a list containing the states of "
                    f"the underlying RNNs. Found: {initial_state!r:.200}"
                )
            given = [*given[:1], *as_list(initial_state), *given[1:]]
        if constants is not None:
            self._num_constants = len(as_list(constants))
            given = [*given, *as_list(constants)]
        return super().__call__(unwrapped(given), **kwargs)

    def build(self, input_shape: Any = None) -> None:
        self.built = True  # the layers inside are built when they run

    def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        x, *further = as_list(inputs)
        half = (len(further) - self._num_constants) // 2
        states, constants = [further[:half], further[half : 2 * half]], further[2 * half :]
        made = []
        for layer, initial in zip(self._parts(), states, strict=True):
            layer._num_constants = len(constants)
            arguments = {"mask": mask[0] if isinstance(mask, list | tuple) else mask, "training": training}
            given = {name: value for name, value in arguments.items() if value is not None and takes(layer, name)}
            made.append(layer._run(unwrapped([x, *initial, *constants]), given))
        (forward, *forward_states), (backward, *backward_states) = made
        if self.return_sequences:
            kept = mask_of(backward)
            backward = flip(backward, 1)
            give_masks([backward], kept)
        merged = [forward, backward] if self.merge_mode is None else [MERGES[self.merge_mode](forward, backward)]
        return unwrapped([*merged, *forward_states, *backward_states])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        own = mask[0] if isinstance(mask, list | tuple) else mask
        outputs = [own if self.return_sequences else None] * (2 if self.merge_mode is None else 1)
        states = [None] * (2 * len(as_list(self.forward_layer.cell.state_size))) if self.return_state else []
        return unwrapped([*outputs, *states])

    def compute_output_shape(self, input_shape: Any) -> Any:
        forward, backward = (layer.compute_output_shape(input_shape) for layer in self._parts())
        (one, *states), (other, *further) = (forward, backward) if self.return_state else ([forward], [backward])
        merged = [one, other] if self.merge_mode is None else [(*one[:-1], one[-1] + other[-1]) if self.merge_mode == "concat" else one]
        return unwrapped([*merged, *states, *further])

    # --- states -----------------------------------------------------------------------------------
    def reset_states(self) -> None:
        """Zeros in place of what a stateful layer has kept."""
        for layer in self._parts():
            layer.reset_states()

    # --- configuration ------------------------------------------------------------------------------
    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("weights", None)
        if config.get("backward_layer") is None:
            config.pop("backward_layer", None)
        else:
            config["backward_layer"] = serialize(self.backward_layer)
        return {**config, "num_constants": self._num_constants} if self._num_constants else config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        made = {**config, "layer": deserialize(config["layer"], custom_objects)}
        constants = made.pop("num_constants", 0)
        if config.get("backward_layer"):
            made["backward_layer"] = deserialize(config["backward_layer"], custom_objects)
        wrapper = cls(**made)
        wrapper._num_constants = constants or 0
        return wrapper


def _twin(layer: Any, name: str, go_backwards: bool) -> Any:
    """A layer of the same configuration, with weights of its own, whose cells may be the user's."""
    config = {**layer.get_config(), "name": name, "go_backwards": go_backwards}
    cell = getattr(layer, "cell", None)
    with CustomObjectScope({type(part).__name__: type(part) for part in [cell, *getattr(cell, "cells", [])]}):
        return type(layer).from_config(config)
