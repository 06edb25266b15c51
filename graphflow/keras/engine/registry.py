"""Layers and models by the names of their classes, and from data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.keras.custom_objects import CustomObjectScope, get_registered_object
from graphflow.keras.lookup import as_data

CLASSES: dict[str, type] = {}  # the library's own, each entered where it is defined
FORMER_NAMES = {
    "AtrousConvolution1D": "Conv1D", "AtrousConvolution2D": "Conv2D", "Convolution1D": "Conv1D", "Convolution2D": "Conv2D", "Convolution3D": "Conv3D",
    "Convolution1DTranspose": "Conv1DTranspose", "Convolution2DTranspose": "Conv2DTranspose", "Convolution3DTranspose": "Conv3DTranspose",
    "Deconvolution2D": "Conv2DTranspose", "Deconvolution3D": "Conv3DTranspose", "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D", "Functional": "Model", "BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
}  # fmt: skip


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The layer or model that {'class_name', 'config'} describes, with fresh weights.

    `custom_objects`: the user's own classes and functions by name.  Raises GraphError for an unknown class.
    """
    name = config["class_name"]
    with CustomObjectScope(custom_objects or {}):
        own = get_registered_object(config.get("registered_name") or name) or get_registered_object(name)
        cls = own or CLASSES.get(FORMER_NAMES.get(name, name))
        if cls is None:
            raise GraphError(f"Unknown layer: {name}", hint=f"custom_objects={{{name!r}: {name}}} tells what it is")
        return cls.from_config(dict(config["config"])) if hasattr(cls, "from_config") else cls(**config["config"])


def serialize(layer: Any) -> dict[str, Any]:
    """A layer or model as {'class_name', 'config'}."""
    data: dict[str, Any] = as_data(layer)
    return data
