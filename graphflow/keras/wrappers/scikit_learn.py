"""KerasClassifier and KerasRegressor: a function that builds a model, as an estimator of scikit-learn.

    def build(hidden=32):
        model = Sequential([Dense(hidden, "relu", input_dim=4), Dense(3, "softmax")])
        model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        return model

    GridSearchCV(KerasClassifier(build, epochs=10, verbose=0), {"hidden": [16, 64], "epochs": [10, 20]}).fit(x, y)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, StateError
from graphflow.graph.op import Array
from graphflow.keras.arguments import ArgumentError
from graphflow.keras.callbacks import History
from graphflow.keras.models import Model
from graphflow.keras.structure import as_list
from graphflow.keras.utils.generic_utils import has_arg
from graphflow.keras.utils.np_utils import to_categorical
from graphflow.keras.wrappers.sklearn_base import BaseEstimator, ClassifierMixin, NotFittedError, RegressorMixin

__all__ = ["BaseWrapper", "KerasClassifier", "KerasRegressor"]


class BaseWrapper(BaseEstimator):  # type: ignore[misc]
    """A model that `build_fn` makes when `fit` is called.

    `build_fn`: a function that returns a compiled model, or an object with `__call__`; None if a subclass has `__call__`.
    `sk_params`: arguments of build_fn, fit, predict, predict_proba and evaluate.  They are the estimator's parameters,
    as searches see and set them.  Raises ArgumentError for one that none of these has.
    """

    model: Any
    history: Any

    def __init__(self, build_fn: Any = None, **sk_params: Any) -> None:
        self.build_fn = build_fn
        self.sk_params = sk_params
        self.check_params(sk_params)

    # --- parameters --------------------------------------------------------------------------------
    def _build(self) -> Callable[..., Any]:
        """The function that makes the model."""
        build: Any = self if self.build_fn is None else self.build_fn
        if not callable(build):
            raise GraphError(f"{type(self).__name__} has no build_fn", hint="pass a function that returns a compiled model")
        return build if inspect.isfunction(build) or inspect.ismethod(build) else build.__call__

    def check_params(self, params: dict[str, Any]) -> None:
        """Raises ArgumentError for a parameter that neither the model's methods nor build_fn take."""
        methods: list[Any] = [Model.fit, Model.predict, Model.evaluate, self._build()]
        unknown = [p for p in params if p != "nb_epoch" and not any(has_arg(method, p) for method in methods)]
        if unknown and not any(has_arg(self._build(), p, accept_all=True) for p in unknown):
            raise ArgumentError(f"{type(self).__name__}: {unknown[0]} is not a legal parameter", hint="it is no argument of build_fn, fit, predict or evaluate")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """All parameters, build_fn included."""
        return {**self.sk_params, "build_fn": self.build_fn}

    def set_params(self, **params: Any) -> Any:
        """Set parameters.  Raises ArgumentError for unknown ones."""
        if "build_fn" in params:
            self.build_fn = params.pop("build_fn")
        self.check_params(params)
        self.sk_params.update(params)
        return self

    def filter_sk_params(self, fn: Callable[..., Any], override: dict[str, Any] | None = None) -> dict[str, Any]:
        """The parameters that a function takes, with those of `override`."""
        return {**{name: value for name, value in self.sk_params.items() if has_arg(fn, name)}, **(override or {})}

    # --- fitting -----------------------------------------------------------------------------------
    def fit(self, x: Any, y: Any, **kwargs: Any) -> History:
        """Build a new model and train it; the History.  `kwargs` are `Model.fit`'s and win over parameters."""
        build = self._build()
        takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in inspect.signature(build).parameters.values())
        own = [Model.fit, Model.predict, Model.evaluate]
        others = {name: v for name, v in self.sk_params.items() if takes_all and not any(has_arg(method, name) for method in own)}
        self.model = build(**{**others, **self.filter_sk_params(build)})
        if _takes_one_hot(self.model) and np.ndim(y) != 2:
            y = to_categorical(y)
        arguments = self.filter_sk_params(Model.fit)
        if "nb_epoch" in self.sk_params:
            arguments["nb_epoch"] = self.sk_params["nb_epoch"]
        history: History = self.model.fit(x, y, **{**arguments, **kwargs})
        self.history = history
        return history

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model")

    def _fitted(self) -> Any:
        if not hasattr(self, "model"):
            raise NotFittedError(f"this {type(self).__name__} has not been fitted yet: call fit first")
        return self.model


def _takes_one_hot(model: Any) -> bool:
    name = getattr(model.loss, "__name__", model.loss)
    return name == "categorical_crossentropy" or type(name).__name__ == "CategoricalCrossentropy"


class KerasClassifier(ClassifierMixin, BaseWrapper):  # type: ignore[misc]
    """A classifier: labels may be anything, one-hot rows included."""

    classes_: Array

    def fit(self, x: Any, y: Any, sample_weight: Any = None, **kwargs: Any) -> History:
        """Build a new model and train it on labels (n,), or one-hot rows (n, classes); the History."""
        y = np.asarray(y)
        if y.ndim == 2 and y.shape[1] > 1:
            self.classes_ = np.arange(y.shape[1])
        elif y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1):
            self.classes_ = np.unique(y)
            y = np.searchsorted(self.classes_, y)
        else:
            raise GraphError(f"the labels have the shape {y.shape}", hint="pass class labels (n,), or one-hot rows (n, classes)")
        self.n_classes_ = len(self.classes_)
        if sample_weight is not None:
            kwargs["sample_weight"] = sample_weight
        return super().fit(x, y, **kwargs)

    def predict(self, x: Any, **kwargs: Any) -> Array:
        """The most probable class of each sample."""
        numbers = self._class_numbers(self._probabilities(x, kwargs))
        return self.classes_[numbers]

    def predict_proba(self, x: Any, **kwargs: Any) -> Array:
        """The probability of each class (n, classes); for a single output p, (1 - p, p)."""
        p = self._probabilities(x, kwargs)
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p

    def _probabilities(self, x: Any, given: dict[str, Any]) -> Array:
        model = self._fitted()
        p: Array = np.asarray(model.predict(x, **self.filter_sk_params(Model.predict, given)))
        return p.reshape(len(p), -1)

    @staticmethod
    def _class_numbers(p: Array) -> Array:
        return np.argmax(p, axis=1) if p.shape[1] > 1 else (p[:, 0] > 0.5).astype(np.int64)

    def score(self, x: Any, y: Any, sample_weight: Any = None, **kwargs: Any) -> float:
        """The share of right classes, as the model's own metric 'accuracy' counts it where it has one."""
        model = self._fitted()
        y = np.searchsorted(self.classes_, y) if np.ndim(y) == 1 else np.asarray(y)
        if _takes_one_hot(model) and y.ndim != 2:
            y = to_categorical(y, self.n_classes_)
        given = {**kwargs, **({} if sample_weight is None else {"sample_weight": sample_weight})}
        values = as_list(model.evaluate(x, y, **self.filter_sk_params(Model.evaluate, given)))
        for name, value in zip(model.metrics_names, values, strict=True):
            if name in ("acc", "accuracy"):
                return float(value)
        raise StateError("the model has no metric 'accuracy' to score with", hint="compile it with metrics=['accuracy']")


class KerasRegressor(RegressorMixin, BaseWrapper):  # type: ignore[misc]
    """A regressor.  `score` is minus the model's loss: larger is better."""

    def predict(self, x: Any, **kwargs: Any) -> Array:
        """The predictions, without axes of size 1."""
        model = self._fitted()
        y: Array = np.asarray(model.predict(x, **self.filter_sk_params(Model.predict, kwargs)))
        return y.reshape(len(y)) if y.size == len(y) else np.squeeze(y)

    def score(self, x: Any, y: Any, sample_weight: Any = None, **kwargs: Any) -> float:
        """Minus the loss."""
        given = {**kwargs, **({} if sample_weight is None else {"sample_weight": sample_weight})}
        loss = self._fitted().evaluate(x, y, **self.filter_sk_params(Model.evaluate, given))
        return -float(as_list(loss)[0])
