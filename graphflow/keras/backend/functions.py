"""Compiled functions, gradients, sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.compiler.autodiff import grad
from graphflow.graph.errors import DisconnectedError, FeedError
from graphflow.graph.op import Array
from graphflow.graph.variable import Shared, Variable, as_variable
from graphflow.graph.variable import name_scope as name_scope
from graphflow.keras import generation
from graphflow.keras.structure import as_list
from graphflow.keras.values import Value
from graphflow.ops.identity import identity
from graphflow.ops.identity import stop_gradient as _stop_gradient
from graphflow.ops.reduction import sum_
from graphflow.runtime.function import function as _function
from graphflow.runtime.session import Session
from graphflow.runtime.store import default_store

__all__ = [
    "Function", "eval", "function", "get_session", "gradients", "manual_variable_initialization", "name_scope", "print_tensor", "set_session",
    "stop_gradient",
]  # fmt: skip


class _Process:
    session: Session | None = None


class Function:
    """What `function` gives: called with a list of values, it gives a list of arrays."""

    def __init__(
        self, inputs: Sequence[Variable], outputs: Sequence[Any], updates: Any = None, name: str | None = None, feeds: Mapping[Variable, Any] | None = None
    ) -> None:
        self.feeds = {} if feeds is None else feeds
        self.inputs = list(inputs)
        self.outputs = [as_variable(v) for v in outputs]
        pairs = [pair for pair in updates or [] if pair is not None]
        self._run = _function([*self.inputs, *self.feeds], self.outputs, pairs, name=name or "K.function")

    def __call__(self, inputs: Sequence[Any] = ()) -> list[Array]:
        values = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        if len(values) != len(self.inputs):
            raise FeedError(f"the function takes {len(self.inputs)} inputs, and {len(values)} values came", hint="they are one list: f([x, y])")
        fed = [*zip(values, self.inputs, strict=True), *((value, v) for v, value in self.feeds.items())]
        results: list[Array] = self._run(*[_of_kind(value, v) for value, v in fed])
        return results


def _of_kind(value: Any, v: Variable) -> Any:
    """0 and 1 as booleans, which is what the learning phase takes; numbers as `v` takes them."""
    return np.asarray(value, v.dtype) if v.dtype.kind == "b" or np.ndim(value) == 0 else value


def function(
    inputs: Sequence[Variable], outputs: Any, updates: Any = None, name: str | None = None, fetches: Sequence[Any] = (), feed_dict: Any = None, **session: Any
) -> Any:
    """A compiled function: `f([values of inputs])` gives the list of the values of `outputs`, and performs `updates`.

    Inputs are placeholders, the learning phase, or any other Variable, which is then fed in its place.  `fetches`: further
    updates; `feed_dict`: {Variable: value}, whose values are read at each call.  Other options of a TensorFlow session change nothing.  From tf.keras on an
    output that is not in a list comes as it is.
    """
    given = (inputs, as_list(outputs), [*(updates or ()), *fetches], name, feed_dict)
    made = Function(*given)
    if isinstance(outputs, list | tuple):
        return made
    return (lambda values=(): made(values)[0]) if generation.resolve("K.function gives single outputs") else made


def gradients(loss: Any, variables: Any) -> list[Variable | None]:
    """The gradient of the sum of `loss` with respect to each Variable; None where it does not depend on it."""
    total = as_variable(loss)
    total = sum_(total) if total.ndim else total
    wanted = list(variables) if isinstance(variables, list | tuple) else [variables]
    try:
        found: list[Variable | None] = grad(total, wanted)
        return found
    except DisconnectedError:
        return [_gradient(total, v) for v in wanted]


def _gradient(total: Variable, v: Variable) -> Variable | None:
    try:
        found: Variable = grad(total, [v])[0]
        return found
    except DisconnectedError:
        return None


def stop_gradient(variables: Any) -> Any:
    """The same values, through which no gradient flows."""
    return [_stop_gradient(v) for v in variables] if isinstance(variables, list | tuple) else _stop_gradient(variables)


def eval(x: Any) -> Any:
    """The value of a Variable that needs no feeds; what is a value already, as metrics give it, comes back."""
    if isinstance(x, Value):
        return x.eval()
    return default_store().get(x)[()] if isinstance(x, Shared) else get_session().run(x)


def get_session() -> Session:
    """The Session that sees the values of weights: its state is that of the default Store."""
    if _Process.session is None or _Process.session._closed:
        _Process.session = Session(store=default_store())
    return _Process.session


def set_session(session: Any) -> None:
    """Let `get_session` give this Session.  Weights stay in the default Store."""
    _Process.session = session


def manual_variable_initialization(value: bool) -> None:
    """Accepted: a variable has its initial value from the start."""


def print_tensor(x: Any, message: str = "") -> Variable:
    """x: values are shown with `gf.dprint`, `eval` or a Session, not while a function runs."""
    return identity(x)
