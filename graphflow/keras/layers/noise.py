"""Noise while training."""

from __future__ import annotations

import math
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.phase import in_train_phase
from graphflow.ops.elementwise import add, multiply, where
from graphflow.ops.nn import SELU_ALPHA, SELU_SCALE
from graphflow.ops.random import bernoulli, normal

__all__ = ["AlphaDropout", "GaussianDropout", "GaussianNoise"]


class _Noise(Layer):
    """x, and `_noisy(x)` while training."""

    supports_masking = True

    def call(self, inputs: Any, training: Any = None) -> Any:
        return in_train_phase(lambda: self._noisy(inputs), inputs, training)

    def _noisy(self, x: Variable) -> Variable:
        raise NotImplementedError


@recorded
class GaussianNoise(_Noise):
    """x plus normal noise."""

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stddev, self.seed = stddev, seed

    def _noisy(self, x: Variable) -> Variable:
        return add(x, normal(x.shape, 0.0, self.stddev, x.dtype, seed=self.seed))


@recorded
class GaussianDropout(_Noise):
    """x times normal noise around 1, of the variance that `Dropout` of this rate has."""

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _require_rate("GaussianDropout", rate)
        self.rate, self.seed = rate, seed

    def _noisy(self, x: Variable) -> Variable:
        return multiply(x, normal(x.shape, 1.0, math.sqrt(self.rate / (1 - self.rate)), x.dtype, seed=self.seed)) if self.rate else x


@recorded
class AlphaDropout(_Noise):
    """Dropout that keeps mean and variance of SELU activations (Klambauer et al. 2017)."""

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _require_rate("AlphaDropout", rate)
        self.rate, self.noise_shape, self.seed = rate, noise_shape, seed

    def _noisy(self, x: Variable) -> Variable:
        if not self.rate:
            return x
        dropped = -SELU_ALPHA * SELU_SCALE
        shape = x.shape if self.noise_shape is None else tuple(x.shape[i] if n is None else n for i, n in enumerate(self.noise_shape))
        a = ((1 - self.rate) * (1 + self.rate * dropped**2)) ** -0.5
        return add(multiply(where(bernoulli(shape, 1 - self.rate, seed=self.seed), x, dropped), a), -a * dropped * self.rate)


def _require_rate(what: str, rate: float) -> None:
    if not 0 <= rate < 1:
        raise GraphError(f"{what}: the rate is {rate}", hint="it is from 0 to below 1")
