"""Metric: a number over all batches since the last reset, kept as state that batches update."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array
from graphflow.graph.traversal import leaves
from graphflow.graph.variable import Placeholder, Shared, Variable, as_variable, placeholder, shared
from graphflow.keras import backend as K
from graphflow.keras import initializers
from graphflow.keras.arguments import no_more, recorded_config
from graphflow.keras.assignments import Statements, Updates, inside_statements
from graphflow.keras.naming import next_name
from graphflow.keras.values import Value
from graphflow.runtime.function import Function, function


class Metric:
    """A subclass gives `update_state(y_true, y_pred, sample_weight=None)` and `result()`.

    It makes its state with `add_weight` in `__init__`, assigns to it in `update_state` (`v.assign`,
    `v.assign_add`, or pairs of `K.update` returned) and computes a scalar from it in `result`.  Both are
    written as graphs and work on arrays, too: `m.update_state([0, 1], [0.2, 0.9]); m.result()`.
    """

    stateful = True
    keeps_shape = False  # whether the state has a size for each row of the first batch

    def __init__(self, name: str | None = None, dtype: Any = None, **unknown: Any) -> None:
        no_more(type(self).__name__, unknown)
        self.name = name or self._next_name()
        policy = dtype["config"]["name"] if isinstance(dtype, Mapping) else dtype  # Keras 3 writes a policy
        self.dtype = K.floatx() if policy is None else policy
        self.updates: Updates = []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, wrap in {"update_state": _updating, "result": _reading, "reset_state": _resetting, "reset_states": _resetting}.items():
            if name in cls.__dict__:
                setattr(cls, name, wrap(cls.__dict__[name]))

    @classmethod
    def _next_name(cls) -> str:
        return next_name(cls.__name__, "metric ")

    # --- state ------------------------------------------------------------------------------------
    def add_weight(self, *args: Any, **kwargs: Any) -> Shared:
        """State: add_weight(name, shape=(), initializer='zeros', dtype=None); Keras 3 has the name last."""
        order = ("name", "shape", "initializer", "dtype") if not args or isinstance(args[0], str) else ("shape", "initializer", "dtype", "name")
        given = {**dict(zip(order, args, strict=False)), **kwargs}
        shape = tuple(given.get("shape") or ())
        dtype = given.get("dtype") or self.dtype
        first = initializers.get(given.get("initializer") or "zeros")(shape, dtype=dtype)
        return shared(first, name=f"{self.name}/{given.get('name') or 'state'}", shape=shape, dtype=dtype, trainable=False)

    add_variable = add_weight

    @property
    def variables(self) -> list[Shared]:
        """State of this metric and of metrics that are its attributes."""
        found: dict[Shared, None] = {}
        for attribute in self.__dict__.values():
            for item in attribute if isinstance(attribute, list | tuple) else (attribute,):
                if isinstance(item, Shared | Metric):
                    found.update(dict.fromkeys([item] if isinstance(item, Shared) else item.variables))
        return list(found)

    weights = variables

    def get_weights(self) -> list[Array]:
        return K.batch_get_value(self.variables)

    def set_weights(self, weights: Sequence[Any]) -> None:
        K.batch_set_value(list(zip(self.variables, weights, strict=True)))

    # --- what a subclass gives --------------------------------------------------------------------
    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Add a batch.  Outside a graph's making: with arrays it happens at once, with Variables the updates are returned."""
        raise NotImplementedError(f"{type(self).__name__} has no update_state")

    def result(self) -> Any:
        """The number, from the state."""
        raise NotImplementedError(f"{type(self).__name__} has no result")

    def reset_state(self) -> None:
        """Begin again: all state becomes what it was at first."""
        K.batch_set_value([(v, v.initial) for v in self.variables])

    def reset_states(self) -> None:
        """The name of `reset_state` before tf.keras 2.5."""
        self.reset_state()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Update, and the result after that; of Variables a Variable, and `updates` has the new state."""
        if inside_statements() or not _symbolic(args, kwargs):
            self.update_state(*args, **kwargs)
            return self.result()
        made = _read(self, args, kwargs)
        self.updates = made.updates
        return made.value

    def merge_state(self, metrics: Sequence[Metric]) -> None:
        """Add what other metrics of this class have seen."""
        for other in metrics:
            pairs = zip(self.variables, other.variables, strict=True)
            K.batch_set_value([(mine, K.get_value(mine) + K.get_value(theirs)) for mine, theirs in pairs])

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": str(np.dtype(self.dtype)), **recorded_config(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)

    def __reduce__(self) -> Any:
        """Copied and pickled as its configuration: another, that has seen nothing."""
        return type(self).from_config, (self.get_config(),)


# --- in a training or test step ------------------------------------------------------------------
@dataclass(frozen=True)
class Reading:
    """A metric of one batch: its value after the batch, and the new state."""

    value: Variable
    updates: Updates


def is_stateful(metric: Any) -> bool:
    """Whether the last value counts, and not the mean over samples: a Metric, or a layer that says `stateful`."""
    return bool(getattr(metric, "stateful", False))


def reading(metric: Any, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Reading:
    """The metric of a batch as graphs.  Raises GraphError if the result is no scalar."""
    if isinstance(metric, Metric):
        made = _read(metric, (y_true, y_pred), {} if sample_weight is None else {"sample_weight": sample_weight})
    else:  # a layer of Keras 2.2: it gives its value after the batch, and its updates to add_update
        value = as_variable(metric(y_true, y_pred))
        made = Reading(value, list(metric.updates))
    if made.value.ndim:
        raise GraphError(f"the metric {getattr(metric, 'name', metric)} gives {made.value.type}", hint="fit reports scalars: use average='micro' or 'macro', or a mean")
    return made


def _read(metric: Metric, args: Sequence[Any], kwargs: Any) -> Reading:
    with Statements() as statements:
        metric.update_state(*args, **kwargs)
        value = as_variable(metric.result())
    return Reading(statements.now([value])[0], statements.updates())


# --- on arrays -----------------------------------------------------------------------------------
def _updating(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def update_state(self: Metric, *args: Any, **kwargs: Any) -> Any:
        if not inside_statements() and not _symbolic(args, kwargs):
            _Call(self, method, args, kwargs).run()
            return np.zeros(()).view(Value)  # nothing is left to run, for code that runs what it is given
        if inside_statements():
            returned = method(self, *args, **kwargs)
            Statements.note(returned)
            return returned
        with Statements() as statements:
            statements.note(method(self, *args, **kwargs))
        return statements.updates()

    return update_state


def _reading(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def result(self: Metric) -> Any:
        if inside_statements():
            return method(self)
        made = self.__dict__.get("_result")
        if made is None:
            with Statements():
                made = self.__dict__["_result"] = function([], as_variable(method(self)), name=f"{self.name}.result")
        return np.asarray(made()).view(Value)

    return result


def _resetting(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def reset(self: Metric) -> None:
        with Statements() as statements:
            method(self)
        K.batch_set_value([(cell, value.eval()) for cell, value in statements.updates()])

    return reset


class _Call:
    """`update_state` on arrays, compiled once for each combination of ranks and dtypes."""

    def __init__(self, metric: Metric, method: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        self.metric, self.method = metric, method
        self.names = [*range(len(args)), *kwargs]
        self.given = [_array(v) for v in (*args, *kwargs.values())]

    def run(self) -> None:
        leading = [len(a) for a in self.given if a is not None and a.ndim]
        rows = [None if a is None or not a.ndim else -1 if len(a) == 1 else leading.index(len(a)) for a in self.given]
        if self.metric.keeps_shape:
            rows = [None] * len(rows)
        key = (self.method.__name__, *self.names, *rows, *(None if a is None else (a.dtype.str, a.ndim, a.shape[1 - self.metric.keeps_shape :]) for a in self.given))
        known: dict[Any, Function] = self.metric.__dict__.setdefault("_on_arrays", {})
        if key not in known:
            known[key] = self.compiled(rows)
        known[key](*(a for a in self.given if a is not None))

    def compiled(self, rows: Sequence[int | None]) -> Function:
        """For a number of rows that is open, one Dim for all arrays that have the same number."""
        sizes: dict[int | None, Any] = {-1: 1}
        inputs: list[Placeholder | None] = []
        for a, row in zip(self.given, rows, strict=True):
            v = None if a is None else placeholder(a.dtype, a.shape if row is None else (sizes.get(row), *a.shape[1:]))
            if v is not None and row is not None:
                sizes.setdefault(row, v.shape[0])
            inputs.append(v)
        by_name = dict(zip(self.names, inputs, strict=True))
        with Statements() as statements:
            positional = [v for name, v in by_name.items() if isinstance(name, int)]
            statements.note(self.method(self.metric, *positional, **{name: v for name, v in by_name.items() if isinstance(name, str)}))
        return function([v for v in inputs if v is not None], None, statements.updates(), name=f"{self.metric.name}.update_state")


def _symbolic(args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether values depend on what is fed; constants and state have a value now."""
    variables = [v for v in (*args, *kwargs.values()) if isinstance(v, Variable)]
    return any(isinstance(leaf, Placeholder) for leaf in leaves(variables))


def _array(value: Any) -> Array | None:
    """An array; float64, which Python's numbers are, becomes floatx."""
    if value is None:
        return None
    array = np.asarray(value.eval() if isinstance(value, Variable) else value)
    return array.astype(K.floatx()) if array.dtype.kind == "f" else array
