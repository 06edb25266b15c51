"""The random state: key and step, streams, and the states that loops derive from it."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.configuration import config
from graphflow.graph.errors import DTypeError, ShapeError
from graphflow.graph.op import In, Sample, ScalarOp, Value, register
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Shared, Variable, as_variable, constant, shared
from graphflow.ops.arrays import Arrays
from graphflow.ops.elementwise import cast
from graphflow.ops.random.philox import U64, folded

DEFAULT_SEED = 0


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


def next_stream(seed: int | None) -> int:
    """The number of one more construction; a construction with a seed of its own has stream 0."""
    return next(_Process.streams) if seed is None else 0


def key_and_step(seed: int | None, step: Any) -> tuple[Variable, Variable]:
    """Two uint64 scalars, from the state where they are not pinned."""
    key = rng_state()[0] if seed is None else constant(seed % 2**64, U64)
    at = rng_state()[1] if step is None else cast(as_variable(step), U64)
    if at.ndim:
        raise ShapeError(f"random: the step is one integer, and {at!r} has rank {at.ndim}")
    return key, at


@register
class FoldIn(ScalarOp):
    """The state that an index derives from a state; the inputs are the uint64 scalars key, step and index."""

    name = "fold_in"
    cost = 130

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(U64, (2,))

    def scalar(self, b: Any, *xs: Value) -> Value:
        key, step = folded(b, *xs)
        return b.select(b.index(0).eq(0), key, step)

    def reference(self, *arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.stack(folded(Arrays(), *arrays))

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Sequence[Variable | None]) -> Sequence[Variable | None]:
        return None, None, None

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda i: fold_in(constant(np.array([2**63 + 5, 3], U64)), i), (In((), "int64", -3, 2),), grad=False)


def fold_in(state: Any, index: Any) -> Variable:
    """The random state of one iteration of a loop, from that of its surroundings.

    `state` is `rng_state()` or what `fold_in` made of it, `index` an integer scalar, such as an int64
    loop counter.  For a loop inside a loop fold in both, the outer one first:
    `fold_in(fold_in(rng_state(), i), j)`.  The body of a loop is the body as written, with `rng_state()`
    replaced by the result: all random tensors in it then draw other numbers in every iteration and run.

    Under one key no two pairs of step and index give the same state (they go through a permutation of 128
    bits); states of nested loops, and those of a loop and of runs outside, coincide with the
    probability of equal random numbers of 128 bits (64 for constructions with a seed of their own).
    Raises ShapeError for an index that is not a scalar, DTypeError for one that is not an integer.
    """
    state, at = as_variable(state), as_variable(index)
    if at.ndim:
        raise ShapeError(f"fold_in: the index is one integer, and {at!r} has rank {at.ndim}")
    if at.dtype.kind not in "iu":
        raise DTypeError(f"fold_in: the index is an integer, and {at!r} is {at.dtype.name}")
    result: Variable = FoldIn()(state[0], state[1], cast(at, U64))
    return result
