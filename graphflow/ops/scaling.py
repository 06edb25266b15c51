"""Tensors scaled by what is around them or by their length: local response normalisation, clipping by norms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.combined import add_n
from graphflow.ops.elementwise import add, divide, maximum, multiply, sqrt, square
from graphflow.ops.joining import pad
from graphflow.ops.power import power
from graphflow.ops.promotion import coerce, inexact
from graphflow.ops.public import public
from graphflow.ops.reduction import Axis, sum_
from graphflow.ops.windows import windows


@public
def local_response_normalization(x: Any, depth_radius: int = 5, bias: Any = 1.0, alpha: Any = 1.0, beta: Any = 0.5) -> Variable:
    """x / (bias + alpha * sum of squares of the channels at most `depth_radius` away)**beta, channels last.

    A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural networks" (2012), as tf.nn.lrn.
    """
    (x,) = coerce(x, to=inexact)
    room = [(0, 0)] * (x.ndim - 1) + [(depth_radius, depth_radius)]
    around = sum_(windows(pad(square(x), room), 2 * depth_radius + 1), axis=-1)
    return divide(x, power(add(bias, multiply(alpha, around)), beta))


@public
def l2_loss(x: Any) -> Variable:
    """sum(x**2) / 2."""
    return divide(sum_(square(*coerce(x, to=inexact))), 2)


@public
def clip_by_norm(x: Any, clip_norm: Any, axis: Axis = None) -> Variable:
    """x, shortened to the length `clip_norm` where it is longer: the length of all of it, or along axes."""
    x, limit = coerce(x, clip_norm, to=inexact)
    length = sqrt(sum_(square(x), axis=axis, keepdims=True))
    return multiply(x, divide(limit, maximum(length, limit)))


@public
def global_norm(tensors: Sequence[Any]) -> Variable:
    """The length of all elements of all tensors together.  Raises GraphError for none."""
    if not tensors:
        raise GraphError("global_norm: there are no tensors", hint="give at least one")
    return sqrt(add_n([sum_(square(*coerce(x, to=inexact))) for x in tensors]))


@public
def clip_by_global_norm(tensors: Sequence[Any], clip_norm: Any) -> tuple[list[Variable], Variable]:
    """The tensors, all shortened by one factor to the common length `clip_norm` if they are longer; and their length."""
    length = global_norm(tensors)
    (limit,) = coerce(clip_norm, to=length.dtype)
    factor = divide(limit, maximum(length, limit))
    listed = [as_variable(x) for x in tensors]
    return [multiply(x, *coerce(factor, to=x.dtype)) for x in listed], length
