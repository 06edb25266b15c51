"""Stores: where the values of shared variables live."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from graphflow.graph.errors import ShapeError
from graphflow.graph.op import Array
from graphflow.graph.variable import Shared, origin_of
from graphflow.runtime.buffer import aligned_copy, as_fed_array


class Cell:
    """The value of one shared variable in one Store: an aligned array nobody else holds."""

    __slots__ = ("array",)

    def __init__(self, array: Array) -> None:
        self.array = array


class ReadWriteLock:
    """Many readers or one writer; a writer may enter again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._writer: int | None = None
        self._depth = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        me = threading.get_ident()
        with self._changed:
            while self._writer not in (None, me):
                self._changed.wait()
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        me = threading.get_ident()
        with self._changed:
            while self._writer not in (None, me) or (self._readers and self._writer != me):
                self._changed.wait()
            self._writer = me
            self._depth += 1
        try:
            yield
        finally:
            with self._changed:
                self._depth -= 1
                if self._depth == 0:
                    self._writer = None
                self._changed.notify_all()


class Store:
    """Values of shared variables, made from their initial values on first touch.

    `gf.function`, `w.get_value()` and Keras weights use the default Store; a Session owns one.
    """

    def __init__(self) -> None:
        self._cells: weakref.WeakKeyDictionary[Shared, Cell] = weakref.WeakKeyDictionary()
        self._creating = threading.Lock()
        self.lock = ReadWriteLock()
        self.evaluator: Any = None  # the Session behind `x.eval()`, made on first use

    def cell(self, v: Shared) -> Cell:
        v = v.state
        cell = self._cells.get(v)
        if cell is None:
            with self._creating:
                cell = self._cells.get(v)
                if cell is None:
                    cell = self._cells[v] = Cell(aligned_copy(v.initial))
        return cell

    def get(self, v: Shared) -> Array:
        """A copy of the value."""
        with self.lock.reading():
            return self.cell(v).array.copy()

    def set(self, v: Shared, value: Any) -> None:
        """Copy `value` in.  Raises DTypeError or ShapeError, and then changes nothing."""
        array = as_fed_array(value, v.dtype, v)
        if array.ndim != v.ndim:
            raise ShapeError(
                f"set_value: {origin_of(v)} has rank {v.ndim}, and the value has the shape {list(array.shape)}",
                hint="state keeps its rank; reshape the value",
            )
        if v.declared:
            for axis, (have, want) in enumerate(zip(array.shape, v.shape, strict=True)):
                if isinstance(want, int) and have != want:
                    raise ShapeError(
                        f"set_value: axis {axis} of {origin_of(v)} was declared with size {want}, and the value has {have}",
                        hint="declare shape=(None, ...) for sizes that change",
                    )
        with self.lock.writing():
            cell = self.cell(v)
            if cell.array.shape == array.shape:
                cell.array[...] = array
            else:
                cell.array = aligned_copy(array)

    def __contains__(self, v: Shared) -> bool:
        return v.state in self._cells


_default = Store()


def default_store() -> Store:
    """The Store of `gf.function`, `w.get_value()` and Keras weights outside any Session."""
    return _default


