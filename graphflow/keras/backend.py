"""`K`: values of variables, float type, epsilon, names.  The ops are graphflow's own (`gf.exp`, `gf.sum` ...).

The values of weights and of optimizers are in the default Store, whatever Session is open.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from graphflow.configuration import config
from graphflow.graph.errors import DTypeError, StateError
from graphflow.graph.op import Array
from graphflow.graph.types import as_dtype
from graphflow.graph.variable import Shared, Variable, shared
from graphflow.keras import generation
from graphflow.keras.phase import in_test_phase, in_train_phase, learning_phase, set_learning_phase
from graphflow.keras.structure import int_shape
from graphflow.runtime.store import default_store

__all__ = [
    "batch_get_value", "batch_set_value", "clear_session", "count_params", "epsilon", "floatx", "get_uid", "get_value",
    "in_test_phase", "in_train_phase", "int_shape", "learning_phase", "reset_uids", "set_epsilon", "set_floatx",
    "set_learning_phase", "set_value", "update", "update_add", "update_sub", "variable",
]  # fmt: skip


class _Process:
    epsilon = 1e-7
    uids: ClassVar[Counter[str]] = Counter()


def floatx() -> str:
    """The float dtype of weights and inputs, 'float32' by default (`gf.config.floatX`)."""
    name: str = config.floatX
    return name


def set_floatx(name: str) -> None:
    """Use another float dtype for what is built from now on.  Raises DTypeError for one that is not float."""
    if as_dtype(name).kind != "f":
        raise DTypeError(f"set_floatx: {name} is not a float dtype", hint="use 'float32' or 'float64'")
    config.floatX = name


def epsilon() -> float:
    """The small number that keeps divisions and logarithms finite, 1e-7 by default."""
    return _Process.epsilon


def set_epsilon(value: float) -> None:
    _Process.epsilon = float(value)


# --- variables -----------------------------------------------------------------------------------
def variable(value: Any, dtype: Any = None, name: str | None = None, constraint: Any = None) -> Shared:
    """State with an initial value, floatx unless `dtype` says otherwise."""
    made = shared(value, name=name, shape=np.shape(value), dtype=dtype or floatx())
    made.tag.constraint = constraint
    made.tag.found_in_attributes = generation.resolve("attributes that are variables are weights")
    return made


def get_value(x: Shared) -> Any:
    """The value of a variable: an array, or a NumPy scalar for a scalar.  Raises StateError for a plain number."""
    return default_store().get(_state(x, "get_value"))[()]


def set_value(x: Shared, value: Any) -> None:
    """Give a variable another value.  Raises StateError for what is no variable, ShapeError for another shape."""
    default_store().set(_state(x, "set_value"), np.asarray(value, dtype=x.dtype))


def _state(x: Any, what: str) -> Shared:
    if not isinstance(x, Shared):
        raise StateError(f"{what}: {x!r:.60} is not a variable", hint="variables are made with K.variable or a layer's add_weight")
    return x


def batch_get_value(variables: Sequence[Shared]) -> list[Array]:
    return [default_store().get(v) for v in variables]


def batch_set_value(pairs: Sequence[tuple[Shared, Any]]) -> None:
    for v, value in pairs:
        set_value(v, value)


def count_params(x: Shared) -> int:
    """The number of elements of a variable."""
    return math.prod(n if isinstance(n, int) else m for n, m in zip(x.shape, default_store().get(x).shape, strict=True))


def update(x: Shared, value: Any) -> tuple[Shared, Any]:
    """An update for `add_update` and `Optimizer.get_updates`: x becomes `value`."""
    return x, value


def update_add(x: Shared, increment: Any) -> tuple[Shared, Variable]:
    """An update: x becomes x + increment."""
    return x, x + increment


def update_sub(x: Shared, decrement: Any) -> tuple[Shared, Variable]:
    """An update: x becomes x - decrement."""
    return x, x - decrement


# --- names ---------------------------------------------------------------------------------------
def get_uid(prefix: str = "") -> int:
    """1, 2, 3 ... for each prefix."""
    _Process.uids[prefix] += 1
    return _Process.uids[prefix]


def reset_uids() -> None:
    """Begin numbering layers from the start again."""
    _Process.uids.clear()


def clear_session() -> None:
    """Begin numbering layers from the start again; graphs and weights leave with the models that hold them."""
    reset_uids()
