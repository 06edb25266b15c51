"""Functional models: order of layers, sharing, nesting, several inputs and outputs, drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import FeedError, GraphError, StateError
from graphflow.keras.layers import Activation, Dense, Dropout, Flatten, Input, Layer
from graphflow.keras.models import Model, Sequential


class Join(Layer):
    def call(self, xs: Any) -> Any:
        return gf.concatenate(xs, axis=-1)


def wide_and_deep() -> Model:
    x = Input((8,))
    hidden = Dense(30, "relu")(Dense(30, "relu")(x))
    return Model(inputs=x, outputs=Dense(1)(Join()([x, hidden])))


def test_wide_and_deep_has_the_published_number_of_parameters() -> None:
    assert wide_and_deep().count_params() == 1239


def test_layers_are_ordered_by_distance_from_the_outputs() -> None:
    a, b = Input((5,), name="a"), Input((6,), name="b")
    hidden = Dense(3, name="h2")(Dense(3, name="h1")(b))
    model = Model([a, b], [Dense(1, name="main")(Join(name="join")([a, hidden])), Dense(1, name="aux")(hidden)])
    assert [layer.name for layer in model.layers] == ["b", "h1", "a", "h2", "join", "main", "aux"]
    assert model.input_names == ["a", "b"] and model.output_names == ["main", "aux"]
    assert model.input_shape == [(None, 5), (None, 6)] and model.output_shape == [(None, 1), (None, 1)]
    assert model.get_layer("h1") is model.layers[1] and model.get_layer(index=0).name == "b"
    with pytest.raises(GraphError, match="h9"):
        model.get_layer("h9")


@pytest.mark.smoke
def test_a_skip_connection_is_computed() -> None:
    model = wide_and_deep()
    w1, b1, w2, b2, w3, b3 = model.get_weights()
    x = np.random.rand(7, 8).astype("float32")
    hidden = np.maximum(np.maximum(x @ w1 + b1, 0) @ w2 + b2, 0)
    np.testing.assert_allclose(model.predict(x), np.concatenate([x, hidden], 1) @ w3 + b3, rtol=1e-4, atol=1e-5)


def test_a_shared_layer_has_its_weights_once() -> None:
    shared = Dense(3)
    a, b = Input((4,)), Input((4,))
    model = Model([a, b], Join()([shared(a), shared(b)]))
    assert model.count_params() == 15 and len(model.weights) == 2
    x = np.random.rand(2, 4).astype("float32")
    left, right = np.split(model.predict([x, x]), 2, axis=1)
    np.testing.assert_array_equal(left, right)


def test_a_model_inside_a_model_runs_with_the_same_weights() -> None:
    inner = Sequential([Dense(4, "tanh", input_shape=(3,)), Dropout(0.5), Dense(2)])
    x = Input((3,))
    outer = Model(x, Activation("relu")(inner(x)))
    data = np.random.rand(5, 3)
    np.testing.assert_array_equal(outer.predict(data), np.maximum(inner.predict(data), 0))
    assert [w.name for w in outer.weights] == [w.name for w in inner.weights]
    outer.compile("sgd", "mse")
    before = inner.get_weights()[0]
    outer.fit(data, np.ones((5, 2)), verbose=0)
    assert not np.array_equal(before, inner.get_weights()[0])


def test_a_functional_model_is_called_on_other_variables() -> None:
    inner = wide_and_deep()
    x = Input((8,))
    np.testing.assert_array_equal(Model(x, inner(x)).predict(np.ones((3, 8))), inner.predict(np.ones((3, 8))))


def test_a_subclass_is_connected_by_its_first_data() -> None:
    class Mine(Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Dense(4, "tanh"), Dense(1)

        def call(self, x: Any) -> Any:
            return self.second(self.first(x))

    model = Mine()
    with pytest.raises(StateError, match="mine_1"):
        model.summary()
    w1, b1, w2, b2 = (model.predict(np.zeros((1, 3))), model.get_weights())[1]
    x = np.random.rand(6, 3).astype("float32")
    np.testing.assert_allclose(model.predict(x), np.tanh(x @ w1 + b1) @ w2 + b2, rtol=1e-5, atol=1e-6)


def test_what_is_no_graph_of_layers_is_refused() -> None:
    x, z = Input((3,), name="x"), Input((3,), name="z")
    y = Dense(2, name="y")(x)
    with pytest.raises(GraphError, match="not the result of a layer"):
        Model(x, y * 2)
    with pytest.raises(GraphError, match="depend on x"):
        Model(z, y)
    with pytest.raises(GraphError, match="does not come from Input"):
        Model(y, Dense(1)(y))
    with pytest.raises(GraphError, match="'y' is used 2 times"):
        Model(x, Dense(1, name="y")(y))
    with pytest.raises(GraphError, match="both"):
        Model(x)


def test_inputs_by_name_and_in_order() -> None:
    a, b = Input((2,), name="a"), Input((2,), name="b")
    model = Model([a, b], Join()([a, b]))
    x, y = np.zeros((3, 2)), np.ones((3, 2))
    for data in ([x, y], (x, y), {"b": y, "a": x}):
        np.testing.assert_array_equal(model.predict(data)[0], [0, 0, 1, 1])
    with pytest.raises(FeedError, match="2 inputs"):
        model.predict([x])
    with pytest.raises(FeedError, match="'b'"):
        model.predict({"a": x})


def test_keras_1_names_of_model_arguments() -> None:
    x = Input((2,))
    with pytest.warns(DeprecationWarning) as caught:
        assert Model(input=x, output=Dense(1)(x)).count_params() == 3
    assert [str(w.message) for w in caught] == ["Model: the argument 'input' is now called 'inputs'", "Model: the argument 'output' is now called 'outputs'"]
    assert {w.filename for w in caught} == {__file__}


def test_a_model_is_drawn_with_a_cluster_for_each_layer(tmp_path: Path) -> None:
    model = Sequential([Flatten(input_shape=(2, 2)), Dense(3, "relu"), Dropout(0.5), Dense(2, "softmax")])
    text = gf.draw(model, tmp_path / "x.svg")
    assert (tmp_path / "x.svg").read_text() == text
    assert all(name in text for name in ("dense_1", "dense_2", "flatten_1"))
    assert "random" not in text  # the picture is that of predictions
    assert model.graph_inputs == [model.inputs[0]] and model.graph_outputs[0].shape[1] == 2


def test_layers_of_a_model_are_put_into_another() -> None:
    x = Input((4,))
    model = Model(x, Dense(5, name="top")(Dense(3, name="features")(x)))
    model.layers.pop()
    assert [layer.name for layer in model.layers][-1] == "features"
    other = Sequential()
    for layer in model.layers:
        other.add(layer)
    other.add(Dense(2))
    assert other.output_shape == (None, 2) and other.layers[0].name == "features"
    np.testing.assert_array_equal(other.layers[0].get_weights()[0], model.get_layer("features").get_weights()[0])
