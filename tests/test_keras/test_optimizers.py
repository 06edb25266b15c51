"""Steps of optimizers against NumPy; rates as state; clipping."""

from __future__ import annotations

import copy
import pickle
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
from graphflow.keras.optimizers import SGD, Adadelta, Adagrad, Adam, Adamax, Nadam, RMSprop

Arrays = list[np.ndarray[Any, Any]]
Formula = Callable[..., tuple[Any, ...]]


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


# --- formulas of Keras 2.2.4: from (rate, t from 1, weight, gradient, state) to (weight, state); no state is None ---------
def sgd(rate: float, t: int, p: Any, g: Any, v: Any = 0, momentum: float = 0.0, nesterov: bool = False) -> tuple[Any, ...]:
    v = momentum * v - rate * g
    return (p + momentum * v - rate * g if nesterov else p + v), v


def rmsprop(rate: float, t: int, p: Any, g: Any, a: Any = 0, rho: float = 0.9, epsilon: float = 1e-7) -> tuple[Any, ...]:
    a = rho * a + (1 - rho) * g**2
    return p - rate * g / (np.sqrt(a) + epsilon), a


def adagrad(rate: float, t: int, p: Any, g: Any, a: Any = 0, epsilon: float = 1e-7) -> tuple[Any, ...]:
    a = a + g**2
    return p - rate * g / (np.sqrt(a) + epsilon), a


def adadelta(rate: float, t: int, p: Any, g: Any, a: Any = 0, d: Any = 0, rho: float = 0.95, epsilon: float = 1e-7) -> tuple[Any, ...]:
    a = rho * a + (1 - rho) * g**2
    change = g * np.sqrt(d + epsilon) / np.sqrt(a + epsilon)
    return p - rate * change, a, rho * d + (1 - rho) * change**2


def adam(
    rate: float, t: int, p: Any, g: Any, m: Any = 0, v: Any = 0, vhat: Any = 0, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, amsgrad: bool = False
) -> tuple[Any, ...]:
    m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g**2
    vhat = np.maximum(vhat, v) if amsgrad else v
    return p - rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(vhat) + epsilon), m, v, vhat


def adamax(rate: float, t: int, p: Any, g: Any, m: Any = 0, u: Any = 0, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7) -> tuple[Any, ...]:
    m, u = beta_1 * m + (1 - beta_1) * g, np.maximum(beta_2 * u, abs(g))
    return p - rate / (1 - beta_1**t) * m / (u + epsilon), m, u


def nadam(
    rate: float, t: int, p: Any, g: Any, m: Any = 0, v: Any = 0, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, schedule_decay: float = 0.004
) -> tuple[Any, ...]:
    mu = [beta_1 * (1 - 0.5 * 0.96 ** (i * schedule_decay)) for i in range(1, t + 2)]
    m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g**2
    mean = (1 - mu[t - 1]) * g / (1 - np.prod(mu[:t])) + mu[t] * m / (1 - np.prod(mu))
    return p - rate * mean / (np.sqrt(v / (1 - beta_2**t)) + epsilon), m, v


CASES: list[tuple[Any, Formula, dict[str, Any]]] = [
    (SGD, sgd, {"lr": 0.3}),
    (SGD, sgd, {"lr": 0.3, "momentum": 0.9}),
    (SGD, sgd, {"lr": 0.3, "momentum": 0.9, "nesterov": True, "decay": 0.5}),
    (SGD, sgd, {"lr": 0.3, "clipnorm": 0.5}),
    (SGD, sgd, {"lr": 0.3, "momentum": 0.5, "clipvalue": 0.05}),
    (SGD, sgd, {"lr": 0.3, "clipnorm": 100.0, "clipvalue": 0.2}),
    (RMSprop, rmsprop, {"lr": 0.1}),
    (RMSprop, rmsprop, {"lr": 0.1, "rho": 0.5, "epsilon": 0.01, "decay": 0.5}),
    (Adagrad, adagrad, {"lr": 0.1}),
    (Adagrad, adagrad, {"lr": 0.1, "epsilon": 0.01, "decay": 0.5}),
    (Adadelta, adadelta, {"lr": 1.0}),
    (Adadelta, adadelta, {"lr": 0.5, "rho": 0.5, "epsilon": 0.01, "decay": 0.5}),
    (Adam, adam, {"lr": 0.1}),
    (Adam, adam, {"lr": 0.1, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2, "decay": 0.5}),
    (Adam, adam, {"lr": 0.1, "amsgrad": True, "beta_2": 0.5}),
    (Adam, adam, {"lr": 0.1, "clipnorm": 0.01, "epsilon": 1e-1}),
    (Adamax, adamax, {"lr": 0.1}),
    (Adamax, adamax, {"lr": 0.1, "beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.01, "decay": 0.5}),
    (Nadam, nadam, {"lr": 0.1}),
    (Nadam, nadam, {"lr": 0.1, "beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.01, "schedule_decay": 0.1}),
]
DEFAULT_RATES = {"SGD": 0.01, "RMSprop": 0.001, "Adagrad": 0.01, "Adadelta": 1.0, "Adam": 0.001, "Adamax": 0.002, "Nadam": 0.002}


@pytest.mark.parametrize(("make", "formula", "options"), CASES, ids=[f"{c[0].__name__}-{'-'.join(c[2])}" for c in CASES])
def test_three_steps_equal_numpy(make: Any, formula: Formula, options: dict[str, Any]) -> None:
    check(make, formula, options)


def check(make: Any, formula: Formula, options: dict[str, Any], each: bool = False) -> None:
    x, y = np.random.rand(6, 4), np.random.rand(6, 3)
    model = Sequential([Dense(3, input_dim=4)])
    model.compile(make(**options), "mse")
    params = [w.astype(np.float64) for w in model.get_weights()]
    rest = dict(options)
    lr, decay, clip = rest.pop("lr"), rest.pop("decay", 0.0), {key: rest.pop(key, None) for key in ("clipnorm", "clipvalue")}
    state: list[tuple[Any, ...]] = [() for _ in params]
    for step in range(3):
        grads = clipped(gradients(params, x, y), **clip, each=each)
        for i, g in enumerate(grads):
            params[i], *news = formula(lr / (1 + decay * step), step + 1, params[i], g, *state[i], **rest)
            state[i] = tuple(news)
        model.train_on_batch(x, y)
        assert K.get_value(model.optimizer.iterations) == step + 1
    for w, e in zip(model.get_weights(), params, strict=True):
        np.testing.assert_allclose(w, e, atol=1e-5)


def test_rates_by_generation() -> None:
    for name, rate in DEFAULT_RATES.items():
        assert float(K.get_value(getattr(optimizers, name)().lr)) == pytest.approx(rate)
        with generation.using("2.4"):
            made = getattr(optimizers, name)()
            assert float(K.get_value(made.learning_rate)) == pytest.approx(0.01 if name == "SGD" else 0.001)
            config = made.get_config()
            assert config["name"] == name and "lr" not in config and config.get("decay") == (0.004 if name == "Nadam" else None)
        with generation.using("3"):
            config = getattr(optimizers, name)().get_config()
            assert config["weight_decay"] is None and config["use_ema"] is False and "decay" not in config
            assert optimizers.get({"class_name": name, "config": config}).get_config() == config


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
    assert config == {"lr": 0.5, "momentum": 0.25, "decay": 0.0, "nesterov": False, "clipnorm": 1.0}
    assert optimizers.get({"class_name": "SGD", "config": config}).get_config() == config
    assert Adam().epsilon == 1e-7
    with generation.using("1"):
        assert Adam().epsilon == 1e-8
    with pytest.raises(GraphError, match=r"no optimizer is called 'adamm'\n[\s\S]*did you mean 'Adam'.*known: SGD, RMSprop"):
        optimizers.get("adamm")
    with pytest.raises(ArgumentError, match="learningrate"):
        SGD(learningrate=3)


def test_constraints_hold_after_each_step() -> None:
    model = Sequential([Dense(3, input_dim=4, kernel_constraint="non_neg", bias_constraint="max_norm")])
    model.compile(SGD(1.0), "mse")
    model.train_on_batch(np.ones((2, 4)), np.full((2, 3), -50.0))
    kernel, bias = model.get_weights()
    assert (kernel >= 0).all() and np.linalg.norm(bias) == pytest.approx(2, rel=1e-5)


# --- schedules, averages ---------------------------------------------------------------------------
def one_weight(optimizer: Any) -> Sequential:
    """A model whose loss is w ** 2, with w = 1 at first."""
    model = Sequential([Dense(1, input_dim=1, kernel_initializer="ones", use_bias=False)])
    model.compile(optimizer, "mse")
    return model


def steps(model: Sequential, number: int) -> list[float]:
    """The weight after each step; the gradient is 2 * w."""
    found = []
    for _ in range(number):
        model.train_on_batch([[1.0]], [[0.0]])
        found.append(float(model.get_weights()[0][0, 0]))
    return found


def test_a_schedule_sets_the_rate_of_each_step() -> None:
    schedule = optimizers.schedules.PiecewiseConstantDecay([0, 1], [0.25, 0.0, 0.5])
    optimizer = SGD(schedule)
    assert steps(one_weight(optimizer), 3) == [0.5, 0.5, 0.0]
    assert optimizers.deserialize(optimizers.serialize(optimizer)).lr.get_config() == schedule.get_config()
    with pytest.raises(GraphError, match="is a schedule"):
        optimizer.lr = 0.1


def test_own_schedules() -> None:
    class Halving(optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            return 0.25 / (step + 1)

    assert float(Halving()(1)) == 0.125
    assert steps(one_weight(SGD(Halving())), 2) == [0.5, 0.375]


def test_the_third_argument_of_sgd_is_nesterov_if_it_is_a_truth_value() -> None:
    made = SGD(0.1, 0.9, True)  # type: ignore[arg-type]
    assert made.nesterov and made.get_config()["decay"] == 0 and SGD(0.1, 0.9, 0.5).initial_decay == 0.5


def test_averages_replace_weights_when_training_ends() -> None:
    model = one_weight(SGD(0.25, use_ema=True, ema_momentum=0.5))
    model.fit(np.ones((2, 1)), np.zeros((2, 1)), batch_size=1, epochs=1, verbose=0)
    assert model.get_weights()[0] == 0.5 * 0.5 + 0.5 * 0.25


# --- own optimizers in the styles of all generations -------------------------------------------------
class OfKeras2(optimizers.Optimizer):
    """Momentum, as Keras 2's own optimizers were written."""

    def __init__(self, lr: float = 0.25, momentum: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.iterations = K.variable(0, dtype="int64", name="iterations")
        self.lr = K.variable(lr, name="lr")
        self.momentum = K.variable(momentum, name="momentum")

    def get_updates(self, loss: Any, params: Any) -> Any:
        grads = self.get_gradients(loss, params)
        self.updates = [K.update_add(self.iterations, 1)]
        moments = [K.variable(np.zeros(K.int_shape(p))) for p in params]
        self.weights = [self.iterations, *moments]
        for p, g, m in zip(params, grads, moments, strict=True):
            v = self.momentum * m - self.lr * g
            self.updates += [K.update(m, v), K.update(p, p + v)]
        return self.updates

    def get_config(self) -> dict[str, Any]:
        return {"lr": float(K.get_value(self.lr)), **super().get_config()}


class OfKeras1(OfKeras2):
    def get_updates(self, params: Any, constraints: Any, loss: Any) -> Any:  # type: ignore[override]
        assert constraints == {}
        return super().get_updates(loss, params)


class OfTfKeras(optimizers.Optimizer):
    def __init__(self, learning_rate: float = 0.25, momentum: float = 0.5, name: str = "OfTfKeras", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", kwargs.get("lr", learning_rate))
        self._set_hyper("momentum", momentum)

    def _create_slots(self, var_list: Any) -> None:
        for var in var_list:
            self.add_slot(var, "momentum")

    def _resource_apply_dense(self, grad: Any, var: Any, apply_state: Any = None) -> Any:
        moment = self.get_slot(var, "momentum")
        moment.assign(self._get_hyper("momentum", var.dtype) * moment - self._decayed_lr(var.dtype) * grad)
        return var.assign_add(moment)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "learning_rate": self._serialize_hyperparameter("learning_rate")}


class OfKeras3(optimizers.Optimizer):
    def __init__(self, learning_rate: float = 0.25, momentum: float = 0.5, name: str = "of_keras_3", **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum

    def build(self, variables: Any) -> None:
        if self.built:
            return
        super().build(variables)
        self.moments = [self.add_variable_from_reference(reference_variable=v, name="momentum") for v in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        m = self.moments[self._get_variable_index(variable)]
        self.assign(m, self.momentum * m - learning_rate * gradient)
        self.assign_add(variable, m)


@pytest.mark.parametrize("make", [OfKeras2, OfKeras1, OfTfKeras, OfKeras3])
def test_own_optimizers(make: Any) -> None:
    expected = steps(one_weight(SGD(0.25, momentum=0.5)), 3)
    model = one_weight(make())
    assert steps(model, 3) == expected and len(model.optimizer.weights) == 2
    model.optimizer.lr = 0.0
    assert steps(model, 1) == [expected[-1] + (expected[-1] - expected[-2]) / 2]


@pytest.mark.parametrize("make", [OfKeras2, OfKeras1, OfTfKeras, OfKeras3])
def test_constraints_hold_with_own_optimizers(make: Any) -> None:
    model = Sequential([Dense(1, input_dim=1, kernel_constraint="non_neg", use_bias=False, kernel_initializer="ones")])
    model.compile(make(10.0), "mse")
    model.train_on_batch([[1.0]], [[-1.0]])
    assert model.get_weights()[0] == 0


def test_own_optimizers_are_found_by_name_and_made_from_their_configurations() -> None:
    made = optimizers.deserialize({"class_name": "OfTfKeras", "config": {"learning_rate": 0.5}}, custom_objects={"OfTfKeras": OfTfKeras})
    assert made.get_config()["learning_rate"] == 0.5 and optimizers.get(made) is made
    assert OfKeras2.from_config(OfKeras2(0.5).get_config()).get_config()["lr"] == 0.5
    assert isinstance(Adam(), optimizers.Optimizer)


def test_copies_have_state_of_their_own() -> None:
    made = Adam(0.1)
    for another in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        another.lr = 0.5
        assert float(K.get_value(made.lr)) == pytest.approx(0.1) and another.iterations is not made.iterations
