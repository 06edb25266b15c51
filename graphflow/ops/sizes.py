"""Sizes and slice bounds from what users write: ints, Dims, and integer scalars of the graph.

A scalar `i` of the graph used as a size or a bound becomes a `Dim` whose symbol has `i` as its
origin (only such symbols have an origin of rank 0), and arithmetic on it becomes Dim algebra:
`x[i * 20:(i + 1) * 20]` is a view whose start is the polynomial `20*i`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from graphflow.graph.dim import Dim, Size, Symbol, floordiv, maximum, minimum, mod
from graphflow.graph.errors import DTypeError, ShapeError
from graphflow.graph.variable import Constant, Variable

UNKNOWN = 2**31  # above the value of a scalar of which nothing is known

_ALGEBRA: dict[str, Callable[..., Size]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "negative": lambda a: -a,
    "floor_divide": floordiv,
    "mod": mod,
    "minimum": minimum,
    "maximum": maximum,
    "cast": lambda a: a,
}


def as_size(value: Any, what: str = "a size") -> Size:
    """An int or Dim for an int, a Dim or an integer scalar Variable; raises DTypeError, ShapeError for others."""
    if isinstance(value, Dim):
        return value
    if isinstance(value, Variable):
        if value.dtype.kind not in "iu":
            raise DTypeError(f"{what} must be an integer, and {value!r} is not", hint="use gf.cast(x, 'int64')")
        if value.ndim != 0:
            raise ShapeError(f"{what} must be a scalar, and {value!r} has rank {value.ndim}")
        return _size_of_scalar(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iu":
        return int(value)
    raise DTypeError(f"{what} must be an integer, and {value!r:.80} is not", hint="use an int, a Dim or an integer scalar")


def as_sizes(values: Any) -> tuple[Size, ...]:
    """The sizes of a shape: one size, or a sequence of them (a constant integer vector included)."""
    if isinstance(values, Constant):
        values = values.value
    if isinstance(values, np.ndarray) and values.ndim == 1:
        values = values.tolist()
    if isinstance(values, Variable | np.ndarray) or not isinstance(values, Iterable):
        values = (values,)
    return tuple(as_size(v) for v in values)


def is_value(symbol: Symbol) -> bool:
    """Does the symbol stand for the value of an integer scalar (and not for the size of an axis)?"""
    origin = symbol.origin
    return isinstance(origin, Variable) and origin.type.shape == () and getattr(origin.tag, "as_dim", None) == Dim.of(symbol)


def value_symbol(v: Variable) -> Symbol | None:
    """The symbol that stands for the value of `v` in sizes, if it was ever used as one."""
    if v.type.shape != () or v.dtype.kind not in "iu" or not hasattr(v.tag, "as_dim"):
        return None
    atom = v.tag.as_dim.atom
    return atom if isinstance(atom, Symbol) else None


def value_below(v: Variable, end: Size, name: str) -> Dim:
    """The value of an integer scalar of the graph as a size that is known to be in 0 .. end - 1."""
    v.tag.as_dim = Dim.symbol(name, 0, end, origin=v)
    found: Dim = v.tag.as_dim
    return found


def is_scalar_integer(value: Any) -> bool:
    """True for what stands for one index or size: an int, a Dim, a rank-0 integer Variable."""
    if isinstance(value, Variable):
        return value.dtype.kind in "iu" and value.ndim == 0
    return isinstance(value, Dim | int | np.integer) and not isinstance(value, bool)


def _size_of_scalar(scalar: Variable) -> Size:
    """Dim algebra for an integer scalar: its arithmetic followed down to constants, sizes and opaque scalars."""
    known: dict[Variable, Size] = {}
    stack = [scalar]
    while stack:
        v = stack[-1]
        if v in known:
            stack.pop()
            continue
        parts = _parts(v)
        missing = [p for p in parts if p not in known]
        if missing:
            stack.extend(missing)
            continue
        known[v] = _ALGEBRA[v.owner.op.name](*(known[p] for p in parts)) if v.owner and parts else _leaf(v)
        stack.pop()
    return known[scalar]


def _parts(v: Variable) -> tuple[Variable, ...]:
    if v.owner is None or v.owner.op.name not in _ALGEBRA:
        return ()
    whole = all(p.dtype.kind in "iu" and p.type.shape == () for p in v.owner.inputs)
    return v.owner.inputs if whole else ()


def _leaf(v: Variable) -> Size:
    if isinstance(v, Constant):
        return int(v.value)
    if v.owner is not None and v.owner.op.name == "dim_value":
        size = v.owner.op.params().get("size")
        if isinstance(size, int | Dim):
            return size
    if not hasattr(v.tag, "as_dim"):
        low = 0 if v.dtype.kind == "u" else -(2**31)
        v.tag.as_dim = Dim.symbol(v.name or v.label, low, UNKNOWN, origin=v)
    found: Dim = v.tag.as_dim
    return found
