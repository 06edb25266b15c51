"""Models as data: round trips of Sequential and functional models, shared layers, models inside models."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import GraphError
from graphflow.keras.layers import Activation, Add, Concatenate, Dense, Dropout, Input, Layer
from graphflow.keras.models import Model, Sequential
from graphflow.keras.structure import as_list


def again(model: Any, **options: Any) -> Any:
    """The model from its configuration as text, with the same weights."""
    made = type(model).from_config(json.loads(json.dumps(model.get_config())), **options)
    made.set_weights(model.get_weights())
    return made


def same(model: Any, *inputs: Any, **options: Any) -> Any:
    made = again(model, **options)
    x = list(inputs) if len(inputs) > 1 else inputs[0]
    for a, b in zip(as_list(made.predict(x)), as_list(model.predict(x)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert made.get_config() == model.get_config()
    return made


@pytest.mark.smoke
def test_sequential() -> None:
    model = Sequential([Dense(4, "relu", input_shape=(3,)), Dropout(0.5), Dense(2, "softmax", name="out")], name="mine")
    config = model.get_config()
    assert config["name"] == "mine" and [layer["class_name"] for layer in config["layers"]] == ["Dense", "Dropout", "Dense"]
    assert config["layers"][0]["config"]["batch_input_shape"] in ((None, 3), [None, 3])
    made = same(model, np.random.rand(5, 3))
    assert [layer.name for layer in made.layers] == [layer.name for layer in model.layers] and made.name == "mine"
    assert Sequential.from_config(config["layers"]).count_params() == model.count_params()  # as Keras 1 wrote it


def test_a_sequential_that_met_its_input_later() -> None:
    waiting = Sequential([Dense(2)])
    assert not Sequential.from_config(waiting.get_config()).connected
    waiting.build((None, 3))
    assert same(waiting, np.ones((1, 3))).input_shape == (None, 3)


def test_functional_with_two_ends_and_a_shared_layer() -> None:
    a, b = Input((3,), name="a"), Input((3,), name="b")
    shared = Dense(4, "tanh", name="shared")
    first, second = shared(a), shared(b)
    joined = Concatenate(name="join")([first, second])
    model = Model([a, b], [Dense(1, name="one")(joined), Add(name="two")([first, second])], name="net")
    config = model.get_config()
    assert list(config) == ["name", "layers", "input_layers", "output_layers"]
    entries = {layer["name"]: layer for layer in config["layers"]}
    assert entries["shared"]["inbound_nodes"] == [[["a", 0, 0, {}]], [["b", 0, 0, {}]]]
    assert entries["join"]["inbound_nodes"] == [[["shared", 0, 0, {}], ["shared", 1, 0, {}]]] and entries["a"]["inbound_nodes"] == []
    assert config["output_layers"] == [["one", 0, 0], ["two", 0, 0]]
    same(model, np.random.rand(2, 3), np.random.rand(2, 3))


def test_models_inside_models() -> None:
    inner = Sequential([Dense(3, "relu", input_shape=(2,)), Dense(2)], name="inner")
    deeper = Model(inner.inputs, Activation("tanh")(inner.outputs[0]), name="deeper")
    x = Input((2,), name="x")
    model = Model(x, Add()([inner(x), deeper(x)]))
    entries = {layer["name"]: layer for layer in model.get_config()["layers"]}
    assert entries["inner"]["class_name"] == "Sequential" and entries["deeper"]["class_name"] == "Model"
    assert entries["inner"]["inbound_nodes"] == [[["x", 0, 0, {}]]]
    assert any(node == [["inner", 1, 0, {}], ["deeper", 1, 0, {}]] for node in entries[model.layers[-1].name]["inbound_nodes"])
    # the layers of `inner` are in the configuration twice: their weights are not shared after a round trip
    assert again_shapes(model) == [(2, 3), (3,), (3, 2), (2,)] * 2


def again_shapes(model: Any) -> list[tuple[int, ...]]:
    return [w.shape for w in Model.from_config(model.get_config()).get_weights()]


def test_a_call_later_in_the_list_may_come_first() -> None:
    x = Input((2,), name="x")
    shared = Dense(2, name="shared")
    late = Activation("relu", name="late")(shared(Activation("tanh", name="early")(x)))
    model = Model(x, shared(late))
    made = same(model, np.random.rand(3, 2))
    assert len(made.get_layer("shared")._inbound_nodes) == 2


def test_layers_called_outside_the_model_are_numbered_inside_it() -> None:
    x = Input((2,), name="x")
    shared = Dense(2, name="shared")
    shared(Input((2,)))
    model = Model(x, Activation("relu", name="end")(shared(x)))
    assert model.get_config()["layers"][-1]["inbound_nodes"] == [[["shared", 0, 0, {}]]]
    same(model, np.ones((1, 2)))


class Scaled(Layer):
    """Its call takes another Variable and a number."""

    def call(self, x: Any, by: Any, power: int = 1) -> Any:
        return gf.multiply(x, by) ** power


def test_arguments_of_calls_are_kept() -> None:
    x, y = Input((2,), name="x"), Input((2,), name="y")
    model = Model([x, y], Scaled(name="scaled")(x, Activation("relu", name="r")(y), power=2))
    node = next(layer for layer in model.get_config()["layers"] if layer["name"] == "scaled")["inbound_nodes"]
    assert node == [[["x", 0, 0, {"by": ["r", 0, 0], "power": 2}]]]
    same(model, np.random.rand(3, 2), np.random.randn(3, 2), custom_objects={"Scaled": Scaled})


def test_mistakes() -> None:
    class Mine(Model):
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(GraphError, match="connections of a subclassed model are code"):
        Mine().get_config()
    x = Input((2,), name="x")
    config = Model(x, Dense(1, name="d")(x)).get_config()
    config["layers"][1]["inbound_nodes"][0][0][0] = "z"
    with pytest.raises(GraphError, match="the layer 'd' waits for results that no layer gives"):
        Model.from_config(config)
    with pytest.raises(GraphError, match="Unknown layer: Scaled"):
        Model.from_config({"layers": [{"class_name": "Scaled", "config": {}}], "input_layers": [], "output_layers": []})
