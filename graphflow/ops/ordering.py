"""The stable order of each row: the one nest that sorting is made of.

An element becomes a *key*, an unsigned integer that is ordered as NumPy's sort orders the elements: -0.0
and 0.0 are one key, every NaN is the largest.  Key and place make a *record*: one word of 64 bits with the
place in its lower half, or two words for elements of 64 bits.  No two records are equal, so there is one order
of them, and any algorithm is stable.  Two put records in order, neither with a branch on data:

* rows up to SHORT elements: Batcher's merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2,
  algorithm M), a network of O(n log^2 n) comparisons, for LANES rows at a time in the lanes of vectors;
* longer rows: a radix sort by bytes from the lowest: count the bytes, sum the counts, move each record to
  the next place of its byte.  Bytes in which the row's keys do not differ are left out.  Linear.

Blocks of rows are independent and run in parallel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, minimum
from graphflow.graph.op import NestOp, Sample, Value, register
from graphflow.graph.types import DType, TensorType
from graphflow.graph.variable import Variable

Grads = Sequence[Variable | None]
INT32, INT64, WORD = np.dtype("int32"), np.dtype("int64"), np.dtype("uint64")
LANES = 8  # rows that a network orders together
SHORT = 1024  # elements of a row up to which the network is at least as fast
BYTE = 256
PLACE = 32  # bits of a place in a word it shares with a key


# --- records ---------------------------------------------------------------------------------------
def words_of(dtype: DType) -> int:
    """The number of words a record of a key of `dtype` has."""
    return 1 if dtype.itemsize <= 4 else 2


def key_of(k: Any, x: Value, descending: bool) -> Value:
    """The key of an element as a word, no wider than the element."""
    width = 8 * x.dtype.itemsize
    unsigned, signed = np.dtype(f"u{x.dtype.itemsize}"), np.dtype(f"i{x.dtype.itemsize}")
    top = 1 << (width - 1)
    if x.dtype.kind == "f":
        bits = k.bits(signed, x + 0)  # -0.0 + 0 is 0.0
        key = k.bits(unsigned, bits ^ ((bits >> (width - 1)) | k.const(signed, top)))
        key = k.select(x.ne(x), k.const(unsigned, 2 * top - 1), key)
    elif x.dtype.kind == "i":
        key = k.bits(unsigned, x) ^ top
    else:
        key = k.cast(unsigned, x)
    return k.cast(WORD, ~key if descending else key)


def record(k: Any, x: Value, place: Size, descending: bool) -> list[Value]:
    key, at = key_of(k, x, descending), k.cast(WORD, k.value(place))
    return [(key << PLACE) | at] if words_of(x.dtype) == 1 else [key, at]


def place_of(k: Any, words: Sequence[Value]) -> Value:
    place = words[-1] & (2**PLACE - 1) if len(words) == 1 else words[-1]
    return k.cast(INT64, place)


def ascending(k: Any, a: Sequence[Value], b: Sequence[Value]) -> tuple[list[Value], list[Value]]:
    """Two records, the one that goes first first."""
    if len(a) == 1:
        return [k.call("min", a[0], b[0])], [k.call("max", a[0], b[0])]
    swap = k.let((b[0] < a[0]) | (b[0].eq(a[0]) & (b[1] < a[1])))
    pairs = list(zip(a, b, strict=True))
    return [k.select(swap, y, x) for x, y in pairs], [k.select(swap, x, y) for x, y in pairs]


# --- the op ----------------------------------------------------------------------------------------
@register
class ArgSort(NestOp):
    """The places of the elements of each row of a matrix in their order, lower places first where elements tie.

    Besides the result it has the memory it works in: records for the network and for the radix sort, and counters.
    """

    name = "argsort"
    descending: bool

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        rows, n = inputs[0].known_shape
        long = minimum(n // (SHORT + 1), 1)
        blocks = (rows + (LANES - 1)) // LANES
        words = words_of(inputs[0].dtype)
        return (
            TensorType(INT64, (rows, n)),
            TensorType(INT32, (rows * long, BYTE)),
            *[TensorType(WORD, (blocks * (1 - long), n, LANES))] * words,
            *[TensorType(WORD, (rows * long, 2, n))] * words,
        )

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (x,), (order, counters, *work) = ins, outs
        rows, n = x.shape
        with k.loop("b", (rows + (LANES - 1)) // LANES) as block:
            height = minimum(rows - block * LANES, LANES)
            if not isinstance(n, int) or n <= SHORT:
                with k.mask(k.dim(n) <= SHORT):
                    Network(k, self.descending, block, height, x, order, work[: len(work) // 2]).run()
            if not isinstance(n, int) or n > SHORT:
                with k.mask(k.dim(n) > SHORT), k.loop("r", height) as r:
                    Radix(k, self.descending, block * LANES + r, x, order, counters, work[len(work) // 2 :]).run()

    def reference(self, *arrays: Any) -> Any:
        (x,) = arrays
        n = x.shape[1]
        keys = x[:, ::-1] if self.descending else x
        order = np.argsort(keys, axis=1, kind="stable")
        work = [np.zeros(t.known_shape, t.dtype) for t in self.infer(TensorType(x.dtype, x.shape))[1:]]  # type: ignore[arg-type]
        return n - 1 - order[:, ::-1] if self.descending else order, *work

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None,)


class Network:
    """Merge exchange on the rows of a block."""

    def __init__(self, k: Any, descending: bool, block: Size, height: Size, x: Any, order: Any, words: Sequence[Any]) -> None:
        self.k, self.descending, self.block, self.height = k, descending, block, height
        self.x, self.order, self.words, self.n = x, order, words, x.shape[1]

    def load(self, i: Size, lane: Size) -> list[Value]:
        return [self.k.let(w.load(self.block, i, lane)) for w in self.words]

    def store(self, i: Size, lane: Size, words: Sequence[Value]) -> None:
        for w, value in zip(self.words, words, strict=True):
            w.store((self.block, i, lane), value)

    def run(self) -> None:
        k, n = self.k, self.n
        with k.loop("l", self.height, sequential=True) as lane, k.loop("i", n) as i:
            self.store(i, lane, record(k, self.x.load(self.block * LANES + lane, i), i, self.descending))
        one = k.const(INT64, 1)
        steps = k.register(INT64, k.const(INT64, 0))
        with k.loop("s", SHORT.bit_length(), sequential=True) as s:
            steps.set(steps.get() + k.cast(INT64, (one << k.value(s)) < k.value(n)))
        levels = k.position(steps.get(), SHORT.bit_length(), "a level")
        top = k.let((one << k.value(levels)) >> 1)
        with k.loop("step", levels, sequential=True) as step:
            p = k.let(top >> k.value(step))
            with k.loop("phase", step + 1, sequential=True) as phase:
                first = k.value(phase).eq(0)
                r = k.select(first, k.const(INT64, 0), p)
                d = k.select(first, p, (top >> (k.value(phase) - 1)) - p)
                self.exchange(p, d, r)
        with k.loop("l", self.height, sequential=True) as lane, k.loop("i", n, sequential=True) as i:
            self.order.store((self.block * LANES + lane, i), place_of(k, self.load(i, lane)))

    def exchange(self, p: Value, d: Value, r: Value) -> None:
        """Put the records i and i + d in order, for all i < n - d with i & p = r."""
        k, n = self.k, self.n
        distance = k.position(d, n, "a distance")
        left = k.let(k.call("max", k.value(n) - d - r, 0))
        rest = left & (p + p - 1)
        count = k.position(((left - rest) >> 1) + k.call("min", rest, p), n, "a count")
        with k.loop("c", count, sequential=True) as c:
            i = k.position(k.value(c * 2) - (k.value(c) & (p - 1)) + r, n, "a place")
            with k.loop("l", LANES) as lane:
                low, high = ascending(k, self.load(i, lane), self.load(i + distance, lane))
                self.store(i, lane, low)
                self.store(i + distance, lane, high)


class Radix:
    """A radix sort of one row."""

    def __init__(self, k: Any, descending: bool, row: Size, x: Any, order: Any, counters: Any, words: Sequence[Any]) -> None:
        self.k, self.descending, self.row = k, descending, row
        self.x, self.order, self.counters, self.words, self.n = x, order, counters, words, x.shape[1]
        self.low = PLACE if len(words) == 1 else 0  # the lowest bit of a key in its word

    def load(self, half: Size, i: Size) -> list[Value]:
        return [self.k.let(w.load(self.row, half, i)) for w in self.words]

    def store(self, half: Size, i: Size, words: Sequence[Value]) -> None:
        for w, value in zip(self.words, words, strict=True):
            w.store((self.row, half, i), value)

    def run(self) -> None:
        k, n = self.k, self.n
        with k.loop("i", n) as i:
            self.store(0, i, record(k, self.x.load(self.row, i), i, self.descending))
        differing = self.differing_bits()
        half = k.register(INT64, k.const(INT64, 0))
        with k.loop("pass", self.x.dtype.itemsize, sequential=True) as step:
            shift = k.let(k.cast(WORD, k.value(step * 8 + self.low)))
            with k.mask(((differing >> shift) & (BYTE - 1)).ne(0)):
                start = k.position(half.get(), 2, "a half")
                self.one_pass(start, shift)
                half.set(k.value(1 - start))
        last = k.position(half.get(), 2, "a half")
        with k.loop("i", n) as i:
            self.order.store((self.row, i), place_of(k, self.load(last, i)))

    def differing_bits(self) -> Value:
        """The bits in which not all keys of the row agree."""
        k = self.k
        first = self.load(0, 0)[0]
        differing = k.register(WORD, k.const(WORD, 0))
        with k.loop("i", self.n, sequential=True) as i:
            differing.set(differing.get() | (self.load(0, i)[0] ^ first))
        return differing.get()

    def one_pass(self, start: Size, shift: Value) -> None:
        """From one half of the memory to the other, ordered by the byte at `shift`."""
        k, row = self.k, self.row
        with k.loop("c", BYTE) as c:
            self.counters.store((row, c), k.const(INT32, 0))
        with k.loop("i", self.n, sequential=True) as i:
            at = (row, self.slot(self.load(start, i), shift))
            self.counters.store(at, self.counters.load(*at) + 1)
        total = k.register(INT32, k.const(INT32, 0))
        with k.loop("c", BYTE, sequential=True) as c:
            before = k.let(total.get())
            total.set(before + self.counters.load(row, c))
            self.counters.store((row, c), before)
        with k.loop("i", self.n, sequential=True) as i:
            words = self.load(start, i)
            at = (row, self.slot(words, shift))
            place = k.let(self.counters.load(*at))
            self.counters.store(at, place + 1)
            self.store(1 - start, k.position(k.cast(INT64, place), self.n, "a place"), words)

    def slot(self, words: Sequence[Value], shift: Value) -> Size:
        """The counter of a record."""
        place: Size = self.k.position(self.k.cast(INT64, (words[0] >> shift) & (BYTE - 1)), BYTE, "a byte")
        return place
