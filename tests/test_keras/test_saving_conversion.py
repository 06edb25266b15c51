"""Configurations and weights of other versions, in the words and shapes of this one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.keras import layers as L
from graphflow.keras import models
from graphflow.keras.saving import gates, keras1, keras3
from graphflow.keras.saving.conversion import Origin, converted
from graphflow.keras.saving.translation import translated
from graphflow.keras.saving.versions import generation_of

rng = np.random.RandomState(0)


@pytest.mark.parametrize(
    ("version", "generation"),
    [(None, "1"), ("1.2.2", "1"), ("2.0.8", "2.2"), ("2.2.4", "2.2"), ("2.2.4-tf", "2.4"), ("2.3.1", "2.3"), ("2.3.0-tf", "2.4"), ("2.15.0", "2.4"), ("3.8.0", "3")],
)  # fmt: skip
def test_versions(version: str | None, generation: str) -> None:
    assert generation_of(version) == generation


# --- Keras 1 -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "config", "expected"),
    [
        ("Dense", {"output_dim": 3, "init": "normal", "bias": True, "input_dim": 4, "batch_input_shape": [None, 4], "W_regularizer": {"name": "L1L2Regularizer", "l1": 0.0, "l2": 0.1}}, ("Dense", {"units": 3, "kernel_initializer": "random_normal", "use_bias": True, "batch_input_shape": [None, 4], "kernel_regularizer": {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.1}}})),
        ("Convolution2D", {"nb_filter": 2, "nb_row": 3, "nb_col": 1, "border_mode": "same", "subsample": [1, 1], "dim_ordering": "th"}, ("Conv2D", {"filters": 2, "kernel_size": [3, 1], "padding": "same", "strides": [1, 1], "data_format": "channels_first"})),
        ("AtrousConvolution1D", {"nb_filter": 2, "filter_length": 3, "atrous_rate": 2, "subsample_length": 1}, ("Conv1D", {"filters": 2, "kernel_size": 3, "dilation_rate": 2, "strides": 1})),
        ("LSTM", {"output_dim": 3, "inner_init": "orthogonal", "inner_activation": "hard_sigmoid", "forget_bias_init": "one", "dropout_W": 0.1, "dropout_U": 0.2, "consume_less": "gpu", "input_dim": 2, "batch_input_shape": [None, 4, 2], "input_length": None}, ("LSTM", {"units": 3, "recurrent_initializer": "orthogonal", "recurrent_activation": "hard_sigmoid", "unit_forget_bias": True, "dropout": 0.1, "recurrent_dropout": 0.2, "implementation": 2, "batch_input_shape": [None, 4, 2]})),
        ("Embedding", {"input_dim": 7, "output_dim": 2, "init": "uniform", "W_constraint": {"name": "MaxNorm", "m": 2, "axis": 0}, "dropout": 0.0, "input_length": 5}, ("Embedding", {"input_dim": 7, "output_dim": 2, "embeddings_initializer": "random_uniform", "embeddings_constraint": {"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}}, "input_length": 5})),
        ("BatchNormalization", {"mode": 0, "beta_init": "zero", "gamma_init": "one"}, ("BatchNormalization", {"beta_initializer": "zeros", "gamma_initializer": "ones"})),
        ("Merge", {"name": "m", "mode": "concat", "concat_axis": 1}, ("Concatenate", {"name": "m", "axis": 1})),
        ("TimeDistributed", {"layer": {"class_name": "Dense", "config": {"output_dim": 3}}}, ("TimeDistributed", {"layer": {"class_name": "Dense", "config": {"units": 3}}})),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_words_of_keras_1(name: str, config: dict[str, Any], expected: tuple[str, Any]) -> None:
    assert keras1.translated(name, config) == expected


def test_a_merge_without_a_layer_is_refused() -> None:
    with pytest.raises(GraphError, match="'m' of Keras 1"):
        keras1.translated("Merge", {"name": "m", "mode": "join"})


# --- tf.keras and Keras 3 ------------------------------------------------------------------------
def test_objects_lose_their_modules() -> None:
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
    kernel = {"module": "keras.initializers", "class_name": "Zeros", "config": {}, "registered_name": None}
    own = {"module": "m", "class_name": "Own", "config": {"size": {"class_name": "__tuple__", "items": [1, 2]}}, "registered_name": "package>Own"}
    assert keras3.plain({"dtype": policy, "kernel": kernel, "own": own}) == {
        "dtype": "float32", "kernel": {"class_name": "Zeros", "config": {}}, "own": {"class_name": "package>Own", "config": {"size": (1, 2)}},
    }  # fmt: skip
    with pytest.raises(GraphError, match="mixed_float16"):
        keras3.plain({**policy, "config": {"name": "mixed_float16"}})


def test_arguments_that_say_nothing_are_left_out_and_others_complain() -> None:
    data = {"class_name": "Dense", "config": {"name": "d", "units": 2, "lora_rank": None, "quantization_config": None}}
    assert translated(data, "3")["config"] == {"name": "d", "units": 2}
    told = {"class_name": "Dense", "config": {"name": "d", "units": 2, "lora_rank": 4, "batch_input_shape": [None, 3]}}
    with pytest.raises(TypeError, match="lora_rank"):
        models.model_from_config({"class_name": "Sequential", "config": {"layers": [told]}})


# --- weights -------------------------------------------------------------------------------------
def test_theano_kernels_are_turned() -> None:
    layer = models.Sequential([L.Conv2D(2, 3, input_shape=(4, 4, 1))]).layers[0]
    kernel, bias = rng.rand(3, 3, 1, 2), rng.rand(2)
    turned = converted(layer, [kernel, bias], Origin("2.2", "theano"))
    np.testing.assert_array_equal(turned[0], kernel[::-1, ::-1])
    np.testing.assert_array_equal(converted(layer, [kernel, bias], Origin("2.2", "tensorflow"))[0], kernel)


def test_kernels_of_keras_1_with_channels_first() -> None:
    layer = models.Sequential([L.Conv2D(2, 3, data_format="channels_first", input_shape=(1, 4, 4))]).layers[0]
    kernel, bias = rng.rand(2, 1, 3, 3), rng.rand(2)
    np.testing.assert_array_equal(converted(layer, [kernel, bias], Origin("1", None))[0], kernel.transpose(2, 3, 1, 0))


def test_models_inside_have_all_trained_weights_first() -> None:
    inner = models.Sequential([L.Dense(2, input_shape=(3,)), L.BatchNormalization(), L.Dense(1)])
    values = [np.full(tuple(w.shape), i) for i, w in enumerate(inner.weights)]
    for a, b in zip(converted(inner, values, Origin("2.2", "theano")), values, strict=True):
        np.testing.assert_array_equal(a, b)


def _layer(kind: str, **attributes: Any) -> Any:
    return type(kind, (SimpleNamespace,), {})(name=kind, **attributes)


def test_gates_of_keras_1_are_joined() -> None:
    one_by_one = [np.full(shape, 10 * gate + which) for gate in range(4) for which, shape in enumerate([(2, 3), (3, 3), (3,)])]
    kernel, recurrent, bias = gates.joined_gates(one_by_one, 4)
    assert kernel[0].tolist() == [0] * 3 + [20] * 3 + [10] * 3 + [30] * 3  # i, c, f, o become i, f, c, o
    assert recurrent.shape == (3, 12) and bias[3] == 22


@pytest.mark.parametrize(("kind", "n"), [("LSTM", 4), ("GRU", 3)])
def test_cudnn_weights_there_and_back(kind: str, n: int) -> None:
    units, features = 3, 2
    cudnn = [rng.rand(features, n * units), rng.rand(units, n * units), rng.rand(2 * n * units)]
    plain = gates.between_kinds(_layer(kind, reset_after=True), cudnn)
    assert plain[2].shape == ((n * units,) if kind == "LSTM" else (2, n * units))
    gate, flat = plain[0][:, :units], cudnn[0][:, :units]
    np.testing.assert_array_equal(gate.T.ravel(), flat.ravel())  # CuDNN keeps each gate as (units, features)
    np.testing.assert_array_equal(plain[1][:, :units], cudnn[1][:, :units].T)
    back = gates.between_kinds(_layer(f"CuDNN{kind}"), plain)
    np.testing.assert_array_equal(back[0], cudnn[0])
    np.testing.assert_array_equal(back[1], cudnn[1])
    again = gates.between_kinds(_layer(kind, reset_after=True), back)
    np.testing.assert_allclose(again[2], plain[2])


def test_a_gru_keeps_its_reset_gate() -> None:
    weights = [rng.rand(2, 9), rng.rand(3, 9), rng.rand(9)]
    with pytest.raises(ShapeError, match="reset_after"):
        gates.between_kinds(_layer("GRU", reset_after=True), weights)
    assert gates.between_kinds(_layer("GRU", reset_after=False), weights) is weights
    with pytest.raises(ShapeError, match="bias"):
        gates.between_kinds(_layer("LSTM"), [rng.rand(2, 12), rng.rand(3, 12), rng.rand(5)])
