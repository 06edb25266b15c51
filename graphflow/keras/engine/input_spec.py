"""InputSpec: what a layer can take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphflow.graph.variable import Variable
from graphflow.keras.structure import int_shape


class InputSpec:
    """Limits on dtype, rank and sizes of one input; None leaves any."""

    def __init__(
        self,
        dtype: Any = None,
        shape: Sequence[int | None] | None = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: Mapping[int, int | None] | None = None,
    ) -> None:
        self.dtype = dtype
        self.shape = None if shape is None else tuple(shape)
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.axes = {**dict(enumerate(self.shape or ())), **dict(axes or {})}

    def complaint(self, v: Variable) -> str:
        """What is wrong with v as an input, expected and actual; '' if nothing is."""
        shape = int_shape(v)
        if self.ndim is not None and len(shape) != self.ndim:
            return f"expected ndim={self.ndim}, found ndim={len(shape)} (shape {shape})"
        if self.max_ndim is not None and len(shape) > self.max_ndim:
            return f"expected max_ndim={self.max_ndim}, found ndim={len(shape)} (shape {shape})"
        if self.min_ndim is not None and len(shape) < self.min_ndim:
            return f"expected min_ndim={self.min_ndim}, found ndim={len(shape)} (shape {shape})"
        if self.dtype is not None and v.dtype != self.dtype:
            return f"expected dtype={self.dtype}, found dtype={v.dtype}"
        for axis, size in self.axes.items():
            if not -len(shape) <= axis < len(shape) or (size is not None and shape[axis] not in (size, None)):
                return f"expected axis {axis} of input shape to have value {size}, found shape {shape}"
        return ""
