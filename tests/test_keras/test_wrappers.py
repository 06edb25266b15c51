"""Models as estimators of scikit-learn."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from graphflow.graph.errors import GraphError, ShapeError, StateError
from graphflow.keras.arguments import ArgumentError
from graphflow.keras.layers import Dense
from graphflow.keras.models import Sequential

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone, is_classifier, is_regressor  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_predict, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from graphflow.keras.wrappers import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer  # noqa: E402
from graphflow.keras.wrappers.scikit_learn import BaseWrapper, KerasClassifier, KerasRegressor  # noqa: E402

X = np.random.RandomState(0).randn(60, 4)
NAMES = np.array(["dog", "ant", "cat"])[np.argmax(X[:, :3], axis=1)]


def classify(hidden: int = 8, optimizer: str = "adam", loss: str = "categorical_crossentropy") -> Sequential:
    model = Sequential([Dense(hidden, activation="relu", input_dim=4), Dense(3, activation="softmax")])
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def one_number(rate: float = 0.1) -> Sequential:
    model = Sequential([Dense(1, input_dim=4)])
    model.compile("sgd", "mse")
    return model


def yes_or_no() -> Sequential:
    model = Sequential([Dense(1, activation="sigmoid", input_dim=4)])
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.smoke
def test_a_classifier_learns_any_labels() -> None:
    for loss in ("categorical_crossentropy", "sparse_categorical_crossentropy"):
        wrapped = KerasClassifier(build_fn=classify, loss=loss, hidden=16, epochs=60, batch_size=10, verbose=0)
        history = wrapped.fit(X, NAMES)
        assert len(history.history["loss"]) == 60 and wrapped.classes_.tolist() == ["ant", "cat", "dog"]
        assert wrapped.score(X, NAMES) == pytest.approx(np.mean(wrapped.predict(X) == NAMES), abs=1e-6) and wrapped.score(X, NAMES) > 0.8
        assert wrapped.predict_proba(X).shape == (60, 3) and is_classifier(wrapped)


def test_one_output_and_one_hot_rows() -> None:
    yes = X[:, 0] > 0
    wrapped = KerasClassifier(yes_or_no, epochs=100, batch_size=5, verbose=0)
    wrapped.fit(X, yes)
    np.testing.assert_allclose(wrapped.predict_proba(X).sum(axis=1), 1, rtol=1e-6)
    assert wrapped.predict(X).dtype == bool and wrapped.score(X, yes) > 0.7
    rows = np.eye(3)[np.argmax(X[:, :3], axis=1)]
    wrapped = KerasClassifier(classify, epochs=2, verbose=0)
    wrapped.fit(X, rows)
    assert wrapped.classes_.tolist() == [0, 1, 2] and 0 <= wrapped.score(X, rows) <= 1


def test_a_regressor_scores_minus_its_loss() -> None:
    wrapped = KerasRegressor(one_number, epochs=30, batch_size=10, verbose=0)
    wrapped.fit(X, X @ [1.0, 2.0, 0.0, -1.0])
    assert wrapped.predict(X).shape == (60,) and -0.05 < wrapped.score(X, X @ [1.0, 2.0, 0.0, -1.0]) <= 0 and is_regressor(wrapped)


def test_searches_set_arguments_of_the_model_and_of_fit() -> None:
    grid = GridSearchCV(KerasClassifier(classify, verbose=0), {"hidden": [2, 4], "epochs": [1, 2]}, cv=2)
    grid.fit(X, NAMES)
    assert set(grid.best_params_) == {"hidden", "epochs"} and len(grid.cv_results_["params"]) == 4
    best = grid.best_estimator_
    assert best.model.layers[0].units == grid.best_params_["hidden"] and grid.predict(X).shape == (60,)
    drawn = RandomizedSearchCV(KerasRegressor(one_number, verbose=0), {"rate": [0.1, 0.2], "batch_size": [5, 10, 20]}, n_iter=2, cv=2, random_state=0)
    drawn.fit(X, X[:, 0])
    assert drawn.best_score_ <= 0
    assert cross_val_score(make_pipeline(StandardScaler(), KerasClassifier(classify, epochs=1, verbose=0)), X, NAMES, cv=3).shape == (3,)
    assert cross_val_predict(KerasClassifier(classify, epochs=1, verbose=0), X, NAMES, cv=2).shape == (60,)


def test_parameters_survive_clone_and_pickle() -> None:
    layers = [3, 4]
    wrapped = KerasClassifier(classify, hidden=5, epochs=1, batch_size=30, verbose=0)
    assert clone(wrapped).get_params() == wrapped.get_params() == {"build_fn": classify, "hidden": 5, "epochs": 1, "batch_size": 30, "verbose": 0}
    assert wrapped.set_params(hidden=6).get_params()["hidden"] == 6
    assert pickle.loads(pickle.dumps(wrapped)).get_params() == wrapped.get_params()
    assert clone(KerasClassifier(lambda sizes: classify(sizes[0]), sizes=layers)).get_params()["sizes"] == layers
    with pytest.raises(ArgumentError, match="widths is not a legal parameter"):
        KerasClassifier(classify, widths=3)
    with pytest.raises(NotFittedError):
        wrapped.predict(X)
    with pytest.raises(GraphError, match="build_fn"):
        KerasClassifier()


def test_the_model_may_be_built_by_an_object_or_a_subclass() -> None:
    class Builder:
        def __call__(self, hidden: int) -> Sequential:
            return classify(hidden)

    class Own(KerasClassifier):
        def __call__(self, hidden: int) -> Sequential:
            return classify(hidden)

    for wrapped in (KerasClassifier(Builder(), hidden=3, verbose=0), Own(hidden=3, verbose=0)):
        wrapped.fit(X, NAMES, epochs=1, sample_weight=np.ones(60))
        assert wrapped.model.layers[0].units == 3 and isinstance(wrapped, BaseWrapper)


def test_a_classifier_without_accuracy_has_no_score() -> None:
    def build() -> Sequential:
        model = classify()
        model.compile("sgd", "categorical_crossentropy")
        return model

    wrapped = KerasClassifier(build, verbose=0)
    wrapped.fit(X, NAMES)
    with pytest.raises(StateError, match="metrics="):
        wrapped.score(X, NAMES)


# --- Keras 3's -----------------------------------------------------------------------------------
def dynamic(X: Any, y: Any, hidden: int = 4, loss: str = "mse") -> Sequential:
    model = Sequential([Dense(hidden, activation="relu", input_dim=X.shape[1]), Dense(y.shape[1], activation="softmax" if loss != "mse" else None)])
    model.compile("adam", loss)
    return model


def test_estimators_of_keras_3() -> None:
    classifier = SKLearnClassifier(dynamic, model_kwargs={"hidden": 16, "loss": "categorical_crossentropy"}, fit_kwargs={"epochs": 60, "batch_size": 10})
    assert classifier.fit(X, NAMES) is classifier and np.mean(classifier.predict(X) == NAMES) > 0.8 and classifier.history_.epoch[-1] == 59
    assert 0 <= cross_val_score(classifier.set_params(fit_kwargs={"epochs": 1}), X, NAMES, cv=2).mean() <= 1
    regressor = clone(SKLearnRegressor(dynamic, fit_kwargs={"epochs": 2}))
    assert regressor.fit(X, X[:, 0]).predict(X).shape == (60,) and regressor.n_features_in_ == 4
    transformer = SKLearnTransformer(dynamic)
    assert transformer.fit_transform(X, X[:, :2]).shape == (60, 2)
    with pytest.raises(ShapeError, match="3 features"):
        regressor.predict(X[:, :3])
    with pytest.raises(NotFittedError):
        SKLearnRegressor(dynamic).predict(X)
    with pytest.raises(StateError, match="compile"):
        SKLearnRegressor(Sequential([Dense(1, input_dim=4)])).fit(X, X[:, 0])


def test_a_warm_start_goes_on_with_the_same_model() -> None:
    model = one_number()
    regressor = SKLearnRegressor(model, warm_start=True)
    regressor.fit(X, X[:, 0])
    first = regressor.model_
    assert regressor.fit(X, X[:, 0]).model_ is first is model
