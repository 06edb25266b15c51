"""Running sums and products along an axis, and the linear recurrence they are cases of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from graphflow.graph.dim import Size
from graphflow.graph.errors import DTypeError
from graphflow.graph.op import In, NestOp, Sample, Value, broadcast_shapes, register
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.elementwise import add, multiply
from graphflow.ops.promotion import coerce
from graphflow.ops.public import PUBLIC, public
from graphflow.ops.reduction import Grads, accumulated, normalize_axes
from graphflow.ops.shape import broadcast_to, ravel


@contextlib.contextmanager
def walk(k: Any, shape: Sequence[Size], axis: int, reverse: bool, start: Value) -> Iterator[tuple[tuple[Size, ...], Any]]:
    """Loops over all rows along `axis`, in order or backwards: the place, and a register that starts each row."""
    with contextlib.ExitStack() as rows:
        ix = [rows.enter_context(k.loop(f"i{a}", n)) for a, n in enumerate(shape) if a != axis]
        state = k.register(start.dtype, start)
        with k.loop("step", shape[axis], sequential=True) as step:
            at = shape[axis] - 1 - step if reverse else step
            yield (*ix[:axis], at, *ix[axis:]), state


@dataclass(frozen=True, repr=False)
class Cumulative(NestOp):
    """The fold of what came before along `axis`, of the element itself too unless `exclusive`."""

    axis: int
    reverse: bool = False
    exclusive: bool = False
    identity: ClassVar[int]
    ufunc: ClassVar[np.ufunc]

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def combine(self, before: Value, x: Value) -> Value:
        raise NotImplementedError

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (x,), (out,) = ins, outs
        with walk(k, x.shape, self.axis, self.reverse, k.const(x.dtype, self.identity)) as (place, state):
            before = k.let(state.get())
            after = k.let(self.combine(before, x.load(*place)))
            out.store(place, before if self.exclusive else after)
            state.set(after)

    def reference(self, *arrays: Any) -> Any:
        x = np.moveaxis(arrays[0], self.axis, 0)
        x = x[::-1] if self.reverse else x
        with np.errstate(all="ignore"):
            y = self.ufunc.accumulate(x, axis=0, dtype=x.dtype)
        if self.exclusive:
            y = np.concatenate([np.full_like(y[:1], self.identity), y[:-1]])
        return np.moveaxis(y[::-1] if self.reverse else y, 0, self.axis)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        fn = PUBLIC[cls.name]
        for axis in (None, 0, 1):
            yield Sample(lambda x, axis=axis: fn(x, axis), (In(("m", "n"), "number"),), name=f"axis={axis}")
        yield Sample(lambda x: fn(x, 0, reverse=True), (In(("m", "n")),), name="reverse")
        yield Sample(lambda x: fn(x, -1, exclusive=True), (In(("a", "b", "c")),), name="exclusive")
        yield Sample(lambda x: fn(x, 1, reverse=True, exclusive=True), (In(("a", "b", "c")),), name="both")


@register
class CumSum(Cumulative):
    name = "cumsum"
    identity = 0
    ufunc = np.add

    def combine(self, before: Value, x: Value) -> Value:
        return before + x

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (g,) = grads
        if g is None or g.dtype.kind != "f":
            return (None,)
        return (cumsum(g, self.axis, reverse=not self.reverse, exclusive=self.exclusive),)


@register
class CumProd(Cumulative):
    name = "cumprod"
    identity = 1
    ufunc = np.multiply

    def combine(self, before: Value, x: Value) -> Value:
        return before * x

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        # With p the exclusive product, p' = x * p takes the cotangent r = g + x * r', and dx = p * r':
        # no division, so zeros do no harm.  The inclusive product is x * p.
        (x,), (g,) = inputs, grads
        if g is None or x.dtype.kind != "f":
            return (None,)
        before = cumprod(x, self.axis, reverse=self.reverse, exclusive=True)
        if self.exclusive:
            return (multiply(before, carry(x, g, self.axis, not self.reverse)),)
        return (multiply(before, add(g, carry(x, multiply(g, x), self.axis, not self.reverse))),)


def _along(x: Variable, axis: int | None) -> tuple[Variable, int]:
    if axis is None:
        return ravel(x), 0
    return x, normalize_axes(axis, x.ndim)[0]


@public
def cumsum(x: Any, axis: int | None = None, dtype: Any = None, reverse: bool = False, exclusive: bool = False) -> Variable:
    """Running sum along `axis` (of the flattened x by default); dtypes as `sum`.

    `reverse` counts from the end, `exclusive` leaves the element itself out.
    """
    x, along = _along(accumulated(x, dtype), axis)
    result: Variable = CumSum(along, reverse, exclusive)(x)
    return result


@public
def cumprod(x: Any, axis: int | None = None, dtype: Any = None, reverse: bool = False, exclusive: bool = False) -> Variable:
    """Running product along `axis` (of the flattened x by default); dtypes as `sum`.

    `reverse` counts from the end, `exclusive` leaves the element itself out.  The gradient is
    right where elements are 0.
    """
    x, along = _along(accumulated(x, dtype), axis)
    result: Variable = CumProd(along, reverse, exclusive)(x)
    return result


@register
class Carry(NestOp):
    """c' = a * c + x along `axis`, c = 0 at the start; the result is c at each place, before its own a and x."""

    name = "carry"
    axis: int
    reverse: bool

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(inputs[0].dtype, broadcast_shapes([t.known_shape for t in inputs]))

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (a, x), (out,) = ins, outs
        with walk(k, x.shape, self.axis, self.reverse, k.const(x.dtype, 0)) as (place, state):
            before = k.let(state.get())
            out.store(place, before)
            state.set(a.load(*place) * before + x.load(*place))

    def reference(self, *arrays: Any) -> Any:
        a, x = (np.moveaxis(v, self.axis, 0) for v in arrays)
        y = np.zeros_like(x)
        order = range(len(x))[::-1] if self.reverse else range(len(x))
        state = np.zeros_like(x[:1].sum(axis=0))
        with np.errstate(all="ignore"):
            for i in order:
                y[i] = state
                state = a[i] * state + x[i]
        return np.moveaxis(y, 0, self.axis)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        # The cotangents run the same recurrence the other way round.
        (a, _), (y,), (g,) = inputs, outputs, grads
        if g is None:
            return None, None
        back = carry(a, g, self.axis, not self.reverse)
        return multiply(y, back), back

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for reverse in (False, True):
            pair = (In(("m", "n"), "float", -1.0, 1.0), In(("m", "n")))
            yield Sample(lambda a, x, r=reverse: linear_recurrence(a, x, 0, r), pair, name=f"reverse={reverse}")
        yield Sample(lambda x: linear_recurrence(0.5, x), (In(("m", "n")),), name="constant")


def carry(a: Variable, x: Variable, axis: int, reverse: bool) -> Variable:
    """`Carry` of operands of one shape."""
    result: Variable = Carry(axis, reverse)(a, x)
    return result


@public
def linear_recurrence(a: Any, x: Any, axis: int = -1, reverse: bool = False) -> Variable:
    """y[i] = a[i] * y[i - 1] + x[i] along `axis`, from y[-1] = 0; from the end with `reverse`.

    a broadcasts to x (a discount 0.9, say).  Raises DTypeError for integers.
    """
    coefficient, x = coerce(a, as_variable(x))
    if x.dtype.kind != "f":
        raise DTypeError("linear_recurrence needs floats", hint="cast x first")
    coefficient = broadcast_to(coefficient, x.shape)
    (along,) = normalize_axes(axis, x.ndim)
    return add(multiply(coefficient, carry(coefficient, x, along, reverse)), x)
