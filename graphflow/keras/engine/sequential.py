"""Sequential: layers one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array
from graphflow.graph.variable import Variable
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_layer import Input, InputLayer
from graphflow.keras.engine.network import Network
from graphflow.keras.engine.node import history
from graphflow.keras.engine.registry import deserialize
from graphflow.keras.engine.training import Model
from graphflow.keras.lookup import as_data
from graphflow.keras.structure import as_list, int_shape, unwrapped


class Sequential(Model):
    """A stack of layers.

    It is connected as soon as the shape of its input is known: from an `Input`, from the first layer's
    `input_shape`, by `build`, or from the first data.
    """

    def __init__(self, layers: Sequence[Any] | None = None, name: str | None = None) -> None:
        self._stack: list[Layer] = []
        super().__init__(name=name)
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Any) -> None:
        """Put a layer on top.  Raises GraphError for what is no layer, or a layer with several outputs."""
        layer = _as_layer(layer)
        if isinstance(layer, InputLayer):
            if self._stack or self.connected:
                raise GraphError("an Input comes first", hint="add it before all layers")
            self._set_ends([layer.output], layer.output)
            return
        branches = getattr(layer, "branches", None)
        if not self._stack and branches:  # a Merge of Keras 1: the inputs are those of the models it joins
            self._set_ends([v for branch in branches for v in as_list(branch.input)], _single(layer([branch.output for branch in branches]), layer))
        else:
            if not self._stack and not self.connected:
                self._begin(layer)
            if self.connected:
                self._set_ends(self.inputs, _single(layer(self.outputs[0]), layer))
        self._stack.append(layer)

    def _begin(self, first: Layer) -> None:
        """Make the input if the first layer says what it takes."""
        shape, dtype = _input_of(first)
        if shape is not None:
            x = Input(batch_shape=shape, dtype=dtype, name=f"{first.name}_input")
            self._set_ends([x], x)

    def _set_ends(self, inputs: Sequence[Variable], last: Variable) -> None:
        self._forget_functions()
        if last in inputs:
            self.inputs, self.outputs = list(inputs), [last]
        else:
            self._connect(inputs, [last])

    def build(self, input_shape: Any = None) -> None:
        """Connect the layers to an input of this shape (with the batch axis)."""
        if input_shape is None or self.connected:
            self._require_connection()
        else:
            self._connect_to([input_shape])
        self.built = True

    def _connect_to(self, shapes: Sequence[Sequence[int | None]]) -> None:
        if len(shapes) != 1 or not self._stack:
            raise GraphError(f"{self.name} takes one input" if self._stack else f"{self.name} has no layers")
        first = last = Input(batch_shape=(None, *shapes[0][1:]), name=f"{self._stack[0].name}_input")
        for layer in self._stack:
            last = _single(layer(last), layer)
        self._set_ends([first], last)

    def pop(self) -> None:
        """Take the last layer away.  Raises GraphError if there is none."""
        if not self._stack:
            raise GraphError("there is no layer to remove")
        self._stack.pop()
        if self.connected:
            found = history(self.outputs[0])
            assert found is not None
            self._set_ends(self.inputs, found.node.inputs[0])

    @property
    def layers(self) -> list[Layer]:
        return list(self._stack)

    def call(self, inputs: Any, training: Any = None, **kwargs: Any) -> Any:
        """The layers on another Variable."""
        if self.connected and len(self.inputs) > 1:
            return super().call(inputs, training, **kwargs)
        for layer in self._stack:
            inputs = unwrapped(layer._run(inputs, {}))
        return inputs

    def get_config(self) -> dict[str, Any]:
        """The layers as data, and the shape of the input if the first layer does not say it."""
        config: dict[str, Any] = {"name": self.name, "layers": [as_data(layer) for layer in self._stack]}
        if self.connected and getattr(self._stack[0] if self._stack else None, "batch_input_shape", None) is None:
            config["build_input_shape"] = int_shape(self.inputs[0])
        return config

    @classmethod
    def from_config(cls, config: Any, custom_objects: Any = None) -> Any:
        """A model with fresh weights; a configuration may also be the list of layers alone, as Keras 1 has it."""
        layers, more = (config["layers"], config) if isinstance(config, Mapping) else (config, {})
        model = cls(name=more.get("name"))
        for data in layers:
            model.add(deserialize(data, custom_objects))
        if not model.connected and more.get("build_input_shape"):
            model.build(tuple(more["build_input_shape"]))
        return model

    def predict_proba(self, x: Any, batch_size: int | None = None, verbose: int = 0) -> Array:
        """What `predict` gives, for models whose outputs are probabilities."""
        result: Array = self.predict(x, batch_size, verbose)
        return result

    def predict_classes(self, x: Any, batch_size: int | None = None, verbose: int = 0) -> Array:
        """The class of each sample: the largest of several outputs, or whether a single one is above 0.5."""
        p = self.predict(x, batch_size, verbose)
        classes: Array = p.argmax(axis=-1) if p.shape[-1] > 1 else (p > 0.5).astype(np.int32)
        return classes


def _as_layer(layer: Any) -> Layer:
    if isinstance(layer, Variable) and (found := history(layer)) is not None and isinstance(found.node.layer, InputLayer):
        return found.node.layer
    if not isinstance(layer, Layer):
        raise GraphError(f"add takes a layer, not {layer!r:.60}", hint="e.g. model.add(Dense(10))")
    return layer


def _input_of(layer: Layer) -> tuple[Any, Any]:
    """(shape with the batch axis, dtype) of what a first layer takes; shape None if it does not say."""
    if isinstance(layer, Network) and layer.connected:
        return [n if isinstance(n, int) else None for n in layer.inputs[0].shape], layer.inputs[0].dtype
    return getattr(layer, "batch_input_shape", None), layer.dtype


def _single(result: Any, layer: Layer) -> Variable:
    if not isinstance(result, Variable):
        raise GraphError(f"{layer.name} has several outputs, and a Sequential takes one", hint="use Model(inputs, outputs)")
    return result
