"""save_model and load_model: which kind of file, and whether it may be written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphflow.graph.errors import GraphError, StateError
from graphflow.keras import generation
from graphflow.keras.custom_objects import CustomObjectScope
from graphflow.keras.saving import archive, legacy_h5
from graphflow.keras.saving.atomic import may_write, replacing
from graphflow.keras.saving.checked import ModelFileError, opened, reading
from graphflow.keras.saving.layered_weights import read_layers, write_layers
from graphflow.keras.saving.object_weights import is_object_layout, read_objects, write_objects
from graphflow.keras.utils.io_utils import h5py_module

FORMATS = (None, "h5", "hdf5", "keras")
SIGNATURES = {b"\x89HDF": "hdf5", b"PK\x03\x04": "zip"}


def save_model(
    model: Any, filepath: Any, overwrite: bool = True, include_optimizer: bool = True, save_format: str | None = None, zipped: bool | None = None
) -> None:
    """Write the configuration, weights and, with `include_optimizer`, the state of training of a model.

    A path that ends in `.keras` becomes an archive of Keras 3, any other an HDF5 file of Keras 2 (`save_format`:
    'keras' or 'h5').  An h5py File or Group that is open is written into.  The file is there as a whole or not at
    all; archives are always zipped.  `overwrite=False` asks about a file that is there; raises OverwriteError where nobody can be asked.
    """
    _require_weights(model)
    if save_format not in FORMATS:
        raise GraphError(f"models are not saved as {save_format!r}", hint="save_format is 'h5' or 'keras'; a SavedModel holds a program of TensorFlow")
    if _is_group(filepath):
        legacy_h5.write(model, filepath, include_optimizer)
        return
    if not may_write(filepath, overwrite):
        return
    archived = save_format == "keras" or (save_format is None and os.fspath(filepath).endswith(".keras"))
    writer = archive.write if archived else legacy_h5.write
    with replacing(filepath) as part:
        writer(model, part, include_optimizer)


def load_model(filepath: Any, custom_objects: Mapping[str, Any] | None = None, compile: bool = True, safe_mode: bool = True) -> Any:
    """The model of a file of any Keras, compiled as it was, with the state of its optimizer.

    `custom_objects`: the user's own classes and functions by name.  What the file's version would have taken as
    defaults is taken, too.  Code in a file is never run, whatever `safe_mode` says.  Raises ModelFileError that
    names file and field for a damaged file, GraphError for classes that nobody knows.
    """
    with CustomObjectScope(custom_objects or {}):  # losses, metrics and optimizers are looked up too
        if not _is_group(filepath) and _kind(filepath) == "zip":
            return archive.read(filepath, custom_objects, compile)
        return legacy_h5.read(filepath, custom_objects, compile)


def save_weights(model: Any, filepath: Any, overwrite: bool = True, save_format: str | None = None) -> None:
    """Write the weights of a model: in the layout of Keras 3 for a path that ends in `.weights.h5`, else in that of Keras 2."""
    _require_weights(model)
    if not may_write(filepath, overwrite):
        return
    objects = os.fspath(filepath).endswith(".weights.h5") and generation.resolve("weights files have Keras 3's layout") and save_format != "h5"
    with replacing(filepath) as part, h5py_module().File(part, "w") as file:
        if objects:
            write_objects(file, model, include_optimizer=False)
        else:
            write_layers(file, model.layers)


def load_weights(model: Any, filepath: Any, by_name: bool = False, skip_mismatch: bool = False, reshape: bool = False) -> None:
    """Give a model the weights of a file of weights, or of one that holds a whole model.

    Layers match by position, or `by_name`.  `skip_mismatch` leaves layers whose weights do not fit, with a
    warning; `reshape` takes kernels of convolutions with the same number of elements.  Raises ShapeError for
    weights that do not fit the model, and then sets none; ModelFileError for a damaged file.
    """
    _require_weights(model)
    if not _is_group(filepath) and _kind(filepath) == "zip":
        archive.read_weights(model, filepath, skip_mismatch)
        return
    with opened(filepath) as file, reading(file.file):
        if is_object_layout(file):
            read_objects(file, model, skip_mismatch)
            return
        inside = file.texts("layer_names") is None and "model_weights" in file
        read_layers(file.group("model_weights") if inside else file, model, by_name, skip_mismatch, reshape)


def _is_group(place: Any) -> bool:
    return not isinstance(place, str | Path) and isinstance(place, h5py_module().Group)


def _kind(path: Any) -> str:
    """'hdf5' or 'zip', as the file's first bytes say.  Raises ModelFileError for any other."""
    name = os.fspath(path)
    if os.path.isdir(name):
        raise ModelFileError(f"{name} is a folder", hint="a SavedModel of TensorFlow holds a program of TensorFlow: save it there as .h5 or .keras")
    with reading(name), open(name, "rb") as file:
        start = file.read(4)
    if start not in SIGNATURES:
        raise ModelFileError(f"{name} is no model file: it begins with {start!r}", hint="models are in .h5 and .keras files")
    return SIGNATURES[start]


def _require_weights(model: Any) -> None:
    if not model.built:
        raise StateError(f"{model.name} has no weights yet: the shape of its input is not known", hint="give the first layer an input_shape, or call build(input_shape)")
