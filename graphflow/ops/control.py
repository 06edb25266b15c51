"""scan, while_loop and cond: functions that build graphs become bodies of loops and branches.

A body is a Python function called once, on placeholders.  It may use any Variable of the graph around it; what does not
depend on the trip is computed once, before the loop.  Random tensors made in a body are new ones each trip.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, minimum
from graphflow.graph.errors import DTypeError, GraphError, ShapeError
from graphflow.graph.region import Region, trip_number
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Apply, Constant, Placeholder, Shared, Variable, as_variable, constant, hook
from graphflow.ops.branches import Branch
from graphflow.ops.elementwise import cast, where
from graphflow.ops.logic import logical_not
from graphflow.ops.loops import Scan
from graphflow.ops.promotion import is_weak
from graphflow.ops.random import fold_in, is_rng_state
from graphflow.ops.sizes import as_size, value_below
from graphflow.ops.slicing import slice_axes

INT64 = np.dtype("int64")


# --- bodies ------------------------------------------------------------------------------------------
def newest() -> int:
    """A serial number: nodes made from now on have larger ones."""
    return Variable(TensorType(INT64, ())).serial


def free_variables(outputs: Sequence[Variable], is_inside: Callable[[Apply], bool], own: Sequence[Variable]) -> list[Variable]:
    """What a body takes from outside: operands of its nodes, and results, that neither it nor a constant makes."""
    found: dict[Variable, None] = {}
    inside = {node for node in toposort(outputs) if is_inside(node)}
    for v in itertools.chain((v for node in toposort(outputs) if node in inside for v in node.inputs), outputs):
        if v not in own and not isinstance(v, Constant) and v.owner not in inside:
            found.setdefault(v)
    return list(found)


def trip_dependent(outputs: Sequence[Variable], own: Sequence[Variable], since: int) -> Callable[[Apply], bool]:
    """Which nodes are made anew each trip: those that depend on the trip, draw random numbers, or take nothing from outside."""
    known: dict[Variable, bool] = dict.fromkeys(own, True)
    closed: dict[Variable, bool] = {}
    for node in toposort(outputs):
        inside = any(known.get(v, False) or (node.serial >= since and is_rng_state(v)) for v in node.inputs)
        alone = all(isinstance(v, Constant) or closed.get(v, False) for v in node.inputs)
        for v in node.outputs:
            known[v], closed[v] = inside, alone
    return lambda node: known[node.outputs[0]] or closed[node.outputs[0]]


def loop_body(outputs: Sequence[Variable], own: Sequence[Placeholder], since: int) -> tuple[Region, list[Variable]]:
    """The region of a loop whose first placeholder numbers the trips, and the constants it takes from outside."""
    taken = free_variables(outputs, trip_dependent(outputs, own, since), own)
    inner = [Placeholder(v.type, v.name) for v in taken]
    replaced: dict[Variable, Variable] = {v: fold_in(p, own[0]) if is_rng_state(v) else p for v, p in zip(taken, inner, strict=True)}
    return Region([*own, *inner], hook("clone")(outputs, replaced)), taken


# --- nested results -----------------------------------------------------------------------------------
def flatten(value: Any) -> list[Any]:
    """The leaves of nested lists, tuples and dicts; None holds nothing."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [leaf for v in value.values() for leaf in flatten(v)]
    if isinstance(value, list | tuple):
        return [leaf for v in value for leaf in flatten(v)]
    return [value]


def rebuilt(like: Any, values: Sequence[Any]) -> Any:
    """The structure of `like` with other leaves."""
    left = iter(values)

    def build(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, Mapping):
            return {k: build(v) for k, v in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(build(v) for v in value))
        if isinstance(value, list | tuple):
            return type(value)(build(v) for v in value)
        return next(left)

    return build(like)


# --- while and cond -----------------------------------------------------------------------------------
def while_loop(cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any, maximum_iterations: Any = None) -> Any:
    """`loop_vars = body(*loop_vars)` as long as `cond(*loop_vars)`; the last ones, in the structure given.

    `cond` gives a bool scalar; `body` gives as many values of the same types.  `maximum_iterations` (an int, a Dim or an
    integer scalar that is fed) bounds the trips, and lets gradients flow back: what each trip began with is kept.
    Raises GraphError, DTypeError or ShapeError for what does not fit.
    """
    single = not isinstance(loop_vars, list | tuple | Mapping)
    structure = [loop_vars] if single else loop_vars
    starts = [as_variable(v) for v in flatten(structure)]
    length: Size | None = None if maximum_iterations is None else as_size(maximum_iterations, "maximum_iterations")
    since = newest()
    trip = trip_number(length)
    own = [Placeholder(v.type, v.name) for v in starts]

    def test(values: Sequence[Variable]) -> Variable:
        found = as_variable(_called(cond, rebuilt(structure, values)))
        if found.dtype.kind != "b" or found.ndim:
            raise DTypeError(f"while_loop: the condition is {found.type}, and must be a bool scalar", hint="compare with something; gf.all or gf.any reduce")
        return found

    made = _called(body, rebuilt(structure, own))
    results = [as_variable(v) for v in flatten([made] if single and not isinstance(made, list | tuple) else made)]
    if len(results) != len(starts):
        raise GraphError(f"while_loop: the body gives {len(results)} values for {len(starts)} loop variables")
    region, constants = loop_body([*results, logical_not(test(results))], [trip, *own], since)
    most = constant(np.iinfo(INT64).max, INT64)
    count = where(test(starts), most, constant(0, INT64))
    op = Scan(region, length, len(starts), 0, counted=True, until=True)
    finals = op.results(op(count, *starts, *constants)).finals
    return finals[0] if single else rebuilt(structure, finals)


def _called(fn: Callable[..., Any], values: Any) -> Any:
    return fn(**values) if isinstance(values, Mapping) else fn(*values)


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """`true_fn()` where the bool scalar `pred` is true, else `false_fn()`: only one of them is computed.

    Both give the same structure of values of the same types.  What was built before the call is computed in any case.
    """
    choice = as_variable(pred)
    since = newest()
    built = true_fn(), false_fn()
    results = [[as_variable(v) for v in flatten(b)] for b in built]
    if len(results[0]) != len(results[1]):
        raise GraphError(f"cond: true_fn gives {len(results[0])} values, false_fn {len(results[1])}")
    everything = [v for r in results for v in r]
    taken = free_variables(everything, lambda node: node.serial >= since, [])
    regions = [_branch(r, taken) for r in results]
    if not everything:
        return built[0]
    made = Branch(*regions)(cast(choice, "bool") if choice.dtype.kind in "iu" else choice, *taken)
    return rebuilt(built[0], made if isinstance(made, tuple) else (made,))


def _branch(results: Sequence[Variable], taken: Sequence[Variable]) -> Region:
    inner = [Placeholder(v.type, v.name) for v in taken]
    return Region(inner, hook("clone")(results, dict(zip(taken, inner, strict=True))))


# --- scan ---------------------------------------------------------------------------------------------
class until:
    """`return values, gf.until(condition)` in the function of a scan: this trip is the last one where it is true."""

    def __init__(self, condition: Any) -> None:
        self.condition = as_variable(condition)


@dataclass
class _Recurrence:
    """An output of a scan: `first` are its initial values, oldest first, none without a recurrence; `taps` are negative."""

    first: list[Variable] = field(default_factory=list)
    taps: tuple[int, ...] = ()
    weak: bool = False


def scan(
    fn: Callable[..., Any],
    sequences: Any = None,
    outputs_info: Any = None,
    non_sequences: Any = None,
    n_steps: Any = None,
    truncate_gradient: int = -1,
    go_backwards: bool = False,
    mode: Any = None,
    name: str | None = None,
    profile: Any = False,
    allow_gc: Any = None,
    strict: bool = False,
    return_list: bool = False,
) -> tuple[Any, dict[Shared, Variable]]:
    """Calls of `fn` one after the other, in a native loop: (stacked outputs, updates).

    `fn` takes the taps of each sequence, the taps of each recurrent output, then the non-sequences.  It gives the outputs
    of the trip, a dict of updates of shared variables, `gf.until(condition)`, or a tuple of those.
    `sequences`: Variables, or dicts with `input` and `taps` (offsets; [0] by default), run over along axis 0.
    `outputs_info`: for each output None, the initial value (tap -1), or a dict with `initial` and `taps`: with
    several taps, `initial` holds the oldest value first.  `n_steps`: the number of trips, by default as many as the
    sequences allow.  `truncate_gradient`: trips through which gradients flow back, -1 for all.  `go_backwards`:
    sequences are read from their end; outputs are stacked in the order of the trips.  `mode`, `profile`, `allow_gc` and
    `name` are accepted and change nothing; `strict` refuses Variables that are not among the operands.
    One output is not put in a list unless `return_list`.
    """
    build = _Scan(fn, sequences, outputs_info, non_sequences, n_steps, go_backwards)
    outputs, updates = build.run(max(0, truncate_gradient), strict)
    return (outputs[0] if len(outputs) == 1 and not return_list else outputs), updates


def as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def flat_results(made: Any) -> list[Variable]:
    """What a function gives, as a list of Variables."""
    return [as_variable(v) for v in flatten(made)]


class _Scan:
    """The way from a call of `scan` to the op."""

    def __init__(self, fn: Callable[..., Any], sequences: Any, outputs_info: Any, non_sequences: Any, n_steps: Any, go_backwards: bool) -> None:
        self.fn = fn
        self.given = [as_variable(v) for v in as_list(non_sequences)]
        self.windows, self.length = self.read_sequences(as_list(sequences), n_steps, go_backwards)
        self.recurrences = [self.recurrence(i, info) for i, info in enumerate(as_list(outputs_info))]

    def read_sequences(self, sequences: list[Any], n_steps: Any, go_backwards: bool) -> tuple[list[Variable], Size]:
        """Every tap of every sequence as rows of its own, and the number of trips."""
        taps: list[tuple[Variable, int, int]] = []
        lengths: list[Size] = [] if n_steps is None else [as_size(n_steps, "n_steps")]
        for entry in sequences:
            given = entry if isinstance(entry, Mapping) else {"input": entry}
            x = as_variable(given["input"])
            if x.type.shape == ():
                raise ShapeError(f"scan: the sequence {x!r} is a scalar", hint="a sequence is run over along its first axis; pass scalars as non_sequences")
            offsets = [int(t) for t in as_list(given.get("taps", [0]))]
            low, high = min([0, *offsets]), max([0, *offsets])
            if n_steps is None:
                lengths.append(x.shape[0] - (high - low))
            taps += [(x, t - low, high - low) for t in offsets]
        if not lengths:
            raise GraphError("scan: the number of trips is not known", hint="give sequences or n_steps")
        length = lengths[0]
        for other in lengths[1:]:
            length = length if length == other else minimum(length, other)
        if isinstance(length, int) and length < 0:
            raise ShapeError(f"scan: {length} trips", hint="sequences must be at least as long as their taps reach")
        return [self.window(x, at, span, length, go_backwards) for x, at, span in taps], length

    @staticmethod
    def window(x: Variable, at: int, span: int, length: Size, go_backwards: bool) -> Variable:
        if go_backwards:  # the last trip of a forward loop comes first
            x = slice_axes(x, [slice(None, None, -1), *[slice(None)] * (x.ndim - 1)])
            at = span - at
        if at == 0 and x.shape[0] == length:
            return x
        return slice_axes(x, [slice(at, at + length), *[slice(None)] * (x.ndim - 1)])

    @staticmethod
    def recurrence(i: int, info: Any) -> _Recurrence:
        given = info if isinstance(info, Mapping) else {"initial": info}
        initial = given.get("initial")
        if initial is None:
            return _Recurrence()
        weak = is_weak(initial)
        value = as_variable(initial)
        taps = tuple(int(t) for t in given.get("taps") or (-1,))
        if any(t >= 0 for t in taps):
            raise GraphError(f"scan: output {i} has the taps {list(taps)}", hint="an output looks back: its taps are negative")
        if taps == (-1,):
            return _Recurrence([value], taps, weak)
        depth = -min(taps)
        if value.ndim == 0 or (isinstance(value.shape[0], int) and value.shape[0] < depth):
            raise ShapeError(f"scan: the initial value of output {i} is {value.type}, and its taps look back {depth} trips", hint=f"it holds the {depth} values before the first trip, the oldest first")
        return _Recurrence([value[k] for k in range(depth)], taps, weak)

    def run(self, truncate: int, strict: bool) -> tuple[list[Variable], dict[Shared, Variable]]:
        since = newest()
        own = [trip_number(self.length)]
        rows = [Placeholder(TensorType(x.dtype, x.shape[1:]), x.name) for x in self.windows]
        pasts = [[Placeholder(v.type, v.name) for v in r.first] for r in self.recurrences]
        arguments = [*rows, *(past[t] for r, past in zip(self.recurrences, pasts, strict=True) for t in r.taps), *self.given]
        values, changed, stop = self.results(self.fn(*arguments))
        if not self.recurrences:
            self.recurrences, pasts = [_Recurrence() for _ in values], [[] for _ in values]
        if len(values) != len(self.recurrences):
            raise GraphError(f"scan: the function gives {len(values)} outputs, and outputs_info has {len(self.recurrences)} entries", hint="give one entry an output, None for those without recurrence")
        retry = self.retyped(values)
        if retry:
            return self.run(truncate, strict)

        states = [Placeholder(s.type, s.name) for s in changed]
        own += [*itertools.chain(*pasts), *states, *rows]
        starts = [v for r in self.recurrences for v in r.first] + list(changed)
        carries = [v for past, value in zip(pasts, values, strict=True) if past for v in (*past[1:], value)]
        plain = [v for past, v in zip(pasts, values, strict=True) if not past]
        results = [*carries, *changed.values(), *plain, *([stop] if stop is not None else [])]
        results = hook("clone")(results, dict(zip(changed, states, strict=True)))
        region, taken = loop_body(results, own, since)
        if strict and (outside := [v for v in leaves(taken, set(self.given)) if v not in self.given and not isinstance(v, Constant) and not is_rng_state(v)]):
            raise GraphError(f"scan: the function uses {outside[0]!r}, which is not among the operands", hint="add it to non_sequences, or leave out strict=True")
        op = Scan(region, self.length, len(starts), len(self.windows), until=stop is not None, truncate=truncate)
        made = op(*starts, *self.windows, *taken)
        return self.stacked(op, made if isinstance(made, tuple) else (made,), list(changed))

    def retyped(self, values: Sequence[Variable]) -> bool:
        """Initial values that were Python numbers take the dtype of what the function makes of them."""
        found = False
        for r, v in zip(self.recurrences, values, strict=True):
            if r.weak and r.first and r.first[0].dtype != v.dtype:
                r.first = [cast(f, v.dtype) for f in r.first]
                found = True
            r.weak = False
        return found

    @staticmethod
    def results(made: Any) -> tuple[list[Variable], dict[Shared, Variable], Variable | None]:
        """(outputs, updates, stop) of what the function gave."""
        if isinstance(made, list) and not any(isinstance(v, Mapping | until) or _is_pairs(v) for v in made):
            return [as_variable(v) for v in made], {}, None
        outputs: list[Variable] = []
        updates: dict[Shared, Variable] = {}
        stop: Variable | None = None
        for part in made if isinstance(made, tuple | list) else (made,):
            if isinstance(part, until):
                stop = part.condition
            elif isinstance(part, Mapping) or _is_pairs(part):
                updates.update({s: cast(as_variable(v), s.dtype) for s, v in dict(part).items()})
            elif part is not None:
                outputs += [as_variable(v) for v in as_list(part)]
        return outputs, updates, stop

    def stacked(self, op: Scan, made: Sequence[Variable], changed: Sequence[Shared]) -> tuple[list[Variable], dict[Shared, Variable]]:
        found = op.results(made)
        outputs: list[Variable] = []
        at, plain = 0, iter(found.rows)
        for r in self.recurrences:
            at += len(r.first)
            outputs.append(found.histories[at - 1][1:] if r.first else next(plain))
        if op.until:
            assert found.trips is not None and op.length is not None
            made_trips = value_below(found.trips, op.length + 1, "trips")
            outputs = [v[:made_trips] for v in outputs]
        return outputs, dict(zip(changed, found.finals[at:], strict=True))


def _is_pairs(value: Any) -> bool:
    """A list of (shared variable, new value)."""
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(v, tuple) and len(v) == 2 and isinstance(v[0], Shared) for v in value)
