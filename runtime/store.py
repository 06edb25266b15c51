"""Stores: where the values of shared variables live."""

from __future__ import annotations

import threading
import weakref
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from graphflow.graph.errors import ShapeError
from graphflow.graph.op import Array
from graphflow.graph.variable import Shared, origin_of
from graphflow.runtime.buffer import ALIGNMENT, aligned_copy, as_fed_array


class Cell:
    """The value of one shared variable in one Store: an aligned array, of its own once it is writeable.

    A read-only one is the initial value, which other Stores begin with too.
    """

    __slots__ = ("array",)

    def __init__(self, array: Array) -> None:
        self.array = array

    def own(self) -> Cell:
        """The Cell, for writing: an initial value that was shared is copied now."""
        if not self.array.flags.writeable:
            self.array = aligned_copy(self.array)
        return self


class ReadWriteLock:
    """Many readers or one writer; a writer may enter again.

    Its state is in five words of memory, so that a native call, which holds the GIL, can look at it, and take and give
    it back: the first always, the others unless a thread is CHANGING the words or has to be woken.
    """

    READERS, WRITER, DEPTH, SLEEPERS, CHANGING = range(5)

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._words = array("q", [0] * 5)
        self.address: int = self._words.buffer_info()[0]

    @contextmanager
    def reading(self) -> Iterator[None]:
        me = threading.get_ident()
        with self._change() as words:
            while words[self.WRITER] not in (0, me):
                self._sleep()
            words[self.READERS] += 1
        try:
            yield
        finally:
            self.end_reading()

    @contextmanager
    def writing(self) -> Iterator[None]:
        me = threading.get_ident()
        with self._change() as words:
            while words[self.WRITER] != me and (words[self.WRITER] or words[self.READERS]):
                self._sleep()
            words[self.WRITER] = me
            words[self.DEPTH] += 1
        try:
            yield
        finally:
            self.end_writing()

    def end_reading(self) -> None:
        with self._change() as words:
            words[self.READERS] -= 1
            self._changed.notify_all()

    def end_writing(self) -> None:
        with self._change() as words:
            words[self.DEPTH] -= 1
            if words[self.DEPTH] == 0:
                words[self.WRITER] = 0
            self._changed.notify_all()

    @contextmanager
    def _change(self) -> Iterator[array[int]]:
        with self._changed:
            self._words[self.CHANGING] = 1
            try:
                yield self._words
            finally:
                self._words[self.CHANGING] = 0

    def _sleep(self) -> None:
        """Wait for a change; the words have to be looked at again."""
        self._words[self.SLEEPERS] += 1
        self._words[self.CHANGING] = 0
        try:
            self._changed.wait()
        finally:
            self._words[self.CHANGING] = 1
            self._words[self.SLEEPERS] -= 1


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
                    cell = self._cells[v] = Cell(_begun(v))
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
            if cell.array.shape == array.shape and cell.array.flags.writeable:
                cell.array[...] = array
            else:
                cell.array = aligned_copy(array)

    def copy_of(self, variables: Iterable[Shared]) -> Store:
        """A Store of its own with copies of these values."""
        made = Store()
        with self.lock.reading():
            for v in variables:
                made.cell(v).array = aligned_copy(self.cell(v).array)
        return made

    def __contains__(self, v: Shared) -> bool:
        return v.state in self._cells


def _begun(v: Shared) -> Array:
    """An aligned array with the initial value: its own memory, unless all elements are one."""
    initial = v.initial
    if initial.ctypes.data % ALIGNMENT == 0 and initial.flags.c_contiguous:
        return initial
    made = aligned_copy(initial)
    if initial.flags.c_contiguous:
        made.flags.writeable = False
        v.initial = made
    return made


_default = Store()


def default_store() -> Store:
    """The Store of `gf.function`, `w.get_value()` and Keras weights outside any Session."""
    return _default
