"""Distributions, seeds and names of initializers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.keras import generation, initializers
from graphflow.keras.layers import Dense
from graphflow.keras.models import Sequential

SHAPE = (200, 300)
BY_VARIANCE = {
    "glorot_uniform": 2 / 500, "glorot_normal": 2 / 500, "he_uniform": 2 / 200, "he_normal": 2 / 200, "lecun_uniform": 1 / 200,
    "lecun_normal": 1 / 200, "random_normal": 0.05**2, "random_uniform": 0.1**2 / 12,
}  # fmt: skip


@pytest.mark.parametrize("name", BY_VARIANCE)
def test_variances(name: str) -> None:
    values = initializers.get(name)(SHAPE)
    assert values.shape == SHAPE and values.dtype == np.float32
    assert values.mean() == pytest.approx(0, abs=0.02 * np.sqrt(BY_VARIANCE[name]))
    assert values.var() == pytest.approx(BY_VARIANCE[name], rel=0.02)
    if name.endswith("uniform"):
        assert abs(values).max() <= np.sqrt(3 * BY_VARIANCE[name]) * (1 + 1e-6)


def test_truncated_normal_ends_at_two_standard_deviations() -> None:
    values = initializers.TruncatedNormal(mean=1, stddev=0.5)(SHAPE)
    assert 1.9 < values.max() <= 2 and 0 <= values.min() < 0.1
    glorot = initializers.glorot_normal()(SHAPE)
    assert abs(glorot).max() <= 2 * np.sqrt(2 / 500) / 0.8796 * 1.0001


def test_fans_of_convolutions_and_vectors() -> None:
    assert initializers.fans((3, 3, 16, 32)) == (144, 288) and initializers.fans((4, 5)) == (4, 5) and initializers.fans((9,)) == (3, 3)


def test_plain_values() -> None:
    np.testing.assert_array_equal(initializers.get("zeros")((2,)), [0, 0])
    np.testing.assert_array_equal(initializers.get("one")((2,)), [1, 1])
    np.testing.assert_array_equal(initializers.Constant(3)((2,)), [3, 3])
    np.testing.assert_array_equal(initializers.Constant([[1, 2]])((2,), dtype="int32"), [1, 2])
    np.testing.assert_array_equal(initializers.Identity(2)((2, 2)), [[2, 0], [0, 2]])
    np.testing.assert_array_equal(initializers.get("identity")((2, 4)), [[1, 0, 1, 0], [0, 1, 0, 1]])
    with pytest.raises(ShapeError, match="not multiples"):
        initializers.get("identity")((2, 3))
    with generation.using("2.3"):
        np.testing.assert_array_equal(initializers.get("identity")((2, 3)), [[1, 0, 0], [0, 1, 0]])
    with pytest.raises(ShapeError, match="matrix"):
        initializers.Identity()((2, 3, 4))


def test_what_generations_changed() -> None:
    with generation.using("1"):
        assert abs(initializers.get("he_normal")(SHAPE)).max() > 3 * np.sqrt(2 / 200)
        assert initializers.get("orthogonal").gain == 1.1
        with pytest.warns(DeprecationWarning, match="'gain'"):
            assert initializers.Orthogonal(scale=2).gain == 2  # type: ignore[call-arg]
    with generation.using("2.4"):
        assert initializers.get_fans((9,)) == (9, 9)


def test_classes_of_tf_keras() -> None:
    for name, (scale, mode, distribution) in {
        "GlorotUniform": (1.0, "fan_avg", "uniform"), "GlorotNormal": (1.0, "fan_avg", "truncated_normal"), "HeUniform": (2.0, "fan_in", "uniform"),
        "HeNormal": (2.0, "fan_in", "truncated_normal"), "LecunUniform": (1.0, "fan_in", "uniform"), "LecunNormal": (1.0, "fan_in", "truncated_normal"),
    }.items():  # fmt: skip
        made = getattr(initializers, name)(seed=3)
        data = initializers.serialize(made)
        assert data == {"class_name": name, "config": {"seed": 3}} and isinstance(initializers.get(name), getattr(initializers, name))
        same = initializers.VarianceScaling(scale, mode, distribution, seed=3)
        for one in (made, initializers.deserialize(data), made.clone()):
            np.testing.assert_array_equal(one(SHAPE), same(SHAPE))


def test_own_classes_by_name() -> None:
    class Sevens(initializers.Initializer):
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            return np.full(shape, 7, dtype)

    made = initializers.deserialize({"class_name": "Sevens", "config": {}}, custom_objects={"Sevens": Sevens})
    np.testing.assert_array_equal(Sequential([Dense(2, input_dim=1, kernel_initializer=made)]).get_weights()[0], [[7, 7]])


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (3, 2, 5)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = initializers.Orthogonal(gain=2, seed=1)(shape, dtype="float64").reshape(-1, shape[-1])
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 4 * np.eye(min(w.shape)), atol=1e-12)


def test_seeds() -> None:
    for name in ("glorot_uniform", "RandomNormal", "TruncatedNormal", "orthogonal"):
        make: Any = getattr(initializers, name)
        np.testing.assert_array_equal(make(seed=5)((3, 4)), make(seed=5)((3, 4)))
        assert not np.array_equal(make()((3, 4)), make()((3, 4)))
    np.random.seed(9)
    first = Sequential([Dense(3, input_dim=2)]).get_weights()
    np.random.seed(9)
    np.testing.assert_array_equal(first[0], Sequential([Dense(3, input_dim=2)]).get_weights()[0])


def test_values_of_a_seed_do_not_change() -> None:
    np.testing.assert_allclose(initializers.glorot_uniform(seed=1)((2, 2)), np.random.RandomState(1).uniform(-np.sqrt(1.5), np.sqrt(1.5), (2, 2)), rtol=1e-6)


def test_own_functions_and_configurations() -> None:
    model = Sequential([Dense(2, input_dim=2, kernel_initializer=lambda shape, dtype=None: np.eye(*shape), bias_initializer=initializers.Ones)])
    np.testing.assert_array_equal(model.get_weights()[0], np.eye(2))
    np.testing.assert_array_equal(model.get_weights()[1], [1, 1])
    data = initializers.serialize(initializers.he_normal(seed=3))
    assert data == {"class_name": "VarianceScaling", "config": {"scale": 2.0, "mode": "fan_in", "distribution": "normal", "seed": 3}}
    np.testing.assert_array_equal(initializers.deserialize(data)((2, 3)), initializers.he_normal(seed=3)((2, 3)))
    with pytest.raises(GraphError, match="mode"):
        initializers.VarianceScaling(mode="fan")
    with pytest.raises(ShapeError, match="gave the shape"):
        Sequential([Dense(2, input_dim=2, kernel_initializer=lambda shape: np.zeros(3))])
