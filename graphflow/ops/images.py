"""Colours and views of images with channels last: hue, saturation, contrast, flips and boxes, as tf.image.

Values of images in floats are 0 .. 1.
"""

from __future__ import annotations

from typing import Any

from graphflow.graph.errors import ShapeError
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.contraction import matmul
from graphflow.ops.creation import dim_value, iota
from graphflow.ops.elementwise import add, cast, clip, divide, maximum, minimum, multiply, sqrt, subtract, where
from graphflow.ops.joining import stack
from graphflow.ops.logic import equal, less, less_equal, logical_and
from graphflow.ops.promotion import coerce, inexact
from graphflow.ops.public import public
from graphflow.ops.random import bernoulli, uniform
from graphflow.ops.reduction import max_, min_
from graphflow.ops.rounding import floor, mod
from graphflow.ops.shape import expand_dims, reshape
from graphflow.ops.slicing import flip
from graphflow.ops.statistics import mean, std
from graphflow.ops.transcendental import exp, log


def _colours(x: Any, name: str) -> tuple[Variable, Variable, Variable, Variable]:
    """x in a float dtype and its three channels."""
    (x,) = coerce(x, to=inexact)
    if x.ndim == 0 or x.shape[-1] != 3:
        raise ShapeError(f"{name}: {x!r} has no 3 channels on its last axis", hint="images are (..., height, width, 3)")
    return x, x[..., 0], x[..., 1], x[..., 2]


@public
def rgb_to_grayscale(images: Any) -> Variable:
    """0.2989 red + 0.587 green + 0.114 blue, on one channel."""
    x, *_ = _colours(images, "rgb_to_grayscale")
    return matmul(x, cast(as_variable([[0.2989], [0.587], [0.114]]), x.dtype))


@public
def rgb_to_hsv(images: Any) -> Variable:
    """Hue, saturation and value of colours, all 0 .. 1; the hue of grey is 0."""
    x, r, g, b = _colours(images, "rgb_to_hsv")
    value = max_(x, axis=-1)
    spread = subtract(value, min_(x, axis=-1))
    grey, black = equal(spread, 0), equal(value, 0)
    unit = multiply(where(grey, 1, spread), 6)
    red = divide(subtract(g, b), unit)
    green = add(divide(subtract(b, r), unit), 1 / 3)
    blue = add(divide(subtract(r, g), unit), 2 / 3)
    hue = where(grey, 0, where(equal(value, r), red, where(equal(value, g), green, blue)))
    saturation = where(black, 0, divide(spread, where(black, 1, value)))
    return stack([where(less(hue, 0), add(hue, 1), hue), saturation, value], axis=-1)


@public
def hsv_to_rgb(images: Any) -> Variable:
    """The colours of hue, saturation and value."""
    _, hue, saturation, value = _colours(images, "hsv_to_rgb")
    chroma = multiply(value, saturation)
    sixths = multiply(hue, 6)

    def channel(shift: int) -> Variable:
        at = mod(add(sixths, shift), 6)
        return subtract(value, multiply(chroma, clip(minimum(at, subtract(4, at)), 0, 1)))

    return stack([channel(5), channel(3), channel(1)], axis=-1)


# --- adjusting -----------------------------------------------------------------------------------
@public
def adjust_brightness(images: Any, delta: Any) -> Variable:
    """x + delta."""
    return add(*coerce(images, delta, to=inexact))


@public
def adjust_contrast(images: Any, contrast_factor: Any) -> Variable:
    """(x - mean) * contrast_factor + mean, with the mean of each channel of each image."""
    x, factor = coerce(images, contrast_factor, to=inexact)
    centre = mean(x, axis=(-3, -2), keepdims=True)
    return add(multiply(subtract(x, centre), factor), centre)


@public
def adjust_saturation(images: Any, saturation_factor: Any) -> Variable:
    """Saturation times a factor, at most 1."""
    hsv = rgb_to_hsv(images)
    saturation = clip(multiply(hsv[..., 1], *coerce(saturation_factor, to=hsv.dtype)), 0, 1)
    return hsv_to_rgb(stack([hsv[..., 0], saturation, hsv[..., 2]], axis=-1))


@public
def adjust_hue(images: Any, delta: Any) -> Variable:
    """Hue plus delta, modulo 1."""
    hsv = rgb_to_hsv(images)
    hue = add(hsv[..., 0], *coerce(delta, to=hsv.dtype))
    return hsv_to_rgb(stack([subtract(hue, floor(hue)), hsv[..., 1], hsv[..., 2]], axis=-1))


@public
def adjust_gamma(images: Any, gamma: Any = 1.0, gain: Any = 1.0) -> Variable:
    """gain * x**gamma."""
    x, gamma, gain = coerce(images, gamma, gain, to=inexact)
    return multiply(x**gamma, gain)


@public
def per_image_standardization(images: Any) -> Variable:
    """(x - mean) / max(deviation, 1 / sqrt(elements)) of each image (..., height, width, channels)."""
    (x,) = coerce(images, to=inexact)
    axes = (-3, -2, -1)
    count = cast(dim_value(x.shape[-3] * x.shape[-2] * x.shape[-1]), x.dtype)
    return divide(subtract(x, mean(x, axis=axes, keepdims=True)), maximum(std(x, axis=axes, keepdims=True), divide(1, sqrt(count))))


# --- flips ---------------------------------------------------------------------------------------
@public
def flip_left_right(images: Any) -> Variable:
    """Images (..., height, width, channels) mirrored on a vertical line."""
    return flip(images, -2)


@public
def flip_up_down(images: Any) -> Variable:
    """Images (..., height, width, channels) mirrored on a horizontal line."""
    return flip(images, -3)


def _flipped_at_random(images: Any, axis: int, seed: int | None) -> Variable:
    x = as_variable(images)
    if x.ndim not in (3, 4):
        raise ShapeError(f"random_flip: {x!r} is not images", hint="images have rank 3 or 4")
    chosen = bernoulli(x.shape[: x.ndim - 3], 0.5, seed=seed)
    return where(expand_dims(chosen, (-3, -2, -1)), flip(x, axis), x)


@public
def random_flip_left_right(images: Any, seed: int | None = None) -> Variable:
    """Each image of a batch (or the one image) as it is or mirrored left to right, with equal chances."""
    return _flipped_at_random(images, -2, seed)


@public
def random_flip_up_down(images: Any, seed: int | None = None) -> Variable:
    """Each image of a batch (or the one image) as it is or mirrored upside down, with equal chances."""
    return _flipped_at_random(images, -3, seed)


# --- boxes ---------------------------------------------------------------------------------------
@public
def crop_and_resize(images: Any, boxes: Any, box_indices: Any, crop_size: Any, extrapolation_value: float = 0.0) -> Variable:
    """Boxes of images (n, h, w, c) as images of one size, bilinear: (boxes, height, width, c), as tf.image.crop_and_resize.

    `boxes`: rows y1, x1, y2, x2, where 0 and 1 are the first and the last pixel; `box_indices`: the image of each.
    Outside of images stands `extrapolation_value`.
    """
    x, corners = coerce(images, boxes, to=inexact)
    image = as_variable(box_indices)

    def along(n: Any, count: Any, low: Variable, high: Variable) -> Variable:
        """Positions of `count` pixels of each box on an axis of size n."""
        last = cast(dim_value(n - 1), x.dtype)
        t = divide(iota((count,), 0, x.dtype), maximum(count - 1, 1)) if count != 1 else cast(as_variable([0.5]), x.dtype)
        return multiply(add(expand_dims(low, 1), multiply(expand_dims(subtract(high, low), 1), expand_dims(t, 0))), last)

    rows, columns = crop_size
    ys = along(x.shape[1], rows, corners[:, 0], corners[:, 2])
    xs = along(x.shape[2], columns, corners[:, 1], corners[:, 3])
    total: Variable | None = None
    for row, down in _neighbours(ys, x.shape[1]):
        for column, across in _neighbours(xs, x.shape[2]):
            pixels = x[expand_dims(image, (1, 2)), expand_dims(row, 2), expand_dims(column, 1)]
            part = multiply(pixels, expand_dims(multiply(expand_dims(down, 2), expand_dims(across, 1)), 3))
            total = part if total is None else add(total, part)
    assert total is not None
    inside = logical_and(expand_dims(_within(ys, x.shape[1]), 2), expand_dims(_within(xs, x.shape[2]), 1))
    return where(expand_dims(inside, 3), total, extrapolation_value)


def _neighbours(at: Variable, n: Any) -> list[tuple[Variable, Variable]]:
    """The pixels before and after positions, and their weights."""
    low = floor(at)
    t, last = subtract(at, low), dim_value(n - 1)
    places = [clip(cast(v, "int64"), 0, last) for v in (low, add(low, 1))]
    return [(places[0], subtract(1, t)), (places[1], t)]


def _within(at: Variable, n: Any) -> Variable:
    return logical_and(less_equal(0, at), less_equal(at, cast(dim_value(n - 1), at.dtype)))


@public
def sample_distorted_bounding_box(
    image_size: Any,
    aspect_ratio_range: tuple[float, float] = (0.75, 1.33),
    area_range: tuple[float, float] = (0.05, 1.0),
    seed: int | None = None,
) -> tuple[Variable, Variable, Variable]:
    """A random window of an image: begin (3), size (3) and the box (1, 1, 4), as tf.image.sample_distorted_bounding_box.

    `image_size`: an integer vector (height, width, channels).  The area is a uniform part of the image's and the
    ratio of width to height e**uniform between the logarithms of its range; a window longer than the image is cut to it.
    Boxes of objects, and the covering of them, are not looked at.
    """
    size = as_variable(image_size)
    height, width = cast(size[0], "float64"), cast(size[1], "float64")
    u = uniform((4,), dtype="float64", seed=seed)
    area = multiply(multiply(height, width), add(area_range[0], multiply(u[0], area_range[1] - area_range[0])))
    low, high = (log(as_variable(float(v))) for v in aspect_ratio_range)
    ratio = exp(add(low, multiply(u[1], subtract(high, low))))
    rows = clip(floor(sqrt(divide(area, ratio))), 1, height)
    columns = clip(floor(sqrt(multiply(area, ratio))), 1, width)
    top = minimum(floor(multiply(u[2], add(subtract(height, rows), 1))), subtract(height, rows))
    left = minimum(floor(multiply(u[3], add(subtract(width, columns), 1))), subtract(width, columns))
    begin = cast(stack([top, left, multiply(0.0, top)]), size.dtype)
    extent = cast(stack([rows, columns, multiply(0.0, top) - 1.0]), size.dtype)
    box = stack([divide(top, height), divide(left, width), divide(add(top, rows), height), divide(add(left, columns), width)])
    return begin, extent, cast(reshape(box, (1, 1, 4)), "float32")


@public
def box_iou(a: Any, b: Any) -> Variable:
    """Intersection over union of boxes y1, x1, y2, x2 on the last axis, which broadcast; 0 for boxes without area."""
    a, b = coerce(a, b, to=inexact)

    def area(low_y: Variable, low_x: Variable, high_y: Variable, high_x: Variable) -> Variable:
        return multiply(maximum(subtract(high_y, low_y), 0), maximum(subtract(high_x, low_x), 0))

    first, other = (area(*(x[..., i] for i in range(4))) for x in (a, b))
    both = area(*(maximum(a[..., i], b[..., i]) for i in (0, 1)), *(minimum(a[..., i], b[..., i]) for i in (2, 3)))
    union = subtract(add(first, other), both)
    return where(equal(union, 0), 0, divide(both, where(equal(union, 0), 1, union)))
