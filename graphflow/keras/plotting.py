"""`plot_model`: a model as a picture, one box for each layer.

Graphviz's `dot` places and paints where it is installed; without it SVG files are laid out by `graphflow.draw`.
"""

from __future__ import annotations

import html
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphflow.draw import graphviz_layout, layered_layout
from graphflow.draw.model import Cluster, Drawing, Edge, Node
from graphflow.draw.svg import write_svg
from graphflow.draw.text import Line
from graphflow.graph.errors import GraphError, MissingExtraError
from graphflow.keras.engine.node import UnconnectedError
from graphflow.keras.structure import as_list

__all__ = ["Dot", "model_to_dot", "plot_model"]

_RANKDIRS = ("TB", "LR", "BT", "RL")
_FONT = "Helvetica"


@dataclass(frozen=True)
class Box:
    """A layer: its title, then rows of (label, text).  `cluster`: the number of the nested model that it is in."""

    title: str
    rows: tuple[tuple[str, str], ...]
    cluster: int
    is_input: bool


@dataclass
class Picture:
    """Boxes, arrows between them by number, and nested models as (title, number of the one around)."""

    boxes: list[Box] = field(default_factory=list)
    arrows: dict[tuple[int, int], None] = field(default_factory=dict)
    clusters: list[tuple[str, int]] = field(default_factory=lambda: [("", 0)])


def plot_model(
    model: Any,
    to_file: str | os.PathLike[str] = "model.png",
    show_shapes: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 96,
    show_dtype: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
) -> Any:
    """Write a picture of a model; what it shows is said as for `model_to_dot`.

    The file's suffix is its format: .png, .svg, .pdf, .dot and what else Graphviz paints.  In a notebook PNG and SVG
    pictures are returned, to be seen.  Raises MissingExtraError for a format that needs Graphviz where that is not installed.
    """
    dot = model_to_dot(
        model, show_shapes, show_layer_names, rankdir, expand_nested, dpi,
        show_dtype=show_dtype, show_layer_activations=show_layer_activations, show_trainable=show_trainable,
    )  # fmt: skip
    path = Path(to_file) if Path(to_file).suffix else Path(f"{os.fspath(to_file)}.png")
    dot.write(path)
    return _seen(path) if "ipykernel" in sys.modules else None


def model_to_dot(
    model: Any,
    show_shapes: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 96,
    subgraph: bool = False,
    show_dtype: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
) -> Dot:
    """A model in Graphviz's language.

    `rankdir`: 'TB' from top to bottom, or 'LR', 'BT', 'RL'.  `expand_nested`: models inside the model are drawn with
    their layers, in a frame.  The other options say what stands in a box.
    """
    if rankdir not in _RANKDIRS:
        raise GraphError(f"rankdir={rankdir!r} is not known", hint=f"use one of {', '.join(_RANKDIRS)}")

    def box(layer: Any, cluster: int) -> Box:
        title = f"{layer.name}: {type(layer).__name__}" if show_layer_names else type(layer).__name__
        is_input = type(layer).__name__ == "InputLayer"  # what it takes is what it gives
        shapes = (("input:", _shape(layer, "output_shape" if is_input else "input_shape")), ("output:", _shape(layer, "output_shape")))
        activation = getattr(layer, "activation", None)
        rows = [
            *((("activation:", getattr(activation, "__name__", str(activation))),) if show_layer_activations and activation is not None else ()),
            *((("dtype:", str(layer.dtype)),) if show_dtype else ()),
            *((("trainable:", "yes" if layer.trainable else "no"),) if show_trainable and layer.weights else ()),
            *(shapes if show_shapes else ()),
        ]
        return Box(title, tuple(rows), cluster, is_input)

    return Dot(_draw(model, box, expand_nested), rankdir, dpi, subgraph)


# --- from layers to boxes --------------------------------------------------------------------------
def _draw(model: Any, box: Callable[[Any, int], Box], expand_nested: bool) -> Picture:
    picture = Picture()
    _add_model(picture, model, box, 0, expand_nested)
    return picture


def _add_model(picture: Picture, model: Any, box: Callable[[Any, int], Box], cluster: int, expand: bool) -> tuple[list[int], list[int]]:
    """Add the layers of a model; the boxes that its inputs enter, and those that its outputs leave."""
    graph = model.__dict__.get("_layer_graph")
    if graph is None:
        raise GraphError(f"{model.name} has no graph of layers yet", hint="build it, or call it on inputs; a subclassed model has none at all")
    enters: dict[Any, list[int]] = {}
    leaves: dict[Any, list[int]] = {}
    for node in graph.nodes:
        layer = node.layer
        if layer not in enters:
            if expand and layer.__dict__.get("_layer_graph") is not None:
                picture.clusters.append((layer.name, cluster))
                enters[layer], leaves[layer] = _add_model(picture, layer, box, len(picture.clusters) - 1, expand)
            else:
                enters[layer] = leaves[layer] = [len(picture.boxes)]
                picture.boxes.append(box(layer, cluster))
        for number, (v, parent) in enumerate(zip(node.inputs, node.parents, strict=True)):
            tail = _pick(leaves[parent.layer], parent.outputs.index(v))
            picture.arrows[tail, _pick(enters[layer], number)] = None
    inputs = [_producer(graph, v) for v in model.inputs]
    outputs = [_producer(graph, v) for v in model.outputs]
    return [_pick(enters[n.layer], n.outputs.index(v)) for n, v in zip(inputs, model.inputs, strict=True)], [
        _pick(leaves[n.layer], n.outputs.index(v)) for n, v in zip(outputs, model.outputs, strict=True)
    ]


def _producer(graph: Any, v: Any) -> Any:
    return next(node for node in graph.nodes if any(v is out for out in node.outputs))


def _pick(boxes: Sequence[int], number: int) -> int:
    return boxes[number] if len(boxes) > 1 else boxes[0]


def _shape(layer: Any, which: str) -> str:
    try:
        shape = getattr(layer, which)
    except UnconnectedError:
        return "multiple"
    several = bool(shape) and isinstance(shape, list)
    return ", ".join(map(str, shape)) if several else str(tuple(as_list(shape)))


# --- pictures --------------------------------------------------------------------------------------
class Dot:
    """A picture in Graphviz's language.  `create(format="svg")` and `write(path)` paint it; so do create_png, write_svg ..."""

    def __init__(self, picture: Picture, rankdir: str = "TB", dpi: int = 96, subgraph: bool = False) -> None:
        self._picture = picture
        self._rankdir = rankdir
        self._subgraph = subgraph
        self.source = self._source_at(dpi)

    def _source_at(self, dpi: int) -> str:
        return "\n".join(_source(self._picture, self._rankdir, dpi, self._subgraph)) + "\n"

    def to_string(self) -> str:
        return self.source

    def create(self, prog: str = "dot", format: str = "svg") -> bytes:
        """The picture in this format.  Raises MissingExtraError where it needs Graphviz and that is not installed."""
        if format in ("dot", "gv", "raw"):
            return self.source.encode()
        if not graphviz_layout.available():
            if format == "svg" and self._rankdir == "TB":
                drawing = _drawing(self._picture)
                return write_svg(drawing, layered_layout.layered_layout(drawing)).encode()
            raise MissingExtraError(
                f"a picture as {format} is painted by the `dot` program of Graphviz, which was not found",
                hint="install Graphviz (apt-get install graphviz, brew install graphviz), or write an .svg file from top to bottom",
            )
        import graphviz

        try:
            # at another resolution Graphviz scales what is in an SVG but not its viewBox, which cuts the picture off
            source = self._source_at(72) if format == "svg" else self.source
            painted: bytes = graphviz.pipe(prog, format, source.encode(), quiet=True)
        except (graphviz.CalledProcessError, ValueError) as error:
            raise GraphError(f"Graphviz could not paint the picture: {error}") from None
        return painted

    def write(self, path: str | os.PathLike[str], prog: str = "dot", format: str | None = None) -> bool:
        """Write the picture to a file, in the format of its suffix."""
        Path(path).write_bytes(self.create(prog, format or Path(path).suffix.lstrip(".").lower() or "png"))
        return True

    def __getattr__(self, name: str) -> Any:
        verb, _, kind = name.partition("_")
        if verb == "create" and kind:
            return lambda prog="dot": self.create(prog, kind)
        if verb == "write" and kind:
            return lambda path, prog="dot": self.write(path, prog, kind)
        raise AttributeError(name)

    def _repr_svg_(self) -> str:
        return self.create(format="svg").decode()


def _source(picture: Picture, rankdir: str, dpi: int, subgraph: bool) -> Iterator[str]:
    yield 'subgraph "cluster_model" {' if subgraph else "digraph {"
    yield f"graph [rankdir={rankdir} dpi={dpi} concentrate=true]"
    yield f'node [shape=plain fontname="{_FONT}" fontsize=12] edge [color="#64748b"]'
    yield from _cluster(picture, 0)
    yield from (f"n{tail} -> n{head}" for tail, head in picture.arrows)
    yield "}"


def _cluster(picture: Picture, number: int) -> Iterator[str]:
    yield from (f"n{i} [label=<{_table(box)}>]" for i, box in enumerate(picture.boxes) if box.cluster == number)
    for i, (title, around) in enumerate(picture.clusters):
        if i and around == number:
            yield f'subgraph cluster_{i} {{ label=<{html.escape(title)}> labeljust=l style=dashed color="#94a3b8" fontname="{_FONT}"'
            yield from _cluster(picture, i)
            yield "}"


def _table(box: Box) -> str:
    colour = "#dcfce7" if box.is_input else "#eef2f6"
    rows = "".join(f'<tr><td align="left">{html.escape(label)}</td><td align="left">{html.escape(text)}</td></tr>' for label, text in box.rows)
    across = ' colspan="2"' if box.rows else ""
    title = f'<tr><td{across} bgcolor="{colour}" cellpadding="6"><b>{html.escape(box.title)}</b></td></tr>'
    return f'<table border="0" cellborder="1" cellspacing="0" cellpadding="4" color="#64748b">{title}{rows}</table>'


def _drawing(picture: Picture) -> Drawing:
    """For graphflow's own layout."""
    drawing = Drawing()
    drawing.clusters += [Cluster(title, around, "scope", title) for title, around in picture.clusters[1:]]
    for box in picture.boxes:
        lines = (Line(box.title, "title"), *(Line(f"{label} {text}", "code") for label, text in box.rows))
        drawing.nodes.append(Node("placeholder", lines, box.title, box.cluster) if box.is_input else Node("apply", lines, box.title, box.cluster, "view"))
    drawing.edges += [Edge(tail, head) for tail, head in picture.arrows]
    return drawing


def _seen(path: Path) -> Any:
    """What a notebook shows."""
    from IPython import display

    display_as: dict[str, Any] = {".svg": display.SVG, ".png": display.Image, ".jpg": display.Image, ".jpeg": display.Image}
    show = display_as.get(path.suffix)
    return show(filename=os.fspath(path)) if show is not None else None
