"""Dot's edges made neat: plain curves between neighbouring ranks, and detours where a curve runs through a box.

Dot's short edges hug the boxes, and with clusters its long ones may cross a node.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import dist

from graphflow.draw.layout import Box, Path, Point, run_across, run_down
from graphflow.draw.model import Edge

_STEP = 4.0  # pixels between the points of a curve that are looked at, about
_CLEARANCE = 8.0  # from a detour to the boxes it passes


@dataclass
class _Rank:
    """Boxes with one centre line; the band from `top` to `bottom` has no others."""

    top: float
    bottom: float
    boxes: list[tuple[int, Box]] = field(default_factory=list)

    def blocked(self, x: float, margin: float, ends: tuple[int, int]) -> bool:
        return any(i not in ends and b.left - margin < x < b.right + margin for i, b in self.boxes)

    def free_column(self, x: float) -> float:
        """The place nearest to `x` where an edge can pass this rank."""
        sides = [side for _, b in self.boxes for side in (b.left - _CLEARANCE, b.right + _CLEARANCE)]
        free = [side for side in sides if not self.blocked(side, _CLEARANCE, (-1, -1))]
        return min(free, key=lambda side: abs(side - x)) if self.blocked(x, _CLEARANCE, (-1, -1)) else x


def neat_edges(edges: Sequence[Edge], nodes: Sequence[Box], paths: Sequence[Path]) -> tuple[Path, ...]:
    """A path for each edge, from the lower side of its tail to the upper side of its head."""
    ranks, rank_of = _ranks(nodes)
    neat: list[Path] = []
    for edge, path in zip(edges, paths, strict=True):
        start, end = (path[0][0], nodes[edge.tail].bottom), (path[-1][0], nodes[edge.head].top)
        first, last = rank_of[edge.tail], rank_of[edge.head]
        path = (start, *path[1:-1], end)
        if last == first + 1 or (last > first and _runs_through(path, ranks, (edge.tail, edge.head))):
            between = ranks[first + 1 : last]
            path = _route(start, [(r, r.free_column(_x_at(path, (r.top + r.bottom) / 2))) for r in between], end, ranks[first], ranks[last])
        neat.append(path)
    return tuple(neat)


def _ranks(nodes: Sequence[Box]) -> tuple[list[_Rank], list[int]]:
    """The ranks from top to bottom, and that of each node."""
    found: dict[int, _Rank] = {}
    middles = [round(box.top + box.bottom) for box in nodes]
    for i, (middle, box) in enumerate(zip(middles, nodes, strict=True)):
        rank = found.setdefault(middle, _Rank(box.top, box.bottom))
        rank.top, rank.bottom = min(rank.top, box.top), max(rank.bottom, box.bottom)
        rank.boxes.append((i, box))
    order = {middle: r for r, middle in enumerate(sorted(found))}
    return [found[middle] for middle in order], [order[middle] for middle in middles]


def _runs_through(path: Path, ranks: list[_Rank], ends: tuple[int, int]) -> bool:
    tops = [rank.top for rank in ranks]
    for x, y in _points(path):
        rank = ranks[bisect_right(tops, y) - 1]
        if rank.top < y < rank.bottom and rank.blocked(x, 1.0, ends):
            return True
    return False


def _points(path: Path) -> Iterator[Point]:
    """Points along the Bezier segments."""
    for k in range(0, len(path) - 1, 3):
        corners = path[k : k + 4]
        steps = 2 + int(sum(dist(a, b) for a, b in pairwise(corners)) / _STEP)
        for step in range(steps + 1):
            t = step / steps
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            yield (
                sum(w * x for w, (x, _) in zip(weights, corners, strict=True)),
                sum(w * y for w, (_, y) in zip(weights, corners, strict=True)),
            )


def _x_at(path: Path, y: float) -> float:
    return min(_points(path), key=lambda p: abs(p[1] - y))[0]


def _route(start: Point, columns: list[tuple[_Rank, float]], end: Point, first: _Rank, last: _Rank) -> Path:
    """Straight down in the bands, curves in the gaps."""
    points = [start]
    run_down(points, first.bottom)
    for rank, x in columns:
        run_across(points, x, rank.top)
        run_down(points, rank.bottom)
    run_across(points, end[0], last.top)
    run_down(points, end[1])
    return tuple(points)
