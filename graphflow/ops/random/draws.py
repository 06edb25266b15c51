"""Ops whose elements are computed from four random words each: bits, integers, uniform and normal numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.graph.op import In, Sample, ScalarOp, Value, broadcast_shapes, register
from graphflow.graph.types import DType, Shape, TensorType
from graphflow.graph.variable import Variable, as_variable, constant
from graphflow.ops.arrays import Arrays
from graphflow.ops.creation import known_shape
from graphflow.ops.elementwise import Grads
from graphflow.ops.promotion import is_weak
from graphflow.ops.random.elementary import cos_turns, log
from graphflow.ops.random.philox import U64, Words, wide, words
from graphflow.ops.random.state import key_and_step, next_stream
from graphflow.ops.shape import BroadcastTo

F32 = np.dtype("float32")
F64 = np.dtype("float64")
I32 = np.dtype("int32")
I64 = np.dtype("int64")


@dataclass(frozen=True, repr=False)
class RandomOp(ScalarOp):
    """Elements from the words of Philox; the inputs are the scalars key and step, then parameters."""

    stream: int
    shape: Shape
    dtype: DType
    cost = 130

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(self.dtype, self.shape)

    def element(self, b: Any, w: Words, *parameters: Value) -> Value:
        """One element from its four uint32 words."""
        raise NotImplementedError

    def scalar(self, b: Any, *xs: Value) -> Value:
        key, step, *parameters = xs
        return self.element(b, words(b, key, step, self.stream, b.flat()), *parameters)

    def reference(self, *arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            return self.scalar(Arrays(self.shape), *arrays)  # type: ignore[arg-type]  # ints by now

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None,) * len(inputs)


def fraction(b: Any, dtype: DType, first: Value, second: Value, offset: float = 0.0) -> Value:
    """As many random bits as `dtype` holds, plus `offset`, times what takes them to 0 .. 1.

    The integers go through a signed type, which every machine converts quickly.
    """
    if dtype.itemsize == 4:
        return (b.cast(dtype, b.cast(I32, first >> 8)) + offset) * 2.0**-24
    return (b.cast(dtype, b.cast(I64, wide(b, first, second) >> 11)) + offset) * 2.0**-53


def above_zero(b: Any, dtype: DType, first: Value, second: Value) -> Value:
    """A uniform number above 0, at most 1: its logarithm is finite.  It has 31 bits in float32."""
    if dtype.itemsize == 4:
        return (b.cast(dtype, b.cast(I32, first >> 1)) + 0.5) * 2.0**-31
    return fraction(b, dtype, first, second, 0.5)


def normal_deviate(b: Any, dtype: DType, w: Words) -> Value:
    """A normal number, by G. E. P. Box and M. E. Muller, "A note on the generation of random normal deviates" (1958)."""
    radius = b.call("sqrt", log(b, dtype, above_zero(b, dtype, w[0], w[1])) * -2.0)
    return radius * cos_turns(b, dtype, fraction(b, dtype, w[2], w[3]))


@register
class RandomBits(RandomOp):
    """All bits of a uint64."""

    name = "random_bits"

    def element(self, b: Any, w: Words, *parameters: Value) -> Value:
        return wide(b, w[0], w[1])

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: draw(RandomBits, x.shape, U64, 2**63 + 5, 3), (In(("m", "n")),), grad=False)


@register
class RandomBelow(RandomOp):
    """Integers 0 <= i < span of a uint64 span, of which 0 stands for 2**64: the top of span times 128 random bits.

    The probabilities of two integers differ by less than one part in 2**64.
    """

    name = "random_below"
    cost = 160

    def element(self, b: Any, w: Words, *parameters: Value) -> Value:
        (span,) = parameters
        mask, above = 0xFFFFFFFF, b.const(U64, 0)
        for word in w:  # a long multiplication, dropping 32 bits at a time; no sum reaches 2**64
            limb = b.cast(U64, word)
            low, high = limb * (span & mask), limb * (span >> 32)
            above = high + (above >> 32) + (low >> 32) + (((above & mask) + (low & mask)) >> 32)
        return b.select(b.call("eq", span, 0), wide(b, w[0], w[1]), above)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for span in (6, 2**63 + 12345, 0):
            yield Sample(lambda x, span=span: draw(RandomBelow, x.shape, U64, 5, 3, constant(span, U64)), (In(("m", "n")),), grad=False, name=str(span))


@register
class RandomUniform(RandomOp):
    """Multiples of 2**-24 (float32) or 2**-53 (float64) in 0 <= u < 1."""

    name = "random_uniform"

    def element(self, b: Any, w: Words, *parameters: Value) -> Value:
        return fraction(b, self.dtype, w[0], w[1])

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        return _float_samples(cls)


@register
class RandomPositive(RandomOp):
    """Uniform numbers above 0, at most 1, and as many of them below any small number as there should be."""

    name = "random_positive"

    def element(self, b: Any, w: Words, *parameters: Value) -> Value:
        return above_zero(b, self.dtype, w[0], w[1])

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        return _float_samples(cls)


@register
class RandomExponential(RandomOp):
    """-log u of a uniform number above 0."""

    name = "random_exponential"
    cost = 160

    def element(self, b: Any, w: Words, *parameters: Value) -> Value:
        return b.call("abs", log(b, self.dtype, above_zero(b, self.dtype, w[0], w[1])))

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        return _float_samples(cls)


@register
class RandomLaplace(RandomOp):
    """An exponential number with either sign."""

    name = "random_laplace"
    cost = 165

    def element(self, b: Any, w: Words, *parameters: Value) -> Value:
        size = b.call("abs", log(b, self.dtype, above_zero(b, self.dtype, w[0], w[1])))
        return b.select(b.call("eq", w[2] & 1, 0), size, -size)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        return _float_samples(cls)


@register
class RandomNormal(RandomOp):
    """Box's and Muller's deviates, which reach 6.6 in float32 and 8.6 in float64."""

    name = "random_normal"
    cost = 190

    def element(self, b: Any, w: Words, *parameters: Value) -> Value:
        return normal_deviate(b, self.dtype, w)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        return _float_samples(cls)


def _float_samples(cls: type[RandomOp]) -> Iterator[Sample]:
    for dtype in (F32, F64):
        yield Sample(lambda x, dtype=dtype: draw(cls, x.shape, dtype, 5, 3), (In(("m", "n")),), grad=False, name=dtype.name)


def draw(op: type[RandomOp], shape: Shape, dtype: DType, seed: int | None, step: Any, *parameters: Variable) -> Variable:
    """The op on a stream of its own."""
    result: Variable = op(next_stream(seed), shape, dtype)(*key_and_step(seed, step), *parameters)
    return result


def second(seed: int | None) -> int | None:
    """The seed of a second draw of one construction, which must not repeat the first."""
    return None if seed is None else (seed + 0x9E3779B97F4A7C15) % 2**64


def shape_of(shape: Any, *parameters: Any) -> Shape:
    """The shape asked for, to which the parameters must broadcast, or else theirs."""
    theirs = broadcast_shapes([as_variable(p).shape for p in parameters if not is_weak(p)])
    if shape is None:
        return theirs
    sizes = known_shape(shape)
    BroadcastTo(sizes).infer(TensorType(U64, theirs))  # raises ShapeError where they do not
    return sizes
