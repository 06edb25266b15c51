"""SKLearnClassifier, SKLearnRegressor, SKLearnTransformer: Keras 3's estimators around a compiled model."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, ShapeError, StateError
from graphflow.graph.op import Array
from graphflow.keras.models import Model
from graphflow.keras.utils.np_utils import to_categorical
from graphflow.keras.wrappers.sklearn_base import (
    BaseEstimator,
    ClassifierMixin,
    NotFittedError,
    RegressorMixin,
    TransformerMixin,
)

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """`model`: a compiled model, which is trained as it is, or a function (X, y, **model_kwargs) -> compiled model.

    `warm_start`: another `fit` trains the model of the one before.  `fit_kwargs`: arguments of `Model.fit`.
    """

    model_: Any
    history_: Any

    def __init__(self, model: Any, warm_start: bool = False, model_kwargs: dict[str, Any] | None = None, fit_kwargs: dict[str, Any] | None = None) -> None:
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs

    def fit(self, X: Any, y: Any, **kwargs: Any) -> Any:
        """Train; `kwargs` are `Model.fit`'s and win over fit_kwargs."""
        X = _features(X)
        y = self._learn_targets(np.asarray(y))
        if not (self.warm_start and hasattr(self, "model_")):
            self.model_ = self._new_model(X, y)
        self.n_features_in_ = X.shape[1]
        self.history_ = self.model_.fit(X, y, **{"verbose": 0, **(self.fit_kwargs or {}), **kwargs})
        return self

    def _new_model(self, X: Array, y: Array) -> Any:
        if isinstance(self.model, Model):
            made = self.model
        elif callable(self.model):
            made = self.model(X, y, **(self.model_kwargs or {}))
        else:
            raise GraphError(f"{self.model!r:.60} is no model", hint="pass a compiled model, or a function (X, y) that returns one")
        if made.optimizer is None:
            raise StateError("the model is not compiled", hint="use model.compile(optimizer, loss)")
        return made

    def _learn_targets(self, y: Array) -> Array:
        return y.reshape(-1, 1) if y.ndim == 1 else y

    def _predict(self, X: Any) -> Array:
        if not hasattr(self, "model_"):
            raise NotFittedError(f"this {type(self).__name__} has not been fitted yet: call fit first")
        X = _features(X)
        if X.shape[1] != self.n_features_in_:
            raise ShapeError(f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} features as input")
        predicted: Array = np.asarray(self.model_.predict(X, verbose=0))
        return predicted

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")


def _features(X: Any) -> Array:
    rows: Array = np.asarray(X)
    if rows.ndim < 2:
        raise ShapeError(f"X has the shape {rows.shape}. Reshape your data: a row for each sample")
    return rows


class SKLearnClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A model as a classifier: labels may be anything; the model is trained on one-hot rows."""

    def _learn_targets(self, y: Array) -> Array:
        self.classes_, numbers = np.unique(y, return_inverse=True)
        return to_categorical(numbers.reshape(-1), len(self.classes_))

    def predict(self, X: Any) -> Array:
        """The most probable class of each sample."""
        classes: Array = self.classes_[np.argmax(self.predict_proba(X), axis=1)]
        return classes

    def predict_proba(self, X: Any) -> Array:
        """What the model predicts: a number for each class."""
        return self._predict(X)


class SKLearnRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A model as a regressor."""

    def predict(self, X: Any) -> Array:
        """The predictions, without an axis of size 1."""
        y = self._predict(X)
        numbers: Array = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        return numbers


class SKLearnTransformer(TransformerMixin, _Estimator):  # type: ignore[misc]
    """A model as a transformer: what it predicts are the new features."""

    def transform(self, X: Any) -> Array:
        """The model's outputs."""
        return self._predict(X)
