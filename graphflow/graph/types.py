"""The type of a Variable: an element type and a shape of ints and Dims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.graph.dim import Dim, Size, Symbol, product, substitute
from graphflow.graph.errors import DTypeError, MissingExtraError, ShapeError

DType = np.dtype[Any]
Shape = tuple[Size, ...]

# the dtypes that kernels compute in; see `is_half` for the others
SUPPORTED = tuple(
    np.dtype(name)
    for name in (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
    )
)  # fmt: skip


FLOAT16 = np.dtype("float16")


def bfloat16() -> DType:
    """The dtype that ml_dtypes adds to NumPy; MissingExtraError without it."""
    try:
        import ml_dtypes
    except ImportError:
        raise MissingExtraError("bfloat16 needs the library ml_dtypes", hint="pip install graphflow[half]") from None
    dtype: DType = np.dtype(ml_dtypes.bfloat16)
    return dtype


def as_dtype(dtype: Any) -> DType:
    """The NumPy dtype for a name, type or dtype; raises DTypeError for one graphflow has no kernels for."""
    if isinstance(dtype, str) and dtype == "bfloat16":
        return bfloat16()
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise DTypeError(f"{dtype!r} is not a dtype", hint="use a NumPy dtype or its name, such as 'float32'") from None
    native: DType = found.newbyteorder("=")
    if is_half(native):
        return FLOAT16 if native.kind == "f" else bfloat16()
    if native not in SUPPORTED:
        names = ", ".join([*(d.name for d in SUPPORTED), "float16", "bfloat16"])
        raise DTypeError(f"dtype {found} is not supported", hint=f"use one of {names}")
    return SUPPORTED[SUPPORTED.index(native)]  # the one object NumPy's own arrays have; `native` may be a copy


def is_float(dtype: DType) -> bool:
    return dtype.kind == "f" or is_half(dtype)


def is_half(dtype: DType) -> bool:
    """float16 or bfloat16: dtypes of storage, in which nothing is computed (see `ops.half`)."""
    return dtype.itemsize == 2 and (dtype.kind == "f" or dtype.name == "bfloat16")


@dataclass(frozen=True, slots=True)
class TensorType:
    """`dtype` and `shape`; `shape` None means that even the rank is known only when fed.

    In the shape given, None makes a fresh Dim: `TensorType.make("float32", (None, 784))`.
    """

    dtype: DType
    shape: Shape | None

    @staticmethod
    def make(dtype: Any, shape: Sequence[Size | None] | None, name: str = "", origin: object = None) -> TensorType:
        if shape is None:
            return TensorType(as_dtype(dtype), None)
        if isinstance(shape, int | Dim):
            shape = (shape,)
        return TensorType(as_dtype(dtype), tuple(_as_size(s, i, name, origin) for i, s in enumerate(shape)))

    @property
    def ndim(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    @property
    def known_shape(self) -> Shape:
        if self.shape is None:
            raise ShapeError("the rank is not known yet", hint="give the placeholder a shape")
        return self.shape

    @property
    def is_static(self) -> bool:
        return self.shape is not None and all(isinstance(s, int) for s in self.shape)

    @property
    def size(self) -> Size:
        return product(self.known_shape)

    @property
    def nbytes(self) -> Size:
        return self.size * self.dtype.itemsize

    def substitute(self, values: Mapping[Symbol, Size]) -> TensorType:
        if self.shape is None:
            return self
        return TensorType(self.dtype, tuple(substitute(s, values) for s in self.shape))

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype.name}[...]"
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


def _as_size(size: Any, axis: int, name: str, origin: object) -> Size:
    if size is None:
        return Dim.symbol(f"{name or 'd'}.{axis}", origin=origin)
    if isinstance(size, Dim):
        return size
    try:
        n = int(size)
    except (TypeError, ValueError):
        raise ShapeError(f"{size!r} is not a size", hint="use an int, a Dim or None") from None
    if n < 0:
        raise ShapeError(f"axis {axis} has the negative size {n}", hint="use None for a size known at run time")
    return n
