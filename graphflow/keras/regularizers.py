"""Penalties on weights and activities, added to the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.variable import Variable, constant
from graphflow.keras.arguments import recorded, recorded_config
from graphflow.keras.custom_objects import custom_object_scope
from graphflow.keras.lookup import Table, as_data
from graphflow.ops.contraction import matmul
from graphflow.ops.elementwise import abs_, add, multiply, sqrt, square
from graphflow.ops.nn import l2_normalize
from graphflow.ops.reduction import sum_
from graphflow.ops.shape import transpose

REGULARIZERS = Table("regularizer", makes=True)
CLASSES = Table("regularizer", makes=True)  # those whose names differ from a function's in case only


class Regularizer:
    """A function of a Variable that gives a scalar."""

    def __call__(self, x: Variable) -> Variable:
        return constant(0, x.dtype)

    def get_config(self) -> dict[str, Any]:
        return recorded_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Regularizer:
        return cls(**config)


@REGULARIZERS.add()
@recorded
class L1L2(Regularizer):
    """l1 * sum(|x|) + l2 * sum(x ** 2)."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = l1, l2

    def __call__(self, x: Variable) -> Variable:
        terms = [multiply(sum_(measure(x)), rate) for rate, measure in ((self.l1, abs_), (self.l2, square)) if rate]
        return add(*terms) if len(terms) == 2 else terms[0] if terms else super().__call__(x)


@CLASSES.add()
@recorded
class L1(Regularizer):
    """l1 * sum(|x|)."""

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = l1

    def __call__(self, x: Variable) -> Variable:
        return multiply(sum_(abs_(x)), self.l1)


@CLASSES.add()
@recorded
class L2(Regularizer):
    """l2 * sum(x ** 2)."""

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = l2

    def __call__(self, x: Variable) -> Variable:
        return multiply(sum_(square(x)), self.l2)


@REGULARIZERS.add()
@recorded
class OrthogonalRegularizer(Regularizer):
    """factor times the mean |cosine| between different rows (or columns) of a matrix.  Raises GraphError for another mode."""

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        if mode not in ("rows", "columns"):
            raise GraphError(f"OrthogonalRegularizer: mode={mode!r}", hint="it is 'rows' or 'columns'")
        self.factor, self.mode = factor, mode

    def __call__(self, x: Variable) -> Variable:
        if x.ndim != 2:
            raise ShapeError(f"OrthogonalRegularizer: {x.type} is not a matrix")
        lines = l2_normalize(x if self.mode == "rows" else transpose(x), axis=1)
        number = int(lines.shape[0])
        cosines = multiply(abs_(matmul(lines, transpose(lines))), constant(1 - np.eye(number), x.dtype))
        return multiply(sum_(cosines), 0.5 * self.factor / max(number * (number - 1) / 2, 1))


@REGULARIZERS.add()
@recorded
class EigenvalueRegularizer(Regularizer):
    """k times the largest eigenvalue of w' w, found in nine steps of the power method (Keras 1)."""

    def __init__(self, k: float = 0.01) -> None:
        self.k = k

    def __call__(self, x: Variable) -> Variable:
        if x.ndim != 2:
            raise ShapeError(f"EigenvalueRegularizer: {x.type} is not a matrix")
        square_of = matmul(transpose(x), x)
        v: Variable = constant(np.ones((int(x.shape[1]), 1)), x.dtype)
        for _ in range(9):
            v = matmul(square_of, v)
            v = v / sqrt(sum_(square(v)))
        return multiply(sum_(v * matmul(square_of, v)), self.k)


@REGULARIZERS.add()
def l1(l: float = 0.01, l1: float | None = None) -> Regularizer:  # noqa: E741  the argument's public name
    """l * sum(|x|); from tf.keras on the argument is called l1."""
    return L1L2(l1=l if l1 is None else l1)


@REGULARIZERS.add()
def l2(l: float = 0.01, l2: float | None = None) -> Regularizer:  # noqa: E741  the argument's public name
    """l * sum(x ** 2); from tf.keras on the argument is called l2."""
    return L1L2(l2=l if l2 is None else l2)


@REGULARIZERS.add("l1l2")
def l1_l2(l1: float = 0.01, l2: float = 0.01) -> Regularizer:
    """l1 * sum(|x|) + l2 * sum(x ** 2)."""
    return L1L2(l1, l2)


l1l2, orthogonal_regularizer = l1_l2, OrthogonalRegularizer
activity_l1, activity_l2, activity_l1l2 = l1, l2, l1_l2
WeightRegularizer = ActivityRegularizer = L1L2Regularizer = L1L2


def get(identifier: Any) -> Any:
    """The regularizer for a name, {'class_name', 'config'}, class or function; None for None."""
    name = identifier["class_name"] if isinstance(identifier, Mapping) and "class_name" in identifier else identifier
    return (CLASSES if name in list(CLASSES) else REGULARIZERS).get(identifier)


def serialize(regularizer: Any) -> Any:
    return as_data(regularizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The regularizer for what `serialize` gives; `custom_objects` come first."""
    with custom_object_scope(custom_objects or {}):
        return get(config)
