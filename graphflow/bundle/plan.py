"""What a bundle holds: the functions it exports as Programs over common Dims, state and constants.

`NAME_run` computes the outputs; `NAME_train_step` computes its outputs and then writes the updates into
the caller's state.  The image is the state's present values followed by the constants; the first part has
the layout of the caller's state block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphflow.bundle.target import Target
from graphflow.compiler.assemble import assemble
from graphflow.compiler.manifest import VALUE, Manifest
from graphflow.compiler.pipeline import Compilation, run_passes
from graphflow.compiler.program import Program
from graphflow.compiler.verify import verify
from graphflow.configuration import config
from graphflow.graph.dim import Dim, Size, Symbol, substitute, symbols_of
from graphflow.graph.errors import ExportError
from graphflow.graph.op import Array
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.types import Shape, TensorType
from graphflow.graph.variable import Constant, Placeholder, Shared, Variable, origin_of
from graphflow.runtime.compile import (
    Request,
    Specialisation,
    advance_random_state,
    check_leaves,
    describe,
    size_equalities,
    specialise,
    split_updates,
)
from graphflow.runtime.store import Store

ALIGNMENT = 64


@dataclass(frozen=True)
class Tensor:
    """A parameter of an exported function, or a part of the state block (then with an offset)."""

    name: str
    type: TensorType
    offset: int = 0

    @property
    def shape(self) -> Shape:
        return self.type.known_shape


@dataclass(frozen=True)
class Routine:
    """One exported function: `NAME_run` or `NAME_train_step`."""

    suffix: str
    program: Program
    manifest: Manifest
    inputs: list[Tensor]
    outputs: list[Tensor]
    equalities: list[tuple[Size, Size, str]]

    @property
    def writes(self) -> bool:
        return bool(self.program.updates)


@dataclass
class Plan:
    """Everything the object, the header and the self-test are written from."""

    name: str
    target: Target
    dims: list[Symbol]
    dim_names: list[str]
    routines: list[Routine]
    shared: list[Shared] = field(default_factory=list)
    state: list[Tensor] = field(default_factory=list)
    constant_offset: dict[Constant, int] = field(default_factory=dict)
    image: bytes = b""
    state_bytes: int = 0

    @property
    def writes(self) -> bool:
        return any(r.writes for r in self.routines)

    def size_text(self, size: Size) -> str:
        """A size as an expression of the Dims' names."""
        return str(substitute(size, {s: Dim.symbol(n) for s, n in zip(self.dims, self.dim_names, strict=True)}))

    def metadata_of(self, tensors: Iterable[Tensor], offsets: bool = False) -> list[dict[str, Any]]:
        return [
            {"name": t.name, "dtype": t.type.dtype.name, "shape": [self.size_text(s) for s in t.shape]}
            | ({"offset": t.offset} if offsets else {})
            for t in tensors
        ]


# --- from requests to routines --------------------------------------------------------------------
def make_plan(name: str, target: Target, run: Request, step: Request | None, ranks: Mapping[Variable, int], store: Store) -> Plan:
    """Specialise, compile and lay out.  `ranks`: of inputs that were declared without a shape.

    Raises ExportError for what a bundle cannot hold, FeedError for placeholders that are no input.
    """
    run, step = common(run, step, ranks, store)
    check_leaves([_placeholder(v) for v in run.inputs], run.outputs)
    routines = [routine("run", run, target)]
    if step is not None:
        check_leaves([_placeholder(v) for v in step.inputs], [*step.outputs, *(v for _, v in step.updates)])
        routines.append(routine("train_step", step, target))
    dims = order_dims(routines)
    names = unique(re.sub(r"\W", "_", s.name) or "d" for s in dims)
    plan = Plan(name, target, dims, names, routines)
    for r in routines:
        r.program.dims = list(dims)
    lay_out(plan, store)
    return plan


def common(run: Request, step: Request | None, ranks: Mapping[Variable, int], store: Store) -> tuple[Request, Request | None]:
    """Both functions on the same placeholders and Dims, with state in its present sizes."""
    further = step or Request((), (), ())
    inputs = tuple(dict.fromkeys([*run.inputs, *further.inputs]))
    joint = Request(inputs, (*run.outputs, *further.outputs), further.updates)
    spec = Specialisation(tuple(shape_of(v, ranks) for v in inputs), present_state(joint, store))
    typed = specialise(joint, spec)
    if typed.computed:
        raise ExportError(f"a size is the value of {origin_of(typed.computed[0][1])}, which the graph computes, and such functions are not exported", hint="give sizes: size=n of gf.nonzero, gf.unique ..., or a fed scalar")
    results = typed.outputs
    table = dict(zip(inputs, typed.inputs, strict=True))
    n = len(run.outputs)
    first = Request(tuple(table[v] for v in run.inputs), tuple(results[:n]), ())
    if step is None:
        return first, None
    return first, Request(tuple(table[v] for v in step.inputs), tuple(results[n:]), tuple(typed.updates))


def shape_of(v: Variable, ranks: Mapping[Variable, int]) -> Shape | None:
    if v.type.shape is not None:
        return None
    if v not in ranks:
        raise ExportError(f"the rank of {origin_of(v)} is not known", hint="declare its shape, or pass inputs=[sample arrays]")
    return tuple(Dim.symbol(f"{v.name or 'd'}.{axis}", origin=v) for axis in range(ranks[v]))


def present_state(request: Request, store: Store) -> tuple[tuple[Shared, Shape], ...]:
    """State whose size is open or has changed, with the sizes it has now: a bundle's block has a fixed layout."""
    found = [v for v in leaves([*request.outputs, *(v for _, v in request.updates)]) if isinstance(v, Shared)]
    found += [s for s, _ in request.updates if s not in found]
    shapes = [(s, store.get(s).shape) for s in found]
    return tuple((s, shape) for s, shape in shapes if tuple(s.shape) != shape)


def routine(suffix: str, request: Request, target: Target) -> Routine:
    """Compile one function of the bundle for its target."""
    inputs = [_placeholder(v) for v in request.inputs]
    outputs, updates = list(request.outputs), list(request.updates)
    if suffix != "run":
        updates = advance_random_state(outputs, updates)
    _, kept, replaced = split_updates(outputs, updates)
    if replaced:
        raise ExportError(f"the update of {origin_of(replaced[0])} changes its size", hint="a bundle's state has a fixed layout")
    c = Compilation(inputs, outputs, kept, target.machine, config.optimize, config.fastmath, rematerialise=config.rematerialise)
    equalities = size_equalities(toposort(c.results))
    run_passes(c)
    program = assemble(c.inputs, c.outputs, c.updates, c.machine)
    if config.verify:
        for proc in program.kernels:
            verify(proc, final=True)
    manifest = describe(program, len(outputs), [], equalities)
    for kind, number, axis in manifest.dims:
        if axis == VALUE:
            v = (inputs if kind == "in" else program.state)[number]
            raise ExportError(f"a size or slice bound is the value of {origin_of(v)}", hint="in a bundle sizes come from the shapes of inputs; use a number")
    ins = [Tensor(n, v.type) for n, v in zip(unique(v.name or f"in{i}" for i, v in enumerate(inputs)), inputs, strict=True)]
    outs = [Tensor(n, v.type) for n, v in zip(unique(v.name or f"out{i}" for i, v in enumerate(outputs)), outputs, strict=True)]
    return Routine(suffix, program, manifest, ins, outs, equalities)


def _placeholder(v: Variable) -> Placeholder:
    assert isinstance(v, Placeholder), v
    return v


# --- Dims, state, constants -----------------------------------------------------------------------
def order_dims(routines: Sequence[Routine]) -> list[Symbol]:
    """The Dims in the order in which the inputs' shapes show them.  `describe` saw to it that no other is needed."""
    sizes = [size for r in routines for t in r.inputs for size in t.shape]
    return list(dict.fromkeys(s for size in sizes for s in sorted(symbols_of(size), key=lambda s: s.serial)))


def lay_out(plan: Plan, store: Store) -> None:
    """Offsets of state and constants, and their bytes."""
    for r in plan.routines:
        plan.shared += [s.state for s in r.program.state if s.state not in plan.shared]
    image = bytearray()
    names = unique(s.name or f"state{i}" for i, s in enumerate(plan.shared))
    for name, s in zip(names, plan.shared, strict=True):
        value = store.get(s)
        plan.state.append(Tensor(name, TensorType(value.dtype, value.shape), append(image, value)))
    plan.state_bytes = len(image)
    known: dict[tuple[str, bytes], int] = {}
    for r in plan.routines:
        for c in r.program.constants:
            key = (c.value.dtype.str, c.value.tobytes())
            if key not in known:
                known[key] = append(image, c.value)
            plan.constant_offset[c] = known[key]
    plan.image = bytes(image) or bytes(ALIGNMENT if plan.state or known else 0)  # empty arrays have a place, too


def append(image: bytearray, value: Array) -> int:
    """Add an array's bytes, padded to the alignment; the offset they got."""
    at = len(image)
    image += np.ascontiguousarray(value).tobytes()
    image += bytes(-len(image) % ALIGNMENT)
    return at


def unique(names: Iterable[str]) -> list[str]:
    """The names, with numbers added where one came before."""
    found: dict[str, None] = {}
    for name in names:
        fresh, n = name, 1
        while fresh in found:
            n += 1
            fresh = f"{name}_{n}"
        found[fresh] = None
    return list(found)
