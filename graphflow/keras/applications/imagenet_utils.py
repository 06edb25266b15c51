"""What networks for ImageNet have in common: how images are prepared, and what the classes are called."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.op import Array
from graphflow.keras import backend as K
from graphflow.keras.cache import get_file
from graphflow.ops.slicing import flip as flip_axes

__all__ = ["decode_predictions", "preprocess_input"]

CLASSES = 1000
_CLASS_INDEX = "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json"
_CLASS_INDEX_MD5 = "c2c37ea517e94d9795004a39431a14cb"

# mode -> (whether blue comes first, the factor, the means and the deviations of the channels after it)
_MODES: dict[str, tuple[bool, float, tuple[float, ...], tuple[float, ...]]] = {
    "caffe": (True, 1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    "tf": (False, 1 / 127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "torch": (False, 1 / 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def preprocess_input(x: Any, data_format: str | None = None, mode: str = "caffe") -> Any:
    """Images with values 0 .. 255, an array or a Variable, as a network of this kind was trained on them.

    `mode`: 'caffe' for blue, green, red less their means; 'tf' for values from -1 to 1; 'torch' for values from 0 to 1
    with mean 0 and variance 1 in each channel.  An array of floats is changed in place, as in Keras.
    """
    if mode not in _MODES:
        raise GraphError(f"mode={mode!r} is not known", hint=f"use one of {', '.join(_MODES)}")
    data_format = data_format or K.image_data_format()
    if data_format not in ("channels_first", "channels_last"):
        raise GraphError(f"no data_format is called {data_format!r}", hint="use 'channels_first' or 'channels_last'")
    if isinstance(x, np.ndarray):
        return _prepared(x if x.dtype.kind == "f" else x.astype(K.floatx()), data_format, mode)
    return _prepared_graph(x, data_format, mode)


def _channels(values: tuple[float, ...], data_format: str) -> Array:
    """Beside images, in whichever format."""
    return np.array(values, K.floatx()).reshape((3, 1, 1) if data_format == "channels_first" else (3,))


def _prepared(x: Array, data_format: str, mode: str) -> Array:
    blue_first, factor, means, deviations = _MODES[mode]
    axis = x.ndim - 3 if data_format == "channels_first" else x.ndim - 1
    x = np.flip(x, axis) if blue_first else x
    if not x.flags.writeable:
        x = x.copy()
    if factor != 1:
        x *= factor
    x -= _channels(means, data_format)
    if deviations != (1.0, 1.0, 1.0):
        x /= _channels(deviations, data_format)
    return x


def _prepared_graph(x: Any, data_format: str, mode: str) -> Any:
    blue_first, factor, means, deviations = _MODES[mode]
    axis = x.ndim - 3 if data_format == "channels_first" else x.ndim - 1
    x = flip_axes(x, axis) if blue_first else x
    x = x * np.float32(factor) - _channels(means, data_format)
    return x if deviations == (1.0, 1.0, 1.0) else x / _channels(deviations, data_format)


@cache
def class_index() -> dict[str, tuple[str, str]]:
    """The WordNet number and name of each class."""
    path = get_file("imagenet_class_index.json", _CLASS_INDEX, cache_subdir="models", file_hash=_CLASS_INDEX_MD5)
    with open(path) as file:
        index: dict[str, tuple[str, str]] = json.load(file)
    return index


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """For each row of probabilities the `top` largest: [(WordNet number, name, probability)]."""
    preds = np.asarray(preds)
    if preds.ndim != 2 or preds.shape[1] != CLASSES:
        raise ShapeError(f"decode_predictions takes rows of {CLASSES} probabilities, and the array has the shape {preds.shape}")
    names = class_index()
    return [[(*names[str(i)], row[i]) for i in row.argsort()[-top:][::-1]] for row in preds]
