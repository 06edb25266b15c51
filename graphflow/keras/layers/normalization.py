"""Layers that bring activations to mean 0 and variance 1, or to length 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.dim import floordiv, product
from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.variable import Variable
from graphflow.keras import backend as K
from graphflow.keras import generation, phase
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.keras.layers.parameters import describe, parameter
from graphflow.ops.creation import dim_value
from graphflow.ops.elementwise import add, cast, divide, maximum, multiply, rsqrt, square, subtract
from graphflow.ops.nn import l2_normalize, moments
from graphflow.ops.reduction import normalize_axes, sum_
from graphflow.ops.shape import broadcast_to, expand_dims, reshape, squeeze
from graphflow.ops.statistics import mean

__all__ = ["BatchNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization", "UnitNormalization"]


class Normalizing(Layer):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, with gamma and beta for the sizes of `axis`."""

    supports_masking = True
    axis: int | list[int]
    epsilon: float
    scale: bool
    center: bool
    gamma: Variable | None = None
    beta: Variable | None = None
    _axes: tuple[int, ...]

    def _sizes(self, input_shape: Sequence[int | None], axes: Sequence[int]) -> tuple[int, ...]:
        sizes = [input_shape[a] for a in axes]
        if any(n is None for n in sizes):
            raise ShapeError(f"{self.name}: the size of axis {self.axis} of the input is not known", hint="give the layer's input its size")
        return tuple(n for n in sizes if n is not None)

    def _make_scale_and_center(self, shape: Sequence[int]) -> None:
        self.gamma = parameter(self, "gamma", shape, used=self.scale)
        self.beta = parameter(self, "beta", shape, used=self.center)

    def _like(self, x: Variable) -> tuple[Any, ...]:
        """The shape of gamma and beta beside x."""
        return tuple(n if a in self._axes else 1 for a, n in enumerate(x.shape))

    def _normalized(self, x: Variable, center: Variable, spread: Variable) -> Variable:
        return multiply(subtract(x, center), rsqrt(add(spread, self.epsilon)))

    def _weighted(self, y: Variable, like: Sequence[Any]) -> Variable:
        y = y if self.gamma is None else multiply(y, reshape(self.gamma, like))
        return y if self.beta is None else add(y, reshape(self.beta, like))


@recorded
class BatchNormalization(Normalizing):
    """Normalised by the mean and variance of the batch while training, and by their moving averages else.

    From Keras 3 on masked steps do not count.

    `axis`: the axis of channels, or several.  Before tf.keras a layer that is not trainable keeps its averages but
    still uses the batch's statistics while training; from then on it uses its averages.
    """

    moving_mean_initializer: Any
    moving_variance_initializer: Any

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("renorm", False):
            raise GraphError("BatchNormalization: renorm is not supported", hint="leave it out")
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.momentum, self.epsilon, self.center, self.scale = momentum, epsilon, center, scale
        describe(self, "gamma", gamma_initializer, gamma_regularizer, gamma_constraint)
        describe(self, "beta", beta_initializer, beta_regularizer, beta_constraint)
        describe(self, "moving_mean", moving_mean_initializer)
        describe(self, "moving_variance", moving_variance_initializer)

    def build(self, input_shape: Any) -> None:
        self._axes = normalize_axes(self.axis, len(input_shape))
        shape = self._sizes(input_shape, self._axes)
        self._make_scale_and_center(shape)
        fixed = {"shape": shape, "trainable": False}
        self.moving_mean = self.add_weight("moving_mean", initializer=self.moving_mean_initializer, **fixed)
        self.moving_variance = self.add_weight("moving_variance", initializer=self.moving_variance_initializer, **fixed)
        self.input_spec = InputSpec(ndim=len(input_shape), axes=dict(zip(self._axes, shape, strict=True)))
        self.built = True

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        like = self._like(inputs)
        mask = None if generation.resolve("BatchNormalization counts masked steps") else mask
        training = phase.decision() if training is None else training
        at_rest = generation.resolve("BatchNormalization at rest when not trainable")
        if at_rest and not isinstance(training, Variable):
            training = phase.while_training(lambda: self.trainable) if training is None else training and self.trainable
        return phase.in_train_phase(lambda: self._by_batch(inputs, like, mask), lambda: self._scaled(inputs, self.moving_mean, self.moving_variance, like), training)

    def _by_batch(self, x: Variable, like: Sequence[Any], mask: Variable | None) -> Variable:
        others = [a for a in range(x.ndim) if a not in self._axes]
        center, spread = moments(x, others) if mask is None else _moments_of_steps(x, mask, others)
        kept = self._moving_variance_of(x, spread, others)
        self.add_update([self._moved(self.moving_mean, center), self._moved(self.moving_variance, kept)], x)
        return self._scaled(x, center, spread, like)

    def _scaled(self, x: Variable, center: Variable, spread: Variable, like: Sequence[Any]) -> Variable:
        """The formula, with one factor for each channel."""
        factor = rsqrt(add(spread, self.epsilon))
        factor = factor if self.gamma is None else multiply(factor, self.gamma)
        y = multiply(subtract(x, reshape(center, like)), reshape(factor, like))
        return y if self.beta is None else add(y, reshape(self.beta, like))

    def _moved(self, average: Any, value: Variable) -> tuple[Any, Variable]:
        return K.update(average, add(multiply(average, self.momentum), multiply(value, 1 - self.momentum)))

    def _moving_variance_of(self, x: Variable, spread: Variable, others: Sequence[int]) -> Variable:
        """The variance to average: of the batch, or as an estimate for the population, as the generation has it."""
        rule = generation.resolve("BatchNormalization's moving variance")
        if rule == "of the sample" or (rule == "of the population for images" and (x.ndim != 4 or len(others) != 3)):
            return spread
        n = cast(dim_value(product([x.shape[a] for a in others])), x.dtype)
        less = subtract(n, 1 + self.epsilon if rule == "of the population" else 1)
        return multiply(spread, divide(n, maximum(less, self.epsilon)))


def _moments_of_steps(x: Variable, mask: Variable, axes: Sequence[int]) -> tuple[Variable, Variable]:
    """Mean and variance over the steps that a mask leaves."""
    counts = broadcast_to(expand_dims(cast(mask, x.dtype), tuple(range(mask.ndim, x.ndim))), x.shape)
    total = add(sum_(counts, axis=axes, keepdims=True), K.epsilon())
    center = divide(sum_(multiply(x, counts), axis=axes, keepdims=True), total)
    spread = divide(sum_(multiply(square(subtract(x, center)), counts), axis=axes, keepdims=True), total)
    return squeeze(center, axes), squeeze(spread, axes)


@recorded
class LayerNormalization(Normalizing):
    """Each sample normalised by the mean and variance over `axis`."""

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.epsilon, self.center, self.scale = epsilon, center, scale
        describe(self, "gamma", gamma_initializer, gamma_regularizer, gamma_constraint)
        describe(self, "beta", beta_initializer, beta_regularizer, beta_constraint)

    def build(self, input_shape: Any) -> None:
        self._axes = normalize_axes(self.axis, len(input_shape))
        if self.center or self.scale:
            self._make_scale_and_center(self._sizes(input_shape, self._axes))
        self.built = True

    def call(self, inputs: Any) -> Any:
        center, spread = moments(inputs, self._axes, keepdims=True)
        return self._weighted(self._normalized(inputs, center, spread), self._like(inputs))


@recorded
class GroupNormalization(Normalizing):
    """Each sample and group of channels normalised over all positions; `groups` -1: one for each channel."""

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.groups, self.axis, self.epsilon, self.center, self.scale = groups, axis, epsilon, center, scale
        describe(self, "gamma", gamma_initializer, gamma_regularizer, gamma_constraint)
        describe(self, "beta", beta_initializer, beta_regularizer, beta_constraint)

    def build(self, input_shape: Any) -> None:
        self._axes = normalize_axes(self.axis, len(input_shape))
        (channels,) = self._sizes(input_shape, self._axes)
        self._count = channels if self.groups == -1 else self.groups
        if channels % self._count:
            raise ShapeError(f"{self.name}: {channels} channels do not divide into {self._count} groups", hint="choose a number of groups that divides them")
        self._make_scale_and_center((channels,))
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self._axes[0]: channels})
        self.built = True

    def call(self, inputs: Any) -> Any:
        (axis,) = self._axes
        shape = inputs.shape
        split = (*shape[:axis], self._count, floordiv(shape[axis], self._count), *shape[axis + 1 :])
        x = reshape(inputs, split)
        center, spread = moments(x, [a for a in range(1, x.ndim) if a != axis], keepdims=True)
        return self._weighted(reshape(self._normalized(x, center, spread), shape), self._like(inputs))


@recorded
class RMSNormalization(Normalizing):
    """x / sqrt(mean(x ** 2) + epsilon) * scale, the mean over `axis` (Zhang and Sennrich 2019)."""

    def __init__(self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        self._axes = normalize_axes(self.axis, len(input_shape))
        self.gamma = self.add_weight("scale", self._sizes(input_shape, self._axes), initializer="ones")
        self.built = True

    def call(self, inputs: Any) -> Any:
        factor = rsqrt(add(mean(square(inputs), axis=self._axes, keepdims=True), self.epsilon))
        return self._weighted(multiply(inputs, factor), self._like(inputs))


@recorded
class UnitNormalization(Layer):
    """Each sample scaled to length 1 over `axis`."""

    supports_masking = True

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else list(axis)

    def call(self, inputs: Any) -> Any:
        return l2_normalize(inputs, axis=normalize_axes(self.axis, inputs.ndim))
