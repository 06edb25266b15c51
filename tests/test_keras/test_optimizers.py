"""Steps of optimizers against NumPy; rates as state; clipping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphflow.graph.errors import GraphError, ShapeError, StateError
from graphflow.keras import backend as K
from graphflow.keras import generation, optimizers
from graphflow.keras.arguments import ArgumentError
from graphflow.keras.layers import Dense
from graphflow.keras.models import Sequential
from graphflow.keras.optimizers import SGD, Adam

Arrays = list[np.ndarray[Any, Any]]


def gradients(params: Arrays, x: Any, y: Any) -> Arrays:
    """Of the mean squared error of x @ w + b."""
    w, b = params
    error = 2 * (x @ w + b - y) / y.size
    return [x.T @ error, error.sum(0)]


def clipped(grads: Arrays, clipnorm: float | None = None, clipvalue: float | None = None, each: bool = False) -> Arrays:
    if clipnorm:
        whole = np.sqrt(sum((g**2).sum() for g in grads))
        norms = [np.sqrt((g**2).sum()) if each else whole for g in grads]
        grads = [g * clipnorm / n if n >= clipnorm else g for g, n in zip(grads, norms, strict=True)]
    if clipvalue:
        grads = [np.clip(g, -clipvalue, clipvalue) for g in grads]
    return grads


def sgd(params: Arrays, x: Any, y: Any, lr: float = 0.01, momentum: float = 0.0, decay: float = 0.0, nesterov: bool = False, **clip: Any) -> Arrays:
    moments = [np.zeros_like(p) for p in params]
    for step in range(3):
        rate = lr / (1 + decay * step)
        for i, g in enumerate(clipped(gradients(params, x, y), **clip)):
            moments[i] = momentum * moments[i] - rate * g
        grads = clipped(gradients(params, x, y), **clip)
        params = [p + momentum * v - rate * g if nesterov else p + v for p, v, g in zip(params, moments, grads, strict=True)]
    return params


def adam(
    params: Arrays, x: Any, y: Any, lr: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
    decay: float = 0.0, amsgrad: bool = False, **clip: Any,
) -> Arrays:  # fmt: skip
    m, v, largest = ([np.zeros_like(p) for p in params] for _ in range(3))
    for step in range(3):
        rate = lr / (1 + decay * step) * np.sqrt(1 - beta_2 ** (step + 1)) / (1 - beta_1 ** (step + 1))
        for i, g in enumerate(clipped(gradients(params, x, y), **clip)):
            m[i] = beta_1 * m[i] + (1 - beta_1) * g
            v[i] = beta_2 * v[i] + (1 - beta_2) * g**2
            largest[i] = np.maximum(largest[i], v[i]) if amsgrad else v[i]
        params = [p - rate * a / (np.sqrt(b) + epsilon) for p, a, b in zip(params, m, largest, strict=True)]
    return params


CASES: list[tuple[Any, Callable[..., Arrays], dict[str, Any]]] = [
    (SGD, sgd, {"lr": 0.3}),
    (SGD, sgd, {"lr": 0.3, "momentum": 0.9}),
    (SGD, sgd, {"lr": 0.3, "momentum": 0.9, "nesterov": True, "decay": 0.5}),
    (SGD, sgd, {"lr": 0.3, "clipnorm": 0.5}),
    (SGD, sgd, {"lr": 0.3, "momentum": 0.5, "clipvalue": 0.05}),
    (SGD, sgd, {"lr": 0.3, "clipnorm": 100.0, "clipvalue": 0.2}),
    (Adam, adam, {"lr": 0.1}),
    (Adam, adam, {"lr": 0.1, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2, "decay": 0.5}),
    (Adam, adam, {"lr": 0.1, "amsgrad": True, "beta_2": 0.5}),
    (Adam, adam, {"lr": 0.1, "clipnorm": 0.01, "epsilon": 1e-1}),
]


@pytest.mark.parametrize(("make", "reference", "options"), CASES, ids=[f"{c[0].__name__}-{'-'.join(c[2])}" for c in CASES])
def test_three_steps_equal_numpy(make: Any, reference: Callable[..., Arrays], options: dict[str, Any]) -> None:
    check(make, reference, options)


def check(make: Any, reference: Callable[..., Arrays], options: dict[str, Any], **more: Any) -> None:
    x, y = np.random.rand(6, 4), np.random.rand(6, 3)
    model = Sequential([Dense(3, input_dim=4)])
    model.compile(make(**options), "mse")
    expected = reference([w.astype(np.float64) for w in model.get_weights()], x, y, **options, **more)
    for step in range(3):
        model.train_on_batch(x, y)
        assert K.get_value(model.optimizer.iterations) == step + 1
    for w, e in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(w, e, atol=1e-5)


def test_from_tf_keras_on_each_gradient_is_clipped_alone() -> None:
    with generation.using("2.4"):
        check(SGD, sgd, {"lr": 0.3, "clipnorm": 0.1}, each=True)


def test_the_rate_is_state() -> None:
    model = Sequential([Dense(1, input_dim=1, kernel_initializer="ones", use_bias=False)])
    model.compile(SGD(lr=0.5), "mse")
    rates = model.optimizer
    assert float(K.get_value(rates.lr)) == 0.5
    K.set_value(rates.lr, 0.0)
    model.train_on_batch([[1.0]], [[0.0]])
    assert model.get_weights()[0] == 1
    rates.learning_rate = 0.25
    model.train_on_batch([[1.0]], [[0.0]])
    assert model.get_weights()[0] == 0.5 and K.get_value(rates.lr) == 0.25


def test_momentum_zero_is_no_state() -> None:
    with pytest.raises(StateError, match=r"0\.0 is not a variable"):
        K.set_value(SGD().momentum, 0.9)


def test_counters_and_moments_are_saved_and_restored() -> None:
    x, y = np.random.rand(6, 4), np.random.rand(6, 3)
    model = Sequential([Dense(3, input_dim=4)])
    model.compile(Adam(0.1, amsgrad=True), "mse")
    model.train_on_batch(x, y)
    weights, state = model.get_weights(), model.optimizer.get_weights()
    assert [s.shape for s in state] == [(), (4, 3), (3,), (4, 3), (3,), (4, 3), (3,)]
    after = (model.train_on_batch(x, y), model.get_weights())[1]
    model.set_weights(weights)
    model.optimizer.set_weights(state)
    model.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), after, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ShapeError, match="7 weights"):
        model.optimizer.set_weights(state[:2])


def test_compiling_again_begins_with_new_moments_and_goes_on_counting() -> None:
    model = Sequential([Dense(3, input_dim=4)])
    optimizer = Adam()
    for _ in range(2):
        model.compile(optimizer, "mse")
        model.train_on_batch(np.ones((2, 4)), np.ones((2, 3)))
    assert len(optimizer.get_weights()) == 5 and K.get_value(optimizer.iterations) == 2


def test_names_configurations_and_generations() -> None:
    for name in ("adam", "Adam", "ADAM"):
        assert isinstance(optimizers.get(name), Adam)
    given = SGD(learning_rate=0.5, momentum=0.25, clipnorm=1.0)
    config = given.get_config()
    assert config == {"lr": 0.5, "momentum": 0.25, "decay": 0.0, "nesterov": False, "clipnorm": 1.0, "clipvalue": None}
    assert optimizers.get({"class_name": "SGD", "config": config}).get_config() == config
    assert Adam().epsilon == 1e-7
    with generation.using("1"):
        assert Adam().epsilon == 1e-8
    with pytest.raises(GraphError, match=r"no optimizer is called 'adamm'\n[\s\S]*did you mean 'Adam'.*known: SGD, Adam"):
        optimizers.get("adamm")
    with pytest.raises(ArgumentError, match="learningrate"):
        SGD(learningrate=3)


def test_constraints_hold_after_each_step() -> None:
    model = Sequential([Dense(3, input_dim=4, kernel_constraint="non_neg", bias_constraint="max_norm")])
    model.compile(SGD(1.0), "mse")
    model.train_on_batch(np.ones((2, 4)), np.full((2, 3), -50.0))
    kernel, bias = model.get_weights()
    assert (kernel >= 0).all() and np.linalg.norm(bias) == pytest.approx(2, rel=1e-5)
