"""Operations of a NestOp, counted by running its `nest` with a builder that only counts.

Each operation on floats counts once for each iteration of the loops around it; what works on indices,
integers and bools does not count, nor do loads, stores, casts and choices.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.graph.dim import Dim, Size, Symbol, substitute
from graphflow.graph.op import NestOp
from graphflow.graph.types import DType, Shape
from graphflow.graph.variable import Variable

_BOOL, _INDEX = np.dtype(bool), np.dtype("int64")


def nest_flops(op: NestOp, inputs: Sequence[Variable], outputs: Sequence[Variable]) -> Size:
    """Operations on floats of one run; a loop whose extent depends on an outer loop counts at its longest."""
    counter = _Counter()
    op.nest(counter, [_Array(counter, v) for v in inputs], [_Array(counter, v) for v in outputs])
    return counter.count


@dataclass(frozen=True, eq=False)
class _Value:
    """Stands for an expression: a dtype, and operators that count."""

    counter: _Counter
    dtype: DType

    def eq(self, other: Any) -> _Value:
        return self.counter.operation(_BOOL, self)

    ne = eq


def _operator(result: DType | None) -> Callable[..., _Value]:
    return lambda self, *other: self.counter.operation(result or self.dtype, self)


for _name in ("add", "sub", "mul", "truediv", "and", "or", "xor", "lshift", "rshift"):
    setattr(_Value, f"__{_name}__", _operator(None))
    setattr(_Value, f"__r{_name}__", _operator(None))
for _name in ("neg", "invert"):
    setattr(_Value, f"__{_name}__", _operator(None))
for _name in ("lt", "le", "gt", "ge"):
    setattr(_Value, f"__{_name}__", _operator(_BOOL))


class _Counter:
    """The loop builder of `NestOp.nest`, with `times` the iterations of the loops that are open."""

    def __init__(self) -> None:
        self.count: Size = 0
        self.times: Size = 1
        self.longest: dict[Symbol, Size] = {}

    def operation(self, result: DType, *operands: Any) -> _Value:
        if any(isinstance(x, _Value) and x.dtype.kind == "f" for x in operands):
            self.count = self.count + self.times
        return _Value(self, result)

    # --- values ---------------------------------------------------------------------------
    def const(self, dtype: Any, value: Any) -> _Value:
        return _Value(self, np.dtype(dtype))

    def cast(self, dtype: Any, x: Any) -> _Value:
        return _Value(self, np.dtype(dtype))

    bits = cast

    def select(self, cond: Any, x: Any, y: Any) -> _Value:
        return _Value(self, x.dtype if isinstance(x, _Value) else y.dtype)

    def call(self, name: str, *xs: Any) -> _Value:
        dtype = next(x.dtype for x in xs if isinstance(x, _Value))
        return self.operation(_BOOL if name in ("eq", "ne", "lt", "le") else dtype, *xs)

    def dim(self, size: Size) -> _Value:
        return _Value(self, _INDEX)

    value = dim

    def let(self, value: Any) -> Any:
        return value

    def register(self, dtype: Any, init: Any) -> _Register:
        return _Register(_Value(self, np.dtype(dtype)))

    # --- control --------------------------------------------------------------------------
    @contextlib.contextmanager
    def loop(self, name: str, extent: Size, *, sequential: bool = False) -> Iterator[Size]:
        extent = substitute(extent, self.longest)
        variable = Symbol(name, 0, extent)
        self.longest[variable] = extent
        before, self.times = self.times, self.times * extent
        yield Dim.of(variable)
        self.times = before

    @contextlib.contextmanager
    def mask(self, cond: Any) -> Iterator[None]:
        yield

    def position(self, value: Any, extent: Size, message: str, shown: Any = None) -> Size:
        variable = Symbol("at", 0, extent)
        self.longest[variable] = extent
        return Dim.of(variable)


@dataclass(frozen=True)
class _Register:
    held: _Value

    def get(self) -> _Value:
        return self.held

    def set(self, value: Any) -> None:
        """A register moves a value and does not count."""


class _Array:
    """An operand or result of the nest."""

    def __init__(self, counter: _Counter, v: Variable) -> None:
        self._element = _Value(counter, v.dtype)
        self.dtype: DType = v.dtype
        self.shape: Shape = v.shape

    def load(self, *ix: Size) -> _Value:
        return self._element

    def store(self, ix: tuple[Size, ...], value: Any) -> None:
        """A store moves a value and does not count."""
