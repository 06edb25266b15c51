"""Configurations of models from any Keras, in the form that this one's own `get_config` gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.keras.engine.network import Network
from graphflow.keras.saving import keras1, keras3
from graphflow.keras.saving.classes import arguments_of, call_arguments, class_of, is_built_in

Config = dict[str, Any]

# Arguments of other versions that a class here may lack: they are left out where they have the value that changes nothing.
# None alone stands for any value.
NEUTRAL: dict[str, tuple[Any, ...] | None] = {
    "adjustment": (None,), "autocast": None, "backward_layer": (None,), "batch_input_shape": (None,), "build_input_shape": None,
    "data_format": ("channels_last", None), "dilation_rate": (1, [1], [1, 1], [1, 1, 1]), "dtype": None,
    "activity_regularizer": (None,), "fused": None, "groups": (1,), "implementation": None, "input_axes": (None,), "input_dim": (None,),
    "input_dtype": None, "input_length": None, "interpolation": ("nearest",), "keepdims": (False,), "lora_alpha": (None,), "lora_rank": (None,),
    "mask_zero": (False,), "optional": (False,), "output_axes": (None,), "output_padding": (None,), "quantization_config": (None,), "ragged": (False, None),
    "renorm": (False,), "renorm_clipping": (None,), "renorm_momentum": None, "return_state": (False,), "seed": None, "sparse": (False, None),
    "synchronized": (False,), "time_major": (False,), "use_cudnn": None, "virtual_batch_size": (None,), "zero_output_for_mask": (False,), "flash_attention": None,
    "use_gate": (False,), "query_shape": None, "key_shape": None, "value_shape": None, "sliding_window": (None,), "rms_scaling": (False,), "bias_quantizer": (None,), "kernel_quantizer": (None,), "variational": (False,), "output_shape": (None,), "score_mode": ("dot",),
    "dim_ordering": None, "mode": (0,), "dropout": (0, 0.0), "output_dim": None, "build_config": None, "negative_slope": (0, 0.0), "threshold": (0, 0.0),
}  # fmt: skip

NEUTRAL_OF_OPTIMIZERS: dict[str, tuple[Any, ...] | None] = {
    "centered": (False,), "clipnorm": (None,), "clipvalue": (None,), "decay": (0, 0.0), "ema_momentum": None, "ema_overwrite_frequency": None,
    "epsilon": None, "fused": None, "global_clipnorm": (None,), "gradient_accumulation_steps": (None,), "initial_accumulator_value": (0, 0.0),
    "is_legacy_optimizer": None, "jit_compile": None, "loss_scale_factor": (None,), "momentum": (0, 0.0), "name": None, "use_ema": (False,),
    "weight_decay": (None, 0, 0.0), "schedule_decay": None,
}  # fmt: skip

# what the configurations of a class have although it takes no notice of it
UNHEARD = dict.fromkeys(("SeparableConv1D", "SeparableConv2D", "DepthwiseConv1D", "DepthwiseConv2D"), ("kernel_initializer", "kernel_regularizer", "kernel_constraint"))

# from tf.keras on -> here
RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}, "InputLayer": {"batch_shape": "batch_input_shape"}}
PENALTIES = {"L1": "l1", "L2": "l2"}


def translated(data: Any, generation: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """{'class_name', 'config'} of a layer or model by a Keras of `generation`, as this Keras writes it.

    Raises GraphError for what it has no words for.
    """
    return _Translation(generation, custom_objects or {}).layer(keras3.plain(data))


class _Translation:
    def __init__(self, generation: str, custom_objects: Mapping[str, Any]) -> None:
        self.generation = generation
        self.custom_objects = custom_objects

    def layer(self, data: Any) -> Config:
        """A layer, with the layers inside; what else stands beside 'class_name' and 'config' stays."""
        if not isinstance(data, Mapping) or not isinstance(data.get("class_name"), str):
            raise GraphError(f"{data!r:.80} is no configuration of a layer", hint="it has 'class_name' and 'config'")
        name, config = data["class_name"], data.get("config")
        if isinstance(config, list) and name == "Sequential":  # Keras 1
            return {**data, "config": {"name": data.get("name"), "layers": [self.layer(part) for part in config]}}
        if not isinstance(config, Mapping):
            raise GraphError(f"the configuration of a {name} is {config!r:.60}", hint="it has the constructor's arguments by name")
        cls = class_of(name, self.custom_objects)
        if self.generation == "1" and not (cls is not None and issubclass(cls, Network)):
            name, config = keras1.translated(name, config)
            cls = class_of(name, self.custom_objects)
        config = self._network(dict(config)) if isinstance(config.get("layers"), list) else self._arguments(name, cls, dict(config))
        return {**data, "class_name": name, "config": config}

    # --- one layer --------------------------------------------------------------------------------
    def _arguments(self, name: str, cls: Any, config: Config) -> Config:
        renamed = RENAMED.get(name, {})
        config = {renamed.get(key, key): self._value(value) for key, value in config.items()}
        if name == "BatchNormalization" and isinstance(config.get("axis"), list | tuple) and len(config["axis"]) == 1:
            config["axis"] = config["axis"][0]
        if name == "Bidirectional":
            for part in ("layer", "backward_layer"):  # it says so itself
                if isinstance(config.get(part), Mapping) and isinstance(config[part].get("config"), Mapping):
                    config[part]["config"].pop("zero_output_for_mask", None)
        if not is_built_in(cls):
            return config
        unheard = dict.fromkeys(UNHEARD.get(name, ()))
        return taken_by(cls, config, {**NEUTRAL, **unheard})

    def _value(self, value: Any) -> Any:
        """An argument: layers, regularizers and initializers among the data."""
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if not isinstance(value, Mapping) or not isinstance(value.get("class_name"), str):
            return value
        name = value["class_name"]
        if name in PENALTIES and isinstance(value.get("config"), Mapping):
            return {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.0, PENALTIES[name]: next(iter(value["config"].values()), 0.01)}}
        if class_of(name, self.custom_objects) is not None:
            return self.layer(value)
        config = value.get("config")
        return {**value, "config": {k: v for k, v in config.items() if k not in ("input_axes", "output_axes")}} if isinstance(config, Mapping) else value

    # --- models -----------------------------------------------------------------------------------
    def _network(self, config: Config) -> Config:
        layers = [self.layer(part) for part in config["layers"]]
        kept: Config = {key: config[key] for key in ("name", "build_input_shape") if key in config}
        if "input_layers" not in config:
            return {**kept, "layers": layers}
        for part in layers:
            cls = class_of(part["class_name"], self.custom_objects)
            parameters, takes_any = call_arguments(cls) if cls is not None else ([], True)
            part["inbound_nodes"] = [keras3.inbound_node(node, parameters, takes_any) for node in part.get("inbound_nodes", ())]
        ends = {key: _places(config[key]) for key in ("input_layers", "output_layers")}
        _count_own_calls(layers, ends)
        return {**kept, "layers": layers, **ends}


def taken_by(cls: type, config: Config, neutral: Mapping[str, tuple[Any, ...] | None]) -> Config:
    """The arguments that a class takes, and those that it should have taken, which it will complain of."""
    names = arguments_of(cls)

    def says_nothing(name: str, value: Any) -> bool:
        values = neutral.get(name, ())
        return name not in names and (values is None or any(value == v for v in values))

    return {name: value for name, value in config.items() if not says_nothing(name, value)}


def _places(given: Any) -> list[list[Any]]:
    """[[layer, call, result], ...], from that, a single one, or a dict by names."""
    if isinstance(given, Mapping):
        return [place for value in given.values() for place in _places(value)]
    if given and isinstance(given[0], str):
        return [list(given)]
    return [place for value in given for place in _places(value)]


def _count_own_calls(layers: list[Config], ends: Mapping[str, list[list[Any]]]) -> None:
    """Number calls of models from 1, as their first call is that on their own inputs; some versions begin with 0."""
    known = {part.get("name", part["config"].get("name")): part for part in layers}
    places = [place for part in layers for node in part["inbound_nodes"] for place in _places_in(node, known)]
    places += [place for end in ends.values() for place in end]
    first: dict[str, int] = {}
    for place in places:
        first[place[0]] = min(first.get(place[0], place[1]), place[1])
    for place in places:
        if place[0] in known:
            place[1] += (1 if _is_connected(known[place[0]]) else 0) - first[place[0]]


def _places_in(value: Any, known: Mapping[Any, Any]) -> Iterator[list[Any]]:
    if isinstance(value, list) and len(value) in (3, 4) and isinstance(value[0], str) and value[0] in known and isinstance(value[1], int):
        yield value
        value = value[3] if len(value) == 4 else None
    if isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _places_in(part, known)


def _is_connected(part: Config) -> bool:
    """Whether a layer is a model with inputs of its own."""
    config = part["config"]
    layers = config.get("layers")
    if not isinstance(layers, list) or not layers:
        return False
    said = "input_layers" in config or config.get("build_input_shape") is not None
    return said or _is_connected(layers[0]) or layers[0]["config"].get("batch_input_shape") is not None
