"""Activation functions by name."""

from __future__ import annotations

from typing import Any

from graphflow.graph.errors import ShapeError
from graphflow.graph.variable import Variable
from graphflow.keras import generation
from graphflow.keras.lookup import Table
from graphflow.ops import nn
from graphflow.ops.elementwise import add, clip, maximum, minimum, multiply, subtract, where
from graphflow.ops.logic import greater_equal
from graphflow.ops.transcendental import exp

ACTIVATIONS = Table("activation")


@ACTIVATIONS.add()
def softmax(x: Any, axis: int = -1) -> Variable:
    """exp(x) / sum(exp(x)) along `axis`.  Raises ShapeError for a vector."""
    if x.ndim < 2:
        raise ShapeError(f"softmax: cannot apply to {x.type}", hint="it takes a batch: at least 2 axes")
    return nn.softmax(x, axis)


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
def relu(x: Any, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Variable:
    """x from `threshold` on (at most `max_value`), and alpha * (x - threshold) below."""
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


@ACTIVATIONS.add("silu")
def swish(x: Any) -> Variable:
    """x * sigmoid(x)."""
    return nn.silu(x)


@ACTIVATIONS.add()
def gelu(x: Any, approximate: bool = False) -> Variable:
    """x times the normal distribution function of x."""
    return nn.gelu(x, approximate)


def get(identifier: Any) -> Any:
    """The function for a name or function; `linear` for None."""
    return linear if identifier is None else ACTIVATIONS.get(identifier)


def serialize(activation: Any) -> str:
    """The name of an activation function."""
    name: str = activation.__name__
    return name


def deserialize(name: Any) -> Any:
    return get(name)
