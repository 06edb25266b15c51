"""Services of the runtime that lower layers call: values of Variables and of state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphflow.graph.op import Array
from graphflow.graph.variable import HOOKS, Shared, Variable
from graphflow.runtime.session import Session, current_store


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


HOOKS.update(evaluate=evaluate, get_value=get_value, set_value=set_value)
