"""`check_test_values`: each node is run by its NumPy reference as it is made, on the test values of its inputs.

A test value is an array at `x.tag.test_value`, of a placeholder; results get theirs here, shared variables and constants have
their own.  What does not fit is reported where it was written, with actual shapes and values.
"""

from __future__ import annotations

import warnings
from collections.abc import Set
from typing import Any

import numpy as np

from graphflow.compiler import reference
from graphflow.compiler.clone import Cloner
from graphflow.configuration import config
from graphflow.graph.dim import Dim, Size, Symbol, symbols_of
from graphflow.graph.errors import CheckError, GraphError, GraphflowError
from graphflow.graph.op import Array
from graphflow.graph.types import TensorType, is_float
from graphflow.graph.variable import Apply, Constant, Placeholder, Shared, Variable, origin_of
from graphflow.ops.sizes import is_value
from graphflow.runtime.array_summary import summary
from graphflow.runtime.buffer import as_fed_array
from graphflow.runtime.session import current_store


def check_node(node: Apply) -> None:
    """Give the node's results test values, as the setting asks.

    Raises what is wrong with them, or warns of it: ShapeError, DTypeError, CheckError for NaN where `check_nan` is on, GraphError for a
    placeholder without a test value.
    """
    if not config.check_test_values:
        return
    try:
        compute(node)
    except GraphflowError as error:
        error.location = node.source
        if config.check_test_values == "raise":
            raise
        warnings.warn(str(error), stacklevel=4)


def compute(node: Apply) -> None:
    """Run one node; its results' tags get the values."""
    arrays = [value_of(v) for v in node.inputs]
    operands = [summary(f"operand {i}, {v.label}", array) for i, (v, array) in enumerate(zip(node.inputs, arrays, strict=True))]
    try:
        results = _run(node, arrays)
    except GraphflowError as error:
        raise error.with_context(*operands) from None
    except Exception as error:
        raise CheckError(f"{node.op}: the test values do not fit: {error}", context=tuple(operands)) from error
    for v, value in zip(node.outputs, results, strict=True):
        if config.check_nan and is_float(value.dtype) and not np.isfinite(value).all():
            raise CheckError(f"{origin_of(v)}: the test values give NaN or infinity", context=(*operands, summary("result", value)))
        v.tag.test_value = value


def _run(node: Apply, arrays: list[Array]) -> list[Array]:
    stand_ins = [Placeholder(TensorType(a.dtype, a.shape), v.name or v.label) for v, a in zip(node.inputs, arrays, strict=True)]
    for v, stand_in in zip(node.inputs, stand_ins, strict=True):
        stand_in.made_at = v.source
    known: dict[Variable, Array] = dict(zip(stand_ins, arrays, strict=True))
    replace: dict[Variable, Variable] = dict(zip(node.inputs, stand_ins, strict=True))
    symbols = {s for v in (*node.inputs, *node.outputs) for n in v.type.shape or () for s in symbols_of(n)} | _symbols(node.op.params())
    dims: dict[Symbol, Size] = {s: size for s in symbols if (size := size_of(s)) is not None}
    fixed = Cloner(replace, dims).clone(list(node.outputs))
    reference.run(fixed, known)
    return [known[v] for v in fixed]


def value_of(v: Variable) -> Array:
    """The test value of a Variable.  Raises GraphError for a placeholder without one, and what does not fit its type."""
    if isinstance(v, Constant):
        return v.value
    if isinstance(v, Shared):
        return current_store().get(v)
    given: Any = getattr(v.tag, "test_value", None)
    if given is None and v.owner is not None:
        compute(v.owner)
        given = v.tag.test_value
    if given is None:
        raise GraphError(f"no test value for {origin_of(v)}", hint="set x.tag.test_value to an array, or gf.config.check_test_values to ''")
    return given if v.owner is not None else as_fed_array(given, v.dtype, v)


def size_of(symbol: Symbol) -> Size | None:
    """The size that the test value of a symbol's origin gives it."""
    origin = symbol.origin
    if not isinstance(origin, Variable):
        return None
    value = value_of(origin)
    if is_value(symbol):
        return int(value)
    return next((n for size, n in zip(origin.type.shape or (), value.shape, strict=False) if size == Dim.of(symbol)), None)


def _symbols(value: Any) -> Set[Symbol]:
    """The symbols in an op's parameters."""
    if isinstance(value, Dim):
        return symbols_of(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return {s for part in parts for s in _symbols(part)}
