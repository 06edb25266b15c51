"""float16 and bfloat16: dtypes of storage.

Functions of the package widen operands of these dtypes to float32, compute, and round the result once to
the nearest, ties to even; within one function (a softmax, a convolution) nothing is rounded.  So sums and
contractions add up in float32, gradients are those of casts, and no op but `cast` and the views in `AS_THEY_ARE`
meets the dtypes.  The result is a half as follows, with the other operands:

    half with itself, Python numbers, bools and integers     that half
    float16 with bfloat16                                    float32
    a half with float32 or float64                           float32 or float64

which is JAX's table; NumPy's differs for float16 with integers of more than 8 bits.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import numpy as np

from graphflow.graph.errors import GraphflowError
from graphflow.graph.op import Array
from graphflow.graph.types import DType, as_dtype, is_half
from graphflow.graph.variable import Variable

P = ParamSpec("P")
R = TypeVar("R")
F32 = np.dtype("float32")

# Functions that move elements or name variables: their gradients move elements, too.
AS_THEY_ARE = frozenset([
    "cast", "reshape", "ravel", "flatten", "transpose", "swapaxes", "moveaxis", "dimshuffle", "expand_dims", "squeeze", "broadcast_to", "flip",
    "assign", "assign_add", "assign_sub",
])  # fmt: skip
SELECTIONS = frozenset(["set_subtensor", "inc_subtensor"])  # they look at how their operand was made


def rounded(x: Array, dtype: DType) -> Array:
    """x as a half, rounded once; float64 and integers go to float32 by rounding to odd, which keeps what decides.

    S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd" (2008).
    """
    with np.errstate(all="ignore"):
        if x.dtype == F32 or x.dtype.itemsize < 4:
            return x.astype(F32).astype(dtype)
        exact = x.astype(np.float64)
        near = exact.astype(F32)
        bits, back = near.view(np.int32), near.astype(np.float64)
        shift = np.where(np.abs(back) > np.abs(exact), np.int32(-1), np.int32(1))
        odd = np.where((back != exact) & ~np.isnan(exact) & (bits & 1 == 0), bits + shift, bits)
        return np.asarray(odd, np.int32).view(F32).astype(dtype)


def in_single_precision(fn: Callable[P, R]) -> Callable[P, R]:
    """fn for operands, and for a `dtype` argument, of half dtypes as well."""
    if fn.__name__ in AS_THEY_ARE:
        return fn
    names = list(inspect.signature(fn).parameters)
    place = names.index("dtype") if "dtype" in names else None

    @functools.wraps(fn)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        asked = None if place is None else kwargs.get("dtype", args[place] if len(args) > place else None)
        if not (asked is not None and _names_half(asked)) and not _meets_half(args) and not (kwargs and _meets_half(kwargs)):
            return fn(*args, **kwargs)
        if any(map(_is_function, (*args, *kwargs.values()))):  # scan, cond: their functions meet the halves themselves
            return fn(*args, **kwargs)
        return _widened(fn, args, kwargs, place, asked)

    return wrapper


def _widened(fn: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any], place: int | None, asked: Any) -> R:
    dtypes = {v.dtype for v in _tensors((args, kwargs))}
    halves = [d for d in dtypes if is_half(d)]
    unwrap = fn.__name__ in SELECTIONS
    args, kwargs = _mapped(args, unwrap), _mapped(kwargs, unwrap)
    target: DType | None = None
    if asked is not None and _names_half(asked):
        target = as_dtype(asked)
        if "dtype" in kwargs:
            kwargs["dtype"] = F32
        else:
            assert place is not None
            args = (*args[:place], F32, *args[place + 1 :])
    elif asked is None and len(halves) == 1 and not any(d.kind == "f" and d.itemsize >= 4 for d in dtypes):
        (target,) = halves
    result = fn(*args, **kwargs)
    return result if target is None else _narrowed(result, target)


def _meets_half(value: Any) -> bool:
    """Is there a half in nested arguments?  Asked for every call."""
    if isinstance(value, Variable):
        return is_half(value.type.dtype)
    if isinstance(value, list | tuple):
        return any(map(_meets_half, value))
    if isinstance(value, dict):
        return any(map(_meets_half, value.values()))
    return isinstance(value, np.ndarray | np.generic) and is_half(value.dtype)


def _names_half(dtype: Any) -> bool:
    try:
        return is_half(as_dtype(dtype))
    except GraphflowError:
        return False  # the function says what is wrong with it


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, Variable | type)


def _tensors(value: Any) -> Iterator[Any]:
    """The Variables and arrays in nested arguments."""
    if isinstance(value, Variable | np.ndarray | np.generic):
        yield value
    elif isinstance(value, list | tuple):
        for v in value:
            yield from _tensors(v)
    elif isinstance(value, dict):
        for v in value.values():
            yield from _tensors(v)


def _mapped(value: Any, unwrap: bool) -> Any:
    """Nested arguments with halves as float32; `unwrap` takes a selection of a widened tensor instead of what was rounded from it."""
    from graphflow.ops.elementwise import cast

    if isinstance(value, Variable | np.ndarray | np.generic):
        if not is_half(value.dtype):
            return value
        node = value.owner if isinstance(value, Variable) else None
        return node.inputs[0] if unwrap and node is not None and node.op.name == "cast" else cast(value, F32)
    if isinstance(value, list | tuple):
        return type(value)(_mapped(v, unwrap) for v in value) if type(value) in (list, tuple) else type(value)(*(_mapped(v, unwrap) for v in value))
    if isinstance(value, dict):
        return {k: _mapped(v, unwrap) for k, v in value.items()}
    return value


def _narrowed(value: Any, target: DType) -> Any:
    """Nested results with floats rounded to `target`."""
    from graphflow.ops.elementwise import cast

    if isinstance(value, Variable):
        return cast(value, target) if value.dtype.kind == "f" and value.dtype.itemsize >= 4 else value
    if isinstance(value, list | tuple):
        return type(value)(_narrowed(v, target) for v in value) if type(value) in (list, tuple) else type(value)(*(_narrowed(v, target) for v in value))
    return value
