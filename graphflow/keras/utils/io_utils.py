"""Arrays in HDF5 files, read where they are used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from graphflow.graph.errors import GraphError, MissingExtraError
from graphflow.graph.op import Array

__all__ = ["HDF5Matrix", "ask_to_proceed_with_overwrite", "load_array", "save_array"]


def h5py_module() -> Any:
    """h5py; raises MissingExtraError if it is not installed."""
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("HDF5 files are read with h5py, which is not installed", hint="pip install graphflow[keras]") from error
    return h5py


class HDF5Matrix:
    """A data set of an HDF5 file that is read row by row, as it is used.

    `start`, `end`: the rows to have.  `normalizer`: a function that each piece goes through as it is read.
    Indices count from `start` and may be numbers, slices, lists and arrays.
    """

    refs: ClassVar[dict[str, Any]] = {}  # files are opened once

    def __init__(self, datapath: str, dataset: str, start: int = 0, end: int | None = None, normalizer: Callable[[Array], Array] | None = None) -> None:
        if datapath not in self.refs:
            self.refs[datapath] = h5py_module().File(datapath, "r")
        self.data = self.refs[datapath][dataset]
        self.start = start
        self.end = self.data.shape[0] if end is None else end
        self.normalizer = normalizer

    def __len__(self) -> int:
        return self.end - self.start

    def __getitem__(self, key: Any) -> Array:
        rows = self._rows(key)
        if isinstance(rows, np.ndarray):  # h5py reads rows in rising order, once each
            distinct, places = np.unique(rows, return_inverse=True)
            data = self.data[distinct][places] if distinct.size else self.data[0:0]
        else:
            data = self.data[rows]
        return data if self.normalizer is None else self.normalizer(data)

    def _rows(self, key: Any) -> Any:
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            return slice(start + self.start, stop + self.start, step) if step > 0 else self._shifted(np.arange(start, stop, step))
        if isinstance(key, int | np.integer):
            self._check(int(key), int(key))
            return int(key) % len(self) + self.start
        rows = np.asarray(key)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        if rows.size:
            self._check(int(rows.min()), int(rows.max()))
        return self._shifted(np.where(rows < 0, rows + len(self), rows))

    def _shifted(self, rows: Array) -> Array:
        return rows + self.start

    def _check(self, low: int, high: int) -> None:
        if low < -len(self) or high >= len(self):
            raise IndexError(f"row {high if high >= len(self) else low} of a matrix with {len(self)} rows")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:], dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.data.shape[1:])

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return int(self.data.ndim)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


def save_array(array: Any, name: str) -> None:
    """Write an array to a new HDF5 file."""
    with h5py_module().File(name, "w") as file:
        file.create_dataset("array", data=np.asarray(array))


def load_array(name: str) -> Array:
    """The array of a file that `save_array` wrote."""
    with h5py_module().File(name, "r") as file:
        if "array" not in file:
            raise GraphError(f"{name} holds no array", hint="save_array writes one")
        return np.asarray(file["array"])


def ask_to_proceed_with_overwrite(filepath: str) -> bool:
    """Ask the user at the terminal whether a file may be written over."""
    answer = ""
    while answer not in ("y", "n"):
        sys.stdout.write(f"[WARNING] {filepath} already exists - overwrite? [y/n]")
        sys.stdout.flush()
        answer = sys.stdin.readline().strip().lower() or "n"
    return answer == "y"
