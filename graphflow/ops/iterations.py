"""Sums and continued fractions, iterated element by element until they no longer change.

Elements are treated in blocks of as many as there are lanes; a block is done when all its elements are.  All is
float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from graphflow.graph.dim import Size, minimum, product
from graphflow.graph.errors import GraphError
from graphflow.graph.op import In, NestOp, Sample, Value, register
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable
from graphflow.ops.arrays import Arrays
from graphflow.ops.elementwise import Grads
from graphflow.ops.shape import ravel, reshape

F64, I64 = np.dtype("float64"), np.dtype("int64")
LANES = 8
SPAN = 64  # iterations between two tests whether a block is done; there are at most SPAN * SPAN
EPSILON = 2.0**-53
TINY = 1e-300  # stands for a 0 that is divided by


@dataclass(frozen=True, repr=False)
class Iterated(NestOp):
    """The states of elements, in blocks, and who is left; the inputs are vectors of parameters."""

    cost = 200
    states: ClassVar[int]
    size: Size

    def start(self, *parameters: Value) -> tuple[Value, ...]:
        """The states before the first iteration."""
        raise NotImplementedError

    def advance(self, k: Any, n: Value, state: Sequence[Value], parameters: Sequence[Value]) -> tuple[tuple[Value, ...], Value]:
        """The states after iteration n = 1, 2 ... and how large its change was, relatively."""
        raise NotImplementedError

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        shape = ((self.size + (LANES - 1)) // LANES, LANES)
        return *[TensorType(F64, shape)] * self.states, TensorType(I64, shape)

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        *states, left = outs

        def parameters(b: Size, lane: Size) -> list[Value]:
            at = minimum(b * LANES + lane, self.size - 1)
            return [k.let(x.load(at)) for x in ins]

        with k.loop("b", left.shape[0]) as b:
            with k.loop("l", LANES) as lane:
                for s, value in zip(states, self.start(*parameters(b, lane)), strict=True):
                    s.store((b, lane), value)
                left.store((b, lane), k.const(I64, 1))
            count = k.register(I64, k.const(I64, LANES))
            with k.loop("s", SPAN, sequential=True) as span, k.mask(count.get() > 0), k.loop("r", SPAN, sequential=True) as r, k.mask(count.get() > 0):
                n = k.let(k.cast(F64, k.value(span * SPAN + r + 1)))
                with k.loop("l", LANES) as lane:
                    old = [k.let(s.load(b, lane)) for s in states]
                    new, change = self.advance(k, n, old, parameters(b, lane))
                    again = k.let(left.load(b, lane))
                    for s, before, value in zip(states, old, new, strict=True):
                        s.store((b, lane), k.select(again.ne(0), value, before))
                    left.store((b, lane), k.select(k.call("lt", k.const(F64, EPSILON), k.call("abs", change)), again, k.const(I64, 0)))
                count.set(k.const(I64, 0))
                with k.loop("l", LANES, sequential=True) as lane:
                    count.set(count.get() + left.load(b, lane))

    def reference(self, *arrays: Any) -> Any:
        size: Any = self.size  # an int by now
        blocks = -(-size // LANES)
        at = np.minimum(np.arange(blocks * LANES), max(size - 1, 0))
        parameters = [x[at] for x in arrays]
        with np.errstate(all="ignore"):
            states: list[Any] = [np.broadcast_to(s, at.shape) for s in self.start(*parameters)]
            left = np.ones(at.shape, I64)
            for n in range(1, SPAN * SPAN + 1):
                if not left.any():
                    break
                new, change = self.advance(Arrays(), np.float64(n), states, parameters)
                states = [np.where(left != 0, value, old) for value, old in zip(new, states, strict=True)]
                left = np.where(np.abs(change) > EPSILON, left, 0)
        return *(s.reshape(blocks, LANES) for s in states), left.reshape(blocks, LANES)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        raise GraphError(f"{self.name} has no gradient", hint="wrap the parameter in gf.stop_gradient if none is wanted")


def iterated(op: type[Iterated], *parameters: Variable) -> list[Variable]:
    """The last states for float64 parameters of one shape."""
    shape = parameters[0].shape
    size = product(shape)
    found = op(size)(*map(ravel, parameters))[: op.states]
    return [reshape(ravel(s)[:size], shape) for s in found]


def _divisor(k: Any, x: Value) -> Value:
    """x, or TINY for 0 (W. J. Lentz 1976; I. J. Thompson and A. R. Barnett 1986)."""
    return k.select(k.call("eq", x, 0.0), k.const(F64, TINY), x)


# --- the incomplete gamma function -----------------------------------------------------------------
@register
class GammaSeries(Iterated):
    """sum of x**n / ((a + 1) ... (a + n)), for x not far above a; its derivative in a; then a term, and 1/(a + 1) + ... (NIST DLMF 8.11.4)."""

    name = "gamma_series"
    states = 4

    def start(self, *parameters: Value) -> tuple[Value, ...]:
        zero = parameters[0] * 0.0
        return zero + 1.0, zero, zero + 1.0, zero

    def advance(self, k: Any, n: Value, state: Sequence[Value], parameters: Sequence[Value]) -> tuple[tuple[Value, ...], Value]:
        total, slope, term, harmonic = state
        a, x = parameters
        inverse = 1.0 / (a + n)
        term, harmonic = term * x * inverse, harmonic + inverse
        total = total + term
        return (total, slope - term * harmonic, term, harmonic), term * (harmonic + 1.0) / total

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda a, x: iterated(cls, a, x)[1], (In(("m",), "float64", 0.5, 20), In(("m",), "float64", 0.0, 20)), grad=False)


@register
class GammaFraction(Iterated):
    """The continued fraction of gamma(a, x) e**x / x**a, for x above a, by Lentz's method; its derivative in a (NIST DLMF 8.9.2).

    The further states are the method's quotients with their derivatives.
    """

    name = "gamma_fraction"
    states = 6

    def start(self, *parameters: Value) -> tuple[Value, ...]:
        a, x = parameters
        d = 1.0 / (x + 1.0 - a)
        return d, d * d, d, d * d, d * 0.0 + 1.0 / TINY, d * 0.0

    def advance(self, k: Any, n: Value, state: Sequence[Value], parameters: Sequence[Value]) -> tuple[tuple[Value, ...], Value]:
        h, dh, d, dd, c, dc = state
        a, x = parameters
        up, down = n * (a - n), x + 1.0 - a + n * 2.0  # their derivatives in a are n and -1
        below, d_below = _divisor(k, up * d + down), n * d + up * dd - 1.0
        c, dc = _divisor(k, down + up / c), -1.0 + (n - up * dc / c) / c
        d, dd = 1.0 / below, -d_below / (below * below)
        factor, d_factor = c * d, dc * d + c * dd
        return (h * factor, dh * factor + h * d_factor, d, dd, c, dc), (factor - 1.0) + d_factor

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda a, x: iterated(cls, a, x)[1], (In(("m",), "float64", 0.5, 4), In(("m",), "float64", 6.0, 20)), grad=False)


# --- the incomplete beta function ------------------------------------------------------------------
@register
class BetaFraction(Iterated):
    """The continued fraction of the incomplete beta function of a, b, x, for x < (a + 1) / (a + b + 2), by Lentz's method (NIST DLMF 8.17.22)."""

    name = "beta_fraction"
    states = 3

    def start(self, *parameters: Value) -> tuple[Value, ...]:
        a, b, x = parameters
        d = 1.0 / (1.0 - (a + b) * x / (a + 1.0))
        return d, d, d * 0.0 + 1.0

    def advance(self, k: Any, n: Value, state: Sequence[Value], parameters: Sequence[Value]) -> tuple[tuple[Value, ...], Value]:
        h, d, c = state
        a, b, x = parameters
        even = n * (b - n) * x / ((a + n * 2.0 - 1.0) * (a + n * 2.0))
        d, c = 1.0 / _divisor(k, 1.0 + even * d), _divisor(k, 1.0 + even / c)
        h = h * d * c
        odd = -(a + n) * (a + b + n) * x / ((a + n * 2.0) * (a + n * 2.0 + 1.0))
        d, c = 1.0 / _divisor(k, 1.0 + odd * d), _divisor(k, 1.0 + odd / c)
        return (h * d * c, d, c), d * c - 1.0

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        ins = (In(("m",), "float64", 0.5, 9), In(("m",), "float64", 0.5, 9), In(("m",), "float64", 0.0, 0.1))
        yield Sample(lambda a, b, x: iterated(cls, a, b, x)[0], ins, grad=False)
