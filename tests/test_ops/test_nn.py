"""Activations and losses: values, stability, gradients, checks."""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import CheckError, DTypeError, GraphError, ShapeError
from graphflow.graph.traversal import toposort
from graphflow.graph.variable import constant, placeholder
from graphflow.ops import nn
from graphflow.ops.creation import ones_like

X = np.array([-1000.0, -30.0, -3.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 2.5, 3.0, 30.0, 1000.0])
SIGMOID = 1 / (1 + np.exp(-np.clip(X, -500, 500)))

VALUES = {
    nn.relu: np.maximum(X, 0),
    nn.relu6: np.clip(X, 0, 6),
    nn.leaky_relu: np.where(X > 0, X, 0.2 * X),
    nn.hard_sigmoid: np.clip(0.2 * X + 0.5, 0, 1),
    nn.elu: np.where(X > 0, X, np.expm1(np.minimum(X, 0))),
    nn.selu: 1.0507009873554805 * np.where(X > 0, X, 1.6732632423543772 * np.expm1(np.minimum(X, 0))),
    nn.softsign: X / (1 + abs(X)),
    nn.silu: X * SIGMOID,
    nn.swish: X * SIGMOID,
    nn.gelu: np.array([0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in X]),
    nn.sigmoid: SIGMOID,
    nn.tanh: np.tanh(X),
    nn.softplus: np.logaddexp(X, 0),
}


@pytest.mark.parametrize("fn", VALUES, ids=lambda f: f.__name__)
def test_activations(fn, run, pull):
    x = placeholder("float64", (None,))
    y = fn(x)
    (g,) = pull(y, ones_like(y), [x])
    value, slope = run([y, g], {x: X})
    np.testing.assert_allclose(value, VALUES[fn], rtol=1e-12, atol=1e-13)
    assert np.all(np.isfinite(slope))
    smooth = np.array([-3.0, -1.0, 1.0, 2.0, 3.3])
    near, up, down = (run([y, g], {x: smooth + d}) for d in (0, 1e-6, -1e-6))
    np.testing.assert_allclose(near[1], (up[0] - down[0]) / 2e-6, rtol=1e-6, atol=1e-9)


def test_activations_take_ints_and_keep_float32():
    for fn in VALUES:
        assert fn(placeholder("float32", (3,))).dtype == "float32", fn
        if fn is not nn.relu and fn is not nn.relu6:
            assert fn(placeholder("int32", (3,))).dtype == "float64", fn
    assert nn.relu(placeholder("int32", (3,))).dtype == "int32"


def test_approximate_gelu_is_near(run):
    x = placeholder("float64", (None,))
    exact, near = run([nn.gelu(x), nn.gelu(x, approximate=True)], {x: np.linspace(-5, 5, 101)})
    assert 1e-5 < np.abs(exact - near).max() < 1e-3


@pytest.mark.smoke
def test_softmax_does_not_overflow(run):
    x = placeholder("float32", (None, None))
    data = np.array([[1e4, 0, -1e4], [88, 89, 90]], "float32")
    for expand in (False, True):
        p, log_p = run([nn.softmax(x), nn.log_softmax(x)], {x: data}, expand)
        np.testing.assert_allclose(p.sum(1), 1, rtol=1e-6)
        assert np.all(np.isfinite(log_p)) and log_p[0, 2] == -2e4
    assert nn.softmax(x, axis=0).owner.op.axis == 0


def test_sparse_cross_entropy_is_stable_and_its_gradient_is_softmax_less_one_hot(run, pull):
    x, t = placeholder("float32", (None, 3)), placeholder("uint8", (None,))
    loss = nn.sparse_softmax_cross_entropy(x, t)
    (g,) = pull(loss, constant(np.ones(3, "float32")), [x])
    data = np.array([[1e4, 0, -1e4], [0, 1e-4, 0], [30, 0, 0]], "float32")
    labels = np.array([2, 1, 0])
    value, slope, p = run([loss, g, nn.softmax(x)], {x: data, t: labels}, expand=True)
    np.testing.assert_allclose(value, [2e4, math.log(3) - 1e-4 * 2 / 3, 2 * math.exp(-30)], rtol=2e-7, atol=1e-12)
    np.testing.assert_allclose(slope, p - np.eye(3)[labels], atol=1e-7)
    assert not {"scatter", "put_along_axis"} & {node.op.name for node in toposort([g])}


def test_labels_are_checked(run):
    x, t = placeholder("float32", (None, 3)), placeholder("int64", (None,))
    loss = nn.sparse_softmax_cross_entropy(x, t)
    for bad in (3, -1):
        for expand in (False, True):
            with pytest.raises(CheckError, match="label out of range"):
                run([loss], {x: np.zeros((2, 3)), t: np.array([0, bad])}, expand)
    with pytest.raises(CheckError):
        run([loss], {x: np.zeros((2, 3)), t: np.zeros(4, int)})
    with pytest.raises(ShapeError, match="one-hot"):
        nn.sparse_softmax_cross_entropy(x, placeholder("int32", (None, 3)))
    with pytest.raises(DTypeError, match="integers"):
        nn.sparse_softmax_cross_entropy(x, placeholder("float32", (None,)))


def test_the_losses_agree(run):
    rng = np.random.default_rng(0)
    x, t = placeholder("float64", (5, 3)), placeholder("float64", (5, 3))
    data, labels = rng.normal(size=(5, 3)), rng.integers(0, 3, 5)
    hot = np.eye(3)[labels]
    p = nn.softmax(x)
    losses = [
        nn.sparse_softmax_cross_entropy(x, labels), nn.softmax_cross_entropy(x, t),
        nn.categorical_crossentropy(p, t), nn.categorical_crossentropy(p, labels),
    ]  # fmt: skip
    for value in run(losses, {x: data, t: hot}):
        np.testing.assert_allclose(value, -np.log(np.exp(data) / np.exp(data).sum(1, keepdims=True))[np.arange(5), labels])
    binary = [nn.sigmoid_cross_entropy(x, t), nn.binary_crossentropy(nn.sigmoid(x), t)]
    first, second = run(binary, {x: data, t: hot})
    np.testing.assert_allclose(first, second)


def test_sigmoid_cross_entropy_is_stable(run):
    x = placeholder("float32", (None,))
    for expand in (False, True):
        (value,) = run([nn.sigmoid_cross_entropy(x, 1)], {x: [1e4, 20.0, -1e4]}, expand)
        np.testing.assert_allclose(value, [0, math.log1p(math.exp(-20)), 1e4], rtol=1e-6)


def test_moments_and_l2_normalize(run):
    x = placeholder("float64", (None, 4))
    data = np.random.default_rng(0).normal(size=(3, 4))
    for axes, keepdims in ((0, False), ((0, 1), True), (None, False)):
        mean, var = run(list(nn.moments(x, axes, keepdims)), {x: data})
        np.testing.assert_allclose(mean, data.mean(axis=axes, keepdims=keepdims))
        np.testing.assert_allclose(var, data.var(axis=axes, keepdims=keepdims))
    (value,) = run([nn.l2_normalize(x, 1)], {x: data})
    np.testing.assert_allclose((value**2).sum(1), 1)


def test_dropout(run):
    x = placeholder("float64", (100, 100))
    data = np.ones((100, 100))
    (value,) = run([nn.dropout(x, 0.25, seed=3)], {x: data})
    assert set(np.unique(value)) == {0, 1 / 0.75}
    assert abs(value.mean() - 1) < 0.05
    assert nn.dropout(x, 0) is x
    for rate in (1, -0.1):
        with pytest.raises(GraphError, match="rate"):
            nn.dropout(x, rate)


def test_the_module_is_public():
    assert gf.nn is nn and gf.relu is nn.relu
    assert all(hasattr(nn, name) for name in nn.__all__)
