"""The first half of the layered layout: which rank each node has, and the order within ranks.

Sugiyama's method: longest-path ranks, bends where an edge passes a rank, and sweeps that sort each
rank by the barycentres of its neighbours.  Clusters keep their items together, and sibling clusters
keep one order in all ranks, so that every cluster can become a box.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

import networkx as nx

from graphflow.draw.model import Drawing, Node

GAP = 18.0  # between neighbours of one rank
_SWEEPS, _WORK = 10, 100_000  # sweeps for small drawings; items sorted by all sweeps of a large one, about
_EXCHANGES = 8
# How much straightness is worth: to a leaf, to the text on an edge, and with no, one or two bends at the ends.
_LEAF_WEIGHT, _LABEL_WEIGHT, _BEND_WEIGHTS = 0.4, 4.0, (1.0, 2.0, 8.0)


@dataclass(frozen=True)
class Link:
    """Half of an edge piece between neighbouring ranks: the other item, and where it is attached to both, from their centres."""

    other: int
    own_offset: float
    other_offset: float
    weight: float


@dataclass
class Grid:
    """Items 0 .. n-1 are the drawing's nodes; then come bends of long edges and, per rank a cluster has nothing in, a slot."""

    drawing: Drawing
    rank: list[int]
    width: list[float]
    cluster: list[int]
    up: list[list[Link]] = field(default_factory=list)
    down: list[list[Link]] = field(default_factory=list)
    ranks: list[list[int]] = field(default_factory=list)
    chains: list[list[int]] = field(default_factory=list)  # per edge, its items from the upper end to the lower one
    upward: list[bool] = field(default_factory=list)  # per edge, whether it closes a cycle and runs against the ranks

    def add(self, rank: int, cluster: int) -> int:
        self.rank.append(rank)
        self.width.append(0.0)
        self.cluster.append(cluster)
        self.up.append([])
        self.down.append([])
        return len(self.rank) - 1

    def link(self, above: int, below: int, leave: float, enter: float) -> None:
        bends = self.is_bend(above) + self.is_bend(below)
        weight = (_LEAF_WEIGHT if not self.up[above] else _LABEL_WEIGHT if self._is_label(below) else 1.0) * _BEND_WEIGHTS[bends]
        self.down[above].append(Link(below, leave, enter, weight))
        self.up[below].append(Link(above, enter, leave, weight))

    def is_bend(self, item: int) -> bool:
        return item >= len(self.drawing.nodes)

    def _is_label(self, item: int) -> bool:
        return not self.is_bend(item) and not self.drawing.nodes[item].bordered


def make_grid(drawing: Drawing) -> Grid:
    """Ranks, bends and slots, and the order that crosses least among those the sweeps found."""
    n = len(drawing.nodes)
    ranks, upward = _rank_nodes(drawing)
    grid = Grid(drawing, ranks, [node.width for node in drawing.nodes], [node.cluster for node in drawing.nodes])
    grid.up, grid.down = [[] for _ in range(n)], [[] for _ in range(n)]
    grid.upward = upward
    _route(grid)
    _fill_clusters(grid)
    grid.ranks = [[] for _ in range(max(grid.rank, default=-1) + 1)]
    for item, rank in enumerate(grid.rank):
        grid.ranks[rank].append(item)
    _Ordering(grid).run()
    return grid


# --- ranks ---------------------------------------------------------------------------------
def _rank_nodes(drawing: Drawing) -> tuple[list[int], list[bool]]:
    """The longest path from a source, then nodes next to their readers; and which edges are turned over to break cycles."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(drawing.nodes)))
    graph.add_edges_from((e.tail, e.head) for e in drawing.edges)
    component = {v: i for i, members in enumerate(nx.strongly_connected_components(graph)) for v in members}
    upward = [component[e.tail] == component[e.head] and e.tail > e.head for e in drawing.edges]
    acyclic = nx.DiGraph()
    acyclic.add_nodes_from(graph)
    acyclic.add_edges_from((e.head, e.tail) if turned else (e.tail, e.head) for e, turned in zip(drawing.edges, upward, strict=True))
    ordered = acyclic.copy()
    ordered.add_edges_from([] if any(upward) else drawing.above())
    rank = {v: r for r, generation in enumerate(nx.topological_generations(ordered)) for v in generation}
    for v in sorted(rank, key=lambda v: (-rank[v], v)):
        readers = acyclic.out_degree(v)
        if readers and readers > _stretched(acyclic, v, drawing.nodes):
            rank[v] = min(rank[u] for u in ordered.successors(v)) - 1
    return [rank[v] for v in range(len(drawing.nodes))], upward


def _stretched(graph: nx.DiGraph, v: int, nodes: Sequence[Node]) -> float:
    """How many edges become longer where `v` moves down towards its readers.

    A predecessor without other readers follows, so its edge does not count; one that is a leaf may follow.  An
    edge from another cluster counts less than one within, which keeps clusters compact.
    """
    stretched = 0.0
    for p in graph.predecessors(v):
        if graph.out_degree(p) > 1:
            stretched += 0.5 if not graph.in_degree(p) else 1.0 if nodes[p].cluster == nodes[v].cluster else 0.9
    return stretched


# --- bends and slots -------------------------------------------------------------------------
def _route(grid: Grid) -> None:
    """A chain of bends for each edge; edges that leave one place share their bends while they stay together.

    A bend is inside the head's clusters as soon as these have begun, so that edges enter boxes from above.
    """
    drawing, first = grid.drawing, _first_ranks(grid)
    bends: dict[tuple[int, float, int, int], int] = {}
    for edge, turned in zip(drawing.edges, grid.upward, strict=True):
        ends = ((edge.tail, edge.leave), (edge.head, edge.enter))
        (above, leave), (below, enter) = ends[::-1] if turned else ends
        within = list(drawing.ancestors(grid.cluster[below]))
        chain, offset = [above], (leave - 0.5) * grid.width[above]
        for rank in range(grid.rank[above] + 1, grid.rank[below]):
            cluster = next((c for c in within if first[c] <= rank), 0)
            key = (above, leave, rank, cluster)
            if key not in bends:
                bends[key] = grid.add(rank, cluster)
                grid.link(chain[-1], bends[key], offset, 0.0)
            chain.append(bends[key])
            offset = 0.0
        grid.link(chain[-1], below, offset, (enter - 0.5) * grid.width[below])
        grid.chains.append([*chain, below])


def _first_ranks(grid: Grid) -> list[int]:
    """The rank in which each cluster begins."""
    first = [len(grid.rank)] * len(grid.drawing.clusters)
    for item, cluster in enumerate(grid.cluster):
        for c in grid.drawing.ancestors(cluster):
            first[c] = min(first[c], grid.rank[item])
    return first


def _fill_clusters(grid: Grid) -> None:
    """A slot for each cluster in each rank between its first and its last where it has no item."""
    present: list[set[int]] = [set() for _ in grid.drawing.clusters]
    for item, cluster in enumerate(grid.cluster):
        for c in grid.drawing.ancestors(cluster):
            present[c].add(grid.rank[item])
    for c, ranks in reversed(list(enumerate(present))):
        for rank in range(min(ranks, default=0), max(ranks, default=-1) + 1):
            if rank not in ranks:
                grid.add(rank, c)
                for around in grid.drawing.ancestors(grid.drawing.clusters[c].parent):
                    present[around].add(rank)


# --- order -----------------------------------------------------------------------------------
class _Ordering:
    """Sweeps over a grid; `at` is where items would stand if each rank were packed around a common centre."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.paths = [tuple(reversed(list(grid.drawing.ancestors(c)))) for c in range(len(grid.drawing.clusters))]
        self.at: list[float] = [0.0] * len(grid.rank)
        self.value: list[float] = [0.0] * len(grid.rank)
        self.centres: list[dict[int, float]] = [{} for _ in grid.ranks]  # per rank, where its clusters stand
        self.cluster_at: list[float] = [0.0] * len(grid.drawing.clusters)

    def run(self) -> None:
        """Leave in `grid.ranks` the order with the fewest crossings seen."""
        for r in range(len(self.grid.ranks)):
            self._pack(r)
        best, fewest = [list(rank) for rank in self.grid.ranks], self._all_crossings()
        for sweep in range(max(2, min(_SWEEPS, _WORK // max(1, len(self.at))))):
            self._sweep(downward=sweep % 2 == 0)
            self._exchange_neighbours()
            crossings = self._all_crossings()
            if sweep == 0 or crossings < fewest:  # the first order is not sorted by clusters
                best, fewest = [list(rank) for rank in self.grid.ranks], crossings
            if fewest == 0:
                break
        self.grid.ranks = best

    def _sweep(self, downward: bool) -> None:
        self._place_clusters()
        grid = self.grid
        for r in range(len(grid.ranks)) if downward else reversed(range(len(grid.ranks))):
            for item in grid.ranks[r]:
                links = grid.up[item] if downward else grid.down[item]
                towards = [self.at[link.other] + link.other_offset - link.own_offset for link in links]
                self.value[item] = sum(towards) / len(towards) if towards else self.at[item]
            beside = r - 1 if downward else r + 1
            grid.ranks[r] = self._arrange(grid.ranks[r], 0, self.centres[beside] if 0 <= beside < len(grid.ranks) else {})
            self._pack(r)

    def _place_clusters(self) -> None:
        """Where each cluster stands on average: the order of siblings in all ranks of this sweep."""
        sums = [(0.0, 0)] * len(self.cluster_at)
        for item, cluster in enumerate(self.grid.cluster):
            for c in self.paths[cluster]:
                sums[c] = (sums[c][0] + self.at[item], sums[c][1] + 1)
        self.cluster_at = [s / n if n else 0.0 for s, n in sums]

    def _arrange(self, items: list[int], depth: int, centres: dict[int, float]) -> list[int]:
        """Items by value, those of a cluster together, clusters of this depth in their common order.

        A cluster goes straight on from its centre in the neighbouring rank, so that edges pass it on one side.
        """
        groups: dict[int, list[int]] = {}
        singles: list[int] = []
        for item in items:
            path = self.paths[self.grid.cluster[item]]
            if len(path) > depth:
                groups.setdefault(path[depth], []).append(item)
            else:
                singles.append(item)
        singles.sort(key=lambda i: self.value[i])
        if not groups:
            return singles
        order = sorted(groups, key=lambda c: (self.cluster_at[c], c))
        means = [centres[c] if c in centres else sum(self.value[i] for i in groups[c]) / len(groups[c]) for c in order]
        merged: list[int] = []
        rest = iter(singles)
        single = next(rest, None)
        for c, mean in zip(order, nondecreasing(means, [1.0] * len(means)), strict=True):
            while single is not None and self.value[single] <= mean:
                merged.append(single)
                single = next(rest, None)
            merged += self._arrange(groups[c], depth + 1, centres)
        return merged + ([] if single is None else [single, *rest])

    def _pack(self, r: int) -> None:
        rank = self.grid.ranks[r]
        widths = [self.grid.width[i] for i in rank]
        x = -(sum(widths) + GAP * (len(rank) - 1)) / 2
        for item, width in zip(rank, widths, strict=True):
            self.at[item] = x + width / 2
            x += width + GAP
        inside: dict[int, list[float]] = {}
        for item in rank:
            for c in self.paths[self.grid.cluster[item]]:
                inside.setdefault(c, []).append(self.at[item])
        self.centres[r] = {c: sum(at) / len(at) for c, at in inside.items()}

    def _exchange_neighbours(self) -> None:
        """Swap neighbours of one cluster wherever their own links cross less the other way round."""
        for r, rank in enumerate(self.grid.ranks):
            for _ in range(_EXCHANGES):
                swaps = 0
                for k in range(len(rank) - 1):
                    a, b = rank[k], rank[k + 1]
                    if self.grid.cluster[a] == self.grid.cluster[b] and self._gain(a, b) > 0:
                        rank[k], rank[k + 1] = b, a
                        swaps += 1
                if not swaps:
                    break
            self._pack(r)

    def _gain(self, a: int, b: int) -> int:
        """How many crossings leave if `b`, right of its neighbour `a`, moves to the left of it."""
        gain = 0
        for links in (self.grid.up, self.grid.down):
            ends = [self.at[k.other] + k.other_offset for k in links[b]]
            for k in links[a]:
                at = self.at[k.other] + k.other_offset
                gain += sum((at > end) - (at < end) for end in ends)
        return gain

    def _all_crossings(self) -> int:
        return sum(self._crossings(rank) for rank in self.grid.ranks[:-1])

    def _crossings(self, rank: list[int]) -> int:
        """Pairs of links below `rank` that cross, counted by insertion into a sorted list."""
        seen: list[float] = []
        crossings = 0
        ends = [(self.at[i] + k.own_offset, self.at[k.other] + k.other_offset) for i in rank for k in self.grid.down[i]]
        for _, lower in sorted(ends):
            crossings += len(seen) - bisect_right(seen, lower)
            insort(seen, lower)
        return crossings


def nondecreasing(values: list[float], weights: list[float]) -> list[float]:
    """The nondecreasing sequence nearest to `values` in the weighted sum of distances (pool adjacent violators).

    A pool takes its members' weighted median, so that the weightiest keep their places exactly.
    """
    pools: list[tuple[float, list[tuple[float, float]]]] = []  # median, sorted members
    for value, weight in zip(values, weights, strict=True):
        middle, members = value, [(value, weight)]
        while pools and pools[-1][0] > middle:
            members = sorted(pools.pop()[1] + members)
            middle = sum(weighted_median(members)) / 2
        pools.append((middle, members))
    return [middle for middle, members in pools for _ in members]


def weighted_median(members: list[tuple[float, float]]) -> tuple[float, float]:
    """The interval of points with half the weight of the sorted (value, weight) pairs on either side; mostly one point."""
    half = sum(weight for _, weight in members) / 2
    passed = 0.0
    for i, (value, weight) in enumerate(members):
        passed += weight
        if passed == half and i + 1 < len(members):
            return value, members[i + 1][0]
        if passed >= half:
            return value, value
    return members[-1][0], members[-1][0]
