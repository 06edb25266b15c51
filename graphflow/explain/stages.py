"""The graph before and after each pass: pictures, and the rules that fired."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphflow.compiler.fuse import Group
from graphflow.compiler.pipeline import Compilation, run_passes
from graphflow.compiler.program import Choice, Loop, Measure, Program, Step, bodies, walk
from graphflow.draw import picture
from graphflow.draw.model import make_drawing
from graphflow.graph import source
from graphflow.graph.errors import GraphError
from graphflow.graph.op import RegionOp
from graphflow.graph.traversal import toposort
from graphflow.graph.variable import Apply, Variable

MOST_DRAWN = 700  # nodes, above which name scopes are collapsed; and after that, nothing is drawn
MOST_FUSED = 1200  # nodes with their kernels around them: what a page is read for

DOCS = {
    "graph": "The graph as it was written, with gradients and updates.",
    "fuse": "Groups of nodes that become kernels. Click a node or a kernel's frame; drag to move, Ctrl and the wheel to zoom.",
}


@dataclass(frozen=True)
class Stage:
    """The graph after a pass: its picture, or a note on why there is none; `rules`: how often each fired.

    `framed`: for each frame in the picture the number of its kernel.
    """

    name: str
    doc: str
    ops: int
    svg: str
    note: str
    rules: Counter[str]
    framed: tuple[int, ...] = ()


def explain_stages(c: Compilation, names: Sequence[str]) -> list[Stage]:
    """Run all passes, with a Stage before the first and after each that changed the graph."""
    stages = [_stage("graph", DOCS["graph"], c.results, names, Counter())]
    fired, before = Counter(c.fired), c.results

    def look(name: str, step: Callable[[Compilation], None]) -> None:
        nonlocal fired, before
        if c.fired != fired or _shape(before) != _shape(c.results):
            stages.append(_stage(name, (step.__doc__ or "").partition("\n")[0], c.results, names, c.fired - fired))
        fired, before = Counter(c.fired), c.results

    run_passes(c, look=look)
    return stages


def _shape(results: Sequence[Variable]) -> list[object]:
    """What a picture shows of a graph: each node's op and operands, by number."""
    order = toposort(results)
    number = {node: i for i, node in enumerate(order)}

    def operand(v: Variable) -> object:
        return (number[v.owner], v.index) if v.owner is not None else v.label

    return [*((str(node.op), *map(operand, node.inputs)) for node in order), *map(operand, results)]


def numbered(program: Program) -> dict[Group, int]:
    """The numbers of kernels, calls, loops and branches, in the order in which they run."""
    groups = dict.fromkeys(step.group for step in walk(program.steps) if not isinstance(step, Measure) and step.group is not None)
    return {group: i for i, group in enumerate(groups)}


def fused_stages(c: Compilation, program: Program, names: Sequence[str]) -> list[Stage]:
    """The graph as the Program has it: a frame around the nodes of each kernel, call, loop and branch; and the bodies of those."""
    numbers = numbered(program)

    def groups_of(steps: Sequence[Step]) -> list[Sequence[Apply]]:
        inside = {step.group for step in steps if not isinstance(step, Measure)}
        return [group.members if group in inside else () for group in numbers]

    stages = [_stage("fuse", DOCS["fuse"], c.results, names, Counter(), groups_of(program.steps))]
    for step in walk(program.steps):
        if isinstance(step, Loop | Choice) and step.group is not None:
            node = step.group.members[0]
            assert isinstance(node.op, RegionOp)
            results = [v for region in node.op.regions for v in region.outputs]
            title = f"inside {numbers[step.group]}"
            doc = f"What {node.op.name} at {source.short(node.source)} does in each trip." if isinstance(step, Loop) else f"The branches of {node.op.name} at {source.short(node.source)}."
            inner = [inner for body in bodies(step) for inner in body]
            stages.append(_stage(title, doc, results, [v.name or f"result {i}" for i, v in enumerate(results)], Counter(), groups_of(inner)))
    return stages


def _stage(name: str, doc: str, results: Sequence[Variable], names: Sequence[str], rules: Counter[str], groups: Sequence[Sequence[Apply]] = ()) -> Stage:
    nodes = toposort(results)
    svg, note = "", ""
    named = list(zip(names, results, strict=True))
    if len(nodes) <= (MOST_FUSED if groups else MOST_DRAWN):
        svg = picture(make_drawing(named, kernels=groups))
    elif not groups and any(node.scope for node in nodes):
        try:
            drawing = make_drawing(named, collapse=True)
            svg, note = (picture(drawing), "Name scopes are collapsed.") if len(drawing.nodes) <= MOST_DRAWN else ("", "")
        except GraphError:
            note = ""
    if not svg:
        note = f"{len(nodes):,} ops are too many for a picture; gf.draw(..., collapse=...) draws parts."
    framed = tuple(i for i, group in enumerate(groups) if group)
    return Stage(name, doc, len(nodes), _embeddable(svg, name), note, rules, framed if svg else ())


def _embeddable(svg: str, name: str) -> str:
    """The picture without its style sheet, which the page has once, and with ids of its own."""
    svg = re.sub(r"<style>.*?</style>", "", svg, count=1, flags=re.S)
    svg = svg.replace("gf-arrow", f"arrow-{name.replace(' ', '-')}")
    return re.sub(r' id="(node|edge|cluster)(\d+)"', r' data-\1="\2"', svg)
