"""Layers as programs for Keras 1 make them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from graphflow.keras import generation, layers
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.layers import Highway, Input, MaxoutDense, ParametricSoftplus, SReLU, TimeDistributedDense
from graphflow.keras.models import Model, Sequential

# Keras 1's way, today's way
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], dict[str, Any]]] = [
    ("Conv2D", (32, 3, 4), {"border_mode": "same", "subsample": (2, 2)}, {"filters": 32, "kernel_size": (3, 4), "padding": "same", "strides": (2, 2)}),
    ("Conv2D", (32,), {"nb_row": 3, "nb_col": 4, "init": "uniform", "bias": False}, {"filters": 32, "kernel_size": (3, 4), "kernel_initializer": "uniform", "use_bias": False}),
    ("Conv2D", (), {"nb_filter": 32, "nb_row": 3, "nb_col": 4, "dim_ordering": "th"}, {"filters": 32, "kernel_size": (3, 4), "data_format": "channels_first"}),
    ("AtrousConvolution2D", (8, 3, 3), {"atrous_rate": (2, 2)}, {"filters": 8, "kernel_size": 3, "dilation_rate": 2}),
    ("Convolution3D", (8, 2, 3, 4), {}, {"filters": 8, "kernel_size": (2, 3, 4)}),
    ("Convolution3D", (8,), {"kernel_dim1": 2, "kernel_dim2": 3, "kernel_dim3": 4}, {"filters": 8, "kernel_size": (2, 3, 4)}),
    ("Convolution1D", (8, 3), {"subsample_length": 2, "input_length": 10, "input_dim": 4}, {"filters": 8, "kernel_size": 3, "strides": 2, "input_shape": (10, 4)}),
    ("Deconvolution2D", (8, 3, 3), {"output_shape": (None, 9, 9, 8)}, {"filters": 8, "kernel_size": 3}),
    ("SeparableConvolution2D", (8, 3, 3), {"border_mode": "same"}, {"filters": 8, "kernel_size": 3, "padding": "same"}),
    ("LocallyConnected2D", (8, 3, 3), {}, {"filters": 8, "kernel_size": 3}),
    ("LocallyConnected1D", (8,), {"filter_length": 3}, {"filters": 8, "kernel_size": 3}),
    ("MaxPooling1D", (), {"pool_length": 3, "stride": 2, "border_mode": "same"}, {"pool_size": 3, "strides": 2, "padding": "same"}),
    ("AveragePooling2D", ((2, 2),), {"dim_ordering": "tf"}, {"pool_size": (2, 2), "data_format": "channels_last"}),
    ("GlobalMaxPooling2D", (), {"dim_ordering": "th"}, {"data_format": "channels_first"}),
    ("ZeroPadding2D", ({"top_pad": 1, "left_pad": 2},), {}, {"padding": ((1, 0), (2, 0))}),
    ("ZeroPadding2D", ((1, 1),), {"dim_ordering": "default"}, {"padding": (1, 1)}),
    ("UpSampling1D", (), {"length": 3}, {"size": 3}),
    ("SpatialDropout2D", (), {"p": 0.3, "dim_ordering": "th"}, {"rate": 0.3, "data_format": "channels_first"}),
    ("GaussianNoise", (), {"sigma": 0.3}, {"stddev": 0.3}),
    ("GaussianDropout", (), {"p": 0.3}, {"rate": 0.3}),
    ("Embedding", (10, 4), {"init": "normal", "W_regularizer": "l2", "dropout": 0.2}, {"input_dim": 10, "output_dim": 4, "embeddings_initializer": "normal", "embeddings_regularizer": "l2"}),
    ("BatchNormalization", (), {"mode": 0, "beta_init": "one"}, {"beta_initializer": "one"}),
    ("PReLU", (), {"init": "one"}, {"alpha_initializer": "one"}),
]


@pytest.mark.parametrize(("name", "args", "old", "new"), CALLS, ids=[f"{c[0]}{i}" for i, c in enumerate(CALLS)])
def test_arguments_of_keras_1(name: str, args: tuple[Any, ...], old: dict[str, Any], new: dict[str, Any]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        former = getattr(layers, name)(*args, **old, name="x")
    assert all(w.category is DeprecationWarning and w.filename == __file__ for w in caught)
    assert len(caught) >= (0 if name.startswith("ZeroPadding2D") and not old else 1)
    assert former.get_config() == getattr(layers, name)(**new, name="x").get_config()


def test_more_numbers_are_strides_for_tf_keras_and_beside_new_names() -> None:
    assert layers.Conv2D(4, 3, 2, padding="same").strides == (2, 2)
    generation.use("2.4")
    assert layers.Conv2D(4, 3, 2).strides == (2, 2)


@pytest.mark.parametrize(
    ("name", "args", "new"),
    [
        ("Dense", (3, "normal", "tanh"), {"units": 3, "kernel_initializer": "normal", "activation": "tanh"}),
        ("Convolution2D", (3, 2, 2, "normal", "relu"), {"filters": 3, "kernel_size": 2, "kernel_initializer": "normal", "activation": "relu"}),
        ("BatchNormalization", (0.01, 0, 1), {"epsilon": 0.01, "axis": 1}),
    ],
)
def test_positions_of_keras_1(name: str, args: tuple[Any, ...], new: dict[str, Any]) -> None:
    generation.use("1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        former = getattr(layers, name)(*args, name="x")
    assert former.get_config() == getattr(layers, name)(**new, name="x").get_config()


def value(layer: Layer, data: np.ndarray) -> np.ndarray:
    x = Input(data.shape[1:])
    found: np.ndarray = Model(x, layer(x)).predict(data)
    return found


def test_layers_that_only_keras_1_had() -> None:
    rng = np.random.RandomState(0)
    data = rng.randn(5, 3).astype("float32")
    maxout = MaxoutDense(2, nb_feature=3, input_dim=3, init="normal")
    found = value(maxout, data)
    w, b = maxout.get_weights()
    np.testing.assert_allclose(found, (np.einsum("ni,fio->nfo", data, w) + b).max(1), rtol=1e-5, atol=1e-6)
    highway = Highway(activation="tanh")
    found = value(highway, data)
    by_name = {w.name.split("/")[-1]: v for w, v in zip(highway.weights, highway.get_weights(), strict=True)}
    t = 1 / (1 + np.exp(-(data @ by_name["W_carry"] + by_name["b_carry"])))
    np.testing.assert_allclose(found, t * np.tanh(data @ by_name["W"] + by_name["b"]) + (1 - t) * data, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(value(ParametricSoftplus(0.3, 2.0), data), 0.3 * np.log1p(np.exp(2 * data)), rtol=1e-5)
    srelu = SReLU()
    value(srelu, data)
    srelu.set_weights([np.full(3, v, "float32") for v in (-0.5, 0.1, -1.0, 2.0)])
    want = np.where(data < -0.5, -0.5 + 0.1 * (data + 0.5), np.where(data < 0.5, data, 0.5 + 2 * (data - 0.5)))
    np.testing.assert_allclose(value(srelu, data), want, rtol=1e-5, atol=1e-6)
    for layer in (maxout, highway, srelu):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


def test_time_distributed_dense() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Sequential([TimeDistributedDense(output_dim=2, input_dim=3, input_length=4)])
    assert model.output_shape == (None, 4, 2) and model.count_params() == 8


def test_module_paths_have_what_keras_1_and_2_had_there() -> None:
    from graphflow.keras.layers import advanced_activations, convolutional, core

    assert core.Merge is layers.Merge and core.TimeDistributedDense is TimeDistributedDense and core.MaxoutDense is MaxoutDense  # type: ignore[attr-defined]
    assert convolutional.MaxPooling2D is layers.MaxPooling2D and convolutional.Convolution2D is layers.Conv2D  # type: ignore[attr-defined]
    assert advanced_activations.SReLU is SReLU and not hasattr(core, "nothing")  # type: ignore[attr-defined]
