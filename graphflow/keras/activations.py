"""Activation functions by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.errors import ShapeError
from graphflow.graph.variable import Variable
from graphflow.keras import generation
from graphflow.keras.lookup import Table
from graphflow.ops import nn
from graphflow.ops.creation import iota
from graphflow.ops.cumulative import cumsum
from graphflow.ops.elementwise import (
    abs_,
    add,
    cast,
    clip,
    divide,
    maximum,
    minimum,
    multiply,
    negative,
    sqrt,
    square,
    subtract,
    where,
)
from graphflow.ops.joining import split
from graphflow.ops.logic import greater, greater_equal
from graphflow.ops.reduction import sum_
from graphflow.ops.shape import moveaxis
from graphflow.ops.sorting import sort
from graphflow.ops.statistics import logsumexp
from graphflow.ops.transcendental import exp, expm1

ACTIVATIONS = Table("activation")


@ACTIVATIONS.add()
def softmax(x: Any, axis: int | Sequence[int] = -1) -> Variable:
    """exp(x) / sum(exp(x)) along `axis`, or several.  Raises ShapeError for a vector."""
    if x.ndim < 2:
        raise ShapeError(f"softmax: cannot apply to {x.type}", hint="it takes a batch: at least 2 axes")
    if isinstance(axis, int):
        return nn.softmax(x, axis)
    return exp(subtract(x, logsumexp(x, axis=tuple(axis), keepdims=True)))


@ACTIVATIONS.add()
def elu(x: Any, alpha: float = 1.0) -> Variable:
    """x where it is positive, else alpha * (exp(x) - 1)."""
    return nn.elu(x, alpha)


@ACTIVATIONS.add()
def selu(x: Any) -> Variable:
    """The scaled exponential linear unit."""
    return nn.selu(x)


@ACTIVATIONS.add()
def softplus(x: Any) -> Variable:
    """log(exp(x) + 1)."""
    return nn.softplus(x)


@ACTIVATIONS.add()
def softsign(x: Any) -> Variable:
    """x / (|x| + 1)."""
    return nn.softsign(x)


@ACTIVATIONS.add()
def relu(x: Any, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0, negative_slope: float | None = None) -> Variable:
    """x from `threshold` on (at most `max_value`), and alpha * (x - threshold) below.  Keras 3 says `negative_slope` for alpha."""
    alpha = alpha if negative_slope is None else negative_slope
    if threshold == 0 and alpha == 0:
        above = nn.relu(x)
    elif threshold == 0:
        above = maximum(x, 0)
    else:
        above = where(greater_equal(x, threshold), x, 0)
    if max_value is not None:
        above = minimum(above, max_value)
    return above if alpha == 0 else add(above, multiply(minimum(subtract(x, threshold), 0), alpha))


@ACTIVATIONS.add()
def tanh(x: Any) -> Variable:
    """The hyperbolic tangent."""
    return nn.tanh(x)


@ACTIVATIONS.add()
def sigmoid(x: Any) -> Variable:
    """1 / (1 + exp(-x))."""
    return nn.sigmoid(x)


@ACTIVATIONS.add()
def hard_sigmoid(x: Any) -> Variable:
    """slope * x + 0.5 clipped to 0 .. 1; the slope is 0.2, and 1/6 from Keras 3 on."""
    return clip(x * generation.resolve("hard_sigmoid.slope") + 0.5, 0.0, 1.0)


@ACTIVATIONS.add()
def exponential(x: Any) -> Variable:
    """exp(x)."""
    return exp(x)


@ACTIVATIONS.add()
def linear(x: Any) -> Variable:
    """x."""
    result: Variable = x
    return result


@ACTIVATIONS.add()
def swish(x: Any) -> Variable:
    """x * sigmoid(x)."""
    return nn.silu(x)


@ACTIVATIONS.add()
def gelu(x: Any, approximate: bool = False) -> Variable:
    """x times the normal distribution function of x."""
    return nn.gelu(x, approximate)


@ACTIVATIONS.add()
def mish(x: Any) -> Variable:
    """x * tanh(softplus(x))."""
    return multiply(x, nn.tanh(nn.softplus(x)))


# --- of Keras 3 ----------------------------------------------------------------------------------
@ACTIVATIONS.add()
def celu(x: Any, alpha: float = 1.0) -> Variable:
    """x where it is positive, else alpha * (exp(x / alpha) - 1)."""
    return add(maximum(x, 0), multiply(expm1(divide(minimum(x, 0), alpha)), alpha))


@ACTIVATIONS.add()
def glu(x: Any, axis: int = -1) -> Variable:
    """The first half along `axis` times the sigmoid of the second."""
    first, second = split(x, 2, axis)
    return multiply(first, nn.sigmoid(second))


@ACTIVATIONS.add("hard_swish")
def hard_silu(x: Any) -> Variable:
    """x * clip(x / 6 + 0.5, 0, 1)."""
    return multiply(x, clip(add(divide(x, 6), 0.5), 0.0, 1.0))


hard_swish = hard_silu


@ACTIVATIONS.add()
def silu(x: Any) -> Variable:
    """x * sigmoid(x), which is swish."""
    return nn.silu(x)


@ACTIVATIONS.add()
def hard_tanh(x: Any) -> Variable:
    """x clipped to -1 .. 1."""
    return clip(x, -1.0, 1.0)


@ACTIVATIONS.add()
def hard_shrink(x: Any, threshold: float = 0.5) -> Variable:
    """x where |x| is above the threshold, else 0."""
    return where(greater(abs_(x), threshold), x, 0)


@ACTIVATIONS.add()
def soft_shrink(x: Any, threshold: float = 0.5) -> Variable:
    """x moved towards 0 by the threshold, 0 where it would pass it."""
    return add(maximum(subtract(x, threshold), 0), minimum(add(x, threshold), 0))


@ACTIVATIONS.add()
def tanh_shrink(x: Any) -> Variable:
    """x - tanh(x)."""
    return subtract(x, nn.tanh(x))


@ACTIVATIONS.add()
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Variable:
    """x where it is positive, else negative_slope * x."""
    return nn.leaky_relu(x, negative_slope)


@ACTIVATIONS.add()
def relu6(x: Any) -> Variable:
    """x clipped to 0 .. 6."""
    return nn.relu6(x)


@ACTIVATIONS.add()
def log_sigmoid(x: Any) -> Variable:
    """log(sigmoid(x))."""
    return negative(nn.softplus(negative(x)))


@ACTIVATIONS.add()
def log_softmax(x: Any, axis: int = -1) -> Variable:
    """log(softmax(x))."""
    return nn.log_softmax(x, axis)


@ACTIVATIONS.add()
def sparse_plus(x: Any) -> Variable:
    """0 up to -1, x from 1 on, and (x + 1) ** 2 / 4 between."""
    return where(greater_equal(x, 1), x, divide(square(maximum(add(x, 1), 0)), 4))


@ACTIVATIONS.add()
def sparse_sigmoid(x: Any) -> Variable:
    """(x + 1) / 2 clipped to 0 .. 1."""
    return clip(multiply(add(x, 1), 0.5), 0.0, 1.0)


@ACTIVATIONS.add()
def sparsemax(x: Any, axis: int = -1) -> Variable:
    """The nearest vector of probabilities along `axis` (Martins and Astudillo 2016)."""
    rows = moveaxis(x, axis, -1)
    ordered = sort(rows, descending=True)
    count = add(iota(ordered.shape, ordered.ndim - 1, x.dtype), 1)
    inside = greater(add(multiply(count, ordered), 1), cumsum(ordered, axis=-1))
    support = sum_(cast(inside, x.dtype), axis=-1, keepdims=True)
    excess = subtract(sum_(where(inside, ordered, 0), axis=-1, keepdims=True), 1)
    return moveaxis(maximum(subtract(rows, divide(excess, support)), 0), -1, axis)


@ACTIVATIONS.add()
def squareplus(x: Any, b: float = 4) -> Variable:
    """(x + sqrt(x ** 2 + b)) / 2."""
    return divide(add(x, sqrt(add(square(x), b))), 2)


@ACTIVATIONS.add()
def threshold(x: Any, threshold: float, default_value: float) -> Variable:
    """x where it is above the threshold, else `default_value`."""
    return where(greater(x, threshold), x, default_value)


def get(identifier: Any) -> Any:
    """The function for a name or function; `linear` for None."""
    return linear if identifier is None else ACTIVATIONS.get(identifier)


def serialize(activation: Any) -> str:
    """The name of an activation function."""
    name: str = activation.__name__
    return name


def deserialize(name: Any) -> Any:
    return get(name)
