"""Sampling by rejection: candidates are drawn, and drawn again where they are not accepted.

Elements are treated in blocks of as many as there are lanes; rounds of a block end when all its elements have
been accepted.  The words of a round are a function of element and round, so neither blocks nor threads
show in the result.  Rounds are bounded: an element that none of them accepted, which happens with
probability below 2**-100, has its typical value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, minimum, product
from graphflow.graph.op import NestOp, Value
from graphflow.graph.types import Shape, TensorType
from graphflow.graph.variable import Variable
from graphflow.ops.arrays import Arrays
from graphflow.ops.elementwise import Grads
from graphflow.ops.promotion import coerce
from graphflow.ops.random.draws import F64, I64
from graphflow.ops.random.philox import Words, words
from graphflow.ops.random.state import key_and_step, next_stream
from graphflow.ops.shape import broadcast_to, ravel, reshape

LANES = 8  # elements of a block
SPAN = 8  # rounds between two tests whether any are left to do; there are SPAN * SPAN
ROUND_BIT = 40  # the round's place in the counter of elements


class Draws:
    """The words of one element in one round: four at a time."""

    def __init__(self, b: Any, key: Value, step: Value, stream: int, counter: Value) -> None:
        self._b, self._key, self._step, self._stream, self._counter = b, key, step, stream, counter

    def words(self, n: int) -> Words:
        """The n-th four words, n being 0 or 1."""
        return words(self._b, self._key, self._step, self._stream, self._counter + (n << (ROUND_BIT + 6)))


@dataclass(frozen=True, repr=False)
class Rejection(NestOp):
    """float64 elements in blocks, and memory of who is left; the inputs are key, step and vectors of parameters.

    Distinct draws for up to 2**40 elements.
    """

    stream: int
    size: Size
    cost = 600

    def attempt(self, b: Any, draws: Draws, *parameters: Value) -> tuple[Value, Value]:
        """Whether a candidate is accepted, and the candidate."""
        raise NotImplementedError

    def typical(self, b: Any, *parameters: Value) -> Value:
        """A value of high probability."""
        raise NotImplementedError

    @property
    def shape(self) -> Shape:
        return (self.size + (LANES - 1)) // LANES, LANES

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        return TensorType(F64, self.shape), TensorType(I64, self.shape)

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        key, step, *parameters = ins
        out, left = outs
        with k.loop("b", self.shape[0]) as b:
            with k.loop("l", LANES) as lane:
                at = minimum(b * LANES + lane, self.size - 1)
                out.store((b, lane), self.typical(k, *(p.load(at) for p in parameters)))
                left.store((b, lane), k.const(I64, 1))
            count = k.register(I64, k.const(I64, LANES))
            with k.loop("s", SPAN, sequential=True) as span, k.mask(count.get() > 0), k.loop("r", SPAN, sequential=True) as r, k.mask(count.get() > 0):
                with k.loop("l", LANES) as lane:
                    counter = k.value(b * LANES + lane) + (k.value(span * SPAN + r) << ROUND_BIT)
                    at = minimum(b * LANES + lane, self.size - 1)
                    draws = Draws(k, key.load(), step.load(), self.stream, counter)
                    accepted, value = self.attempt(k, draws, *(k.let(p.load(at)) for p in parameters))
                    again = k.let(left.load(b, lane))
                    out.store((b, lane), k.select(again.ne(0), value, out.load(b, lane)))
                    left.store((b, lane), k.select(accepted, k.const(I64, 0), again))
                count.set(k.const(I64, 0))
                with k.loop("l", LANES, sequential=True) as lane:
                    count.set(count.get() + left.load(b, lane))

    def reference(self, *arrays: Any) -> Any:
        key, step, *parameters = arrays
        blocks: Any = self.shape  # ints by now
        size: Any = self.size
        b, counter = Arrays(), np.arange(blocks[0] * LANES)
        at = np.minimum(counter, max(size - 1, 0))
        parameters = [p[at] for p in parameters]
        with np.errstate(all="ignore"):
            out, left = self.typical(b, *parameters), np.ones(counter.shape, I64)
            for r in range(SPAN * SPAN):
                if not left.any():
                    break
                accepted, value = self.attempt(b, Draws(b, key, step, self.stream, counter + (r << ROUND_BIT)), *parameters)
                out = np.where(left != 0, value, out)
                left = np.where(accepted, 0, left)
        return out.reshape(blocks), left.reshape(blocks)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None,) * len(inputs)


def rejected(op: type[Rejection], shape: Shape, seed: int | None, step: Any, *parameters: Any, **fields: Any) -> Variable:
    """A float64 tensor of samples; the parameters broadcast to `shape`, `fields` are those of the op."""
    size = product(shape)
    flat = [ravel(broadcast_to(p, shape)) for p in coerce(*parameters, to=F64)]
    blocks = op(next_stream(seed), size, **fields)(*key_and_step(seed, step), *flat)[0]
    return reshape(ravel(blocks)[:size], shape)
