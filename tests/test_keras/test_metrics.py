"""Metrics that keep state: on arrays, in fit and evaluate, of one's own; metrics of Keras 1; names."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import GraphError
from graphflow.keras import backend as K
from graphflow.keras import generation, losses, metrics
from graphflow.keras.layers import Activation, Dense, Layer
from graphflow.keras.models import Sequential

X = np.array([[0.1], [0.6], [0.4], [0.9], [0.7], [0.2]], "float32")
Y = np.array([[0], [0], [1], [1], [1], [0]], "float32")


def identity_model(*measures: Any, weighted: Any = None) -> Sequential:
    """A model that gives its input."""
    model = Sequential([Activation("linear", input_shape=(1,))])
    model.compile("sgd", "mse", metrics=list(measures), weighted_metrics=weighted)
    return model


# --- on arrays -----------------------------------------------------------------------------------
@pytest.mark.smoke
def test_state_grows_with_batches_and_begins_again() -> None:
    mean = metrics.Mean()
    mean.update_state([1, 3])
    mean.update_state(np.array([[5.0, 7.0]]), sample_weight=[2.0])
    assert float(mean.result()) == mean.result().numpy() == mean.result().eval() == (2 * 2 + 2 * 6) / 4
    assert [v.shape for v in mean.variables] == [(), ()] and mean.get_weights() == [16, 4]
    mean.reset_states()
    assert mean.result() == 0
    assert mean(4.0) == 4
    other = metrics.Mean()
    other.update_state(8.0)
    mean.merge_state([other])
    assert mean.result() == 6


def test_sums_and_means_of_arrays() -> None:
    total = metrics.Sum(name="t")
    total.update_state([[1, 2], [3, 4]], sample_weight=[1, 0.5])
    assert total.result() == 3 + 3.5 and total.name == "t"
    tensor = metrics.MeanTensor()
    tensor.update_state([1.0, 2.0])
    tensor.update_state([3.0, 6.0], sample_weight=[1.0, 0.0])
    np.testing.assert_array_equal(tensor.result(), [2, 2])
    relative = metrics.MeanRelativeError(normalizer=[1.0, 2.0, 0.0])
    relative.update_state([1.0, 3.0, 2.0], [2.0, 2.0, 5.0])
    assert float(relative.result()) == pytest.approx((1 + 0.5 + 0) / 3)


def test_names_and_configurations() -> None:
    assert [metrics.Precision().name, metrics.Precision().name, metrics.AUC().name] == ["precision_1", "precision_2", "auc_1"]
    with generation.using("2.4"):
        K.clear_session()
        assert [metrics.Precision().name, metrics.Precision().name] == ["precision", "precision_1"]
    assert metrics.MeanSquaredError().name == "mean_squared_error" and metrics.KLDivergence().name == "kullback_leibler_divergence"
    made = metrics.get({"class_name": "Precision", "config": {"top_k": 2, "class_id": 1, "name": "p"}})
    assert (made.top_k, made.class_id, made.name) == (2, 1, "p")
    assert metrics.get("precision") is metrics.precision and isinstance(metrics.get("Precision"), metrics.Precision)
    assert isinstance(metrics.get("true_positives"), metrics.TruePositives) and metrics.get("MSE") is metrics.mse
    with pytest.raises(GraphError, match="ROC and PR"):
        metrics.AUC(curve="roc")


def test_intersection_over_union_of_class_numbers() -> None:
    t, p = [0, 1, 2, 2, 255], [0, 2, 2, 2, 1]
    mean = metrics.MeanIoU(num_classes=3, ignore_class=255)
    mean.update_state(t, p)
    assert float(mean.result()) == pytest.approx((1 + 0 + 2 / 3) / 3)
    some = metrics.IoU(3, [0, 2], ignore_class=255)
    some.update_state(t, p, sample_weight=[1, 1, 1, 0, 1])
    assert float(some.result()) == pytest.approx((1 + 1 / 2) / 2)


def test_copies_have_state_of_their_own() -> None:
    made = metrics.MeanAbsoluteError(name="m")
    made.update_state([1.0], [3.0])
    for another in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), *metrics.clone_metrics([made])):
        assert another.result() == 0 and made.result() == 2 and another.name == "m"
    loss = pickle.loads(pickle.dumps(losses.Huber(2.0)))
    assert loss.delta == 2 and loss.fn is losses.huber


# --- in training and evaluation ------------------------------------------------------------------
@pytest.mark.parametrize("batch_size", [1, 4, 6])
def test_the_value_after_the_last_batch_counts(batch_size: int) -> None:
    model = identity_model("mae", metrics.AUC(name="area"), metrics.Precision(name="p"))
    expected = metrics.AUC()
    expected.update_state(Y, X)
    for _ in range(2):
        loss, mae, area, p = model.evaluate(X, Y, batch_size=batch_size, verbose=0)
        assert area == pytest.approx(float(expected.result())) and p == pytest.approx(2 / 3)
        assert mae == pytest.approx(abs(X - Y).mean()) and loss == pytest.approx(((X - Y) ** 2).mean())
    assert model.metrics_names == ["loss", "mean_absolute_error", "area", "p"]


def test_every_epoch_begins_again_and_validation_too() -> None:
    model = Sequential([Dense(1, input_dim=1, activation="sigmoid")])
    model.compile("sgd", "mse", metrics=[metrics.TruePositives(name="tp", thresholds=0.0)])
    history = model.fit(X, Y, batch_size=4, epochs=3, validation_data=(X[:3], Y[:3]), verbose=0).history
    assert history["tp"] == [3, 3, 3] and history["val_tp"] == [1, 1, 1]


def test_batches_add_up_unless_they_begin_again() -> None:
    model = identity_model(metrics.TruePositives(name="tp"))
    assert [model.test_on_batch(X, Y)[1], model.test_on_batch(X, Y)[1], model.test_on_batch(X, Y, reset_metrics=False)[1]] == [2, 2, 4]


def test_weights_reach_metrics_that_are_weighted() -> None:
    weights = np.array([1, 0, 1, 2, 0, 1.0])
    model = identity_model(metrics.TruePositives(name="tp"), weighted=[metrics.TruePositives(name="weighted_tp"), "mae"])
    _, tp, weighted_tp, mae = model.evaluate(X, Y, sample_weight=weights, verbose=0)
    assert (tp, weighted_tp) == (2, 2)
    assert mae == pytest.approx((abs(X - Y)[:, 0] * weights).sum() / 4)  # by the samples that have a weight
    with generation.using("2.3"):
        again = identity_model(weighted=["mae"])
        assert again.evaluate(X, Y, sample_weight=weights, batch_size=2, verbose=0)[1] == pytest.approx((abs(X - Y)[:, 0] * weights).sum() / weights.sum())


def test_a_result_that_is_no_scalar_is_refused() -> None:
    with pytest.raises(GraphError, match="macro"):
        identity_model(metrics.F1Score())


# --- of one's own --------------------------------------------------------------------------------
class Positives(metrics.Metric):
    """As tf.keras's own guide writes a metric."""

    def __init__(self, name: str = "positives", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.count = self.add_weight(name="count", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        values = gf.cast(gf.greater(y_pred, 0.5), "float32")
        if sample_weight is not None:
            values = values * gf.expand_dims(sample_weight, -1)
        self.count.assign_add(gf.sum(values))

    def result(self) -> Any:
        return self.count


class Returning(Positives):
    """Gives the updates back, and begins again in its own way."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return [K.update_add(self.count, gf.sum(gf.cast(gf.greater(y_pred, 0.5), "float32")))]

    def reset_states(self) -> None:
        self.count.assign(0.0)


class Composed(metrics.Metric):
    """Made of other metrics."""

    def __init__(self) -> None:
        super().__init__(name="composed")
        self.precision, self.recall = metrics.Precision(), metrics.Recall()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.precision.update_state(y_true, y_pred, sample_weight)
        self.recall.update_state(y_true, y_pred, sample_weight)

    def result(self) -> Any:
        return self.precision.result() * self.recall.result()


@pytest.mark.parametrize(("make", "expected"), [(Positives, 3), (Returning, 3), (Composed, 4 / 9)])
def test_own_metrics(make: Any, expected: float) -> None:
    metric = make()
    model = identity_model(metric)
    for batch_size in (1, 4):
        assert model.evaluate(X, Y, batch_size=batch_size, verbose=0)[1] == pytest.approx(expected)
    metric.reset_states()
    metric.update_state(Y, X)
    assert float(metric.result()) == pytest.approx(expected)


class OfKeras22(Layer):
    """A layer that keeps state, as Keras 2.2 wrote metrics of this kind."""

    def __init__(self, name: str = "true_positives", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.stateful = True
        self.true_positives = K.variable(value=0, dtype="int32")

    def reset_states(self) -> None:
        K.set_value(self.true_positives, 0)

    def __call__(self, y_true: Any, y_pred: Any) -> Any:
        y_true, y_pred = gf.cast(y_true, "int32"), gf.cast(gf.round(y_pred), "int32")
        found = gf.cast(gf.sum(gf.cast(gf.equal(y_pred, y_true), "int32") * y_true), "int32")
        current = self.true_positives * 1
        self.add_update(K.update_add(self.true_positives, found), inputs=[y_true, y_pred])
        return current + found


def test_layers_of_keras_2_2_that_keep_state() -> None:
    model = identity_model(OfKeras22())
    for batch_size in (1, 4):
        assert model.evaluate(X, Y, batch_size=batch_size, verbose=0)[1] == 2


def test_plain_functions() -> None:
    def largest(y_true: Any, y_pred: Any) -> Any:
        return gf.max(y_pred)

    assert identity_model(largest).evaluate(X, Y, verbose=0)[1] == pytest.approx(0.9)


# --- of Keras 1 ----------------------------------------------------------------------------------
def test_metrics_of_keras_1() -> None:
    t, p = np.array([1, 1, 1, 0, 0, 0, 0, 1.0]), np.array([0.9, 0.8, 0.2, 0.7, 0.1, 0.3, 0.4, 0.6])
    tp, fp, fn, tn = 3, 1, 1, 3
    expected = {
        "precision": tp / (tp + fp), "recall": tp / (tp + fn), "fmeasure": 0.75, "fbeta_score": 0.75, "f1score": 0.75,
        "matthews_correlation": (tp * tn - fp * fn) / 16,
    }  # fmt: skip
    for name, value in expected.items():
        assert metrics.get(name)(t, p).eval() == pytest.approx(value, abs=1e-5), name


def test_what_generations_changed() -> None:
    a, b = gf.shared(np.array([[3.0, 4.0]], "float32")), gf.shared(np.array([[4.0, 3.0]], "float32"))
    found = {}
    for name in ("1", "2.2", "2.3"):
        with generation.using(name):
            found[name] = float(metrics.get("cosine")(a, b).eval()[0])
    assert found == {"1": pytest.approx(-0.48), "2.2": pytest.approx(-0.96), "2.3": pytest.approx(0.96)}
    truth, half = gf.shared(np.array([[1.0, 0.0]], "float32")), gf.shared(np.array([[0.5, 1.6]], "float32"))
    assert metrics.binary_accuracy(truth, half).eval() == 0
    with generation.using("2.4"):
        assert metrics.hinge(gf.shared(np.zeros((1, 2), "float32")), half).eval() == pytest.approx([2.05])
