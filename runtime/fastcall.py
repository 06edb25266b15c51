"""Native calls: a compiled function from NumPy arrays to NumPy arrays without Python in between.

A `NativeCall` is an Executable with all that a call of it needs, as one table of words that the code of
`callcode.py` reads: dtypes and ranks to expect, where the Dims come from, sizes as steps on registers, addresses
of the entry, the workspace, constants and cells.  It serves calls like those before: plain arrays
whose sizes fit.  All others are left to Python, which converts, checks, and raises.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, TypeVar

import numpy as np

from graphflow.compiler.emit import finish_module
from graphflow.compiler.library import Code
from graphflow.compiler.manifest import VALUE
from graphflow.compiler.target.machine import Loaded, compile_module, host
from graphflow.configuration import config
from graphflow.runtime import callcode, cpython
from graphflow.runtime.cache import library
from graphflow.runtime.executable import Executable
from graphflow.runtime.pool import current_pool
from graphflow.runtime.store import Store

T = TypeVar("T")
Register = tuple[str, int]  # a kind (dim, constant, step) and a number within it

config.watch(cpython.look_anew)


def native_type(cls: type[T]) -> type[T]:
    """`cls`, or where this interpreter allows it a subclass whose instances can be called natively."""
    return cpython.called_natively(cls) if cpython.known() else cls


def native_call(executable: Executable, store: Store, structure: str, rebuild: Callable[[Sequence[Any]], Any]) -> NativeCall | None:
    """Calls of `executable` as the settings are now; None where they have to go through Python.

    `structure` is one of `callcode.STRUCTURES`; `rebuild` makes the result of a list where it is "rebuilt".
    """
    if not cpython.known():
        return None
    generation = cpython.generation()  # before the settings are read: a change from now on is noticed
    if not config.fastcall or config.check_nan or config.check_kernels or config.debug_memory == "poison":
        return None
    m = executable.manifest
    if m.bounds:  # results of sizes that are known only afterwards
        return None
    tensors = {"in": m.inputs, "state": m.state}
    values = [np.dtype(tensors[kind][number].dtype) for kind, number, axis in m.dims if axis == VALUE]
    if any(how != "inplace" for _, how in m.updates) or any(d.kind not in "iu" for d in values):
        return None
    try:
        return NativeCall(executable, store, structure, rebuild, generation)
    except OverflowError:  # a size beyond 64 bits
        return None


class Sizes:
    """Encoded sizes (`compiler/manifest.py`) as registers: the Dims come first, then constants, then results of steps."""

    def __init__(self, dims: int) -> None:
        self.dims = dims
        self.constants: dict[int, int] = {}
        self.steps: dict[tuple[str, Register, Register], int] = {}

    def register(self, size: Any) -> Register:
        if isinstance(size, int):
            return "constant", self.constants.setdefault(size, len(self.constants))
        total: Register | None = None
        for coefficient, atoms in size:
            factors = [self.atom(a) for a in atoms]
            product = factors.pop(0) if coefficient == 1 and factors else self.register(coefficient)
            for factor in factors:
                product = self.step("*", product, factor)
            total = product if total is None else self.step("+", total, product)
        return self.register(0) if total is None else total

    def atom(self, atom: Any) -> Register:
        if isinstance(atom, int):
            return "dim", atom
        kind, a, b = atom
        return self.step(kind, self.register(a), self.register(b))

    def step(self, kind: str, a: Register, b: Register) -> Register:
        return "step", self.steps.setdefault((kind, a, b), len(self.steps))

    def number(self, register: Register) -> int:
        """Its place among all; known when all sizes have been asked for."""
        kind, i = register
        return i + {"dim": 0, "constant": self.dims, "step": self.dims + len(self.constants)}[kind]

    def words(self) -> list[int]:
        return [0] * self.dims + list(self.constants) + [0] * len(self.steps)

    def rows(self) -> list[Sequence[int]]:
        return [(callcode.STEPS.index(kind), self.number(a), self.number(b)) for kind, a, b in self.steps]


class NativeCall:
    """Calls of one Executable on one Store.  Called with arrays it makes one, or gives NotImplemented."""

    def __new__(cls, *args: Any) -> Self:
        return object.__new__(cpython.called_natively(cls))

    def __init__(self, executable: Executable, store: Store, structure: str, rebuild: Callable[[Sequence[Any]], Any], generation: int) -> None:
        self._kept: list[Any] = [executable, rebuild]  # what the table has addresses of
        fields = {**dict.fromkeys(callcode.CALL, 0), "generation": generation}
        fields.update(self._surroundings(executable, store))
        fields.update(self._operands(executable, store), **self._results(executable))
        fields.update(structure=callcode.STRUCTURES.index(structure), rebuild=id(rebuild))
        self.table = np.array(list(fields.values()), np.int64)
        cpython.set_native(self, native_code().address("gf.attempt"), self.table.ctypes.data)

    def __call__(self, *arrays: Any) -> Any:
        """What calls do until the table is set, from when on they do not come here."""
        return NotImplemented

    def give_to(self, function: object) -> None:
        """Make this what a call of `function` does, if its type allows it; the caller keeps this as long as `function`."""
        cpython.set_native(function, native_code().address("gf.call"), self.table.ctypes.data)

    @property
    def current(self) -> bool:
        """Were calls made for the settings as they are?"""
        return int(self.table[callcode.CALL["generation"] // 8]) == cpython.generation()

    @property
    def idle(self) -> bool:
        """No call is running; or those that are were begun before a fork, and never end."""
        return not self.table[callcode.CALL["busy"] // 8] or not self.current

    # --- the table --------------------------------------------------------------------------------
    def _words(self, rows: Iterable[Sequence[int]]) -> int:
        """The address of an array of all the numbers."""
        array = np.array([n for row in rows for n in row], np.int64)
        self._kept.append(array)
        return int(array.ctypes.data)

    def _keep(self, thing: object) -> int:
        self._kept.append(thing)
        return id(thing)

    def _surroundings(self, executable: Executable, store: Store) -> dict[str, int]:
        pool, lock = current_pool(), store.lock
        workspace = executable.lease(0)
        self._kept += [workspace, pool, lock, executable.constant_table, executable.counter]
        return {
            "process": cpython.process_table().ctypes.data,
            "owner": id(self),
            "workspace": workspace.ctypes.data,
            "capacity": workspace.nbytes,
            "entry": executable.code.address(executable.manifest.name),
            "constants": ctypes.addressof(executable.constant_table),
            "parallel": pool.par if pool is not None else 0,
            "calls": executable.counter.ctypes.data,
            "lock": lock.address if executable.state else 0,
            "writes": int(executable.writes),
            "unlock": self._keep(lock.end_writing if executable.writes else lock.end_reading),
            "failed": self._keep(functools.partial(executable.fail, workspace)),
        }

    def _operands(self, executable: Executable, store: Store) -> dict[str, int]:
        m, cells = executable.manifest, executable.cells_in(store)
        dtypes = [np.dtype(t.dtype) for t in m.inputs] + [cell.array.dtype for cell in cells]
        written = {number for number, _ in m.updates}
        records = [(self._keep(dtype), len(t.shape), callcode.PLAIN, 0) for dtype, t in zip(dtypes, m.inputs, strict=False)]
        for i, (cell, t) in enumerate(zip(cells, m.state, strict=True)):
            flags = callcode.PLAIN | callcode.WRITEABLE if i in written else callcode.PLAIN
            records.append((self._keep(cell.array.dtype), len(t.shape), flags, self._keep(cell)))
        first = {"in": 0, "state": len(m.inputs)}
        where = [(i, first[kind] + number, axis) for i, (kind, number, axis) in enumerate(m.dims)]
        axes = [(i, operand, 8 * axis) for i, operand, axis in where if axis != VALUE]
        values = [(i, operand, dtypes[operand].itemsize, int(dtypes[operand].kind == "i")) for i, operand, axis in where if axis == VALUE]
        return {
            "inputs": len(m.inputs),
            "operands": len(records),
            "operand_records": self._words(records),
            "shapes": self._words([[0] * len(records)]),
            "pointers": self._words([[0] * len(records)]),
            "axes": self._words(axes),
            "axis_count": len(axes),
            "values": self._words(values),
            "value_count": len(values),
        }

    def _results(self, executable: Executable) -> dict[str, int]:
        """Everything about sizes, and the outputs."""
        m = executable.manifest
        sizes = Sizes(len(m.dims))
        shapes = [[sizes.register(s) for s in t.shape] for t in (*m.inputs, *m.state)]
        outputs = [[sizes.register(s) for s in t.shape] for t in m.outputs]
        equal = [(sizes.register(e.a), sizes.register(e.b)) for e in m.equalities]
        needed, work = sizes.register(m.workspace), sizes.register(m.work)
        number, steps, words = sizes.number, sizes.rows(), sizes.words()
        checks = [(i, 8 * axis, number(r)) for i, shape in enumerate(shapes) for axis, r in enumerate(shape)]
        registers = self._words([words])
        extents = self._words([[0] for shape in outputs for _ in shape])
        starts = np.cumsum([0, *map(len, outputs)]).tolist()
        records = [(self._keep(np.dtype(t.dtype)), len(t.shape), extents + 8 * at) for t, at in zip(m.outputs, starts, strict=False)]
        return {
            "registers": registers,
            "steps": self._words(steps),
            "step_count": len(steps),
            "results": registers + 8 * (len(words) - len(steps)),
            "checks": self._words(checks),
            "check_count": len(checks),
            "equalities": self._words((number(a), number(b)) for a, b in equal),
            "equality_count": len(equal),
            "needed": number(needed),
            "work": number(work),
            "output_axes": self._words([number(r)] for shape in outputs for r in shape),
            "output_axis_count": starts[-1],
            "output_sizes": extents,
            "output_records": self._words(records),
            "outputs": len(records),
            "made": self._words([[0] * len(records)]),
            "out_pointers": self._words([[0] * len(records)]),
        }


_loading = threading.Lock()


@functools.cache
def _load() -> Loaded:
    layout = cpython.VECTORCALL + 8
    name = "call_" + hashlib.sha256(f"{library().build} {layout} {host()}".encode()).hexdigest()[:20]
    found = library().find(name)
    if found is None:
        code = compile_module(finish_module(callcode.text(layout), host()), host())
        assert isinstance(code, bytes)
        found = Code(code, None)
        library().add(name, found)
    return Loaded([found.object], ["gf.call", "gf.attempt"], {}, "graphflow-call")


def native_code() -> Loaded:
    """The code of calls, from the cache or compiled now; one for the process."""
    with _loading:
        return _load()
