"""`summary()`: a model as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.engine.node import Node, UnconnectedError, history, is_fixed

Layout = tuple[int, tuple[float, ...], tuple[str, ...]]
_CHAIN: Layout = (65, (0.45, 0.85, 1.0), ("Layer (type)", "Output Shape", "Param #"))
_GRAPH: Layout = (98, (0.33, 0.55, 0.67, 1.0), ("Layer (type)", "Output Shape", "Param #", "Connected to"))


def print_summary(model: Any, line_length: int | None = None, positions: Sequence[float] | None = None, print_fn: Callable[[str], Any] | None = None) -> None:
    """Print one row for each layer, and the numbers of weights.

    `positions`: where columns end, in characters or as parts of the line.
    """
    say = print_fn or print
    graph = model.__dict__.get("_layer_graph")
    nodes = graph.nodes if graph is not None else []
    chain = _is_chain(model, nodes)
    usual_width, usual_ends, titles = _CHAIN if chain else _GRAPH
    width, ends = line_length or usual_width, tuple(positions or usual_ends)
    columns = [int(width * p) for p in ends] if ends[-1] <= 1 else [int(p) for p in ends]
    if generation.resolve("summary has a title"):
        say(f'Model: "{model.name}"')
    say("_" * width)
    say(row(titles, columns))
    say("=" * width)
    layers = model.layers
    for number, layer in enumerate(layers, 1):
        for line in _lines(layer, None if chain else nodes):
            say(row(line, columns))
        say(("=" if number == len(layers) else "_") * width)
    trainable = sum(K.count_params(w) for w in model.trainable_weights)
    fixed = sum(K.count_params(w) for w in model.non_trainable_weights)
    say(f"Total params: {trainable + fixed:,}")
    say(f"Trainable params: {trainable:,}")
    say(f"Non-trainable params: {fixed:,}")
    say("_" * width)


def row(fields: Sequence[str], columns: Sequence[int]) -> str:
    """Fields that end before their columns; a long one is cut, with a space before the next."""
    line = ""
    for text, end in zip(fields, columns, strict=False):
        line = f"{line[:-1]} {text}" if line else text
        line = line[:end].ljust(end)
    return line


def _is_chain(model: Any, nodes: Sequence[Node]) -> bool:
    """Whether each layer is called once, on the result of the one before."""
    if not nodes:
        return True
    straight = all(len(level) == 1 and len(level[0].inputs) <= 1 for level in model._layer_graph.nodes_by_depth.values())
    return straight and all(sum(node in nodes for node in layer._inbound_nodes) <= 1 for layer in model.layers)


def _lines(layer: Any, nodes: Sequence[Node] | None) -> list[tuple[str, ...]]:
    """The layer's row; with `nodes`, also what it is connected to, one input on each line."""
    try:
        shape = str(layer.output_shape)
    except UnconnectedError:
        shape = "multiple"
    first = (f"{layer.name} ({type(layer).__name__})", shape, str(layer.count_params()))
    if nodes is None:
        return [first]
    sources = [f"{h.node.layer.name}[{h.node.layer._inbound_nodes.index(h.node)}][{h.index}]" for h in _inputs(layer, nodes)]
    return [(*first, sources[0] if sources else ""), *(("", "", "", name) for name in sources[1:])]


def _inputs(layer: Any, nodes: Sequence[Node]) -> list[Any]:
    return [history(v) for node in layer._inbound_nodes if node in nodes for v in node.inputs if not is_fixed(v)]
