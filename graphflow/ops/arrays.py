"""The scalar builder on NumPy arrays: what is written once for kernels computes references, with the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.graph.types import DType

_UFUNCS: dict[str, Any] = {
    "eq": np.equal, "min": np.minimum, "max": np.maximum, "sqrt": np.sqrt, "floor": np.floor, "rint": np.rint, "abs": np.abs,
}  # fmt: skip


class Arrays:
    """The part of the builder that ops need whose elements take long formulas; `shape` is that of the result."""

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.shape = shape

    def const(self, dtype: DType, value: Any) -> Any:
        return np.full((), value, dtype)

    def cast(self, dtype: DType, x: Any) -> Any:
        return np.asarray(x).astype(dtype)

    def bits(self, dtype: DType, x: Any) -> Any:
        return np.asarray(x).view(dtype)

    def select(self, condition: Any, x: Any, y: Any) -> Any:
        return np.where(condition, x, y)

    def call(self, name: str, *xs: Any) -> Any:
        return _UFUNCS[name](*xs)

    def flat(self) -> Any:
        return np.arange(int(np.prod(self.shape, dtype=np.int64))).reshape(self.shape)

    def index(self, axis: int) -> Any:
        return np.broadcast_to(np.arange(self.shape[axis]).reshape([-1 if a == axis else 1 for a in range(len(self.shape))]), self.shape)
