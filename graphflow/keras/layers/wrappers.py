"""Layers around a layer."""

from __future__ import annotations

from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.calling import takes
from graphflow.keras.engine.masks import give_masks, mask_of
from graphflow.keras.engine.registry import deserialize
from graphflow.keras.structure import unwrapped
from graphflow.ops.reduction import any_
from graphflow.ops.shape import reshape

__all__ = ["TimeDistributed", "Wrapper"]


class Wrapper(Layer):
    """A layer that holds another, `layer`."""

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(layer, Layer):
            raise GraphError(f"{type(self).__name__} takes a layer, not {layer!r:.60}", hint="e.g. TimeDistributed(Dense(8))")
        self.layer = layer
        self.trainable = self._trainable and layer.trainable

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    @property
    def trainable(self) -> bool:
        """That of the layer inside."""
        inside: Layer | None = self.__dict__.get("layer")
        return self._trainable if inside is None else inside.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        if "layer" in self.__dict__:
            self.layer.trainable = value

    @property
    def activity_regularizer(self) -> Any:
        return None  # the layer inside adds its own

    @activity_regularizer.setter
    def activity_regularizer(self, value: Any) -> None:
        if value is not None:
            raise GraphError(f"{type(self).__name__} takes no activity_regularizer", hint="give it to the layer inside")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": {"class_name": type(self.layer).__name__, "config": self.layer.get_config()}}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        return cls(**{**config, "layer": deserialize(config["layer"], custom_objects)})


@recorded
class TimeDistributed(Wrapper):
    """The layer on each step of (n, steps, ...): samples and steps become one axis for it."""

    supports_masking = True

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)

    def build(self, input_shape: Any = None) -> None:
        if len(input_shape) < 3:
            raise GraphError(f"`TimeDistributed` Layer should be passed an `input_shape` with at least 3 dimensions, received: {list(input_shape)}")
        self.built = True

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        n, steps = inputs.shape[:2]
        together = reshape(inputs, (n * steps, *inputs.shape[2:]))
        if mask is not None and mask.ndim > 2:
            give_masks([together], reshape(mask, (n * steps, *mask.shape[2:])))
        results = self.layer._run(together, {"training": training} if training is not None and takes(self.layer, "training") else {})
        return unwrapped([self._by_step(v, n, steps) for v in results])

    def _by_step(self, v: Variable, n: Any, steps: Any) -> Variable:
        made = reshape(v, (n, steps, *v.shape[1:]))
        inner = mask_of(v)
        if inner is not None:
            give_masks([made], reshape(inner, (n, steps, *inner.shape[1:])))
        return made

    def compute_output_shape(self, input_shape: Any) -> Any:
        inner = self.layer.compute_output_shape((input_shape[0], *input_shape[2:]))
        return (inner[0], input_shape[1], *inner[1:])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask that the layer gives steps, or else which steps have anything that counts."""
        n, steps = inputs.shape[:2]
        inner = reshape(mask, (n * steps, *mask.shape[2:])) if mask is not None and mask.ndim > 2 else None
        made = self.layer.compute_mask(reshape(inputs, (n * steps, *inputs.shape[2:])), inner)
        if made is not None:
            return reshape(made, (n, steps, *made.shape[1:]))
        return any_(mask, axis=tuple(range(2, mask.ndim))) if mask is not None and mask.ndim > 2 else mask
