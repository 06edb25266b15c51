"""Philox4x32-10: 128 random bits as a pure function of a key and a counter.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3"
(SC 2011).  Written once, against the scalar builder: on Kernel IR expressions it becomes part of a
kernel, and `ops.arrays` stands in for the builder on NumPy arrays, with the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.graph.op import Value

U32 = np.dtype("uint32")
U64 = np.dtype("uint64")
Words = tuple[Value, Value, Value, Value]

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # the golden ratio and sqrt(3) - 1
_ROUNDS = 10
_FOLDED = 0x85EBCA6B  # sets the key of derived states apart from that of draws


def low(b: Any, x: Value) -> Value:
    """The low 32 bits of a 64-bit integer."""
    return b.cast(U32, x)


def high(b: Any, x: Value) -> Value:
    """The high 32 bits of a uint64."""
    return b.cast(U32, x >> 32)


def wide(b: Any, first: Value, second: Value) -> Value:
    """The uint64 of two words, the low one first."""
    return b.cast(U64, first) | (b.cast(U64, second) << 32)


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


def words(b: Any, key: Value, step: Value, stream: Any, element: Value) -> Words:
    """The bits of one element of one construction at one step.

    Distinct for key and element < 2**48 and stream < 2**32, and every step: its highest 16 bits, which
    only derived states have, go into the key.  `key` and `step` are uint64, `element` is an int64
    counter, `stream` an int or a uint32.
    """
    at, above = b.cast(U64, element), high(b, step)
    stream = b.const(U32, stream) if isinstance(stream, int) else stream
    counter = (low(b, at), high(b, at) | (above << 16), low(b, step), stream)
    return philox(b, counter, (low(b, key), high(b, key) ^ (above & 0xFFFF0000)))


def folded(b: Any, key: Value, step: Value, index: Value) -> tuple[Value, Value]:
    """The key and the step of the state that `index` derives from a state, all uint64.

    Philox permutes its counters, here step and index: under one key no two pairs of them give the same state.
    """
    counter = (low(b, index), high(b, index), low(b, step), high(b, step))
    w = philox(b, counter, (low(b, key) ^ _FOLDED, high(b, key)))
    return wide(b, w[0], w[1]), wide(b, w[2], w[3])
