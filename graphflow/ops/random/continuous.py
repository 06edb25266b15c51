"""Distributions of real numbers made from one uniform or normal number each.

Parameters are numbers or Variables, and gradients flow to them: samples are differentiable functions of
parameters and of draws that do not depend on them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.graph.errors import DTypeError
from graphflow.graph.types import DType, as_dtype, is_float
from graphflow.graph.variable import Variable
from graphflow.ops.elementwise import add, cast, clip, divide, maximum, minimum, multiply, negative, subtract
from graphflow.ops.power import power
from graphflow.ops.promotion import coerce, is_weak
from graphflow.ops.random.draws import (
    F32,
    RandomExponential,
    RandomLaplace,
    RandomNormal,
    RandomOp,
    RandomPositive,
    RandomUniform,
    draw,
    shape_of,
)
from graphflow.ops.special import erfinv
from graphflow.ops.transcendental import exp, log, log1p, tan


def float_of(dtype: Any) -> tuple[DType, DType]:
    """The dtype of a distribution of real numbers and the one it is computed in; raises DTypeError for others."""
    found = as_dtype(dtype)
    if not is_float(found):
        raise DTypeError(f"random: {found.name} is not a float dtype", hint="use gf.random.randint for integers")
    return found, found if found.itemsize >= 4 else F32


def _number(op: type[RandomOp], shape: Any, dtype: Any, seed: int | None, step: Any, *parameters: Any) -> tuple[Variable, DType]:
    """Draws in the dtype to compute in, of the shape that is asked for; and the dtype asked for."""
    target, work = float_of(dtype)
    return draw(op, shape_of(shape, *parameters), work, seed, step), target


def scaled(x: Variable, offset: Any, scale: Any, dtype: DType) -> Variable:
    """offset + scale * x as `dtype`, leaving out what does nothing."""
    x = x if is_weak(scale) and scale == 1 else multiply(x, *coerce(scale, to=x.dtype))
    x = x if is_weak(offset) and offset == 0 else add(x, *coerce(offset, to=x.dtype))
    return cast(x, dtype)


def uniform(shape: Any = None, low: Any = 0.0, high: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Uniform numbers, low <= x < high; where high - low is inexact the rounding may reach high."""
    u, target = _number(RandomUniform, shape, dtype, seed, step, low, high)
    if is_weak(low) and is_weak(high):
        return scaled(u, low, high - low, target)
    low, high = coerce(low, high, to=u.dtype)
    return scaled(u, low, subtract(high, low), target)


def normal(shape: Any = None, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Normal numbers."""
    z, target = _number(RandomNormal, shape, dtype, seed, step, mean, stddev)
    return scaled(z, mean, stddev, target)


def truncated_normal(shape: Any = None, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Normal numbers within two standard deviations of the mean, by the inverse of the distribution function."""
    u, target = _number(RandomUniform, shape, dtype, seed, step, mean, stddev)
    inside = multiply(subtract(multiply(2, u), 1), math.erf(math.sqrt(2)))
    return scaled(clip(multiply(math.sqrt(2), erfinv(inside)), -2, 2), mean, stddev, target)


def lognormal(shape: Any = None, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """e**x of normal numbers x of `mean` and `stddev`."""
    z, target = _number(RandomNormal, shape, dtype, seed, step, mean, stddev)
    return cast(exp(scaled(z, mean, stddev, z.dtype)), target)


def exponential(shape: Any = None, scale: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Exponentially distributed numbers of mean `scale`."""
    e, target = _number(RandomExponential, shape, dtype, seed, step, scale)
    return scaled(e, 0, scale, target)


def laplace(shape: Any = None, mean: Any = 0.0, scale: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Numbers of density e**(-|x - mean| / scale) / (2 scale)."""
    e, target = _number(RandomLaplace, shape, dtype, seed, step, mean, scale)
    return scaled(e, mean, scale, target)


def gumbel(shape: Any = None, mean: Any = 0.0, scale: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Numbers of distribution function e**-e**-((x - mean) / scale); finite."""
    e, target = _number(RandomExponential, shape, dtype, seed, step, mean, scale)
    return scaled(negative(log(maximum(e, float(np.finfo(e.dtype).eps) / 4))), mean, scale, target)


def logistic(shape: Any = None, mean: Any = 0.0, scale: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Numbers of distribution function sigmoid((x - mean) / scale); finite."""
    u, target = _number(RandomPositive, shape, dtype, seed, step, mean, scale)
    below_one = minimum(u, 1 - float(np.finfo(u.dtype).epsneg))
    return scaled(subtract(log(below_one), log1p(negative(below_one))), mean, scale, target)


def cauchy(shape: Any = None, mean: Any = 0.0, scale: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Numbers of density 1 / (pi scale (1 + ((x - mean) / scale)**2))."""
    u, target = _number(RandomPositive, shape, dtype, seed, step, mean, scale)
    return scaled(tan(multiply(subtract(u, 0.5), math.pi)), mean, scale, target)


def weibull(shape: Any = None, a: Any = 1.0, scale: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Numbers of distribution function 1 - e**-((x / scale)**a)."""
    e, target = _number(RandomExponential, shape, dtype, seed, step, a, scale)
    return scaled(power(e, divide(1, *coerce(a, to=e.dtype))), 0, scale, target)
