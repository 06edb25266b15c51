"""Dtype promotion: NumPy 2's rules, with Python scalars weak.

`coerce` gives operands their common dtype; the rules beside it say which dtype a family of
functions works in.  Where NumPy would choose float16, graphflow chooses float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Dim
from graphflow.graph.errors import DTypeError
from graphflow.graph.types import DType, as_dtype
from graphflow.graph.variable import Variable, as_variable, constant


def is_weak(value: Any) -> bool:
    """A Python number, or a Dim, takes the dtype of what it meets."""
    return isinstance(value, bool | int | float | Dim) and not isinstance(value, np.generic)


def common_dtype(values: Sequence[Any]) -> DType:
    """The promoted dtype of Variables, arrays, Python numbers and Dims (which count as Python ints)."""
    kinds: list[Any] = []
    for v in values:
        if is_weak(v):
            kinds.append(0 if isinstance(v, Dim) else v)
        else:
            kinds.append(as_variable(v).dtype)
    if not any(isinstance(k, np.dtype) for k in kinds):
        kinds = [np.asarray(k) for k in kinds]
    return as_dtype(np.result_type(*kinds))


def coerce(*values: Any, to: DType | Callable[..., DType] | None = None) -> tuple[Variable, ...]:
    """All values as Variables of one dtype, casts made where needed.

    `to`: a dtype, or one of the rules below; the promoted dtype by default.  Raises DTypeError
    for a Python integer that the dtype cannot hold.
    """
    from graphflow.ops.elementwise import cast

    operands = [v if is_weak(v) else as_variable(v) for v in values]
    if to is None:
        dtype = common_dtype(operands)
    else:
        dtype = to if isinstance(to, np.dtype) else to(*operands)
    return tuple(cast(v if isinstance(v, Variable | Dim) else _typed(v, dtype), dtype) for v in operands)


def inexact(*values: Any) -> DType:
    """The float dtype a function such as exp works in: float32 holds bool and ints up to 16 bits, float64 wider ones."""
    dtype = common_dtype(values)
    strong = [as_variable(v).dtype for v in values if not is_weak(v)]
    if not strong or dtype != np.result_type(*strong):  # a Python number raised the kind
        strong = [dtype]
    return np.result_type(*(np.promote_types(d, np.float32) for d in strong))


def quotient(*values: Any) -> DType:
    """The float dtype of a division or a mean: float64 for every kind of integer."""
    dtype = common_dtype(values)
    return dtype if dtype.kind == "f" else np.dtype("float64")


def numeric(*values: Any) -> DType:
    """The dtype of a function with no meaning of its own on bool: there NumPy computes in int8."""
    dtype = common_dtype(values)
    return dtype if dtype.kind != "b" else np.dtype("int8")


def _typed(value: bool | int | float, dtype: DType) -> Variable:
    try:
        with np.errstate(over="ignore"):
            return constant(np.array(value, dtype))
    except OverflowError:
        raise DTypeError(
            f"the Python integer {value} does not fit {dtype.name}", hint="give it a dtype of its own: gf.constant(value, 'int64')"
        ) from None
