"""Convolution and pooling layers: shapes, values, configurations, and a small network that learns."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.keras import layers
from graphflow.keras.layers import Conv1D, Conv2D, Conv3D, Dense, Flatten, GlobalAveragePooling2D, Input, MaxPooling2D
from graphflow.keras.models import Model, Sequential


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Conv1D(5, 3, padding="causal", dilation_rate=2), (9, 4)),
        (Conv2D(5, (3, 2), strides=2, padding="same", activation="relu"), (7, 6, 3)),
        (Conv2D(4, 3, data_format="channels_first", use_bias=False), (3, 7, 6)),
        (Conv2D(4, 3, data_format="channels_first", bias_initializer="ones"), (3, 7, 6)),
        (Conv3D(2, 2), (4, 5, 3, 2)),
    ],
)
def test_layers_are_the_op(layer, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, *shape)).astype("float32")
    model = Sequential([layer])
    model.build((None, *shape))
    got = model.predict(x)
    weights = layer.get_weights()
    y = gf.nn.conv(x, weights[0], layer.strides, layer.padding, layer.dilation_rate, data_format=layer.data_format)
    if layer.use_bias:
        y = y + (weights[1].reshape(-1, 1, 1) if layer.data_format == "channels_first" else weights[1])
    want = gf.function([], layer.activation(y))()
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    assert model.output_shape == (None, *want.shape[1:])
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("name", [n for n in layers.__all__ if "Pool" in n])
def test_every_pooling_layer(name: str) -> None:
    rank = int(name[-2])
    x = np.random.default_rng(0).standard_normal((2, *(6, 4, 2)[:rank], 3)).astype("float32")
    layer = getattr(layers, name)()
    inputs = Input(x.shape[1:])
    got = Model(inputs, layer(inputs)).predict(x)
    fold = np.max if "Max" in name else np.mean
    if name.startswith("Global"):
        want = fold(x, axis=tuple(range(1, 1 + rank)))
    else:
        split = x.reshape(2, *(n for s in (6, 4, 2)[:rank] for n in (s // 2, 2)), 3)
        want = fold(split, axis=tuple(range(2, 2 + 2 * rank, 2)))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_a_small_network_learns() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    x = rng.standard_normal((200, 8, 8, 1)).astype("float32") * 0.3
    x[labels == 1, 2:5, 2:5] += 1.5
    np.random.seed(0)
    model = Sequential([Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1)), MaxPooling2D(), Flatten(), Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, labels, epochs=12, batch_size=20, verbose=0)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert model.evaluate(x, labels, verbose=0)[1] > 0.9


def test_unknown_image_sizes() -> None:
    inputs = Input((None, None, 3))
    model = Model(inputs, GlobalAveragePooling2D()(Conv2D(4, 3, padding="same")(inputs)))
    for size in (3, 8):
        assert model.predict(np.ones((2, size, size + 1, 3), "float32")).shape == (2, 4)


def test_errors() -> None:
    with pytest.raises(gf.ShapeError, match="channels is not known"):
        Conv2D(4, 3)(Input((8, 8, None)))
    with pytest.raises(gf.ShapeError, match="fit into an axis of 2"):
        Conv2D(4, 3)(Input((2, 8, 1)))
    with pytest.raises(gf.ShapeError, match="kernel_size"):
        Conv2D(4, (3, 3, 3))
