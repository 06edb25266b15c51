"""Regularizers and constraints against NumPy, their configurations and old names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import GraphError, ShapeError
from graphflow.keras import constraints, regularizers
from graphflow.keras.layers import Dense
from graphflow.keras.models import Sequential

W = np.array([[3.0, -1.0, 0.5], [4.0, 0.0, 2.0]], "float32")


def value(y: Any) -> Any:
    return y.eval()


def test_penalties() -> None:
    w = gf.shared(W)
    squares, sizes = (W**2).sum(), abs(W).sum()
    expected = {
        regularizers.L1(0.5): 0.5 * sizes, regularizers.L2(0.5): 0.5 * squares, regularizers.l1(l=0.1): 0.1 * sizes, regularizers.l2(l2=0.1): 0.1 * squares,
        regularizers.l1_l2(0.1, 0.2): 0.1 * sizes + 0.2 * squares, regularizers.l1l2(l1=1, l2=0): sizes, regularizers.get("l2"): 0.01 * squares,
    }  # fmt: skip
    for regularizer, penalty in expected.items():
        assert value(regularizer(w)) == pytest.approx(penalty, rel=1e-5)
    lines = W / np.linalg.norm(W, axis=1, keepdims=True)
    assert value(regularizers.OrthogonalRegularizer(0.1)(w)) == pytest.approx(0.1 * abs(lines[0] @ lines[1]), rel=1e-5)
    columns = W / np.linalg.norm(W, axis=0)
    mean = np.mean([abs(columns[:, i] @ columns[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))])
    assert value(regularizers.get("orthogonal_regularizer").__class__(0.1, "columns")(w)) == pytest.approx(0.1 * mean, rel=1e-5)
    assert value(regularizers.EigenvalueRegularizer(0.5)(w)) == pytest.approx(0.5 * np.linalg.eigvalsh(W.T @ W)[-1], rel=1e-4)
    with pytest.raises(GraphError, match="rows"):
        regularizers.OrthogonalRegularizer(mode="row")


def test_configurations_of_penalties() -> None:
    for made in (regularizers.L1(0.5), regularizers.L2(0.5), regularizers.L1L2(1.0, 2.0), regularizers.OrthogonalRegularizer(mode="columns")):
        again = regularizers.deserialize(regularizers.serialize(made))
        assert type(again) is type(made) and again.get_config() == made.get_config()
    assert regularizers.serialize(regularizers.get("L2")) == {"class_name": "L2", "config": {"l2": 0.01}}
    assert regularizers.serialize(regularizers.get("l2")) == {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.01}}


class Cubes(regularizers.Regularizer):
    def __init__(self, k: float = 1.0) -> None:
        self.k = k

    def __call__(self, x: Any) -> Any:
        return self.k * gf.sum(gf.abs(x) ** 3)

    def get_config(self) -> dict[str, Any]:
        return {"k": self.k}


class Bounded(constraints.Constraint):
    def __call__(self, w: Any) -> Any:
        return gf.clip(w, -0.5, 0.5)


def test_own_classes_and_functions() -> None:
    made = regularizers.deserialize({"class_name": "Cubes", "config": {"k": 2.0}}, custom_objects={"Cubes": Cubes})
    model = Sequential([Dense(1, input_dim=1, kernel_initializer="ones", kernel_regularizer=made, kernel_constraint=Bounded(), bias_constraint=lambda w: w * 0)])
    model.compile("sgd", "mse")
    assert model.evaluate([[1.0]], [[1.0]], verbose=0) == 2
    model.train_on_batch([[1.0]], [[2.0]])
    assert model.get_weights()[0] == 0.5 and model.get_weights()[1] == 0


def test_old_arguments_of_constraints() -> None:
    with pytest.warns(DeprecationWarning):
        assert constraints.MaxNorm(m=3).max_value == 3  # type: ignore[call-arg]
        bounds = constraints.MinMaxNorm(low=1, high=2)  # type: ignore[call-arg]
    assert bounds.get_config() == {"min_value": 1, "max_value": 2, "rate": 1.0, "axis": 0}
    assert isinstance(constraints.get("maxnorm"), constraints.MaxNorm) and constraints.get("nonneg").get_config() == {}


def by_rings(kernel: Any) -> Any:
    """What tf.keras 2's loop makes of a square kernel: rings padded around a centre."""
    size = len(kernel)
    start = size // 2
    new = kernel[start - 1 : start, start - 1 : start] + (np.zeros((1, 1)) if size % 2 else np.zeros((2, 2)))
    for i in range(0 if size % 2 else 1, start):
        new = np.pad(new, 1, constant_values=kernel[start + i, start + i])
    return new


@pytest.mark.parametrize("size", [3, 4, 5])
def test_radial_constraint(size: int) -> None:
    w = np.random.rand(size, size, 2, 3).astype("float32")
    found = value(constraints.get("radial_constraint")(gf.shared(w)))
    for i in range(2):
        for j in range(3):
            np.testing.assert_array_equal(found[:, :, i, j], by_rings(w[:, :, i, j]).astype("float32"))
    with pytest.raises(ShapeError, match="square"):
        constraints.RadialConstraint()(gf.shared(w[1:]))
