"""Numbers that were computed from a graph."""

from __future__ import annotations

from typing import Any

import numpy as np


class Value(np.ndarray[Any, Any]):
    """An array that also answers to `numpy()` and `eval()`, so that code for graphs can ask it."""

    def numpy(self) -> Any:
        return np.asarray(self)[()]

    eval = numpy
