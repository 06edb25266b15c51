"""Images of another size, and images changed at random while training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size
from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.variable import Variable
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.keras.layers.parameters import image_format, spatial_axes
from graphflow.keras.phase import in_train_phase
from graphflow.ops.convolution import channels_as, channels_last
from graphflow.ops.creation import dim_value, iota
from graphflow.ops.elementwise import add, cast, clip, divide, multiply, subtract, where
from graphflow.ops.gathering import take
from graphflow.ops.logic import greater_equal, less, logical_and
from graphflow.ops.random import bernoulli, uniform
from graphflow.ops.rounding import floor, mod
from graphflow.ops.shape import expand_dims, reshape
from graphflow.ops.slicing import flip, slice_axes
from graphflow.ops.statistics import mean
from graphflow.ops.transcendental import cos, sin

__all__ = ["CenterCrop", "RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "Resizing"]

FILLS = ("reflect", "wrap", "constant", "nearest")
INTERPOLATIONS = ("nearest", "bilinear")


def require(layer: str, what: str, value: Any, known: Sequence[Any]) -> None:
    """Raises GraphError for a value that is not among the known ones."""
    if value not in known:
        raise GraphError(f"{layer}: {what} is {value!r}", hint=f"use {', '.join(map(repr, known))}")


@recorded
class Resizing(Layer):
    """Images of static size as images of `height` x `width`, sampled at the centers of pixels."""

    def __init__(
        self, height: int, width: int, interpolation: str = "bilinear", crop_to_aspect_ratio: bool = False, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        require("Resizing", "interpolation", interpolation, INTERPOLATIONS)
        require("Resizing", "crop_to_aspect_ratio", crop_to_aspect_ratio, (False,))
        self.height, self.width, self.interpolation, self.crop_to_aspect_ratio = height, width, interpolation, crop_to_aspect_ratio
        self.data_format = image_format(data_format)

    def call(self, inputs: Any) -> Any:
        for axis, size in zip(spatial_axes(self.data_format, 2), (self.height, self.width), strict=True):
            inputs = _resized(inputs, axis, size, self.interpolation)
        return inputs


def _resized(x: Variable, axis: int, size: int, interpolation: str) -> Variable:
    n = x.shape[axis]
    if not isinstance(n, int):
        raise ShapeError("Resizing: the size of the images is not known", hint="give the layer's input its size")
    at = (np.arange(size) + 0.5) * n / size
    if interpolation == "nearest":
        return take(x, np.minimum(at.astype(int), n - 1), axis=axis)
    at = np.clip(at - 0.5, 0, n - 1)
    below = np.minimum(at.astype(int), max(n - 2, 0))
    part = (at - below).astype("float32").reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    x = x if x.dtype.kind == "f" else cast(x, "float32")
    return add(multiply(take(x, below, axis=axis), 1 - part), multiply(take(x, np.minimum(below + 1, n - 1), axis=axis), part))


@recorded
class CenterCrop(Layer):
    """The middle of images."""

    def __init__(self, height: int, width: int, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height, self.width = height, width
        self.data_format = image_format(data_format)

    def call(self, inputs: Any) -> Any:
        key = [slice(None)] * inputs.ndim
        for a, size in zip(spatial_axes(self.data_format, 2), (self.height, self.width), strict=True):
            first = (inputs.shape[a] - size) // 2
            key[a] = slice(first, first + size)
        return slice_axes(inputs, key)


class RandomImages(Layer):
    """Images changed while training, each in its own way, and left as they are else."""

    seed: int | None
    data_format: str

    def call(self, inputs: Any, training: Any = None) -> Any:
        return in_train_phase(lambda: channels_as(self._changed(channels_last(inputs, self.data_format)), self.data_format), inputs, training)

    def _begin(self, seed: int | None, data_format: str | None) -> None:
        self.seed, self.data_format = seed, image_format(data_format)
        self.input_spec = InputSpec(ndim=4)

    def _changed(self, x: Variable) -> Variable:
        raise NotImplementedError

    def _drawn(self, x: Variable, limits: tuple[float, float]) -> Variable:
        """One number for each image, uniform between limits."""
        return uniform((x.shape[0], 1, 1), limits[0], limits[1], x.dtype, seed=self.seed)


@recorded
class RandomFlip(RandomImages):
    """Images mirrored: 'horizontal', 'vertical' or both."""

    def __init__(self, mode: str = "horizontal_and_vertical", seed: int | None = None, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require("RandomFlip", "mode", mode, ("horizontal", "vertical", "horizontal_and_vertical"))
        self.mode = mode
        self._begin(seed, data_format)

    def _changed(self, x: Variable) -> Variable:
        for name, axis in (("vertical", 1), ("horizontal", 2)):
            if name in self.mode:
                x = where(bernoulli((x.shape[0], 1, 1, 1), 0.5, seed=self.seed), flip(x, axis), x)
        return x


@recorded
class RandomContrast(RandomImages):
    """Deviations from the mean of each channel times a factor from 1 - `factor` to 1 + `factor`."""

    def __init__(self, factor: float | Sequence[float], seed: int | None = None, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self._begin(seed, data_format)

    def _changed(self, x: Variable) -> Variable:
        low, high = limits(self.factor)
        center = mean(x, axis=(1, 2), keepdims=True)
        return add(multiply(subtract(x, center), expand_dims(self._drawn(x, (1 + low, 1 + high)), 3)), center)


@recorded
class RandomBrightness(RandomImages):
    """A part from -`factor` to `factor` of the range of values added, and clipped to it."""

    def __init__(
        self,
        factor: float | Sequence[float],
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.factor, self.value_range = factor, value_range
        self._begin(seed, data_format)

    def _changed(self, x: Variable) -> Variable:
        low, high = self.value_range
        return clip(add(x, multiply(expand_dims(self._drawn(x, limits(self.factor)), 3), high - low)), low, high)


def limits(factor: Any) -> tuple[float, float]:
    """(-factor, factor) for a number, or the two that are given."""
    return (-float(factor), float(factor)) if isinstance(factor, int | float) else (float(factor[0]), float(factor[1]))


# --- moved images --------------------------------------------------------------------------------
class MovedImages(RandomImages):
    """Images sampled at other places: `_places` says for the pixels of the result where they come from."""

    def _begin_moving(self, fill_mode: str, interpolation: str, fill_value: float, seed: int | None, data_format: str | None) -> None:
        require(type(self).__name__, "fill_mode", fill_mode, FILLS)
        require(type(self).__name__, "interpolation", interpolation, INTERPOLATIONS)
        self.fill_mode, self.interpolation, self.fill_value = fill_mode, interpolation, fill_value
        self._begin(seed, data_format)

    def _places(self, x: Variable, rows: Variable, columns: Variable) -> tuple[Variable, Variable]:
        raise NotImplementedError

    def _changed(self, x: Variable) -> Variable:
        n, height, width, _ = x.shape
        rows, columns = (cast(iota((n, height, width), axis), x.dtype) for axis in (1, 2))
        rows, columns = self._places(x, rows, columns)
        if self.interpolation == "nearest":
            return self._pixels(x, floor(add(rows, 0.5)), floor(add(columns, 0.5)))
        top, left = floor(rows), floor(columns)
        down, right = expand_dims(subtract(rows, top), 3), expand_dims(subtract(columns, left), 3)
        upper, lower = (
            add(multiply(self._pixels(x, r, left), subtract(1, right)), multiply(self._pixels(x, r, add(left, 1)), right)) for r in (top, add(top, 1))
        )
        return add(multiply(upper, subtract(1, down)), multiply(lower, down))

    def _pixels(self, x: Variable, rows: Variable, columns: Variable) -> Variable:
        """The pixels at whole places; places beyond the edges are filled."""
        n, height, width, channels = x.shape
        inside = logical_and(_within(rows, height), _within(columns, width))
        rows, columns = self._inside(rows, height), self._inside(columns, width)
        place = add(multiply(add(multiply(iota(rows.shape, 0), dim_value(height)), rows), dim_value(width)), columns)
        found = take(reshape(x, (n * height * width, channels)), place, axis=0)
        return where(expand_dims(inside, 3), found, self.fill_value) if self.fill_mode == "constant" else found

    def _inside(self, places: Variable, size: Size) -> Variable:
        """Places beyond the edges as the places that fill them."""
        n, places = dim_value(size), cast(places, "int64")
        if self.fill_mode == "wrap":
            return mod(places, n)
        if self.fill_mode == "reflect":  # d c b a | a b c d | d c b a
            twice = mod(places, multiply(n, 2))
            return where(less(twice, n), twice, subtract(subtract(multiply(n, 2), 1), twice))
        return clip(places, 0, subtract(n, 1))


def _within(places: Variable, size: Size) -> Variable:
    return logical_and(greater_equal(places, 0), less(places, cast(dim_value(size), places.dtype)))


def _middle(size: Size, dtype: Any) -> Variable:
    return divide(cast(dim_value(size - 1), dtype), 2)


@recorded
class RandomRotation(MovedImages):
    """Images turned about their middle by up to `factor` of a full turn, either way."""

    def __init__(
        self,
        factor: float | Sequence[float],
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self._begin_moving(fill_mode, interpolation, fill_value, seed, data_format)

    def _places(self, x: Variable, rows: Variable, columns: Variable) -> tuple[Variable, Variable]:
        angle = multiply(self._drawn(x, limits(self.factor)), 2 * math.pi)
        y, z = _middle(x.shape[1], x.dtype), _middle(x.shape[2], x.dtype)
        down, right, s, c = subtract(rows, y), subtract(columns, z), sin(angle), cos(angle)
        return add(add(multiply(right, s), multiply(down, c)), y), add(subtract(multiply(right, c), multiply(down, s)), z)


@recorded
class RandomTranslation(MovedImages):
    """Images moved down and right by up to parts of their height and width, or up and left."""

    def __init__(
        self,
        height_factor: float | Sequence[float],
        width_factor: float | Sequence[float],
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._begin_moving(fill_mode, interpolation, fill_value, seed, data_format)

    def _places(self, x: Variable, rows: Variable, columns: Variable) -> tuple[Variable, Variable]:
        down = multiply(self._drawn(x, limits(self.height_factor)), cast(dim_value(x.shape[1]), x.dtype))
        right = multiply(self._drawn(x, limits(self.width_factor)), cast(dim_value(x.shape[2]), x.dtype))
        return subtract(rows, down), subtract(columns, right)


@recorded
class RandomZoom(MovedImages):
    """Images seen from up to `height_factor` (and `width_factor`, else the same) farther away, or nearer."""

    def __init__(
        self,
        height_factor: float | Sequence[float],
        width_factor: float | Sequence[float] | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._begin_moving(fill_mode, interpolation, fill_value, seed, data_format)

    def _places(self, x: Variable, rows: Variable, columns: Variable) -> tuple[Variable, Variable]:
        tall = add(self._drawn(x, limits(self.height_factor)), 1)
        wide = tall if self.width_factor is None else add(self._drawn(x, limits(self.width_factor)), 1)
        y, z = _middle(x.shape[1], x.dtype), _middle(x.shape[2], x.dtype)
        return add(multiply(subtract(rows, y), tall), y), add(multiply(subtract(columns, z), wide), z)
