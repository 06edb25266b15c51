"""Tables of numbers, drawn into two parts."""

from __future__ import annotations

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array


def split(x: Array, y: Array, test_split: float, seed: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(x_train, y_train), (x_test, y_test): the rows in an order that `seed` says, the last part of them for tests."""
    if not 0 <= test_split < 1:
        raise GraphError(f"test_split is {test_split}", hint="it is a part from 0 to 1")
    order = np.arange(len(x))
    np.random.RandomState(seed).shuffle(order)
    at = int(len(x) * (1 - test_split))
    return (x[order[:at]], y[order[:at]]), (x[order[at:]], y[order[at:]])
