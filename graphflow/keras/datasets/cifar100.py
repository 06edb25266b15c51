"""CIFAR-100: 32x32 colour images in a hundred classes, or twenty groups of them."""

from __future__ import annotations

import os

from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array
from graphflow.keras.datasets.cifar import as_asked, load_batch
from graphflow.keras.datasets.files import fetched_folder

__all__ = ["load_data"]


def load_data(label_mode: str = "fine") -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(x_train, y_train), (x_test, y_test): uint8 images (50000 and 10000, 32, 32, 3), class numbers as columns.

    `label_mode`: 'fine' for the hundred classes, 'coarse' for the twenty groups.  With channels first
    (`K.image_data_format()`), images are (n, 3, 32, 32).
    """
    if label_mode not in ("fine", "coarse"):
        raise GraphError(f"label_mode={label_mode!r} is not known", hint="use 'fine' or 'coarse'")
    folder = fetched_folder("cifar-100-python")
    train, test = (as_asked(*load_batch(os.path.join(folder, name), f"{label_mode}_labels")) for name in ("train", "test"))
    return train, test
