"""Random tensors: a pure function of key, step, stream and element.

The key (the seed) and the step are state, one process-wide shared variable that the runtime
advances by a step for every run of a function that reads it.  The stream is the number of the
construction since the last `seed`.  So a program has the same random bits on every machine and
with any number of threads, and every call of a function has new ones.

`shape` None takes the shape the parameters broadcast to.  `seed` pins the key of one construction
(two with the same seed are equal), `step` gives it a step of its own: an int, or an integer scalar
such as the index of a loop.
"""

from __future__ import annotations

import itertools
import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.configuration import config
from graphflow.graph.errors import DTypeError, GraphError, ShapeError
from graphflow.graph.op import In, Sample, ScalarOp, Value, broadcast_shapes, register
from graphflow.graph.types import DType, Shape, TensorType, as_dtype
from graphflow.graph.variable import Shared, Variable, as_variable, constant, shared
from graphflow.ops.creation import known_shape
from graphflow.ops.elementwise import Grads, add, cast, clip, multiply, subtract
from graphflow.ops.logic import less
from graphflow.ops.philox import U64, Arrays, Words, words
from graphflow.ops.promotion import coerce, is_weak, quotient
from graphflow.ops.rounding import mod
from graphflow.ops.shape import BroadcastTo
from graphflow.ops.special import erfinv

I32 = np.dtype("int32")
I64 = np.dtype("int64")
DEFAULT_SEED = 0


# --- state ---------------------------------------------------------------------------------------
class _Process:
    """The random state of the process, made when first asked for, and the next stream number."""

    state: Shared | None = None
    streams: Iterator[int] = itertools.count()


def rng_state() -> Shared:
    """The shared variable uint64[2] of key and step that random tensors read."""
    if _Process.state is None:
        _Process.state = _make_state(DEFAULT_SEED if config.seed is None else config.seed % 2**64)
    return _Process.state


def is_rng_state(v: Variable) -> bool:
    return v is _Process.state


def seed(n: int | None = None) -> None:
    """Start again from the key `n` (None: one from the operating system), at step 0 and stream 0.

    The default key is the setting `seed`, or 0.  Functions compiled before use the new key from their next call on.
    """
    key = secrets.randbits(64) if n is None else n % 2**64
    _Process.streams = itertools.count()
    if _Process.state is None:
        _Process.state = _make_state(key)
    else:
        _Process.state.set_value(np.array([key, 0], U64))


def _make_state(key: int) -> Shared:
    return shared(np.array([key, 0], U64), name="random_state", trainable=False)


# --- ops -----------------------------------------------------------------------------------------
@dataclass(frozen=True, repr=False)
class RandomOp(ScalarOp):
    """Elements from the words of Philox; the inputs are the scalars key and step."""

    stream: int
    shape: Shape
    dtype: DType
    cost = 130

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(self.dtype, self.shape)

    def element(self, b: Any, w: Words) -> Value:
        """One element from its four uint32 words."""
        raise NotImplementedError

    def scalar(self, b: Any, *xs: Value) -> Value:
        key, step = xs
        return self.element(b, words(b, key, step, self.stream, b.flat()))

    def reference(self, *arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            return self.scalar(Arrays(self.shape), *arrays)  # type: ignore[arg-type]  # ints by now

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return None, None


def _wide(b: Any, first: Value, second: Value) -> Value:
    """The uint64 of two words."""
    return b.cast(U64, first) | (b.cast(U64, second) << 32)


def _fraction(b: Any, dtype: DType, first: Value, second: Value, offset: float = 0.0) -> Value:
    """As many random bits as `dtype` holds, plus `offset`, times what takes them to 0 .. 1.

    The integers go through a signed type, which every machine converts quickly.
    """
    if dtype.itemsize == 4:
        return (b.cast(dtype, b.cast(I32, first >> 8)) + offset) * 2.0**-24
    return (b.cast(dtype, b.cast(I64, _wide(b, first, second) >> 11)) + offset) * 2.0**-53


@register
class RandomBits(RandomOp):
    """All bits of a uint64."""

    name = "random_bits"

    def element(self, b: Any, w: Words) -> Value:
        return _wide(b, w[0], w[1])

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: bits(x.shape, seed=2**63 + 5, step=3), (In(("m", "n")),), grad=False)
        yield Sample(lambda x: randint(x.shape, -5, 17, seed=5, step=3), (In(("m", "n")),), grad=False, name="randint")


@register
class RandomUniform(RandomOp):
    """Multiples of 2**-24 (float32) or 2**-53 (float64) in 0 <= u < 1."""

    name = "random_uniform"

    def element(self, b: Any, w: Words) -> Value:
        return _fraction(b, self.dtype, w[0], w[1])

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for dtype in ("float32", "float64"):
            yield Sample(lambda x, dtype=dtype: uniform(x.shape, dtype=dtype, seed=5, step=3), (In(("m", "n")),), grad=False, name=dtype)
        yield Sample(lambda p: bernoulli(None, p, seed=5, step=3), (In(("m", "n"), "float32", 0.0, 1.0),), grad=False, name="bernoulli")


@register
class RandomNormal(RandomOp):
    """G. E. P. Box and M. E. Muller, "A note on the generation of random normal deviates" (1958).

    The radius takes a uniform number above 0, of 31 bits in float32, so that deviates reach 6.6 in
    float32 and 8.6 in float64.
    """

    name = "random_normal"
    cost = 180

    def element(self, b: Any, w: Words) -> Value:
        if self.dtype.itemsize == 4:
            above_zero = (b.cast(self.dtype, b.cast(I32, w[0] >> 1)) + 0.5) * 2.0**-31
        else:
            above_zero = _fraction(b, self.dtype, w[0], w[1], 0.5)
        angle = _fraction(b, self.dtype, w[2], w[3]) * (2 * math.pi)
        return b.call("sqrt", b.call("log", above_zero) * -2.0) * b.call("cos", angle)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for dtype in ("float32", "float64"):
            yield Sample(lambda x, dtype=dtype: normal(x.shape, dtype=dtype, seed=5, step=3), (In(("m", "n")),), grad=False, rtol=2e-5, name=dtype)


def _draw(op: type[RandomOp], shape: Shape, dtype: DType, seed: int | None, step: Any) -> Variable:
    """The op on a stream of its own; getting key and step from the state where they are not pinned."""
    key = rng_state()[0] if seed is None else constant(seed % 2**64, U64)
    at = rng_state()[1] if step is None else cast(as_variable(step), U64)
    if at.ndim:
        raise ShapeError(f"random: the step is one integer, and {at!r} has rank {at.ndim}")
    result: Variable = op(next(_Process.streams) if seed is None else 0, shape, dtype)(key, at)
    return result


def _shape_of(shape: Any, *parameters: Any) -> Shape:
    """The shape asked for, to which the parameters must broadcast, or else theirs."""
    theirs = broadcast_shapes([as_variable(p).shape for p in parameters if not is_weak(p)])
    if shape is None:
        return theirs
    sizes = known_shape(shape)
    BroadcastTo(sizes).infer(TensorType(U64, theirs))  # raises ShapeError where they do not
    return sizes


def _float(dtype: Any) -> DType:
    found = as_dtype(dtype)
    if found.kind != "f":
        raise DTypeError(f"random: {found.name} is not a float dtype", hint="use gf.random.randint for integers")
    return found


def _scaled(x: Variable, offset: Any, scale: Any) -> Variable:
    """offset + scale * x, leaving out what does nothing."""
    x = x if is_weak(scale) and scale == 1 else multiply(x, *coerce(scale, to=x.dtype))
    return x if is_weak(offset) and offset == 0 else add(x, *coerce(offset, to=x.dtype))


# --- distributions -------------------------------------------------------------------------------
def bits(shape: Any = (), seed: int | None = None, step: Any = None) -> Variable:
    """Random bits, as uint64."""
    return _draw(RandomBits, known_shape(shape), U64, seed, step)


def uniform(shape: Any = None, low: Any = 0.0, high: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Uniform numbers, low <= x < high; where high - low is inexact the rounding may reach high.

    low and high are numbers or Variables, and gradients flow to them.
    """
    target = _float(dtype)
    u = _draw(RandomUniform, _shape_of(shape, low, high), target, seed, step)
    if is_weak(low) and is_weak(high):
        return _scaled(u, low, high - low)
    low, high = coerce(low, high, to=target)
    return _scaled(u, low, subtract(high, low))


def normal(shape: Any = None, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Normal numbers; mean and stddev are numbers or Variables, and gradients flow to them."""
    z = _draw(RandomNormal, _shape_of(shape, mean, stddev), _float(dtype), seed, step)
    return _scaled(z, mean, stddev)


def truncated_normal(shape: Any = None, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = "float32", seed: int | None = None, step: Any = None) -> Variable:
    """Normal numbers within two standard deviations of the mean, by the inverse of the distribution function."""
    u = _draw(RandomUniform, _shape_of(shape, mean, stddev), _float(dtype), seed, step)
    inside = multiply(subtract(multiply(2, u), 1), math.erf(math.sqrt(2)))
    return _scaled(clip(multiply(math.sqrt(2), erfinv(inside)), -2, 2), mean, stddev)


def bernoulli(shape: Any = None, p: Any = 0.5, dtype: Any = "bool", seed: int | None = None, step: Any = None) -> Variable:
    """True (or 1 of another dtype) with probability p, a number or a Variable."""
    work = np.dtype("float32") if is_weak(p) else quotient(p)
    u = _draw(RandomUniform, _shape_of(shape, p), work, seed, step)
    return cast(less(u, *coerce(p, to=work)), dtype)


def randint(shape: Any = None, low: Any = 0, high: Any = 2, dtype: Any = "int64", seed: int | None = None, step: Any = None) -> Variable:
    """Integers low <= i < high of equal probability (to one part in 2**64 / (high - low)).

    low and high are ints or integer Variables.  Raises GraphError for an empty range of ints, and
    where they do not fit the dtype; an empty range known only at run time gives low.
    """
    target = as_dtype(dtype)
    if target.kind not in "iu":
        raise DTypeError(f"randint: {target.name} is not an integer dtype", hint="use gf.random.uniform, or bernoulli for bool")
    if isinstance(low, int) and isinstance(high, int):
        info = np.iinfo(target)
        if low >= high or low < info.min or high - 1 > info.max:
            raise GraphError(f"randint: no integers {low} <= i < {high} in {target.name}", hint="low must be below high, and both in the dtype")
    first, last = coerce(low, high, to=I64)
    number = mod(_draw(RandomBits, _shape_of(shape, low, high), U64, seed, step), cast(subtract(last, first), U64))
    return cast(add(cast(number, I64), first), target)
