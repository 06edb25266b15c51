"""Configurations of Keras 1 in the words of Keras 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphflow.graph.errors import GraphError

Config = dict[str, Any]

CLASSES = {
    "Convolution1D": "Conv1D", "Convolution2D": "Conv2D", "Convolution3D": "Conv3D", "SeparableConvolution2D": "SeparableConv2D",
    "Deconvolution2D": "Conv2DTranspose", "Deconvolution3D": "Conv3DTranspose", "AtrousConvolution1D": "Conv1D", "AtrousConvolution2D": "Conv2D",
}  # fmt: skip

# whatever the class
ARGUMENTS = {
    "output_dim": "units", "nb_filter": "filters", "filter_length": "kernel_size", "subsample": "strides", "subsample_length": "strides",
    "border_mode": "padding", "dim_ordering": "data_format", "atrous_rate": "dilation_rate", "pool_length": "pool_size", "stride": "strides",
    "length": "size", "p": "rate", "sigma": "stddev", "bias": "use_bias", "init": "kernel_initializer", "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation", "W_regularizer": "kernel_regularizer", "U_regularizer": "recurrent_regularizer",
    "b_regularizer": "bias_regularizer", "W_constraint": "kernel_constraint", "b_constraint": "bias_constraint", "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout", "beta_init": "beta_initializer", "gamma_init": "gamma_initializer", "input_dtype": "dtype",
}  # fmt: skip

# where a class has another word
OWN_ARGUMENTS = {
    "Embedding": {"output_dim": "output_dim", "init": "embeddings_initializer", "W_regularizer": "embeddings_regularizer", "W_constraint": "embeddings_constraint"},
    "PReLU": {"init": "alpha_initializer"},
    "SeparableConv2D": {"depthwise_regularizer": "depthwise_regularizer", "init": "depthwise_initializer"},
    "Highway": {"init": "init", "W_regularizer": "W_regularizer", "b_regularizer": "b_regularizer", "W_constraint": "W_constraint", "b_constraint": "b_constraint", "bias": "bias"},
    "MaxoutDense": {"init": "init", "W_regularizer": "W_regularizer", "b_regularizer": "b_regularizer", "W_constraint": "W_constraint", "b_constraint": "b_constraint", "bias": "bias", "output_dim": "output_dim"},
}  # fmt: skip

DATA_FORMATS = {"th": "channels_first", "tf": "channels_last", "default": None}
INITIALIZERS = {"zero": "zeros", "one": "ones", "uniform": "random_uniform", "normal": "random_normal"}
IMPLEMENTATIONS = {"cpu": 0, "mem": 1, "gpu": 2}
MERGED = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate", "dot": "Dot", "cos": "Dot"}
CONSTRAINTS = {"m": "max_value", "low": "min_value", "high": "max_value"}

# without a word in Keras 2: left out if they have one of these values
WITHOUT_MEANING: dict[str, tuple[Any, ...]] = {"mode": (0,), "input_length": (None,), "input_dim": (None,), "dropout": (0, 0.0, None)}


def translated(class_name: str, config: Mapping[str, Any]) -> tuple[str, Config]:
    """(class, configuration) of a layer.  Raises GraphError for what Keras 2 has no words for."""
    if class_name == "Merge":
        return _merge(config)
    class_name = CLASSES.get(class_name, class_name)
    words = {**ARGUMENTS, **OWN_ARGUMENTS.get(class_name, {})}
    changed: Config = {}
    for name, value in _together(class_name, dict(config)).items():
        new = words.get(name, name)
        changed[new] = _VALUES.get(new, _as_it_is)(_object(name, value))
    if class_name in ("Bidirectional", "TimeDistributed") and "layer" in changed:
        inner, inner_config = translated(changed["layer"]["class_name"], changed["layer"]["config"])
        changed["layer"] = {"class_name": inner, "config": inner_config}
    return class_name, changed


def _together(class_name: str, config: Config) -> Config:
    """Arguments that became one, several, or none."""
    sizes = [config.pop(name) for name in ("nb_row", "nb_col") if name in config] or [config.pop(f"kernel_dim{n}") for n in (1, 2, 3) if f"kernel_dim{n}" in config]
    if sizes:
        config["kernel_size"] = sizes
    if class_name == "SeparableConv2D" and "init" in config:
        config["pointwise_initializer"] = config["init"]
    if "forget_bias_init" in config:
        config["unit_forget_bias"] = config.pop("forget_bias_init") in ("one", "ones")
    if "consume_less" in config:
        config["implementation"] = IMPLEMENTATIONS.get(config.pop("consume_less"), 1)
    if class_name.startswith("Conv") and class_name.endswith("Transpose"):
        config.pop("output_shape", None)
    embedding = class_name == "Embedding"
    if config.get("batch_input_shape") is not None and not embedding:
        config.pop("input_dim", None), config.pop("input_length", None)
    meaningless = WITHOUT_MEANING if class_name in ("Embedding", "BatchNormalization") else {n: WITHOUT_MEANING[n] for n in ("input_length", "input_dim")}
    return {name: value for name, value in config.items() if name not in meaningless or value not in meaningless[name]}


def _object(name: str, value: Any) -> Any:
    """Regularizers and constraints, which Keras 1 has as their arguments with a name among them."""
    if name.endswith(("regularizer", "constraint")) and isinstance(value, Mapping) and "name" in value:
        arguments = {CONSTRAINTS.get(key, key): part for key, part in value.items() if key != "name"}
        return {"class_name": value["name"].replace("Regularizer", ""), "config": arguments}
    return value


def _as_it_is(value: Any) -> Any:
    return value


def _initializer(value: Any) -> Any:
    return INITIALIZERS.get(value, value) if isinstance(value, str) else value


_VALUES: dict[str, Callable[[Any], Any]] = {
    "data_format": lambda value: DATA_FORMATS.get(value, value),
    **dict.fromkeys(("kernel_initializer", "recurrent_initializer", "embeddings_initializer", "depthwise_initializer", "pointwise_initializer", "alpha_initializer", "beta_initializer", "gamma_initializer"), _initializer),
}  # fmt: skip


def _merge(config: Mapping[str, Any]) -> tuple[str, Config]:
    mode = config.get("mode")
    if mode not in MERGED or config.get("layers"):
        raise GraphError(f"the layer {config.get('name')!r} of Keras 1 merges with {mode!r}, which Keras 2 has no layer for", hint="build the model in code and load its weights")
    kept: Config = {"name": config.get("name")}
    if mode == "concat":
        kept["axis"] = config.get("concat_axis", -1)
    if mode in ("dot", "cos"):
        kept.update(axes=config.get("dot_axes", -1), normalize=mode == "cos")
    return MERGED[mode], kept
