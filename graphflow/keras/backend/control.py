"""Choices, and functions over the rows of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.control import scan
from graphflow.ops.elementwise import cast, where
from graphflow.ops.shape import expand_dims


def switch(condition: Any, then_expression: Any, else_expression: Any) -> Variable:
    """Where the condition holds the first value, else the second; each a Variable, or a function that makes one.

    A condition of fewer axes is that of all elements of the later axes.
    """
    then, other = (as_variable(v() if callable(v) else v) for v in (then_expression, else_expression))
    chosen = as_variable(condition)
    missing = tuple(range(chosen.ndim, max(then.ndim, other.ndim)))
    chosen = expand_dims(chosen, missing) if missing and chosen.ndim else chosen
    return where(chosen if chosen.dtype.kind == "b" else cast(chosen, "bool"), then, other)


def map_fn(fn: Callable[..., Any], elems: Any, name: str | None = None, dtype: Any = None) -> Any:
    """`fn` of each row of `elems`, stacked; of a list or tuple of arrays `fn` takes a tuple of rows."""
    several = isinstance(elems, list | tuple)
    made, _ = scan((lambda *rows: fn(rows)) if several else fn, sequences=list(elems) if several else [elems])
    return made


def foldl(fn: Callable[[Any, Any], Any], elems: Any, initializer: Any = None, name: str | None = None) -> Variable:
    """fn(... fn(fn(initializer, row 0), row 1) ..., last row); without an initializer the first row is it."""
    return _folded(fn, elems, initializer, backwards=False)


def foldr(fn: Callable[[Any, Any], Any], elems: Any, initializer: Any = None, name: str | None = None) -> Variable:
    """As `foldl`, from the last row to the first."""
    return _folded(fn, elems, initializer, backwards=True)


def _folded(fn: Callable[[Any, Any], Any], elems: Any, initializer: Any, backwards: bool) -> Variable:
    x = as_variable(elems)
    if initializer is None:
        initializer, x = (x[-1], x[:-1]) if backwards else (x[0], x[1:])
    made, _ = scan(lambda row, total: fn(total, row), sequences=[x], outputs_info=[initializer], go_backwards=backwards)
    last: Variable = made[-1]
    return last
