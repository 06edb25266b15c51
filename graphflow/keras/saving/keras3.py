"""Configurations of tf.keras and Keras 3 in the words of Keras 2: objects with modules, tensors as arguments of calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphflow.graph.errors import GraphError

TENSOR = "__keras_tensor__"
POLICIES = ("DTypePolicy", "Policy", "MixedPrecisionPolicy")


def plain(value: Any) -> Any:
    """Data without modules and registrations: objects as {'class_name', 'config'}, functions and dtypes by name.

    What such files hold as code is left out: a Lambda layer then says how to pass its function.  Raises GraphError
    for mixed precision.
    """
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    name = value.get("class_name")
    if not isinstance(name, str) or not ({"module", "registered_name", "config", "items"} & value.keys()):
        return {key: plain(part) for key, part in value.items()}
    if name == "__tuple__":
        return tuple(plain(item) for item in value.get("items", value.get("config", ())))
    if name in POLICIES:
        return _dtype(value["config"])
    if name == "__lambda__":
        return {"class_name": name}
    if name == "function" and isinstance(value.get("config"), str):
        return value["config"]
    kept = {key: plain(part) for key, part in value.items() if key in ("class_name", "config", "name", "inbound_nodes")}
    registered = value.get("registered_name")
    if isinstance(registered, str) and ">" in registered:
        kept["class_name"] = registered
    return kept


def _dtype(config: Mapping[str, Any]) -> str:
    name = config.get("name")
    if not isinstance(name, str) or name.startswith("mixed"):
        raise GraphError(f"the layers have the dtype policy {name!r}", hint="layers here compute in one dtype: save the model with policy float32")
    return name


# --- calls ---------------------------------------------------------------------------------------
def inbound_node(node: Any, parameters: Sequence[str], takes_any: bool) -> list[Any]:
    """A call {'args', 'kwargs'} of Keras 3 as [[layer, call, result, arguments], ...]; other calls as they are.

    `parameters`: names of the arguments of the layer's `call`; others that are None are left out (`takes_any`: all stay).
    """
    if not isinstance(node, Mapping):
        return [list(place) for place in node]
    first, *further = node["args"] or [None]
    named = {**dict(zip(parameters[1:], further, strict=False)), **node.get("kwargs", {})}
    if first is None and parameters:
        first = named.pop(parameters[0], None)
    arguments = {name: _place(value) for name, value in named.items() if value is not None and (takes_any or name in parameters)}
    inputs = [_place(value) for value in (first if isinstance(first, list | tuple) else [first])]
    if not all(isinstance(place, list) for place in inputs):
        raise GraphError("a layer is called on something that is no result of a layer")
    return [[*place, arguments] for place in inputs]


def _place(value: Any) -> Any:
    """[layer, call, result] of a tensor; lists of them; other data as it is."""
    if isinstance(value, Mapping) and value.get("class_name") == TENSOR:
        return list(value["config"]["keras_history"])
    return [_place(item) for item in value] if isinstance(value, list | tuple) else value
