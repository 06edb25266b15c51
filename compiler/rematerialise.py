"""Recomputing values that are cheap to make instead of keeping them in memory.

Which ones is a minimum cut.  Take the launch at which the most memory is alive.  What runs after it needs values from
before it, and these may be made again from earlier ones, through elementwise nodes and views; the cheapest set of
values to keep, in bytes, separates what has to be in memory from what is needed.  Bits stay: nothing else is ever
computed twice, and random numbers are a function of their counter.

What is made again reads its operands through `Recall`, which waits for a value of its first user, so that it is
computed with that and not with what it is a copy of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from graphflow.compiler import memory
from graphflow.compiler.fuse import Fusion, Group, cost_of, fuse, point
from graphflow.compiler.order import alive, jobs_of, scheduled
from graphflow.graph.op import ReshapeOp, ScalarOp, ViewOp
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Apply, Constant, Shared, Variable

DIM = 1024  # the value of every Dim for which bytes are counted: where memory is short, batches are large
ROUNDS = 8  # peaks that are worked on, one after the other
WORTH = 0.99  # the part of a peak that may be left at most, else a cut is not worth its work
CHAINS = (30, 100, 400)  # instructions an element takes from what is kept, above which a value on the way is kept too; the best is taken
LARGEST = 2000  # values in a connected part up to which the cut is a minimum; in larger parts, what costs no memory


class Recall(ReshapeOp):
    """The memory of its first operand, read after its second was computed."""

    name = "recall"

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def reference(self, *arrays: Any) -> Any:
        return arrays[0]


def rematerialise(outputs: Sequence[Variable], updates: Sequence[tuple[Shared, Variable]]) -> list[Variable]:
    """Outputs and new state of a graph that can be fused, with a lower peak of memory where recomputing gives one."""
    results = [*outputs, *(v for _, v in updates)]
    state = [s for s, _ in updates]
    now = Timeline(results, state)
    for _ in range(ROUNDS):
        new = min((Timeline(_Rebuild(now, chain).results(), state) for chain in CHAINS), key=lambda made: made.peak)
        if new.peak > WORTH * now.peak:
            break
        now = new
    return now.results


class Timeline:
    """When nodes run, by fusion and the order of launches, and the launch at which the most memory is alive."""

    def __init__(self, results: Sequence[Variable], state: Sequence[Shared]) -> None:
        self.results = list(results)
        fusion = fuse(self.results)
        groups = [g for g in fusion.groups if g.stores]
        fetched = len(results) - len(state)
        fetches = {fusion.root(v) for v in self.results[:fetched]}
        written: dict[Variable, list[Shared]] = {}
        for s, v in zip(state, self.results[fetched:], strict=True):
            written.setdefault(fusion.root(v), []).append(s)
        order = scheduled(jobs_of([(g.stores, _touched(fusion, g)) for g in groups], written, fetches, DIM))
        bytes_ = alive(order)
        self.peak = max(bytes_, default=0)
        self.turn = bytes_.index(self.peak) if bytes_ else 0
        self.nodes = fusion.nodes
        self.time = _first_launches(fusion, {groups[job.number]: at for at, job in enumerate(order)})
        self.at_turn = next(iter(groups[order[self.turn].number].stores)) if order else None
        self.stored = {v: v in fetches for g in groups for v in g.stores}

    def price(self, v: Variable) -> int:
        """What keeping a value takes: bytes, if it is not fetched; of equal ones, what is stored already comes first, views come last."""
        root = Fusion.root(v)
        if root in self.stored:
            return 0 if self.stored[root] else 4 * memory.guide_size(v.type.nbytes, DIM)
        return 4 * memory.guide_size(v.type.nbytes, DIM) + (2 if v.owner is not None and isinstance(v.owner.op, ViewOp) else 1)

    def is_late(self, v: Variable) -> bool:
        """Is it computed after the peak?"""
        return v.owner is not None and self.time[v.owner] > self.turn


def _touched(fusion: Fusion, group: Group) -> Iterator[Variable]:
    """The memory a group reads."""
    for node in group.members:
        for access in fusion.node_accesses(node):
            yield fusion.root(access.base)
    if not group.members:
        for v in group.stores:
            for access in fusion.accesses(v, point(v.shape), inlined_root=True):
                yield fusion.root(access.base)


def _first_launches(fusion: Fusion, place: dict[Group, int]) -> dict[Apply, int]:
    """The first launch that computes a node; what is inlined is computed by its users."""
    time: dict[Apply, int] = {}
    for node in reversed(fusion.nodes):
        group = fusion.group_of.get(node.outputs[0])
        own = min(time.get(node, len(place)), place[group] if group in place else len(place))
        time[node] = own
        for v in node.inputs:
            if v.owner is not None:
                time[v.owner] = min(own, time.get(v.owner, own))
    return time


# --- the cut ----------------------------------------------------------------------------------------
def _recomputed(timeline: Timeline, chain: int) -> set[Variable]:
    """The values from before the peak that are made again after it, by at most `chain` instructions an element."""
    late = [node for node in timeline.nodes if timeline.is_late(node.outputs[0])]
    needed = {v for node in late for v in node.inputs if v.owner is not None and not timeline.is_late(v)}
    made_from = _sources(timeline, chain)
    concerned, stack = set(needed), list(needed)
    while stack:
        new = [x for x in made_from.get(stack.pop(), ()) if x not in concerned]
        concerned.update(new)
        stack.extend(new)
    found: set[Variable] = set()
    for part in _parts([v for node in timeline.nodes for v in node.outputs if v in concerned], made_from):
        if len(part) > LARGEST:
            found |= _free(part, made_from, needed)
        elif any(v in made_from and v in needed for v in part):
            found |= _above_cut(part, made_from, needed, {v: timeline.price(v) for v in part})
    return found


def _sources(timeline: Timeline, chain: int) -> dict[Variable, list[Variable]]:
    """What each early value that may be made again is made of, leaves apart."""
    made_from: dict[Variable, list[Variable]] = {}
    cost: dict[Variable, int] = {}
    for node in timeline.nodes:
        v = node.outputs[0]
        if isinstance(node.op, ScalarOp | ViewOp) and not timeline.is_late(v):
            inputs = [x for x in _operands(node) if x.owner is not None]
            total = cost_of(node) * isinstance(node.op, ScalarOp) + max((cost.get(x, 0) for x in inputs), default=0)
            if total <= chain:
                made_from[v], cost[v] = inputs, total
    return made_from


def _operands(node: Apply) -> Sequence[Variable]:
    """What a node computes with: not what it waits for."""
    return node.inputs[:1] if isinstance(node.op, Recall) else node.inputs


def _parts(values: Sequence[Variable], made_from: dict[Variable, list[Variable]]) -> list[list[Variable]]:
    """The values in connected parts, each in the order given."""
    leader = {v: v for v in values}

    def find(v: Variable) -> Variable:
        while leader[v] is not v:
            leader[v] = leader[leader[v]]
            v = leader[v]
        return v

    for v in values:
        for x in made_from.get(v, ()):
            leader[find(x)] = find(v)
    parts: dict[Variable, list[Variable]] = {}
    for v in values:
        parts.setdefault(find(v), []).append(v)
    return list(parts.values())


def _above_cut(part: Sequence[Variable], made_from: dict[Variable, list[Variable]], needed: set[Variable], price: dict[Variable, int]) -> set[Variable]:
    """What a minimum cut recomputes; of several, the one that recomputes least.

    A value is an edge with its price as capacity, from where it is made to where it is used; other edges have no bound.
    """
    import networkx as nx

    net = nx.DiGraph()
    for v in part:
        net.add_edge((v, "made"), (v, "used"), capacity=price[v])
        if v in needed:
            net.add_edge((v, "used"), "needed")
        if v not in made_from:
            net.add_edge("kept", (v, "made"))
        for x in made_from.get(v, ()):
            net.add_edge((x, "used"), (v, "made"))
    if "kept" not in net:
        return set(part)
    _, (_, after) = nx.minimum_cut(net, "kept", "needed")  # networkx makes the second part the smallest
    return {v for v in part if (v, "made") in after}


def _free(part: Sequence[Variable], made_from: dict[Variable, list[Variable]], needed: set[Variable]) -> set[Variable]:
    """What can be made from needed values that are kept anyway."""
    found: set[Variable] = set()
    there: set[Variable] = set()
    for v in part:  # inputs first
        if v in made_from and all(x in there for x in made_from[v]):
            found.add(v)
            there.add(v)
        elif v in needed:
            there.add(v)
    return found


# --- the new graph ----------------------------------------------------------------------------------
class _Rebuild:
    """The graph in which late nodes use copies of the values that are recomputed.

    Late nodes that depend on early values only are copies too: they belong to their first user.
    """

    def __init__(self, timeline: Timeline, chain: int) -> None:
        self.timeline = timeline
        self.recomputed = _recomputed(timeline, chain)
        self.rank = {node: i for i, node in enumerate(sorted(timeline.nodes, key=lambda node: timeline.time[node]))}
        self.new: dict[Variable, Variable] = {}
        self.copies: dict[Variable, Variable] = {}

    def results(self) -> list[Variable]:
        if not self.recomputed:
            return self.timeline.results
        fixed: set[Variable] = set()  # late values that wait for others: their users can wait for them
        for node in self.timeline.nodes:
            if self.timeline.is_late(node.outputs[0]) and (not isinstance(node.op, ScalarOp | ViewOp) or any(v in fixed for v in node.inputs)):
                fixed.update(node.outputs)
        for node in self.rank:
            if node.outputs[0] in fixed:
                waited_for = max((v for v in node.inputs if v in fixed), key=lambda v: self.rank[v.owner], default=None)  # type: ignore[index]
                trigger = self.timeline.at_turn if waited_for is None else self.new[waited_for]
                inputs = [v if v.owner is None or self.is_kept(v) else self.again(v, trigger) for v in node.inputs]
                self.new.update(zip(node.outputs, _remade(node, inputs), strict=True))
        return [v if not self.timeline.is_late(v) else self.again(v, self.timeline.at_turn) for v in self.timeline.results]

    def is_kept(self, v: Variable) -> bool:
        return not self.timeline.is_late(v) and v not in self.recomputed

    def again(self, wanted: Variable, trigger: Variable | None) -> Variable:
        """The value after the peak: as it is made there, or a copy that is computed no earlier than `trigger`."""
        stack = [wanted]
        while stack:
            v = stack[-1]
            node = v.owner
            if v in self.new or v in self.copies or self.is_leaf(v):
                stack.pop()
                continue
            assert node is not None
            inputs = _operands(node)
            if missing := [x for x in inputs if not (x in self.new or x in self.copies or self.is_leaf(x))]:
                stack.extend(reversed(missing))
                continue
            made = [self.found(x, trigger) for x in inputs]
            self.copies.update(zip(node.outputs, [made[0]] if isinstance(node.op, Recall) else _remade(node, made), strict=True))
        return self.found(wanted, trigger)

    def is_leaf(self, v: Variable) -> bool:
        """Is it read where a copy needs it: a leaf or a value that was kept?"""
        return v.owner is None or self.is_kept(v)

    def found(self, v: Variable, trigger: Variable | None) -> Variable:
        if not self.is_leaf(v):
            return self.new[v] if v in self.new else self.copies[v]
        if isinstance(v, Constant) or (v.owner is not None and not v.owner.inputs) or trigger is None:
            return v
        return Apply(Recall(), [v, trigger], [v.type]).outputs[0]


def _remade(node: Apply, inputs: Sequence[Variable]) -> Sequence[Variable]:
    """The outputs of the node on other inputs."""
    if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
        return node.outputs
    made = Apply(node.op, inputs, [v.type for v in node.outputs], node.constraints)
    made.source, made.scope = node.source, node.scope
    return made.outputs
