"""Elementwise functions and reductions, with Keras's arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from graphflow.graph.variable import Variable, as_variable
from graphflow.keras import generation
from graphflow.keras.backend.settings import floatx
from graphflow.ops import cumulative, elementwise, nn, reduction, statistics
from graphflow.ops.elementwise import maximum as _maximum
from graphflow.ops.elementwise import where
from graphflow.ops.logic import greater
from graphflow.ops.power import power
from graphflow.ops.rounding import round_

Axis = Any


def _number(x: Any) -> Variable:
    """Booleans as numbers."""
    v = as_variable(x)
    return elementwise.cast(v, floatx()) if v.dtype.kind == "b" else v


def _reduction(op: Callable[..., Variable], numbers: bool = False) -> Callable[..., Variable]:
    """`op` with the arguments (x, axis=None, keepdims=False)."""

    def reduce(x: Any, axis: Axis = None, keepdims: bool = False) -> Variable:
        axes = tuple(axis) if isinstance(axis, list) else axis
        return op(_number(x) if numbers else x, axis=axes, keepdims=keepdims)

    return reduce


max, min = _reduction(reduction.max_), _reduction(reduction.min_)
sum, prod = _reduction(reduction.sum_), _reduction(reduction.prod)
mean, std, var = _reduction(statistics.mean, True), _reduction(statistics.std, True), _reduction(statistics.var, True)
any, all = _reduction(reduction.any_), _reduction(reduction.all_)
logsumexp = _reduction(statistics.logsumexp)


def argmax(x: Any, axis: int = -1) -> Variable:
    return reduction.argmax(x, axis=axis)


def argmin(x: Any, axis: int = -1) -> Variable:
    return reduction.argmin(x, axis=axis)


def cumsum(x: Any, axis: int = 0) -> Variable:
    return cumulative.cumsum(x, axis=axis)


def cumprod(x: Any, axis: int = 0) -> Variable:
    return cumulative.cumprod(x, axis=axis)


def pow(x: Any, a: Any) -> Variable:
    return power(x, a)


def round(x: Any) -> Variable:
    """To whole numbers; halves to the even one."""
    return round_(x)


def sqrt(x: Any) -> Variable:
    """The square root; 0 for negative numbers."""
    return elementwise.sqrt(_maximum(x, 0))


def clip(x: Any, min_value: Any, max_value: Any) -> Variable:
    """x between two values; None for no bound."""
    if min_value is not None and max_value is not None and isinstance(min_value, int | float) and isinstance(max_value, int | float):
        max_value = min_value if max_value < min_value else max_value
    low, high = (None if isinstance(b, float) and math.isinf(b) else b for b in (min_value, max_value))
    return as_variable(x) if low is None and high is None else elementwise.clip(x, low, high)


# --- activations ---------------------------------------------------------------------------------
def relu(x: Any, alpha: Any = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Variable:
    """Above the threshold x, between 0 and `max_value` if there is one; below it alpha * (x - threshold)."""
    plain = threshold == 0 and isinstance(alpha, int | float) and alpha == 0
    y = as_variable(x) if max_value is None else clip(x, 0.0, max_value)
    return nn.relu(y) if plain else where(greater(x, threshold), y, (as_variable(x) - threshold) * alpha)


def elu(x: Any, alpha: float = 1.0) -> Variable:
    return nn.elu(x, alpha)


def softmax(x: Any, axis: int = -1) -> Variable:
    return nn.softmax(x, axis=axis)


def hard_sigmoid(x: Any) -> Variable:
    """slope * x + 0.5 between 0 and 1; the slope is 0.2, and 1/6 in Keras 3."""
    return elementwise.clip(as_variable(x) * generation.resolve("hard_sigmoid.slope") + 0.5, 0.0, 1.0)


def l2_normalize(x: Any, axis: Any = None) -> Variable:
    return nn.l2_normalize(x, axis)
