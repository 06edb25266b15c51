"""What a layer was called on, and what came out."""

from __future__ import annotations

from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.keras.engine.masks import mask_of
from graphflow.keras.engine.node import Node, UnconnectedError
from graphflow.keras.structure import unwrapped


class Connections:
    """The calls of a layer: `*_at(node_index)` for each, and properties for a layer called once."""

    name: str
    _inbound_nodes: list[Node]

    def get_input_at(self, node_index: int) -> Any:
        """The input (or list of inputs) of the call with this number."""
        return unwrapped(self._node(node_index).inputs)

    def get_output_at(self, node_index: int) -> Any:
        return unwrapped(self._node(node_index).outputs)

    def get_input_shape_at(self, node_index: int) -> Any:
        return unwrapped(self._node(node_index).input_shapes)

    def get_output_shape_at(self, node_index: int) -> Any:
        return unwrapped(self._node(node_index).output_shapes)

    def get_input_mask_at(self, node_index: int) -> Any:
        """The mask of the input of the call with this number; None where there is none."""
        return unwrapped([mask_of(v) for v in self._node(node_index).inputs])

    def get_output_mask_at(self, node_index: int) -> Any:
        return unwrapped([mask_of(v) for v in self._node(node_index).outputs])

    @property
    def inbound_nodes(self) -> list[Node]:
        """The calls of this layer."""
        return self._inbound_nodes

    @property
    def input(self) -> Any:
        return unwrapped(self._only_node("input").inputs)

    @property
    def output(self) -> Any:
        return unwrapped(self._only_node("output").outputs)

    @property
    def input_mask(self) -> Any:
        self._only_node("input_mask")
        return self.get_input_mask_at(0)

    @property
    def output_mask(self) -> Any:
        self._only_node("output_mask")
        return self.get_output_mask_at(0)

    @property
    def input_shape(self) -> Any:
        return unwrapped(self._agreed("input_shapes"))

    @property
    def output_shape(self) -> Any:
        return unwrapped(self._agreed("output_shapes"))

    def _node(self, index: int) -> Node:
        if not -len(self._inbound_nodes) <= index < len(self._inbound_nodes):
            raise GraphError(f"{self.name} has been called {len(self._inbound_nodes)} times: there is no call {index}")
        return self._inbound_nodes[index]

    def _only_node(self, what: str) -> Node:
        if len(self._inbound_nodes) != 1:
            if self._inbound_nodes:
                message = f'Layer {self.name} has multiple inbound nodes, hence the notion of "layer {what}" is ill-defined.'
                raise UnconnectedError(message, hint=f"use get_{what}_at(node_index)")
            raise UnconnectedError(f"Layer {self.name} has no inbound nodes: it was never called, and has no {what}", hint="call the layer, or the model, on an input first")
        return self._node(0)

    def _agreed(self, what: str) -> Any:
        shapes = [getattr(node, what) for node in self._inbound_nodes]
        if not shapes or any(s != shapes[0] for s in shapes):
            what = what.removesuffix("s").replace("_", " ")
            if shapes:
                message = f'The layer "{self.name}" has multiple inbound nodes with different {what}s. Hence the notion of "{what}" is ill-defined for the layer.'
                raise UnconnectedError(message, hint=f"use get_{what.replace(' ', '_')}_at(node_index)")
            raise UnconnectedError(f"The layer {self.name} has never been called and thus has no defined {what}.", hint="call the layer first")
        return shapes[0]
