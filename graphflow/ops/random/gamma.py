"""The gamma distribution, by rejection, and the distributions made from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size
from graphflow.graph.op import In, Sample, Value, register
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.elementwise import Grads, cast, divide, multiply, sqrt, subtract, where
from graphflow.ops.incomplete import quantile_slope
from graphflow.ops.logic import equal
from graphflow.ops.promotion import coerce
from graphflow.ops.random.continuous import float_of, scaled
from graphflow.ops.random.draws import F64, RandomNormal, draw, fraction, normal_deviate, second, shape_of
from graphflow.ops.random.elementary import exp, log
from graphflow.ops.random.rejection import Draws, Rejection, rejected
from graphflow.ops.shape import ravel
from graphflow.ops.softmax import softmax
from graphflow.ops.transcendental import exp as exponential_of
from graphflow.ops.transcendental import log as logarithm_of
from graphflow.ops.transcendental import sigmoid


@register
class RandomGamma(Rejection):
    """Gamma numbers of shape parameter alpha, or their logarithms, which small alphas do not take to -inf.

    G. Marsaglia and W. W. Tsang, "A simple method for generating gamma variables" (2000): for alpha >= 1
    more than 0.95 of the candidates are accepted; smaller ones take a number of alpha + 1 times u**(1 / alpha).
    NaN for alpha negative or NaN, inf for inf.
    """

    name = "random_gamma"
    stream: int
    size: Size
    log: bool

    def typical(self, b: Any, *parameters: Value) -> Value:
        return parameters[0]

    def attempt(self, b: Any, draws: Draws, *parameters: Value) -> tuple[Value, Value]:
        (alpha,) = parameters
        zero, one = b.const(F64, 0.0), b.const(F64, 1.0)
        finite, small = (alpha >= 0.0) & (alpha < np.inf), alpha < 1.0
        a = b.select(finite, alpha, one)
        w = draws.words(1)
        u, left = fraction(b, F64, w[0], w[1], 0.5), log(b, F64, fraction(b, F64, w[2], w[3], 0.5))
        x = normal_deviate(b, F64, draws.words(0))

        d = b.select(small, a + 1.0, a) - 1 / 3
        root = x / b.call("sqrt", d * 9.0) + 1.0
        positive = root > 0.0
        v = b.select(positive, root * root * root, one)
        log_v = log(b, F64, v)
        accepted = positive & (log(b, F64, u) < x * x * 0.5 + d * (1.0 - v + log_v))
        less = b.select(small, left / a, zero)
        value = log(b, F64, d) + log_v + less if self.log else d * v * exp(b, less)
        odd = b.select(alpha > 0.0, alpha, b.const(F64, np.nan))
        return accepted | ~finite, b.select(finite, value, odd)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        alpha, g, samples = inputs[2], grads[0], ravel(outputs[0])[: self.size]
        if g is None:
            return None, None, None
        size = exponential_of(samples) if self.log else samples
        slope = quantile_slope(alpha, size, samples if self.log else logarithm_of(samples))
        change = slope if self.log else where(equal(samples, 0), 0, multiply(samples, slope))
        return None, None, multiply(ravel(g)[: self.size], change)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for low, high in ((-0.1, 1.0), (1.0, 30.0), (1e5, 1e9)):
            x = In(("m", "n"), "float64", low, high)
            yield Sample(lambda x: gamma(None, x, dtype="float64", seed=5, step=3), (x,), grad=False, name=f"{low} to {high}")
        yield Sample(lambda x: _standard(x.shape, x, 5, 3, logarithm=True), (In(("m", "n"), "float64", 0.001, 2.0),), grad=False, name="logarithm")


def _standard(shape: Any, alpha: Any, seed: int | None, step: Any, logarithm: bool = False) -> Variable:
    """Gamma numbers of scale 1, in float64."""
    return rejected(RandomGamma, shape, seed, step, alpha, log=logarithm)


def gamma(shape: Any = None, alpha: Any = 1.0, scale: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Numbers of density x**(alpha - 1) e**(-x / scale) / (gamma(alpha) scale**alpha).

    alpha is 0 or more: others give NaN.  Gradients flow to `scale` and, by implicit reparametrisation, to alpha.
    """
    target, work = float_of(dtype)
    return scaled(cast(_standard(shape_of(shape, alpha, scale), alpha, seed, step), work), 0, scale, target)


def beta(shape: Any = None, a: Any = 1.0, b: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Numbers of density proportional to x**(a - 1) (1 - x)**(b - 1), 0 <= x <= 1, made from two gamma numbers."""
    sizes, (target, _) = shape_of(shape, a, b), float_of(dtype)
    first, other = _standard(sizes, a, seed, step, True), _standard(sizes, b, second(seed), step, True)
    return cast(sigmoid(subtract(first, other)), target)


def dirichlet(alpha: Any, shape: Any = (), dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Vectors of sum 1 along the last axis, that of `alpha`; `shape` goes before the axes of alpha."""
    target, _ = float_of(dtype)
    a = as_variable(alpha)
    sizes = (*shape_of(shape), *a.shape)
    return cast(softmax(_standard(sizes, a, seed, step, True), -1), target)


def chisquare(shape: Any = None, df: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Sums of the squares of `df` normal numbers; df is any number from 0."""
    target, _ = float_of(dtype)
    (half,) = coerce(df, to=F64)
    return cast(multiply(2, _standard(shape_of(shape, df), multiply(half, 0.5), seed, step)), target)


def student_t(shape: Any = None, df: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Student's t of `df` degrees of freedom: a normal number over the root of a mean of squares of them."""
    sizes, (target, work) = shape_of(shape, df), float_of(dtype)
    (half,) = coerce(multiply(0.5, *coerce(df, to=F64)), to=F64)
    mean_square = divide(_standard(sizes, half, second(seed), step), half)
    return cast(divide(draw(RandomNormal, sizes, work, seed, step), cast(sqrt(mean_square), work)), target)
