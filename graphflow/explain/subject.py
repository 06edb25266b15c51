"""What is explained: a request, and the sizes it is explained for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphflow.draw.fetches import named_outputs
from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.op import Array
from graphflow.graph.traversal import leaves
from graphflow.graph.variable import Placeholder, Variable, origin_of
from graphflow.profiling import model_step
from graphflow.runtime.buffer import as_fed_array
from graphflow.runtime.compile import Specialisation
from graphflow.runtime.function import Function, check_ranks
from graphflow.runtime.session import current_store


@dataclass(frozen=True)
class Subject:
    """A function, how it is specialised, the arrays by which sizes are known, if any came, and names of its results."""

    function: Function
    specialisation: Specialisation
    arrays: Sequence[Array] | None
    names: Sequence[str]


def subject(what: Any, values: Sequence[Any]) -> Subject:
    """Raises GraphError for what cannot be explained, ShapeError for an unknown rank."""
    fn, values, names = _function(what, values)
    compiled, store = fn.compiled, fn.store
    if values:
        if len(values) != len(fn.inputs):
            raise GraphError(f"explain: {len(values)} values for {len(fn.inputs)} inputs", hint=f"pass values for {', '.join(v.label for v in fn.inputs)}, or none")
        arrays = check_ranks(fn.inputs, [as_fed_array(value, v.dtype, v) for v, value in zip(fn.inputs, values, strict=True)])
        return Subject(fn, compiled.specialisation(arrays, store), arrays, names)
    for v in fn.inputs:
        if v.type.shape is None:
            raise ShapeError(f"explain: the rank of {origin_of(v)} is not known", hint='pass values: gf.explain(f, "page.html", x)')
    return Subject(fn, Specialisation((None,) * len(fn.inputs), compiled.resized_state(store)), None, names)


def _function(what: Any, values: Sequence[Any]) -> tuple[Function, Sequence[Any], Sequence[str]]:
    """What is compiled, its arguments, and names of results that are known."""
    if isinstance(what, Function):
        return what, values, ()
    if hasattr(what, "train_step") and hasattr(what, "predict_step"):
        trains = what.optimizer is not None and len(values) != 1
        fn, arguments = model_step(what, values) if values else ((what.train_step() if trains else what.predict_step()), ())
        return fn, arguments, what.metrics_names if trains else what.output_names
    if not isinstance(what, Variable | list | tuple | dict):
        raise GraphError(f"explain: {what!r:.60} is not compiled", hint="pass a gf.function, a model, or Variables")
    named = named_outputs(what)
    inputs = [v for v in leaves([v for _, v in named]) if isinstance(v, Placeholder)]
    fn = Function(inputs, [v for _, v in named], (), named[0][0] or named[0][1].label, current_store())
    return fn, values, [name for name, _ in named]
