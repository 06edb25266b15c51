"""`.keras` archives of Keras 3: a zip of metadata.json, config.json and model.weights.h5."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from graphflow.keras import generation
from graphflow.keras.engine.registry import deserialize
from graphflow.keras.saving.checked import EXPANSION, SMALL, Group, ModelFileError, opened, parsed, reading
from graphflow.keras.saving.export3 import archived
from graphflow.keras.saving.object_weights import read_objects, read_optimizer, write_objects
from graphflow.keras.saving.training_config import compile_from
from graphflow.keras.saving.translation import translated
from graphflow.keras.saving.versions import ZIP_VERSION, generation_of
from graphflow.keras.utils.io_utils import h5py_module

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"


def write(model: Any, path: Any, include_optimizer: bool) -> None:
    """The whole model into a new archive."""
    weights = io.BytesIO()
    with h5py_module().File(weights, "w") as file:
        write_objects(file, model, include_optimizer)
    metadata = {"keras_version": ZIP_VERSION, "date_saved": time.strftime("%Y-%m-%d@%H:%M:%S")}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(METADATA, json.dumps(metadata))
        archive.writestr(CONFIG, json.dumps(archived(model, include_optimizer)))
        archive.writestr(WEIGHTS, weights.getbuffer())


def read(path: Any, custom_objects: Mapping[str, Any] | None, compile: bool) -> Any:
    """The model of an archive.  Raises ModelFileError for one that is damaged."""
    name = str(path)
    with _members(name) as archive:
        metadata = _json(archive, name, METADATA)
        data = _json(archive, name, CONFIG)
        if not isinstance(data, Mapping) or not isinstance(metadata, Mapping):
            raise ModelFileError(f"{name}: {CONFIG} is no configuration of a model", hint="the file is damaged, or of another kind")
        origin = generation_of(metadata.get("keras_version"))
        with generation.using(origin), reading(name, CONFIG):
            model = deserialize(translated(data, origin, custom_objects), custom_objects)
        with _weights(archive, name) as file:
            with reading(name, WEIGHTS):
                read_objects(file, model)
            if compile and data.get("compile_config"):
                with reading(name, "compile_config"):
                    compile_from(model, data["compile_config"], origin)
                with reading(name, WEIGHTS):
                    read_optimizer(file, model)
    return model


def read_weights(model: Any, path: Any, skip_mismatch: bool) -> None:
    """Only the weights of an archive, into a model."""
    name = str(path)
    with _members(name) as archive, _weights(archive, name) as file, reading(name, WEIGHTS):
        read_objects(file, model, skip_mismatch)


@contextmanager
def _members(name: str) -> Iterator[zipfile.ZipFile]:
    with reading(name):
        archive = zipfile.ZipFile(name)
    with archive:
        yield archive


@contextmanager
def _weights(archive: zipfile.ZipFile, name: str) -> Iterator[Group]:
    data = io.BytesIO(_bytes(archive, name, WEIGHTS))
    with opened(data) as file:
        file.file = f"{name}: {WEIGHTS}"
        yield file


def _json(archive: zipfile.ZipFile, name: str, member: str) -> Any:
    with reading(name, member):
        text = _bytes(archive, name, member).decode("utf-8")
    return parsed(text, name, member)


def _bytes(archive: zipfile.ZipFile, name: str, member: str) -> bytes:
    """A member, which must not be larger than what its bytes in the file can make."""
    with reading(name, member):
        if member not in archive.namelist():
            raise ModelFileError(f"{name}: {member} is missing", hint="the file is damaged, or of another kind")
        info = archive.getinfo(member)
        if info.file_size > SMALL and info.file_size > info.compress_size * EXPANSION:
            raise ModelFileError(f"{name}: {member} says that it has {info.file_size} bytes, of {info.compress_size} in the file")
        return archive.read(member)
