"""The orders in which epochs go through rows: shuffled by NumPy's generators, some epochs ahead."""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from graphflow.graph.op import Array
from graphflow.runtime import loop_code

_MAX_NATIVE = 1 << 32  # rows; above, NumPy draws words of 64 bits


class Orders:
    """Orders of rows, one for each epoch: `rng.shuffle` shuffles the one before it.

    `rng`: a NumPy generator, the module `numpy.random`, or what else has `shuffle(array)`.
    """

    def __init__(self, rows: int, rng: Any) -> None:
        self._rng = rng
        self._rows = np.arange(rows)
        self._before = self._rows
        self._back: Callable[[], None] | None = None
        self._drawn = 0

    @property
    def rows(self) -> Array:
        """The order that was drawn last; the next one is shuffled from it."""
        return self._rows

    @rows.setter
    def rows(self, order: Array) -> None:
        self._rows = np.array(order, np.int64)

    def draw(self, epochs: int) -> Array:
        """int64 [epochs, rows]; a single one if the generator cannot be set back."""
        self._back = _way_back(self._rng) if epochs > 1 else None
        self._before = self._rows
        self._drawn = epochs if self._back is not None else 1
        return self._draw(self._drawn)

    def keep(self, epochs: int) -> None:
        """Only so many of the orders drawn were used: it is as if the others had not been drawn."""
        if epochs < self._drawn and self._back is not None:
            self._back()
            self._rows = self._before
            self._draw(epochs)

    def _draw(self, epochs: int) -> Array:
        orders = np.empty((epochs + 1, len(self._rows)), np.int64)
        orders[0] = self._rows
        if self._rng is np.random and 1 < len(self._rows) < _MAX_NATIVE and _agrees_with_numpy():
            _shuffle(orders, np.random.get_bit_generator())
        else:
            for before, order in itertools.pairwise(orders):
                order[:] = before
                self._rng.shuffle(order)
        self._rows = orders[-1].copy()
        return orders[1:]


def _way_back(rng: Any) -> Callable[[], None] | None:
    """A function that sets a generator of NumPy's back to its present state."""
    if hasattr(rng, "get_state"):
        state = rng.get_state()
        return lambda: rng.set_state(state)
    if hasattr(rng, "bit_generator"):
        kept = rng.bit_generator.state
        return lambda: setattr(rng.bit_generator, "state", kept)
    return None


_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)


def _shuffle(orders: Array, source: np.random.BitGenerator) -> None:
    """Each order from the one before it, as `numpy.random.RandomState.shuffle` would do it with this source of bits."""
    bits = source.ctypes
    word = ctypes.cast(bits.next_uint32, ctypes.c_void_p)
    with source.lock:
        _PROTOTYPE(loop_code.shuffler())(orders.ctypes.data, orders.shape[1], len(orders) - 1, word, bits.state_address)


@functools.cache
def _agrees_with_numpy() -> bool:
    """Whether NumPy shuffles as it has always done; its legacy streams are frozen (NEP 19)."""
    theirs, ours = np.random.MT19937(1), np.random.MT19937(1)
    expected, orders = np.arange(100), np.tile(np.arange(100), (2, 1))
    np.random.RandomState(theirs).shuffle(expected)
    _shuffle(orders, ours)
    return np.array_equal(orders[1], expected) and bool(theirs.random_raw() == ours.random_raw())
