"""`gf.draw`: a graph, before or after any pass of the compiler, as an SVG picture.

`model` turns a graph into nodes, edges and clusters; `graphviz_layout` or `layered_layout` places them;
`svg` writes the picture.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from graphflow.draw.fetches import named_outputs
from graphflow.draw.model import Drawing, make_drawing
from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Apply

__all__ = ["draw"]

_DOT_UP_TO = 400  # nodes; above, `dot` may take minutes where our own layout takes seconds


class Svg(str):
    """The text of a picture, which notebooks show as the picture."""

    def _repr_svg_(self) -> str:
        return str(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("<a picture: SVG>")


def draw(
    fetches: Any,
    path: str | os.PathLike[str] | None = None,
    pass_: str | None = None,
    *,
    variables: bool = False,
    collapse: bool | str | Sequence[str] = False,
    layout: str = "auto",
) -> Svg:
    """The SVG text of the graph of `fetches`; written to `path`, too, when one is given.  A notebook shows the picture.

    Apply nodes are boxes with op, parameters and FLOPs; placeholders are green, shared variables blue, constants
    grey, outputs have a blue border.  Edges carry the type of the result and its bytes.

    `fetches`: a Variable, a list, tuple or dict of them, a compiled function or a model.
    `pass_`: draw the graph as it is after this pass of the compiler; 'fuse' boxes the kernels.
    `variables`: every Variable is a node, as in Theano's pictures.
    `collapse`: name scopes to draw as one box each; True for all outermost ones.
    `layout`: 'dot' (Graphviz), 'layered' (our own), or 'auto': Graphviz where it is installed, for up to
    400 nodes.

    Raises GraphError for fetches that are no graph and for more than 2,000 nodes, MissingExtraError if
    layout='dot' and Graphviz is not installed.
    """
    if layout not in ("auto", "dot", "layered"):
        raise GraphError(f"layout={layout!r} is not known", hint="use 'auto', 'dot' or 'layered'")
    outputs = named_outputs(fetches)
    kernels: list[list[Apply]] = []
    if pass_ is not None:
        outputs, kernels = _after_pass(outputs, pass_)
    drawing = make_drawing(outputs, variables=variables, kernels=kernels, collapse=collapse)
    text = Svg(picture(drawing, layout))
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def _after_pass(outputs: list[tuple[str, Any]], pass_: str) -> tuple[list[tuple[str, Any]], list[list[Apply]]]:
    """The compiler's own graph after a pass, under the names of the user's fetches; and its kernels."""
    from graphflow.compiler import pipeline

    after = pipeline.snapshot([v for _, v in outputs], pass_, when="after")
    named = [(name or v.name or "", new) for (name, v), new in zip(outputs, after, strict=True)]
    return named, pipeline.groups(after) if pass_ == "fuse" else []


def picture(drawing: Drawing, layout: str = "auto") -> str:
    """Place and write; the layouts and the writer are imported only when something is drawn."""
    from graphflow.draw import graphviz_layout, layered_layout
    from graphflow.draw.svg import write_svg

    quick = len(drawing.nodes) <= _DOT_UP_TO and graphviz_layout.available()
    with_dot = layout == "dot" or (layout == "auto" and quick)
    place = graphviz_layout.graphviz_layout if with_dot else layered_layout.layered_layout
    return write_svg(drawing, place(drawing))


class _Callable(ModuleType):
    """Importing a module of this package makes `gf.draw` the package; it draws all the same."""

    __call__ = staticmethod(draw)


sys.modules[__name__].__class__ = _Callable
