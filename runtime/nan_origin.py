"""`check_nan`: which op made the first NaN or infinity that a bad result comes from.

The call is made again, on the state it found, and watched: where a kernel made something that is not finite, its nodes are
run one after the other by their NumPy references on the operands it had.  A node that makes such a value of
finite operands is its origin; what follows hands the origin on, from kernel to kernel and from trip to trip by the
memory the values are in.  Infinities that come from constants, as a mask's do, have no origin until NaN is made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from graphflow.graph import source
from graphflow.graph.errors import CheckError
from graphflow.graph.op import Array
from graphflow.graph.types import is_float
from graphflow.graph.variable import Apply, Constant, Placeholder, Shared, Variable, origin_of
from graphflow.runtime.array_summary import summary
from graphflow.runtime.compiled import Compiled
from graphflow.runtime.observe import Kernel, Observed, Run, Step, by_reference
from graphflow.runtime.store import Store

HINT = "check_nan asked for this check, and state is as it was before the call"
KEPT = 1000  # ranges of memory whose origin is kept, the first ones: one of a long loop's trips is as good as another


@dataclass(frozen=True)
class Origin:
    """Where values stopped being finite; `turned` is the node that made NaN of an infinity."""

    what: str
    location: source.Location
    lines: tuple[str, ...]
    turned: Apply | None = None


@dataclass(frozen=True)
class _Range:
    """Memory that holds values of an origin."""

    first: int
    end: int
    origin: Origin


def nan_error(compiled: Compiled, arrays: Sequence[Array], state: Store, v: Variable, value: Array) -> CheckError:
    """The error for a result `v` of a call with `arrays` that found `state`."""
    trace = _Trace(set(compiled.request.inputs))
    observed = Observed(compiled.request, compiled.name)
    results = observed.observe(arrays, state, trace.look)
    outputs = dict(zip(compiled.request.outputs, results, strict=True))
    again = outputs[v] if v in outputs else next(state.cell(s).array for s, made in compiled.request.updates if made is v)
    found = trace.origin_at(again.ctypes.data, again.nbytes)
    what = f"{_kind(value)} in {origin_of(v)}"
    if found is None:
        return CheckError(what, location=v.source, context=(summary("value", value),), hint=HINT)
    turned = (f"  it became NaN in {_title(found.turned)} at {source.short(found.turned.source)}",) if found.turned else ()
    return CheckError(f"{what}: {found.what}", location=found.location or v.source, context=(*found.lines, *turned), hint=HINT)


class _Trace:
    """Origins of the values that are not finite, as far as kernels have run."""

    def __init__(self, inputs: set[Variable]) -> None:
        self.inputs = inputs
        self.ranges: list[_Range] = []
        self.first: Origin | None = None

    def look(self, kernel: Kernel) -> None:
        for v, value in kernel.results.items():
            self.forget(kernel.at[v], value.nbytes)
        if all(map(_finite, kernel.results.values())):
            return
        run = by_reference(kernel)
        known = self.origins_in(run, kernel)
        for v, value in kernel.results.items():
            found = known.get(run.results[v])
            if found is None and not _finite(value) and _finite(run.values[v]):
                found = Origin(f"the kernel of {run.ops} made {_kind(value)}, and the ops' NumPy references do not", v.source, ())
            if found is not None and not _finite(value):
                self.keep(kernel.at[v], value.nbytes, found)

    def origins_in(self, run: Run, kernel: Kernel) -> dict[Variable, Origin]:
        """The origins of what the kernel's operands and nodes have."""
        operands = {stand_in: self.origin_of_operand(v, kernel) for v, stand_in in run.stand_ins.items()}
        known = {v: found for v, found in operands.items() if found is not None}
        for step in run.steps:
            found = _origin_of_step(step, known, run)
            if found is not None:
                known.update({v: found for v, value in zip(step.node.outputs, step.results, strict=True) if not _finite(value)})
        return known

    def origin_of_operand(self, v: Variable, kernel: Kernel) -> Origin | None:
        value = kernel.operands[v]
        if _finite(value) or isinstance(v, Constant):
            return None
        found = self.origin_at(kernel.at[v], value.nbytes)
        if found is not None:
            return found
        if isinstance(v, Shared) or (isinstance(v, Placeholder) and kernel.at[v] and v.owner is None and self.is_input(v)):
            return Origin(f"{v.label} held {_kind(value)} before the call", v.source, (summary(v.label, value),))
        if v.owner is not None and self.first is None and _has_nan(value):
            return Origin(f"{_title(v.owner)} made {_kind(value)}", v.source, (summary("result", value),))
        return self.first

    def is_input(self, v: Variable) -> bool:
        """Placeholders of loops' bodies are none."""
        return any(v.name == x.name and v.source == x.source for x in self.inputs)

    # --- memory -----------------------------------------------------------------------------------
    def origin_at(self, address: int, nbytes: int) -> Origin | None:
        """The origin of what is in a range of memory."""
        return next((r.origin for r in self.ranges if r.first < address + max(nbytes, 1) and address < r.end), None)

    def keep(self, address: int, nbytes: int, origin: Origin) -> None:
        self.first = self.first or origin
        if len(self.ranges) < KEPT:
            self.ranges.append(_Range(address, address + nbytes, origin))

    def forget(self, address: int, nbytes: int) -> None:
        """The range is written anew."""
        self.ranges = [r for r in self.ranges if not (address <= r.first and r.end <= address + nbytes)]


def _origin_of_step(step: Step, known: dict[Variable, Origin], run: Run) -> Origin | None:
    """The origin of what a node made, if that is not finite."""
    node = step.node
    if all(map(_finite, step.results)):
        return None
    makes_nan = any(map(_has_nan, step.results)) and not any(map(_has_nan, step.operands))
    inherited = [known[v] for v in node.inputs if v in known]
    if inherited:
        first = inherited[0]
        return replace(first, turned=node) if makes_nan and first.turned is None else first
    if not makes_nan and not all(map(_finite, step.operands)):
        return None
    made = next(value for value in step.results if not _finite(value))
    operands = "of finite operands" if all(map(_finite, step.operands)) else "of an infinity"
    inside = f", in the kernel of {run.ops}" if len(run.steps) > 1 else ""
    lines = [summary(f"operand {i}, {v.label}", value) for i, (v, value) in enumerate(zip(node.inputs, step.operands, strict=True))]
    return Origin(f"{_title(node)} made {_kind(made)} {operands}{inside}", node.source, (*lines, summary("result", made)))


def _title(node: Apply) -> str:
    return str(node.op).partition("{")[0]


def _finite(value: Array) -> bool:
    return not is_float(value.dtype) or bool(np.isfinite(value).all())


def _has_nan(value: Array) -> bool:
    return is_float(value.dtype) and bool(np.isnan(value).any())


def _kind(value: Array) -> str:
    return "NaN" if _has_nan(value) else "-infinity" if not (value == np.inf).any() else "infinity"
