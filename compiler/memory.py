"""Where intermediate values live: lifetimes over launches, and offsets in one arena.

Sizes may depend on Dims, so two values that are alive at once are stacked only where the end of one is provably not
above the beginning of the other, for every value of the Dims.  Sizes and offsets are vectors of integers over terms
that are never negative (1, n, n*m ...): a vector that is nowhere above another proves the order, and the componentwise
maximum of two is above both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np

from graphflow.graph.dim import Dim, Monomial, Size, Symbol, evaluate, maximum, proves_nonnegative, symbols_of
from graphflow.graph.errors import ShapeError
from graphflow.graph.variable import Variable

ALIGNMENT = 64
HEADER = 64  # the error record
GUIDE = 128  # the value of every Dim for which plans are compared; they hold for all values
NEAR = 1.02  # times the most that is alive at once: a plan that is good enough
SMALL = 0.01  # the part of it that values may have, all together, which need no search
TRIES, WORK = 24, 2000  # plans that are compared, and values placed for them
SORTED = 1000  # values above which only the plan in order of launches is made: its work grows with what is alive, not with what there is
SEARCHED = 500  # values alive at once between which that plan looks for a gap
FOLDED = 4  # ends of which no two are comparable that make a total by `maximum`

LARGEST = 2**47  # bytes of a value: a process's addresses, and sums of many do not overflow

Vectors = np.ndarray[Any, np.dtype[np.int64]]
Lengths = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Span:
    """Memory that holds `value` (and what later takes it over) from launch `first` to launch `last`."""

    value: Variable
    first: int
    last: int
    most: Size | None = None  # bytes at most, where the size is known only when some of the run has been made

    @property
    def size(self) -> Size:
        return self.value.type.nbytes if self.most is None else self.most


@dataclass
class Plan:
    """Offsets of Variables in the workspace, and its total size, in bytes."""

    offset: dict[Variable, Size]
    total: Size
    spans: list[Span]


def aligned(size: Size) -> Size:
    return (size + (ALIGNMENT - 1)) // ALIGNMENT * ALIGNMENT


def guide_size(size: Size, dim: int = GUIDE) -> int:
    """A size where every Dim has the same value, to compare orders and plans by."""
    return evaluate(size, dict.fromkeys(symbols_of(size), dim))


# --- sizes as vectors -------------------------------------------------------------------------------
class Terms:
    """The terms of a set of sizes: products of atoms that are never negative, or whole sizes whose parts may be."""

    def __init__(self) -> None:
        self.number: dict[Monomial | Dim, int] = {(): 0}

    def parts(self, size: Size) -> Iterator[tuple[int, int]]:
        """(number of the term, factor) of each summand."""
        if isinstance(size, int):
            yield 0, size
        elif all(proves_nonnegative(Dim.of(atom)) for atom in size.atoms()):
            for term, factor in size.terms.items():
                yield self.number.setdefault(term, len(self.number)), factor
        else:
            common = gcd(*size.terms.values())
            whole = Dim({term: factor // common for term, factor in size.terms.items()})
            yield self.number.setdefault(whole, len(self.number)), common

    def vectors(self, sizes: Sequence[Size]) -> Vectors:
        """A row for each size; raises ShapeError for one that no address space holds."""
        found = [dict(self.parts(size)) for size in sizes]
        for size, parts in zip(sizes, found, strict=True):
            if max(parts.values(), default=0) > LARGEST:
                raise ShapeError(f"an intermediate value takes {size} bytes; at most {LARGEST} are supported", hint="a broadcast or product may be larger than meant")
        made = np.zeros((len(sizes), len(self.number)), np.int64)
        for row, parts in zip(made, found, strict=True):
            row[list(parts)] = list(parts.values())
        return made

    def size(self, vector: Iterable[int]) -> Size:
        total: Size = 0
        for key, factor in zip(self.number, vector, strict=True):
            if factor:
                total = total + self.term(key) * int(factor)
        return total

    def guide(self) -> Lengths:
        """The terms where every Dim is GUIDE."""
        return np.array([guide_size(self.term(key)) for key in self.number], np.float64)

    @staticmethod
    def term(key: Monomial | Dim) -> Size:
        return key if isinstance(key, Dim) else Dim({key: 1}) if key else 1


def padded(sizes: Vectors) -> Vectors:
    """Sizes such that what is stacked by them does not overlap once beginnings are aligned.

    Multiples of the alignment stay so; any other sum of terms is rounded up by less than one alignment more.
    """
    made = sizes.copy()
    made[:, 0] += -made[:, 0] % ALIGNMENT + ALIGNMENT * (made[:, 1:] % ALIGNMENT != 0).any(axis=1)
    return made


# --- the plan ---------------------------------------------------------------------------------------
def plan(spans: Sequence[Span], first_offset: int, reuse: bool = True) -> Plan:
    """Offsets for spans of memory: those that share a launch never overlap, whatever the Dims; without `reuse` none do."""
    terms = Terms()
    sizes = padded(terms.vectors([span.size for span in spans]))
    first = np.array([span.first if reuse else 0 for span in spans], np.int64)
    last = np.array([span.last if reuse else 0 for span in spans], np.int64)
    guide = terms.guide()
    begin = _stacked(first, last, sizes, guide)
    begin[:, :1] += first_offset
    offset = {span.value: aligned(terms.size(at)) for span, at in zip(spans, begin, strict=True)}
    total: Size = first_offset
    for end in _highest(begin + sizes, guide):
        total = maximum(total, aligned(terms.size(end)))
    return Plan(offset, total, list(spans))


def _stacked(first: Vectors, last: Vectors, sizes: Vectors, guide: Lengths) -> Vectors:
    """Beginnings: the best of several orders of placing, by what they take at the guide.

    The orders: by size, by how long values live, by both, by launches; and each of them again with the value that ended
    highest placed before all others.  Values too small to matter lie below all these.
    """
    bytes_ = sizes @ guide
    if len(sizes) > SORTED:
        return _placed(np.lexsort((-bytes_, first)), first, last, sizes, guide)
    most = _alive(first, last, bytes_).max(initial=0)
    by_size = np.lexsort((first, -bytes_))
    large, small = np.split(by_size, [int((bytes_[by_size][::-1].cumsum()[::-1] > SMALL * most).sum())])
    keys = (-bytes_, first - last, bytes_ * (first - last - 1), first)
    orders = deque([large[np.argsort(key[large], kind="stable")] for key in keys])
    best, least = sizes, np.inf
    for _ in range(min(TRIES, WORK // max(1, len(large)))):
        order = orders.popleft()
        begin = _placed(order, first, last, sizes, guide)
        ends = (begin + sizes)[order] @ guide
        if ends.max(initial=0) < least:
            best, least = begin, ends.max(initial=0)
        if least <= NEAR * most:
            break
        highest = order[ends.argmax()]
        orders.append(np.concatenate(([highest], order[order != highest])))
    below = _placed(small, first, last, sizes, guide)[small]
    best[large] += (below + sizes[small]).max(axis=0, initial=0)
    best[small] = below
    return best


def _placed(order: Vectors, first: Vectors, last: Vectors, sizes: Vectors, guide: Lengths) -> Vectors:
    """Beginnings when each value in turn goes into the tightest gap between those it shares a launch with."""
    begin = np.zeros_like(sizes)
    height = np.zeros(len(first))  # of the beginnings at the guide, by which `placed` is sorted
    placed = order[:0]
    growing = bool((np.diff(first[order]) >= 0).all())
    ground, sealed = np.zeros_like(sizes[:1]), -1
    sky = np.full_like(ground, np.iinfo(np.int64).max)
    for j in order:
        beside = placed[(last[placed] >= first[j]) & (first[placed] <= last[j])]
        if growing:
            placed = beside  # what ended before this value begins has ended for all that follow
            ground = ground if sealed >= first[j] else np.zeros_like(ground)
            if len(beside) > SEARCHED:  # below lies what outlives most: its lower half is built over until all of it has ended
                below, beside = np.split(beside, [len(beside) // 2])
                ground, sealed = np.maximum(ground, (begin[below] + sizes[below]).max(axis=0)), max(sealed, last[below].max())
                placed = beside
        floor = np.maximum.accumulate(np.concatenate((ground, begin[beside] + sizes[beside])))
        ceiling = np.minimum.accumulate(np.concatenate((begin[beside], sky))[::-1])[::-1]
        gaps = np.flatnonzero((floor + sizes[j] <= ceiling).all(axis=1))
        slack = (ceiling[gaps[:-1]] - floor[gaps[:-1]]) @ guide  # the last gap is the sky
        begin[j] = floor[gaps[slack.argmin() if len(slack) else -1]]
        height[j] = begin[j] @ guide
        placed = np.insert(placed, np.searchsorted(height[placed], height[j]), j)
    return begin


def _highest(ends: Vectors, guide: Lengths) -> Iterator[Vectors]:
    """The ends that none of the others is provably above; where they are many, what is above the rest of them."""
    for _ in range(FOLDED):
        if len(ends):
            end = ends[(ends @ guide).argmax()]
            yield end
            ends = ends[(ends > end).any(axis=1)]
    if len(ends):
        yield ends.max(axis=0)


def _alive(first: Vectors, last: Vectors, sizes: Lengths) -> Lengths:
    """The sum of the sizes of what is alive during each launch."""
    change = np.zeros(int(last.max(initial=0)) + 2)
    np.add.at(change, first, sizes)
    np.add.at(change, last + 1, -sizes)
    return change.cumsum()[:-1]


# --- a plan's numbers -------------------------------------------------------------------------------
@dataclass(frozen=True)
class Resident:
    """Where a value is, in bytes, from launch `first` to launch `last`; `name` is the first value's there."""

    name: str
    offset: int
    bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Profile:
    """What a workspace holds for given sizes: its values, its bytes, and the values' bytes alive during each launch."""

    residents: list[Resident]
    workspace: int
    alive: list[int]

    @property
    def bound(self) -> int:
        """The most bytes alive at once: no plan for this order of launches takes less."""
        return max(self.alive, default=0)


def profile(made: Plan, dims: Mapping[Symbol, int]) -> Profile:
    """The plan for given values of the Dims; raises KeyError for a missing one."""
    found = [Resident(span.value.label, evaluate(made.offset[span.value], dims), evaluate(span.size, dims), span.first, span.last) for span in made.spans]
    first, last = np.array([r.first for r in found], np.int64), np.array([r.last for r in found], np.int64)
    alive = _alive(first, last, np.array([r.bytes for r in found], np.float64))
    return Profile(found, evaluate(made.total, dims), [int(n) for n in alive])
