"""Images of another size: nearest, bilinear, bicubic and area interpolation, as tf.image.resize.

Each result pixel is a weighted sum of few rows and then of few columns, so gradients are those of
gathering.  Sizes may be Dims.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphflow.graph.dim import Size
from graphflow.graph.errors import ShapeError
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.contraction import einsum
from graphflow.ops.creation import dim_value, iota, known_size
from graphflow.ops.elementwise import abs_, add, cast, divide, maximum, minimum, multiply, subtract, where
from graphflow.ops.gathering import take
from graphflow.ops.logic import less
from graphflow.ops.promotion import coerce, inexact
from graphflow.ops.public import public
from graphflow.ops.rounding import floor, floor_divide
from graphflow.ops.shape import expand_dims, reshape

WORK = "float32"  # positions are computed in it, as TensorFlow does


@public
def resize(
    images: Any,
    size: Sequence[Any],
    method: str = "bilinear",
    align_corners: bool = False,
    half_pixel_centers: bool = False,
    data_format: str = "channels_last",
) -> Variable:
    """Images (n, height, width, channels) or (height, width, channels) of another (height, width).

    `method`: 'nearest', 'bilinear', 'bicubic' (Keys, a = -0.75, or -0.5 with half_pixel_centers) or 'area' (the mean
    of what a pixel covers).  Positions: by default those of tf.image.resize_images of TensorFlow 1, pixel i at i * scale;
    with `half_pixel_centers` at (i + 0.5) * scale - 0.5, as TensorFlow 2; with `align_corners` the corner pixels fall
    together.  'nearest' keeps the dtype, the others give a float.  Raises ShapeError for another rank, method or size.
    """
    x = as_variable(images)
    if x.ndim not in (3, 4) or len(size) != 2:
        raise ShapeError(f"resize: {x!r} to {tuple(size)} is not images and (height, width)", hint="images have rank 3 or 4")
    if align_corners and half_pixel_centers:
        raise ShapeError("resize: align_corners and half_pixel_centers exclude each other")
    if method not in _METHODS:
        raise ShapeError(f"resize: there is no method {method!r}", hint=f"use {', '.join(_METHODS)}")
    if method == "area" and (align_corners or half_pixel_centers):
        raise ShapeError("resize: 'area' has no other positions", hint="leave out align_corners and half_pixel_centers")
    first = x.ndim - (3 if data_format == "channels_last" else 2)
    if method != "nearest":
        (x,) = coerce(x, to=inexact)
    for axis, target in zip((first, first + 1), size, strict=True):
        n = known_size(target, "resize: a size")
        if n != x.shape[axis]:
            x = _METHODS[method](x, axis, n, align_corners, half_pixel_centers)
    return x


def _nearest(x: Variable, axis: int, n: Size, corners: bool, centred: bool) -> Variable:
    """Exact in integers: the result does not depend on rounding."""
    old, new, i = dim_value(x.shape[axis]), dim_value(n), iota((n,))
    if corners:
        steps = maximum(subtract(new, 1), 1)
        at = floor_divide(add(multiply(multiply(i, subtract(old, 1)), 2), steps), multiply(steps, 2))
    elif centred:
        at = floor_divide(multiply(add(multiply(i, 2), 1), old), multiply(new, 2))
    else:
        at = floor_divide(multiply(i, old), new)
    return take(x, at, axis, mode="clip")


def _positions(old: Size, n: Size, corners: bool, centred: bool) -> Variable:
    """Where in the old axis the new pixels are."""
    before, after = cast(dim_value(old), WORK), cast(dim_value(n), WORK)
    i = iota((n,), 0, WORK)
    if corners:
        return multiply(i, divide(subtract(before, 1), maximum(subtract(after, 1), 1)))
    scale = divide(before, after)
    return subtract(multiply(add(i, 0.5), scale), 0.5) if centred else multiply(i, scale)


def _weighted(x: Variable, axis: int, low: Variable, weights: Sequence[Variable], first: int) -> Variable:
    """The sum of weights[k] times the pixels at low + first + k; beyond the edges stands the pixel at the edge."""
    total: Variable | None = None
    for k, w in enumerate(weights):
        pixels = take(x, add(low, first + k), axis, mode="clip")
        part = multiply(pixels, reshape(cast(w, x.dtype), tuple(w.shape[0] if a == axis else 1 for a in range(x.ndim))))
        total = part if total is None else add(total, part)
    assert total is not None
    return total


def _split(at: Variable) -> tuple[Variable, Variable]:
    """The pixel before each position, and how far beyond it the position is."""
    low = floor(at)
    return cast(low, "int64"), subtract(at, low)


def _bilinear(x: Variable, axis: int, n: Size, corners: bool, centred: bool) -> Variable:
    low, t = _split(_positions(x.shape[axis], n, corners, centred))
    return _weighted(x, axis, low, (subtract(1, t), t), 0)


def _keys(d: Variable, a: float) -> Variable:
    """R. G. Keys, "Cubic convolution interpolation for digital image processing" (1981), at distance d."""
    d = abs_(d)
    near = add(multiply(multiply(subtract(multiply(a + 2, d), a + 3), d), d), 1)
    far = subtract(multiply(add(multiply(subtract(multiply(a, d), 5 * a), d), 8 * a), d), 4 * a)
    return where(less(d, 1), near, where(less(d, 2), far, 0))


def _bicubic(x: Variable, axis: int, n: Size, corners: bool, centred: bool) -> Variable:
    low, t = _split(_positions(x.shape[axis], n, corners, centred))
    weights = [_keys(subtract(t, k), -0.5 if centred else -0.75) for k in (-1, 0, 1, 2)]
    if centred:  # pixels beyond the edges have no weight, and the others share it
        old = dim_value(x.shape[axis])
        inside = [multiply(w, cast(_between(add(low, k), old), WORK)) for w, k in zip(weights, (-1, 0, 1, 2), strict=True)]
        total = add(add(inside[0], inside[1]), add(inside[2], inside[3]))
        weights = [divide(w, total) for w in inside]
    return _weighted(x, axis, low, weights, -1)


def _between(at: Variable, n: Variable) -> Variable:
    return multiply(cast(less(at, n), "int8"), cast(less(-1, at), "int8"))


def _area(x: Variable, axis: int, n: Size, corners: bool, centred: bool) -> Variable:
    """The matrix of overlaps of old and new pixels, times x."""
    scale = divide(cast(dim_value(x.shape[axis]), WORK), cast(dim_value(n), WORK))
    start = expand_dims(multiply(iota((n,), 0, WORK), scale), 1)
    old = iota((1, x.shape[axis]), 1, WORK)
    overlap = maximum(subtract(minimum(add(start, scale), add(old, 1)), maximum(start, old)), 0)
    labels = "abcd"[: x.ndim]
    return einsum(f"z{labels[axis]},{labels}->{labels.replace(labels[axis], 'z')}", cast(divide(overlap, scale), x.dtype), x)


_METHODS: dict[str, Callable[[Variable, int, Size, bool, bool], Variable]] = {
    "nearest": _nearest, "bilinear": _bilinear, "bicubic": _bicubic, "area": _area,
}  # fmt: skip
