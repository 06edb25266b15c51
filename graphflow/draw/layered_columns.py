"""Horizontal positions of the layered layout.

A first placing keeps all distances; every later step keeps them, too: items move towards the medians
of their neighbours as far as the items and walls beside them allow (isotonic regression with bounds),
and whole clusters slide towards what they are linked to.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from graphflow.draw.layered_order import GAP, Grid, Link, nondecreasing, weighted_median
from graphflow.draw.text import STYLES, text_width

WALL = 11.0  # from a cluster's wall to what is inside
TITLE = 24.0  # from its upper side to what is inside: the strip of its title
_BEND_GAP = 11.0
_ROUNDS, _WORK = 8, 50_000  # rounds for small drawings; items moved by all rounds of a large one, about
_UNLINKED_WEIGHT = 0.1


@dataclass(frozen=True)
class _Segment:
    """Items of one rank between two walls (or none), each with its least distance from the first."""

    items: list[int]
    packed: list[float]
    left: tuple[int, float] | None  # the wall beside, and its least distance
    right: tuple[int, float] | None


class Columns:
    """Places 0 .. n-1 are the items' centres; after them come the left and the right wall of each cluster."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.n = len(grid.rank)
        self.paths = [tuple(reversed(list(grid.drawing.ancestors(c)))) for c in range(len(grid.drawing.clusters))]
        self.x = [0.0] * (self.n + 2 * len(self.paths))
        self.before: list[list[tuple[int, float]]] = [[] for _ in self.x]  # places to the left and to the right,
        self.after: list[list[tuple[int, float]]] = [[] for _ in self.x]  # each with its least distance
        rows = [list(self._row(rank)) for rank in grid.ranks]
        for row in rows:
            for (a, _), (b, distance) in itertools.pairwise(row):
                self.after[a].append((b, distance))
                self.before[b].append((a, distance))
        for c in range(1, len(self.paths)):
            self.after[self._left(c)].append((self._right(c), self._title_width(c)))
            self.before[self._right(c)].append((self._left(c), self._title_width(c)))
        self.segments = [list(self._segments(row)) for row in rows]
        self.members: list[list[int]] = [[] for _ in self.paths]
        for item, cluster in enumerate(grid.cluster):
            for c in self.paths[cluster]:
                self.members[c].append(item)

    def solve(self) -> tuple[list[float], list[tuple[float, float]]]:
        """Centres of the items, and (left, right) of each cluster."""
        up, down = self.grid.up, self.grid.down
        both = [[*a, *b] for a, b in zip(up, down, strict=True)]
        forward, backward = range(len(self.segments)), range(len(self.segments) - 1, -1, -1)
        self._start()
        for _ in range(max(1, min(_ROUNDS, _WORK // max(1, self.n)))):
            for links, ranks in ((up, forward), (down, backward), (both, forward), (both, backward)):
                self._loosen()
                self._sweep(links, ranks)
                self._slide_columns(both)
                self._tighten()
                self._sweep(links, ranks)
            self._slide_clusters(both)
        return self.x[: self.n], [(self.x[self._left(c)], self.x[self._right(c)]) for c in range(len(self.paths))]

    def _left(self, cluster: int) -> int:
        return self.n + 2 * cluster

    def _right(self, cluster: int) -> int:
        return self.n + 2 * cluster + 1

    # --- the order of places ----------------------------------------------------------------
    def _row(self, rank: list[int]) -> Iterator[tuple[int, float]]:
        """The places of a rank from left to right, each with its least distance from the one before."""
        open_: tuple[int, ...] = ()
        reach, gap_inside = -GAP, False  # how far the last place extends; whether it is a left wall
        for item in rank:
            path = self.paths[self.grid.cluster[item]]
            shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(open_, path, strict=False)))
            for c in reversed(open_[shared:]):
                yield self._right(c), reach + WALL
                reach, gap_inside = 0.0, False
            for c in path[shared:]:
                yield self._left(c), reach + (WALL if gap_inside else GAP)
                reach, gap_inside = 0.0, True
            half = self._half(item)
            yield item, reach + (WALL if gap_inside else GAP) + half
            reach, gap_inside, open_ = half, False, path
        for c in reversed(open_):
            yield self._right(c), reach + WALL
            reach = 0.0

    def _half(self, item: int) -> float:
        """Bends stand closer to each other than boxes do."""
        return (_BEND_GAP - GAP) / 2 if self.grid.is_bend(item) else self.grid.width[item] / 2

    def _segments(self, row: list[tuple[int, float]]) -> Iterator[_Segment]:
        wall: tuple[int, float] | None = None
        items: list[int] = []
        packed: list[float] = []
        for place, distance in row:
            if place < self.n:
                if not items and wall is not None:
                    wall = wall[0], distance
                packed.append(packed[-1] + distance if items else 0.0)
                items.append(place)
                continue
            if items:
                yield _Segment(items, packed, wall, (place, distance))
            wall, items, packed = (place, 0.0), [], []
        if items:
            yield _Segment(items, packed, wall, None)

    def _start(self) -> None:
        """Everything as far left, and as far right, as it can stand; the mean keeps all distances."""
        order = _topological(self.after)
        leftmost = [0.0] * len(self.x)
        for a in order:
            for b, distance in self.after[a]:
                leftmost[b] = max(leftmost[b], leftmost[a] + distance)
        end = max(leftmost, default=0.0)
        rightmost = [end] * len(self.x)
        for a in reversed(order):
            for b, distance in self.after[a]:
                rightmost[a] = min(rightmost[a], rightmost[b] - distance)
        self.x = [(a + b) / 2 for a, b in zip(leftmost, rightmost, strict=True)]

    def _title_width(self, cluster: int) -> float:
        return text_width(self.grid.drawing.clusters[cluster].title, STYLES["note"]) + 24

    # --- items -------------------------------------------------------------------------------
    def _sweep(self, links: list[list[Link]], ranks: range) -> None:
        """Rank after rank, the places nearest to what the linked items ask for between the walls."""
        for r in ranks:
            for segment in self.segments[r]:
                low, high = -inf, inf
                if segment.left is not None:
                    low = self.x[segment.left[0]] + segment.left[1]
                if segment.right is not None:
                    high = self.x[segment.right[0]] - segment.right[1] - segment.packed[-1]
                wishes = [self._wish(item, links[item]) for item in segment.items]
                free = [wish - packed for (wish, _), packed in zip(wishes, segment.packed, strict=True)]
                starts = nondecreasing(free, [weight for _, weight in wishes])
                for item, start, packed in zip(segment.items, starts, segment.packed, strict=True):
                    self.x[item] = max(low, min(high, start)) + packed

    def _wish(self, item: int, links: list[Link]) -> tuple[float, float]:
        """The weighted median of the places straight above or below, and its weight.

        Between two medians a box stands in the middle; a bend stays where it is, which makes lines straight.
        """
        if not links:
            return self.x[item], _UNLINKED_WEIGHT
        if len(links) == 1:
            return self.x[item] + self._pull(item, links[0]), links[0].weight
        ends = sorted((self.x[item] + self._pull(item, k), k.weight) for k in links)
        low, high = weighted_median(ends)
        wish = max(low, min(high, self.x[item])) if self.grid.is_bend(item) else (low + high) / 2
        return wish, sum(weight for _, weight in ends)

    def _slide_columns(self, links: list[list[Link]]) -> None:
        """Items that stand straight above each other, as a whole, towards the median of their slanted links.

        Each would stay for the sake of the others if they were moved one by one.
        """
        for column in self._columns(links):
            inside = set(column)
            pulls = sorted((self._pull(item, k), k.weight) for item in column for k in links[item] if k.other not in inside)
            if pulls:
                low = max((self.x[a] + d - self.x[i] for i in column for a, d in self.before[i]), default=-inf)
                high = min((self.x[b] - d - self.x[i] for i in column for b, d in self.after[i]), default=inf)
                shift = max(low, min(high, sum(weighted_median(pulls)) / 2))
                for item in column:
                    self.x[item] += shift

    def _pull(self, item: int, link: Link) -> float:
        """How far to the right an item would move for a link to be straight."""
        return self.x[link.other] + link.other_offset - link.own_offset - self.x[item]

    def _columns(self, links: list[list[Link]]) -> Iterator[list[int]]:
        """Items connected by straight links."""
        seen = [False] * self.n
        for start in range(self.n):
            if not seen[start]:
                seen[start] = True
                column = [start]
                for item in column:
                    for k in links[item]:
                        if not seen[k.other] and abs(self._pull(item, k)) < 0.01:
                            seen[k.other] = True
                            column.append(k.other)
                yield column

    # --- walls -------------------------------------------------------------------------------
    def _loosen(self) -> None:
        """Walls as far out as what is beside them allows; outer clusters first."""
        for c in range(1, len(self.paths)):
            left, right = self._left(c), self._right(c)
            self.x[left] = max((self.x[a] + distance for a, distance in self.before[left]), default=-inf)
            self.x[right] = min((self.x[b] - distance for b, distance in self.after[right]), default=inf)

    def _tighten(self) -> None:
        """Walls as far in as what is inside allows, with room for the title; inner clusters first."""
        for c in range(len(self.paths) - 1, 0, -1):
            left, right = self._left(c), self._right(c)
            title = self._title_width(c)
            inner_left = min(self.x[b] - distance for b, distance in self.after[left] if b != right)
            inner_right = max(self.x[a] + distance for a, distance in self.before[right] if a != left)
            self.x[right] = max(inner_right, min(self.x[right], inner_left + title))
            self.x[left] = min(inner_left, self.x[right] - title)

    def _slide_clusters(self, links: list[list[Link]]) -> None:
        """Each cluster as a whole towards the median of what its links to the outside ask for."""
        for c in range(1, len(self.paths)):
            inside = set(self.members[c])
            pulls = sorted((self._pull(item, k), k.weight) for item in inside for k in links[item] if k.other not in inside)
            if pulls:
                self._move(c, sum(weighted_median(pulls)) / 2)

    def _move(self, cluster: int, shift: float) -> None:
        left, right = self._left(cluster), self._right(cluster)
        low = max((self.x[a] + distance - self.x[left] for a, distance in self.before[left]), default=-inf)
        high = min((self.x[b] - distance - self.x[right] for b, distance in self.after[right]), default=inf)
        shift = max(low, min(high, shift))
        for item in self.members[cluster]:
            self.x[item] += shift
        for c, path in enumerate(self.paths):
            if cluster in path:
                self.x[self._left(c)] += shift
                self.x[self._right(c)] += shift


def _topological(after: list[list[tuple[int, float]]]) -> list[int]:
    """Places from left to right (Kahn's algorithm)."""
    waiting = [0] * len(after)
    for follows in after:
        for b, _ in follows:
            waiting[b] += 1
    order = [a for a, count in enumerate(waiting) if count == 0]
    for a in order:
        for b, _ in after[a]:
            waiting[b] -= 1
            if waiting[b] == 0:
                order.append(b)
    return order
