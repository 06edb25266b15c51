"""Python's operators, NumPy's functions and the methods of Variables, as graphflow's functions.

Fills `graphflow.graph.variable.OPERATORS`; the tables below are all there is to it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.variable import OPERATORS, Variable, as_variable
from graphflow.ops import (  # noqa: F401  the tables below name their functions
    contraction,
    cumulative,
    diagonals,
    gathering,
    identity,
    indexing,
    joining,
    rounding,
    state,
    statistics,
)
from graphflow.ops.elementwise import abs_
from graphflow.ops.logic import not_equal
from graphflow.ops.power import power
from graphflow.ops.public import PUBLIC
from graphflow.ops.reduction import max_, sum_
from graphflow.ops.shape import reshape, transpose

# the dunder methods of Variable call these by the same name
PYTHON = [
    "add", "subtract", "multiply", "divide", "floor_divide", "mod", "power", "matmul", "bitwise_and", "bitwise_or",
    "bitwise_xor", "left_shift", "right_shift", "less", "less_equal", "greater", "greater_equal", "negative", "abs",
    "invert", "positive", "getitem", "stack",
]  # fmt: skip

# --- NumPy's functions on Variables --------------------------------------------------------------
UFUNCS = [
    "add", "subtract", "multiply", "divide", "floor_divide", "remainder", "fmod", "power", "negative", "positive",
    "absolute", "fabs", "sign", "square", "sqrt", "reciprocal", "exp", "exp2", "expm1", "log", "log2", "log10",
    "log1p", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh", "arcsinh",
    "arccosh", "arctanh", "floor", "ceil", "trunc", "rint", "maximum", "minimum", "isnan", "isinf", "isfinite",
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or",
    "logical_xor", "logical_not", "bitwise_and", "bitwise_or", "bitwise_xor", "invert", "left_shift", "right_shift",
    "matmul", "conjugate",
]  # fmt: skip
FUNCTIONS = [
    "sum", "prod", "mean", "var", "std", "max", "min", "amax", "amin", "ptp", "any", "all", "argmax", "argmin",
    "cumsum", "cumprod", "reshape", "ravel", "transpose", "swapaxes", "moveaxis", "squeeze", "expand_dims",
    "broadcast_to", "flip", "roll", "concatenate", "stack", "hstack", "vstack", "split", "tile", "repeat", "pad",
    "where", "clip", "round", "around", "take", "take_along_axis", "dot", "vdot", "inner", "outer", "tensordot",
    "einsum", "trace", "diagonal", "diag", "tril", "triu", "zeros_like", "ones_like", "full_like", "copy",
]  # fmt: skip
NUMPY_NAMES = {
    "remainder": "mod", "absolute": "abs", "fabs": "abs", "conjugate": "identity",
    "amax": "max", "amin": "min", "around": "round", "copy": "identity",
}  # fmt: skip
QUERIES: dict[str, Callable[[Any], Any]] = {"shape": lambda x: x.shape, "ndim": lambda x: x.ndim, "size": lambda x: x.size}


def numpy_ufunc(ufunc: Any, *inputs: Any) -> Variable:
    """`np.exp(x)` and `array * x` on Variables; GraphError for a ufunc without a counterpart."""
    result: Variable = _counterpart(ufunc.__name__, UFUNCS)(*inputs)
    return result


def numpy_function(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`np.sum(x, axis=1)` on Variables; GraphError for a function or argument without a counterpart."""
    name = func.__name__ if func.__module__ == "numpy" else f"{func.__module__.removeprefix('numpy.')}.{func.__name__}"
    if name in QUERIES:
        return QUERIES[name](as_variable(*args, **kwargs))
    fn = _counterpart(name, FUNCTIONS)
    given = {k: v for k, v in kwargs.items() if v is not np._NoValue and not (k == "out" and v is None)}
    try:
        inspect.signature(fn).bind(*args, **given)
    except TypeError as e:
        raise GraphError(f"numpy.{name} on a graph: {e}", hint=f"call gf.{fn.__name__.rstrip('_')} instead") from None
    return fn(*args, **given)


def _counterpart(name: str, supported: Sequence[str]) -> Callable[..., Any]:
    if name not in supported:
        raise GraphError(f"numpy.{name} does not work on a graph", hint=f"use one of graphflow's functions (gf.sum, gf.einsum ...), or apply it to a value: numpy.{name}(x.eval(feeds))")
    return PUBLIC[NUMPY_NAMES.get(name, name)]


# --- methods -------------------------------------------------------------------------------------
# methods that are a function with the Variable as its first argument
METHODS = {
    **{name: name for name in [
        "sum", "prod", "mean", "var", "std", "max", "min", "ptp", "any", "all", "argmax", "argmin", "cumsum",
        "cumprod", "flatten", "ravel", "dimshuffle", "swapaxes", "squeeze", "repeat", "take", "trace",
        "diagonal", "dot", "clip", "round", "cast", "assign", "assign_add", "assign_sub",
    ]},
    "astype": "cast", "copy": "identity", "conj": "identity",
}  # fmt: skip


def _method_reshape(x: Variable, *shape: Any, ndim: int | None = None) -> Variable:
    """x.reshape(2, 3) or x.reshape((2, 3)); `ndim`, as Theano has it, must be the new rank."""
    result = reshape(x, shape[0] if len(shape) == 1 else shape)
    if ndim is not None and result.ndim != ndim:
        raise ShapeError(f"reshape: the new shape has rank {result.ndim} and ndim is {ndim}")
    return result


def _method_transpose(x: Variable, *axes: Any) -> Variable:
    """x.transpose(1, 0), x.transpose((1, 0)) or x.transpose()."""
    return transpose(x, (axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes) or None)


def _method_norm(x: Variable, L: float, axis: Any = None, keepdims: bool = False) -> Variable:
    """(sum |x| ** L) ** (1 / L), the largest |x| for L = inf, and the number of elements not 0 for L = 0, as Theano has it."""
    if float("inf") == L:
        return max_(abs_(x), axis=axis, keepdims=keepdims)
    if L == 0:
        return sum_(not_equal(x, 0), axis=axis, keepdims=keepdims)
    return power(sum_(power(abs_(x), L), axis=axis, keepdims=keepdims), 1.0 / L)


OPERATORS.update({name: PUBLIC[name] for name in PYTHON})
OPERATORS.update({"numpy_ufunc": numpy_ufunc, "numpy_function": numpy_function})
OPERATORS.update({f"method:{name}": PUBLIC[function] for name, function in METHODS.items()})
OPERATORS.update({
    "method:T": transpose,
    "method:reshape": _method_reshape,
    "method:transpose": _method_transpose,
    "method:norm": _method_norm,
})  # fmt: skip
