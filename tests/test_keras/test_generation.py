"""Generations, old argument names, labels as arrays, and the paths under which names are found."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import GraphError
from graphflow.keras import generation, layers
from graphflow.keras.arguments import ArgumentError
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.layers import Dense, Dropout
from graphflow.keras.renames import RENAMES
from graphflow.keras.utils import to_categorical


def test_a_value_holds_until_a_later_generation_changes_it() -> None:
    found = {}
    for name in generation.GENERATIONS:
        with generation.using(name):
            found[name] = generation.resolve("hard_sigmoid.slope")
    assert found == {"1": 0.2, "2.2": 0.2, "2.3": 0.2, "2.4": 0.2, "3": 1 / 6}
    assert generation.current() == "2.2"
    with pytest.raises(GraphError, match=r"1, 2\.2, 2\.3, 2\.4, 3"):
        generation.use("2.5")


def test_every_entry_is_known_in_every_generation() -> None:
    for what, values in generation.CHANGED.items():
        assert next(iter(values)) == "1" and len(values) > 1 and set(values) <= set(generation.GENERATIONS), what


def test_keras_1_arguments_warn_once_at_the_users_line() -> None:
    with pytest.warns(DeprecationWarning) as caught:
        layer = Dense(output_dim=3, input_dim=2, init="normal", bias=False)  # type: ignore[call-arg]
        Dense(output_dim=3)  # type: ignore[call-arg]
        assert Dropout(p=0.3).rate == 0.3  # type: ignore[call-arg]
    assert layer.units == 3 and not layer.use_bias and type(layer.kernel_initializer).__name__ == "RandomNormal"
    assert [str(w.message).split("'")[1] for w in caught] == ["output_dim", "init", "bias", "p"]
    assert all(w.filename == __file__ for w in caught)
    with pytest.raises(ArgumentError, match="output_dim and units"):
        Dense(output_dim=4, units=3)


def test_new_names_are_arguments_of_what_they_belong_to() -> None:
    for name, table in RENAMES.items():
        if hasattr(layers, name):
            assert set(table.values()) - {None} <= set(inspect.signature(getattr(layers, name)).parameters)


REQUIRED = {
    "activation": "relu", "axes": 1, "dims": (1,), "equation": "ab,bc->ac", "filters": 2, "function": abs, "input_dim": 3, "kernel_size": 3, "key_dim": 2,
    "n": 2, "num_heads": 1, "output_dim": 2, "output_shape": 2, "rate": 0.5, "scale": 2.0, "stddev": 0.1, "target_shape": (1,), "units": 2,
}  # fmt: skip


def test_recorded_arguments_are_attributes() -> None:
    for name in layers.__all__:
        entry = getattr(layers, name)
        if isinstance(entry, type) and issubclass(entry, Layer) and entry not in (Layer, layers.InputLayer):
            needed = [p.name for p in inspect.signature(entry).parameters.values() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
            if all(argument in REQUIRED for argument in needed):
                made = entry(**{argument: REQUIRED[argument] for argument in needed})
                assert all(hasattr(made, argument) for argument in made.__dict__["_arguments"] if argument not in ("output_mask", "output_shape")), name


def test_to_categorical() -> None:
    np.testing.assert_array_equal(to_categorical([0, 2]), [[1, 0, 0], [0, 0, 1]])
    assert to_categorical([[1], [0]], 4).shape == (2, 4) and to_categorical([[0, 1], [1, 1]]).shape == (2, 2, 2)
    with pytest.warns(DeprecationWarning, match="'num_classes'"):
        assert to_categorical([1], nb_classes=3).shape == (1, 3)
    with pytest.raises(GraphError, match="from 0 to 3, and there are 3 classes"):
        to_categorical([0, 3], 3)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("models", "Sequential Model Input"),
        ("layers", "Input Dense Flatten Activation Dropout Layer InputSpec InputLayer"),
        ("layers.core", "Dense Activation Dropout Flatten"),
        ("engine", "Layer InputSpec Model Input"),
        ("engine.training", "Model"),
        ("engine.base_layer", "Layer"),
        ("utils", "to_categorical np_utils Progbar print_summary"),
        ("utils.np_utils", "to_categorical"),
        ("utils.generic_utils", "Progbar"),
        ("utils.layer_utils", "print_summary"),
        ("backend", "get_value set_value epsilon floatx int_shape clear_session in_train_phase"),
        ("callbacks", "Callback CallbackList History BaseLogger ProgbarLogger"),
        ("optimizers", "SGD Adam sgd adam get serialize deserialize"),
        ("losses", "mse MSE mae MAE mean_squared_error categorical_crossentropy get"),
        ("metrics", "categorical_accuracy binary_accuracy sparse_categorical_accuracy mse get"),
        ("initializers", "Zeros zeros Ones RandomNormal random_uniform normal glorot_uniform he_normal lecun_normal get"),
        ("regularizers", "l1 l2 l1_l2 L1L2 get"),
        ("constraints", "MaxNorm max_norm maxnorm NonNeg UnitNorm get"),
        ("activations", "relu softmax tanh get"),
    ],
)
def test_public_paths(path: str, names: str) -> None:
    module = importlib.import_module(f"graphflow.keras.{path}")
    assert all(hasattr(module, name) for name in names.split())


def test_gf_keras_is_the_package() -> None:
    assert gf.keras.Sequential is importlib.import_module("graphflow.keras").models.Sequential
    scope: dict[str, Any] = {}
    exec("from graphflow.keras.layers import *", scope)
    assert scope["Dense"] is Dense
