"""Services of the runtime that lower layers call: values of Variables and of state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphflow.compiler.autodiff import backward, jacobian
from graphflow.compiler.clone import Cloner
from graphflow.compiler.reference import interpreter
from graphflow.graph.dim import Size, Symbol
from graphflow.graph.op import Array
from graphflow.graph.variable import HOOKS, Shared, Variable
from graphflow.runtime.session import Session, current_store
from graphflow.runtime.test_values import check_node


def evaluate(v: Variable, feeds: Mapping[Variable, Any]) -> Array:
    store = current_store()
    if store.evaluator is None:
        store.evaluator = Session(store=store)
    result: Array = store.evaluator.run(v, feeds)
    return result


def get_value(v: Shared) -> Array:
    return current_store().get(v)


def set_value(v: Shared, value: Any) -> None:
    current_store().set(v, value)


def cloned(outputs: Sequence[Variable], replace: Mapping[Variable, Variable], dims: Mapping[Symbol, Size] | None = None) -> list[Variable]:
    return Cloner(replace, dims).clone(outputs)


def pullback(outputs: Sequence[Variable], seeds: Sequence[Variable], wrt: Sequence[Variable]) -> list[Variable | None]:
    """Cotangents of `wrt`, None for those that get none."""
    table = backward(outputs, seeds, wrt, frozenset())
    return [table.get(v) for v in wrt]


HOOKS.update(
    evaluate=evaluate, get_value=get_value, set_value=set_value, clone=cloned, pullback=pullback, interpreter=interpreter, check_node=check_node,
    jacobian=jacobian,
)
