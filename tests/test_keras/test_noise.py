"""Noise layers: nothing when testing, the right moments while training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import GraphError
from graphflow.keras.layers import (
    AlphaDropout,
    GaussianDropout,
    GaussianNoise,
    Input,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from graphflow.keras.models import Model


def noisy(layer: Any, x: np.ndarray) -> np.ndarray:
    inputs = Input(x.shape[1:])
    found: np.ndarray = gf.function([inputs], layer(inputs, training=True))(x.astype("float32"))
    np.testing.assert_array_equal(Model(inputs, layer(inputs)).predict(x), x.astype("float32"))
    return found


def test_gaussian_noise_adds() -> None:
    noise = noisy(GaussianNoise(0.5), np.full((100, 200), 3.0)) - 3
    assert abs(noise.mean()) < 0.02 and noise.std() == pytest.approx(0.5, rel=0.02)


def test_gaussian_dropout_multiplies() -> None:
    noise = noisy(GaussianDropout(0.2), np.full((100, 200), 3.0))
    assert noise.mean() == pytest.approx(3, rel=0.01) and noise.std() == pytest.approx(3 * np.sqrt(0.25), rel=0.02)


@pytest.mark.smoke
def test_alpha_dropout_keeps_mean_and_variance() -> None:
    x = np.random.RandomState(0).randn(300, 300)
    found = noisy(AlphaDropout(0.3), x)
    assert abs(found.mean()) < 0.02 and found.std() == pytest.approx(1, rel=0.02)
    assert np.unique(found, return_counts=True)[1].max() / found.size == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(
    ("layer", "shape", "together"),
    [
        (SpatialDropout1D(0.5), (3, 7, 6), (1,)),
        (SpatialDropout2D(0.5), (3, 4, 5, 6), (1, 2)),
        (SpatialDropout2D(0.5, "channels_first"), (3, 6, 4, 5), (2, 3)),
        (SpatialDropout3D(0.5), (3, 2, 3, 2, 6), (1, 2, 3)),
    ],
)
def test_whole_channels_are_dropped(layer: Any, shape: tuple[int, ...], together: tuple[int, ...]) -> None:
    found = noisy(layer, np.ones(shape))
    assert set(np.unique(found)) == {0.0, 2.0} and (found.max(together) == found.min(together)).all()


def test_rates() -> None:
    for cls in (GaussianDropout, AlphaDropout, SpatialDropout1D):
        with pytest.raises(GraphError, match="rate"):
            cls(1.0)
    x = Input((3,))
    assert (gf.function([x], AlphaDropout(0.0)(x, training=True))(np.ones((2, 3), "float32")) == 1).all()
