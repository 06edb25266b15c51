"""Layers that add, cut off or repeat rows and columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.variable import Variable
from graphflow.keras import generation
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.keras.layers.parameters import image_format, spatial_axes
from graphflow.ops.elementwise import add, multiply
from graphflow.ops.joining import pad, repeat, stack
from graphflow.ops.shape import reshape
from graphflow.ops.slicing import slice_axes
from graphflow.ops.windows import per_axis

__all__ = [
    "Cropping1D", "Cropping2D", "Cropping3D", "UpSampling1D", "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D",
]  # fmt: skip

Pairs = tuple[tuple[int, int], ...]
KERAS_1 = {2: ("top_pad", "bottom_pad", "left_pad", "right_pad"), 1: ("left_pad", "right_pad")}


def pairs(value: Any, rank: int, what: str) -> Pairs:
    """(before, after) for each axis, from a number, a number for each axis, or pairs; Keras 1 also has a dict.

    Over one axis two numbers are before and after.  Raises GraphError for anything else.
    """
    if isinstance(value, Mapping):
        numbers = [value.get(name, 0) for name in KERAS_1[rank]]
        value = [tuple(numbers[2 * i : 2 * i + 2]) for i in range(rank)]
    given = [value] * rank if isinstance(value, int) else list(value)
    if rank == 1 and len(given) == 2 and all(isinstance(n, int) for n in given):
        given = [given]
    if rank == 2 and len(given) == 4 and all(isinstance(n, int) for n in given):  # Keras 1
        given = [given[:2], given[2:]]
    found = [(n, n) if isinstance(n, int) else tuple(n) for n in given]
    if len(found) != rank or not all(len(p) == 2 and all(isinstance(n, int) and n >= 0 for n in p) for p in found):
        raise GraphError(f"`{what}` is {value!r}", hint=f"it is a number, {rank} numbers, or {rank} pairs (before, after)")
    return tuple((p[0], p[1]) for p in found)


class _Resizing(Layer):
    rank = 0
    data_format: str

    def _begin(self, data_format: str | None) -> None:
        self.data_format = image_format(data_format) if self.rank > 1 else data_format or "channels_last"
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _for_all_axes(self, values: Sequence[Any], else_: Any) -> list[Any]:
        """One value for each axis of the input: those of the spatial axes, `else_` for the others."""
        by_axis = dict(zip(spatial_axes(self.data_format, self.rank), values, strict=True))
        return [by_axis.get(a, else_) for a in range(self.rank + 2)]


class _ZeroPadding(_Resizing):
    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        Layer.__init__(self, **kwargs)
        self._begin(data_format)
        self.padding = pairs(padding, self.rank, "padding")
        if self.rank == 1:
            self.padding = self.padding[0]  # type: ignore[assignment]

    def call(self, inputs: Any) -> Any:
        widths = pairs(self.padding, self.rank, "padding")
        return pad(inputs, self._for_all_axes(widths, (0, 0)))


class _Cropping(_Resizing):
    def __init__(self, cropping: Any = 0, data_format: str | None = None, **kwargs: Any) -> None:
        Layer.__init__(self, **kwargs)
        self._begin(data_format)
        self.cropping = pairs(cropping, self.rank, "cropping")
        if self.rank == 1:
            self.cropping = self.cropping[0]  # type: ignore[assignment]

    def call(self, inputs: Any) -> Any:
        key = []
        for n, (before, after) in zip(inputs.shape, self._for_all_axes(pairs(self.cropping, self.rank, "cropping"), (0, 0)), strict=True):
            if isinstance(n, int) and before + after >= max(n, 1):
                raise ShapeError(f"{self.name}: {before} + {after} are to be cut off an axis of {n}", hint="something must remain")
            key.append(slice(before, n - after))
        return slice_axes(inputs, key)


class _UpSampling(_Resizing):
    def __init__(self, size: int | Sequence[int] = 2, data_format: str | None = None, **kwargs: Any) -> None:
        Layer.__init__(self, **kwargs)
        self._begin(data_format)
        self.size: Any = per_axis(size, self.rank, "size")

    def call(self, inputs: Any) -> Any:
        for axis, times in zip(spatial_axes(self.data_format, self.rank), per_axis(self.size, self.rank, "size"), strict=True):
            inputs = repeat(inputs, times, axis=axis) if times > 1 else inputs
        return inputs


@recorded
class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after the steps of (n, steps, channels)."""

    rank = 1

    def __init__(self, padding: Any = 1, **kwargs: Any) -> None:
        _ZeroPadding.__init__(self, padding, kwargs.pop("data_format", None), **kwargs)


@recorded
class ZeroPadding2D(_ZeroPadding):
    """Zeros around images; `padding`: a number, (rows, columns) or ((top, bottom), (left, right))."""

    rank = 2
    __init__ = _ZeroPadding.__init__


@recorded
class ZeroPadding3D(_ZeroPadding):
    """Zeros around volumes."""

    rank = 3
    __init__ = _ZeroPadding.__init__


@recorded
class Cropping1D(_Cropping):
    """Steps cut off before and after."""

    rank = 1

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        _Cropping.__init__(self, cropping, None, **kwargs)


@recorded
class Cropping2D(_Cropping):
    """Rows and columns cut off at the edges."""

    rank = 2

    def __init__(self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any) -> None:
        _Cropping.__init__(self, cropping, data_format, **kwargs)


@recorded
class Cropping3D(_Cropping):
    """The outside of volumes cut off."""

    rank = 3

    def __init__(self, cropping: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **kwargs: Any) -> None:
        _Cropping.__init__(self, cropping, data_format, **kwargs)


@recorded
class UpSampling1D(_UpSampling):
    """Each step `size` times."""

    rank = 1

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        _UpSampling.__init__(self, size, None, **kwargs)
        self.size = int(size)


@recorded
class UpSampling2D(_UpSampling):
    """Each pixel as `size` pixels, 'nearest' alike or 'bilinear' between neighbours."""

    rank = 2

    def __init__(self, size: int | Sequence[int] = (2, 2), data_format: str | None = None, interpolation: str = "nearest", **kwargs: Any) -> None:
        _UpSampling.__init__(self, size, data_format, **kwargs)
        if interpolation not in ("nearest", "bilinear"):
            raise GraphError(f"UpSampling2D: interpolation is {interpolation!r}", hint="use 'nearest' or 'bilinear'")
        self.interpolation = interpolation

    def call(self, inputs: Any) -> Any:
        if self.interpolation == "nearest":
            return super().call(inputs)
        for axis, times in zip(spatial_axes(self.data_format, 2), self.size, strict=True):
            inputs = _between(inputs, axis, times) if times > 1 else inputs
        return inputs


def _between(x: Variable, axis: int, times: int) -> Variable:
    """x with `times` as many elements along an axis, on the lines between neighbours, and constant beyond the ends.

    Element i of x lies at times * i, or from tf.keras on in the middle of the elements that come from it.
    """
    size = x.shape[axis]
    wide = pad(x, [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)], mode="edge")
    middle = 0.5 if generation.resolve("images are sampled at pixel centers") else 0.0

    def moved(by: int) -> Variable:
        return slice_axes(wide, [slice(1 + by, 1 + by + size) if a == axis else slice(None) for a in range(x.ndim)])

    parts = []
    for place in range(times):
        at = (place + middle) / times - middle
        below = math.floor(at)
        part = at - below
        parts.append(add(multiply(moved(below), 1 - part), multiply(moved(below + 1), part)) if part else moved(below))
    return reshape(stack(parts, axis=axis + 1), (*x.shape[:axis], size * times, *x.shape[axis + 1 :]))


@recorded
class UpSampling3D(_UpSampling):
    """Each voxel as `size` voxels."""

    rank = 3
    __init__ = _UpSampling.__init__
