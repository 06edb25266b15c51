"""Batch normalization in training: averages, frozen layers, layers that are shared; the values are in test_layer_parity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    GroupNormalization,
    Input,
    LayerNormalization,
    Masking,
)
from graphflow.keras.models import Model, Sequential

X = np.random.RandomState(0).randn(64, 3) * 3 + 1


def trained(layer: Any, **kwargs: Any) -> Any:
    model = Sequential([layer])
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0, batch_size=64, **kwargs)
    return model


@pytest.mark.smoke
@pytest.mark.parametrize(("name", "factor"), [("1", 1), ("2.2", 64 / (63 - 1e-3)), ("2.4", 1), ("3", 1)])
def test_training_moves_the_averages(name: str, factor: float) -> None:
    generation.use(name)
    layer = BatchNormalization(momentum=0.5, input_shape=(3,))
    trained(layer, epochs=1)
    mean, variance = layer.get_weights()[2:]
    np.testing.assert_allclose(mean, X.mean(0) / 2, rtol=1e-5)
    np.testing.assert_allclose(variance, 0.5 + X.var(0) * factor / 2, rtol=1e-5)


def test_images_of_tf_keras_have_the_variance_of_the_population() -> None:
    generation.use("2.4")
    layer = BatchNormalization(momentum=0.0, input_shape=(2, 2, 3))
    x = np.random.rand(4, 2, 2, 3)
    model = Sequential([layer])
    model.compile("sgd", "mse")
    model.train_on_batch(x, x)
    np.testing.assert_allclose(layer.get_weights()[3], x.var((0, 1, 2)) * 16 / 15, rtol=1e-5)


def test_predictions_use_the_averages() -> None:
    layer = BatchNormalization(input_shape=(3,), epsilon=0.1)
    model = trained(layer, epochs=3)
    gamma, beta, mean, variance = layer.get_weights()
    np.testing.assert_allclose(model.predict(X), (X - mean) / np.sqrt(variance + 0.1) * gamma + beta, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "at_rest"), [("2.2", False), ("2.4", True)])
def test_a_frozen_layer_keeps_its_averages_and_from_tf_keras_on_uses_them(name: str, at_rest: bool) -> None:
    generation.use(name)
    layer = BatchNormalization(input_shape=(3,))
    model = Sequential([layer, Dense(1)])
    layer.trainable = False
    model.compile("sgd", "mse")
    before = layer.get_weights()
    tested = model.test_on_batch(X, X[:, :1])
    assert (model.train_on_batch(X, X[:, :1]) == pytest.approx(tested, rel=1e-5)) == at_rest
    for was, now in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    layer.trainable = True
    model.compile("sgd", "mse")
    assert model.train_on_batch(X, X[:, :1]) != pytest.approx(model.test_on_batch(X, X[:, :1]), rel=1e-3)
    assert (layer.get_weights()[2] != before[2]).all()


def test_a_shared_layer_averages_over_all_its_calls() -> None:
    a, b = Input((3,)), Input((3,))
    layer = BatchNormalization(momentum=0.9)
    first = layer(a)
    model = Model([a, b], [first, layer(b)])
    model.compile("sgd", "mse")
    model.train_on_batch([X, X + 1], [X, X])
    np.testing.assert_allclose(layer.get_weights()[2], 0.1 * X.mean(0) + 0.1 * (X + 1).mean(0), rtol=1e-5)
    one = Model(a, first)
    one.compile("sgd", "mse")
    before = layer.get_weights()[2]
    one.train_on_batch(X, X)
    np.testing.assert_allclose(layer.get_weights()[2], 0.9 * before + 0.1 * X.mean(0), rtol=1e-5)


def test_a_deep_network_with_it_learns() -> None:
    rng = np.random.RandomState(1)
    x = rng.randn(128, 6, 6, 1) * 20
    y = (x.mean((1, 2, 3)) > 0).astype("float32")
    model = Sequential([Conv2D(4, 3, input_shape=(6, 6, 1)), BatchNormalization(), Conv2D(4, 3), BatchNormalization(axis=-1), Conv2D(1, 2, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    losses = model.fit(x, y.reshape(-1, 1, 1, 1), verbose=0, epochs=30, batch_size=16).history["loss"]
    assert losses[-1] < 0.6 * losses[0]


def test_the_phase_of_a_call_decides() -> None:
    x = Input((3,))
    layer = BatchNormalization()
    model = Model(x, [layer(x, training=True), layer(x, training=False)])
    batch, rest = model.predict(X)
    np.testing.assert_allclose(batch.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(rest, X / np.sqrt(1 + 1e-3), rtol=1e-4)


@pytest.mark.parametrize(("name", "steps"), [("2.4", slice(None)), ("3", slice(0, 2))])
def test_masked_steps_do_not_count_from_keras_3_on(name: str, steps: slice) -> None:
    generation.use(name)
    x = np.random.rand(4, 3, 2)
    x[:, 2] = 0
    layer = BatchNormalization(momentum=0.0)
    model = Sequential([Masking(input_shape=(3, 2)), layer])
    model.compile("sgd", "mse")
    model.train_on_batch(x, x)
    mean, variance = layer.get_weights()[2:]
    np.testing.assert_allclose(mean, x[:, steps].mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(variance, x[:, steps].var((0, 1)), rtol=1e-4)


def test_mistakes() -> None:
    with pytest.raises(ShapeError, match="is not known"):
        BatchNormalization(axis=1)(Input((None, 3)))
    with pytest.raises(ShapeError, match="do not divide"):
        GroupNormalization(2)(Input((4, 3)))
    with pytest.raises(GraphError, match="renorm"):
        BatchNormalization(renorm=True)
    with pytest.raises(ShapeError, match="expected axis"):
        layer = LayerNormalization()
        batch = BatchNormalization()
        layer(Input((3,)))
        batch(Input((3,)))
        batch(Input((4,)))


def test_axes_may_be_sizes_that_only_data_tell() -> None:
    x = Input((None, 3))
    data = np.random.rand(2, 5, 3)
    found = Model(x, LayerNormalization(axis=[1], center=False, scale=False)(x)).predict(data)
    np.testing.assert_allclose(found.mean(1), 0, atol=1e-5)
    assert K.int_shape(BatchNormalization()(x)) == (None, None, 3)
