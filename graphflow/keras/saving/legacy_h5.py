"""Whole models in HDF5, as Keras 1 and 2 write them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

from graphflow.keras import generation
from graphflow.keras.arguments import users_stacklevel
from graphflow.keras.engine.registry import deserialize
from graphflow.keras.saving.checked import Group, ModelFileError, opened, reading
from graphflow.keras.saving.configs import model_data
from graphflow.keras.saving.conversion import TRUE_CONVOLUTION, Origin
from graphflow.keras.saving.layered_weights import read_layers, write_arrays, write_layers, write_origin
from graphflow.keras.saving.old_moments import as_weights
from graphflow.keras.saving.optimizer_state import make_state, pack, unpack
from graphflow.keras.saving.training_config import compile_from, training_config
from graphflow.keras.saving.translation import translated
from graphflow.keras.saving.versions import generation_of, written_version
from graphflow.keras.utils.io_utils import h5py_module


def write(model: Any, place: Any, include_optimizer: bool) -> None:
    """The whole model into an HDF5 file (a path, or an h5py File or Group that is open)."""
    h5py = h5py_module()
    if isinstance(place, h5py.Group):
        _write(model, place, include_optimizer)
        return
    with h5py.File(place, "w") as file:
        _write(model, file, include_optimizer)


def _write(model: Any, file: Any, include_optimizer: bool) -> None:
    written = generation_of(written_version())
    write_origin(file)
    file.attrs["model_config"] = json.dumps(model_data(model, written)).encode()
    write_layers(file.create_group("model_weights"), model.layers)
    if include_optimizer and model.optimizer is not None:
        file.attrs["training_config"] = json.dumps(training_config(model, written)).encode()
        state = pack(model.optimizer, written)
        if state:  # a model that has not been trained yet has none
            write_arrays(file.create_group("optimizer_weights"), state)


def read(place: Any, custom_objects: Mapping[str, Any] | None, compile: bool) -> Any:
    """The model of an HDF5 file.  Raises ModelFileError for a file that holds none, or is damaged."""
    with opened(place) as file:
        data = file.json("model_config")
        if data is None:
            raise ModelFileError(f"{file.file}: no model is in the file", hint="a file of weights is read with model.load_weights, into a model made in code")
        weights = file.group("model_weights")
        origin = generation_of(file.text("keras_version") or weights.text("keras_version"))
        with generation.using(origin), reading(file.file, "model_config"):
            model = deserialize(translated(data, origin, custom_objects), custom_objects)
        with reading(file.file, "model_weights"):
            read_layers(weights, model)
        if compile:
            _compile(model, file, Origin(origin, weights.text("backend")))
        return model


def _compile(model: Any, file: Group, origin: Origin) -> None:
    config = file.json("training_config")
    if config is None:
        warnings.warn("No training configuration found in save file: the model was *not* compiled. Compile it manually.", stacklevel=users_stacklevel())
        return
    with reading(file.file, "training_config"):
        compile_from(model, config, origin.generation)
    if "optimizer_weights" not in file:
        return
    group = file.group("optimizer_weights")
    names = group.texts("weight_names") or []
    with reading(file.file, "optimizer_weights"):
        make_state(model)
        arrays = [group.array(name) for name in names]
        if origin.generation == "1" or origin.backend in TRUE_CONVOLUTION:
            arrays = as_weights(arrays, model, file.group("model_weights"), origin)
        unpack(model.optimizer, arrays, in_pairs=_new_order(names))


def _new_order(names: list[str]) -> bool:
    """Whether the optimizer is one of tf.keras 2.11 or later: it calls its counter 'iteration'."""
    return bool(names) and names[0].split(":")[0].rsplit("/", 1)[-1] in ("iteration", "variable")
