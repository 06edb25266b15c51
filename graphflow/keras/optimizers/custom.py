"""Optimizers of one's own in the styles of tf.keras 2 and of Keras 3: statements that assign.

tf.keras 2: `_create_slots(var_list)`, `_resource_apply_dense(grad, var)`, with `_set_hyper`, `get_slot` and others.
Keras 3: `build(variables)`, `update_step(gradient, variable, learning_rate)`, with `add_variable_from_reference`, `assign_sub`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.variable import Shared, Variable, as_variable
from graphflow.keras import backend as K
from graphflow.keras.assignments import Statements
from graphflow.keras.optimizers.base import GradientOptimizer, Updates, constrained
from graphflow.ops.elementwise import cast
from graphflow.ops.state import assign


class Optimizer(GradientOptimizer):
    """An optimizer; a subclass gives `step`, `get_updates`, or one of the styles above."""

    built = False

    def _steps(self, lr: Variable, t: Variable, grads: Sequence[Any], params: Sequence[Any]) -> Updates:
        update_step = getattr(self, "update_step", None)
        apply_dense = getattr(self, "_resource_apply_dense", None)
        if update_step is None and apply_dense is None:
            return super()._steps(lr, t, grads, params)
        self._make_state(params)
        with Statements() as statements:
            for p, g in zip(params, grads, strict=True):
                if self.weight_decay:
                    assign(p, p - p * self.weight_decay * lr)
                if update_step is not None:
                    update_step(g, p, lr)
                elif apply_dense is not None:
                    statements.note(apply_dense(g, p))
        weights = set(params)
        return [(v, constrained(v, new) if v in weights else new) for v, new in statements.updates()]

    def _make_state(self, params: Sequence[Any]) -> None:
        self._slots: dict[tuple[Any, str], Shared] = {}
        self.built = False
        self._places = {p: i for i, p in enumerate(params)}
        if hasattr(self, "_create_slots"):
            self._create_slots(params)
        else:
            self.build(params)

    # --- tf.keras 2 -------------------------------------------------------------------------------
    def _set_hyper(self, name: str, value: Any) -> None:
        """A rate, by the name of an attribute."""
        if name == "learning_rate":
            name, value = "lr", self._rate_of(value)
        present = isinstance(self.__dict__.get(name), Shared)
        setattr(self, name, self.rate(name, float(value)) if isinstance(value, int | float | np.number) and not present else value)

    def _get_hyper(self, name: str, dtype: Any = None) -> Any:
        value = self.lr if name == "learning_rate" else getattr(self, name)
        return cast(as_variable(value), dtype) if dtype is not None else value

    def _serialize_hyperparameter(self, name: str) -> Any:
        value = self._get_hyper(name)
        return K.get_value(value).item() if isinstance(value, Shared) else value

    def _decayed_lr(self, dtype: Any = None) -> Any:
        rate = self.current_rate()
        return rate if dtype is None else cast(rate, dtype)

    def add_slot(self, var: Any, slot_name: str, initializer: Any = "zeros") -> Shared:
        """State of the shape of a weight."""
        made: Shared = self.add_moments(slot_name, [var])[0]
        if initializer != "zeros":
            first = initializer(var.shape, dtype=var.dtype) if callable(initializer) else initializer
            K.set_value(made, first.eval() if isinstance(first, Variable) else first)
        self._slots[var, slot_name] = made
        return made

    def get_slot(self, var: Any, slot_name: str) -> Shared:
        return self._slots[var, slot_name]

    # --- Keras 3 ----------------------------------------------------------------------------------
    def build(self, variables: Sequence[Any]) -> None:
        """Make state; a subclass calls this first."""
        self.built = True

    def add_variable_from_reference(self, reference_variable: Any = None, name: str | None = None, initializer: str = "zeros", **also: Any) -> Shared:
        """State of the shape of a weight; tf.keras calls these model_variable and variable_name."""
        like = also.get("model_variable", reference_variable)
        return self.add_slot(like, name or also.get("variable_name") or "state", initializer)

    def add_variable(self, shape: Sequence[int], initializer: str = "zeros", dtype: Any = None, name: str | None = None, **unused: Any) -> Shared:
        made: Shared = self.add_state(name or "state", (np.ones if initializer == "ones" else np.zeros)(shape, dtype or K.floatx()))
        return made

    def add_optimizer_variables(self, trainable_variables: Sequence[Any], name: str, initializer: str = "zeros") -> list[Shared]:
        return [self.add_slot(v, name, initializer) for v in trainable_variables]

    def _get_variable_index(self, variable: Any) -> int:
        return self._places[variable]

    @staticmethod
    def assign(variable: Any, value: Any) -> Any:
        return assign(variable, cast(as_variable(value), variable.dtype))

    def assign_add(self, variable: Any, value: Any) -> Any:
        return self.assign(variable, variable + value)

    def assign_sub(self, variable: Any, value: Any) -> Any:
        return self.assign(variable, variable - value)
