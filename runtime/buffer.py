"""Arrays at the border: feeds in, results out, aligned memory for state and workspaces."""

from __future__ import annotations

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


def as_fed_array(value: Any, dtype: DType, target: Variable) -> Array:
    """`value` as a C-contiguous array of `dtype`, copied only where needed.

    Casts within a kind (float64 to float32), from ints to floats and from bools are made, ints
    are checked for range; floats for ints and text are DTypeErrors.
    """
    try:
        array = np.asarray(value)
        if array.dtype == object:
            array = np.asarray(value, dtype)
    except (TypeError, ValueError) as e:
        raise _wrong(f"the value does not convert to an array: {e}", value, dtype, target) from None
    if array.dtype == dtype:
        return array if array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative else np.array(array, dtype, order="C")
    if array.dtype.kind not in "fiub" or not np.can_cast(array.dtype, dtype, "same_kind"):
        raw_number = not isinstance(value, np.ndarray | np.generic)
        integral = array.dtype.kind in "iu" and dtype.kind in "iu"
        if not integral and not (raw_number and array.size == 0):
            raise _wrong(f"{array.dtype} values do not become {dtype} without loss", value, dtype, target)
    if array.dtype.kind in "iu" and dtype.kind in "iu" and array.size:
        info = np.iinfo(dtype)
        low, high = int(array.min()), int(array.max())
        if low < info.min or high > info.max:
            raise _wrong(f"the values reach from {low} to {high}, and {dtype} holds {info.min} to {info.max}", value, dtype, target)
    return np.array(array, dtype, order="C")


def _wrong(what: str, value: Any, dtype: DType, target: Variable) -> DTypeError:
    kind = f"{value.dtype} array of shape {list(value.shape)}" if isinstance(value, np.ndarray) else f"{value!r:.60}"
    return DTypeError(
        f"wrong value for {target.label}: {what}",
        hint=f"pass an array of {dtype}, e.g. numpy.asarray(value, {dtype.name!r}), or declare another dtype",
        context=(f"  expected: {origin_of(target)}", f"  came: {kind}"),
    )
