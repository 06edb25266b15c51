"""Running extremes and the running logsumexp along an axis."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import DTypeError
from graphflow.graph.op import In, NestOp, Sample, register
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.along_axis import TakeAlong
from graphflow.ops.cumulative import linear_recurrence, walk
from graphflow.ops.elementwise import cast, minimum, multiply, subtract, where
from graphflow.ops.joining import pad
from graphflow.ops.logic import equal
from graphflow.ops.ordering import INT64
from graphflow.ops.promotion import inexact
from graphflow.ops.public import public
from graphflow.ops.reduction import Grads, normalize_axes
from graphflow.ops.shape import ravel
from graphflow.ops.slicing import flip
from graphflow.ops.transcendental import exp


@register
class RunningPlace(NestOp):
    """The place of the largest (or smallest) element so far along `axis`: the first of equal ones; NaN is one and stays."""

    name = "running_place"
    axis: int
    largest: bool
    reverse: bool

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(INT64, inputs[0].known_shape)

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (x,), (out,), a = ins, outs, self.axis
        n = x.shape[a]
        with contextlib.ExitStack() as rows:
            ix = [rows.enter_context(k.loop(f"i{b}", size)) for b, size in enumerate(x.shape) if b != a]
            best, where_ = k.register(x.dtype, k.const(x.dtype, 0)), k.register(INT64, k.const(INT64, -1))
            with k.loop("step", n, sequential=True) as step:
                at = n - 1 - step if self.reverse else step
                element, old, place = k.let(x.load(*ix[:a], at, *ix[a:])), best.get(), where_.get()
                better = old < element if self.largest else element < old
                if x.dtype.kind == "f":
                    better = (better | element.ne(element)) & old.eq(old)
                better = k.let(better | (place < 0))
                best.set(k.select(better, element, old))
                where_.set(k.select(better, k.value(at), place))
                out.store((*ix[:a], at, *ix[a:]), where_.get())

    def reference(self, *arrays: Any) -> Any:
        x = np.moveaxis(arrays[0], self.axis, 0)
        x = x[::-1] if self.reverse else x
        with np.errstate(all="ignore"):
            best = (np.maximum if self.largest else np.minimum).accumulate(x, axis=0)
        attained = (x == best) | ((x != x) & (best != best))
        starts = attained.copy()
        starts[1:] &= ~((best[1:] == best[:-1]) | ((best[1:] != best[1:]) & (best[:-1] != best[:-1])))
        index = np.arange(len(x)).reshape(-1, *(1,) * (x.ndim - 1))
        place = np.maximum.accumulate(np.where(starts, index, 0), axis=0)
        return np.moveaxis((len(x) - 1 - place)[::-1] if self.reverse else place, 0, self.axis)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None,)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for axis in (None, 0, 1):
            yield Sample(lambda x, axis=axis: cummax(x, axis), (In(("m", "n"), "any", -4, 4),), name=f"max axis={axis}")
        yield Sample(lambda x: cummin(x, 1), (In(("m", "n"), "any", -4, 4),), name="min")
        yield Sample(lambda x: cummin(x, 1, reverse=True), (In(("a", "b", "c")),), name="min reverse")


@register
class LogCumSumExp(NestOp):
    """log(exp(x[0]) + ... + exp(x[i])) along `axis`, without overflow."""

    name = "logcumsumexp"
    axis: int
    reverse: bool

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        # with s = exp(total): exp(total) + exp(x) = exp(m) (1 + exp(-|x - total|)) for the larger m of the two
        (x,), (out,) = ins, outs
        with walk(k, x.shape, self.axis, self.reverse, k.const(x.dtype, -np.inf)) as (place, state):
            total, element = k.let(state.get()), k.let(x.load(*place))
            larger = k.let(k.call("max", total, element))
            distance = k.call("abs", element - total)
            after = k.let(k.select(total.eq(element), larger + np.log(2.0), larger + k.call("log1p", k.call("exp", -distance))))
            after = k.let(k.select(k.call("abs", larger).eq(np.inf), larger, after))
            out.store(place, after)
            state.set(after)

    def reference(self, *arrays: Any) -> Any:
        x = np.moveaxis(arrays[0], self.axis, 0)
        y = np.logaddexp.accumulate(x[::-1] if self.reverse else x, axis=0)
        return np.moveaxis(y[::-1] if self.reverse else y, 0, self.axis)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        # dx[j] = sum over i >= j of g[i] exp(x[j] - y[i]) = exp(x[j] - y[j]) r[j] with
        # r[j] = g[j] + exp(y[j] - y[j + 1]) r[j + 1]; y does not decrease, so no exp is above 1
        (x,), (y,), (g,) = inputs, outputs, grads
        if g is None:
            return (None,)
        steps = exp(minimum(_difference(y, self.following(y)), 0))
        carried = linear_recurrence(steps, g, self.axis, reverse=not self.reverse)
        return (multiply(exp(_difference(x, y)), carried),)

    def following(self, y: Variable) -> Variable:
        """y one place on; anything at the end."""
        widths = [(0, 0)] * y.ndim
        widths[self.axis] = (1, 0) if self.reverse else (0, 1)
        n = y.shape[self.axis]
        start = 0 if self.reverse else 1
        key = tuple(slice(start, start + n) if a == self.axis else slice(None) for a in range(y.ndim))
        return pad(y, widths)[key]

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for axis in (None, 0, 1):
            yield Sample(lambda x, axis=axis: logcumsumexp(x, axis), (In(("m", "n")),), name=f"axis={axis}", rtol=4e-6)
        yield Sample(lambda x: logcumsumexp(x, 1, reverse=True), (In(("a", "b", "c")),), name="reverse", rtol=4e-6)
        yield Sample(lambda x: logcumsumexp(x, 1, exclusive=True)[:, 1:], (In(("m", "n")),), empty=False, name="exclusive", rtol=4e-6)


def _difference(a: Variable, b: Variable) -> Variable:
    """a - b, 0 for equal infinities."""
    return where(equal(a, b), 0, subtract(a, b))


# --- functions ---------------------------------------------------------------------------------------
def _along(x: Any, axis: int | None) -> tuple[Variable, int]:
    x = as_variable(x)
    return (ravel(x), 0) if axis is None else (x, normalize_axes(axis, x.ndim)[0])


def _running_extreme(x: Any, axis: int | None, largest: bool, reverse: bool) -> Variable:
    operand, along = _along(x, axis)
    places = RunningPlace(along, largest, reverse)(operand)
    result: Variable = TakeAlong(along, False, "place")(operand, places)
    return result


@public
def cummax(x: Any, axis: int | None = None, reverse: bool = False) -> Variable:
    """The largest element so far along `axis` (of the flattened x by default), NaN from the first one on.

    `reverse` goes from the end.  The gradient goes to the first of equal elements.
    """
    return _running_extreme(x, axis, True, reverse)


@public
def cummin(x: Any, axis: int | None = None, reverse: bool = False) -> Variable:
    """The smallest element so far along `axis` (of the flattened x by default); as `cummax`."""
    return _running_extreme(x, axis, False, reverse)


@public
def logcumsumexp(x: Any, axis: int | None = None, reverse: bool = False, exclusive: bool = False) -> Variable:
    """log of the running sum of exp(x) along `axis` (of the flattened x by default), without overflow.

    `reverse` goes from the end, `exclusive` leaves the element itself out: -inf at the start.  Raises
    DTypeError for bool.
    """
    operand, along = _along(x, axis)
    if operand.dtype.kind == "b":
        raise DTypeError("logcumsumexp has no meaning on bool", hint="cast it to a float dtype")
    operand = cast(operand, inexact(operand))
    if exclusive:
        operand = _shifted(flip(operand, along) if reverse else operand, along)
        operand = flip(operand, along) if reverse else operand
    result: Variable = LogCumSumExp(along, reverse)(operand)
    return result


def _shifted(x: Variable, axis: int) -> Variable:
    """x one place further along `axis`, -inf at the start."""
    widths = [(1, 0) if a == axis else (0, 0) for a in range(x.ndim)]
    key = tuple(slice(0, x.shape[axis]) if a == axis else slice(None) for a in range(x.ndim))
    return pad(x, widths, constant_values=-np.inf)[key]
