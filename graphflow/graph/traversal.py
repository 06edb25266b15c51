"""Iterative walks over graphs: no recursion, order of construction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphflow.graph.variable import Apply, Variable


def toposort(outputs: Iterable[Variable], stop: frozenset[Variable] | set[Variable] = frozenset()) -> list[Apply]:
    """The Apply nodes that `outputs` need, inputs first; nodes above a `stop` Variable are left out."""
    order: list[Apply] = []
    state: dict[Apply, int] = {}  # 1: on the way, 2: done
    for output in outputs:
        if output.owner is None or output in stop or state.get(output.owner) == 2:
            continue
        stack = [output.owner]
        while stack:
            node = stack[-1]
            seen = state.get(node, 0)
            if seen:
                stack.pop()
                if seen == 1:
                    state[node] = 2
                    order.append(node)
                continue
            state[node] = 1
            above = (v.owner for v in reversed(node.inputs) if v not in stop)
            stack.extend(owner for owner in above if owner is not None and owner not in state)
    return order


def leaves(outputs: Iterable[Variable], stop: frozenset[Variable] | set[Variable] = frozenset()) -> list[Variable]:
    """Variables without an owner (and `stop` ones) that `outputs` depend on, in order of first use."""
    outputs = list(outputs)
    found: dict[Variable, None] = {}
    for node in toposort(outputs, stop):
        for v in node.inputs:
            if v.owner is None or v in stop:
                found.setdefault(v)
    for v in outputs:
        if v.owner is None or v in stop:
            found.setdefault(v)
    return list(found)


def consumers(nodes: Sequence[Apply]) -> dict[Variable, list[Apply]]:
    """For each Variable the nodes of `nodes` that take it, once per use."""
    uses: dict[Variable, list[Apply]] = {}
    for node in nodes:
        for v in node.inputs:
            uses.setdefault(v, []).append(node)
    return uses


def depends_on(outputs: Iterable[Variable], sources: Iterable[Variable]) -> set[Variable]:
    """All Variables between `sources` and `outputs`, both included where connected."""
    outputs = list(outputs)
    reached = set(sources)
    for node in toposort(outputs):
        if any(v in reached for v in node.inputs):
            reached.update(node.outputs)
    return reached
