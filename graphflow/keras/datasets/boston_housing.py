"""Boston housing (1978): prices of 506 towns' houses and 13 numbers about each town.

One of them was made from the share of Black inhabitants: the data set is here for old programs; for new ones take
`california_housing`.
"""

from __future__ import annotations

from graphflow.graph.op import Array
from graphflow.keras.datasets.files import fetched
from graphflow.keras.datasets.tables import split
from graphflow.keras.plain_pickle import load_npz

__all__ = ["load_data"]


def load_data(path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(x_train, y_train), (x_test, y_test): 13 columns, and prices in thousands of dollars."""
    data = load_npz(fetched("boston_housing.npz", path))
    return split(data["x"], data["y"], test_split, seed)
