"""Penalties on weights and activities, added to the loss."""

from __future__ import annotations

from typing import Any

from graphflow.graph.variable import Variable, constant
from graphflow.keras.arguments import recorded, recorded_config
from graphflow.keras.lookup import Table, as_data
from graphflow.ops.elementwise import abs_, add, multiply, square
from graphflow.ops.reduction import sum_

REGULARIZERS = Table("regularizer", makes=True)


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


@REGULARIZERS.add()
def l1(l: float = 0.01) -> Regularizer:  # noqa: E741  the argument's public name
    """l * sum(|x|)."""
    return L1L2(l1=l)


@REGULARIZERS.add()
def l2(l: float = 0.01) -> Regularizer:  # noqa: E741  the argument's public name
    """l * sum(x ** 2)."""
    return L1L2(l2=l)


@REGULARIZERS.add()
def l1_l2(l1: float = 0.01, l2: float = 0.01) -> Regularizer:
    """l1 * sum(|x|) + l2 * sum(x ** 2)."""
    return L1L2(l1, l2)


def get(identifier: Any) -> Any:
    """The regularizer for a name, {'class_name', 'config'} or function; None for None."""
    return REGULARIZERS.get(identifier)


def serialize(regularizer: Any) -> Any:
    return as_data(regularizer)


def deserialize(config: Any) -> Any:
    return get(config)
