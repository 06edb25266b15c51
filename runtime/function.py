"""`gf.function`: a compiled function of placeholders, with state as a side effect."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

import numpy as np

from graphflow.compiler.clone import Cloner
from graphflow.graph import source
from graphflow.graph.errors import DTypeError, FeedError, GraphError, ShapeError, StateError
from graphflow.graph.op import Array
from graphflow.graph.variable import Placeholder, Shared, Variable, as_variable, is_tensor_like, origin_of
from graphflow.ops.elementwise import cast
from graphflow.runtime.batches import Batches, Stepwise
from graphflow.runtime.buffer import as_fed_array
from graphflow.runtime.checking import checked, is_checking
from graphflow.runtime.compile import Request
from graphflow.runtime.compiled import Compiled
from graphflow.runtime.fastcall import NativeCall, native_call, native_type
from graphflow.runtime.loop import as_table
from graphflow.runtime.store import Store, default_store


def flatten(structure: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The leaves of nested lists, tuples and dicts, and a function that puts values in their places."""
    if isinstance(structure, dict):
        parts = [flatten(v) for v in structure.values()]
        keys = list(structure)
        return [x for leaves, _ in parts for x in leaves], lambda values: dict(zip(keys, _rebuild(parts, values), strict=True))
    if isinstance(structure, list | tuple):
        parts = [flatten(v) for v in structure]
        kind = type(structure)
        if hasattr(kind, "_fields"):
            return [x for leaves, _ in parts for x in leaves], lambda values: kind(*_rebuild(parts, values))
        return [x for leaves, _ in parts for x in leaves], lambda values: kind(_rebuild(parts, values))
    return [structure], lambda values: values[0]


def structure_of(outputs: Any) -> str:
    """Which of `callcode.STRUCTURES` results have."""
    if outputs is None:
        return "none"
    if type(outputs) in (list, tuple) and not any(isinstance(v, list | tuple | dict) for v in outputs):
        return type(outputs).__name__
    return "rebuilt" if isinstance(outputs, list | tuple | dict) else "one"


def _rebuild(parts: Sequence[tuple[list[Any], Callable[[Sequence[Any]], Any]]], values: Sequence[Any]) -> Iterator[Any]:
    at = 0
    for leaves, build_part in parts:
        yield build_part(values[at : at + len(leaves)])
        at += len(leaves)


def _nothing(values: Sequence[Any]) -> None:
    return None


FEW = 3  # calls through Python that are alike, after which they are made native ...
MANY = 1000  # ... and at most, where it has been done before and did not help


class Function:
    """What `gf.function` returns; call it with one value for each input.

    Calls go through Python at first.  Once they repeat, `runtime/fastcall.py` takes over: from plain arrays
    to plain arrays natively, and everything else by way of `__call__`.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        return object.__new__(native_type(cls) if cls is Function else cls)

    def __init__(self, inputs: Sequence[Variable], outputs: Any, updates: Sequence[tuple[Shared, Variable]], name: str, store: Store, compiled: Compiled | None = None) -> None:
        leaves, rebuild = flatten(outputs) if outputs is not None else ([], _nothing)
        self._rebuild: Callable[[Sequence[Any]], Any] = rebuild
        self._structure = structure_of(outputs)
        self.inputs = tuple(inputs)
        self.name = name
        self.store = store
        self.compiled = compiled or Compiled(Request(self.inputs, tuple(as_variable(v) for v in leaves), tuple(updates)), name)
        self.made_at = source.here()
        self._native: NativeCall | None = None
        self._given: Any = None
        self._repeated, self._patience = 0, FEW
        self._making = threading.Lock()

    @property
    def graph_inputs(self) -> list[Variable]:
        return list(self.inputs)

    @property
    def graph_outputs(self) -> list[Variable]:
        return list(self.compiled.request.outputs) + [v for _, v in self.compiled.request.updates]

    def __call__(self, *values: Any, **named: Any) -> Any:
        """Run on arrays (or what converts to them); returns arrays in the structure of `outputs`."""
        if named or len(values) != len(self.inputs):
            values = self._arrange(values, named)
        arrays = [as_fed_array(value, v.dtype, v) for v, value in zip(self.inputs, values, strict=True)]
        if self._native is not None:
            result = self._native(*arrays)
            if result is not NotImplemented:
                return result
        results = self._run(check_ranks(self.inputs, arrays))
        self._repeated += 1
        if self._repeated >= self._patience:
            self._make_native()
        return self._rebuild(results)

    def _make_native(self) -> None:
        with self._making:
            executable, native = self.compiled.last, self._native
            if executable is None or is_checking(self.compiled) or (native is not None and not native.idle):
                return
            settled = native is not None and native.current
            self._repeated, self._patience = 0, min(2 * self._patience, MANY) if settled else FEW
            made = native_call(executable, self.store, self._structure, self._rebuild)
            if made is not None:
                self._given = (self._given, made)  # what was given must not be freed, even if the next line is interrupted
                made.give_to(self)
                self._native = self._given = made

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes over: not the native calls, which are one object's."""
        return {**self.__dict__, "_native": None, "_given": None}

    def loop(self, tables: Sequence[Any], batch_size: int = 32, epochs: int = 1, shuffle: Any = None) -> Any:
        """Run on batches of the rows of `tables`, epoch after epoch, in one native call for many batches.

        `tables`: for each input an array with a row for each sample, or a scalar that goes to every batch; the last batch
        may be smaller.  `shuffle`: what has a method `shuffle(array)`, such as a NumPy generator or the module `numpy.random`; it is
        called once an epoch, on the same array of row numbers.  Returns, in the structure of `outputs`, for a scalar its
        mean over the rows of each epoch, float64 [epochs]; other results are joined along their first axis, which is for one epoch.
        State is updated as by calls, batch by batch, to the same bits; Ctrl-C takes effect between two batches.
        Raises FeedError, DTypeError and ShapeError for tables that do not fit, CheckError.
        """
        return self._rebuild(self.batches(tables, batch_size).loop(epochs, shuffle))

    def batches(self, tables: Sequence[Any], batch_size: int) -> Batches:
        """Batches of the rows of `tables`, ready to run; native unless sizes or a debugging setting ask for a call of each."""
        if len(tables) != len(self.inputs):
            raise FeedError(f"{self.name}: {len(tables)} tables for {len(self.inputs)} inputs", hint=f"one for each of {', '.join(v.label for v in self.inputs)}")
        arrays = [as_table(table, v) for v, table in zip(self.inputs, tables, strict=True)]
        executable = self.compiled.executable(self.compiled.specialisation(arrays, self.store))
        if not is_checking(self.compiled):
            with suppress(ShapeError, StateError):  # where the tables are at fault, the first call says so
                return executable.loop(arrays, batch_size, self.store)
        outputs = executable.manifest.outputs[: executable.manifest.fetched]
        return Stepwise(self._call_one, arrays, batch_size, [not t.shape for t in outputs])

    def _call_one(self, arrays: Sequence[Array]) -> list[Array]:
        fed = [as_fed_array(array, v.dtype, v) for v, array in zip(self.inputs, arrays, strict=True)]
        return self._run(check_ranks(self.inputs, fed))

    def _run(self, arrays: Sequence[Array]) -> list[Array]:
        run = checked if is_checking(self.compiled) else Compiled.__call__
        return run(self.compiled, arrays, self.store)

    def _arrange(self, values: Sequence[Any], named: Mapping[str, Any]) -> tuple[Any, ...]:
        names = [v.name for v in self.inputs]
        found: dict[int, Any] = dict(enumerate(values))
        for name, value in named.items():
            if name not in names or names.index(name) in found:
                raise FeedError(f"{self.name}: no free input is called {name!r}", hint=f"inputs are {', '.join(v.label for v in self.inputs)}")
            found[names.index(name)] = value
        missing = [v for i, v in enumerate(self.inputs) if i not in found]
        if missing or len(values) > len(self.inputs):
            what = f"no value for {', '.join(origin_of(v) for v in missing)}" if missing else f"{len(values)} values for {len(self.inputs)} inputs"
            raise FeedError(f"{self.name}: {what}", hint=f"call it with ({', '.join(v.label for v in self.inputs)})")
        return tuple(found[i] for i in range(len(self.inputs)))

    def __repr__(self) -> str:
        return f"<graphflow function {self.name}({', '.join(str(v.type) for v in self.inputs)})>"


def check_ranks(inputs: Sequence[Variable], arrays: Sequence[Array]) -> Sequence[Array]:
    """Refuse a feed whose rank or static sizes are wrong, naming the user's line and the placeholder's."""
    for v, array in zip(inputs, arrays, strict=True):
        shape = v.type.shape
        if shape is None:
            continue
        wrong = array.ndim != len(shape) or any(isinstance(s, int) and s != n for s, n in zip(shape, array.shape, strict=True))
        if wrong:
            expected = f"rank {len(shape)}" if array.ndim != len(shape) else "other sizes"
            raise ShapeError(
                f"wrong shape for {v.label}: it takes {v.type}, and an array of shape {list(array.shape)} came",
                hint=f"expected {expected}: reshape the array, e.g. x[None] adds an axis" if array.ndim != len(shape) else "sizes that vary are declared None",
                context=(f"  expected: {origin_of(v)}",),
            )
    return arrays


def function(
    inputs: Sequence[Variable],
    outputs: Any = None,
    updates: Mapping[Shared, Any] | Sequence[tuple[Shared, Any]] = (),
    givens: Mapping[Variable, Any] | Sequence[tuple[Variable, Any]] = (),
    name: str | None = None,
    check_nan: bool = False,
) -> Function:
    """Compile a function of `inputs` that returns `outputs` and then performs `updates`.

    `outputs`: a Variable, None, or nested lists, tuples and dicts of them; the result has the same
    structure.  `updates`: new values of shared variables, all computed from the old ones.
    `givens`: Variables to replace before compiling.  Sizes left open are bound at each call: one
    compilation serves every batch size.  `check_nan`: as the setting of that name, for this function.  Raises GraphError or FeedError for a wrong signature.
    """
    inputs = [inputs] if isinstance(inputs, Variable) else list(inputs)
    for v in inputs:
        if not isinstance(v, Variable):
            raise GraphError(f"function: the input {v!r:.60} is not a Variable", hint="inputs are placeholders")
    if len(set(inputs)) != len(inputs):
        raise GraphError("function: an input is listed twice")
    pairs = [(s, _new_value(s, v)) for s, v in (updates.items() if isinstance(updates, Mapping) else updates)]
    if len({s for s, _ in pairs}) != len(pairs):
        raise GraphError("function: a shared variable has two updates", hint="combine them into one new value")
    leaves, rebuild = flatten(outputs) if outputs is not None else ([], None)
    results = [_output(v) for v in leaves]
    replace = dict(givens.items() if isinstance(givens, Mapping) else givens)
    for v in inputs:
        if not isinstance(v, Placeholder):  # feeding an intermediate: it becomes a placeholder
            replace[v] = Placeholder(v.type, v.name)
    if replace:
        table = {v: as_variable(x) for v, x in replace.items()}
        everything = Cloner(table).clone([*results, *(v for _, v in pairs)])
        results, pairs = everything[: len(results)], list(zip([s for s, _ in pairs], everything[len(results) :], strict=True))
        inputs = [table.get(v, v) if not isinstance(v, Placeholder) else v for v in inputs]
    structure = rebuild(results) if rebuild is not None else None
    made = Function(inputs, structure, pairs, name or "function", default_store())
    made.compiled.check_nan = check_nan
    return made


def _output(v: Any) -> Variable:
    if not isinstance(v, Variable) and not is_tensor_like(v):
        raise GraphError(f"function: the output {v!r:.60} is not a Variable")
    return as_variable(v)


def _new_value(s: Any, value: Any) -> Variable:
    if not isinstance(s, Shared):
        raise GraphError(f"updates: {s!r:.60} is not a shared variable", hint="make state with gf.shared(value)")
    v = as_variable(value, s.dtype) if not isinstance(value, Variable) else value
    if v.type.shape is not None and len(v.shape) != s.ndim:
        raise ShapeError(f"updates: the new value of {s.label} has the type {v.type}, and it holds {s.type}", context=(f"  {origin_of(v)}", f"  {origin_of(s)}"), hint="state keeps its rank: reshape the new value, or reduce it")
    if v.dtype == s.dtype:
        return v
    if not np.can_cast(v.dtype, s.dtype, "same_kind"):
        raise DTypeError(f"updates: the new value of {s.label} is {v.dtype}, and it holds {s.dtype}", hint="use gf.cast")
    return cast(v, s.dtype)
