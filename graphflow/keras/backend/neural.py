"""Losses, normalisation, dropout and random values, with Keras's arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable, as_variable
from graphflow.keras.backend.settings import epsilon, floatx
from graphflow.ops import nn
from graphflow.ops.elementwise import cast, clip, divide, sqrt, where
from graphflow.ops.random import bernoulli, normal, uniform
from graphflow.ops.random import truncated_normal as _truncated_normal
from graphflow.ops.reduction import sum_
from graphflow.ops.shape import moveaxis, reshape
from graphflow.ops.transcendental import log


# --- losses --------------------------------------------------------------------------------------
def _inside(p: Any) -> Variable:
    return clip(p, epsilon(), 1 - epsilon())


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Variable:
    """-t * log(p) - (1 - t) * log(1 - p) for each element."""
    return nn.sigmoid_cross_entropy(output, target) if from_logits else nn.binary_crossentropy(_inside(output), target)


def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Variable:
    """-sum(t * log(p)) over an axis; p is scaled to a sum of 1."""
    if from_logits:
        return nn.softmax_cross_entropy(output, target, axis)
    p = as_variable(output)
    return nn.categorical_crossentropy(_inside(p / sum_(p, axis=axis, keepdims=True)), target, axis)


def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Variable:
    """-log(p[t]) for class numbers t along an axis."""
    x = moveaxis(as_variable(output), axis, -1)
    labels = as_variable(target)
    labels = cast(reshape(labels, x.shape[:-1]) if labels.ndim >= x.ndim else labels, "int64")
    return nn.sparse_softmax_cross_entropy(x if from_logits else log(_inside(x)), labels)


# --- normalisation ---------------------------------------------------------------------------------
def batch_normalization(x: Any, mean: Any, var: Any, beta: Any, gamma: Any, axis: int = -1, epsilon: float = 1e-3) -> Variable:
    """gamma * (x - mean) / sqrt(var + epsilon) + beta, statistics of one axis or of the shape of x."""
    v = as_variable(x)

    def along(s: Any) -> Any:
        small = None if s is None else as_variable(s)
        if small is None or small.ndim != 1 or axis % v.ndim == v.ndim - 1:
            return small
        return reshape(small, tuple(small.shape[0] if i == axis % v.ndim else 1 for i in range(v.ndim)))

    y = divide(v - along(mean), sqrt(along(var) + epsilon))
    y = y if gamma is None else y * along(gamma)
    return y if beta is None else y + along(beta)


def normalize_batch_in_training(x: Any, gamma: Any, beta: Any, reduction_axes: Sequence[int], epsilon: float = 1e-3) -> tuple[Variable, Variable, Variable]:
    """(normalised batch, its mean, its variance)."""
    v = as_variable(x)
    axes = tuple(a % v.ndim for a in reduction_axes)
    mean, var = nn.moments(v, axes, keepdims=True)
    spread = tuple(1 if i in axes else n for i, n in enumerate(v.shape))
    y = divide(v - mean, sqrt(var + epsilon))
    y = y if gamma is None else y * reshape(gamma, spread)
    y = y if beta is None else y + reshape(beta, spread)
    kept = tuple(n for i, n in enumerate(v.shape) if i not in axes)
    return y, reshape(mean, kept), reshape(var, kept)


# --- random values -------------------------------------------------------------------------------
def dropout(x: Any, level: float, noise_shape: Any = None, seed: int | None = None) -> Variable:
    """Each element 0 with probability `level`, the others scaled; axes of size 1 in `noise_shape` are dropped together.

    Raises GraphError for a level that is not from 0 to below 1.
    """
    if not 0 <= level < 1:
        raise GraphError(f"dropout: the level is {level}", hint="it is the part of elements dropped, from 0 to below 1")
    v = as_variable(x)
    sizes = v.shape if noise_shape is None else tuple(n if m is None else m for n, m in zip(v.shape, noise_shape, strict=True))
    return where(bernoulli(sizes, 1 - level, seed=seed), divide(v, 1 - level), 0)


def random_normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: int | None = None) -> Variable:
    return normal(tuple(shape), mean, stddev, dtype or floatx(), seed)


def random_uniform(shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: int | None = None) -> Variable:
    return uniform(tuple(shape), minval, maxval, dtype or floatx(), seed)


def random_binomial(shape: Any, p: float = 0.0, dtype: Any = None, seed: int | None = None) -> Variable:
    """1 with probability p, else 0."""
    return cast(bernoulli(tuple(shape), p, seed=seed), dtype or floatx())


def truncated_normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: int | None = None) -> Variable:
    """Normal values, those more than two standard deviations away drawn again."""
    return _truncated_normal(tuple(shape), mean, stddev, dtype or floatx(), seed)


random_bernoulli = random_binomial
