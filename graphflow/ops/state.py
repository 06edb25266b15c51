"""Assignment to shared variables as part of a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from graphflow.graph.errors import DTypeError, GraphError, ShapeError
from graphflow.graph.op import Op, register, require_equal
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Shared, Variable, as_variable, explain
from graphflow.ops.elementwise import add, subtract
from graphflow.ops.promotion import coerce, is_weak
from graphflow.ops.public import public
from graphflow.ops.shape import show_shape

Grads = Sequence[Variable | None]
_recorded: ContextVar[list[Variable] | None] = ContextVar("recorded", default=None)


@contextmanager
def recording() -> Iterator[list[Variable]]:
    """The results of all `assign`, in order, that are made inside and that nothing may depend on."""
    made: list[Variable] = []
    token = _recorded.set(made)
    try:
        yield made
    finally:
        _recorded.reset(token)


@register
class Assign(Op):
    """A new value for the shared variable that is the first input, written when the run ends.

    The result is the new value.  The variable keeps its dtype and rank.
    """

    name = "assign"

    def infer(self, *inputs: TensorType) -> TensorType:
        old, new = inputs
        if old.dtype != new.dtype:
            raise DTypeError(f"the variable has the dtype {old.dtype} and the value {new.dtype}", hint=f"use gf.cast(value, '{old.dtype}')")
        if len(old.known_shape) != len(new.known_shape):
            shapes = f"{show_shape(old.known_shape)} and {show_shape(new.known_shape)}"
            raise ShapeError(f"the variable and the value have the shapes {shapes}", hint="a variable keeps its rank; see gf.reshape, gf.broadcast_to")
        return new

    def reference(self, *arrays: Any) -> Any:
        return arrays[1]

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return None, grads[0]


@public
def assign(variable: Any, value: Any) -> Variable:
    """Write `value` to a shared variable at the end of the run; the result is the new value.

    Raises GraphError if `variable` is not shared, DTypeError for another dtype (Python numbers
    fit any), ShapeError for another rank or for sizes that differ from those declared.
    """
    if not isinstance(variable, Shared):
        raise GraphError(f"assign: {variable!r:.80} is not a shared variable", hint="make one with gf.shared(value)")
    new = coerce(value, to=variable.dtype)[0] if is_weak(value) else as_variable(value)
    if variable.declared and variable.ndim == new.ndim:
        for axis, (have, want) in enumerate(zip(new.shape, variable.shape, strict=True)):
            try:
                require_equal(have, want, f"assign: the value and the declared shape differ in axis {axis}")
            except ShapeError as error:
                raise explain(error, None, (variable, new)) from None
    result: Variable = Assign()(variable, new)
    made = _recorded.get()
    if made is not None:
        made.append(result)
    return result


@public
def assign_add(variable: Any, delta: Any) -> Variable:
    """Write variable + delta at the end of the run; the result is the new value."""
    return _change(add, variable, delta)


@public
def assign_sub(variable: Any, delta: Any) -> Variable:
    """Write variable - delta at the end of the run; the result is the new value."""
    return _change(subtract, variable, delta)


def _change(fn: Callable[[Any, Any], Variable], variable: Any, delta: Any) -> Variable:
    return assign(variable, fn(variable, delta) if isinstance(variable, Shared) else delta)
