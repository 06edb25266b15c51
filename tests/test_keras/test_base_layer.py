"""Names, building, weights, argument orders and errors of layers."""

from __future__ import annotations

import linecache
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import GraphError, ShapeError, StateError
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.arguments import ArgumentError
from graphflow.keras.engine.node import UnconnectedError, history
from graphflow.keras.layers import Dense, Flatten, Input, Layer
from graphflow.keras.models import Model, Sequential


class Scale(Layer):
    """A layer as Keras 2 users write them."""

    def __init__(self, start: float, **kwargs: Any) -> None:
        self.start = start  # before super().__init__, as Keras allows
        super().__init__(**kwargs)

    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight(name="factor", shape=(input_shape[-1],), initializer=lambda shape: np.full(shape, self.start), trainable=True)
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        return x * self.factor


class Silent(Layer):
    """Never calls super().__init__."""

    def __init__(self) -> None:
        self.inner = Dense(2)

    def call(self, x: Any) -> Any:
        return self.inner(x)


def test_names_number_each_class() -> None:
    assert [Dense(1).name, Dense(1).name, Flatten().name, Dense(1, name="own").name, Dense(1).name] == ["dense_1", "dense_2", "flatten_1", "own", "dense_3"]
    with generation.using("2.4"):
        K.clear_session()
        assert [Dense(1).name, Dense(1).name, Dense(1, name="own").name] == ["dense", "dense_1", "own"]


@pytest.mark.parametrize(
    ("class_name", "name"),
    [("ConvLSTM2D", "conv_lst_m2d_1"), ("LeakyReLU", "leaky_re_lu_1"), ("Conv2DTranspose", "conv2d_transpose_1"), ("LSTM", "lstm_1"), ("_Own", "private__own_1")],
)
def test_names_are_cut_as_keras_cuts_them(class_name: str, name: str) -> None:
    assert type(class_name, (Layer,), {})().name == name


def test_a_layer_without_super_init_has_a_name_and_tracks_what_it_holds() -> None:
    layer = Silent()
    y = layer(Input((3,)))
    assert layer.name == "silent_1" and layer.built and K.int_shape(y) == (None, 2)
    assert [w.name for w in layer.trainable_weights] == ["dense_1/kernel", "dense_1/bias"]
    layer.trainable = False
    assert layer.trainable_weights == [] and len(layer.non_trainable_weights) == 2


def test_own_layer_computes_with_its_weight() -> None:
    model = Sequential([Scale(3.0, input_shape=(2,))])
    np.testing.assert_array_equal(model.predict(np.array([[1.0, 2.0]])), [[3.0, 6.0]])
    assert model.layers[0].count_params() == 2


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("w", (2, 3), "float64", "ones"), {}),
        (((2, 3), "ones", "w"), {"dtype": "float64"}),
        (((2, 3), "ones", "float64", True), {"name": "w"}),
        ((), {"name": "w", "shape": (2, 3), "dtype": "float64", "initializer": "ones"}),
    ],
    ids=["keras2", "keras1", "keras3", "names"],
)
def test_add_weight_in_the_order_of_each_generation(args: Any, kwargs: Any) -> None:
    layer = Layer(name="mine")
    weight = layer.add_weight(*args, **kwargs)
    assert (weight.name, weight.shape, weight.dtype.name, weight.trainable) == ("mine/w", (2, 3), "float64", True)
    np.testing.assert_array_equal(weight.get_value(), np.ones((2, 3)))
    assert layer.trainable_weights == [weight]


def test_add_weight_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ArgumentError, match="regulariser"):
        Layer().add_weight("w", (2,), regulariser="l2")
    with pytest.raises(ArgumentError, match="twice"):
        Layer().add_weight("w", (2,), shape=(3,))
    with pytest.raises(ShapeError, match="needs a size"):
        Sequential([Flatten(input_shape=(None, 3)), Dense(2)])


def test_weights_not_trainable_come_last() -> None:
    layer = Layer()
    fixed = layer.add_weight("a", (1,), trainable=False)
    free = layer.add_weight("b", (2,))
    assert layer.weights == [free, fixed] and layer.trainable_weights == [free] and layer.non_trainable_weights == [fixed]


def test_shared_variables_as_attributes_are_weights_but_not_those_of_K_before_tf_keras() -> None:
    layer: Any = Layer()
    layer.native = gf.shared(np.zeros(2, "float32"))
    layer.counter = K.variable(0)
    assert layer.weights == [layer.native]
    with generation.using("2.4"):
        layer.counter = K.variable(0)
    assert layer.weights == [layer.native, layer.counter]
    layer.trainable_weights = [layer.counter]
    assert layer.trainable_weights == [layer.counter]


def test_get_and_set_weights_check_everything_before_they_change_anything() -> None:
    layer = Dense(2, weights=[np.ones((3, 2)), np.zeros(2)], input_shape=(3,))
    layer.build((None, 3))
    layer.set_weights([np.full((3, 2), 5.0), np.full(2, 6.0)])
    for wrong in ([np.zeros((3, 2))], [np.zeros((3, 2)), np.zeros(3)]):
        with pytest.raises(ShapeError, match=r"set_weights|weight shape"):
            layer.set_weights(wrong)
    np.testing.assert_array_equal(layer.get_weights()[0], np.full((3, 2), 5.0))
    np.testing.assert_array_equal(layer.get_weights()[1], [6.0, 6.0])


def test_first_weights_are_set_when_the_layer_is_built() -> None:
    model = Sequential([Dense(2, weights=[np.ones((3, 2)), np.full(2, 4.0)], input_shape=(3,))])
    np.testing.assert_array_equal(model.layers[0].get_weights()[1], [4.0, 4.0])


def test_count_params_needs_a_built_layer() -> None:
    with pytest.raises(StateError, match="dense_1"):
        Dense(3).count_params()


def test_config_has_present_values_and_makes_an_equal_layer() -> None:
    layer = Dense(4, "relu", kernel_initializer="he_normal", kernel_regularizer="l2", name="d", input_shape=(3,), activity_regularizer="l1")
    layer.use_bias = False
    config = layer.get_config()
    assert config["units"] == 4 and config["activation"] == "relu" and config["use_bias"] is False and config["name"] == "d"
    assert config["batch_input_shape"] == (None, 3)
    assert config["kernel_initializer"] == {"class_name": "VarianceScaling", "config": {"scale": 2.0, "mode": "fan_in", "distribution": "normal", "seed": None}}
    assert config["kernel_regularizer"] == {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.01}}
    assert Dense.from_config(config).get_config() == config


def test_calls_leave_a_history() -> None:
    x, z = Input((3,)), Input((3,))
    layer = Dense(2)
    y = layer(x)
    assert layer.input is x and layer.output is y and layer.input_shape == (None, 3) and layer.output_shape == (None, 2)
    second = layer(z)
    found = history(second)
    assert found is not None and found.node.layer is layer and layer.get_output_at(1) is second and layer.get_input_at(0) is x
    assert layer.get_output_shape_at(1) == (None, 2) and layer.output_shape == (None, 2)
    with pytest.raises(UnconnectedError, match="multiple inbound nodes"):
        _ = layer.output
    assert not hasattr(Dense(1), "output_shape")


def test_a_layer_that_returns_its_input_has_an_output_of_its_own() -> None:
    x = Input((3,))
    first, second = Layer(), Layer()
    a, b = first(x), second(x)
    assert a is not x and a is not b
    assert [layer.name for layer in Model(x, [a, b]).layers] == ["input_1", "layer_1", "layer_2"]


def test_output_shape_of_a_layer_that_was_never_called() -> None:
    layer = Dense(5)
    state = np.random.get_state()[2]
    assert layer.compute_output_shape((None, 4, 3)) == (None, 4, 5) and layer.compute_output_shape((None, 2)) == (None, 5)
    assert not layer.built and layer.weights == [] and np.random.get_state()[2] == state


def test_added_losses_and_updates_take_part_in_training() -> None:
    class Counts(Layer):
        def build(self, input_shape: Any) -> None:
            self.seen = self.add_weight("seen", (), initializer="zeros", trainable=False)

        def call(self, x: Any) -> Any:
            self.add_update((self.seen, self.seen + gf.sum(x)))
            self.add_loss(gf.mean(x) * 10)
            return x

    model = Sequential([Counts(input_shape=(2,)), Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", "mse")
    x = np.ones((4, 2))
    assert model.train_on_batch(x, np.zeros(4)) == pytest.approx(10)
    assert model.test_on_batch(x, np.zeros(4)) == pytest.approx(10)
    assert model.layers[0].get_weights() == [8.0]  # evaluating changes nothing


def first_level() -> Any:
    return second_level()


def second_level() -> Any:
    return third_level()


def third_level() -> Any:
    layer = Dense(10, name="classes")
    layer(Input((784,)))
    return layer(Input((100,), name="picture"))  # the line


@pytest.mark.smoke
def test_a_wrong_shape_three_calls_deep_names_the_users_line_the_layer_and_both_shapes() -> None:
    with pytest.raises(ShapeError) as caught:
        first_level()
    text = str(caught.value)
    line = third_level.__code__.co_firstlineno + 3
    assert linecache.getline(__file__, line).strip() == 'return layer(Input((100,), name="picture"))  # the line'
    assert f"test_base_layer.py:{line}" in text and 'return layer(Input((100,), name="picture"))' in text
    assert "classes (Dense)" in text and "784" in text and "(None, 100)" in text and "picture: float32[batch, 100]" in text


def test_an_error_inside_an_own_layer_names_its_line_and_the_layer() -> None:
    class Wrong(Layer):
        def call(self, x: Any) -> Any:
            return gf.matmul(x, np.zeros((7, 7), "float32"))  # here

    with pytest.raises(ShapeError) as caught:
        Sequential([Dense(3, input_dim=3), Wrong()])
    assert "# here" in str(caught.value) and "wrong_1 (Wrong)" in str(caught.value)


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="inputdim"):
        Dense(3, inputdim=3)
    with pytest.raises(ArgumentError, match="units"):
        Dense()  # type: ignore[call-arg]
    with pytest.raises(GraphError, match="needs a shape"):
        Input()
