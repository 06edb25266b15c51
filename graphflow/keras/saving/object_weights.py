"""Weights in HDF5 as Keras 3 lays them out: a group for each object, named by attributes and classes, with vars/0, vars/1 ..."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

from graphflow.graph.errors import ShapeError
from graphflow.graph.op import Array
from graphflow.graph.variable import Shared
from graphflow.keras import backend as K
from graphflow.keras.arguments import users_stacklevel
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.network import Network
from graphflow.keras.saving.checked import Group
from graphflow.keras.saving.optimizer_state import make_state, pack, unpack
from graphflow.keras.structure import int_shape

Place = tuple[str, Layer]
OWN_NAMES = {"Functional": "functional", "Model": "functional"}
SKIPPED = ("_tracked", "_inbound_nodes", "_stack", "_layer_graph")
WITH_CELLS = ("LSTM", "GRU", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")  # Keras 3 keeps their weights in `cell`


def objects(model: Network) -> Iterator[Place]:
    """(path, layer) of everything in a model that may have weights, once each."""
    yield from _inside("", model, set())


def _inside(path: str, layer: Layer, met: set[int]) -> Iterator[Place]:
    if id(layer) in met:
        return
    met.add(id(layer))
    celled = type(layer).__name__ in WITH_CELLS and _own_weights(layer)
    yield f"{path}/cell" if celled else path, layer
    if isinstance(layer, Network) and ("_layer_graph" in layer.__dict__ or "_stack" in layer.__dict__):
        yield from _listed(f"{path}/layers", layer.layers, met)
    for name, value in sorted(layer.__dict__.items()):
        inner = f"{path}/{name.lstrip('_')}"
        if name in SKIPPED:
            continue
        if isinstance(value, Layer):
            yield from _inside(inner, value, met)
        elif isinstance(value, list | tuple) and any(isinstance(part, Layer) for part in value):
            yield from _listed(inner, [part for part in value if isinstance(part, Layer)], met)


def _listed(path: str, layers: list[Layer], met: set[int]) -> Iterator[Place]:
    """Layers of a list, by class: dense, dense_1 ..."""
    used: dict[str, int] = {}
    for layer in layers:
        words = OWN_NAMES.get(type(layer).__name__) or _words(type(layer).__name__)
        number = used.get(words, 0)
        used[words] = number + 1
        yield from _inside(f"{path}/{words}_{number}" if number else f"{path}/{words}", layer, met)


def _words(name: str) -> str:
    """conv_lstm2d for ConvLSTM2D: unlike in names of layers, digits end no word."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def _own_weights(layer: Layer) -> list[Shared]:
    return list(dict.fromkeys([*layer._own_trainable, *layer._own_fixed]))


# --- writing -------------------------------------------------------------------------------------
def write_objects(file: Any, model: Network, include_optimizer: bool) -> None:
    """All weights, and the optimizer's state, into an h5py file."""
    for path, layer in objects(model):
        group = file.require_group(f"{path}/vars".lstrip("/"))
        group.attrs["name"] = layer.name
        for number, w in enumerate(_own_weights(layer)):
            group.create_dataset(str(number), data=K.get_value(w))
    optimizer = model.__dict__.get("optimizer")
    if include_optimizer and optimizer is not None:
        group = file.require_group("optimizer/vars")
        for number, (_, value) in enumerate(pack(optimizer, "3")):
            group.create_dataset(str(number), data=value)


# --- reading -------------------------------------------------------------------------------------
def is_object_layout(file: Group) -> bool:
    """Whether a file has this layout, and not that of Keras 2."""
    return file.texts("layer_names") is None and "model_weights" not in file and ("layers" in file or "_layer_checkpoint_dependencies" in file)


def read_objects(file: Group, model: Network, skip_mismatch: bool = False) -> None:
    """Give a model the weights of a file, all of them or none (with `skip_mismatch` those that fit).

    Raises ShapeError for weights that do not fit, ModelFileError for a damaged file.
    """
    pairs: list[tuple[Shared, Array]] = []
    top = "layers" if "layers" in file else "_layer_checkpoint_dependencies"
    for path, layer in objects(model):
        own = _own_weights(layer)
        if not own:
            continue
        places = [f"{place}/vars".lstrip("/") for place in _spellings(path.replace("/layers", f"/{top}"))]
        try:
            pairs += zip(own, _fitting(file, places, layer, own), strict=True)
        except ShapeError as error:
            if not skip_mismatch:
                raise
            warnings.warn(f"Skipping loading of weights for layer {layer.name}: {error.message}", stacklevel=users_stacklevel())
    K.batch_set_value(pairs)


def _spellings(path: str) -> list[str]:
    """A path, and as tf.keras has it, where attributes keep their underscore."""
    head, _, last = path.rpartition("/")
    return [path, f"{head}/_{last}"]


def _fitting(file: Group, places: list[str], layer: Layer, own: list[Shared]) -> list[Array]:
    place = next((place for place in places if place in file), None)
    if place is None:
        raise ShapeError(f"the file has no weights for the layer {layer.name}: {places[0]} is missing", hint="the model and that of the file differ")
    found = numbered(file.group(place))
    if len(found) != len(own):
        raise ShapeError(f"the layer {layer.name} ({type(layer).__name__}) expects {len(own)} weights, and the file has {len(found)}")
    for w, value in zip(own, found, strict=True):
        if int_shape(w) != value.shape:
            raise ShapeError(f"the weight {w.name} of the layer {layer.name} has the shape {int_shape(w)}, and the file's has {value.shape}")
    return found


def numbered(group: Group) -> list[Array]:
    """The data sets 0, 1 ... of a group."""
    names = sorted((name for name in group.names() if name.isdigit()), key=int)
    return [group.array(name) for name in names]


def read_optimizer(file: Group, model: Any) -> None:
    """Give the model's optimizer its state, if the file has it."""
    if "optimizer/vars" in file:
        make_state(model)
        unpack(model.optimizer, numbered(file.group("optimizer/vars")), in_pairs=True)
