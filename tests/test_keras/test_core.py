"""Dense, Activation, Dropout, Flatten."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import GraphError
from graphflow.keras.layers import Activation, Dense, Dropout, Flatten, Input
from graphflow.keras.models import Model, Sequential


def test_dense_is_an_affine_map_of_the_last_axis() -> None:
    model = Sequential([Dense(4, "tanh", input_shape=(2, 3), bias_initializer="normal")])
    w, b = model.get_weights()
    x = np.random.rand(5, 2, 3).astype("float32")
    np.testing.assert_allclose(model.predict(x), np.tanh(x @ w + b), rtol=1e-5, atol=1e-6)


def test_dense_without_bias_has_one_weight() -> None:
    model = Sequential([Dense(4, use_bias=False, input_dim=3)])
    assert [w.shape for w in model.get_weights()] == [(3, 4)]


def test_activation_takes_names_and_functions() -> None:
    x = Input((3,))
    model = Model(x, [Activation("relu")(x), Activation(gf.nn.relu)(x), Activation(lambda t: t * 2)(x)])
    named, function, own = model.predict(np.array([[-1.0, 0.0, 2.0]]))
    np.testing.assert_array_equal(named, [[0, 0, 2]])
    np.testing.assert_array_equal(function, named)
    np.testing.assert_array_equal(own, [[-2, 0, 4]])


def test_flatten_keeps_the_batch_and_puts_channels_last() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(Sequential([Flatten(input_shape=[3, 4])]).predict(x), x.reshape(2, 12))
    first = Sequential([Flatten("channels_first", input_shape=(3, 4))]).predict(x)
    np.testing.assert_array_equal(first, x.transpose(0, 2, 1).reshape(2, 12))


@pytest.mark.smoke
def test_dropout_drops_only_while_training() -> None:
    model = Sequential([Dropout(0.25, input_shape=(400,))])
    model.compile("sgd", lambda t, p: (p - t) ** 2)
    x = np.ones((50, 400))
    np.testing.assert_array_equal(model.predict(x), x)
    assert model.test_on_batch(x, x) == 0
    first = model.train_on_batch(x, np.zeros_like(x))
    weights = np.arange(x.size).reshape(x.shape)  # tells masks apart that drop as many
    assert model.train_on_batch(x * weights, np.zeros_like(x)) != model.train_on_batch(x * weights, np.zeros_like(x))
    assert first == pytest.approx(1 / 0.75, rel=0.02)  # the mean of x ** 2 for x = 1 / keep with probability keep


def test_dropout_of_whole_axes() -> None:
    x = Input((6, 5))
    dropped = Dropout(0.5, noise_shape=(None, 1, 5))
    y = gf.function([x], dropped.call(x, training=True))(np.ones((3, 6, 5), "float32"))
    assert set(np.unique(y)) == {0.0, 2.0}
    assert (y == y[:, :1]).all()


def test_dropout_refuses_a_rate_of_one() -> None:
    with pytest.raises(GraphError, match="rate is 1"):
        Dropout(1.0)
