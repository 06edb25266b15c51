"""Images turned, moved, sheared, zoomed, brightened: by given amounts, and by amounts drawn from `np.random`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, MissingExtraError, ShapeError
from graphflow.graph.op import Array
from graphflow.keras.preprocessing.image.pictures import array_to_img, img_to_array, pillow


def transform_matrix_offset_center(matrix: Array, x: int, y: int) -> Array:
    """The transformation of homogeneous coordinates about the middle of an image of x rows and y columns."""
    there = np.array([[1, 0, x / 2 - 0.5], [0, 1, y / 2 - 0.5], [0, 0, 1]])
    back = np.array([[1, 0, 0.5 - x / 2], [0, 1, 0.5 - y / 2], [0, 0, 1]])
    centred: Array = there @ matrix @ back
    return centred


def apply_transform(x: Array, transform_matrix: Array, channel_axis: int = 0, fill_mode: str = "nearest", cval: float = 0.0, order: int = 1) -> Array:
    """An image whose element at p is x's at transform_matrix @ p, each channel by itself.

    `fill_mode`: what is outside x: 'nearest', 'constant' (`cval`), 'reflect' or 'wrap'.  `order`: of the spline.
    """
    try:
        from scipy import ndimage
    except ImportError as error:
        raise MissingExtraError("images are transformed with SciPy, which is not installed", hint="pip install graphflow[keras]") from error
    matrix, offset = transform_matrix[:2, :2], transform_matrix[:2, 2]
    channels = [ndimage.affine_transform(c, matrix, offset, order=order, mode=fill_mode, cval=cval) for c in np.moveaxis(x, channel_axis, 0)]
    return np.moveaxis(np.stack(channels), 0, channel_axis)


def apply_affine_transform(
    x: Array,
    theta: float = 0,
    tx: float = 0,
    ty: float = 0,
    shear: float = 0,
    zx: float = 1,
    zy: float = 1,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
) -> Array:
    """An image turned by `theta` degrees, moved by `tx` rows and `ty` columns, sheared by `shear` degrees and zoomed.

    Raises ShapeError for what is no image of three axes, GraphError for axes that are not 0, 1 and 2.
    """
    if sorted((row_axis, col_axis, channel_axis)) != [0, 1, 2] or channel_axis == 1:
        raise GraphError(f"the axes ({row_axis}, {col_axis}, {channel_axis}) are not those of an image", hint="channels are first or last")
    if x.ndim != 3:
        raise ShapeError(f"an image has three axes, and the array has the shape {x.shape}")
    matrix = _matrix(theta, tx, ty, shear, zx, zy)
    if matrix is None:
        return x
    matrix = transform_matrix_offset_center(matrix, x.shape[row_axis], x.shape[col_axis])
    if col_axis > row_axis:  # the matrix is for (x, y), the array has (row, column)
        matrix[:, [0, 1]] = matrix[:, [1, 0]]
        matrix[[0, 1]] = matrix[[1, 0]]
    return apply_transform(x, matrix, channel_axis, fill_mode, cval, order)


def _matrix(theta: float, tx: float, ty: float, shear: float, zx: float, zy: float) -> Array | None:
    """The product of those that do anything; None if none does."""
    turn, slant = np.deg2rad(theta), np.deg2rad(shear)
    factors: list[Any] = []
    if theta:
        factors.append([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    if tx or ty:
        factors.append([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    if shear:
        factors.append([[1, -np.sin(slant), 0], [0, np.cos(slant), 0], [0, 0, 1]])
    if zx != 1 or zy != 1:
        factors.append([[zx, 0, 0], [0, zy, 0], [0, 0, 1]])
    if not factors:
        return None
    matrix = np.array(factors[0], dtype=float)
    for factor in factors[1:]:
        matrix = matrix @ np.array(factor)
    return matrix


def flip_axis(x: Any, axis: int) -> Array:
    """An array with an axis turned round."""
    return np.flip(np.asarray(x), axis)


def apply_channel_shift(x: Array, intensity: float, channel_axis: int = 0) -> Array:
    """`intensity` added to all channels, within the smallest and largest value that x has."""
    return np.clip(x + intensity, x.min(), x.max())


def apply_brightness_shift(x: Array, brightness: float, scale: bool = True) -> Array:
    """An image as bright as `brightness` says: 0 is black, 1 as it is.  `scale`: its values are taken to 0 .. 255 before."""
    low, high = x.min(), x.max()
    outside = bool(low < 0 or high > 255)
    image = pillow("ImageEnhance").Brightness(array_to_img(x, scale=scale or outside)).enhance(brightness)
    made = img_to_array(image)
    return made / 255 * (high - low) + low if outside and not scale else made


# --- by amounts drawn ----------------------------------------------------------------------------
def random_rotation(
    x: Array, rg: float, row_axis: int = 1, col_axis: int = 2, channel_axis: int = 0, fill_mode: str = "nearest", cval: float = 0.0, interpolation_order: int = 1
) -> Array:
    """An image turned by -rg to rg degrees."""
    theta = np.random.uniform(-rg, rg)
    return apply_affine_transform(x, theta, 0, 0, 0, 1, 1, row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order)


def random_shift(
    x: Array, wrg: float, hrg: float, row_axis: int = 1, col_axis: int = 2, channel_axis: int = 0, fill_mode: str = "nearest", cval: float = 0.0,
    interpolation_order: int = 1,
) -> Array:  # fmt: skip
    """An image moved by -wrg to wrg of its width and -hrg to hrg of its height."""
    tx = np.random.uniform(-hrg, hrg) * x.shape[row_axis]
    ty = np.random.uniform(-wrg, wrg) * x.shape[col_axis]
    return apply_affine_transform(x, 0, tx, ty, 0, 1, 1, row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order)


def random_shear(
    x: Array, intensity: float, row_axis: int = 1, col_axis: int = 2, channel_axis: int = 0, fill_mode: str = "nearest", cval: float = 0.0,
    interpolation_order: int = 1,
) -> Array:  # fmt: skip
    """An image sheared by -intensity to intensity degrees."""
    shear = np.random.uniform(-intensity, intensity)
    return apply_affine_transform(x, 0, 0, 0, shear, 1, 1, row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order)


def random_zoom(
    x: Array, zoom_range: Sequence[float], row_axis: int = 1, col_axis: int = 2, channel_axis: int = 0, fill_mode: str = "nearest", cval: float = 0.0,
    interpolation_order: int = 1,
) -> Array:  # fmt: skip
    """An image zoomed by factors between two, one for rows and one for columns."""
    zx, zy = _zoom(two_numbers(zoom_range, "zoom_range"))
    return apply_affine_transform(x, 0, 0, 0, 0, zx, zy, row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order)


def _zoom(zoom_range: Sequence[float]) -> tuple[float, float]:
    if zoom_range[0] == zoom_range[1] == 1:
        return 1, 1
    zx, zy = np.random.uniform(zoom_range[0], zoom_range[1], 2)
    return zx, zy


def random_channel_shift(x: Array, intensity_range: float, channel_axis: int = 0) -> Array:
    """-intensity_range to intensity_range added to all channels."""
    return apply_channel_shift(x, np.random.uniform(-intensity_range, intensity_range), channel_axis)


def random_brightness(x: Array, brightness_range: Sequence[float], scale: bool = True) -> Array:
    """An image made brighter or darker by a factor between two."""
    low, high = two_numbers(brightness_range, "brightness_range")
    return apply_brightness_shift(x, np.random.uniform(low, high), scale)


def two_numbers(value: Any, name: str) -> tuple[float, float]:
    """(low, high); raises GraphError for anything else."""
    if not isinstance(value, tuple | list | np.ndarray) or len(value) != 2:
        raise GraphError(f"{name} is {value!r}", hint="it is two numbers, (low, high)")
    return value[0], value[1]
