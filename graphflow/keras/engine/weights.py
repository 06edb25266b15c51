"""`add_weight`: the argument orders of three generations, and the variable it makes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import ShapeError
from graphflow.graph.variable import Shared, Variable, shared
from graphflow.keras import backend as K
from graphflow.keras import constraints, initializers, regularizers
from graphflow.keras.arguments import ArgumentError

# Keras 2 begins with the name, Keras 1 and 3 with the shape; Keras 3 has a dtype where Keras 1 has the name.
NAME_FIRST = ("name", "shape", "dtype", "initializer", "regularizer", "trainable", "constraint")
SHAPE_FIRST = ("shape", "initializer", "name", "trainable", "regularizer", "constraint")
SHAPE_AND_DTYPE_FIRST = ("shape", "initializer", "dtype", "trainable", "autocast", "regularizer", "constraint", "aggregation", "name")


def weight_arguments(args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `add_weight` by name; raises ArgumentError for too many or doubled ones."""
    order: Sequence[str] = NAME_FIRST
    if args and not isinstance(args[0], str) and args[0] is not None:
        order = SHAPE_AND_DTYPE_FIRST if len(args) > 2 and _is_dtype(args[2]) else SHAPE_FIRST
    positional = dict(zip(order, args, strict=False))
    twice = [name for name in positional if name in kwargs]
    unknown = [name for name in kwargs if name not in {*NAME_FIRST, *SHAPE_AND_DTYPE_FIRST}]
    if len(args) > len(order) or twice or unknown:
        what = f"{len(args)} positional arguments" if len(args) > len(order) else f"{twice[0]} is given twice" if twice else f"no argument is called {unknown[0]!r}"
        raise ArgumentError(f"add_weight: {what}", hint=f"arguments are {', '.join(NAME_FIRST)}")
    return {**positional, **kwargs}


def _is_dtype(value: Any) -> bool:
    try:
        return value is not None and np.dtype(value).kind in "fiub"
    except TypeError:
        return False


def make_weight(
    owner: str,
    name: str | None = None,
    shape: Sequence[int] | None = None,
    dtype: Any = None,
    initializer: Any = None,
    regularizer: Any = None,
    trainable: bool = True,
    constraint: Any = None,
    autocast: bool = True,
    aggregation: Any = None,
) -> Shared:
    """A shared variable with its first value from the initializer, called `owner/name`.

    `autocast` and `aggregation` say nothing here: weights have one dtype and live in one place.
    """
    sizes = _static(owner, name, () if shape is None else shape)
    dtype = dtype or K.floatx()
    default = "glorot_uniform" if np.dtype(dtype).kind == "f" else "zeros"
    value = first_value(initializers.get(default if initializer is None else initializer), sizes, dtype)
    if value.shape != sizes:
        raise ShapeError(f"the initializer of {owner}/{name or 'weight'} gave the shape {value.shape}, and the weight has {sizes}")
    made = shared(value, name=f"{owner}/{name or 'weight'}", shape=sizes, dtype=dtype, trainable=trainable)
    made.tag.regularizer = regularizers.get(regularizer)
    made.tag.constraint = constraints.get(constraint)
    return made


def _static(owner: str, name: str | None, shape: Any) -> tuple[int, ...]:
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if not all(isinstance(n, int | np.integer) for n in sizes):
        raise ShapeError(
            f"the weight {owner}/{name or 'weight'} cannot have the shape {sizes}",
            hint="the layer's input needs a size there: give it an input_shape",
        )
    return tuple(int(n) for n in sizes)


def first_value(initializer: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """What the initializer gives, as an array; it may return an array or a graph, and need not take a dtype."""
    parameters = inspect.signature(initializer).parameters.values()
    takes_dtype = any(p.name == "dtype" or p.kind is p.VAR_KEYWORD for p in parameters)
    value = initializer(shape, dtype=dtype) if takes_dtype else initializer(shape)
    return value.eval() if isinstance(value, Variable) else np.asarray(value)
