"""What subclasses of Layer may rely on: phases, masks, losses, updates, attributes, nodes; and the trainable flag."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.variable import Shared
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.arguments import ArgumentError
from graphflow.keras.engine.registry import deserialize, serialize
from graphflow.keras.layers import (
    ActivityRegularization,
    BatchNormalization,
    Dense,
    Dropout,
    Input,
    Lambda,
    Layer,
    TimeDistributed,
    Wrapper,
)
from graphflow.keras.models import Model, Sequential


class Doubles(Layer):
    """Doubles while training, as tutorials of tf.keras write it."""

    def call(self, x: Any, training: Any = None) -> Any:
        return x * 2 if training else x


@pytest.mark.smoke
def test_from_tf_keras_on_own_layers_are_told_the_phase() -> None:
    x = np.ones((4, 2))
    with generation.using("2.4"):
        model = Sequential([Doubles(input_shape=(2,))])
        model.compile("sgd", "mse")
        assert model.train_on_batch(x, x) == 1 and model.test_on_batch(x, x) == 0
        np.testing.assert_array_equal(model.predict(x), x)
    old = Sequential([Doubles(input_shape=(2,))])
    old.compile("sgd", "mse")
    assert old.train_on_batch(x, x) == 0


def test_a_phase_that_is_given_holds_for_layers_inside() -> None:
    class Block(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.drop = Dropout(0.5)

        def call(self, x: Any, training: Any = None) -> Any:
            return self.drop(x)

    x = Input((50,))
    block = Block()
    model = Model(x, [block(x, training=True), block(x, training=False), block(x)])
    dropped, kept, tested = model.predict(np.ones((2, 50)))
    assert set(np.unique(dropped)) == {0.0, 2.0} and (kept == 1).all() and (tested == 1).all()


def test_losses_and_updates_of_either_phase_are_not_counted_twice() -> None:
    class Costs(Layer):
        def call(self, x: Any, training: Any = None) -> Any:
            self.add_loss(gf.mean(x) * 10)
            return x + 1 if training else x

    with generation.using("2.4"):
        model = Sequential([Costs(input_shape=(2,))])
        model.compile("sgd", "mse")
        assert model.train_on_batch(np.ones((4, 2)), np.ones((4, 2))) == pytest.approx(11)
        assert model.test_on_batch(np.ones((4, 2)), np.ones((4, 2))) == pytest.approx(10)


@pytest.mark.parametrize(("name", "want"), [("2.2", 8.0), ("2.4", 2.0)])
def test_activity_penalties_are_per_batch_and_from_tf_keras_on_per_sample(name: str, want: float) -> None:
    generation.use(name)
    layer = ActivityRegularization(l1=1.0, input_shape=(2,))
    model = Sequential([layer])
    model.compile("sgd", "mse")
    x = np.ones((4, 2))
    assert model.test_on_batch(x, x) == pytest.approx(want)
    assert len(layer.get_losses_for(layer.input)) == 1 and layer.get_losses_for(None) == []


def test_a_nested_model_counts_activities_of_its_new_inputs_only() -> None:
    inner = Sequential([Dense(2, activity_regularizer="l2", kernel_initializer="ones", use_bias=False, input_shape=(2,))])
    x = Input((2,))
    model = Model(x, inner(x))
    model.compile("sgd", "mse")
    data = np.ones((1, 2))
    assert model.test_on_batch(data, np.full((1, 2), 2.0)) == pytest.approx(0.01 * 8)


def test_losses_may_be_functions_and_metrics_are_kept() -> None:
    class Own(Layer):
        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight("w", (), initializer="ones")
            self.add_loss(lambda: self.w * 3)

        def call(self, x: Any) -> Any:
            self.add_metric(gf.mean(x), name="level")
            return x * self.w

    layer = Own()
    layer(Input((2,)))
    assert float(gf.function([], layer.losses[0])()) == 3 and len(layer.get_losses_for(None)) == 1
    assert [name for name, _ in layer.added_metrics] == ["level"]


def test_updates_belong_to_inputs() -> None:
    class Counter(Layer):
        def build(self, input_shape: Any) -> None:
            self.seen = self.add_weight("seen", (), initializer="zeros", trainable=False)

        def call(self, x: Any) -> Any:
            self.add_update([(self.seen, self.seen + 1)])
            self.add_update([(self.seen, self.seen + gf.sum(x))], inputs=x)
            return x

    x, z = Input((2,)), Input((2,))
    layer = Counter()
    layer(x)
    layer(z)
    assert len(layer.updates) == 4 and len(layer.get_updates_for(None)) == 2 and len(layer.get_updates_for(x)) == 1
    layer.trainable = False
    assert layer.updates == []
    layer.stateful = True
    assert len(layer.updates) == 4


def test_layers_in_lists_and_dicts_are_tracked_whenever_they_come() -> None:
    class Stack(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.blocks: list[Layer] = []
            for _ in range(2):
                self.blocks.append(Dense(2))
            self.heads = {"a": Dense(1)}

        def call(self, x: Any) -> Any:
            for block in self.blocks:
                x = block(x)
            return self.heads["a"](x)

    layer = Stack()
    layer(Input((2,)))
    assert [w.shape for w in layer.trainable_weights] == [(2, 2), (2,), (2, 2), (2,), (2, 1), (1,)]
    layer.heads = {"a": Dense(3)}
    assert len(layer.trainable_weights) == 4  # a layer that was replaced is no longer there


@pytest.mark.parametrize(("name", "reaches"), [("2.2", False), ("2.4", True)])
def test_trainable_reaches_layers_inside_from_tf_keras_on(name: str, reaches: bool) -> None:
    generation.use(name)
    inner = Sequential([Dense(2, input_shape=(2,)), Dense(2)])
    inner.trainable = False
    assert inner.layers[0].trainable is not reaches and inner.trainable_weights == [] and len(inner.non_trainable_weights) == 4
    inner.trainable = True
    assert len(inner.trainable_weights) == 4


def test_further_arguments_of_a_call_have_names_and_positions() -> None:
    class Mix(Layer):
        def call(self, x: Any, other: Any, factor: float = 1.0) -> Any:
            return x + other * factor

    a, b = Input((2,)), Input((2,))
    layer = Mix()
    model = Model([a, b], layer(a, Dense(2, kernel_initializer="ones")(b), factor=3.0))
    assert layer.inbound_nodes[0].arguments["factor"] == 3.0 and len(model.layers) == 4
    np.testing.assert_array_equal(model.predict([np.ones((1, 2)), np.ones((1, 2))]), [[7, 7]])
    c, d = Input((2,)), Input((2,))
    np.testing.assert_array_equal(Model([c, d], model([c, d])).predict([np.zeros((1, 2)), np.ones((1, 2))]), [[6, 6]])
    with pytest.raises(ArgumentError, match="mix_1"):
        layer(a, b, 1.0, 2.0)


def test_layers_of_keras_1() -> None:
    class Old(Layer):
        def build(self, input_shape: Any) -> None:
            self.W = self.add_weight((input_shape[1], 2), "one", name="W")
            self.trainable_weights = [self.W]

        def call(self, x: Any, mask: Any = None) -> Any:
            return gf.matmul(x, self.W)

        def get_output_shape_for(self, input_shape: Any) -> Any:
            return (input_shape[0], 2)

    layer = Old(input_shape=(3,))
    model = Sequential([layer])
    np.testing.assert_array_equal(model.predict(np.ones((1, 3))), [[3, 3]])
    assert layer.get_output_shape_for((None, 3)) == (None, 2) and isinstance(layer.weights[0], Shared)
    assert Dense(4).get_output_shape_for((None, 3)) == (None, 4)


def test_wrappers_hold_a_layer_and_its_weights() -> None:
    class Twice(Wrapper):
        def call(self, x: Any) -> Any:
            return self.layer(self.layer(x))

    wrapper = Twice(Dense(3, kernel_initializer="ones"), input_shape=(3,))
    model = Sequential([wrapper])
    np.testing.assert_array_equal(model.predict(np.ones((1, 3))), [[9, 9, 9]])
    assert len(wrapper.weights) == 2 and model.count_params() == 12


def test_time_distributed_is_its_layer_on_each_step() -> None:
    inner = Dense(4, activation="tanh")
    x = Input((None, 3))
    layer = TimeDistributed(inner)
    model = Model(x, layer(x))
    data = np.random.rand(2, 5, 3)
    w, b = inner.get_weights()
    np.testing.assert_allclose(model.predict(data), np.tanh(data @ w + b), rtol=1e-5)
    assert layer.output_shape == (None, None, 4) and layer.compute_output_shape((None, 7, 3)) == (None, 7, 4)
    again = deserialize(serialize(layer))
    assert type(again.layer) is Dense and serialize(again) == serialize(layer)


def test_a_wrapper_is_trainable_as_its_layer_is() -> None:
    layer = TimeDistributed(BatchNormalization())
    layer(Input((3, 2)))
    assert len(layer.updates) == 2 and len(layer.trainable_weights) == 2
    layer.trainable = False
    assert layer.updates == [] and layer.trainable_weights == [] and not layer.layer.trainable
    layer.layer.trainable = True
    assert layer.trainable and len(layer.updates) == 2
    assert not TimeDistributed(Dense(2, trainable=False)).trainable


@pytest.mark.parametrize("name", ["2.2", "2.4"])
def test_a_phase_that_was_set_holds_for_layers_called_after(name: str) -> None:
    generation.use(name)
    K.set_learning_phase(1)
    always = Sequential([Dropout(0.5, input_shape=(50,))])
    K.set_learning_phase(0)
    never = Sequential([Dropout(0.5, input_shape=(50,)), Doubles()])
    never.compile("sgd", "mse")
    x = np.ones((2, 50))
    assert set(np.unique(always.predict(x))) == {0.0, 2.0} and never.train_on_batch(x, x) == 0
    K.clear_session()
    again = Sequential([Dropout(0.5, input_shape=(50,))])
    again.compile("sgd", "mse")
    assert again.train_on_batch(x, x) > 0 and again.test_on_batch(x, x) == 0


def test_lambda_is_known_by_the_name_of_its_function() -> None:
    assert serialize(Lambda(abs))["config"]["function"] == "abs" and serialize(Lambda(lambda x: x))["config"]["function_type"] == "lambda"
    with pytest.raises(gf.GraphError, match="code from a file is not run"):
        deserialize({"class_name": "Lambda", "config": {"name": "squares", "function": ["4wEAAAA=", None, None], "function_type": "lambda"}})
    found = deserialize({"class_name": "Lambda", "config": {"name": "squares", "function": "square"}}, {"square": lambda x: x**2})
    assert float(gf.function([], found(np.float32(3)))()) == 9
