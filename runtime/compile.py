"""From a user's graph to an Executable: specialise, look in the cache, compile, load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphflow.compiler.clone import Cloner
from graphflow.compiler.entry_regions import POLL
from graphflow.compiler.intern import Interner
from graphflow.compiler.manifest import VALUE, Equality, Manifest, encode_size, tensor
from graphflow.compiler.pipeline import Compilation, compile_program, module_of
from graphflow.compiler.program import Loop, Program, walk, work_of
from graphflow.compiler.target.machine import host
from graphflow.compiler.unify import unified_dims
from graphflow.configuration import config
from graphflow.graph import source
from graphflow.graph.dim import Compound, Dim, Size, Symbol, extreme, symbols_of
from graphflow.graph.errors import FeedError, ShapeError
from graphflow.graph.region import Region
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.types import Shape, TensorType
from graphflow.graph.variable import Apply, Placeholder, Shared, Variable, origin_of
from graphflow.ops.elementwise import add
from graphflow.ops.random import is_rng_state, rng_state
from graphflow.ops.sizes import is_value, value_symbol
from graphflow.runtime import cache
from graphflow.runtime.executable import Executable

Equal = tuple[Size, Size, str]  # two sizes, and what needs them to be equal


@dataclass(frozen=True)
class Request:
    """A function as the user wrote it."""

    inputs: tuple[Variable, ...]
    outputs: tuple[Variable, ...]
    updates: tuple[tuple[Shared, Variable], ...]


@dataclass(frozen=True)
class Specialisation:
    """What differs from the declared types: shapes of inputs (unknown ranks, axes of size 1) and of state."""

    inputs: tuple[Shape | None, ...]
    state: tuple[tuple[Shared, Shape], ...] = ()


@dataclass
class Typed:
    """A request's graph with the types of a specialisation; `reasons`: why an input's axis must equal another.

    `computed`: the Dims that are values of scalars which the graph computes.
    """

    inputs: list[Placeholder]
    outputs: list[Variable]
    updates: list[tuple[Shared, Variable]]
    reasons: dict[tuple[int, int], str]
    computed: list[tuple[Symbol, Variable]]


def specialise(request: Request, spec: Specialisation) -> Typed:
    """The graph on placeholders of its own, with the types of `spec` and Dims that must be equal unified."""
    replace: dict[Variable, Variable] = {}
    inputs: list[Placeholder] = []
    for v, shape in zip(request.inputs, spec.inputs, strict=True):
        made = Placeholder(TensorType(v.dtype, shape if shape is not None else v.type.shape), v.name)
        made.made_at = v.source
        inputs.append(made)
        replace[v] = made
    seen: dict[Variable, Shared] = {s: s.seen_as(TensorType(s.dtype, shape)) for s, shape in spec.state}
    replace.update(seen)
    wanted = [*request.outputs, *(v for _, v in request.updates)]
    origins = [v for _, v in computed_sizes(request.inputs, wanted)]
    results = Cloner(replace).clone([*origins, *wanted])  # the scalars first: what has their sizes follows
    unify, causes = unified_dims(toposort(results))
    reasons: dict[tuple[int, int], str] = {}
    if unify:
        for i, p in enumerate(inputs):
            for axis, size in enumerate(p.shape):
                if isinstance(size, Dim) and isinstance(size.atom, Symbol) and size.atom in causes:
                    reasons[i, axis] = causes[size.atom]
            fresh = Placeholder(p.type.substitute(unify), p.name)
            fresh.made_at = p.made_at
            inputs[i] = fresh
        results = Cloner(dict(zip(replace.values(), [*inputs, *[replace[s] for s, _ in spec.state]], strict=True)), unify).clone(results)
    origins, results = results[: len(origins)], results[len(origins) :]
    n = len(request.outputs)
    updates = [(seen.get(s, s), v) for (s, _), v in zip(request.updates, results[n:], strict=True)]
    return Typed(inputs, results[:n], updates, reasons, [(s, v) for v in origins if (s := value_symbol(v)) is not None])


@dataclass
class Prepared:
    """A request's graph as it is compiled: updates that change a size are outputs beyond those `fetched`, and replace state."""

    typed: Typed
    fetched: int
    outputs: list[Variable]
    updates: list[tuple[Shared, Variable]]
    replaced: list[Shared]

    def compilation(self) -> tuple[Compilation, list[Equal]]:
        """What the passes take, and the equalities of sizes to check at entry."""
        c = configured(self.typed.inputs, self.outputs, self.updates)
        c.computed = self.typed.computed
        equalities, c.checks = split_equalities(size_equalities(toposort(c.results)), c.computed)
        return c, equalities

    def manifest(self, program: Program, equalities: Sequence[Equal]) -> Manifest:
        """The Program's manifest; the Program is told of state that it replaces unread."""
        program.state += [unread(s) for s in self.replaced if s.state not in [known.state for known in program.state]]
        return describe(program, self.fetched, self.replaced, equalities)


def prepare(request: Request, spec: Specialisation) -> Prepared:
    """The request specialised and checked, with all its updates."""
    typed = specialise(request, spec)
    check_leaves(typed.inputs, [*typed.outputs, *(v for _, v in typed.updates)])
    updates = advance_random_state(typed.outputs, typed.updates)
    return Prepared(typed, len(typed.outputs), *split_updates(typed.outputs, updates))


def build(request: Request, spec: Specialisation, name: str) -> Executable:
    """An Executable for the request, from the disk cache or compiled now."""
    graph = prepare(request, spec)
    typed = graph.typed
    key, found_state = cache.canonical_key(typed.inputs, graph.outputs, graph.updates, [v for _, v in typed.computed])
    entry = (cache.recent(key) or cache.load(key)) if key else None
    if entry is not None:
        made = Executable(entry.manifest, entry.objects, entry.constants, [found_state[i] for i in entry.state], typed.reasons, entry.code)
        cache.remember(key, replace(entry, code=made.code))
        return made
    c, equalities = graph.compilation()
    if config.dump:
        cache.dump(*module_of(replace(c, interner=Interner()), "gf_main"), name)
    program, objects = compile_program(c, "gf_main", cache.library())
    manifest = graph.manifest(program, equalities)
    constants = [c.value for c in program.constants]
    made = Executable(manifest, objects, constants, [s.state for s in program.state], typed.reasons)
    if key:
        entry = cache.Entry(manifest, objects, constants, [found_state.index(s.state) for s in program.state], made.code)
        cache.save(key, entry)
        cache.remember(key, entry)
    return made


def unread(s: Shared) -> Shared:
    """State that a program replaces and does not read: its present sizes do not matter."""
    return s.seen_as(TensorType(s.dtype, tuple(Dim.symbol(f"{s.label}.{axis}") for axis in range(s.ndim))))


def configured(inputs: list[Placeholder], outputs: list[Variable], updates: list[tuple[Shared, Variable]]) -> Compilation:
    """A compilation for this machine, by the present settings."""
    return Compilation(inputs, outputs, updates, host(), config.optimize, config.fastmath, config.debug_memory != "no-reuse", config.verify, config.rematerialise)


def symbols_in(results: Sequence[Variable]) -> set[Symbol]:
    """The Dims in the types and parameters of a graph, bodies included."""
    found: set[Symbol] = set()

    def look(value: Any) -> None:
        if isinstance(value, Dim):
            found.update(value.symbols())
        elif isinstance(value, tuple):
            for part in value:
                look(part)
        elif isinstance(value, Region):
            found.update(symbols_in(value.outputs))

    for node in toposort(results):
        look(tuple(node.op.params().values()))
        for v in node.outputs:
            look(v.type.shape)
    return found


def computed_sizes(inputs: Sequence[Variable], results: Sequence[Variable]) -> list[tuple[Symbol, Variable]]:
    """The Dims that are values of scalars which the graph computes, and those.  Raises ShapeError for one inside a loop's body."""
    found: dict[Symbol, Variable] = {}
    while True:
        symbols = symbols_in([*results, *found.values()]) - found.keys()
        origins = {s: s.origin for s in symbols if is_value(s) and isinstance(s.origin, Variable) and s.origin.owner is not None}
        if not origins:
            return sorted(found.items(), key=lambda item: item[0].serial)
        for s, v in origins.items():
            if any(isinstance(leaf, Placeholder) and leaf not in inputs for leaf in leaves([v])):
                raise ShapeError(f"a size in the body of a loop is the value of {origin_of(v)}, which the body computes", hint="make it a carry of the loop, or use gf.take, gf.where and masks of a fixed size")
            found[s] = v


def split_equalities(equalities: Sequence[Equal], computed: Sequence[tuple[Symbol, Variable]]) -> tuple[list[Equal], list[Equal]]:
    """Those that can be checked at entry, and those that wait for a computed size."""
    later = {s for s, _ in computed}
    waiting = [e for e in equalities if not (symbols_of(e[0]) | symbols_of(e[1])).isdisjoint(later)]
    return [e for e in equalities if e not in waiting], waiting


def check_leaves(inputs: Sequence[Placeholder], results: Sequence[Variable]) -> None:
    known = set(inputs)
    for v in leaves(results):
        if isinstance(v, Placeholder) and v not in known:
            raise FeedError(
                f"no value for {origin_of(v)}",
                hint="list it among the function's inputs, or feed it",
                context=(source.describe(v.source),),
            )


def advance_random_state(outputs: Sequence[Variable], updates: list[tuple[Shared, Variable]]) -> list[tuple[Shared, Variable]]:
    """A run that draws advances the step of the random state by one."""
    found = [v for v in leaves([*outputs, *(v for _, v in updates)]) if isinstance(v, Shared) and is_rng_state(v)]
    if not found or any(s.state is rng_state() for s, _ in updates):
        return updates
    state = rng_state()
    return [*updates, (state, add(state, np.array([0, 1], np.uint64)))]


def split_updates(outputs: list[Variable], updates: list[tuple[Shared, Variable]]) -> tuple[list[Variable], list[tuple[Shared, Variable]], list[Shared]]:
    """Updates that change a size become further outputs, which replace the state's array."""
    kept: list[tuple[Shared, Variable]] = []
    replaced: list[Shared] = []
    outputs = list(outputs)
    read = {leaf.state: leaf.type for leaf in leaves([v for _, v in updates]) if isinstance(leaf, Shared)}
    for s, v in updates:
        current = read.get(s.state, s.type)
        if v.shape == current.shape and v.dtype == s.dtype:
            kept.append((s, v))
        else:
            outputs.append(v)
            replaced.append(s)
    return outputs, kept, replaced


def size_equalities(nodes: Sequence[Apply]) -> list[Equal]:
    """Equalities of sizes the algebra could not decide; axes that share a Dim are checked by the shapes of inputs."""
    found: list[Equal] = []
    for node in nodes:
        for a, b in node.constraints:
            if a != b:
                found.append((a, b, f"{_what_must_hold(node, a, b)}\n{source.describe(node.source)}"))
    return found


def _what_must_hold(node: Apply, a: Size, b: Size) -> str:
    """An equality with a maximum or minimum of itself is a bound: max(n, 1) == n says n >= 1."""
    name = node.op.name or type(node.op).__name__
    for clamped, size in ((a, b), (b, a)):
        atom = clamped.atom if isinstance(clamped, Dim) else None
        if isinstance(atom, Compound) and atom.kind in ("max", "min") and size in (atom.a, atom.b):
            bound = atom.b if size == atom.a else atom.a
            return f"{name} needs {size} {'>=' if atom.kind == 'max' else '<='} {bound}"
    return f"{name} needs the sizes {a} and {b} to be equal"


def describe(program: Program, fetched: int, replaced: Sequence[Shared], equalities: Sequence[Equal]) -> Manifest:
    """The Program's manifest; raises ShapeError for a size no input gives."""
    symbols = list(program.dims)
    for a, b, _ in equalities:
        symbols.extend(s for s in sorted(symbols_of(a) | symbols_of(b), key=lambda s: s.serial) if s not in symbols)
    measured = program.measured
    bindings = [("computed", measured.index(s), 0) if s in measured else bind_symbol(s, program) for s in symbols]
    for kind, leaf_list in (("in", program.inputs), ("state", program.state)):
        for i, v in enumerate(leaf_list):
            for axis, size in enumerate(v.shape):
                for s in symbols_of(size) - set(symbols):
                    symbols.append(s)
                    bindings.append((kind, i, axis) if size == Dim.of(s) else bind_symbol(s, program))
    number = {s: i for i, s in enumerate(symbols)}
    state = [s.state for s in program.state]
    updates: list[tuple[int, int | str]] = [(state.index(s.state), "inplace") for s, _ in program.updates]
    updates += [(state.index(s.state), fetched + i) for i, s in enumerate(replaced)]
    kernels = tuple({"name": launch.proc.name, "ops": [str(n.op) for n in launch.group.members], "lines": list(launch.notes)} for launch in program.launches)
    return Manifest(
        "gf_main",
        tuple(tensor(v.label, v.type, number) for v in program.inputs),
        tuple(tensor(v.label, v.type, number) for v in program.state),
        tuple(tensor(v.label, v.type, number) for v in program.outputs),
        fetched,
        tuple(updates),
        tuple(bindings),
        tuple(Equality(encode_size(a, number), encode_size(b, number), text) for a, b, text in equalities),
        encode_size(program.workspace, number),
        tuple(program.sites),
        kernels,
        encode_size(work_of(program.steps), number),
        (*dict.fromkeys(call.symbol for call in program.calls), *([POLL] if any(isinstance(step, Loop) for step in walk(program.steps)) else [])),
        tuple(encode_size(extreme(Dim.of(s), measured), number) for s in measured),
        tuple(tuple(encode_size(extreme(size, measured), number) for size in v.shape) for v in program.outputs) if measured else (),
    )


def bind_symbol(symbol: Symbol, program: Program) -> tuple[str, int, int]:
    """Which input or state gives a Dim, and by which axis (VALUE: by its value); raises ShapeError where none does."""
    for kind, leaf_list in (("in", program.inputs), ("state", program.state)):
        for i, v in enumerate(leaf_list):
            if value_symbol(v) is symbol:
                return kind, i, VALUE
            for axis, size in enumerate(v.shape):
                if size == Dim.of(symbol):
                    return kind, i, axis
    if is_value(symbol):
        raise ShapeError(
            f"a size or slice bound is the value of {origin_of(symbol.origin)}, which is no input of the function",  # type: ignore[arg-type]
            hint="bounds may be integer placeholders and shared scalars; in the body of a loop take rows with gf.take, and mask what is of no use",
        )
    raise ShapeError(
        f"the size {symbol.name} is needed, but no input of the function has it",
        hint="list the placeholder it comes from among the inputs, or feed it",
    )
