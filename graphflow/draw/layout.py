"""Positions: what both layout engines give to the SVG writer."""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float]
Path = tuple[Point, ...]  # a start, then two control points and an end for each Bezier segment


@dataclass(frozen=True)
class Box:
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        return self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom

    def contains(self, other: Box) -> bool:
        return self.left <= other.left and other.right <= self.right and self.top <= other.top and other.bottom <= self.bottom

    def shifted(self, dx: float, dy: float) -> Box:
        return Box(self.left + dx, self.top + dy, self.right + dx, self.bottom + dy)


def run_down(points: list[Point], y: float) -> None:
    """Continue a path straight down to `y`."""
    x, start = points[-1]
    if y - start > 0.5:  # a shorter piece would turn the arrowhead
        points += [(x, start + (y - start) / 3), (x, start + 2 * (y - start) / 3), (x, y)]
    else:
        points[-1] = (x, y)


def run_across(points: list[Point], x: float, y: float) -> None:
    """Continue a path to (x, y), vertical at both ends."""
    x0, y0 = points[-1]
    points += [(x0, (y0 + y) / 2), (x, (y0 + y) / 2), (x, y)]


@dataclass(frozen=True)
class Layout:
    """Boxes of the nodes, of the clusters (None for the root, number 0), and the edges' paths, in pixels from (0, 0)."""

    nodes: tuple[Box, ...]
    clusters: tuple[Box | None, ...]
    edges: tuple[Path, ...]
    width: float
    height: float
