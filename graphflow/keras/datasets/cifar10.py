"""CIFAR-10: 32x32 colour images in ten classes."""

from __future__ import annotations

import os

import numpy as np

from graphflow.graph.op import Array
from graphflow.keras.datasets.cifar import as_asked, load_batch
from graphflow.keras.datasets.files import fetched_folder

__all__ = ["load_data"]


def load_data() -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(x_train, y_train), (x_test, y_test): uint8 images (50000 and 10000, 32, 32, 3), class numbers as columns.

    With channels first (`K.image_data_format()`), images are (n, 3, 32, 32).
    """
    folder = fetched_folder("cifar-10-batches-py")
    batches = [load_batch(os.path.join(folder, f"data_batch_{number}")) for number in range(1, 6)]
    images, labels = as_asked(np.concatenate([x for x, _ in batches]), [label for _, y in batches for label in y])
    return (images, labels.astype(np.uint8)), as_asked(*load_batch(os.path.join(folder, "test_batch")))
