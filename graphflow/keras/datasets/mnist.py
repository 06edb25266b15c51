"""MNIST: 28x28 handwritten digits."""

from __future__ import annotations

from graphflow.graph.op import Array
from graphflow.keras.datasets.files import fetched
from graphflow.keras.plain_pickle import load_npz

__all__ = ["load_data"]


def load_data(path: str = "mnist.npz") -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(x_train, y_train), (x_test, y_test): uint8 images (60000 and 10000, 28, 28) and digits."""
    data = load_npz(fetched("mnist.npz", path))
    return (data["x_train"], data["y_train"]), (data["x_test"], data["y_test"])
