"""Images of another size, and images changed while training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import GraphError, ShapeError
from graphflow.keras.layers import (
    CenterCrop,
    Input,
    RandomBrightness,
    RandomContrast,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
    Resizing,
)
from graphflow.keras.models import Model

DATA = np.random.RandomState(0).rand(40, 6, 8, 2).astype("float32")


def changed(layer: Any, data: np.ndarray = DATA) -> np.ndarray:
    """While training; and it is nothing otherwise."""
    x = Input(data.shape[1:])
    np.testing.assert_array_equal(Model(x, layer(x)).predict(data), data)
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    found: np.ndarray = gf.function([x], layer(x, training=True))(data)
    return found


def test_center_crop() -> None:
    x = Input((6, 8, 2))
    np.testing.assert_array_equal(Model(x, CenterCrop(2, 4)(x)).predict(DATA), DATA[:, 2:4, 2:6])


@pytest.mark.smoke
def test_resizing_samples_at_the_centers_of_pixels() -> None:
    x = Input((6, 8, 2))
    found = Model(x, Resizing(3, 4)(x)).predict(DATA)
    np.testing.assert_allclose(found, DATA.reshape(40, 3, 2, 4, 2, 2).mean((2, 4)), rtol=1e-5)
    nearest = Model(x, Resizing(12, 16, "nearest")(x)).predict(DATA)
    np.testing.assert_array_equal(nearest, DATA.repeat(2, 1).repeat(2, 2))
    ramp = np.arange(6.0)[None, :, None, None] * np.ones((1, 6, 8, 2))
    want = np.clip((np.arange(9) + 0.5) * 6 / 9 - 0.5, 0, 5)
    np.testing.assert_allclose(Model(x, Resizing(9, 8)(x)).predict(ramp)[0, :, 0, 0], want, rtol=1e-5, atol=1e-6)
    with pytest.raises(ShapeError, match="is not known"):
        Resizing(3, 3)(Input((None, None, 1)))


def test_flips() -> None:
    found = changed(RandomFlip("horizontal"))
    kept, mirrored = (found == DATA).all((1, 2, 3)), (found == DATA[:, :, ::-1]).all((1, 2, 3))
    assert (kept ^ mirrored).all() and 5 < kept.sum() < 35


def test_brightness_and_contrast() -> None:
    found = changed(RandomBrightness(0.125, (-20, 20)))
    shift = (found - DATA).reshape(40, -1)
    assert np.allclose(shift, shift[:, :1], atol=1e-5) and 2 < np.abs(shift[:, 0]).max() <= 5 and shift[:, 0].std() > 1
    found = changed(RandomContrast(0.5))
    mean = DATA.mean((1, 2), keepdims=True)
    factor = ((found - mean) / (DATA - mean)).reshape(40, -1)
    middle = np.median(factor, 1)
    assert np.allclose(found, (DATA - mean) * middle[:, None, None, None] + mean, atol=1e-4) and 0.5 <= middle.min() < 0.7 and 1.3 < middle.max() <= 1.5


def test_whole_moves_are_exact() -> None:
    for factor, mode, want in (
        (0.25, "constant", np.pad(DATA, ((0, 0), (0, 0), (2, 0), (0, 0)))[:, :, :8]),
        (0.25, "wrap", np.roll(DATA, 2, 2)),
        (0.25, "nearest", np.pad(DATA, ((0, 0), (0, 0), (2, 0), (0, 0)), mode="edge")[:, :, :8]),
        (-0.25, "reflect", np.pad(DATA, ((0, 0), (0, 0), (0, 2), (0, 0)), mode="symmetric")[:, :, 2:]),
    ):
        np.testing.assert_allclose(changed(RandomTranslation(0.0, (factor, factor), mode)), want, atol=1e-5)
    half = changed(RandomRotation((0.5, 0.5), "nearest"))
    np.testing.assert_allclose(half, DATA[:, ::-1, ::-1], atol=1e-4)
    square = DATA[:, :, 1:7]
    np.testing.assert_allclose(changed(RandomRotation((0.25, 0.25)), square), np.rot90(square, 1, (1, 2)), atol=1e-4)
    np.testing.assert_allclose(changed(RandomZoom((0.0, 0.0))), DATA, atol=1e-6)


def test_zoom_by_two_shows_the_middle() -> None:
    ramp = np.arange(6.0)[None, :, None, None] * np.ones((1, 6, 8, 1))
    near = changed(RandomZoom((-0.5, -0.5), interpolation="bilinear"), ramp.astype("float32"))
    np.testing.assert_allclose(near[0, :, 0, 0], 2.5 + (np.arange(6) - 2.5) / 2, rtol=1e-5)


def test_each_image_moves_in_its_own_way() -> None:
    same = np.repeat(DATA[:1], 20, 0)
    found = changed(RandomRotation(0.2), same)
    assert len(np.unique(found[:, 0, 0, 0])) > 10


def test_mistakes() -> None:
    with pytest.raises(GraphError, match="mode"):
        RandomFlip("sideways")
    with pytest.raises(GraphError, match="fill_mode"):
        RandomRotation(0.1, fill_mode="mirror")
    with pytest.raises(GraphError, match="interpolation"):
        Resizing(3, 3, "bicubic")
