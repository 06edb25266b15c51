"""Calls of layers, and the history they leave on Variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from graphflow.graph.errors import GraphflowError
from graphflow.graph.traversal import leaves
from graphflow.graph.variable import Placeholder, Variable, give_attribute
from graphflow.keras.structure import KerasShape, int_shape

if TYPE_CHECKING:
    from graphflow.keras.engine.base_layer import Layer


class UnconnectedError(GraphflowError, AttributeError):
    """A layer's input, output or their shape, where there is none or more than one."""


@dataclass(frozen=True)
class History:
    """The call of a layer that a Variable is a result of, and which of the results it is."""

    node: Node
    index: int


class Node:
    """One call of a layer: `inputs` came first, `arguments` by name after them."""

    def __init__(self, layer: Layer, inputs: Sequence[Variable], outputs: Sequence[Variable], arguments: Mapping[str, Any]) -> None:
        self.layer = layer
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.arguments = dict(arguments)

    @property
    def sources(self) -> list[Variable]:
        """The inputs but for fixed values, and the results of layers among the other arguments."""
        return [*(v for v in self.inputs if not is_fixed(v)), *(v for v in variables_in(self.arguments) if history(v) is not None)]

    @property
    def parents(self) -> list[Node]:
        """The calls that the sources are results of."""
        found = [history(v) for v in self.sources]
        return [h.node for h in found if h is not None]

    @property
    def inbound_layers(self) -> list[Layer]:
        """The layers that the sources are results of."""
        return [parent.layer for parent in self.parents]

    @property
    def input_tensors(self) -> list[Variable]:
        """What Keras 2 calls `inputs`."""
        return self.inputs

    @property
    def output_tensors(self) -> list[Variable]:
        """What Keras 2 calls `outputs`."""
        return self.outputs

    @property
    def outbound_layer(self) -> Layer:
        """What Keras 2 calls `layer`."""
        return self.layer

    @property
    def input_shapes(self) -> list[KerasShape]:
        return [int_shape(v) for v in self.inputs]

    @property
    def output_shapes(self) -> list[KerasShape]:
        return [int_shape(v) for v in self.outputs]


def variables_in(value: Any) -> Iterator[Variable]:
    """The Variables in nested lists, tuples and dicts."""
    if isinstance(value, Variable):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from variables_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from variables_in(part)


def with_variables(value: Any, change: Callable[[Variable], Any]) -> Any:
    """Nested lists, tuples and dicts with `change` of each Variable in its place."""
    if isinstance(value, Variable):
        return change(value)
    if isinstance(value, Mapping):
        return {name: with_variables(part, change) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(with_variables(part, change) for part in value)
    return value


def history(v: Variable) -> History | None:
    """Where a result of a layer came from; None for Variables that no layer made."""
    return getattr(v.tag, "keras_history", None)


def is_fixed(v: Variable) -> bool:
    """Whether no layer made v, and nothing that is fed: a weight, a constant, or what is computed from these."""
    return history(v) is None and not any(isinstance(leaf, Placeholder) for leaf in leaves([v]))


def remember(node: Node) -> None:
    """Give the outputs of a call their history, and the layer's name where they have none."""
    for index, v in enumerate(node.outputs):
        v.tag.keras_history = History(node, index)
        if v.name is None:
            v.name = node.layer.name


def get_source_inputs(tensor: Variable, layer: Any = None, node_index: int | None = None) -> list[Variable]:
    """The model inputs that a result of a layer depends on; `layer` and `node_index`: those of this call of a layer."""
    if layer is not None and node_index is not None:
        first: list[Node] = [layer._inbound_nodes[node_index]]
    else:
        found = history(tensor)
        if found is None:
            return [tensor]
        first = [found.node]
    sources: dict[Variable, None] = {}
    met: set[Node] = set()
    stack = first
    while stack:
        node = stack.pop()
        if node in met:
            continue
        met.add(node)
        if not node.inputs:
            sources.update(dict.fromkeys(node.outputs))
        stack.extend(reversed(node.parents))
    return list(sources)


# --- what Keras 1 and 2 call this ----------------------------------------------------------------
class KerasHistory(NamedTuple):
    """Which result of which call of a layer a Variable is."""

    layer: Layer
    node_index: int
    tensor_index: int


def _keras_history(v: Variable) -> KerasHistory:
    made = history(v)
    if made is None:
        raise AttributeError(f"{v.label} is not the result of a layer, and has no _keras_history")
    return KerasHistory(made.node.layer, made.node.layer._inbound_nodes.index(made.node), made.index)


def _keras_shape(v: Variable) -> KerasShape:
    return getattr(v.tag, "keras_shape", int_shape(v))


def _set_keras_shape(v: Variable, shape: KerasShape) -> None:
    v.tag.keras_shape = shape


give_attribute("_keras_history", _keras_history)
give_attribute("_keras_shape", _keras_shape, _set_keras_shape)
