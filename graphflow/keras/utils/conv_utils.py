"""Arguments of convolutions in their full form, and the lengths of their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array
from graphflow.keras.backend.settings import normalize_data_format

__all__ = ["conv_input_length", "conv_output_length", "convert_kernel", "deconv_length", "normalize_data_format", "normalize_padding", "normalize_tuple"]

_PADDINGS = ("valid", "same", "causal", "full")


def normalize_tuple(value: int | Sequence[int], n: int, name: str) -> tuple[int, ...]:
    """n integers: a single one n times, or n given ones.  Raises GraphError for anything else."""
    try:
        values = (int(value),) * n if not hasattr(value, "__len__") else tuple(int(v) for v in value)  # type: ignore[union-attr]
    except (TypeError, ValueError):
        values = ()
    if len(values) != n:
        raise GraphError(f"{name} is {value!r}", hint=f"it is one integer, or {n} of them")
    return values


def normalize_padding(value: str) -> str:
    """The padding in small letters; raises GraphError for one that is not known."""
    padding = value.lower() if isinstance(value, str) else value
    if padding not in ("valid", "same", "causal"):
        raise GraphError(f"padding is {value!r}", hint="use 'valid', 'same' or 'causal'")
    return padding


def conv_output_length(input_length: int | None, filter_size: int, padding: str, stride: int, dilation: int = 1) -> int | None:
    """How long the result of a convolution is; None if its input's length is not known."""
    if input_length is None:
        return None
    if padding not in _PADDINGS:
        raise GraphError(f"padding is {padding!r}", hint=f"use one of {', '.join(_PADDINGS)}")
    reach = (filter_size - 1) * dilation
    longer = {"valid": -reach, "same": 0, "causal": 0, "full": reach}[padding]
    return (input_length + longer + stride - 1) // stride


def conv_input_length(output_length: int | None, filter_size: int, padding: str, stride: int) -> int | None:
    """How long the input of a convolution with a result of this length is, at least."""
    if output_length is None:
        return None
    pad = {"same": filter_size // 2, "valid": 0, "full": filter_size - 1}[padding]
    return (output_length - 1) * stride - 2 * pad + filter_size


def deconv_length(
    dim_size: int | None, stride_size: int, kernel_size: int, padding: str, output_padding: int | None = None, dilation: int = 1
) -> int | None:
    """How long the result of a transposed convolution is."""
    if dim_size is None:
        return None
    kernel = (kernel_size - 1) * dilation + 1
    if output_padding is None:
        longer = {"valid": max(kernel - stride_size, 0), "full": 2 - stride_size - kernel, "same": 0}[padding]
        return dim_size * stride_size + longer
    pad = {"same": kernel // 2, "valid": 0, "full": kernel - 1}[padding]
    return (dim_size - 1) * stride_size + kernel - 2 * pad + output_padding


def convert_kernel(kernel: Any) -> Array:
    """A kernel for cross-correlation from one for convolution, and back: the spatial axes turned round."""
    kernel = np.asarray(kernel)
    if not 3 <= kernel.ndim <= 5:
        raise GraphError(f"convert_kernel: a kernel with {kernel.ndim} axes", hint="kernels have 3, 4 or 5")
    turned: Array = np.flip(kernel, tuple(range(kernel.ndim - 2)))
    return np.ascontiguousarray(turned)
