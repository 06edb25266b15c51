"""What graphflow itself computes for sample inputs: the self-test's expectations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from graphflow.bundle.exportable import Exportable
from graphflow.bundle.plan import Plan, Routine
from graphflow.graph.dim import Dim, Symbol, evaluate
from graphflow.graph.errors import CheckError, ExportError, ShapeError
from graphflow.graph.op import Array
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable
from graphflow.runtime.compiled import Compiled
from graphflow.runtime.store import Store

STEPS = 3  # of a training step: state that is not written back shows in the second
OPEN_SIZE = 3  # of axes whose size is open, in inputs nobody gave


@dataclass(frozen=True)
class Trial:
    """Inputs of one exported function, its outputs call after call, and the state after the last."""

    routine: Routine
    inputs: list[Array]
    outputs: list[list[Array]]
    state: list[Array]


@dataclass(frozen=True)
class Trials:
    """One for each exported function, with the same Dims."""

    dims: list[int]
    trials: list[Trial]


def make_trials(plan: Plan, source: Exportable, given: Mapping[Variable, Array]) -> Trials:
    """Run each function in this process, on a copy of the state; inputs that are not given are made up.

    Raises ExportError if the inputs do not fit.
    """
    requests = [source.run, *([source.step] if source.step else [])]
    types = {v: t.type for q, r in zip(requests, plan.routines, strict=True) for v, t in zip(q.inputs, r.inputs, strict=True)}
    sizes = dict.fromkeys(plan.dims, OPEN_SIZE)
    for v, array in given.items():
        for size, n in zip(types[v].known_shape, array.shape, strict=False):
            if isinstance(size, Dim) and isinstance(size.atom, Symbol):
                sizes[size.atom] = n
    generator = np.random.default_rng(0)
    samples = {v: given[v] if v in given else made_up(t, sizes, generator) for v, t in types.items()}
    trials = []
    for request, routine in zip(requests, plan.routines, strict=True):
        store = Store()
        for s in plan.shared:
            store.cell(s).array = source.store.get(s)
        inputs = [samples[v] for v in request.inputs]
        outputs = run(Compiled(request, routine.suffix), inputs, store, STEPS if routine.writes else 1)
        trials.append(Trial(routine, inputs, outputs, [store.get(s) for s in plan.shared]))
    return Trials([sizes[s] for s in plan.dims], trials)


def run(compiled: Compiled, inputs: list[Array], store: Store, times: int) -> list[list[Array]]:
    try:
        return [compiled(inputs, store) for _ in range(times)]
    except (CheckError, ShapeError) as error:
        raise ExportError(f"the self-test's inputs do not fit: {error.message}", hint="pass inputs=[sample arrays]", context=error.context) from error


def made_up(type: TensorType, sizes: Mapping[Symbol, int], generator: np.random.Generator) -> Array:
    """Normal numbers; zeros and ones for integers, which are often indices."""
    shape = [evaluate(size, sizes) for size in type.known_shape]
    if type.dtype.kind == "f":
        return generator.standard_normal(shape).astype(type.dtype)
    return generator.integers(0, 2, shape).astype(type.dtype)
