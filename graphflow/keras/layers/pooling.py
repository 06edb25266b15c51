"""Pooling over windows, and over everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.ops.convolution import CHANNELS_FIRST
from graphflow.ops.pooling import average_pool, max_pool
from graphflow.ops.reduction import max_
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
        self.data_format = data_format or "channels_last"
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Any) -> Any:
        return type(self).pool(inputs, self.pool_size, self.strides, self.padding, data_format=self.data_format)


class GlobalPooling(Layer):
    """The maximum or mean over all axes between batch and channels."""

    rank = 0
    fold: Callable[..., Any]

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format or "channels_last"
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Any) -> Any:
        first = 2 if self.data_format in CHANNELS_FIRST else 1
        return type(self).fold(inputs, axis=tuple(range(first, first + self.rank)))


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
    rank, fold = 1, staticmethod(mean)


@recorded
class GlobalAveragePooling2D(GlobalPooling):
    rank, fold = 2, staticmethod(mean)


@recorded
class GlobalAveragePooling3D(GlobalPooling):
    rank, fold = 3, staticmethod(mean)
