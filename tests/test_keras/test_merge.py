"""Merge layers and functions: names, shapes, mistakes, and Keras 1's merge; the values are in test_layer_parity."""

from __future__ import annotations

import numpy as np
import pytest

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.keras import layers
from graphflow.keras.engine.node import history
from graphflow.keras.layers import Add, Concatenate, Dense, Dot, Input, Merge, Subtract, merge
from graphflow.keras.models import Model, Sequential

A, B = np.random.RandomState(0).rand(2, 4, 3).astype("float32"), np.random.RandomState(1).rand(2, 4, 3).astype("float32")
FUNCTIONS = {
    "add": A + B, "subtract": A - B, "multiply": A * B, "average": (A + B) / 2, "maximum": np.maximum(A, B), "minimum": np.minimum(A, B),
    "concatenate": np.concatenate([A, B], -1),
}  # fmt: skip


def model_of(merged) -> Model:  # type: ignore[no-untyped-def]
    x, y = Input((4, 3)), Input((4, 3))
    return Model([x, y], merged([x, y]))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_calls_its_layer(name: str) -> None:
    model = model_of(getattr(layers, name))
    np.testing.assert_allclose(model.predict([A, B]), FUNCTIONS[name], rtol=1e-6)
    assert type(model.layers[-1]) is getattr(layers, name.capitalize()) and model.layers[-1].name == f"{name}_1"
    named = getattr(layers, name)([Input((2,)), Input((2,))], name="own")
    assert history(named).node.layer.name == "own"  # type: ignore[union-attr]


def test_dot_sums_over_axes_of_each_sample() -> None:
    np.testing.assert_allclose(model_of(lambda v: layers.dot(v, axes=2)).predict([A, B]), np.einsum("nad,nbd->nab", A, B), rtol=1e-5)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (A, B)]
    found = model_of(lambda v: layers.dot(v, 1, normalize=True)).predict([A, B])
    np.testing.assert_allclose(found, np.einsum("nad,nae->nde", *unit), rtol=1e-5)


MODES = {
    "sum": A + B, "mul": A * B, "concat": np.concatenate([A, B], -1), "ave": (A + B) / 2, "max": np.maximum(A, B),
    "dot": np.einsum("nad,nbd->nab", A, B),
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_merge_of_keras_1(mode: str) -> None:
    np.testing.assert_allclose(model_of(lambda v: merge(v, mode=mode, name="both")).predict([A, B]), MODES[mode], rtol=1e-5)


def test_merge_with_a_function() -> None:
    found = model_of(lambda v: merge(v, mode=lambda x: x[0] - x[1] * 2, output_shape=(4, 3))).predict([A, B])
    np.testing.assert_allclose(found, A - 2 * B, rtol=1e-5)
    layer = Merge([Dense(2)], "concat", concat_axis=1)
    assert Merge.from_config(layer.get_config()).get_config() == layer.get_config()


def test_a_sequential_of_keras_1_begins_with_branches() -> None:
    left, right = Sequential([Dense(2, input_dim=3)]), Sequential([Dense(4, input_dim=2), Dense(3)])
    model = Sequential()
    model.add(Merge([left, right], mode="concat"))
    model.add(Dense(1))
    assert model.input_shape == [(None, 3), (None, 2)] and model.output_shape == (None, 1) and model.count_params() == 8 + 12 + 15 + 6
    model.compile("sgd", "mse")
    x, y = [np.random.rand(8, 3), np.random.rand(8, 2)], np.ones((8, 1))
    losses = model.fit(x, y, verbose=0, epochs=40).history["loss"]
    assert losses[-1] < losses[0] and model.predict(x).shape == (8, 1)
    again = Sequential.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again.predict(x), model.predict(x), rtol=1e-6)


def test_mistakes() -> None:
    x, y = Input((2, 3)), Input((3, 2))
    with pytest.raises(ShapeError, match="at least 2 inputs"):
        Add()(x)
    with pytest.raises(ShapeError, match="exactly 2 inputs"):
        Subtract()([x, x, x])
    with pytest.raises(ShapeError):
        Add()([x, y])
    with pytest.raises(ShapeError):
        Concatenate(axis=-1)([x, y])
    with pytest.raises(ShapeError, match="Dimension incompatibility"):
        Dot(1)([x, y])
    with pytest.raises(GraphError, match="axes"):
        Dot((1, 2, 3))
    with pytest.raises(GraphError, match="merge mode"):
        merge([x, x], mode="mean")
