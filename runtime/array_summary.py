"""A line about an array, for error messages."""

from __future__ import annotations

import numpy as np

from graphflow.graph.op import Array
from graphflow.graph.types import is_float

FEW = 6  # elements that are shown one by one


def summary(name: str, array: Array) -> str:
    """`  x: float32[4, 3], from -1 to 2.5, mean 0.3; 2 NaN, the first at [0, 1]`."""
    shape = f"{array.dtype.name}[{', '.join(map(str, array.shape))}]"
    if array.size <= FEW:
        return f"  {name}: {shape}: {np.array2string(array, precision=6, separator=', ').replace(chr(10), '')}"
    if array.dtype.kind == "b":
        return f"  {name}: {shape}, {int(array.sum())} of {array.size} true"
    finite = array[np.isfinite(array)]
    spread = f", from {finite.min():.6g} to {finite.max():.6g}, mean {finite.astype(np.float64).mean():.6g}" if finite.size else ""
    return f"  {name}: {shape}{spread}{_peculiar(array)}"


def _peculiar(array: Array) -> str:
    """How many elements are NaN, infinite or zero, and where the first is."""
    if not is_float(array.dtype):
        return ""
    kinds = (("NaN", np.isnan(array)), ("inf", array == np.inf), ("-inf", array == -np.inf), ("0", array == 0))
    counted = [f"{int(is_one.sum())} {name}, the first at {first_index(is_one)}" for name, is_one in kinds if is_one.any()]
    return f"; {'; '.join(counted)}" if counted else ""


def first_index(mask: Array) -> list[int]:
    """The index of the first true element."""
    return [int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape)]
