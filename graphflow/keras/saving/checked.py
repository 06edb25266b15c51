"""Reading files that may be damaged or hostile: sizes are checked before memory is taken, links are not followed.

Whatever is wrong becomes a ModelFileError that names the file and the field.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphflowError
from graphflow.graph.op import Array
from graphflow.keras.utils.io_utils import h5py_module

EXPANSION = 1100  # deflate makes nothing more than 1032 times smaller
SMALL = 1 << 16  # bytes that nobody needs to check


class ModelFileError(GraphflowError, ValueError, OSError):
    """A file that is no model file, or a damaged one; the message names file and field."""


@contextmanager
def reading(file: str, field: str = "") -> Iterator[None]:
    """Whatever the libraries raise inside becomes a ModelFileError; other errors of ours name file and field as well."""
    try:
        yield
    except ModelFileError:
        raise
    except GraphflowError as error:
        error.with_context(f"  in {file}" + (f", field {field!r}" if field else ""))
        raise
    except FileNotFoundError as error:
        raise ModelFileError(f"there is no file {file}") from error
    except Exception as error:
        what = f"the field {field!r}" if field else "the file"
        raise ModelFileError(f"{file}: {what} cannot be read: {type(error).__name__}: {error}", hint="the file is damaged, or of another kind") from error


@contextmanager
def opened(place: Any) -> Iterator[Group]:
    """The root of an HDF5 file: of a path, or of an h5py File or Group that is open."""
    h5py = h5py_module()
    if isinstance(place, h5py.Group):
        yield Group(place.file.filename, place)
        return
    name = str(place) if isinstance(place, str | Path) else "the data"
    with reading(name):
        file = h5py.File(place, "r")
    try:
        yield Group(name, file)
    finally:
        file.close()


class Group:
    """A group of an HDF5 file, every access checked."""

    def __init__(self, file: str, group: Any) -> None:
        self.file = file
        self._group = group

    @property
    def path(self) -> str:
        return str(self._group.name)

    def _error(self, field: str, message: str) -> ModelFileError:
        return ModelFileError(f"{self.file}: {self._field(field)} {message}", hint="the file is damaged, or of another kind")

    def _field(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"

    # --- members ----------------------------------------------------------------------------------
    def __contains__(self, name: str) -> bool:
        with reading(self.file, self._field(name)):
            return name in self._group

    def names(self) -> list[str]:
        with reading(self.file, self.path):
            return list(self._group)

    def group(self, name: str) -> Group:
        """A group inside; raises ModelFileError if there is none."""
        member = self._member(name)
        if not isinstance(member, h5py_module().Group):
            raise self._error(name, "is not a group")
        return Group(self.file, member)

    def array(self, name: str) -> Array:
        """A data set inside, as an array of numbers."""
        data = self._member(name)
        if not isinstance(data, h5py_module().Dataset):
            raise self._error(name, "is not an array")
        with reading(self.file, self._field(name)):
            if data.dtype.kind not in "fiub" or data.shape is None:
                raise self._error(name, f"has the element type {data.dtype}, not numbers")
            if data.external or data.is_virtual:
                raise self._error(name, "has its values in another file")
            size, stored = math.prod(data.shape) * data.dtype.itemsize, data.id.get_storage_size()
            if size > SMALL and size > stored * (1 if data.chunks is None else EXPANSION):
                raise self._error(name, f"has the shape {data.shape}, and the file holds only {stored} bytes of it")
            return np.asarray(data[()])

    def _member(self, name: str) -> Any:
        h5py = h5py_module()
        with reading(self.file, self._field(name)):
            here = self._group
            for part in name.strip("/").split("/"):
                if not isinstance(here, h5py.Group) or part not in here:
                    raise self._error(name, "is missing")
                if not isinstance(here.get(part, getlink=True), h5py.HardLink):
                    raise self._error(name, "is a link to elsewhere")
                here = here[part]
            return here

    # --- attributes -------------------------------------------------------------------------------
    def text(self, name: str) -> str | None:
        """An attribute as text; None if there is none."""
        value = self._attribute(name)
        return None if value is None else self._as_text(name, value)

    def json(self, name: str) -> Any:
        """An attribute that holds JSON; None if there is none."""
        text = self.text(name)
        return None if text is None else parsed(text, self.file, self._field(name))

    def texts(self, name: str) -> list[str] | None:
        """An attribute that is a list of names; over 64 kB it is in parts `name0`, `name1` ...; None if there is none."""
        value = self._attribute(name)
        if value is not None:
            return self._as_texts(name, value)
        parts: list[str] = []
        while self._attribute(f"{name}{len(parts)}") is not None:
            parts.append(f"{name}{len(parts)}")
        return [text for part in parts for text in self._as_texts(part, self._attribute(part))] if parts else None

    def _attribute(self, name: str) -> Any:
        with reading(self.file, self._field(name)):
            return self._group.attrs.get(name, None)

    def _as_texts(self, name: str, value: Any) -> list[str]:
        if not isinstance(value, np.ndarray | list) or np.ndim(value) != 1:
            raise self._error(name, "is not a list of names")
        return [self._as_text(name, item) for item in value]

    def _as_text(self, name: str, value: Any) -> str:
        with reading(self.file, self._field(name)):
            value = value.decode("utf-8") if isinstance(value, bytes) else value
        if not isinstance(value, str):
            raise self._error(name, "is not text")
        return str(value)


def parsed(text: str, file: str, field: str) -> Any:
    """JSON as data; raises ModelFileError."""
    with reading(file, field):
        return json.loads(text)
