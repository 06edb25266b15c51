"""Image files, Pillow's images and arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, MissingExtraError, ShapeError
from graphflow.graph.op import Array
from graphflow.keras import backend as K

_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
_CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}
RESAMPLING = {"nearest": 0, "lanczos": 1, "antialias": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}  # Pillow's numbers
DATA_FORMATS = ("channels_last", "channels_first")


def pillow(module: str) -> Any:
    """A module of Pillow; raises MissingExtraError if it is not installed."""
    import importlib

    try:
        return importlib.import_module(f"PIL.{module}")
    except ImportError as error:
        raise MissingExtraError("images are read and written with Pillow, which is not installed", hint="pip install graphflow[keras]") from error


def known_format(data_format: str | None) -> str:
    """The data format, the process's own for None; raises GraphError for one that is not known."""
    data_format = {"tf": "channels_last", "th": "channels_first", "default": None}.get(data_format or "", data_format)  # Keras 1's names
    data_format = data_format or K.image_data_format()
    if data_format not in DATA_FORMATS:
        raise GraphError(f"no data_format is called {data_format!r}", hint=f"use {' or '.join(map(repr, DATA_FORMATS))}")
    return data_format


def load_img(
    path: Any,
    grayscale: bool = False,
    color_mode: str = "rgb",
    target_size: Sequence[int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """A file (or open file) as a Pillow image.

    `color_mode`: 'rgb', 'rgba' or 'grayscale'.  `target_size`: (height, width) to resize to; with `keep_aspect_ratio`
    the middle of the image, of the right proportions, is taken.
    """
    color_mode = "grayscale" if grayscale else color_mode
    if color_mode not in _MODES:
        raise GraphError(f"no color_mode is called {color_mode!r}", hint=f"use one of {', '.join(_MODES)}")
    image = pillow("Image").open(path)
    deep = color_mode == "grayscale" and image.mode in ("L", "I;16", "I")  # 16 and 32 bits stay
    if not deep and image.mode != _MODES[color_mode]:
        image = image.convert(_MODES[color_mode])
    if target_size is None or image.size == (target_size[1], target_size[0]):
        return image
    if interpolation not in RESAMPLING:
        raise GraphError(f"no interpolation is called {interpolation!r}", hint=f"use one of {', '.join(sorted(RESAMPLING))}")
    size = (target_size[1], target_size[0])
    box = _middle(image.size, size) if keep_aspect_ratio else None
    return image.resize(size, RESAMPLING[interpolation], box)


def _middle(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest part in the middle of `size` with the proportions of `target`: left, top, right, bottom."""
    width, height = min(size[0], size[1] * target[0] // target[1]), min(size[1], size[0] * target[1] // target[0])
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> Array:
    """A Pillow image as an array (height, width, channels), or (channels, height, width), of floatx."""
    data_format = known_format(data_format)
    x = np.asarray(img, dtype=dtype or K.floatx())
    if x.ndim not in (2, 3):
        raise ShapeError(f"img_to_array: the image has the shape {x.shape}")
    x = x[:, :, None] if x.ndim == 2 else x
    return x.transpose(2, 0, 1) if data_format == "channels_first" else x


def array_to_img(x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None) -> Any:
    """An array of three axes as a Pillow image; `scale`: its smallest value becomes 0 and its largest 255."""
    data_format = known_format(data_format)
    x = np.asarray(x, dtype=dtype or K.floatx())
    if x.ndim != 3:
        raise ShapeError(f"array_to_img takes one image with three axes, and the array has the shape {x.shape}")
    x = x.transpose(1, 2, 0) if data_format == "channels_first" else x
    if x.shape[2] not in _CHANNELS:
        raise ShapeError(f"array_to_img: the image has {x.shape[2]} channels", hint="1, 3 and 4 are possible")
    if scale:
        x = x - x.min()
        x = x / x.max() * 255 if x.max() else x
    if x.shape[2] == 1:
        deep = x.max() > 255
        return pillow("Image").fromarray(x[:, :, 0].astype(np.int32 if deep else np.uint8))
    return pillow("Image").fromarray(x.astype(np.uint8), _CHANNELS[x.shape[2]])


def save_img(path: Any, x: Any, data_format: str | None = None, file_format: str | None = None, scale: bool = True, **kwargs: Any) -> None:
    """Write an array as an image file; `kwargs` are those of Pillow's `save`."""
    image = array_to_img(x, data_format, scale)
    named = file_format or (Path(path).suffix[1:] if isinstance(path, str | os.PathLike) else "")
    if image.mode == "RGBA" and named.lower() in ("jpg", "jpeg"):
        image = image.convert("RGB")  # JPEG has no transparency
    image.save(path, format=file_format, **kwargs)


def smart_resize(x: Any, size: Sequence[int], interpolation: str = "bilinear", data_format: str = "channels_last") -> Array:
    """Images (..., height, width, channels) resized to (height, width) without distortion: what is too long is cut at both ends."""
    x = np.asarray(x, dtype=K.floatx())
    if x.ndim not in (3, 4):
        raise ShapeError(f"smart_resize takes one image or a batch, and the array has the shape {x.shape}")
    images = x.reshape(-1, *x.shape[-3:])
    images = images.transpose(0, 2, 3, 1) if data_format == "channels_first" else images
    target = (size[1], size[0])
    box = _middle((images.shape[2], images.shape[1]), target)
    made = np.stack([np.stack([_resized(channel, target, box, interpolation) for channel in image.transpose(2, 0, 1)], axis=-1) for image in images])
    made = made.transpose(0, 3, 1, 2) if data_format == "channels_first" else made
    return made[0] if x.ndim == 3 else made


def _resized(channel: Array, size: tuple[int, int], box: tuple[int, int, int, int], interpolation: str) -> Array:
    image = pillow("Image").fromarray(channel.astype(np.float32))
    return np.asarray(image.crop(box).resize(size, RESAMPLING[interpolation]))


def list_pictures(directory: str | os.PathLike[str], ext: str = "jpg|jpeg|bmp|png|ppm") -> list[str]:
    """The image files below a folder."""
    endings = tuple(f".{e}" for e in ext.split("|"))
    return [os.path.join(root, name) for root, _, names in os.walk(directory) for name in names if name.lower().endswith(endings)]
