"""Models as estimators of scikit-learn."""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {
    **dict.fromkeys(("SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"), "graphflow.keras.wrappers.estimators"),
    "scikit_learn": "",
}

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer", "scikit_learn"]


def __getattr__(name: str) -> Any:
    """scikit-learn is imported when one of the names is used."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_PLACES[name] or f"{__name__}.{name}")
    return getattr(module, name) if _PLACES[name] else module
