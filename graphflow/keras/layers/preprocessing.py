"""Numbers as a network takes them, as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, StateError
from graphflow.graph.variable import Variable, as_variable
from graphflow.keras import backend as K
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.ops.elementwise import add, cast, divide, maximum, multiply, sqrt, subtract
from graphflow.ops.indexing import one_hot
from graphflow.ops.logic import greater_equal
from graphflow.ops.reduction import max_, normalize_axes, sum_
from graphflow.ops.shape import expand_dims, reshape

__all__ = ["CategoryEncoding", "Discretization", "Normalization", "Rescaling"]


@recorded
class Rescaling(Layer):
    """x * scale + offset."""

    supports_masking = True

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale, self.offset = scale, offset

    def call(self, inputs: Any) -> Any:
        dtype = self.dtype or K.floatx()
        return add(multiply(cast(inputs, dtype), np.asarray(self.scale, dtype)), np.asarray(self.offset, dtype))


@recorded
class Normalization(Layer):
    """(x - mean) / sqrt(variance), for each place of `axis`; given, or found in data by `adapt`.

    `invert`: back again.  Raises StateError when called before either.
    """

    def __init__(self, axis: int | Sequence[int] | None = -1, mean: Any = None, variance: Any = None, invert: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if (mean is None) != (variance is None):
            raise GraphError("Normalization takes both mean and variance, or neither", hint="adapt(data) finds them")
        self.axis = axis if axis is None or isinstance(axis, int) else list(axis)
        self.input_mean, self.input_variance, self.invert = mean, variance, invert
        self.mean, self.variance = mean, variance

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": _listed(self.input_mean), "variance": _listed(self.input_variance)}

    def build(self, input_shape: Any) -> None:
        axes = () if self.axis is None else normalize_axes(self.axis, len(input_shape))
        shape = tuple(input_shape[a] for a in axes)
        self._like = tuple(n if a in axes else 1 for a, n in enumerate(input_shape))
        if self.input_mean is None:
            self.mean = self.add_weight("mean", shape, initializer="zeros", trainable=False)
            self.variance = self.add_weight("variance", shape, initializer="ones", trainable=False)
            self.count = self.add_weight("count", (), dtype="int64", initializer="zeros", trainable=False)
        self.built = True

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Find mean and variance of an array of samples."""
        if self.input_mean is not None:
            raise StateError("Cannot `adapt` a Normalization layer that is initialized with static `mean` and `variance`")
        x = np.asarray(data, np.float64)
        x = x[:, None] if x.ndim == 1 else x
        self._build_for([K.variable(x[:1])])
        kept = () if self.axis is None else normalize_axes(self.axis, x.ndim)
        over = tuple(a for a in range(x.ndim) if a not in kept)
        self.set_weights([x.mean(over), x.var(over), np.asarray(len(x))])

    def call(self, inputs: Any) -> Any:
        x = cast(inputs, self.dtype or K.floatx())
        center, spread = self._beside(self.mean), maximum(sqrt(self._beside(self.variance)), K.epsilon())
        return add(multiply(x, spread), center) if self.invert else divide(subtract(x, center), spread)

    def _beside(self, v: Any) -> Variable:
        v = v if isinstance(v, Variable) else as_variable(np.asarray(v, self.dtype or K.floatx()))
        return reshape(v, self._like) if v.ndim else v


def _listed(value: Any) -> Any:
    return None if value is None else np.asarray(value).tolist()


@recorded
class CategoryEncoding(Layer):
    """Whole numbers as vectors of `num_tokens`: 'one_hot', 'multi_hot' (1 where one of them is), or 'count'."""

    def __init__(self, num_tokens: int, output_mode: str = "multi_hot", sparse: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if output_mode not in ("one_hot", "multi_hot", "count") or sparse or not num_tokens:
            raise GraphError(
                f"CategoryEncoding: output_mode {output_mode!r}, sparse {sparse}, num_tokens {num_tokens}",
                hint="give num_tokens, a dense 'one_hot', 'multi_hot' or 'count'",
            )
        self.num_tokens, self.output_mode, self.sparse = num_tokens, output_mode, sparse

    def call(self, inputs: Any) -> Any:
        found = one_hot(cast(inputs, "int32"), self.num_tokens, dtype=self.dtype or K.floatx())
        if self.output_mode == "one_hot":
            return reshape(found, (*inputs.shape[:-1], self.num_tokens)) if inputs.ndim > 1 and inputs.shape[-1] == 1 else found
        fold = max_ if self.output_mode == "multi_hot" else sum_
        return fold(found, axis=-2) if inputs.ndim > 1 else found


@recorded
class Discretization(Layer):
    """The number of the bin that each number falls into; bins end below `bin_boundaries`."""

    def __init__(self, bin_boundaries: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bin_boundaries = list(bin_boundaries)

    def call(self, inputs: Any) -> Any:
        passed = greater_equal(expand_dims(inputs, inputs.ndim), np.asarray(self.bin_boundaries, np.float32))
        return sum_(cast(passed, "int32"), axis=-1)
