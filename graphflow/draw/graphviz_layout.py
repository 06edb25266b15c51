"""Positions from Graphviz's `dot`.  Only geometry crosses: sizes go in, positions and curves come out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

from graphflow.draw.graphviz_edges import neat_edges
from graphflow.draw.layout import Box, Layout, Path
from graphflow.draw.model import Drawing, Edge, Node
from graphflow.draw.text import STYLES, text_width
from graphflow.graph.errors import GraphError, MissingExtraError

_POINTS = 72.0  # dot's unit of sizes is the inch, of positions the point: one pixel here


def available() -> bool:
    """True if the `dot` program can be run."""
    return shutil.which("dot") is not None


def graphviz_layout(drawing: Drawing) -> Layout:
    """Lay out with `dot`.  Raises MissingExtraError if the program is not installed, GraphError if it fails."""
    import graphviz

    source = "\n".join(_source(drawing)).encode()
    try:
        answer = graphviz.pipe("dot", "json0", source, quiet=True)
    except graphviz.ExecutableNotFound:
        raise MissingExtraError(
            "layout='dot' runs the `dot` program of Graphviz, which was not found",
            hint="install Graphviz (apt-get install graphviz, brew install graphviz), or use layout='layered'",
        ) from None
    except graphviz.CalledProcessError as e:
        raise GraphError(f"Graphviz could not lay out the graph: {e}", hint="use layout='layered'") from None
    return _read(drawing, json.loads(answer))


# --- to dot ------------------------------------------------------------------------------------
def _source(drawing: Drawing) -> Iterator[str]:
    yield "digraph {"
    yield "graph [rankdir=TB newrank=true nodesep=0.25 ranksep=0.36 pad=0 margin=0 remincross=true nslimit=30]"
    yield "node [shape=box fixedsize=true label=\"\" margin=0] edge [arrowhead=none]"
    ports = _ports(drawing)
    inside: list[list[str]] = [[] for _ in drawing.clusters]
    for i, node in enumerate(drawing.nodes):
        inside[node.cluster].append(_node(i, node, *ports[i]))
    yield from _clusters(drawing, inside)
    for i, edge in enumerate(drawing.edges):
        yield _edge(i, edge, drawing, ports)
    for u, v in drawing.above():
        yield f"n{u} -> n{v} [style=invis weight=0]"
    yield "}"


def _ports(drawing: Drawing) -> list[tuple[list[float], list[float]]]:
    """Where edges enter and leave each node, as sorted fractions of its width."""
    enter: list[set[float]] = [set() for _ in drawing.nodes]
    leave: list[set[float]] = [set() for _ in drawing.nodes]
    for edge in drawing.edges:
        leave[edge.tail].add(edge.leave)
        enter[edge.head].add(edge.enter)
    return [(sorted(e), sorted(o)) for e, o in zip(enter, leave, strict=True)]


def _clusters(drawing: Drawing, inside: list[list[str]]) -> Iterator[str]:
    """Nested subgraphs, children before the nodes of their parent; no recursion."""
    children: list[list[int]] = [[] for _ in drawing.clusters]
    for i, cluster in enumerate(drawing.clusters[1:], start=1):
        children[cluster.parent].append(i)
    stack: list[int | str] = [0]
    while stack:
        top = stack.pop()
        if isinstance(top, str):
            yield top
            continue
        if top:
            style = STYLES["note"]
            width = text_width(drawing.clusters[top].title, style) + 12
            label = f'<<table border="0" fixedsize="true" width="{width:.0f}" height="{style.leading:.0f}"><tr><td></td></tr></table>>'
            yield f'subgraph cluster_{top} {{ id="c{top}" margin=10 labeljust=l label={label}'
            stack.append("}")
        yield from inside[top]
        stack.extend(reversed(children[top]))


def _node(i: int, node: Node, enter: list[float], leave: list[float]) -> str:
    size = f'width={node.width / _POINTS:.4f} height={node.height / _POINTS:.4f} id="n{i}"'
    if len(enter) < 2 and len(leave) < 2:
        return f"n{i} [{size}]"
    rows = [_port_row("i", enter or [0.5], node), _port_row("o", leave or [0.5], node)]
    table = f'border="0" cellborder="0" cellspacing="0" cellpadding="0" fixedsize="true" width="{node.width:.0f}" height="{node.height:.0f}"'
    return f"n{i} [{size} label=<<table {table}>{''.join(rows)}</table>>]"


def _port_row(name: str, places: list[float], node: Node) -> str:
    """A row of cells whose centres are at `places`; each cell is as wide as its neighbours allow."""
    cells: list[str] = []
    at = 0.0
    for k, place in enumerate(places):
        half = min(place - at, (places[k + 1] - place) / 2 if k + 1 < len(places) else 1 - place)
        cells += [_cell("", (place - half - at) * node.width), _cell(f' port="{name}{k}"', 2 * half * node.width)]
        at = place + half
    cells.append(_cell("", (1 - at) * node.width))
    inner = f'<table border="0" cellborder="0" cellspacing="0" cellpadding="0"><tr>{"".join(cells)}</tr></table>'
    return f"<tr><td>{inner}</td></tr>"


def _cell(port: str, width: float) -> str:
    return f'<td{port} fixedsize="true" width="{int(width)}" height="4"></td>' if width >= 1 else ""


def _edge(i: int, edge: Edge, drawing: Drawing, ports: list[tuple[list[float], list[float]]]) -> str:
    enter, leave = ports[edge.head], ports[edge.tail]
    # a node has a table of ports as soon as either side has two
    head = f"i{enter[0].index(edge.enter)}:n" if max(map(len, enter)) > 1 else "n"
    tail = f"o{leave[1].index(edge.leave)}:s" if max(map(len, leave)) > 1 else "s"
    weight = 4 if not drawing.nodes[edge.head].bordered else 1
    return f'n{edge.tail}:{tail} -> n{edge.head}:{head} [id="e{i}" weight={weight}]'


# --- from dot ----------------------------------------------------------------------------------
def _read(drawing: Drawing, answer: dict[str, Any]) -> Layout:
    left, bottom, right, top = map(float, answer["bb"].split(","))

    def point(text: str) -> tuple[float, float]:
        x, y = text.split(",")
        return float(x) - left, top - float(y)

    nodes: dict[str, Box] = {}
    clusters: dict[str, Box] = {}
    for item in answer.get("objects", ()):
        if "bb" in item:
            x0, y0, x1, y1 = map(float, item["bb"].split(","))
            clusters[item["id"]] = Box(x0 - left, top - y1, x1 - left, top - y0)
        else:
            x, y = point(item["pos"])
            node = drawing.nodes[int(item["id"][1:])]
            nodes[item["id"]] = Box(x - node.width / 2, y - node.height / 2, x + node.width / 2, y + node.height / 2)
    edges: dict[str, Path] = {item["id"]: tuple(map(point, item["pos"].split())) for item in answer.get("edges", ()) if "id" in item}
    placed = tuple(nodes[f"n{i}"] for i in range(len(drawing.nodes)))
    return Layout(
        placed,
        (None, *(clusters[f"c{i}"] for i in range(1, len(drawing.clusters)))),
        neat_edges(drawing.edges, placed, [edges[f"e{i}"] for i in range(len(drawing.edges))]),
        right - left,
        top - bottom,
    )
