"""What the files of CIFAR-10 and CIFAR-100 have in common."""

from __future__ import annotations

import numpy as np

from graphflow.graph.op import Array
from graphflow.keras import backend as K
from graphflow.keras.plain_pickle import load_plain

__all__ = ["load_batch"]


def load_batch(fpath: str, label_key: str = "labels") -> tuple[Array, list[int]]:
    """The images (n, 3, 32, 32) and labels of one file."""
    with open(fpath, "rb") as file:
        data = load_plain(file, encoding="bytes")
    images: Array = data[b"data"]
    return images.reshape(len(images), 3, 32, 32), data[label_key.encode()]


def as_asked(images: Array, labels: list[int]) -> tuple[Array, Array]:
    """Images in the process's data format, labels as a column."""
    if K.image_data_format() == "channels_last":
        images = images.transpose(0, 2, 3, 1)
    return images, np.reshape(labels, (len(labels), 1))
