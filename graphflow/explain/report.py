"""All that a page says, as data."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphflow.compiler.assemble import assemble
from graphflow.compiler.clone import dims_of_replacement
from graphflow.compiler.entry import Entry
from graphflow.compiler.memory import GUIDE
from graphflow.compiler.pipeline import Compilation
from graphflow.compiler.program import Loop, Program, walk
from graphflow.explain.kernels import Kernel, explain_kernels
from graphflow.explain.memory_map import MemoryMap, memory_map
from graphflow.explain.stages import Stage, explain_stages, fused_stages
from graphflow.explain.subject import Subject
from graphflow.graph.dim import Symbol, evaluate, symbols_of
from graphflow.graph.op import Array
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable
from graphflow.ops.sizes import value_symbol
from graphflow.runtime import cache
from graphflow.runtime.compile import prepare
from graphflow.runtime.pool import available_threads
from graphflow.runtime.roofline import Roofline, roofline
from graphflow.runtime.store import Store


@dataclass(frozen=True)
class Tensor:
    """An input, output or part of the state: its name, type and bytes."""

    name: str
    type: str
    bytes: int


@dataclass(frozen=True)
class Report:
    """`sizes`: the Dims by name, with the values for which bytes, operations and times are stated; `assumed`: they are made up."""

    name: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    state: list[Tensor]
    constants: int
    sizes: list[tuple[str, int]]
    assumed: bool
    stages: list[Stage]
    kernels: list[Kernel]
    memory: MemoryMap
    entry: str
    roofline: Roofline
    threads: int


def report(subject: Subject) -> Report:
    """Compile once more, keeping what each step made."""
    fn = subject.function
    c, _ = prepare(fn.compiled.request, subject.specialisation).compilation()
    names = _names(c, subject.names)
    stages = explain_stages(c, names)
    program = assemble(c.inputs, c.outputs, c.updates, c.machine, c.reuse, cache.library(), c.verify, c.computed, c.checks)
    stages += fused_stages(c, program, names)
    sizes = _sizes(program, subject.arrays, fn.store)
    measured = roofline()
    kernels = explain_kernels(program, sizes, c.machine, measured, available_threads())

    def tensor(v: Variable, name: str = "") -> Tensor:
        return Tensor(name or v.label, str(v.type), evaluate(v.type.nbytes, sizes))

    return Report(
        fn.name,
        [tensor(v) for v in program.inputs],
        [tensor(v, name) for v, name in zip(program.outputs, names, strict=False)],
        [tensor(v) for v in program.state],
        sum(v.value.nbytes for v in program.constants),
        [(s.name, n) for s, n in sizes.items()],
        subject.arrays is None,
        stages,
        kernels,
        memory_map(program, sizes),
        Entry(program, c.machine, "step", trampolines=False).text(),
        measured,
        available_threads(),
    )


def _names(c: Compilation, given: Sequence[str]) -> list[str]:
    """Names of the results."""
    outputs = [name or v.name or f"result {i}" for i, (name, v) in enumerate(zip(itertools.chain(given, itertools.repeat("")), c.outputs, strict=False))]
    return [*outputs, *(f"new {s.label}" for s, _ in c.updates), *(f"size {s.name}" for s, _ in c.computed)]


def _sizes(program: Program, arrays: Sequence[Array] | None, store: Store) -> Mapping[Symbol, int]:
    """Values of the Dims: from arrays where they came, else GUIDE, within what a Dim may be."""
    found: dict[Symbol, int] = {}
    if arrays is not None:
        held = [store.cell(s).array for s in program.state]
        for v, array in [*zip(program.inputs, arrays, strict=True), *zip(program.state, held, strict=True)]:
            found.update({s: n for s, n in dims_of_replacement(v.type, TensorType(v.dtype, array.shape)).items() if isinstance(n, int)})
            symbol = value_symbol(v)
            if symbol is not None:
                found[symbol] = int(array)
    named = [n for v in (*program.inputs, *program.outputs, *program.state) for n in v.shape]
    for size in [*named, *(p.offset for launch in program.launches for p in launch.places)]:
        for s in sorted(symbols_of(size), key=lambda s: s.serial):
            found.setdefault(s, GUIDE)
    loops = [step.length for step in walk(program.steps) if isinstance(step, Loop) and step.length is not None]
    for s in [*(s for size in loops for s in symbols_of(size)), *(s for launch in program.launches for s in launch.dims)]:
        found.setdefault(s, GUIDE)
    return found
