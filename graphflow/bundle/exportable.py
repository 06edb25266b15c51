"""What can be exported: compiled functions, models, and pairs of inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphflow.graph.errors import ExportError, FeedError
from graphflow.graph.op import Array
from graphflow.graph.traversal import leaves
from graphflow.graph.variable import Shared, Variable
from graphflow.ops.random import is_rng_state
from graphflow.runtime.buffer import as_fed_array
from graphflow.runtime.compile import Request
from graphflow.runtime.function import Function, function
from graphflow.runtime.store import Store


@dataclass(frozen=True)
class Exportable:
    """`run` without updates; `step` with them, or None; `store` holds the state's present values."""

    run: Request
    step: Request | None
    store: Store

    @property
    def inputs(self) -> tuple[Variable, ...]:
        """The inputs of both, those of `run` first."""
        return tuple(dict.fromkeys([*self.run.inputs, *(self.step.inputs if self.step else ())]))


def exportable(what: Any, train: bool = False) -> Exportable:
    """From a Function, a pair (inputs, outputs), or a model.

    A Function with updates gives both forms: `run` leaves its updates out.  A model has `graph_inputs` and
    `graph_outputs`, and with `train` a method `train_step()` that returns a Function.
    Raises ExportError for anything else.
    """
    if isinstance(what, Function):
        made = of_function(what)
        if train and made.step is None:
            raise ExportError(f"{what!r} has no updates, so there is no training step to export", hint="give gf.function updates=")
        return made
    if isinstance(what, tuple) and len(what) == 2:
        return exportable(function(*what), train)
    inputs, outputs = (getattr(what, f"graph_{end}", None) for end in ("inputs", "outputs"))
    if not isinstance(inputs, list | tuple) or not isinstance(outputs, list | tuple):
        raise ExportError(f"cannot export {type(what).__name__} {what!r:.60}", hint="pass a gf.function, a model, or (inputs, outputs)")
    run = of_function(function(list(inputs), list(outputs)))
    if not train:
        return Exportable(run.run, None, run.store)
    make = getattr(what, "train_step", None)
    step = make() if callable(make) else None
    if not isinstance(step, Function):
        raise ExportError(f"{type(what).__name__} {what!r:.60} has no training step", hint="compile the model, or export a gf.function with updates")
    return Exportable(run.run, of_function(step).step, run.store)


def of_function(f: Function) -> Exportable:
    request = f.compiled.request
    run = Request(request.inputs, request.outputs, ())
    draws = any(isinstance(v, Shared) and is_rng_state(v) for v in leaves(request.outputs))
    return Exportable(run, request if request.updates or draws else None, f.store)


def given_arrays(inputs: Sequence[Variable], given: Any = None) -> dict[Variable, Array]:
    """The sample arrays the user gave for inputs: a sequence in order, or a mapping by name; not all need be there.

    Raises FeedError for a name that no input has.
    """
    named = given if isinstance(given, Mapping) else dict(zip([v.label for v in inputs], given or (), strict=False))
    unknown = [str(name) for name in named if name not in [v.label for v in inputs]]
    if unknown or len(given or ()) > len(inputs):
        what = f"no input is called {', '.join(unknown)}" if unknown else f"{len(given)} arrays for {len(inputs)} inputs"
        raise FeedError(f"inputs: {what}", hint=f"inputs are {', '.join(v.label for v in inputs)}")
    return {v: as_fed_array(named[v.label], v.dtype, v) for v in inputs if v.label in named}
