"""Arrays at the border: feeds in, results out, aligned memory for state and workspaces."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from graphflow.graph.errors import DTypeError
from graphflow.graph.op import Array
from graphflow.graph.types import DType
from graphflow.graph.variable import Variable, origin_of

ALIGNMENT = 64


def aligned_empty(shape: tuple[int, ...], dtype: DType) -> Array:
    """Uninitialised, C-contiguous, on a 64-byte boundary, never of zero bytes."""
    n = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(max(n, 1) + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + n].view(dtype).reshape(shape)


def aligned_copy(array: Array) -> Array:
    made = aligned_empty(array.shape, array.dtype)
    made[...] = array
    return made


def as_array(value: Any) -> Array:
    """An array over the memory of `value` where it has one: bytes are uint8, tensors of other libraries come by DLPack.

    Raises what NumPy and the other library raise.
    """
    if isinstance(value, bytes):
        value = memoryview(value)
    if hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray):
        try:
            return np.from_dlpack(value)
        except (TypeError, ValueError, RuntimeError, BufferError):
            if not hasattr(value, "__array__"):
                raise
    return np.asarray(value)


def as_fed_array(value: Any, dtype: DType, target: Variable) -> Array:
    """`value` as a C-contiguous array of `dtype`; memory of arrays, buffers and DLPack tensors is used as it is where it fits.

    Casts within a kind (float64 to float32), from ints to floats and from bools are made, ints
    are checked for range; floats for ints and text are DTypeErrors.
    """
    try:
        array = as_array(value)
        if array.dtype == object:
            if any(v is None for v in array.flat):
                raise TypeError("None is no number")  # NumPy takes it for NaN
            array = np.asarray(value, dtype)
    except (TypeError, ValueError, OverflowError, RuntimeError, BufferError) as e:
        raise _wrong(f"the value does not convert to an array: {e}", value, dtype, target) from None
    if array.dtype == dtype:
        plain = array if array.flags.c_contiguous and array.flags.aligned else np.array(array, order="C")
        return plain if plain.dtype is dtype else plain.view(dtype)  # native calls look for the one object NumPy has of a dtype
    same_kind, limits = _conversion(array.dtype, dtype)
    if not same_kind and not (array.size == 0 and not isinstance(value, np.ndarray | np.generic)):  # the list [] is of any dtype
        raise _wrong(f"{array.dtype} values do not become {dtype} without loss", value, dtype, target)
    if limits is not None and array.size:
        low, high = int(np.minimum.reduce(array, axis=None)), int(np.maximum.reduce(array, axis=None))
        if low < limits[0] or high > limits[1]:
            raise _wrong(f"the values reach from {low} to {high}, and {dtype} holds {limits[0]} to {limits[1]}", value, dtype, target)
    return np.array(array, dtype, order="C")


@functools.lru_cache(256)
def _conversion(have: DType, want: DType) -> tuple[bool, tuple[int, int] | None]:
    """May values become `want`?  And within which limits, where it does not hold all of them."""
    integral = have.kind in "iu" and want.kind in "iu"
    same_kind = integral or (have.kind in "fiub" and np.can_cast(have, want, "same_kind"))
    info = np.iinfo(want) if integral and not np.can_cast(have, want) else None
    return same_kind, None if info is None else (int(info.min), int(info.max))


def _wrong(what: str, value: Any, dtype: DType, target: Variable) -> DTypeError:
    kind = f"{value.dtype} array of shape {list(value.shape)}" if isinstance(value, np.ndarray) else f"{value!r:.60}"
    return DTypeError(
        f"wrong value for {target.label}: {what}",
        hint=f"pass an array of {dtype}, e.g. numpy.asarray(value, {dtype.name!r}), or declare another dtype",
        context=(f"  expected: {origin_of(target)}", f"  came: {kind}"),
    )
