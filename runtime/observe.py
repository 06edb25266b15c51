"""Calls watched kernel by kernel: what each read and made, as arrays by Variable.

A kernel is a group of nodes, and one launch or two; in a loop it runs once a trip.  Its operands are copied before the launch
that reads them, for it may write over them, its results after the launch that stores the last of them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from graphflow.compiler import reference
from graphflow.compiler.clone import Cloner
from graphflow.compiler.fuse import Fusion, Group
from graphflow.compiler.observed_entry import SYMBOL, ObservedEntry
from graphflow.compiler.program import Choice, Launch, Loop, Program, walk
from graphflow.graph.dim import Symbol, evaluate
from graphflow.graph.op import Array, RegionOp
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Apply, Placeholder, Variable
from graphflow.runtime.compile import Request
from graphflow.runtime.compiled import Compiled
from graphflow.runtime.instrument import Instrumented, sizes_of
from graphflow.runtime.store import Store

_OBSERVER = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.POINTER(ctypes.c_int64))
Look = Callable[["Kernel"], None]


@dataclass
class Kernel:
    """A group of nodes as it ran: `operands` before it and those `results` after it that anything uses.

    `launch` is its last one, the one of that `number`; `at` are addresses.
    """

    group: Group
    launch: Launch
    number: int
    sizes: Mapping[Symbol, int]
    operands: dict[Variable, Array] = field(default_factory=dict)
    results: dict[Variable, Array] = field(default_factory=dict)
    at: dict[Variable, int] = field(default_factory=dict)


class Observed(Instrumented):
    """A request whose calls are watched.  Nothing shares memory but what is written over in place."""

    entry_kind, symbol, reuse = ObservedEntry, SYMBOL, False

    def __init__(self, request: Request, name: str) -> None:
        super().__init__(request, name)
        self._observer = _OBSERVER(self._report)
        self._failure: BaseException | None = None
        self._watch: _Watch | None = None

    def words(self, program: Program) -> Array:
        return np.array([ctypes.cast(self._observer, ctypes.c_void_p).value], np.int64)

    def observe(self, arrays: Sequence[Array], store: Store, look: Look) -> list[Array]:
        """Make a call, and have `look` called after each kernel; raises what it raises, and then state is as before."""
        self._failure, self._watch, self._call = None, None, (arrays, store, look)
        with unchanged_on_error(self, store):
            results = self(arrays, store)
            if self._failure is not None:
                raise self._failure
        return results

    def _report(self, launch: int, done: int, operands: ctypes._Pointer[ctypes.c_int64]) -> None:
        """What the entry calls; nothing may be raised through it."""
        if self._failure is not None:
            return
        try:
            arrays, store, look = self._call
            if self._watch is None:
                self._watch = _Watch(self.program, sizes_of(self.current, self.program, arrays, store))
            finished = self._watch.report(launch, bool(done), operands)
            if finished is not None:
                look(finished)
        except BaseException as error:
            self._failure = error


@contextmanager
def unchanged_on_error(compiled: Compiled, store: Store) -> Iterator[None]:
    """State that is written has its old value again if an error is raised inside."""
    with store.lock.writing():
        cells = [store.cell(s) for s in compiled.written]
        before = [cell.array.copy() for cell in cells]
        try:
            yield
        except BaseException:
            for cell, array in zip(cells, before, strict=True):
                if cell.array.shape == array.shape and cell.array.flags.writeable:
                    cell.array[...] = array
                else:
                    cell.array = array
            raise


class _Watch:
    """One call: the kernels that have begun."""

    def __init__(self, program: Program, sizes: Mapping[Symbol, int]) -> None:
        self.launches, self.sizes = program.launches, sizes
        self.touched: dict[Group, set[Variable]] = {}
        for launch in self.launches:
            self.touched.setdefault(launch.group, set()).update(v for pair in launch.values for v in pair if v is not None)
        self.used = used_values(program)
        self.begun: dict[Group, Kernel] = {}

    def report(self, number: int, done: bool, operands: ctypes._Pointer[ctypes.c_int64]) -> Kernel | None:
        """Take in a launch; the kernel, if it is complete."""
        launch = self.launches[number]
        dims = {d: operands[len(launch.places) + i] for i, d in enumerate(launch.dims)}
        kernel = self.begun.setdefault(launch.group, Kernel(launch.group, launch, number, {**self.sizes, **dims}))
        kernel.launch, kernel.number = launch, number
        stores = [v for v in launch.group.stores if v in self.used]
        wanted = stores if done else leaves(stores, self.touched[launch.group] - set(launch.group.stores))
        into = kernel.results if done else kernel.operands
        for i, pair in enumerate(launch.values):
            for v in pair:
                if v is not None and v in wanted and v not in into:
                    kernel.at[v] = operands[i]
                    into[v] = _copied(v, operands[i], kernel.sizes)
        return self.begun.pop(launch.group) if done and len(kernel.results) == len(stores) else None


def used_values(program: Program) -> set[Variable]:
    """The memory that something reads, or that is a result; a loop nest may store what nothing does."""
    results = [*program.outputs, *(v for _, v in program.updates)]
    regions = [r for step in walk(program.steps) if isinstance(step, Loop | Choice) and step.group for node in step.group.members if isinstance(node.op, RegionOp) for r in node.op.regions]
    results += [v for region in regions for v in region.outputs]
    return {Fusion.root(v) for v in [*results, *(x for node in toposort(results) for x in node.inputs)]}


def _copied(v: Variable, address: int, sizes: Mapping[Symbol, int]) -> Array:
    made = np.empty(tuple(evaluate(n, sizes) for n in v.shape), v.dtype)
    ctypes.memmove(made.ctypes.data, address, made.nbytes)
    return made


# --- by reference -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Step:
    """A node of a kernel by its NumPy reference."""

    node: Apply
    operands: list[Array]
    results: list[Array]


@dataclass(frozen=True)
class Run:
    """A kernel by references: nodes in order, on `stand_ins` for its operands; each result as it is now called, and its value."""

    stand_ins: dict[Variable, Variable]
    steps: list[Step]
    results: dict[Variable, Variable]
    values: dict[Variable, Array]

    @property
    def ops(self) -> str:
        """`multiply · add · sum`, each once."""
        return " · ".join(dict.fromkeys(str(step.node.op).partition("{")[0] for step in self.steps))


def by_reference(kernel: Kernel) -> Run:
    """The kernel's nodes, one after the other, on the operands it had."""
    stand_ins: dict[Variable, Variable] = {}
    arrays: dict[Variable, Array] = {}
    for v, array in kernel.operands.items():
        stand_in = Placeholder(TensorType(v.dtype, array.shape), v.name or v.label)
        stand_in.made_at = v.source
        stand_ins[v] = stand_in
        arrays[stand_in] = array
    fixed = Cloner(stand_ins, dict(kernel.sizes)).clone(list(kernel.results))
    reference.run(fixed, arrays)
    steps = [Step(node, [arrays[v] for v in node.inputs], [arrays[v] for v in node.outputs]) for node in toposort(fixed)]
    results = dict(zip(kernel.results, fixed, strict=True))
    return Run(stand_ins, steps, results, {v: arrays[made] for v, made in results.items()})
