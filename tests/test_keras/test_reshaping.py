"""Layers that only move elements, and embeddings: configurations, odd shapes, mistakes; the values are in test_layer_parity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.layers import (
    Conv2D,
    Cropping1D,
    Cropping2D,
    Dense,
    Embedding,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    Identity,
    Input,
    MaxPooling2D,
    Permute,
    RepeatVector,
    Reshape,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
)
from graphflow.keras.models import Model, Sequential


def value(layer: Any, data: np.ndarray, shape: tuple[int | None, ...] | None = None) -> np.ndarray:
    x = Input(shape or data.shape[1:])
    found: np.ndarray = Model(x, layer(x)).predict(data)
    return found


def test_reshape_with_a_size_that_remains() -> None:
    data = np.arange(24.0).reshape(2, 12)
    np.testing.assert_array_equal(value(Reshape((3, -1)), data), data.reshape(2, 3, 4))
    assert Reshape((3, -1)).compute_output_shape((None, 12)) == (None, 3, 4)
    np.testing.assert_array_equal(value(Reshape((-1, 4)), data.reshape(2, 3, 4), (None, 4)), data.reshape(2, 3, 4))
    with pytest.raises(ShapeError, match="unchanged"):
        value(Reshape((5,)), data)


def test_flatten_and_repeat_series_of_any_length() -> None:
    data = np.random.rand(2, 5, 3).astype("float32")
    np.testing.assert_array_equal(value(Flatten(), data, (None, 3)), data.reshape(2, 15))
    np.testing.assert_array_equal(value(RepeatVector(2), data[:, 0]), np.stack([data[:, 0]] * 2, 1))
    np.testing.assert_array_equal(value(Identity(), data), data)


def test_permute_counts_from_one() -> None:
    data = np.random.rand(2, 3, 4).astype("float32")
    np.testing.assert_array_equal(value(Permute((2, 1)), data), data.transpose(0, 2, 1))
    with pytest.raises(GraphError, match="dims"):
        Permute((0, 1))


def test_padding_and_cropping_are_inverse() -> None:
    data = np.random.rand(2, 4, 5, 3).astype("float32")
    x = Input((None, None, 3))
    model = Model(x, Cropping2D(((1, 2), (0, 3)))(ZeroPadding2D(((1, 2), (0, 3)))(x)))
    np.testing.assert_array_equal(model.predict(data), data)
    first = ZeroPadding2D((1, 2), data_format="channels_first")
    assert value(first, data).shape == (2, 4, 7, 7)
    assert ZeroPadding1D(2).padding == (2, 2) and ZeroPadding2D(1).padding == ((1, 1), (1, 1))
    for wrong in ((1, 2, 3), ((1,), (2,)), "x"):
        with pytest.raises(GraphError, match="padding"):
            ZeroPadding2D(wrong)
    with pytest.raises(ShapeError, match="cut off"):
        Cropping1D((2, 2))(Input((4, 3)))


@pytest.mark.parametrize("name", ["2.2", "2.4"])
def test_bilinear_upsampling_is_linear_inside(name: str) -> None:
    generation.use(name)
    rows = np.arange(4.0)[None, :, None, None] * np.ones((1, 4, 3, 1))
    found = value(UpSampling2D((2, 3), interpolation="bilinear"), rows)[0, :, 0, 0]
    want = np.clip((np.arange(8) + 0.5) / 2 - 0.5, 0, 3) if name == "2.4" else np.clip(np.arange(8) / 2, 0, 3)
    np.testing.assert_allclose(found, want, rtol=1e-6)
    assert found.shape == (8,)


def test_the_format_of_images_is_a_setting() -> None:
    K.set_image_data_format("channels_first")
    try:
        x = Input((3, 8, 8))
        y = MaxPooling2D()(Conv2D(4, 3, padding="same")(x))
        assert K.int_shape(y) == (None, 4, 4, 4) and K.int_shape(GlobalAveragePooling2D()(y)) == (None, 4)
        assert Conv2D(4, 3).get_config()["data_format"] == "channels_first"
    finally:
        K.set_image_data_format("channels_last")


def test_global_pooling_may_keep_its_axes() -> None:
    data = np.random.rand(2, 4, 5, 3).astype("float32")
    np.testing.assert_allclose(value(GlobalAveragePooling2D(keepdims=True), data), data.mean((1, 2), keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(value(GlobalMaxPooling1D(), data[0], (None, 3)), data[0].max(1))
    assert "keepdims" not in GlobalMaxPooling1D().get_config()  # Keras 2.2 does not know it


@pytest.mark.smoke
def test_embeddings_learn_the_rows_they_use() -> None:
    table = np.random.RandomState(0).rand(6, 2).astype("float32")
    layer = Embedding(6, 2, input_length=3, weights=[table])
    model = Sequential([layer, Flatten(), Dense(1)])
    assert model.output_shape == (None, 1) and model.input_shape == (None, 3)
    ids = np.array([[0, 2, 2], [5, 0, 0]])
    np.testing.assert_array_equal(Model(model.inputs, model.layers[0].output).predict(ids), table[ids])
    model.compile("sgd", "mse")
    model.train_on_batch(ids, np.ones((2, 1)))
    changed = (layer.get_weights()[0] != table).any(1)
    np.testing.assert_array_equal(changed, [True, False, True, False, False, True])
    assert Embedding(6, 2).batch_input_shape == (None, None)
