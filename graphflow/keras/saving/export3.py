"""Configurations as archives of Keras 3 have them: modules, registrations, and tensors as arguments of calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphflow.keras.engine.network_config import calls_of_its_own
from graphflow.keras.saving.classes import class_of, is_built_in
from graphflow.keras.saving.configs import model_data
from graphflow.keras.saving.keras3 import TENSOR
from graphflow.keras.saving.training_config import training_config
from graphflow.keras.structure import int_shape

Config = dict[str, Any]
MODULES = {"Model": "keras.src.models.functional", "Sequential": "keras"}

# arguments that Keras 3 refuses, by class ("" for all); they are kept where they say something
GONE = {
    "": ("batch_input_shape", "input_dtype", "build_input_shape", "implementation", "time_major", "input_shape", "weights"),
    "Embedding": ("input_length", "activity_regularizer"),
    "BatchNormalization": ("fused", "virtual_batch_size", "adjustment"),
}
RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}
# what an object is called in Keras 3, for names that changed
CALLED = {"Model": "Functional"}


def archived(model: Any, include_optimizer: bool) -> Config:
    """config.json of a model."""
    data = _layer(model_data(model, "3"), model)
    data["build_config"] = {"input_shape": None}
    if include_optimizer and model.optimizer is not None:
        told = training_config(model, "3")
        optimizer = told.pop("optimizer_config")
        if len(model.outputs) > 1 and isinstance(told["loss"], str):
            told["loss"] = [told["loss"]] * len(model.outputs)
        data["compile_config"] = {"optimizer": _object(optimizer, "keras.optimizers"), **{k: v for k, v in told.items() if k != "sample_weight_mode"}}
    return data


def _layer(data: Mapping[str, Any], layer: Any) -> Config:
    name, config = data["class_name"], data["config"]
    built_in = is_built_in(type(layer)) or (layer is None and class_of(name, {}) is not None)
    if "layers" in config:
        made = _network(config, layer)
    else:
        renamed = RENAMED.get(name, {})
        made = {renamed.get(key, key): _value(part, getattr(layer, key, None)) for key, part in config.items() if key not in (*GONE[""], *GONE.get(name, ())) or not built_in}
        if name == "InputLayer":
            made = {"batch_shape": config["batch_input_shape"], "dtype": config["dtype"], "sparse": False, "name": config["name"]}
    own = {"module": MODULES.get(name, "keras.layers"), "registered_name": None} if built_in else {"module": type(layer).__module__, "registered_name": name}
    return {"class_name": CALLED.get(name, name) if built_in else name.rsplit(">", 1)[-1], "config": made, **own}


def _value(value: Any, held: Any) -> Any:
    """An argument, and the object it describes: objects get their module."""
    if isinstance(value, list):
        parts = held if isinstance(held, list | tuple) and len(held) == len(value) else [None] * len(value)
        return [_value(part, own) for part, own in zip(value, parts, strict=True)]
    if not isinstance(value, Mapping):
        return value
    if "class_name" not in value:
        return {key: _value(part, None) for key, part in value.items()}
    if class_of(value["class_name"], {}) is not None:
        return _layer(value, held)
    return _object(value, "keras")


def _object(value: Mapping[str, Any], module: str) -> Config:
    return {"module": module, "class_name": value["class_name"], "config": _value(value["config"], None), "registered_name": None}


# --- models --------------------------------------------------------------------------------------
def _network(config: Mapping[str, Any], model: Any) -> Config:
    if "input_layers" not in config:
        inside = [None] * (len(config["layers"]) - len(model.layers)) + list(model.layers)  # an InputLayer may come first
        made = [_layer(data, layer) for data, layer in zip(config["layers"], inside, strict=True)]
        return {"name": config["name"], "trainable": True, "layers": made}
    calls = _Calls(model)
    layers = []
    for data in config["layers"]:
        nodes = [calls.node(node) for node in data["inbound_nodes"]]
        layers.append({**_layer(data, calls.layers[data["name"]]), "name": data["name"], "inbound_nodes": nodes})
    ends = {key: [calls.place(place) for place in config[key]] for key in ("input_layers", "output_layers")}
    return {"name": config["name"], "trainable": True, "layers": layers, **ends}


class _Calls:
    """The calls of layers in a model, by the places [layer, call, result] that its configuration has."""

    def __init__(self, model: Any) -> None:
        inside = set(model._layer_graph.nodes)
        self.layers = {layer.name: layer for layer in model.layers}
        self.nodes = {name: [node for node in layer._inbound_nodes if node in inside] for name, layer in self.layers.items()}

    def place(self, place: Any) -> list[Any]:
        """Keras 3 numbers the calls of models from 0, as those of layers."""
        return [place[0], place[1] - calls_of_its_own(self.layers[place[0]]), place[2]]

    def node(self, places: Any) -> Config:
        tensors = [self._tensor(place) for place in places]
        arguments = places[0][3] if len(places[0]) > 3 else {}
        return {"args": [tensors[0] if len(tensors) == 1 else tensors], "kwargs": {name: self._argument(part) for name, part in arguments.items()}}

    def _argument(self, value: Any) -> Any:
        if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str) and value[0] in self.layers:
            return self._tensor(value)
        return [self._argument(part) for part in value] if isinstance(value, list) else value

    def _tensor(self, place: Any) -> Config:
        name, call, result = self.place(place)
        v = self.nodes[name][call].outputs[result]
        return {"class_name": TENSOR, "config": {"shape": list(int_shape(v)), "dtype": v.dtype.name, "keras_history": [name, call, result]}}
