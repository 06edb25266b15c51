"""Philox4x32-10: 128 random bits as a pure function of a key and a counter.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3"
(SC 2011).  Written once, against the scalar builder: on Kernel IR expressions it becomes part of a
kernel, and `Arrays` stands in for the builder on NumPy arrays, with the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.graph.op import Value
from graphflow.graph.types import DType

U32 = np.dtype("uint32")
U64 = np.dtype("uint64")
Words = tuple[Value, Value, Value, Value]

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # the golden ratio and sqrt(3) - 1
_ROUNDS = 10


def low(b: Any, x: Value) -> Value:
    """The low 32 bits of a 64-bit integer."""
    return b.cast(U32, x)


def high(b: Any, x: Value) -> Value:
    """The high 32 bits of a uint64."""
    return b.cast(U32, x >> 32)


def philox(b: Any, counter: Words, key: tuple[Value, Value]) -> Words:
    """Four uint32 words from four words of counter and two of key."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        first = b.cast(U64, c0) * _MULTIPLIERS[0]
        second = b.cast(U64, c2) * _MULTIPLIERS[1]
        c0, c1, c2, c3 = high(b, second) ^ c1 ^ k0, low(b, second), high(b, first) ^ c3 ^ k1, low(b, first)
        k0, k1 = k0 + _KEY_STEPS[0], k1 + _KEY_STEPS[1]
    return c0, c1, c2, c3


def words(b: Any, key: Value, step: Value, stream: int, element: Value) -> Words:
    """The bits of one element of one construction at one step; distinct for element, step < 2**48 and stream < 2**32.

    `key` and `step` are uint64, `element` is an int64 counter.
    """
    at = b.cast(U64, element)
    counter = (low(b, at), high(b, at) | (high(b, step) << 16), low(b, step), b.const(U32, stream))
    return philox(b, counter, (low(b, key), high(b, key)))


class Arrays:
    """The part of the scalar builder that random numbers need, computing with NumPy arrays at once."""

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.shape = shape

    def const(self, dtype: DType, value: Any) -> Any:
        return np.full((), value, dtype)

    def cast(self, dtype: DType, x: Any) -> Any:
        return np.asarray(x).astype(dtype)

    def call(self, name: str, x: Any) -> Any:
        return getattr(np, name)(x)

    def flat(self) -> Any:
        return np.arange(int(np.prod(self.shape, dtype=np.int64))).reshape(self.shape)
