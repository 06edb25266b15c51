"""Layers that bring data into the form a network takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphflow.graph.errors import GraphError, StateError
from graphflow.keras.layers import (
    CategoryEncoding,
    Discretization,
    Input,
    Normalization,
    Rescaling,
)
from graphflow.keras.models import Model


def value(layer: Any, data: np.ndarray) -> np.ndarray:
    x = Input(data.shape[1:])
    found: np.ndarray = Model(x, layer(x)).predict(data)
    return found


@pytest.mark.smoke
def test_normalization_learns_from_data() -> None:
    data = np.random.RandomState(0).randn(50, 4, 3) * 5 + 2
    layer = Normalization(axis=-1)
    layer.adapt(data)
    found = value(layer, data)
    np.testing.assert_allclose(found, (data - data.mean((0, 1))) / data.std((0, 1)), rtol=1e-4, atol=1e-5)
    assert layer.trainable_weights == [] and layer.count_params() == 7
    back = Normalization(mean=data.mean((0, 1)), variance=data.var((0, 1)), invert=True)
    np.testing.assert_allclose(value(back, found), data, rtol=1e-4, atol=1e-4)
    assert Normalization.from_config(back.get_config()).get_config() == back.get_config()
    with pytest.raises(StateError, match="static"):
        back.adapt(data)
    np.testing.assert_allclose(value(Normalization(axis=None, mean=2.0, variance=4.0), data), (data - 2) / 2, rtol=1e-5, atol=1e-6)


def test_rescaling_takes_whole_numbers() -> None:
    x = Input((2,), dtype="uint8")
    np.testing.assert_allclose(Model(x, Rescaling(1 / 127.5, -1)(x)).predict(np.array([[0, 255]], "uint8")), [[-1, 1]], atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "want"),
    [("multi_hot", [[1, 0, 1, 0], [0, 1, 0, 0]]), ("count", [[1, 0, 1, 0], [0, 2, 0, 0]])],
)
def test_category_encoding(mode: str, want: Any) -> None:
    np.testing.assert_array_equal(value(CategoryEncoding(4, mode), np.array([[0, 2], [1, 1]])), want)
    np.testing.assert_array_equal(value(CategoryEncoding(3, "one_hot"), np.array([[2], [0]])), [[0, 0, 1], [1, 0, 0]])
    with pytest.raises(GraphError, match="output_mode"):
        CategoryEncoding(3, "tf_idf")


def test_discretization_counts_boundaries_passed() -> None:
    np.testing.assert_array_equal(value(Discretization([0.0, 1.0]), np.array([[-1, 0], [0.5, 3]])), [[0, 1], [1, 2]])
