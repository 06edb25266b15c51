"""The second half of the layered layout: coordinates and curves, for when Graphviz is not installed.

Each rank is moved towards the medians of its neighbours, as near as its order and the sizes of its
boxes allow (isotonic regression).  A cluster's wall is one coordinate in all ranks it passes; a last step
over the order of all items and walls makes room wherever they would overlap.
"""

from __future__ import annotations

import itertools

from graphflow.draw.layered_columns import TITLE, WALL, Columns
from graphflow.draw.layered_order import Grid, make_grid
from graphflow.draw.layout import Box, Layout, Path, Point, run_across, run_down
from graphflow.draw.model import Drawing

_RANK_GAP = 22.0
_SLOPE = 0.10  # a gap is at least this part of the widest horizontal run in it
_WIDEST_GAP = 80.0


def layered_layout(drawing: Drawing) -> Layout:
    """Positions for all nodes and clusters without overlap, and curves that pass between the boxes."""
    grid = make_grid(drawing)
    x, walls = Columns(grid).solve()
    rows = _Rows(grid, x)
    nodes = [rows.node(i, x[i]) for i in range(len(drawing.nodes))]
    clusters = [rows.cluster(c, *walls[c]) for c in range(1, len(drawing.clusters))]
    edges = [_path(rows, i, x, nodes) for i in range(len(drawing.edges))]
    xs = [px for path in edges for px, _ in path]
    left = min([*(b.left for b in (*nodes, *clusters)), *xs])
    right = max([*(b.right for b in (*nodes, *clusters)), *xs])
    top, bottom = min(b.top for b in (*nodes, *clusters)), max(b.bottom for b in (*nodes, *clusters))
    return Layout(
        tuple(b.shifted(-left, -top) for b in nodes),
        (None, *(c.shifted(-left, -top) for c in clusters)),
        tuple(tuple((px - left, py - top) for px, py in path) for path in edges),
        right - left,
        bottom - top,
    )


class _Rows:
    """Vertical positions: `top` and `bottom` of each rank's band, with room between for walls, titles and slopes."""

    def __init__(self, grid: Grid, x: list[float]) -> None:
        self.grid = grid
        self.first, self.last = _spans(grid)
        self.above = self._margins(self.first, TITLE)
        self.below = self._margins(self.last, WALL)
        head, foot = [0.0] * len(grid.ranks), [0.0] * len(grid.ranks)
        for c in range(1, len(grid.drawing.clusters)):
            head[self.first[c]] = max(head[self.first[c]], self.above[c])
            foot[self.last[c]] = max(foot[self.last[c]], self.below[c])
        self.top: list[float] = []
        self.bottom: list[float] = []
        y = 0.0
        for r, rank in enumerate(grid.ranks):
            y += head[r]
            self.top.append(y)
            y += max((grid.drawing.nodes[i].height for i in rank if not grid.is_bend(i)), default=0.0)
            self.bottom.append(y)
            run = max((abs(x[i] + k.own_offset - x[k.other] - k.other_offset) for i in rank for k in grid.down[i]), default=0.0)
            y += min(max(_RANK_GAP, _SLOPE * run), _WIDEST_GAP) + foot[r]

    def _margins(self, edge: list[int], own: float) -> list[float]:
        """From each cluster's outer side to the band, with the clusters inside that end at the same rank."""
        clusters = self.grid.drawing.clusters
        inner = [0.0] * len(clusters)
        margins = [0.0] * len(clusters)
        for c in range(len(clusters) - 1, 0, -1):
            margins[c] = inner[c] + own
            parent = clusters[c].parent
            if edge[parent] == edge[c]:
                inner[parent] = max(inner[parent], margins[c])
        return margins

    def node(self, i: int, x: float) -> Box:
        node, rank = self.grid.drawing.nodes[i], self.grid.rank[i]
        y = (self.top[rank] + self.bottom[rank]) / 2
        return Box(x - node.width / 2, y - node.height / 2, x + node.width / 2, y + node.height / 2)

    def cluster(self, c: int, left: float, right: float) -> Box:
        return Box(left, self.top[self.first[c]] - self.above[c], right, self.bottom[self.last[c]] + self.below[c])


def _spans(grid: Grid) -> tuple[list[int], list[int]]:
    """First and last rank of each cluster."""
    n = len(grid.drawing.clusters)
    first, last = [len(grid.ranks)] * n, [-1] * n
    for item, rank in enumerate(grid.rank):
        for c in grid.drawing.ancestors(grid.cluster[item]):
            first[c], last[c] = min(first[c], rank), max(last[c], rank)
    return first, last


def _path(rows: _Rows, number: int, x: list[float], nodes: list[Box]) -> Path:
    """Straight down inside the bands, where the edge has a column of its own; curves in the gaps between."""
    grid = rows.grid
    edge, chain = grid.drawing.edges[number], grid.chains[number]
    turned = grid.upward[number]
    leave, enter = (edge.enter, edge.leave) if turned else (edge.leave, edge.enter)
    columns = [x[item] for item in chain]
    columns[0] += (leave - 0.5) * grid.width[chain[0]]
    columns[-1] += (enter - 0.5) * grid.width[chain[-1]]
    points: list[Point] = [(columns[0], nodes[chain[0]].bottom)]
    for (a, b), column in zip(itertools.pairwise(chain), columns[1:], strict=True):
        run_down(points, rows.bottom[grid.rank[a]])
        run_across(points, column, rows.top[grid.rank[b]])
    run_down(points, nodes[chain[-1]].top)
    return tuple(reversed(points)) if turned else tuple(points)
