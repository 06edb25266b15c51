"""Calls of layers, and the history they leave on Variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphflow.graph.errors import GraphflowError
from graphflow.graph.variable import Variable
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
    """One call of a layer."""

    def __init__(self, layer: Layer, inputs: Sequence[Variable], outputs: Sequence[Variable], arguments: Mapping[str, Any]) -> None:
        self.layer = layer
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.arguments = dict(arguments)

    @property
    def parents(self) -> list[Node]:
        """The calls that the inputs are results of."""
        found = [history(v) for v in self.inputs]
        return [h.node for h in found if h is not None]

    @property
    def input_shapes(self) -> list[KerasShape]:
        return [int_shape(v) for v in self.inputs]

    @property
    def output_shapes(self) -> list[KerasShape]:
        return [int_shape(v) for v in self.outputs]


def history(v: Variable) -> History | None:
    """Where a result of a layer came from; None for Variables that no layer made."""
    return getattr(v.tag, "keras_history", None)


def remember(node: Node) -> None:
    """Give the outputs of a call their history, and the layer's name where they have none."""
    for index, v in enumerate(node.outputs):
        v.tag.keras_history = History(node, index)
        if v.name is None:
            v.name = node.layer.name
