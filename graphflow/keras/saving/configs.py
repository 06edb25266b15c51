"""Models as text: their configuration in JSON and YAML, and models from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, MissingExtraError
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.engine.registry import CLASSES, deserialize
from graphflow.keras.lookup import as_data
from graphflow.keras.saving.checked import reading
from graphflow.keras.saving.layered_weights import BACKEND
from graphflow.keras.saving.translation import NEUTRAL, translated
from graphflow.keras.saving.versions import generation_of, written_version

# arguments that an older Keras refuses: the first generation that takes them
SINCE = {
    "groups": "2.4", "keepdims": "2.4", "time_major": "2.4", "zero_output_for_mask": "2.4", "backward_layer": "2.4", "output_padding": "2.4",
    "ragged": "2.4", "seed": "2.4", "mask_zero": "2.2", "use_cudnn": "3",
}  # fmt: skip
SINCE_OF_CLASS = {
    "DepthwiseConv2D": {"dilation_rate": "2.3"}, "Conv3DTranspose": {"dilation_rate": "2.4"}, "ConvLSTM2D": {"return_state": "2.4"},
    "LocallyConnected1D": {"implementation": "2.4"}, "LocallyConnected2D": {"implementation": "2.4"},
}  # fmt: skip
FROM_TF_KERAS = ("2.4", "3")  # a Sequential begins with an InputLayer, and layers inside others have a module


def model_data(model: Any, written: str) -> dict[str, Any]:
    """{'class_name', 'config'} of a model as plain data that a Keras of generation `written` reads."""
    data: dict[str, Any] = _without_newer(_plain(as_data(model)), written)
    return _with_input_layers(data) if written in FROM_TF_KERAS else data


def _plain(value: Any) -> Any:
    """Data of JSON's kinds.  Raises GraphError for what is not data."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, np.dtype):
        return value.name
    changed = as_data(value)
    if changed is value:
        raise GraphError(f"{value!r:.80} in a configuration is not data", hint="get_config gives numbers, strings, lists and dicts")
    return _plain(changed)


def _without_newer(value: Any, written: str) -> Any:
    """Leaves out the arguments that the reader does not know and that say nothing."""
    if isinstance(value, list):
        return [_without_newer(part, written) for part in value]
    if not isinstance(value, Mapping):
        return value
    config = value.get("config")
    if isinstance(value.get("class_name"), str) and isinstance(config, Mapping):
        since = {**(SINCE if "filters" in config or "name" in config else {}), **SINCE_OF_CLASS.get(value["class_name"], {})}
        value = {**value, "config": {name: part for name, part in config.items() if not _says_nothing(name, part, since, written)}}
    return {key: _without_newer(part, written) for key, part in value.items()}


def _says_nothing(name: str, value: Any, since: Mapping[str, str], written: str) -> bool:
    if name not in since or generation.GENERATIONS.index(since[name]) <= generation.GENERATIONS.index(written):
        return False
    values = NEUTRAL.get(name, ())
    return value is None or (values is not None and any(value == v for v in values))


def _with_input_layers(data: dict[str, Any]) -> dict[str, Any]:
    """A layer as tf.keras writes it: shapes of inputs are with InputLayers."""
    config = dict(data["config"])
    if isinstance(config.get("layers"), list):
        config["layers"] = [_with_input_layers(part) for part in config["layers"]]
        shape, dtype = _input_of({**data, "config": data["config"]})
        if "input_layers" not in config and config["layers"] and shape is not None:
            first = config["layers"][0]["config"]["name"]
            entry = {"batch_input_shape": shape, "dtype": dtype, "sparse": False, "name": f"{first}_input"}
            config["layers"].insert(0, {"class_name": "InputLayer", "config": entry})
        return {**data, "config": config}
    if data["class_name"] != "InputLayer":
        config.pop("batch_input_shape", None)
    return {**data, "config": {name: _with_modules(part) for name, part in config.items()}}


def _with_modules(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_modules(part) for part in value]
    if isinstance(value, Mapping) and value.get("class_name") in CLASSES:
        return {"module": "keras.layers", **_with_input_layers(dict(value)), "registered_name": None}
    return value


def _input_of(data: Mapping[str, Any]) -> tuple[Any, str]:
    """(shape with the batch axis, dtype) of what a layer takes; None for the shape if it does not say."""
    config = data["config"]
    inner = config.get("layers") or []
    shape, dtype = config.get("batch_input_shape", config.get("build_input_shape")), config.get("dtype") or K.floatx()
    return (shape, dtype) if shape is not None or not inner else _input_of(inner[0])


# --- text ----------------------------------------------------------------------------------------
def _described(model: Any) -> dict[str, Any]:
    return {**model_data(model, generation_of(written_version())), "keras_version": written_version(), "backend": BACKEND}


def to_json(model: Any, **kwargs: Any) -> str:
    """The configuration of a model; `kwargs` are `json.dumps`'s."""
    return json.dumps(_described(model), **kwargs)


def to_yaml(model: Any, **kwargs: Any) -> str:
    """The configuration of a model; `kwargs` are `yaml.dump`'s.  Raises MissingExtraError without PyYAML."""
    text: str = _yaml().safe_dump(_described(model), **kwargs)
    return text


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("YAML needs PyYAML, which is not installed", hint="pip install graphflow[keras], or use to_json") from error
    return yaml


def model_from_config(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """A model with fresh weights from {'class_name', 'config'}, as `keras_version` in it says.

    Raises GraphError for what is no configuration, and for classes that nobody knows.
    """
    if isinstance(config, list):
        raise GraphError("`model_from_config` expects a dictionary, not a list.", hint="Maybe you meant to use Sequential.from_config(config)?")
    origin = _origin(config)
    with generation.using(origin):
        return deserialize(translated(_bare(config), origin, custom_objects), custom_objects)


def _origin(config: Any) -> str:
    """The generation that a configuration is of: only Keras 3 has registered names, and no version."""
    if isinstance(config, Mapping) and "keras_version" in config:
        return generation_of(config["keras_version"])
    return "3" if isinstance(config, Mapping) and "registered_name" in config else generation.current()


def _bare(config: Any) -> Any:
    return {key: value for key, value in config.items() if key not in ("keras_version", "backend")} if isinstance(config, Mapping) else config


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The model that `to_json` described, with fresh weights."""
    with reading("the text", "JSON"):
        return model_from_config(json.loads(json_string), custom_objects)


def model_from_yaml(yaml_string: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The model that `to_yaml` described, with fresh weights.  Tags that name Python objects are refused, but for tuples and text of Keras 1 and 2."""
    with reading("the text", "YAML"):
        return model_from_config(_yaml().load(yaml_string, _loader()), custom_objects)


def _loader() -> Any:
    """A safe loader that takes the tuples and strings of `yaml.dump`, whose tags name Python's types."""
    yaml = _yaml()

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        pass

    Loader.add_constructor("tag:yaml.org,2002:python/tuple", lambda loader, node: loader.construct_sequence(node, deep=True))
    for name in ("unicode", "str"):
        Loader.add_constructor(f"tag:yaml.org,2002:python/{name}", lambda loader, node: loader.construct_scalar(node))
    return Loader
