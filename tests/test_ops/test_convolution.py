"""Convolution and pooling against loops written out, their padding rules, and their errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphflow as gf


def correlate(x: np.ndarray, w: np.ndarray, strides: tuple[int, ...], dilations: tuple[int, ...], groups: int) -> np.ndarray:
    """The definition, one output position and window place at a time."""
    window, (ci, co) = w.shape[:-2], w.shape[-2:]
    counts = [(n - (k - 1) * d - 1) // s + 1 for n, k, s, d in zip(x.shape[1:-1], window, strides, dilations, strict=True)]
    y = np.zeros((x.shape[0], *counts, co))
    for p in itertools.product(*map(range, counts)):
        for i in itertools.product(*map(range, window)):
            at = tuple(a * s + b * d for a, b, s, d in zip(p, i, strides, dilations, strict=True))
            for g in range(groups):
                part = x[(slice(None), *at, slice(g * ci, (g + 1) * ci))]
                y[(slice(None), *p, slice(g * co // groups, (g + 1) * co // groups))] += part @ w[(*i, slice(None), slice(g * co // groups, (g + 1) * co // groups))]
    return y


@st.composite
def geometries(draw):
    rank = draw(st.integers(1, 3))
    ints = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(rank))  # noqa: E731
    window, strides, dilations = ints(1, 3), ints(1, 3), ints(1, 2)
    widths = [tuple(draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))) for _ in range(rank)]
    spans = [(k - 1) * d + 1 for k, d in zip(window, dilations, strict=True)]
    sizes = tuple(max(span - a - b, 0) + draw(st.integers(1, 4)) for span, (a, b) in zip(spans, widths, strict=True))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    return window, strides, dilations, widths, sizes, groups, groups * draw(st.integers(1, 3)), groups * draw(st.sampled_from([1, 2, 17]))


@settings(max_examples=25, deadline=None)
@given(geometries(), st.integers(0, 2), st.booleans())
def test_any_geometry(geometry, batch: int, first: bool) -> None:
    window, strides, dilations, widths, sizes, groups, ci, co = geometry
    rng = np.random.default_rng(batch)
    x, w = rng.standard_normal((batch, *sizes, ci)), rng.standard_normal((*window, ci // groups, co))
    want = correlate(np.pad(x, [(0, 0), *widths, (0, 0)]), w, strides, dilations, groups)
    fed = np.moveaxis(x, -1, 1) if first else x
    a, b = gf.placeholder("float64", (None, *fed.shape[1:])), gf.placeholder("float64", w.shape)
    y = gf.nn.conv(a, b, strides, widths, dilations, groups, "channels_first" if first else "channels_last")
    got = gf.function([a, b], y)(fed, w)
    np.testing.assert_allclose(np.moveaxis(got, 1, -1) if first else got, want, rtol=1e-12, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(geometries())
def test_the_transpose_is_the_adjoint(geometry) -> None:
    window, strides, dilations, widths, sizes, groups, ci, co = geometry
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, *sizes, ci)), rng.standard_normal((*window, ci // groups, co))
    forward = gf.nn.conv(x, gf.constant(w), strides, widths, dilations, groups)
    y = rng.standard_normal(tuple(forward.shape))
    backward = gf.nn.conv_transpose(gf.constant(y), gf.constant(w), strides, widths, dilations, groups, output_shape=sizes)
    left, right = gf.function([], [gf.sum(forward * y), gf.sum(backward * x)])()
    np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-10)


def test_depthwise_and_separable() -> None:
    rng = np.random.default_rng(0)
    x, w, p = rng.standard_normal((2, 6, 5, 3)), rng.standard_normal((2, 3, 3, 2)), rng.standard_normal((1, 1, 6, 4))
    want = np.concatenate([correlate(x[..., c : c + 1], w[:, :, c : c + 1], (1, 1), (1, 1), 1) for c in range(3)], axis=-1)
    got, both = gf.function([], [gf.nn.depthwise_conv(x, w), gf.nn.separable_conv(x, w, p)])()
    np.testing.assert_allclose(got, want, rtol=1e-12)
    np.testing.assert_allclose(both, want @ p[0, 0], rtol=1e-12)


@pytest.mark.parametrize(
    ("padding", "size", "window", "stride", "expected"),
    [("valid", 7, 3, 2, 3), ("same", 7, 3, 2, 4), ("same", 8, 3, 2, 4), ("same", 5, 2, 1, 5), ("full", 5, 3, 1, 7), ("half", 5, 3, 1, 5), ("causal", 5, 3, 1, 5), (2, 5, 3, 1, 7), ([(1, 0)], 5, 3, 1, 4)],
)
def test_padding_rules(padding, size: int, window: int, stride: int, expected: int) -> None:
    y = gf.nn.conv(np.zeros((1, size, 1), "float32"), np.zeros((window, 1, 1), "float32"), stride, padding)
    assert y.shape == (1, expected, 1)


def test_same_puts_the_odd_element_after() -> None:
    x = np.arange(1, 5, dtype="float32").reshape(1, 4, 1)
    y = gf.function([], gf.nn.conv(x, np.ones((2, 1, 1), "float32"), padding="same"))()
    np.testing.assert_array_equal(y.ravel(), [3, 5, 7, 4])


def test_unknown_sizes_serve_all_images() -> None:
    x, w = gf.placeholder("float32", (None, None, None, 2)), np.ones((3, 3, 2, 1), "float32")
    step = gf.function([x], gf.nn.conv(x, w, 2, "same"))
    for shape in ((1, 5, 8, 2), (0, 5, 8, 2), (2, 1, 1, 2), (3, 16, 3, 2)):
        assert step(np.ones(shape, "float32")).shape == (shape[0], -(-shape[1] // 2), -(-shape[2] // 2), 1)
    valid = gf.function([x], gf.nn.conv(x, w))
    assert valid(np.ones((2, 2, 9, 2), "float32")).shape == (2, 0, 7, 1)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: gf.nn.conv(np.zeros((1, 2, 1)), np.zeros((3, 1, 1))), "spans 3 elements does not fit into an axis of 2"),
        (lambda: gf.nn.conv(np.zeros((1, 9, 9, 1)), np.zeros((3, 1, 1))), "rank 4"),
        (lambda: gf.nn.conv(np.zeros((1, 9, 4)), np.zeros((3, 3, 1))), "channels"),
        (lambda: gf.nn.conv(np.zeros((1, 9, 4)), np.zeros((3, 2, 3)), groups=2), "groups"),
        (lambda: gf.nn.conv(np.zeros((1, 9, 4)), np.zeros((3, 4, 3)), padding="sme"), "'sme'"),
        (lambda: gf.nn.conv(np.zeros((1, 9, 4)), np.zeros((3, 4, 3)), data_format="NHCW"), "NHCW"),
        (lambda: gf.nn.conv(np.zeros((1, 9, 4)), np.zeros((3, 4, 3)), strides=0), "strides is 0"),
        (lambda: gf.nn.max_pool(np.zeros((1, 2, 2, 1)), 3), "fit into an axis of 2"),
        (lambda: gf.nn.max_pool(np.zeros((2, 2)), 2), "rank 2"),
    ],
)
def test_errors(make, text: str) -> None:
    with pytest.raises(gf.ShapeError, match=text):
        make()


# --- pooling -------------------------------------------------------------------------------------
def test_the_gradient_goes_to_the_first_of_equal_elements() -> None:
    x = gf.placeholder("float32", (1, 4, 2, 1))
    g = gf.grad(gf.sum(gf.nn.max_pool(x, 2) * np.array([1, 2], "float32").reshape(1, 2, 1, 1)), x)
    ones = gf.function([x], g)(np.ones((1, 4, 2, 1), "float32"))
    np.testing.assert_array_equal(ones[0, :, :, 0], [[1, 0], [0, 0], [2, 0], [0, 0]])
    overlapping = gf.grad(gf.sum(gf.nn.max_pool(x, (2, 1), 1)), x)
    np.testing.assert_array_equal(gf.function([x], overlapping)(np.ones((1, 4, 2, 1), "float32"))[0, :, 0, 0], [1, 1, 1, 0])


def test_padding_never_wins_and_does_not_count() -> None:
    x = -np.ones((1, 3, 3, 1), "float32")
    largest, mean, counted = gf.function([], [gf.nn.max_pool(x, 2, 2, "same"), gf.nn.average_pool(x, 2, 2, "same"), gf.nn.average_pool(x, 2, 2, "same", count_padding=True)])()
    np.testing.assert_array_equal(largest.ravel(), [-1, -1, -1, -1])
    np.testing.assert_array_equal(mean.ravel(), [-1, -1, -1, -1])
    np.testing.assert_array_equal(counted.ravel(), [-1, -0.5, -0.5, -0.25])


def test_nan_wins() -> None:
    x = np.array([[1, np.nan, 3, 4]], "float32").reshape(1, 4, 1)
    np.testing.assert_array_equal(gf.function([], gf.nn.max_pool(x, 2))().ravel(), [np.nan, 4])


def test_pooling_of_ints_and_a_volume() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 9, (2, 4, 6, 4, 3)).astype("int32")
    got = gf.function([], gf.nn.max_pool(x, (2, 3, 2)))()
    np.testing.assert_array_equal(got, x.reshape(2, 2, 2, 2, 3, 2, 2, 3).max((2, 4, 6)))
