"""Pickled arrays, lists, dicts, numbers and texts, read without running anything that a file names.

NumPy's own names in a pickle become the two small classes here, which accept plain data only; any other name is refused.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from typing import IO, Any

import numpy as np

from graphflow.graph.errors import GraphflowError
from graphflow.graph.op import Array

_KINDS = frozenset("biufcSUO")  # booleans, numbers, texts, and lists of plain data


class UntrustedDataError(GraphflowError, pickle.UnpicklingError):
    """A file with something else than plain data."""


class _Type:
    """numpy.dtype"""

    def __init__(self, name: str, *flags: Any) -> None:
        self.dtype = np.dtype(name if isinstance(name, str) else "V")
        if self.dtype.kind not in _KINDS:
            raise _refusal(f"the dtype {name!r}")

    def __setstate__(self, state: Any) -> None:
        _, order, *structure = state
        if any(part is not None for part in structure[:3]):
            raise _refusal("an array of records")
        order = order.decode() if isinstance(order, bytes) else order
        self.dtype = self.dtype.newbyteorder(">") if order == ">" else self.dtype.newbyteorder("<") if order == "<" else self.dtype


class _Array:
    """numpy.ndarray: its place is empty until the state comes."""

    value: Array

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        dtype = kind.dtype
        shape = tuple(int(n) for n in shape)
        if dtype.kind == "O":
            flat: Array = np.empty(len(data), object)
            flat[:] = [_finished(item) for item in data]
        else:
            raw = data.encode("latin1") if isinstance(data, str) else data
            if not isinstance(raw, bytes) or len(raw) != dtype.itemsize * math.prod(shape):
                raise _refusal("an array whose data do not fit its shape")
            flat = np.frombuffer(raw, dtype).copy()
        self.value = flat.reshape(shape, order="F" if fortran else "C")


def _empty_array(*ignored: Any) -> _Array:
    """numpy's _reconstruct"""
    return _Array()


def _scalar(kind: _Type, data: Any) -> Any:
    raw = data.encode("latin1") if isinstance(data, str) else data
    if kind.dtype.kind == "O":
        raise _refusal("a scalar object")
    return np.frombuffer(raw, kind.dtype, 1)[0]


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    """_codecs.encode, as old pickles of bytes use it"""
    if encoding != "latin1":
        raise _refusal(f"text encoded as {encoding!r}")
    return text.encode("latin1")


def _refusal(what: str) -> UntrustedDataError:
    return UntrustedDataError(f"the file has {what}, and only plain data are read from it", hint="get the file from where the data set is published")


class _PlainUnpickler(pickle.Unpickler):
    NAMES = {  # noqa: RUF012
        **{(module, "_reconstruct"): _empty_array for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
        **{(module, "scalar"): _scalar for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
        ("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Type, ("_codecs", "encode"): _encoded,
    }  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.NAMES:
            raise _refusal(f"the name {module}.{name}")
        return self.NAMES[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise _refusal("a reference to another place")


def load_plain(file: IO[bytes], encoding: str = "ASCII") -> Any:
    """The pickled object in an open file.  Raises UntrustedDataError for anything but plain data, and for broken files."""
    try:
        return _finished(_PlainUnpickler(file, encoding=encoding).load())
    except UntrustedDataError:
        raise
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UntrustedDataError(f"the file cannot be read: {error}", hint="it may be cut off: get it again") from error


def _finished(value: Any) -> Any:
    """The same with arrays in the places that were kept for them."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, dict):
        return {key: _finished(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_finished, value)) if any(isinstance(item, _Array | list | tuple | dict) for item in value) else value
    return value


def load_npz(path: str) -> dict[str, Array]:
    """The arrays of an .npz file by name, those of lists included."""
    found: dict[str, Array] = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                found[name.removesuffix(".npy")] = _load_npy(file)
    return found


def _load_npy(file: IO[bytes]) -> Array:
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        array: Array = load_plain(file)
        return array
    flat = np.frombuffer(file.read(), dtype, math.prod(shape))
    return flat.reshape(shape[::-1]).T.copy() if fortran else flat.reshape(shape).copy()
