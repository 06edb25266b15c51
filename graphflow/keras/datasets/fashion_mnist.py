"""Fashion-MNIST: 28x28 pictures of clothes in ten classes."""

from __future__ import annotations

import gzip
import os

import numpy as np

from graphflow.graph.op import Array
from graphflow.keras.datasets.files import fetched

__all__ = ["load_data"]


def load_data() -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(x_train, y_train), (x_test, y_test): uint8 images (60000 and 10000, 28, 28) and class numbers."""
    return _part("train"), _part("t10k")


def _part(name: str) -> tuple[Array, Array]:
    labels = _numbers(f"{name}-labels-idx1-ubyte.gz", 8)
    return _numbers(f"{name}-images-idx3-ubyte.gz", 16).reshape(len(labels), 28, 28), labels


def _numbers(name: str, header: int) -> Array:
    """The bytes behind the header of a file in MNIST's IDX format."""
    with gzip.open(fetched(name, folder=os.path.join("datasets", "fashion-mnist")), "rb") as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)
