"""Pooling over windows, and over everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.keras.layers.parameters import image_format, spatial_axes
from graphflow.ops.elementwise import cast, divide, multiply
from graphflow.ops.pooling import average_pool, max_pool
from graphflow.ops.reduction import max_, sum_
from graphflow.ops.shape import expand_dims
from graphflow.ops.statistics import mean
from graphflow.ops.windows import per_axis

__all__ = [
    "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D",
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D",
]  # fmt: skip


class Pooling(Layer):
    """The maximum or mean over windows of `pool_size`, `strides` apart (None: as far as the window reaches)."""

    rank = 0
    pool: Callable[..., Any]

    def __init__(
        self, pool_size: int | Sequence[int] = 2, strides: int | Sequence[int] | None = None, padding: str = "valid", data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size = per_axis(pool_size, self.rank, "pool_size")
        self.strides = per_axis(self.pool_size if strides is None else strides, self.rank, "strides")
        self.padding = padding.lower()
        if self.padding not in ("valid", "same"):
            raise GraphError(f"{type(self).__name__}: padding is {padding!r}", hint="use 'valid' or 'same'")
        self.data_format = image_format(data_format) if self.rank > 1 else data_format or "channels_last"
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Any) -> Any:
        return type(self).pool(inputs, self.pool_size, self.strides, self.padding, data_format=self.data_format)


class GlobalPooling(Layer):
    """The maximum or mean over all axes between batch and channels; `keepdims`: they stay, with size 1."""

    rank = 0
    fold: Callable[..., Any]

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = image_format(data_format) if self.rank > 1 else data_format or "channels_last"
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Any) -> Any:
        return type(self).fold(inputs, axis=spatial_axes(self.data_format, self.rank), keepdims=self.keepdims)


@recorded
class MaxPooling1D(Pooling):
    rank, pool = 1, staticmethod(max_pool)


@recorded
class MaxPooling2D(Pooling):
    rank, pool = 2, staticmethod(max_pool)


@recorded
class MaxPooling3D(Pooling):
    rank, pool = 3, staticmethod(max_pool)


@recorded
class AveragePooling1D(Pooling):
    rank, pool = 1, staticmethod(average_pool)


@recorded
class AveragePooling2D(Pooling):
    rank, pool = 2, staticmethod(average_pool)


@recorded
class AveragePooling3D(Pooling):
    rank, pool = 3, staticmethod(average_pool)


@recorded
class GlobalMaxPooling1D(GlobalPooling):
    rank, fold = 1, staticmethod(max_)


@recorded
class GlobalMaxPooling2D(GlobalPooling):
    rank, fold = 2, staticmethod(max_)


@recorded
class GlobalMaxPooling3D(GlobalPooling):
    rank, fold = 3, staticmethod(max_)


@recorded
class GlobalAveragePooling1D(GlobalPooling):
    """The mean over steps, over those that a mask leaves if there is one."""

    rank, fold = 1, staticmethod(mean)
    supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return super().call(inputs)
        (steps,) = spatial_axes(self.data_format, 1)
        counts = expand_dims(cast(mask, inputs.dtype), 3 - steps)
        total, count = (sum_(v, axis=steps, keepdims=self.keepdims) for v in (multiply(inputs, counts), counts))
        return divide(total, count)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None


@recorded
class GlobalAveragePooling2D(GlobalPooling):
    rank, fold = 2, staticmethod(mean)


@recorded
class GlobalAveragePooling3D(GlobalPooling):
    rank, fold = 3, staticmethod(mean)
