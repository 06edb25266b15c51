"""Network: layers connected to a graph from inputs to outputs, itself a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphflow.graph.errors import GraphError, StateError
from graphflow.graph.traversal import leaves
from graphflow.graph.variable import Placeholder, Shared, Variable, as_variable, name_scope, origin_of
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.calling import called
from graphflow.keras.engine.input_layer import Input, InputLayer
from graphflow.keras.engine.network_config import connected, graph_config
from graphflow.keras.engine.node import Node, history, with_variables
from graphflow.keras.engine.registry import deserialize
from graphflow.keras.engine.saved import Saved
from graphflow.keras.engine.summary import print_summary
from graphflow.keras.phase import folded, learning_phase
from graphflow.keras.structure import as_list, unwrapped


@dataclass(frozen=True)
class LayerGraph:
    """The calls between inputs and outputs, in the order in which they can run, with their distance from the outputs."""

    nodes: list[Node]
    depth: dict[Node, int]
    layers: list[Layer]

    @property
    def nodes_by_depth(self) -> dict[int, list[Node]]:
        found: dict[int, list[Node]] = {}
        for node in self.nodes:
            found.setdefault(self.depth[node], []).append(node)
        return dict(sorted(found.items(), reverse=True))


def trace(inputs: Sequence[Variable], outputs: Sequence[Variable]) -> LayerGraph:
    """The LayerGraph between Variables.

    Layers are ordered by distance from the outputs, then as they are met from there.  Raises GraphError
    for inputs that are not from `Input`, outputs that are not results of layers, and outputs that need
    an input that is not listed.
    """
    for v in inputs:
        found = history(v)
        if found is None or not isinstance(found.node.layer, InputLayer):
            raise _complaint(f"the model input {v.label} does not come from Input", "make it with Input(shape=...)", v)
    order, met = _reached(outputs)
    for node in order:
        if isinstance(node.layer, InputLayer) and node.outputs[0] not in inputs:
            raise _complaint(f"the outputs depend on {node.layer.name}, which is not among the model's inputs", "list it in inputs", node.outputs[0])
    order = [*(history(v).node for v in inputs if history(v).node not in met), *order]  # type: ignore[union-attr]
    depth: dict[Node, int] = {}
    layer_depth: dict[Layer, int] = {}
    for node in reversed(order):
        depth[node] = layer_depth[node.layer] = max(depth.get(node, 0), layer_depth.get(node.layer, 0))
        for parent in node.parents:
            depth[parent] = max(depth.get(parent, 0), depth[node] + 1)
    first = {layer: i for i, layer in enumerate(dict.fromkeys([*(n.layer for n in met), *layer_depth]))}
    layers = sorted(layer_depth, key=lambda layer: (-layer_depth[layer], first[layer]))
    return LayerGraph(order, depth, layers)


def _reached(outputs: Sequence[Variable]) -> tuple[list[Node], dict[Node, None]]:
    """The calls that `outputs` need, inputs first; and the same in the order in which they are met."""
    order: list[Node] = []
    met: dict[Node, None] = {}
    for v in outputs:
        stack = [(_node_of(v), False)]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif node not in met:
                met[node] = None
                stack.append((node, True))
                stack.extend((_node_of(x), False) for x in reversed(node.sources))
    return order, met


def _node_of(v: Variable) -> Node:
    found = history(v)
    if found is None:
        raise _complaint(f"{v.label} is not the result of a layer", "put what computes it into a layer's call", v)
    return found.node


def _complaint(message: str, hint: str, v: Variable) -> GraphError:
    return GraphError(message, hint=hint, context=(f"  {origin_of(v)}",))


class Network(Saved, Layer):
    """Layers from inputs to outputs; called on other Variables, it runs the same layers on them.

    A subclass without inputs and outputs gives `call`, and is connected when it first sees data.
    """

    inputs: list[Variable]
    outputs: list[Variable]
    _layer_graph: LayerGraph

    def __init__(self, inputs: Any = None, outputs: Any = None, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        if (inputs is None) != (outputs is None):
            raise GraphError("a model takes both inputs and outputs", hint="Model(inputs=x, outputs=y)")
        if inputs is not None:
            self._connect(as_list(inputs), as_list(outputs))

    def _connect(self, inputs: Sequence[Variable], outputs: Sequence[Variable]) -> None:
        """Make this the model from `inputs` to `outputs`."""
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self._set_layer_graph(trace(self.inputs, self.outputs))
        self.built = True

    def _set_layer_graph(self, graph: LayerGraph) -> None:
        names = [layer.name for layer in graph.layers]
        for name in names:
            if names.count(name) > 1:
                raise GraphError(f"the name {name!r} is used {names.count(name)} times in the model", hint="give layers different names")
        self._layer_graph = graph
        self._inbound_nodes = [Node(self, self.inputs, self.outputs, {})]

    def _connect_to(self, shapes: Sequence[Sequence[int | None]]) -> None:
        """Make inputs for data of these shapes, and call the model on them."""
        inputs = [Input(batch_shape=(None, *shape[1:]), name=f"{self.name}_input_{i}") for i, shape in enumerate(shapes, 1)]
        with name_scope(self.name), self._named_in_errors():
            outputs = as_list(called(self, unwrapped(inputs), {}))
        self.inputs, self.outputs = inputs, outputs
        self._inbound_nodes = [Node(self, inputs, outputs, {})]
        self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Connect a subclass to an input of this shape (with the batch axis), or to several of a list of shapes."""
        if input_shape is None or self.connected:
            self._require_connection()
            return
        several = any(isinstance(part, list | tuple) for part in input_shape)
        self._connect_to(list(input_shape) if several else [input_shape])

    def _build_for(self, operands: Sequence[Variable]) -> None:
        if type(self).build is Network.build:  # called on Variables, which make the weights
            self.built = True
        else:
            super()._build_for(operands)

    # --- what it is made of -----------------------------------------------------------------------
    @property
    def connected(self) -> bool:
        """Whether inputs and outputs are known."""
        return "inputs" in self.__dict__

    def _require_connection(self) -> None:
        if not self.connected:
            raise StateError(
                f"{self.name} has no inputs yet: the shape of its input is not known",
                hint="give the first layer an input_shape, call build(input_shape), or fit it to data first",
            )

    @property
    def layers(self) -> list[Layer]:
        """Inputs first.  The list is the model's own: programs that take the last layer away use it."""
        graph: LayerGraph | None = self.__dict__.get("_layer_graph")
        return list(self._tracked) if graph is None else graph.layers

    def _parts(self) -> Sequence[Layer]:
        return self.layers

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """A layer by name or number; raises GraphError where there is none."""
        layers = self.layers
        if name is None and index is None:
            raise GraphError("Provide either a layer name or layer index.", hint="get_layer('dense_1') or get_layer(index=0)")
        if index is not None and not -len(layers) <= index < len(layers):
            raise GraphError(f"Was asked to retrieve layer at index {index} but model only has {len(layers)} layers.")
        found = [layer for layer in layers if layer.name == name] if index is None else [layers[index]]
        if not found:
            raise GraphError(f"No such layer: {name}", hint=f"the layers of {self.name} are {', '.join(layer.name for layer in layers)}")
        return found[0]

    def _stored_weights(self) -> list[Shared]:
        stored = [w for layer in self.layers for w in layer._stored_weights()]
        return list(dict.fromkeys([*stored, *self._own_trainable, *self._own_fixed]))

    @property
    def input_names(self) -> list[str]:
        self._require_connection()
        return [found.node.layer.name if (found := history(v)) is not None else v.label for v in self.inputs]

    @property
    def input_layers(self) -> list[Layer]:
        """The layers of the inputs."""
        return [h.node.layer for v in self.inputs if (h := history(v)) is not None]

    @property
    def output_layers(self) -> list[Layer]:
        """The layers that give the outputs."""
        return [h.node.layer for v in self.outputs if (h := history(v)) is not None]

    @property
    def output_names(self) -> list[str]:
        """The names of the layers that give the outputs; a second result of the same layer is numbered."""
        self._require_connection()
        if "_layer_graph" not in self.__dict__ and "_stack" not in self.__dict__:
            return [f"output_{i}" for i in range(1, len(self.outputs) + 1)]
        names: list[str] = []
        for v in self.outputs:
            found = history(v)
            name = found.node.layer.name if found is not None else self.name
            names.append(name if name not in names else f"{name}_{sum(n.startswith(name) for n in names)}")
        return names

    def get_config(self) -> dict[str, Any]:
        """The layers and their connections as data.  Raises GraphError for a subclass whose connections are code."""
        if "_layer_graph" not in self.__dict__:
            raise GraphError(f"{self.name}: the connections of a subclassed model are code, not data", hint="keep its weights, or give it a get_config")
        return graph_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A model with fresh weights; `custom_objects`: the user's own layers and functions by name."""
        inputs, outputs = connected(config, lambda data: deserialize(data, custom_objects))
        return cls(inputs=unwrapped(inputs), outputs=unwrapped(outputs), name=config.get("name"))

    # --- running ----------------------------------------------------------------------------------
    def call(self, inputs: Any, training: Any = None, **kwargs: Any) -> Any:
        """The same layers on other Variables: one, a list of them, or a dict by the names of inputs."""
        self._require_connection()
        given = [inputs[name] for name in self.input_names] if isinstance(inputs, Mapping) else as_list(inputs)
        now: dict[Variable, Variable] = dict(zip(self.inputs, given, strict=True))
        for node in self._layer_graph.nodes:
            if isinstance(node.layer, InputLayer):
                continue
            arguments = with_variables(node.arguments, lambda v: now.get(v, v))
            now.update(zip(node.outputs, node.layer._run(unwrapped([now.get(v, v) for v in node.inputs]), arguments), strict=True))
        return unwrapped([now[v] for v in self.outputs])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None: masks of the results are given by the layers inside."""
        return None

    # --- state ------------------------------------------------------------------------------------
    @property
    def stateful(self) -> bool:  # type: ignore[override]
        """Whether a layer keeps state from one batch to the next."""
        return any(getattr(layer, "stateful", False) for layer in self.layers)

    def reset_states(self) -> None:
        """Let layers that keep state from batch to batch begin again."""
        for layer in self.layers:
            if getattr(layer, "stateful", False):
                reset: Any = layer.reset_states  # type: ignore[attr-defined]  # what stateful layers have
                reset()

    @property
    def state_updates(self) -> list[tuple[Shared, Any]]:
        """New values of the states that stateful layers keep."""
        return [pair for layer in self.layers if getattr(layer, "stateful", False) for pair in getattr(layer, "state_updates", layer.updates)]

    @property
    def uses_learning_phase(self) -> bool:
        """Whether training and testing compute different outputs."""
        return self.connected and learning_phase() in leaves(self.outputs)

    @property
    def graph_inputs(self) -> list[Variable]:
        """What is fed, for drawing and export."""
        self._require_connection()
        return list(self.inputs)

    @property
    def graph_outputs(self) -> list[Variable]:
        """The predictions, as they are computed after training."""
        self._require_connection()
        return folded(self.outputs, training=False)

    def summary(self, line_length: int | None = None, positions: Sequence[float] | None = None, print_fn: Any = None) -> None:
        """Print layers, shapes and numbers of weights.  Raises StateError before shapes are known."""
        if not self.built and not self.connected:
            raise StateError(
                f"This model ({self.name}) has not yet been built. Build the model first by calling `build()` or calling `fit()` with some data.",
                hint="or give the first layer an input_shape",
            )
        print_summary(self, line_length, positions, print_fn)

    @property
    def losses(self) -> list[Variable]:
        """Penalties, and what `add_loss` added, as far as they can be computed from what this model is fed."""
        return [loss for loss in super().losses if self.depends_only_on_inputs(loss)]

    @property
    def updates(self) -> list[tuple[Shared, Any]]:
        """What layers asked for, as far as it can be computed from what this model is fed."""
        return [(v, new) for v, new in super().updates if self.depends_only_on_inputs(as_variable(new))]

    def depends_only_on_inputs(self, v: Variable) -> bool:
        """Whether a value can be computed from what this model is fed."""
        return all(leaf in self.inputs for leaf in leaves([v], set(self.inputs)) if isinstance(leaf, Placeholder))
