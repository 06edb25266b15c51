"""Models as data, and models from data, in the structure of Keras 2: class names, configurations and inbound nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable
from graphflow.keras.custom_objects import get_registered_name
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.node import Node, history, with_variables
from graphflow.keras.lookup import as_data
from graphflow.keras.structure import unwrapped

if TYPE_CHECKING:
    from graphflow.keras.engine.network import Network


def graph_config(model: Network) -> dict[str, Any]:
    """The layers, which results each of their calls takes, and which are the model's inputs and outputs."""
    numbers = _numbers(model)

    def place(v: Variable) -> list[Any]:
        found = history(v)
        if found is None:
            raise GraphError(f"{v.label} is not the result of a layer, so the model cannot become data", hint="put what computes it into a layer")
        return [found.node.layer.name, numbers[found.node], found.index]

    layers = []
    for layer in model.layers:
        nodes = [node for node in layer._inbound_nodes if node in numbers]
        inbound = [[[*place(v), _arguments(node, place)] for v in node.inputs] for node in nodes if node.inputs]
        layers.append({"name": layer.name, "class_name": get_registered_name(type(layer)), "config": layer.get_config(), "inbound_nodes": inbound})
    ends = {"input_layers": [place(v) for v in model.inputs], "output_layers": [place(v) for v in model.outputs]}
    return {"name": model.name, "layers": layers, **ends}


def _numbers(model: Network) -> dict[Node, int]:
    """The calls of layers in the model, numbered as a model made from its configuration numbers them."""
    inside = set(model._layer_graph.nodes)
    numbers: dict[Node, int] = {}
    for layer in model.layers:
        own = [node for node in layer._inbound_nodes if node in inside]
        numbers.update({node: i + calls_of_its_own(layer) for i, node in enumerate(own)})
    return numbers


def calls_of_its_own(layer: Layer) -> int:
    """A model's first call is that on its own inputs."""
    return 1 if "_layer_graph" in layer.__dict__ else 0


def _arguments(node: Node, place: Callable[[Variable], list[Any]]) -> dict[str, Any]:
    return {name: as_data(with_variables(value, place)) for name, value in node.arguments.items()}


def connected(config: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Layer]) -> tuple[Any, Any]:
    """Inputs and outputs of a model from its configuration; `make` gives the layer for {'class_name', 'config'}.

    Raises GraphError where calls wait for results that no layer gives.
    """
    layers: dict[str, Layer] = {}
    waiting: dict[str, list[Any]] = {}
    for data in config["layers"]:
        layer = make(data)
        name = data.get("name") or layer.name
        layers[name], waiting[name] = layer, list(data.get("inbound_nodes", ()))
    while any(waiting.values()):
        called = [_call_those_ready(layers, name, nodes) for name, nodes in waiting.items()]
        if not any(called):
            stuck = next(name for name, nodes in waiting.items() if nodes)
            raise GraphError(
                f"the configuration of {config.get('name')} does not fit together: the layer {stuck!r} waits for results that no layer gives",
                hint="each inbound node is [layer, number of its call, number of the result, arguments]",
            )
    ends = [[_result(layers, place) for place in _ends(config[key])] for key in ("input_layers", "output_layers")]
    return ends[0], ends[1]


def _call_those_ready(layers: Mapping[str, Layer], name: str, nodes: list[Any]) -> bool:
    """Make the first calls of a layer, up to one whose inputs are not there yet; whether there were any."""
    before = len(nodes)
    while nodes and all(_is_there(layers, place) for place in nodes[0]):
        places = nodes.pop(0)
        arguments: dict[str, Any] = next((place[3] for place in places if len(place) > 3), {})
        layers[name](unwrapped([_result(layers, place) for place in places]), **{key: _argument(layers, value) for key, value in arguments.items()})
    return len(nodes) < before


def _is_there(layers: Mapping[str, Layer], place: Sequence[Any]) -> bool:
    further = [value for value in (place[3] if len(place) > 3 else {}).values() if _is_place(layers, value)]
    called = place[0] in layers and len(layers[place[0]]._inbound_nodes) > int(place[1])
    return called and all(_is_there(layers, value) for value in further)


def _result(layers: Mapping[str, Layer], place: Sequence[Any]) -> Variable:
    return layers[place[0]]._inbound_nodes[int(place[1])].outputs[int(place[2])]


def _argument(layers: Mapping[str, Layer], value: Any) -> Any:
    """An argument of a call: data, or the results of layers at their places."""
    if _is_place(layers, value):
        return _result(layers, value)
    return [_argument(layers, part) for part in value] if isinstance(value, list | tuple) else value


def _is_place(layers: Mapping[str, Layer], value: Any) -> bool:
    shaped = isinstance(value, list | tuple) and len(value) in (3, 4) and isinstance(value[0], str)
    return shaped and value[0] in layers and all(isinstance(n, int) for n in value[1:3])


def _ends(given: Any) -> list[Any]:
    """A list of places; files of tf.keras may hold a single one as it is."""
    return [given] if given and isinstance(given[0], str) else list(given)
