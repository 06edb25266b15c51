"""What is taken from scikit-learn, with an error that says what to install."""

from __future__ import annotations

from graphflow.graph.errors import MissingExtraError

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
    from sklearn.exceptions import NotFittedError
except ImportError as error:
    raise MissingExtraError("keras.wrappers makes estimators of scikit-learn, which is not installed", hint="pip install scikit-learn") from error

__all__ = ["BaseEstimator", "ClassifierMixin", "NotFittedError", "RegressorMixin", "TransformerMixin"]
