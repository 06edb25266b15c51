"""The same layers again, with fresh weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.keras.custom_objects import CustomObjectScope
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_layer import Input, InputLayer
from graphflow.keras.engine.network_config import connected, graph_config
from graphflow.keras.engine.node import history
from graphflow.keras.engine.registry import deserialize
from graphflow.keras.engine.sequential import Sequential
from graphflow.keras.lookup import as_data
from graphflow.keras.saving.pickling import own_objects
from graphflow.keras.structure import as_list, int_shape, unwrapped


def clone_model(model: Any, input_tensors: Any = None, clone_function: Callable[[Layer], Layer] | None = None) -> Any:
    """A model of the same layers with weights of its own.

    `input_tensors`: placeholders to take as its inputs.  `clone_function`: gives the new layer for each layer that
    is not an input.  Raises GraphError for what is no model, and for a subclass whose connections are code.
    """
    if not isinstance(model, Layer) or not hasattr(model, "layers"):
        raise GraphError(f"clone_model takes a model, not {model!r:.60}")
    inputs = [_input_layer(x) for x in as_list(input_tensors)]
    with CustomObjectScope(own_objects(model)):
        if isinstance(model, Sequential):
            return _stack(model, inputs, clone_function)
        if "_layer_graph" not in model.__dict__:
            return type(model).from_config(model.get_config())
        return _graph(model, inputs, clone_function)


def _input_layer(x: Any) -> InputLayer:
    found = history(x)
    layer = found.node.layer if found is not None else None
    if not isinstance(layer, InputLayer):
        layer = history(Input(tensor=x)).node.layer  # type: ignore[union-attr]
    assert isinstance(layer, InputLayer)
    return layer


def _stack(model: Sequential, inputs: Sequence[InputLayer], clone_function: Any) -> Any:
    if clone_function is None and not inputs:
        return type(model).from_config(model.get_config())
    made = type(model)(name=model.name)
    if inputs:
        made.add(inputs[0])
    elif model.connected:
        made.add(Input(batch_shape=int_shape(model.inputs[0]), dtype=model.inputs[0].dtype.name))
    for layer in model.layers:
        made.add(deserialize(as_data(layer)) if clone_function is None else clone_function(layer))
    return made


def _graph(model: Any, inputs: Sequence[InputLayer], clone_function: Any) -> Any:
    given = dict(zip(model.input_names, inputs, strict=True)) if inputs else {}

    def make(data: Mapping[str, Any]) -> Any:
        if data["name"] in given:
            return given[data["name"]]
        fresh = clone_function is None or data["class_name"] == "InputLayer"
        return deserialize(data) if fresh else clone_function(model.get_layer(data["name"]))

    first, last = connected(graph_config(model), make)
    return type(model)(inputs=unwrapped(first), outputs=unwrapped(last), name=model.name)
