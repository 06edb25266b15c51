"""Weights in HDF5 as Keras 1 and 2 lay them out: a group for each layer, with the names of its weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphflowError, ShapeError
from graphflow.graph.op import Array
from graphflow.graph.variable import Shared
from graphflow.keras import backend as K
from graphflow.keras.arguments import users_stacklevel
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.network import Network
from graphflow.keras.saving.checked import Group, ModelFileError
from graphflow.keras.saving.conversion import Origin, converted
from graphflow.keras.saving.versions import generation_of, written_version
from graphflow.keras.structure import int_shape

BACKEND = "tensorflow"  # whose kernels lie as ours do
HEADER_LIMIT = 64512  # bytes of an attribute
Values = list[tuple[Shared, Array]]


# --- writing -------------------------------------------------------------------------------------
def write_layers(group: Any, layers: Sequence[Layer]) -> None:
    """All weights into an h5py group."""
    write_names(group, "layer_names", [layer.name for layer in layers])
    write_origin(group)
    for layer in layers:
        write_arrays(group.create_group(layer.name), [(w.name or "weight", K.get_value(w)) for w in layer.weights])


def write_origin(group: Any) -> None:
    group.attrs["backend"] = BACKEND.encode()
    group.attrs["keras_version"] = written_version().encode()


def write_arrays(group: Any, named: Sequence[tuple[str, Any]]) -> None:
    """Arrays as data sets, with their names in order; a name that comes again gets a number."""
    names: list[str] = []
    for name, value in named:
        number, own = 0, f"{name}:0"
        while own in names:
            number += 1
            own = f"{name}_{number}:0"
        names.append(own)
        group.create_dataset(own, data=np.asarray(value))
    write_names(group, "weight_names", names)


def write_names(group: Any, name: str, names: Sequence[str]) -> None:
    """A list of names as an attribute, in parts `name0`, `name1` ... where one would be more than an attribute can hold."""
    data = np.asarray([text.encode() for text in names], dtype=None if names else "S1")
    parts = 1
    while any(part.nbytes > HEADER_LIMIT for part in np.array_split(data, parts)):
        parts += 1
    if parts == 1:
        group.attrs[name] = data
    for number, part in enumerate(np.array_split(data, parts) if parts > 1 else ()):
        group.attrs[f"{name}{number}"] = part


# --- reading -------------------------------------------------------------------------------------
def read_layers(file: Group, model: Network, by_name: bool = False, skip_mismatch: bool = False, reshape: bool = False) -> None:
    """Give a model the weights of a file, all of them or none.

    By position, layers without weights do not count.  `by_name`: layers that the file has under the same
    name.  `skip_mismatch`: layers whose weights do not fit are left as they are, with a warning.
    Raises ShapeError for weights that do not fit the model, ModelFileError for a damaged file.
    """
    origin = Origin(generation_of(file.text("keras_version")), file.text("backend"), reshape)
    stored = _stored(file)
    pairs = _by_name(stored, model.layers) if by_name else _in_order(file, stored, model)
    values: Values = []
    for layer, weights in pairs:
        try:
            values += _values(layer, weights, origin)
        except ShapeError as error:
            if not skip_mismatch:
                raise
            warnings.warn(f"Skipping loading of weights for layer {layer.name}: {error.message}", stacklevel=users_stacklevel())
    if "top_level_model_weights" in file:
        own = [*model._own_trainable, *model._own_fixed]
        values += list(zip(own, _arrays(file.group("top_level_model_weights")), strict=False))
    K.batch_set_value(values)


def _stored(file: Group) -> dict[str, list[Array]]:
    """The arrays of each layer that has any."""
    names = file.texts("layer_names")
    if names is None:
        return _numbered(file)
    return {name: arrays for name in names if (arrays := _arrays(file.group(name)))}


def _numbered(file: Group) -> dict[str, list[Array]]:
    """The layout before Keras 1: groups layer_0, layer_1 ... with param_0, param_1 ..."""
    groups = [name for name in file.names() if name.startswith("layer_")]
    if not groups:
        raise ModelFileError(f"{file.file}: {file.path} has no 'layer_names'", hint="it is no file of weights")
    numbered = sorted(groups, key=lambda name: int(name.removeprefix("layer_") or 0) if name.removeprefix("layer_").isdigit() else 0)
    found = {}
    for name in numbered:
        group = file.group(name)
        params = sorted((p for p in group.names() if p.startswith("param_") and p.removeprefix("param_").isdigit()), key=lambda p: int(p.removeprefix("param_")))
        found[name] = [group.array(p) for p in params]
    return {name: arrays for name, arrays in found.items() if arrays}


def _arrays(group: Group) -> list[Array]:
    return [group.array(name) for name in group.texts("weight_names") or ()]


def _in_order(file: Group, stored: Mapping[str, list[Array]], model: Network) -> list[tuple[Layer, list[Array]]]:
    layers = [layer for layer in model.layers if layer.weights]
    if len(stored) != len(layers):
        raise ShapeError(
            f"You are trying to load a weight file containing {len(stored)} layers into a model with {len(layers)} layers.",
            hint=f"{file.file} has {', '.join(stored) or 'none'}; the model has {', '.join(layer.name for layer in layers) or 'none'}; by_name=True takes those of the same name",
        )
    return list(zip(layers, stored.values(), strict=True))


def _by_name(stored: Mapping[str, list[Array]], layers: Sequence[Layer]) -> list[tuple[Layer, list[Array]]]:
    return [(layer, stored[layer.name]) for layer in layers if layer.name in stored]


def _values(layer: Layer, weights: list[Array], origin: Origin) -> Values:
    own = layer.weights
    try:
        found = converted(layer, weights, origin)
    except GraphflowError:
        raise
    except (ValueError, IndexError, AttributeError) as error:
        raise ShapeError(f"the file's weights of shapes {[w.shape for w in weights]} do not fit the layer {layer.name}: {error}") from error
    if len(found) != len(own):
        raise ShapeError(f"the layer {layer.name} ({type(layer).__name__}) expects {len(own)} weights, but the saved weights have {len(found)} elements")
    for w, value in zip(own, found, strict=True):
        if int_shape(w) != value.shape:
            raise ShapeError(f"the weight {w.name} of the layer {layer.name} has the shape {int_shape(w)}, and the file's has {value.shape}")
    return list(zip(own, found, strict=True))
