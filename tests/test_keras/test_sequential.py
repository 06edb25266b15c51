"""Sequential: the ways to say what goes in, add, pop, classes."""

from __future__ import annotations

import numpy as np
import pytest

from graphflow.graph.errors import GraphError, StateError
from graphflow.keras.layers import Activation, Dense, Dropout, Flatten, Input, InputLayer
from graphflow.keras.models import Sequential


def mlp() -> Sequential:
    return Sequential([Flatten(input_shape=[28, 28]), Dense(300, "relu"), Dense(100, "relu"), Dense(10, "softmax")])


@pytest.mark.smoke
def test_the_mlp_of_the_books_has_266610_parameters() -> None:
    model = mlp()
    assert model.count_params() == 266_610
    assert [layer.count_params() for layer in model.layers] == [0, 235_500, 30_100, 1_010]


@pytest.mark.parametrize(
    "first",
    [
        [Input(shape=(3,)), Dense(2)],
        [InputLayer((3,)), Dense(2)],
        [Dense(2, input_shape=(3,))],
        [Dense(2, input_dim=3)],
        [Dense(2, batch_input_shape=(None, 3))],
    ],
    ids=["Input", "InputLayer", "input_shape", "input_dim", "batch_input_shape"],
)
def test_each_way_to_say_what_goes_in(first: list[object]) -> None:
    model = Sequential()
    for layer in first:
        model.add(layer)
    assert model.input_shape == (None, 3) and model.output_shape == (None, 2) and len(model.layers) == 1


def test_layers_wait_for_build_or_data() -> None:
    model = Sequential([Dense(2), Dense(1)])
    assert model.weights == []
    model.build((None, 5))
    assert model.count_params() == 15
    other = Sequential([Dense(2), Dense(1)])
    assert other.predict(np.zeros((4, 7))).shape == (4, 1) and other.input_shape == (None, 7)


def test_pop_and_add() -> None:
    model = mlp()
    model.pop()
    assert model.output_shape == (None, 100)
    model.add(Dense(5))
    assert model.output_shape == (None, 5) and model.predict(np.zeros((2, 28, 28))).shape == (2, 5)


def test_a_change_of_layers_after_a_prediction_is_seen() -> None:
    model = Sequential([Dense(2, input_dim=3)])
    assert model.predict(np.zeros((1, 3))).shape == (1, 2)
    model.add(Dense(4))
    assert model.predict(np.zeros((1, 3))).shape == (1, 4)


def test_a_change_of_layers_after_compile_is_trained() -> None:
    model = Sequential([Dense(2, input_dim=3)])
    model.compile("sgd", "mse")
    model.train_on_batch(np.ones((1, 3)), np.ones((1, 2)))
    model.add(Dense(4))
    before = model.layers[1].get_weights()[0]
    model.train_on_batch(np.ones((1, 3)), np.ones((1, 4)))
    assert not np.array_equal(before, model.layers[1].get_weights()[0])


def test_mistakes() -> None:
    with pytest.raises(GraphError, match="takes a layer"):
        Sequential(["relu"])
    with pytest.raises(GraphError, match="comes first"):
        Sequential([Dense(1, input_dim=2), Input((2,))])
    with pytest.raises(GraphError, match="no layer to remove"):
        Sequential().pop()
    with pytest.raises(StateError, match="input_shape"):
        Sequential([Dense(1)]).build()


def test_predict_classes() -> None:
    several = Sequential([Activation("linear", input_shape=(3,))])
    np.testing.assert_array_equal(several.predict_classes(np.eye(3)[[2, 0]]), [2, 0])
    single = Sequential([Activation("linear", input_shape=(1,))])
    np.testing.assert_array_equal(single.predict_classes([[0.2], [0.7]]), [[0], [1]])
    np.testing.assert_array_equal(several.predict_proba(np.eye(3)), np.eye(3))


def test_three_spellings_of_25450_parameters() -> None:
    one = Sequential([Dense(32, input_dim=784), Activation("relu"), Dense(10), Activation("softmax")])
    two = Sequential([Dense(32, activation="relu", input_shape=(784,)), Dense(10, activation="softmax")])
    three = Sequential()
    three.add(Dense(32, activation="relu", input_shape=(784,)))
    three.add(Dense(10, activation="softmax"))
    assert one.count_params() == two.count_params() == three.count_params() == 25_450


def test_dropout_net_of_669706_parameters() -> None:
    layers = [Dense(512, "relu", input_shape=(784,)), Dropout(0.2), Dense(512, "relu"), Dropout(0.2), Dense(10, "softmax")]
    assert Sequential(layers).count_params() == 669_706
