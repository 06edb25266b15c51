"""California housing (1990): prices of houses in 20,640 districts and 8 numbers about each."""

from __future__ import annotations

from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array
from graphflow.keras.datasets.files import fetched
from graphflow.keras.datasets.tables import split
from graphflow.keras.plain_pickle import load_npz

__all__ = ["load_data"]


def load_data(
    version: str = "large", path: str = "california_housing.npz", test_split: float = 0.2, seed: int = 113
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(x_train, y_train), (x_test, y_test): 8 columns, and prices in dollars.  `version`: 'small' has the first 600 rows."""
    if version not in ("large", "small"):
        raise GraphError(f"version={version!r} is not known", hint="use 'large' or 'small'")
    data = load_npz(fetched("california_housing.npz", path))
    rows = slice(600 if version == "small" else None)
    return split(data["x"][rows], data["y"][rows], test_split, seed)
