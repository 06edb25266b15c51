"""`@public`: functions users call.  Handles operands of unknown rank, once, for all of them.

An operand whose rank is known only when fed (`gf.placeholder("float32")`) makes a `Deferred`
node that remembers the call; when the graph is compiled for the ranks that were fed, the call is
made again on typed Variables.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar

from graphflow.graph.dim import Dim
from graphflow.graph.errors import GraphflowError
from graphflow.graph.op import Op
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Apply, Placeholder, Variable, explain
from graphflow.ops.half import in_single_precision

P = ParamSpec("P")
R = TypeVar("R")

PUBLIC: dict[str, Callable[..., Any]] = {}


class _Slot:
    """The place of the i-th Variable in a remembered call."""

    def __init__(self, index: int) -> None:
        self.index = index


class Deferred(Op):
    """A call on operands of unknown rank; never compiled, replaced when ranks are known."""

    name = "deferred"

    def __init__(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self.fn, self.args, self.kwargs = fn, args, kwargs

    def again(self, variables: Sequence[Variable]) -> Any:
        """Make the call on `variables`, which stand for the operands in order."""
        args, kwargs = _map_structure((self.args, self.kwargs), lambda s: variables[s.index] if isinstance(s, _Slot) else s)
        return self.fn(*args, **kwargs)

    def __str__(self) -> str:
        return getattr(self.fn, "__name__", "deferred")


def _map_structure(value: Any, leaf: Callable[[Any], Any]) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_map_structure(v, leaf) for v in value)
    if isinstance(value, dict):
        return {k: _map_structure(v, leaf) for k, v in value.items()}
    return leaf(value)


def _variables(value: Any) -> Iterator[Variable]:
    if isinstance(value, Variable):
        yield value
    elif isinstance(value, list | tuple):
        for v in value:
            yield from _variables(v)
    elif isinstance(value, dict):
        for v in value.values():
            yield from _variables(v)


def _defer(fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    operands: list[Variable] = []

    def slot(v: Any) -> Any:
        if not isinstance(v, Variable):
            return v
        operands.append(v)
        return _Slot(len(operands) - 1)

    op = Deferred(fn, *_map_structure((args, kwargs), slot))
    probe = _probe(op, operands)
    types = [TensorType(v.type.dtype, None) for v in (probe if isinstance(probe, tuple | list) else (probe,))]
    outputs = Apply(op, operands, types).outputs
    return type(probe)(outputs) if isinstance(probe, tuple | list) else outputs[0]


def _probe(op: Deferred, operands: Sequence[Variable]) -> Any:
    """The call's result on stand-ins of some rank that fits: gives dtypes and the number of results."""
    error: GraphflowError | None = None
    for rank in (2, 1, 0, 3, 4, 5):
        stand_ins = [
            v if v.type.shape is not None else Placeholder(TensorType(v.dtype, tuple(Dim.symbol("d") for _ in range(rank))))
            for v in operands
        ]
        try:
            return op.again(stand_ins)
        except GraphflowError as e:
            error = error or e
    assert error is not None
    raise error


def public(fn: Callable[P, R]) -> Callable[P, R]:
    """Register a user-visible function under its name (`sum_` as `sum`) and let it take unknown ranks."""
    wrapper = deferring(fn)
    PUBLIC[fn.__name__.rstrip("_")] = wrapper
    return wrapper


def deferring(fn: Callable[P, R]) -> Callable[P, R]:
    """Let a user-visible function of some namespace take unknown ranks, and half dtypes."""
    fn = in_single_precision(fn)

    @functools.wraps(fn)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            if any(v.type.shape is None for v in _variables((args, kwargs))):
                result: R = _defer(fn, args, kwargs)
                return result
            return fn(*args, **kwargs)
        except GraphflowError as error:
            if not error.context:
                explain(error, None, list(_variables((args, kwargs))))
            raise

    return wrapper
