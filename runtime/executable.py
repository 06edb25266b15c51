"""Executable: compiled code and its manifest, callable with arrays and a Store."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import math
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from graphflow.compiler.entry import NO_OPERAND, entry_symbol
from graphflow.compiler.manifest import VALUE, Manifest, Tensor, size_function
from graphflow.compiler.target.machine import Loaded
from graphflow.configuration import config
from graphflow.graph.dim import MAX_EXTENT
from graphflow.graph.errors import CheckError, ShapeError
from graphflow.graph.op import Array
from graphflow.graph.variable import Shared
from graphflow.runtime.buffer import aligned_copy, aligned_empty
from graphflow.runtime.loop import Loop
from graphflow.runtime.pool import current_pool
from graphflow.runtime.store import Cell, Store

_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, *([ctypes.c_void_p] * 7))
_tags = itertools.count()
_INT64_MAX = 2**63 - 1


class Executable:
    """Loaded machine code.  Re-entrant: each call leases a workspace of its own."""

    def __init__(self, manifest: Manifest, objects: list[bytes], constants: Sequence[Array], state: Sequence[Shared], reasons: Mapping[tuple[int, int], str] | None = None, code: Loaded | None = None) -> None:
        self.manifest = manifest
        self.reasons = dict(reasons or {})
        self.objects = objects
        self.state = list(state)
        self.constants = [np.ascontiguousarray(c) for c in constants]
        self.code = code or Loaded(objects, [manifest.name], extern_addresses(manifest), f"{manifest.name}-{next(_tags)}")
        self._entry = _ENTRY(self.code.address(manifest.name))
        self.constant_table = _pointers(self.constants)
        self._input_shapes = [_shape_functions(t) for t in manifest.inputs]
        self._state_shapes = [_shape_functions(t) for t in manifest.state]
        self._outputs = [(np.dtype(t.dtype), _shape_functions(t)) for t in manifest.outputs]
        self._rooms = [list(map(size_function, shape)) for shape in manifest.rooms]
        self._bounds = [(i, size_function(manifest.bounds[number])) for i, (kind, number, _) in enumerate(manifest.dims) if kind == "computed"]
        self._equalities = [(size_function(e.a), size_function(e.b)) for e in manifest.equalities]
        self._workspace_size = size_function(manifest.workspace)
        self._free: list[Array] = []
        self._lock = threading.Lock()
        self.writes = bool(manifest.updates)
        self._written = {number for number, how in manifest.updates if how == "inplace"}
        self.counter = np.zeros(1, np.int64)  # of calls; native calls count here too
        self._last_cells: tuple[weakref.ref[Store], list[Cell]] | None = None

    def __call__(self, arrays: Sequence[Array], store: Store) -> list[Array]:
        """Run on C-contiguous arrays of the inputs' dtypes; returns the fetched outputs.

        Raises ShapeError or CheckError.
        """
        hold = contextlib.nullcontext() if not self.state else store.lock.writing() if self.writes else store.lock.reading()
        with hold:
            cells = self.cells_in(store)
            dims = self.bind(arrays, cells)
            outputs = self.allocate(dims)
            self.run(arrays, outputs, dims, cells)
            if self._bounds:
                outputs = self.cut(outputs, dims)
            for number, how in self.manifest.updates:
                if isinstance(how, int):
                    cells[number].array = aligned_copy(outputs[how])
        return outputs[: self.manifest.fetched]

    def loop(self, tables: Sequence[Array], batch_size: int, store: Store) -> Loop:
        """Batches of the rows of `tables` (arrays as in a call, or rows that `loop_code.converts`), run by one native loop.

        Raises ShapeError for tables that do not fit, StateError where a batch changes the sizes of the next one.
        """
        return Loop(self, tables, batch_size, store)

    @property
    def calls(self) -> int:
        """How often the code has run."""
        return int(self.counter[0])

    def cells_in(self, store: Store) -> list[Cell]:
        """The Cells of the state; a Store never exchanges them, so those of the last Store are kept."""
        last = self._last_cells
        if last is None or last[0]() is not store:
            last = self._last_cells = (weakref.ref(store), [store.cell(s).own() if i in self._written else store.cell(s) for i, s in enumerate(self.state)])
        return last[1]

    def bind(self, arrays: Sequence[Array], cells: Sequence[Cell]) -> list[int]:
        """Values of the Dims, with every size checked."""
        dims: list[int] = []
        for kind, number, axis in self.manifest.dims:
            if kind == "computed":
                dims.append(0)
                continue
            array = arrays[number] if kind == "in" else cells[number].array
            if axis >= array.ndim:
                raise self._misfit(kind, number, array.shape)
            dims.append(int(array) if axis == VALUE else array.shape[axis])
            if abs(dims[-1]) > MAX_EXTENT:
                raise ShapeError(f"axis {axis} of {self._name(kind, number)} has {dims[-1]} elements; at most {MAX_EXTENT} are supported")
        for i, most in self._bounds:
            dims[i] = most(dims)
        for i, (array, shape) in enumerate(zip(arrays, self._input_shapes, strict=True)):
            if array.ndim != len(shape):
                raise self._misfit("in", i, array.shape)
        for number, (a, b) in enumerate(self._equalities):
            if a(dims) != b(dims):
                what, _, where = self.manifest.equalities[number].text.partition("\n")
                raise ShapeError(f"{what}, and they are {a(dims)} and {b(dims)}", context=(where,), hint="feed arrays whose sizes fit")
        for i, (array, shape) in enumerate(zip(arrays, self._input_shapes, strict=True)):
            if any(f(dims) != n for f, n in zip(shape, array.shape, strict=True)):
                raise self._misfit("in", i, array.shape)
        for i, (cell, shape) in enumerate(zip(cells, self._state_shapes, strict=True)):
            if len(shape) != cell.array.ndim or any(f(dims) != n for f, n in zip(shape, cell.array.shape, strict=True)):
                raise self._misfit("state", i, cell.array.shape)
        return dims

    def _name(self, kind: str, number: int) -> str:
        return (self.manifest.inputs if kind == "in" else self.manifest.state)[number].name

    def _misfit(self, kind: str, number: int, shape: tuple[int, ...]) -> ShapeError:
        from graphflow.compiler.manifest import describe_size

        t = (self.manifest.inputs if kind == "in" else self.manifest.state)[number]
        names = tuple(f"{self._name(k, n)}.{axis}" for k, n, axis in self.manifest.dims)
        wanted = ", ".join(describe_size(s, names) for s in t.shape)
        what = "fed" if kind == "in" else "held by the Store"
        error = ShapeError(f"{t.name} takes the shape [{wanted}], and the array {what} has [{', '.join(map(str, shape))}]", hint="feed arrays whose sizes agree")
        why = [text for (i, _), text in self.reasons.items() if kind == "in" and i == number]
        return error.with_context(*why[:1])

    def allocate(self, dims: Sequence[int]) -> list[Array]:
        made: list[Array] = []
        for (dtype, _), shape in zip(self._outputs, self._rooms or [shape for _, shape in self._outputs], strict=True):
            sizes = tuple(f(dims) for f in shape)
            if any(n < 0 for n in sizes):
                raise ShapeError(f"a result would have the shape {list(sizes)}", hint="an input is too small for what is done with it")
            made.append(empty(sizes, dtype))
        return made

    def cut(self, outputs: Sequence[Array], dims: Sequence[int]) -> list[Array]:
        """The outputs with the shapes that the run found, which left what it made at the beginning of their memory."""
        shapes = [tuple(f(dims) for f in shape) for _, shape in self._outputs]
        return [out if out.shape == shape else out.reshape(-1)[: math.prod(shape)].reshape(shape).copy() for out, shape in zip(outputs, shapes, strict=True)]

    def run(self, arrays: Sequence[Array], outputs: Sequence[Array], dims: list[int], cells: Sequence[Cell]) -> None:
        """Call the code; `dims` gets the sizes that it computes."""
        size = self._workspace_size(dims)
        if size > _INT64_MAX:
            raise ShapeError(f"the workspace would take {size} bytes")
        workspace = self.lease(size)
        pool = current_pool()
        try:
            table = np.array(dims, np.int64) if dims else np.zeros(1, np.int64)
            code = self._entry(
                _pointers(arrays), _pointers(outputs), table.ctypes.data, _pointers([c.array for c in cells]),
                self.constant_table, workspace.ctypes.data, pool.par if pool is not None else None,
            )  # fmt: skip
            self.counter[0] += 1
            for i, _ in self._bounds:
                dims[i] = int(table[i])
            if code != 0:
                self.fail(workspace)
        finally:
            with self._lock:
                self._free.append(workspace)

    def fail(self, workspace: Array) -> NoReturn:
        """Raise the CheckError that a run has left in its workspace, or what a Python callable raised."""
        if self.manifest.externs:
            from graphflow.runtime.externs import take_exception

            raised = take_exception()
            if raised is not None:
                raise raised
        site, operand = map(int, workspace[:16].view(np.int64))
        raise CheckError(self.manifest.sites[site - 1].replace("{}", str(operand)), hint="" if operand == NO_OPERAND else f"the value was {operand}")

    def lease(self, size: int) -> Array:
        """A workspace of at least `size` bytes, the one used last if it is free."""
        with self._lock:
            workspace = self._free.pop() if self._free else None
        if workspace is None or workspace.nbytes < size:
            workspace = aligned_empty((size,), np.dtype(np.uint8))
        if config.debug_memory == "poison":
            workspace[:] = 0xFF  # NaN in every float dtype, -1 in ints
        return workspace


def extern_addresses(manifest: Manifest) -> dict[str, int]:
    """The addresses of the foreign code that a Program calls, by the symbols its entry has for them."""
    if not manifest.externs:
        return {}
    from graphflow.runtime.externs import address

    return {entry_symbol(symbol): address(symbol) for symbol in manifest.externs}


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Memory for a result; raises ShapeError where there is not so much."""
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        raise ShapeError(f"there is no memory for a result of shape {list(shape)} of {dtype}: {error}", hint="bound sizes that the graph computes, e.g. with gf.minimum(n, most)") from None


def _shape_functions(t: Tensor) -> list[Callable[[Any], int]]:
    return [size_function(s) for s in t.shape]


def _pointers(arrays: Sequence[Array]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * max(1, len(arrays)))(*[a.ctypes.data for a in arrays])
