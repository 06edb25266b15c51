"""Activations with parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.keras import activations
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.keras.layers.parameters import describe, parameter
from graphflow.ops.elementwise import add, cast, maximum, minimum, multiply, where
from graphflow.ops.logic import greater

__all__ = ["ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU"]


class _Activation(Layer):
    supports_masking = True


@recorded
class LeakyReLU(_Activation):
    """x where it is positive, else alpha * x."""

    def __init__(self, alpha: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = float(alpha)

    def call(self, inputs: Any) -> Any:
        return activations.relu(inputs, self.alpha)


@recorded
class PReLU(_Activation):
    """x where it is positive, else alpha * x with alphas that are learned; equal along `shared_axes` (counted from 1)."""

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: int | Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        describe(self, "alpha", alpha_initializer, alpha_regularizer, alpha_constraint)
        self.shared_axes = [shared_axes] if isinstance(shared_axes, int) else None if shared_axes is None else list(shared_axes)

    def build(self, input_shape: Any) -> None:
        shared = self.shared_axes or []
        shape = [1 if a in shared else n for a, n in enumerate(input_shape)][1:]
        self.alpha = parameter(self, "alpha", shape)
        own = {a: n for a, n in enumerate(input_shape) if a and a not in shared}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=own)
        self.built = True

    def call(self, inputs: Any) -> Any:
        return add(maximum(inputs, 0), multiply(self.alpha, minimum(inputs, 0)))


@recorded
class ELU(_Activation):
    """x where it is positive, else alpha * (exp(x) - 1)."""

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = float(alpha)

    def call(self, inputs: Any) -> Any:
        return activations.elu(inputs, self.alpha)


@recorded
class ThresholdedReLU(_Activation):
    """x where it is above theta, else 0."""

    def __init__(self, theta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.theta = float(theta)

    def call(self, inputs: Any) -> Any:
        return where(greater(inputs, self.theta), inputs, 0)


@recorded
class Softmax(_Activation):
    """exp(x) / sum(exp(x)) along `axis`, over the elements that a mask of x's shape leaves."""

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is not None and mask.ndim == inputs.ndim:
            inputs = add(inputs, multiply(add(cast(mask, inputs.dtype), -1), 1e9))
        return activations.softmax(inputs, self.axis)


@recorded
class ReLU(_Activation):
    """x from `threshold` on (at most `max_value`), and negative_slope * (x - threshold) below."""

    def __init__(self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if (max_value is not None and max_value < 0) or negative_slope < 0:
            raise GraphError(f"ReLU: max_value is {max_value} and negative_slope {negative_slope}", hint="neither may be negative")
        self.max_value = None if max_value is None else float(max_value)
        self.negative_slope, self.threshold = float(negative_slope), float(threshold)

    def call(self, inputs: Any) -> Any:
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)
