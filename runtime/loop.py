"""The native loop: the batches of a slice in one call."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from graphflow.compiler.manifest import VALUE, Manifest, size_function
from graphflow.configuration import config
from graphflow.graph.errors import CheckError, ShapeError, StateError
from graphflow.graph.op import Array
from graphflow.graph.variable import Variable
from graphflow.runtime import loop_code
from graphflow.runtime.batches import Batches
from graphflow.runtime.buffer import aligned_empty, as_fed_array
from graphflow.runtime.loop_code import COLUMN, JOB, STOPPED
from graphflow.runtime.pool import current_pool
from graphflow.runtime.store import Store

if TYPE_CHECKING:
    from graphflow.runtime.executable import Executable


def as_table(value: Any, v: Variable) -> Array:
    """`value` as an array whose rows can be fed to `v`; rows of another dtype are converted on their way if they can be."""
    plain = isinstance(value, np.ndarray) and value.ndim > 0 and value.flags.c_contiguous and value.flags.aligned and value.dtype.isnative
    return np.asarray(value) if plain and loop_code.converts(value.dtype, v.dtype) else as_fed_array(value, v.dtype, v)


_SLOT = {name: i for i, name in enumerate(JOB)}


class Job:
    """The native loop's argument: 64-bit slots; arrays that slots point to are kept alive."""

    def __init__(self) -> None:
        self._slots = np.zeros(len(JOB), np.int64)
        self.address = self._slots.ctypes.data
        self._kept: dict[str, Array] = {}

    def set(self, **values: int | Array | None) -> None:
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                self._kept[name] = value
                value = value.ctypes.data
            self._slots[_SLOT[name]] = value or 0

    def __getitem__(self, name: str) -> int:
        return int(self._slots[_SLOT[name]])


class Loop(Batches):
    """The batches of a slice in one native call, under the lock of the Store.

    Raises ShapeError for tables that do not fit, StateError where a batch changes the sizes of the next one.
    """

    def __init__(self, executable: Executable, tables: Sequence[Array], batch_size: int, store: Store) -> None:
        m = executable.manifest
        super().__init__(tables, batch_size, [not t.shape for t in m.outputs[: m.fetched]])
        _require_lasting_sizes(m)
        self.executable, self.store = executable, store
        first, last = self.rows(0), self.rows(self.batches - 1)
        with store.lock.reading():
            self._dims = self._bind(first), self._bind(last)
            self._state = self._present_state()
        self._staging: dict[int, Array] = {}
        self._scalars: list[Array] = []
        self._columns = {ordered: self._column_records(ordered) for ordered in (False, True)}
        self._converts = bool(self._columns[False][:, COLUMN.index("gather")].any())
        self._as_they_come: Array | None = None  # as an order, if columns are converted
        self._native = loop_code.loop()
        size = size_function(m.workspace)
        self._workspace = aligned_empty((max(size(dims) for dims in self._dims),), np.dtype(np.uint8))
        self._job = Job()
        self._job.set(
            entry=executable.code.address(m.name), inputs=np.zeros(max(1, len(tables)), np.int64), full_dims=self._dims[0], last_dims=self._dims[1],
            consts=ctypes.addressof(executable.constant_table), workspace=self._workspace, column_count=len(tables), values=self.values,
            state=_addresses(self._state), batch=self.batch_size, last=last.stop - last.start, samples=self.samples, per_epoch=max(1, self.batches),
        )  # fmt: skip
        self._place_outputs()

    def run(self, orders: Array | None, sums: Array, until: int, watched: int) -> None:
        if self.results and until > max(1, self.batches):
            raise ShapeError("results with rows are joined over one epoch, and there are several", hint="return scalars, or loop over one epoch")
        pool, lock = current_pool(), self.store.lock
        if orders is None and self._converts:
            orders = self._order_as_it_is(len(sums))
        begun = self.at
        self._job.set(
            columns=self._columns[orders is not None], order=orders, sums=sums, watched=watched, at=begun, until=until,
            par=pool.par if pool is not None else None,
        )  # fmt: skip
        with lock.writing() if self.executable.writes else lock.reading():
            self._find_state()
            if config.debug_memory == "poison":
                self._workspace[:] = 0xFF
            try:
                code = self._native(self._job.address)
            finally:  # a signal's handler may have raised: what was done is in the job
                self.at = self._job["at"]
                self.executable.counter[0] += self.at - begun
        self.stopped = code == STOPPED
        if code not in (0, STOPPED):
            self._fail()

    def _fail(self) -> NoReturn:
        try:
            self.executable.fail(self._workspace)
        except CheckError as error:
            rows = self.rows(self.at)
            raise error.with_context(f"  in batch {self.at % self.batches} of the epoch, places {rows.start} to {rows.stop - 1}") from None

    def _bind(self, rows: slice) -> Array:
        """The Dims' values for a batch, with every size checked."""
        dims = self.executable.bind(self.part(rows), self.executable.cells_in(self.store))
        return np.array(dims or [0], np.int64)

    def _present_state(self) -> list[Array]:
        return [cell.array for cell in self.executable.cells_in(self.store)]

    def _find_state(self) -> None:
        """Where the Store's values are now: `set_value` may have replaced arrays since the last slice."""
        present = self._present_state()
        if any(a is not b for a, b in zip(present, self._state, strict=True)):
            if any(a.shape != b.shape for a, b in zip(present, self._state, strict=True)):
                raise StateError("a shared variable has changed its size during a loop", hint="begin another loop after set_value")
            self._state = present
            self._job.set(state=_addresses(present))

    def _order_as_it_is(self, epochs: int) -> Array:
        if self._as_they_come is None or len(self._as_they_come) != epochs:
            self._as_they_come = np.tile(np.arange(self.samples), (epochs, 1))
        return self._as_they_come

    def _column_records(self, ordered: bool) -> Array:
        """Rows are gathered if there is an order, and to convert them; else the entry reads the tables."""
        records = np.zeros((max(1, len(self.tables)), len(COLUMN)), np.int64)
        for i, (table, tensor) in enumerate(zip(self.tables, self.executable.manifest.inputs, strict=True)):
            units, target = (table.size // max(1, len(table)) if table.ndim else 0), np.dtype(tensor.dtype)
            records[i, :2] = table.ctypes.data, units * table.itemsize
            if units and (ordered or table.dtype != target):
                staging = self._staging.setdefault(i, aligned_empty((self.batch_size * units,), target))
                records[i, 2:] = staging.ctypes.data, *loop_code.gatherer(table.dtype, target, units)
        return records

    def _place_outputs(self) -> None:
        """Scalars have one place for all batches; other results are written where they belong in `results`."""
        addresses, means, rows = [], [], []
        for i, (full, last) in enumerate(zip(*(self.executable.allocate(dims.tolist()) for dims in self._dims), strict=True)):
            if last.ndim:
                if full.shape[1:] != last.shape[1:]:
                    raise ShapeError(f"results of batches have the shapes {list(full.shape)} and {list(last.shape)}, which cannot be joined")
                place = np.zeros((len(full) * max(0, self.batches - 1) + len(last), *last.shape[1:]), last.dtype)
                rows.append((i, place.ctypes.data, full.nbytes))
                self.results.append(place)
            else:
                place = last
                means.append((place.ctypes.data, loop_code.reader(place.dtype)))
                self._scalars.append(place)
            addresses.append(place.ctypes.data)
        self._job.set(outputs=_words(addresses), means=_words(means), mean_count=len(means), rows=_words(rows), row_count=len(rows))


def _addresses(arrays: Sequence[Array]) -> Array:
    return _words([a.ctypes.data for a in arrays])


def _words(values: Sequence[int | tuple[int, ...]]) -> Array:
    return np.array(values if values else [0], np.int64)


def _require_lasting_sizes(manifest: Manifest) -> None:
    """Raises StateError if a batch changes the size of state, or state whose value is a size."""
    written = {number for number, _ in manifest.updates}
    resized = [number for number, how in manifest.updates if how != "inplace"]
    resized += [number for kind, number, axis in manifest.dims if kind == "state" and axis == VALUE and number in written]
    if manifest.bounds:
        raise StateError("each batch has sizes that it computes", hint="call the function for each batch")
    if resized:
        raise StateError(f"{manifest.state[resized[0]].name} gives sizes that each batch changes", hint="call the function for each batch")
