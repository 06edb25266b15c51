"""Values that are kept or fed: variables, placeholders, constants, and updates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size
from graphflow.graph.errors import GraphError, StateError
from graphflow.graph.op import Array
from graphflow.graph.types import as_dtype
from graphflow.graph.variable import Placeholder, Shared, Variable, as_variable, shared
from graphflow.graph.variable import constant as _constant
from graphflow.graph.variable import placeholder as _placeholder
from graphflow.keras import generation
from graphflow.keras.backend.settings import floatx
from graphflow.keras.structure import int_shape
from graphflow.ops import creation, elementwise
from graphflow.ops.identity import identity as _identity
from graphflow.runtime.store import default_store


# --- variables -----------------------------------------------------------------------------------
def variable(value: Any, dtype: Any = None, name: str | None = None, constraint: Any = None) -> Shared:
    """State with an initial value, floatx unless `dtype` says otherwise."""
    made = shared(value, name=name, shape=np.shape(value), dtype=dtype or floatx())
    made.tag.constraint = constraint
    made.tag.found_in_attributes = generation.resolve("attributes that are variables are weights")
    return made


def get_value(x: Any) -> Any:
    """The value of a variable, or of what needs no feeds: an array, or a NumPy scalar for a scalar.  Raises StateError for a plain number."""
    if isinstance(x, Variable) and not isinstance(x, Shared):
        return x.eval()
    return default_store().get(_state(x, "get_value"))[()]


def set_value(x: Shared, value: Any) -> None:
    """Give a variable another value.  Raises StateError for what is no variable, ShapeError for another shape."""
    default_store().set(_state(x, "set_value"), np.asarray(value, dtype=x.dtype))


def _state(x: Any, what: str) -> Shared:
    if not isinstance(x, Shared):
        raise StateError(f"{what}: {x!r:.60} is not a variable", hint="variables are made with K.variable or a layer's add_weight")
    return x


def get_variable_shape(x: Any) -> tuple[int | None, ...]:
    """What Keras 1 called `int_shape`."""
    return int_shape(x)


def batch_get_value(variables: Sequence[Shared]) -> list[Array]:
    return [default_store().get(v) for v in variables]


def batch_set_value(pairs: Sequence[tuple[Shared, Any]]) -> None:
    for v, value in pairs:
        set_value(v, value)


def count_params(x: Shared) -> int:
    """The number of elements of a variable."""
    return math.prod(n if isinstance(n, int) else m for n, m in zip(x.shape, default_store().get(x).shape, strict=True))


def update(x: Shared, value: Any) -> tuple[Shared, Any]:
    """An update for `add_update` and `Optimizer.get_updates`: x becomes `value`."""
    return x, value


def update_add(x: Shared, increment: Any) -> tuple[Shared, Variable]:
    """An update: x becomes x + increment."""
    return x, x + increment


def update_sub(x: Shared, decrement: Any) -> tuple[Shared, Variable]:
    """An update: x becomes x - decrement."""
    return x, x - decrement


def moving_average_update(x: Shared, value: Any, momentum: float) -> tuple[Shared, Variable]:
    """An update: x becomes momentum * x + (1 - momentum) * value."""
    return x, x * momentum + as_variable(value, x.dtype) * (1.0 - momentum)


def zeros(shape: Sequence[int], dtype: Any = None, name: str | None = None) -> Shared:
    """A variable of zeros."""
    return variable(np.zeros(shape), dtype, name)


def ones(shape: Sequence[int], dtype: Any = None, name: str | None = None) -> Shared:
    """A variable of ones."""
    return variable(np.ones(shape), dtype, name)


def eye(size: int | Sequence[int], dtype: Any = None, name: str | None = None) -> Shared:
    """A variable with ones on the diagonal."""
    return variable(np.eye(*(size if isinstance(size, list | tuple) else (size,))), dtype, name)


def zeros_like(x: Any, dtype: Any = None, name: str | None = None) -> Variable:
    return creation.zeros_like(x, dtype)


def ones_like(x: Any, dtype: Any = None, name: str | None = None) -> Variable:
    return creation.ones_like(x, dtype)


def random_uniform_variable(shape: Sequence[int], low: float, high: float, dtype: Any = None, name: str | None = None, seed: int | None = None) -> Shared:
    """A variable with values drawn evenly between low and high, by NumPy."""
    return variable(_generator(seed).uniform(low, high, shape), dtype, name)


def random_normal_variable(shape: Sequence[int], mean: float, scale: float, dtype: Any = None, name: str | None = None, seed: int | None = None) -> Shared:
    """A variable with normal values of a mean and a standard deviation, by NumPy."""
    return variable(_generator(seed).normal(mean, scale, shape), dtype, name)


def _generator(seed: int | None) -> np.random.RandomState:
    return np.random.RandomState(np.random.randint(2**31 - 1) if seed is None else seed)


# --- what is fed, and constants --------------------------------------------------------------------
def placeholder(
    shape: Sequence[int | None] | None = None, ndim: int | None = None, dtype: Any = None, sparse: bool = False, name: str | None = None
) -> Placeholder:
    """What `function` is fed with: of a shape with None for sizes known at run time, of a rank, or of any rank."""
    if sparse:
        raise StateError("sparse placeholders are not supported", hint="feed dense arrays")
    sizes: Sequence[Size | None] | None = tuple(shape) if shape is not None else (None,) * ndim if ndim else None
    return _placeholder(dtype or floatx(), sizes, name)


def constant(value: Any, dtype: Any = None, shape: Sequence[int] | None = None, name: str | None = None) -> Variable:
    """A fixed value, spread over `shape` if one is given."""
    array = np.asarray(value, as_dtype(dtype or floatx()))
    if shape is not None:
        array = np.broadcast_to(array, shape) if array.size == 1 else array.reshape(shape)
    return _constant(array, name=name)


def identity(x: Any, name: str | None = None) -> Variable:
    """A Variable with the same value."""
    made = _identity(x)
    made.name = name
    return made


# --- questions -----------------------------------------------------------------------------------
def shape(x: Any) -> tuple[Size, ...]:
    """The sizes of x, as ints and Dims, which can be used as numbers of the graph."""
    return as_variable(x).shape


def ndim(x: Any) -> int:
    return as_variable(x).ndim


def size(x: Any) -> Variable:
    """The number of elements."""
    return as_variable(as_variable(x).size)


def dtype(x: Any) -> str:
    """The name of the dtype."""
    name: str = as_variable(x).dtype.name
    return name


def is_tensor(x: Any) -> bool:
    return isinstance(x, Variable)


def is_variable(x: Any) -> bool:
    return isinstance(x, Shared)


def is_placeholder(x: Any) -> bool:
    return isinstance(x, Placeholder)


def is_keras_tensor(x: Any) -> bool:
    """Whether x is the result of a layer.  Raises GraphError for what is no Variable."""
    if not isinstance(x, Variable):
        raise GraphError(f"Unexpectedly found an instance of type `{type(x).__name__}`. Expected a symbolic tensor instance.")
    return hasattr(x.tag, "keras_history")


def is_sparse(x: Any) -> bool:
    """False: all values are dense."""
    return False


def to_dense(x: Any) -> Any:
    return x


def cast(x: Any, dtype: Any) -> Variable:
    return elementwise.cast(x, dtype)


def cast_to_floatx(x: Any) -> Any:
    """An array, or a Variable, of the dtype `floatx()`."""
    return elementwise.cast(x, floatx()) if isinstance(x, Variable) else np.asarray(x, floatx())
