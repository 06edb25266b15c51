"""What weights must satisfy after each update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphflow.graph.errors import ShapeError
from graphflow.graph.variable import Variable
from graphflow.keras import backend as K
from graphflow.keras.arguments import recorded, recorded_config
from graphflow.keras.custom_objects import custom_object_scope
from graphflow.keras.lookup import Table, as_data
from graphflow.ops.elementwise import cast, clip, maximum, multiply, sqrt, square
from graphflow.ops.logic import greater_equal
from graphflow.ops.reduction import sum_

CONSTRAINTS = Table("constraint", makes=True)


class Constraint:
    """A function of a weight's new value that gives the nearest one allowed."""

    def __call__(self, w: Any) -> Any:
        return w

    def get_config(self) -> dict[str, Any]:
        return recorded_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constraint:
        return cls(**config)


def _norms(w: Variable, axis: int) -> Any:
    return sqrt(sum_(square(w), axis=axis, keepdims=True))


@CONSTRAINTS.add()
@recorded
class MaxNorm(Constraint):
    """Norms along `axis` of at most `max_value`."""

    def __init__(self, max_value: float = 2, axis: int = 0) -> None:
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: Any) -> Any:
        norms = _norms(w, self.axis)
        return w * (clip(norms, 0, self.max_value) / (K.epsilon() + norms))


@CONSTRAINTS.add()
class NonNeg(Constraint):
    """No negative elements."""

    def __call__(self, w: Any) -> Any:
        return w * cast(greater_equal(w, 0), w.dtype)


@CONSTRAINTS.add()
@recorded
class UnitNorm(Constraint):
    """Norms along `axis` of 1."""

    def __init__(self, axis: int = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        return w / (K.epsilon() + _norms(w, self.axis))


@CONSTRAINTS.add()
@recorded
class MinMaxNorm(Constraint):
    """Norms along `axis` moved by the share `rate` towards min_value .. max_value."""

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: int = 0) -> None:
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: Any) -> Any:
        norms = _norms(w, self.axis)
        wanted = multiply(clip(norms, self.min_value, self.max_value), self.rate) + (1 - self.rate) * norms
        return w * (wanted / maximum(norms, K.epsilon()))


@CONSTRAINTS.add()
class RadialConstraint(Constraint):
    """Each kernel of a convolution (the first two axes, equally long) is the same all around its centre.

    Every ring has the value on the diagonal; with an odd size the innermost has, as in Keras, the one before the centre.
    """

    def __call__(self, w: Any) -> Any:
        size = w.shape[0]
        if w.ndim != 4 or size != w.shape[1]:
            raise ShapeError(f"RadialConstraint: {w.type} holds no square kernels")
        middle, even = size // 2, size % 2 == 0
        place = np.arange(size)
        ring = np.maximum.outer(*[np.maximum(place - middle, middle - (1 if even else 0) - place)] * 2)
        diagonal = np.where(ring == 0, max(middle - 1, 0), middle + ring - (0 if even else 1))
        return w[diagonal, diagonal]


max_norm = maxnorm = MaxNorm
non_neg = nonneg = NonNeg
unit_norm = unitnorm = UnitNorm
min_max_norm = MinMaxNorm
radial_constraint = RadialConstraint


def get(identifier: Any) -> Any:
    """The constraint for a name, {'class_name', 'config'} or function; None for None."""
    return CONSTRAINTS.get(identifier)


def serialize(constraint: Any) -> Any:
    return as_data(constraint)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The constraint for what `serialize` gives; `custom_objects` come first."""
    with custom_object_scope(custom_objects or {}):
        return get(config)
