"""Values and gradients of losses, metrics, activations and penalties against NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import GraphError
from graphflow.keras import activations, constraints, generation, losses, metrics, regularizers
from graphflow.keras.losses import binary_crossentropy, categorical_crossentropy, sparse_categorical_crossentropy

P = np.array([[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]], "float32")
Z = np.log(P) + 3
T = np.array([[0, 1, 0], [0.5, 0.25, 0.25]], "float32")
LABELS = np.array([[1], [0]], "float32")


def value(y: Any) -> Any:
    return y.eval() if isinstance(y, gf.Variable) else y


def given(array: Any) -> Any:
    """As state, so that nothing is known when the graph is compiled."""
    return gf.shared(array)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", ((P - T) ** 2).mean(1)),
        ("mae", abs(P - T).mean(1)),
        ("categorical_crossentropy", -(T * np.log(P)).sum(1)),
        ("binary_crossentropy", -(T * np.log(P) + (1 - T) * np.log(1 - P)).mean(1)),
    ],
)
def test_losses_keep_the_batch(name: str, expected: Any) -> None:
    np.testing.assert_allclose(value(losses.get(name)(given(T), given(P))), expected, rtol=1e-5)


def test_class_numbers_may_have_a_last_axis_of_one() -> None:
    expected = -np.log([P[0, 1], P[1, 0]])
    for labels in (LABELS, LABELS[:, 0]):
        np.testing.assert_allclose(value(sparse_categorical_crossentropy(given(labels), given(P))), expected, rtol=1e-5)


def test_probabilities_are_kept_from_zero_and_scaled_to_a_sum_of_one() -> None:
    certain = given(np.array([[0.0, 1.0]], "float32"))
    wrong = given(np.array([[1.0, 0.0]], "float32"))
    limit = -np.log(1e-7)
    for loss in (categorical_crossentropy(wrong, certain), sparse_categorical_crossentropy(given(np.zeros((1, 1), "float32")), certain)):
        np.testing.assert_allclose(value(loss), [limit], rtol=1e-5)
    np.testing.assert_allclose(value(categorical_crossentropy(given(T), given(P * 4))), -(T * np.log(P)).sum(1), rtol=1e-5)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("loss", "activation", "target"),
    [
        (categorical_crossentropy, activations.softmax, np.array([[0.0, 1.0]], "float32")),
        (sparse_categorical_crossentropy, activations.softmax, np.array([[1.0]], "float32")),
        (binary_crossentropy, activations.sigmoid, np.array([[1.0, 0.0]], "float32")),
    ],
)
def test_losses_of_a_softmax_or_sigmoid_are_exact_where_probabilities_are_not(loss: Any, activation: Any, target: Any, wrapped: bool) -> None:
    x = given(np.array([[200.0, -200.0]] if loss is not binary_crossentropy else [[-400.0, 400.0]], "float32"))
    y = gf.identity(activation(x)) if wrapped else activation(x)
    total = gf.mean(loss(given(target), y))
    assert value(total) == 400
    gradient = value(gf.grad(total, x))
    expected = [[-0.5, 0.5]] if loss is binary_crossentropy else [[1, -1]]
    np.testing.assert_allclose(gradient, expected, atol=1e-7)


def test_logits_on_request() -> None:
    for loss, target in ((categorical_crossentropy, T), (sparse_categorical_crossentropy, LABELS)):
        np.testing.assert_allclose(value(loss(given(target), given(Z), from_logits=True)), value(loss(given(target), given(P))), rtol=1e-5)
    np.testing.assert_allclose(value(binary_crossentropy(given(T), given(Z), from_logits=True)), (np.log1p(np.exp(-Z)) + (1 - T) * Z).mean(1), rtol=1e-5)


def test_softmax_over_another_axis_is_no_distribution_of_classes() -> None:
    y = activations.softmax(given(Z), axis=0)
    assert losses.before(type(activations.softmax(given(Z)).owner.op), y) is None  # type: ignore[union-attr]


def test_metrics() -> None:
    np.testing.assert_array_equal(value(metrics.categorical_accuracy(given(T), given(P))), [1, 1])
    np.testing.assert_array_equal(value(metrics.sparse_categorical_accuracy(given(LABELS), given(P))), [1, 1])
    np.testing.assert_array_equal(value(metrics.sparse_categorical_accuracy(given(LABELS + 1), given(P))), [0, 0])
    truth = np.array([[0, 1, 1], [1, 1, 1]], "float32")
    np.testing.assert_allclose(value(metrics.binary_accuracy(given(truth), given(P))), [1 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(value(metrics.binary_accuracy(given(truth), given(P), threshold=0.25)), [1, 1 / 3], rtol=1e-6)


@pytest.mark.parametrize(
    ("identifier", "shape", "loss", "expected"),
    [
        ("accuracy", (None, 1), "mse", ("acc", metrics.binary_accuracy)),
        ("acc", (None, 3), "binary_crossentropy", ("acc", metrics.binary_accuracy)),
        ("accuracy", (None, 3), "sparse_categorical_crossentropy", ("acc", metrics.sparse_categorical_accuracy)),
        ("accuracy", (None, 3), "mse", ("acc", metrics.categorical_accuracy)),
        ("crossentropy", (None, 3), "categorical_crossentropy", ("ce", categorical_crossentropy)),
        ("MSE", (None, 3), "mae", ("mean_squared_error", losses.mean_squared_error)),
    ],
)
def test_what_accuracy_means(identifier: str, shape: Any, loss: str, expected: Any) -> None:
    assert metrics.resolve(identifier, shape, losses.get(loss)) == expected


def test_names_of_losses() -> None:
    assert losses.get("mse") is losses.get("MSE") is losses.get("mean_squared_error") is losses.get("MeanSquaredError") is losses.mse
    assert losses.get(losses.mae) is losses.mae and losses.get(None) is None and losses.serialize(losses.mae) == "mean_absolute_error"
    with pytest.raises(GraphError, match="no metric is called 'accurracy'"):
        metrics.get("accurracy")


X = np.linspace(-4, 4, 10, dtype="float32").reshape(1, 10)
E = np.exp(X.astype(np.float64))
S = E / (E + 1)
NORMAL = (1 + np.vectorize(math.erf)(X / np.sqrt(2))) / 2


def nearest_probabilities(x: Any) -> Any:
    """max(x - t, 0) for the t with which they sum to 1, found by bisection."""
    low, high = x.min() - 1, x.max()
    for _ in range(60):
        t = (low + high) / 2
        low, high = (t, high) if np.maximum(x - t, 0).sum() > 1 else (low, t)
    return np.maximum(x - low, 0)


ARGUMENTS = {"threshold": (1.5, -7.0)}
ACTIVATIONS = {
    "relu": np.maximum(X, 0), "tanh": np.tanh(X), "sigmoid": S, "hard_sigmoid": np.clip(0.2 * X + 0.5, 0, 1), "exponential": E,
    "linear": X, "softplus": np.log(E + 1), "softsign": X / (abs(X) + 1), "elu": np.where(X > 0, X, E - 1), "softmax": E / E.sum(),
    "selu": 1.05070098 * np.where(X > 0, X, 1.67326324 * (E - 1)), "swish": X * S, "silu": X * S, "gelu": X * NORMAL,
    "mish": X * np.tanh(np.log(E + 1)), "celu": np.where(X > 0, X, E - 1), "glu": X[:, :5] * S[:, 5:],
    "hard_silu": X * np.clip(X / 6 + 0.5, 0, 1), "hard_tanh": np.clip(X, -1, 1), "hard_shrink": np.where(abs(X) > 0.5, X, 0),
    "soft_shrink": np.sign(X) * np.maximum(abs(X) - 0.5, 0), "tanh_shrink": X - np.tanh(X), "leaky_relu": np.where(X > 0, X, 0.2 * X),
    "relu6": np.clip(X, 0, 6), "log_sigmoid": np.log(S), "log_softmax": np.log(E / E.sum()),
    "sparse_plus": np.where(X >= 1, X, np.where(X <= -1, 0, (X + 1) ** 2 / 4)), "sparse_sigmoid": np.clip((X + 1) / 2, 0, 1),
    "sparsemax": nearest_probabilities(X), "squareplus": (X + np.sqrt(X**2 + 4)) / 2, "threshold": np.where(X > 1.5, X, -7),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    made = activations.get(name)(given(X), *ARGUMENTS.get(name, ()))
    np.testing.assert_allclose(value(made), ACTIVATIONS[name], rtol=2e-5, atol=1e-6)
    assert activations.serialize(activations.get(name)) == name


def test_every_activation_is_tested() -> None:
    assert set(activations.ACTIVATIONS) == set(ACTIVATIONS)


def test_options_of_relu_and_the_slope_of_keras_3() -> None:
    np.testing.assert_array_equal(value(activations.relu(given(X), max_value=2)), np.clip(X, 0, 2))
    np.testing.assert_allclose(value(activations.relu(given(X), alpha=0.5)), np.where(X > 0, X, X / 2))
    np.testing.assert_allclose(value(activations.relu(given(X), 0.5, 3, 1)), np.where(X >= 3, 3, np.where(X >= 1, X, (X - 1) / 2)))
    with generation.using("3"):
        np.testing.assert_allclose(value(activations.hard_sigmoid(given(X))), np.clip(X / 6 + 0.5, 0, 1), rtol=1e-6)


def test_penalties_and_constraints() -> None:
    w = np.array([[3.0, -1.0], [4.0, 0.0]], "float32")
    assert value(regularizers.l1(0.5)(given(w))) == 4 and value(regularizers.get("l2")(given(w))) == pytest.approx(0.26)
    assert value(regularizers.l1_l2(1, 1)(given(w))) == 34 and value(regularizers.L1L2()(given(w))) == 0
    assert regularizers.serialize(regularizers.l1(0.5)) == {"class_name": "L1L2", "config": {"l1": 0.5, "l2": 0.0}}
    norms = {"max_norm": [2, 1], "unit_norm": [1, 1], "min_max_norm": [1, 1]}
    for name, expected in norms.items():
        np.testing.assert_allclose(np.linalg.norm(value(constraints.get(name)(given(w))), axis=0), expected, rtol=1e-5)
    np.testing.assert_array_equal(value(constraints.get("non_neg")(given(w))), np.maximum(w, 0))
    halfway = constraints.MinMaxNorm(rate=0.5)
    np.testing.assert_allclose(np.linalg.norm(value(halfway(given(w))), axis=0), [3, 1], rtol=1e-5)
    assert constraints.deserialize(constraints.serialize(halfway)).get_config() == halfway.get_config()
