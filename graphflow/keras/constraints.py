"""What weights must satisfy after each update."""

from __future__ import annotations

from typing import Any

from graphflow.graph.variable import Variable
from graphflow.keras import backend as K
from graphflow.keras.arguments import recorded, recorded_config
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


max_norm = maxnorm = MaxNorm
non_neg = nonneg = NonNeg
unit_norm = unitnorm = UnitNorm
min_max_norm = MinMaxNorm


def get(identifier: Any) -> Any:
    """The constraint for a name, {'class_name', 'config'} or function; None for None."""
    return CONSTRAINTS.get(identifier)


def serialize(constraint: Any) -> Any:
    return as_data(constraint)


def deserialize(config: Any) -> Any:
    return get(config)
