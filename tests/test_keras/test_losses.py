"""Losses as objects, in `compile`, of one's own, with weights and masks; stability; names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import GraphError, ShapeError
from graphflow.keras import activations, generation, losses
from graphflow.keras.engine.masks import give_masks
from graphflow.keras.layers import Activation, Dense, Layer
from graphflow.keras.models import Sequential

random = np.random.RandomState(3)
X, Y = random.rand(6, 3).astype("float32"), random.rand(6, 3).astype("float32")
WEIGHTS = np.array([1, 0, 2, 1, 0.5, 1], "float32")


def evaluated(loss: Any, x: Any = X, y: Any = Y, weights: Any = None, layer: Any = None) -> float:
    """What `evaluate` of a model that gives its input (or what a layer makes of it) reports."""
    model = Sequential([layer or Activation("linear", input_shape=x.shape[1:])])
    model.compile("sgd", loss)
    value: float = model.evaluate(x, y, sample_weight=weights, verbose=0)
    return value


@pytest.mark.smoke
def test_objects_reduce_in_their_own_way() -> None:
    errors = ((X - Y) ** 2).mean(1)
    assert evaluated(losses.MeanSquaredError()) == pytest.approx(errors.mean(), rel=1e-5)
    assert evaluated(losses.MeanSquaredError(reduction="sum")) == pytest.approx(errors.sum(), rel=1e-5)
    assert evaluated(losses.MeanSquaredError(reduction="none")) == pytest.approx(errors.mean(), rel=1e-5)
    assert evaluated(losses.MeanSquaredError(), weights=WEIGHTS) == pytest.approx((errors * WEIGHTS).mean(), rel=1e-5)
    assert evaluated(losses.MeanSquaredError("mean_with_sample_weight"), weights=WEIGHTS) == pytest.approx((errors * WEIGHTS).sum() / WEIGHTS.sum(), rel=1e-5)
    assert evaluated("mse", weights=WEIGHTS) == pytest.approx((errors * WEIGHTS).sum() / 5, rel=1e-5)  # Keras 2.2: by the samples with a weight
    with generation.using("2.3"):
        assert evaluated("mse", weights=WEIGHTS) == pytest.approx((errors * WEIGHTS).mean(), rel=1e-5)
    with pytest.raises(GraphError, match="no reduction is called 'average'"):
        losses.MeanSquaredError(reduction="average")


def test_options_train() -> None:
    model = Sequential([Dense(3, input_dim=3)])
    model.compile("sgd", losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1))
    targets = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    before = model.evaluate(X, targets, verbose=0)
    model.fit(X, targets, epochs=20, verbose=0)
    assert model.evaluate(X, targets, verbose=0) < before


def test_sparse_targets_for_objects() -> None:
    labels = np.array([0, 1, 2, 0, 1, 2])
    p = X / X.sum(1, keepdims=True)
    expected = -np.log(p[np.arange(6), labels])
    for y in (labels, labels[:, None]):
        assert evaluated(losses.SparseCategoricalCrossentropy(), p, y) == pytest.approx(expected.mean(), rel=1e-5)
    ignoring = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    assert evaluated(ignoring, p, np.where(labels == 2, -1, labels)) == pytest.approx(expected[labels != 2].mean(), rel=1e-5)


class Halved(losses.Loss):
    def __init__(self, factor: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return gf.mean(gf.square(y_true - y_pred), axis=-1) * self.factor

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


def test_own_losses() -> None:
    errors = ((X - Y) ** 2).mean(1)
    assert evaluated(Halved()) == pytest.approx(errors.mean() / 2, rel=1e-5)
    again = losses.deserialize(losses.serialize(Halved(0.25, name="h")), custom_objects={"Halved": Halved})
    assert (again.factor, again.name, again.reduction) == (0.25, "h", "sum_over_batch_size") and isinstance(again, Halved)
    assert evaluated(lambda t, p: gf.max(gf.abs(t - p), axis=-1)) == pytest.approx(abs(X - Y).max(1).mean(), rel=1e-5)
    assert evaluated(lambda t, p: gf.sum(gf.square(t - p))) == pytest.approx(((X - Y) ** 2).sum(), rel=1e-5)


class Steps(Layer):
    """Masks the steps of a sequence whose first number is 0."""

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        result = super().__call__(inputs, **kwargs)
        give_masks([result], gf.not_equal(inputs[:, :, 0], 0))
        return result

    def call(self, inputs: Any) -> Any:
        return inputs * 1


def test_masked_steps_do_not_count() -> None:
    x, y = random.rand(4, 5, 2).astype("float32") + 0.1, random.rand(4, 5, 2).astype("float32")
    x[:2, 3:, 0] = 0
    kept = (x[:, :, 0] != 0).astype("float32")
    errors = ((x - y) ** 2).mean(2) * kept
    for loss in ("mse", losses.MeanSquaredError()):
        assert evaluated(loss, x, y, layer=Steps(input_shape=(5, 2))) == pytest.approx(errors.sum() / kept.sum(), rel=1e-5)
        with generation.using("2.3"):
            assert evaluated(loss, x, y, layer=Steps(input_shape=(5, 2))) == pytest.approx(errors.mean(), rel=1e-5)


def test_weights_and_targets_that_do_not_fit() -> None:
    column = losses.MeanSquaredError()(np.ones((3, 1)), np.zeros(3))
    assert column.eval() == 1
    with pytest.raises(ShapeError, match="one for each sample"):
        losses.MeanSquaredError()(Y, X, sample_weight=np.ones((6, 3, 2)))


def test_focal_losses_of_a_sigmoid_are_exact_where_probabilities_are_not() -> None:
    x = gf.shared(np.array([[-400.0, 2.0]], "float32"))
    value = losses.binary_focal_crossentropy(gf.shared(np.ones((1, 2), "float32")), activations.sigmoid(x))
    p = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(value.eval(), [(400 - np.log(p) * (1 - p) ** 2) / 2], rtol=1e-5)
    assert np.isfinite(gf.grad(gf.sum(value), x).eval()).all()


def test_overflow_of_logcosh() -> None:
    np.testing.assert_allclose(losses.logcosh(np.zeros((1, 2)), np.array([[1000.0, -1000.0]])).eval(), [1000 - np.log(2)], rtol=1e-5)


def test_a_softmax_along_another_axis() -> None:
    z = random.normal(size=(2, 3, 4)).astype("float32")
    t = np.eye(3, dtype="float32")[random.randint(0, 3, (2, 4))].transpose(0, 2, 1)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    expected = -(t * np.log(p)).sum(1)
    for prediction, options in ((gf.shared(z), {"from_logits": True}), (gf.shared(p), {}), (activations.softmax(gf.shared(z), axis=1), {})):
        np.testing.assert_allclose(losses.categorical_crossentropy(gf.shared(t), prediction, axis=1, **options).eval(), expected, rtol=1e-4)


def test_names() -> None:
    for name in ["mape", "MAPE", "msle", "KLD", "kullback_leibler_divergence", "cosine", "cosine_proximity", "cosine_similarity", "logcosh", "log_cosh", "huber", "huber_loss", "hinge", "poisson"]:
        assert callable(losses.get(name)) and losses.get(name) is getattr(losses, name), name
    made = losses.get({"class_name": "Huber", "config": {"delta": 2.0, "name": "h"}})
    assert (made.delta, made.name) == (2.0, "h") and losses.get(losses.Huber).delta == 1.0
    assert losses.Huber(2.0).get_config() == {"reduction": "sum_over_batch_size", "name": "huber_loss", "delta": 2.0}
    assert losses.is_categorical_crossentropy(losses.CategoricalCrossentropy()) and not losses.is_categorical_crossentropy("mse")
    with generation.using("1"):
        assert losses.get("cosine")(np.ones((1, 2)), np.ones((1, 2))).eval() == pytest.approx([-0.5])
