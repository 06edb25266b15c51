"""How rows are put in order: the keys, the records and the loops that sorting is made of.

An element becomes a *key*, an unsigned integer that is ordered as NumPy's sort orders the elements: -0.0
and 0.0 are one key, every NaN is the largest.  Key and place make a *record*: one word of 64 bits with the
place in its lower half, or two words for elements of 64 bits.  No two records are equal, so there is one order
of them, and any algorithm is stable.  Two put records in order, neither with a branch on data:

* short rows (`longest_for_network`): Batcher's merge exchange (Knuth, The Art of Computer Programming 3,
  5.2.2, algorithm M), a network of O(n log^2 n) comparisons, for LANES rows at a time in the lanes of vectors;
* long rows: a radix sort by bytes from the lowest: count the bytes, sum the counts, move each record to
  the next place of its byte.  Bytes that are the same in all keys of the row are left out.  Linear.

Blocks of rows, or rows, are independent and run in parallel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, minimum
from graphflow.graph.op import Value
from graphflow.graph.types import DType, TensorType

INT32, INT64, WORD = np.dtype("int32"), np.dtype("int64"), np.dtype("uint64")
LANES = 8  # rows that are put in order together
SHORT = 128  # the longest row for which a network is worth its while when the row is alone
BYTE = 256
PLACE = 32  # bits of a place in a word it shares with a key
LAST = 2**64 - 1  # a word that goes after those of all records


# --- records ---------------------------------------------------------------------------------------
def words_of(dtype: DType) -> int:
    """The number of words in a record of an element of `dtype`."""
    return 1 if dtype.itemsize <= 4 else 2


def key_of(k: Any, x: Value, descending: bool) -> Value:
    """The key of an element in a word; it takes no more bits than the element."""
    width = 8 * x.dtype.itemsize
    unsigned, signed = np.dtype(f"u{x.dtype.itemsize}"), np.dtype(f"i{x.dtype.itemsize}")
    top = 1 << (width - 1)
    if x.dtype.kind == "f":
        bits = k.bits(signed, x + 0)  # -0.0 + 0 is 0.0
        key = k.bits(unsigned, bits ^ ((bits >> (width - 1)) | top))
        key = k.select(x.ne(x), k.const(unsigned, 2 * top - 1), key)
    elif x.dtype.kind == "i":
        key = k.bits(unsigned, x) ^ top
    else:
        key = k.cast(unsigned, x)
    return k.cast(WORD, ~key if descending else key)


def record(k: Any, x: Value, place: Size, descending: bool) -> list[Value]:
    """The words of the record of element x at `place`."""
    key, at = key_of(k, x, descending), k.cast(WORD, k.value(place))
    return [(key << PLACE) | at] if words_of(x.dtype) == 1 else [key, at]


def place_of(k: Any, words: Sequence[Value]) -> Value:
    """The place in a record, an int64."""
    place = words[-1] & (2**PLACE - 1) if len(words) == 1 else words[-1]
    return k.cast(INT64, place)


def ascending(k: Any, a: Sequence[Value], b: Sequence[Value]) -> tuple[list[Value], list[Value]]:
    """Two records, the one that goes first first."""
    if len(a) == 1:
        return [k.call("min", a[0], b[0])], [k.call("max", a[0], b[0])]
    swap = k.let((b[0] < a[0]) | (b[0].eq(a[0]) & (b[1] < a[1])))
    pairs = list(zip(a, b, strict=True))
    return [k.let(k.select(swap, y, x)) for x, y in pairs], [k.let(k.select(swap, x, y)) for x, y in pairs]


def inserted(k: Any, new: Sequence[Value], old: Sequence[Sequence[Value]]) -> list[list[Value]]:
    """Records in order and a new one, of a later place, in its place among them; the last one drops out.

    No result depends on another one, so all are computed at the same time.
    """
    before = [*old[:1], *old[:-1]]
    if len(new) == 1:
        return [[k.call("max", b[0], k.call("min", new[0], o[0])) if j else k.call("min", new[0], o[0])] for j, (b, o) in enumerate(zip(before, old, strict=True))]
    goes_before = [k.let(new[0] < o[0]) for o in old]
    found: list[list[Value]] = []
    for j, (b, o) in enumerate(zip(before, old, strict=True)):
        shifted = [k.select(goes_before[j - 1], y, x) for x, y in zip(new, b, strict=True)] if j else new
        found.append([k.select(goes_before[j], x, y) for x, y in zip(shifted, o, strict=True)])
    return found


class Records:
    """Records in memory: an array for each word, seen from one place of the leading axes."""

    def __init__(self, k: Any, words: Sequence[Any], *lead: Size) -> None:
        self._k, self._words, self._lead = k, words, lead

    def load(self, *at: Size) -> list[Value]:
        return [self._k.let(w.load(*self._lead, *at)) for w in self._words]

    def store(self, at: Sequence[Size], words: Sequence[Value]) -> None:
        for w, value in zip(self._words, words, strict=True):
            w.store((*self._lead, *at), value)


# --- which way ---------------------------------------------------------------------------------------
def longest_for_network(rows: Size) -> Size:
    """The size of a row up to which the network takes less time than the radix sort (measured).

    It grows with the lanes that are in use, and with what the logarithm lets a network gain.
    """
    lanes = minimum(rows, LANES)
    return SHORT * lanes * lanes


def is_long(rows: Size, n: Size) -> Size:
    """1 for rows that the radix sort takes, 0 for those of the network."""
    return minimum(n // (longest_for_network(rows) + 1), 1)


def blocks_of(rows: Size) -> Size:
    """The number of blocks of LANES rows."""
    return (rows + (LANES - 1)) // LANES


def work_types(x: TensorType) -> list[TensorType]:
    """The memory that `order_rows` works in: counters, records of blocks of rows, and records of rows, twice."""
    rows, n = x.known_shape
    long, words = is_long(rows, n), words_of(x.dtype)
    return [
        TensorType(INT32, (rows * long, x.dtype.itemsize, BYTE)),
        *[TensorType(WORD, (blocks_of(rows) * (1 - long), n, LANES))] * words,
        *[TensorType(WORD, (rows * long, 2, n))] * words,
    ]


def order_rows(k: Any, x: Any, order: Any, work: Sequence[Any], descending: bool) -> None:
    """Loops that store in `order` the places of the elements of each row of the matrix x, in their order."""
    (rows, n), (counters, *records) = x.shape, work
    long, half = is_long(rows, n), len(records) // 2
    with k.loop("b", rows * long + blocks_of(rows) * (1 - long)) as b:
        if long != 1:
            with k.mask(k.dim(long).eq(0)):
                Network(k, x, b, Records(k, records[:half], b), descending).run(order)
        if long != 0:
            with k.mask(k.dim(long).eq(1)):
                Radix(k, x, b, Records(k, records[half:], b), counters, descending).run(order)


# --- the network -------------------------------------------------------------------------------------
def levels_of(k: Any, n: Size) -> Size:
    """The least e with 2**e >= n."""
    if isinstance(n, int):
        return max(n - 1, 0).bit_length()
    count = k.register(INT64, k.const(INT64, 0))
    with k.loop("e", 31, sequential=True) as e:
        count.set(count.get() + k.cast(INT64, (k.const(INT64, 1) << k.value(e)) < k.value(n)))
    levels: Size = k.position(count.get(), 32, "a number of levels")
    return levels


class Network:
    """Merge exchange on a block of rows; its records have an axis of places and one of lanes."""

    def __init__(self, k: Any, x: Any, block: Size, records: Records, descending: bool) -> None:
        self.k, self.x, self.records, self.descending = k, x, records, descending
        self.n: Size = x.shape[1]
        self.first = block * LANES
        self.height = minimum(x.shape[0] - self.first, LANES)

    def run(self, order: Any) -> None:
        k, n = self.k, self.n
        with k.loop("i", n) as i, k.loop("l", LANES) as lane:  # the last block may have fewer rows
            self.records.store((i, lane), [k.const(WORD, LAST)] * words_of(self.x.dtype))
        with k.loop("l", self.height, sequential=True) as lane, k.loop("i", n) as i:
            self.records.store((i, lane), record(k, self.x.load(self.first + lane, i), i, self.descending))
        levels = levels_of(k, n)
        top = k.let((k.const(INT64, 1) << k.value(levels)) >> 1)
        with k.loop("step", levels, sequential=True) as step:
            p = k.let(top >> k.value(step))
            with k.loop("phase", step + 1, sequential=True) as phase:
                begins = k.value(phase).eq(0)
                r = k.select(begins, 0, p)
                d = k.select(begins, p, (top >> (k.value(phase) - 1)) - p)
                self.exchange(p, d, r)
        with k.loop("l", self.height, sequential=True) as lane, k.loop("i", n, sequential=True) as i:
            order.store((self.first + lane, i), place_of(k, self.records.load(i, lane)))

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
                low, high = ascending(k, self.records.load(i, lane), self.records.load(i + distance, lane))
                self.records.store((i, lane), low)
                self.records.store((i + distance, lane), high)


# --- the radix sort ----------------------------------------------------------------------------------
class Radix:
    """A radix sort of one row; its records have an axis of two halves, from one to the other, and one of places."""

    def __init__(self, k: Any, x: Any, row: Size, records: Records, counters: Any, descending: bool) -> None:
        self.k, self.x, self.row, self.records, self.counters, self.descending = k, x, row, records, counters, descending
        self.n: Size = x.shape[1]
        self.width: int = x.dtype.itemsize
        self.low = PLACE if words_of(x.dtype) == 1 else 0  # the lowest bit of a key in its word

    def run(self, order: Any) -> None:
        k, n = self.k, self.n
        with k.loop("i", n) as i:
            self.records.store((0, i), record(k, self.x.load(self.row, i), i, self.descending))
        self.count()
        half = k.register(INT64, k.const(INT64, 0))
        for byte in range(self.width):
            same = self.counters.load(*self.counter(self.records.load(0, 0), byte)).eq(k.cast(INT32, k.value(n)))
            with k.mask(~same):
                start = k.position(half.get(), 2, "a half")
                self.move(start, byte)
                half.set(k.value(1 - start))
        last = k.position(half.get(), 2, "a half")
        with k.loop("i", n) as i:
            order.store((self.row, i), place_of(k, self.records.load(last, i)))

    def counter(self, words: Sequence[Value], byte: int) -> tuple[Size, ...]:
        """The counter of a byte of a record's key."""
        value = (words[0] >> (8 * byte + self.low)) & (BYTE - 1)
        return self.row, byte, self.k.position(self.k.cast(INT64, value), BYTE, "a byte")

    def count(self) -> None:
        """How often each byte has each value."""
        k, row = self.k, self.row
        with k.loop("p", self.width) as byte, k.loop("c", BYTE) as c:
            self.counters.store((row, byte, c), k.const(INT32, 0))
        with k.loop("i", self.n, sequential=True) as i:
            words = self.records.load(0, i)
            for p in range(self.width):
                at = self.counter(words, p)
                self.counters.store(at, self.counters.load(*at) + 1)

    def move(self, start: Size, byte: int) -> None:
        """Records from one half to the other, ordered by one byte."""
        k, row = self.k, self.row
        total = k.register(INT32, k.const(INT32, 0))
        with k.loop("c", BYTE, sequential=True) as c:
            before = k.let(total.get())
            total.set(before + self.counters.load(row, byte, c))
            self.counters.store((row, byte, c), before)
        with k.loop("i", self.n, sequential=True) as i:
            words = self.records.load(start, i)
            at = self.counter(words, byte)
            place = k.let(self.counters.load(*at))
            self.counters.store(at, place + 1)
            self.records.store((1 - start, k.position(k.cast(INT64, place), self.n, "a place")), words)
