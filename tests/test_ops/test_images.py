"""Images, tiles, label sequences and sampled losses against TensorFlow's results (fixtures/tensorflow) and by definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import CheckError, ShapeError
from graphflow.graph.variable import constant, placeholder

EXPECTED = np.load(Path(__file__).parent / "fixtures" / "tensorflow" / "images.npz")
X, Y, Z, W, BOXES = (constant(EXPECTED[name]) for name in ("x", "y", "z", "w", "boxes"))
SAMPLED = tuple(EXPECTED[name] for name in ("classes", "counts", "class_counts"))


def of_classes(loss, hits):
    return loss(EXPECTED["weights"], EXPECTED["biases"], EXPECTED["labels"], Z, 3, 10, 2, SAMPLED, hits)


CASES = {
    "space_to_depth": lambda: gf.space_to_depth(Y, 2),
    "depth_to_space": lambda: gf.depth_to_space(Y, 2),
    "space_to_batch": lambda: gf.space_to_batch(Y, [2, 3], [[1, 1], [0, 3]]),
    "extract_patches": lambda: gf.extract_patches(Y, (2, 3), (1, 2), (2, 1)),
    "extract_patches same": lambda: gf.extract_patches(Y, (2, 3), (2, 2), padding="SAME"),
    "local_response_normalization": lambda: gf.local_response_normalization(Y, 2, 1.5, 0.3, 0.75),
    "rgb_to_hsv": lambda: gf.rgb_to_hsv(X),
    "hsv_to_rgb": lambda: gf.hsv_to_rgb(X),
    "adjust_saturation": lambda: gf.adjust_saturation(X, 1.7),
    "adjust_hue": lambda: gf.adjust_hue(X, 0.3),
    "adjust_contrast": lambda: gf.adjust_contrast(X, 1.7),
    "adjust_gamma": lambda: gf.adjust_gamma(X, 0.5, 2.0),
    "per_image_standardization": lambda: gf.per_image_standardization(X),
    "rgb_to_grayscale": lambda: gf.rgb_to_grayscale(X),
    "crop_and_resize": lambda: gf.crop_and_resize(X, BOXES, [0, 1, 0], (4, 3)),
    "crop_and_resize one": lambda: gf.crop_and_resize(X, BOXES, [0, 1, 0], (1, 1)),
    "reverse_sequence": lambda: gf.reverse_sequence(Y, [2, 3], 2, 0),
    "confusion_matrix": lambda: gf.confusion_matrix([0, 1, 2, 1], [0, 1, 1, 1], 3, [1.0, 2, 3, 4]),
    "weighted_cross_entropy": lambda: gf.weighted_cross_entropy(Z, W, 2.5),
    "log_poisson_loss": lambda: gf.log_poisson_loss(Z, W),
    "log_poisson_loss full": lambda: gf.log_poisson_loss(Z, W * 9, True),
    "clip_by_norm": lambda: gf.clip_by_norm(Z, 1.5, 1),
    **{f"{name} {hits}": lambda name=name, hits=hits: of_classes(getattr(gf, name), hits) for name in ("nce_loss", "sampled_softmax_loss") for hits in (False, True)},
}


def value(v):
    return gf.function([], v)()


@pytest.mark.parametrize("name", CASES)
def test_as_tensorflow(name):
    found = value(CASES[name]())
    assert found.shape == EXPECTED[name].shape
    np.testing.assert_allclose(found, EXPECTED[name], rtol=1e-4 if "gray" in name else 2e-5, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in EXPECTED if n.split()[0] in ("nearest", "bilinear", "bicubic", "area")])
def test_resize_as_tensorflow(name):
    method, height, width, *positions = name.split()
    found = value(gf.resize(X, (int(height), int(width)), method, "corners" in positions, "centred" in positions))
    assert found.shape == EXPECTED[name].shape
    tolerance = 2e-3 if method == "bicubic" else 1e-5  # TensorFlow looks cubic weights up in a table
    np.testing.assert_allclose(found, EXPECTED[name], rtol=tolerance, atol=tolerance)


@pytest.mark.smoke
def test_resize_takes_sizes_known_when_run():
    x = placeholder("float32", (None, None, None, 3))
    halved = gf.function([x], gf.resize(x, (x.shape[1] // 2, x.shape[2] * 2), "bilinear", half_pixel_centers=True))
    for h, w in ((4, 3), (5, 1)):
        image = np.random.default_rng(0).random((1, h, w, 3)).astype("float32")
        np.testing.assert_allclose(halved(image), value(gf.resize(constant(image), (h // 2, w * 2), "bilinear", half_pixel_centers=True)), rtol=1e-6)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "area"])
def test_resize_keeps_a_constant_and_its_gradient_sums_up(method):
    x = placeholder("float64", (1, 3, 4, 1))
    y = gf.resize(x, (5, 6), method)
    flat, g = gf.function([x], [y, gf.grad(gf.sum(y), x)])(np.full((1, 3, 4, 1), 2.5))
    np.testing.assert_allclose(flat, 2.5, rtol=1e-5)
    assert g.sum() == pytest.approx(30, rel=1e-5)


def test_resize_of_one_image_channels_first_and_nearest_integers():
    image = np.arange(12, dtype="uint8").reshape(3, 4, 1)
    assert value(gf.resize(constant(image), (6, 8), "nearest")).tolist() == np.repeat(np.repeat(image, 2, 0), 2, 1).tolist()
    first = value(gf.resize(constant(image.transpose(2, 0, 1)), (6, 8), "nearest", data_format="channels_first"))
    assert first.tolist() == np.repeat(np.repeat(image, 2, 0), 2, 1).transpose(2, 0, 1).tolist()
    for size, method, kwargs in (((2,), "nearest", {}), ((2, 2), "sharp", {}), ((2, 2), "area", {"align_corners": True}), ((2, 2), "nearest", {"align_corners": True, "half_pixel_centers": True})):
        with pytest.raises(ShapeError):
            gf.resize(X, size, method, **kwargs)


def test_tiles_come_back():
    assert (value(gf.depth_to_space(gf.space_to_depth(Y, 2), 2)) == EXPECTED["y"]).all()
    back = gf.batch_to_space(gf.space_to_batch(Y, [2, 3], [[1, 1], [0, 3]]), [2, 3], [[1, 1], [0, 3]])
    assert (value(back) == EXPECTED["y"]).all()
    first = np.moveaxis(EXPECTED["y"], -1, 1)
    assert (value(gf.space_to_depth(constant(first), 2, "channels_first")) == np.moveaxis(EXPECTED["space_to_depth"], -1, 1)).all()
    with pytest.raises(ShapeError, match="not a multiple"):
        gf.space_to_depth(X, 2)


def test_flips():
    assert (value(gf.flip_left_right(X)) == EXPECTED["x"][:, :, ::-1]).all()
    assert (value(gf.flip_up_down(X)) == EXPECTED["x"][:, ::-1]).all()
    many = np.broadcast_to(EXPECTED["x"][:1], (200, 3, 4, 3))
    found = value(gf.random_flip_left_right(constant(many), seed=3))
    as_it_is = (found == many).all((1, 2, 3))
    assert 60 < as_it_is.sum() < 140 and (found[~as_it_is] == many[0, :, ::-1]).all()
    one = value(gf.random_flip_up_down(X[0], seed=1))
    assert (one == EXPECTED["x"][0]).all() or (one == EXPECTED["x"][0, ::-1]).all()


def test_distorted_boxes():
    begin, size, box = gf.sample_distorted_bounding_box([40, 60, 3], seed=1)
    draw = gf.function([], [begin, size, box])
    areas = []
    for _ in range(50):
        b, s, edges = draw()
        assert (b >= 0).all() and b[0] + s[0] <= 40 and b[1] + s[1] <= 60 and s[2] == -1 and edges.shape == (1, 1, 4)
        np.testing.assert_allclose(edges[0, 0], [b[0] / 40, b[1] / 60, (b[0] + s[0]) / 40, (b[1] + s[1]) / 60], rtol=1e-6)
        areas.append(s[0] * s[1] / 2400)
    assert min(areas) < 0.3 and max(areas) > 0.6


def test_box_iou():
    a = np.array([[0, 0, 2, 2], [0, 0, 1, 1], [3, 3, 3, 3]], "float32")
    assert value(gf.box_iou(a, np.array([1, 1, 3, 3], "float32"))) == pytest.approx([1 / 7, 0, 0])


# --- labels --------------------------------------------------------------------------------------
def test_sequence_mask():
    assert value(gf.sequence_mask([1, 3, 0], 3)).tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert value(gf.sequence_mask([[2]], 2, "float32")).dtype == "float32"


def test_confusion_matrix_counts_and_checks():
    assert value(gf.confusion_matrix([0, 2, 2], [1, 2, 2], 3)).tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 2]]
    x = placeholder("int64", (None,))
    with pytest.raises(CheckError):
        gf.function([x], gf.confusion_matrix(x, [0, 0], 3))(np.array([1, 3]))


def test_edit_distance():
    def letters(*words):
        return np.array([[ord(c) for c in w.ljust(8)] for w in words])

    a, b = letters("kitten", "", "abc", "same"), letters("sitting", "xy", "", "same")
    m, n = np.array([6, 0, 3, 4]), np.array([7, 2, 0, 4])
    assert value(gf.edit_distance(a, b, m, n)).tolist() == [3, 2, 3, 0]
    assert value(gf.edit_distance(a, b, m, n, normalize=True)).tolist() == [np.float32(3 / 7), 1, np.inf, 0]
    length = placeholder("int64", (None,))
    with pytest.raises(CheckError, match="longer"):
        gf.function([length], gf.edit_distance(a, b, length, n))(np.array([9, 0, 0, 0]))


def test_log_uniform_candidates():
    classes, _, counts = gf.log_uniform_candidates(np.array([0]), 20000, 50, seed=1)
    drawn, expected = gf.function([], [classes, counts])()
    k = np.arange(50)
    due = np.log((k + 2) / (k + 1)) / np.log(51) * 20000
    found = np.bincount(drawn, minlength=50)
    assert ((found - due) ** 2 / due).sum() < 90  # chi-square of 49 degrees: 1e-3 at 85.4, fixed seed
    np.testing.assert_allclose(expected, due[drawn], rtol=1e-5)


def test_global_norm():
    a, b = np.array([3.0, 0.0]), np.array([[4.0]])
    (x, y), length = gf.clip_by_global_norm([a, b], 2.5)
    assert gf.function([], [x, y, length])()[0].tolist() == [1.5, 0] and value(length) == 5 and value(y) == 2
    assert value(gf.l2_loss(a)) == 4.5
