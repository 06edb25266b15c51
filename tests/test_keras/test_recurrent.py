"""Recurrent layers beyond the fixtures of real Keras: states, masks, dropout, cells of one's own, training, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.layers import (
    GRU,
    LSTM,
    RNN,
    AbstractRNNCell,
    Bidirectional,
    ConvLSTM2D,
    ConvLSTM2DCell,
    ConvRNN2D,
    CuDNNGRU,
    CuDNNLSTM,
    Dense,
    Embedding,
    GRUCell,
    Input,
    Layer,
    LSTMCell,
    Masking,
    SimpleRNN,
    SimpleRNNCell,
    StackedRNNCells,
    TimeDistributed,
)
from graphflow.keras.models import Model, Sequential
from graphflow.keras.optimizers import Adam
from graphflow.runtime.loop import Loop

X = np.random.RandomState(3).standard_normal((4, 5, 3)).astype("float32")
LAYERS: dict[str, Any] = {"simple": SimpleRNN, "lstm": LSTM, "gru": GRU, "gru after": lambda units, **more: GRU(units, reset_after=True, **more)}
each = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def value(v: Any, x: Any, at: Any) -> Any:
    return gf.function([x], v)(at)


def scaled(layer: Any, seed: int = 0) -> None:
    """Weights that are not small, biases too."""
    rng = np.random.RandomState(seed)
    layer.set_weights([rng.standard_normal(w.shape).astype("float32") * 0.5 for w in layer.get_weights()])


# --- states -----------------------------------------------------------------------------------------
@each
@pytest.mark.smoke
def test_a_stateful_layer_goes_on_where_it_stopped(make: Any) -> None:
    whole = Sequential([make(3, return_sequences=True, batch_input_shape=(4, 6, 3))])
    parts = Sequential([make(3, return_sequences=True, stateful=True, batch_input_shape=(4, 2, 3))])
    scaled(whole)
    parts.set_weights(whole.get_weights())
    x = np.random.RandomState(1).standard_normal((4, 6, 3)).astype("float32")
    wanted = whole.predict(x, batch_size=4)
    found = [parts.predict_on_batch(x[:, i : i + 2]) for i in (0, 2, 4)]
    np.testing.assert_allclose(np.concatenate(found, 1), wanted, rtol=1e-5, atol=1e-6)
    parts.reset_states()
    np.testing.assert_allclose(parts.predict(x[:, :2], batch_size=4), wanted[:, :2], rtol=1e-5, atol=1e-6)


def test_fit_evaluate_and_train_on_batch_keep_states() -> None:
    model = Sequential([LSTM(2, stateful=True, batch_input_shape=(2, 3, 3)), Dense(1)])
    model.compile("sgd", "mse")
    layer = model.layers[0]
    assert [s.get_value().tolist() for s in layer.states] == [[[0, 0], [0, 0]]] * 2
    x, y = X[:, :3], np.zeros((4, 1), "float32")
    seen = [layer.states[0].get_value()]
    for run in (
        lambda: model.train_on_batch(x[:2], y[:2]), lambda: model.fit(x, y, batch_size=2, shuffle=False, epochs=1, verbose=0),
        lambda: model.evaluate(x, y, batch_size=2, verbose=0), lambda: model.predict(x, batch_size=2), lambda: model.test_on_batch(x[:2], y[:2]),
    ):  # fmt: skip
        run()
        seen.append(layer.states[0].get_value())
        assert not np.allclose(seen[-1], seen[-2])
    given = [np.full((2, 2), 0.25, "float32"), np.full((2, 2), -1.0, "float32")]
    layer.reset_states(states=given)
    assert [s.get_value().tolist() for s in layer.states] == [g.tolist() for g in given]
    with pytest.raises(ValueError, match=r"State 1 is incompatible with layer lstm_1: expected shape=\(2, 2\), found shape=\(2, 3\)"):
        layer.reset_states([given[0], np.zeros((2, 3))])
    with pytest.raises(ValueError, match=r"Layer lstm_1 expects 2 states, but it received 1 state values. Input received:"):
        layer.reset_states(given[:1])
    model.reset_states()
    assert not layer.states[1].get_value().any()


@each
def test_the_returned_states_begin_another_layer(make: Any) -> None:
    x = Input((5, 3))
    whole, first, second = make(2), make(2, return_state=True), make(2)
    y = whole(x)
    _, *states = first(x[:, :3])
    z = second(x[:, 3:], initial_state=states)
    scaled(whole)
    first.set_weights(whole.get_weights())
    second.set_weights(whole.get_weights())
    wanted, found = gf.function([x], [y, z])(X)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_an_encoder_gives_its_states_to_a_decoder() -> None:
    source, target = Input((None, 3)), Input((None, 2))
    _, h, c = LSTM(4, return_state=True)(source)
    decoded = LSTM(4, return_sequences=True)(target, initial_state=[h, c])
    model = Model([source, target], TimeDistributed(Dense(2))(decoded))
    model.compile(Adam(0.02), "mse")
    again = Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    t = np.random.RandomState(2).standard_normal((4, 6, 2)).astype("float32")
    np.testing.assert_allclose(again.predict([X, t]), model.predict([X, t]), rtol=1e-6)
    history = model.fit([X, t], np.roll(t, 1, 1) * 0.1, epochs=30, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    assert again.layers[-2].name == "lstm_2" and len(again.layers[-2]._inbound_nodes) == 1


# --- masks ------------------------------------------------------------------------------------------
@each
@pytest.mark.smoke
def test_a_masked_tail_changes_nothing(make: Any) -> None:
    x = Input((None, 3))
    layer = make(3, return_sequences=True)
    y = layer(Masking(0.0)(x))
    scaled(layer)
    padded = X.copy()
    padded[:, 3:] = 0
    found, cut = value(y, x, padded), value(y, x, X[:, :3])
    np.testing.assert_allclose(found[:, :3], cut, rtol=1e-6)
    np.testing.assert_allclose(found[:, 3:], np.repeat(cut[:, -1:], 2, 1), rtol=1e-6)  # the last output goes on


def test_zero_outputs_for_masked_steps() -> None:
    x = Input((5, 3))
    layer = LSTM(2, return_sequences=True, zero_output_for_mask=True)
    mask = np.array([[1, 0, 1, 1, 0]] * 4, bool)
    found = value(layer(x, mask=mask), x, X)
    assert not found[:, [1, 4]].any() and found[:, [0, 2, 3]].all()
    assert LSTM.from_config(layer.get_config()).zero_output_for_mask


def test_bidirectional_masks_by_generation() -> None:
    mask = np.array([[0, 1, 1, 0, 0]] * 4, bool)
    for name, kept in (("2.2", True), ("2.4", False)):
        generation.use(name)
        x = Input((5, 3))
        found = value(Bidirectional(LSTM(2, return_sequences=True))(x, mask=mask), x, X)
        assert found[:, 3:, :2].any() == kept and found[:, 0, 2:].any() == kept


# --- dropout ----------------------------------------------------------------------------------------
class Summing(AbstractRNNCell):
    """States add up what comes in."""

    state_size = 3

    def call(self, inputs: Any, states: Any) -> Any:
        return states[0] + inputs, [states[0] + inputs]


@pytest.mark.parametrize("implementation", [1, 2])
@pytest.mark.parametrize("make", [LSTM, GRU])
def test_dropped_inputs_are_the_same_at_each_step(make: Any, implementation: int) -> None:
    """With the state cut off, equal inputs give outputs that differ between samples and not between steps."""
    x = Input((6, 8))
    layer = make(2, dropout=0.5, implementation=implementation, return_sequences=True, recurrent_activation="linear", activation="linear")
    y = layer(x, training=True)
    gates = 4 if make is LSTM else 3
    kernel = np.ones((8, 2 * gates), "float32")
    kernel[:, 2:4] = 0  # LSTM: the forget gate is closed; GRU: nothing is reset
    if make is GRU:
        kernel[:, :2] = 0  # the update gate is closed: the state is what is proposed
    layer.set_weights([kernel, np.zeros((2, 2 * gates), "float32"), np.zeros(2 * gates, "float32")])
    found = value(y, x, np.ones((64, 6, 8), "float32"))
    np.testing.assert_allclose(found, np.repeat(found[:, :1], 6, 1), rtol=1e-6)
    assert len(np.unique(found[:, 0, 0])) > 5


def test_dropout_drops_its_share_and_only_while_training() -> None:
    x = Input((3, 200))
    layer = SimpleRNN(1, dropout=0.25, activation="linear")
    y = layer(x)
    layer.set_weights([np.ones((200, 1), "float32"), np.zeros((1, 1), "float32"), np.zeros(1, "float32")])
    model = Model(x, y)
    ones = np.ones((50, 3, 200), "float32")
    np.testing.assert_allclose(model.predict(ones), 200)
    trained = value(layer(x, training=True), x, ones)
    kept = trained * 0.75 / 200
    np.testing.assert_allclose(kept, np.round(kept * 200) / 200, atol=1e-5)
    assert abs(kept.mean() - 0.75) < 0.02 and kept.std() > 0.01


def test_recurrent_dropout_drops_of_the_states() -> None:
    x = Input((1, 1))
    layer = SimpleRNN(100, recurrent_dropout=0.5, activation="linear", use_bias=False)
    y = layer([x, gf.constant(np.ones((20, 100), "float32"))], training=True)
    layer.set_weights([np.zeros((1, 100), "float32"), np.eye(100, dtype="float32")])
    found = value(y, x, np.zeros((20, 1, 1), "float32"))
    assert set(np.unique(found)) == {0.0, 2.0} and abs(found.mean() - 1) < 0.15


def test_a_cell_of_ones_own_may_hold_one_that_drops() -> None:
    class Wrapped(Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.inner = SimpleRNNCell(2, dropout=0.5)
            self.state_size = 2

        def build(self, input_shape: Any) -> None:
            self.inner.build(input_shape)
            self.built = True

        def call(self, inputs: Any, states: Any) -> Any:
            return self.inner.call(inputs, states)

    x = Input((5, 30))
    y = RNN(Wrapped())(x)
    assert not Model(x, y).predict(np.ones((4, 5, 30), "float32")).std(0).any()
    assert value(RNN(Wrapped())(x, training=True), x, np.ones((4, 5, 30), "float32")).std(0).all()


# --- cells of one's own -------------------------------------------------------------------------------
class Minimal(Layer):
    """The cell of Keras's documentation."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        self.units = self.state_size = units
        super().__init__(**kwargs)

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="uniform", name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, self.units), initializer="uniform", name="recurrent_kernel")
        self.built = True

    def call(self, inputs: Any, states: Any) -> Any:
        output = K.dot(inputs, self.kernel) + K.dot(states[0], self.recurrent_kernel)
        return output, [output]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class Conditioned(Minimal):
    """Adds a constant at each step."""

    def build(self, input_shape: Any) -> None:
        assert isinstance(input_shape, list) and input_shape[1] == (None, self.units)
        super().build(input_shape[0])

    def call(self, inputs: Any, states: Any, constants: Any) -> Any:
        output, _ = super().call(inputs, states)
        return output + constants[0], [output + constants[0]]


@pytest.mark.smoke
def test_a_cell_of_ones_own() -> None:
    x = Input((None, 3))
    layer = RNN(Minimal(2), return_sequences=True)
    model = Model(x, layer(x))
    kernel, recurrent = model.get_weights()
    h, wanted = np.zeros((4, 2)), []
    for t in range(5):
        h = X[:, t] @ kernel + h @ recurrent
        wanted.append(h)
    np.testing.assert_allclose(model.predict(X), np.stack(wanted, 1), rtol=1e-5, atol=1e-6)
    assert layer.trainable_weights == layer.cell.trainable_weights and model.output_shape == (None, None, 2)
    again = Model.from_config(model.get_config(), {"Minimal": Minimal})
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again.predict(X), model.predict(X))
    both = Bidirectional(RNN([Minimal(2), Minimal(3)]))
    assert Model(x, both(x)).predict(X).shape == (4, 6) and len(both.weights) == 8


def test_constants_reach_the_cell() -> None:
    x, c = Input((5, 3)), Input((2,))
    layer = RNN(Conditioned(2))
    model = Model([x, c], layer(x, constants=c))
    kernel, recurrent = model.get_weights()
    constant = np.random.RandomState(4).standard_normal((4, 2)).astype("float32")
    h = np.zeros((4, 2))
    for t in range(5):
        h = X[:, t] @ kernel + h @ recurrent + constant
    np.testing.assert_allclose(model.predict([X, constant]), h, rtol=1e-5, atol=1e-6)
    assert layer.get_config()["num_constants"] == 1
    again = Model.from_config(model.get_config(), {"Conditioned": Conditioned})
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again.predict([X, constant]), h, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"RNN cell does not support constants"):
        RNN(Minimal(2))(x, constants=c)


@pytest.mark.parametrize("reverse", [False, True])
def test_stacked_cells_are_layers_one_after_the_other(reverse: bool) -> None:
    x = Input((5, 3))
    cells = [LSTMCell(2), GRUCell(3), SimpleRNNCell(4)]
    stacked = RNN(StackedRNNCells(cells, reverse_state_order=reverse), return_state=True)
    y, *states = stacked(x)
    layers = [LSTM(2, return_sequences=True), GRU(3, return_sequences=True), SimpleRNN(4)]
    z = x
    for layer in layers:
        z = layer(z)
    scaled(stacked)
    assert [w.name for w in stacked.weights][:4] == ["lstm_cell_1/kernel", "lstm_cell_1/recurrent_kernel", "lstm_cell_1/bias", "gru_cell_1/kernel"]
    for layer, cell in zip(layers, cells, strict=True):
        layer.set_weights(cell.get_weights())
    found, wanted = gf.function([x], [y, z])(X)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert [s.shape[1] for s in states] == ([4, 3, 2, 2] if reverse else [2, 2, 3, 4])


# --- variants -----------------------------------------------------------------------------------------
def test_the_layers_of_cudnn_compute_as_those_without() -> None:
    x = Input((5, 3))
    fast, plain = CuDNNLSTM(2), LSTM(2, recurrent_activation="sigmoid")
    y, z = fast(x), plain(x)
    scaled(fast)
    kernel, recurrent, bias = fast.get_weights()
    assert bias.shape == (16,)
    plain.set_weights([kernel, recurrent, bias[:8] + bias[8:]])
    gru, after = CuDNNGRU(2), GRU(2, recurrent_activation="sigmoid", reset_after=True)
    v, w = gru(x), after(x)
    scaled(gru)
    kernel, recurrent, bias = gru.get_weights()
    after.set_weights([kernel, recurrent, bias.reshape(2, 6)])
    a, b, c, d = gf.function([x], [y, z, v, w])(X)
    np.testing.assert_allclose(a, b, rtol=1e-5)
    np.testing.assert_allclose(c, d, rtol=1e-5)
    first = CuDNNLSTM(2)
    first.build((None, 5, 3))
    assert first.get_weights()[2].tolist() == [0] * 10 + [1] * 2 + [0] * 4


def test_the_convolutional_cell_runs_in_ConvRNN2D() -> None:
    x = Input((2, 4, 4, 1))
    layer, cell = ConvLSTM2D(2, 3, padding="same"), ConvRNN2D(ConvLSTM2DCell(2, 3, padding="same"))
    y, z = layer(x), cell(x)
    cell.set_weights(layer.get_weights())
    a, b = gf.function([x], [y, z])(np.random.RandomState(0).standard_normal((3, 2, 4, 4, 1)).astype("float32"))
    np.testing.assert_allclose(a, b, rtol=1e-6)
    assert layer.output_shape == cell.output_shape == (None, 4, 4, 2)
    assert layer.get_weights()[2].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


def test_steps_may_come_first() -> None:
    x, t = Input((5, 3)), Input(batch_shape=(5, None, 3))
    layer, first = GRU(2, return_sequences=True), GRU(2, return_sequences=True, time_major=True)
    y, z = layer(x), first(t)
    first.set_weights(layer.get_weights())
    a, b = gf.function([x, t], [y, z])(X, X.swapaxes(0, 1))
    np.testing.assert_allclose(a, b.swapaxes(0, 1), rtol=1e-6)
    assert GRU.from_config(first.get_config()).time_major


def test_arguments_of_keras_1() -> None:
    generation.use("1")
    with pytest.warns(DeprecationWarning):
        layer = LSTM(
            output_dim=4, init="uniform", inner_init="orthogonal", forget_bias_init="zero", inner_activation="sigmoid", W_regularizer="l2", dropout_W=0.2,
            dropout_U=0.3, consume_less="gpu", input_dim=3, input_length=5,
        )  # fmt: skip
    config = layer.get_config()
    assert (layer.units, layer.dropout, layer.recurrent_dropout, layer.implementation) == (4, 0.2, 0.3, 2)
    assert config["recurrent_activation"] == "sigmoid" and not config["unit_forget_bias"] and layer.batch_input_shape == (None, 5, 3)
    with pytest.warns(DeprecationWarning):
        conv = ConvLSTM2D(nb_filter=4, nb_row=3, nb_col=2, inner_init="zero", inner_activation="tanh", border_mode="same", forget_bias_init="zero")
    assert (conv.filters, conv.kernel_size, conv.padding, conv.unit_forget_bias) == (4, (3, 2), "same", False)
    assert LSTM(4).unit_forget_bias and layer.kernel_regularizer is not None


def test_what_a_layer_tells_of_its_cell() -> None:
    layer = LSTM(3, kernel_regularizer="l2", bias_constraint="non_neg", activity_regularizer="l1", input_shape=(5, 3))
    assert layer.states == [None, None] and layer.cell.state_size == (3, 3)
    model = Sequential([layer])
    assert [w.name for w in layer.weights] == ["lstm_1/kernel", "lstm_1/recurrent_kernel", "lstm_1/bias"]
    assert layer.kernel is layer.cell.kernel and layer.bias.get_value()[3:6].all() and len(model.losses) == 2
    model.compile("sgd", "mse")
    layer.trainable = False
    assert layer.trainable_weights == [] and len(layer.non_trainable_weights) == 3


def test_defaults_by_generation() -> None:
    assert LSTM(1).get_config()["recurrent_activation"] == "hard_sigmoid" and not GRU(1).reset_after
    generation.use("2.3")
    assert LSTM(1).get_config()["recurrent_activation"] == "sigmoid" and LSTM(1).implementation == 2 and not GRU(1).reset_after
    generation.use("2.4")
    assert GRU(1).reset_after and ConvLSTM2D(1, 1).get_config()["recurrent_activation"] == "hard_sigmoid"
    generation.use("3")
    assert ConvLSTM2D(1, 1).get_config()["recurrent_activation"] == "sigmoid" and LSTM(1, seed=3, use_cudnn="auto").units == 1


# --- Bidirectional --------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["concat", "sum", "ave", "mul", None])
def test_bidirectional_is_two_layers(mode: Any) -> None:
    x = Input((5, 3))
    both = Bidirectional(LSTM(2, return_sequences=True, return_state=True), merge_mode=mode)
    forward, backward = LSTM(2, return_sequences=True, return_state=True), LSTM(2, return_sequences=True, return_state=True, go_backwards=True)
    made = both(x)
    one, other = forward(x), backward(x)
    scaled(both)
    forward.set_weights(both.get_weights()[:3])
    backward.set_weights(both.get_weights()[3:])
    found, (a, *ha), (b, *hb) = (gf.function([x], v)(X) for v in (made, one, other))
    b = b[:, ::-1]
    merged = {"concat": [np.concatenate([a, b], -1)], "sum": [a + b], "ave": [(a + b) / 2], "mul": [a * b], None: [a, b]}[mode]
    for got, wanted in zip(found, [*merged, *ha, *hb], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    assert [tuple(None if not isinstance(n, int) else n for n in v.shape) for v in made] == both.compute_output_shape((None, 5, 3))


def test_bidirectional_from_states_and_stateful() -> None:
    x, h = Input(batch_shape=(4, 5, 3)), [Input(batch_shape=(4, 2)) for _ in range(2)]
    both = Bidirectional(GRU(2))
    model = Model([x, *h], both(x, initial_state=h))
    given = [np.full((4, 2), v, "float32") for v in (0.5, -0.5)]
    assert not np.allclose(model.predict([X, *given], batch_size=4), model.predict([X, *given[::-1]], batch_size=4))
    with pytest.raises(ValueError, match=r"the state should be a list containing the states of the underlying RNNs"):
        both(x, initial_state=h[:1])
    kept = Sequential([Bidirectional(LSTM(2, stateful=True), batch_input_shape=(4, 5, 3))])
    first, second = kept.predict(X, batch_size=4), kept.predict(X, batch_size=4)
    kept.reset_states()
    assert not np.allclose(first, second) and np.allclose(kept.predict(X, batch_size=4), first)


def test_bidirectional_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"Invalid merge mode. Merge mode should be one of"):
        Bidirectional(LSTM(2), merge_mode="add")
    with pytest.raises(ValueError, match=r"should have different `go_backwards` value"):
        Bidirectional(LSTM(2), backward_layer=LSTM(2))
    with pytest.raises(ValueError, match='expected to have the same value for attribute "return_sequences", got "False" for forward layer and "True"'):
        Bidirectional(LSTM(2), backward_layer=LSTM(2, go_backwards=True, return_sequences=True))


# --- errors ---------------------------------------------------------------------------------------------
def test_errors_say_what_keras_says() -> None:
    x = Input((5, 3))
    with pytest.raises(ValueError, match=r"(?s)If a RNN is stateful, it needs to know its batch size.*`batch_input_shape` argument to your first layer.*`batch_shape`"):
        LSTM(2, stateful=True)(x)
    with pytest.raises(AttributeError, match=r"Layer must be stateful"):
        LSTM(2).reset_states()
    with pytest.raises(ValueError, match=r"`cell` should have a `call` method. The RNN was passed:"):
        RNN(3)
    with pytest.raises(ValueError, match=r"The RNN cell should have an attribute `state_size`"):
        RNN(Dense(3))
    with pytest.raises(ValueError, match=r"All cells must have a `state_size` attribute"):
        RNN([LSTMCell(2), Dense(3)])
    with pytest.raises(ValueError, match=r"Layer has 2 states but was passed 1 initial states"):
        LSTM(2)(x, initial_state=[Input((2,))])
    with pytest.raises(ValueError, match=r"expected ndim=3, found ndim=2"):
        LSTM(2)(Input((3,)))
    with pytest.raises(ValueError, match=r"An `initial_state` was passed that is not compatible with `cell.state_size`"):
        GRU(2)(x, initial_state=Input((3,)))
    with pytest.raises(TypeError, match=r"no argument is called 'unit'"):
        LSTM(2, unit=3)


# --- K.rnn ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("backwards", [False, True])
def test_rnn_of_the_backend(backwards: bool) -> None:
    x, c = K.constant(X), K.constant(2.0)
    mask = np.array([[1, 1, 0, 1, 0]] * 4, bool)

    def step(row: Any, states: Any) -> Any:
        new = states[0] + row * states[1]
        return new * 10, [new]

    last, outputs, states = K.rnn(step, x, [K.zeros((4, 3))], go_backwards=backwards, mask=K.constant(mask, "bool"), constants=[c])
    h, o, wanted = np.zeros((4, 3)), np.zeros((4, 3)), []
    for t in range(5)[:: -1 if backwards else 1]:
        if mask[0, t]:
            h = h + X[:, t] * 2
            o = h * 10
        wanted.append(o)
    found = gf.function([], [last, outputs, states[0]])()
    for got, want in zip(found, [wanted[-1], np.stack(wanted, 1), h], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"Input should be at least 3D"):
        K.rnn(step, K.constant(X[0]), [K.zeros((4, 3))])


# --- training ---------------------------------------------------------------------------------------------
@each
def test_gradients_are_finite_differences(make: Any) -> None:
    K.set_floatx("float64")
    x = Input((4, 2))
    layer = make(2, return_sequences=True, recurrent_activation="sigmoid") if make is not SimpleRNN else make(2, return_sequences=True)
    y = gf.sum(layer(Masking(0.0)(x)) ** 2)
    scaled(layer)
    at = X[:2, :4, :2].astype("float64")
    at[0, 2:] = 0
    loss, grads = gf.function([x], y), gf.function([x], gf.grad(y, layer.weights))(at)
    for w, g in zip(layer.weights, grads, strict=True):
        start = w.get_value()
        for index in list(np.ndindex(start.shape))[::5]:
            shifted = []
            for step in (1e-5, -1e-5):
                moved = start.copy()
                moved[index] += step
                w.set_value(moved)
                shifted.append(loss(at))
            w.set_value(start)
            np.testing.assert_allclose(g[index], (shifted[0] - shifted[1]) / 2e-5, rtol=1e-5, atol=1e-7)


@pytest.mark.smoke
def test_training_on_padded_words_takes_few_native_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    run = Loop.run
    monkeypatch.setattr(Loop, "run", lambda loop, orders, sums, until, watched: (calls.append(until - loop.at), run(loop, orders, sums, until, watched))[1])
    rng = np.random.RandomState(0)
    words = rng.randint(1, 20, (70, 8))
    words[np.arange(8)[None] >= rng.randint(3, 9, 70)[:, None]] = 0
    labels = (words == 7).any(1).astype("float32")
    model = Sequential([Embedding(20, 6, mask_zero=True), LSTM(8, dropout=0.1), Dense(1, activation="sigmoid")])
    model.compile(Adam(0.02), "binary_crossentropy", metrics=["acc"])
    history = model.fit(words, labels, batch_size=16, epochs=25, verbose=0).history  # the last batch has 6
    assert history["loss"][-1] < 0.6 * history["loss"][0] and history["acc"][-1] > 0.85
    assert sum(calls) == 25 * 5 and len(calls) < 40  # batches; native calls
    longer = np.concatenate([words, np.zeros((70, 3), int)], 1)
    np.testing.assert_allclose(model.predict(longer), model.predict(words), rtol=1e-5)


def test_training_of_both_directions_by_steps() -> None:
    model = Sequential([Bidirectional(LSTM(6, return_sequences=True), input_shape=(5, 3)), TimeDistributed(Dense(1))])
    model.compile(Adam(0.03), "mse")
    y = X.sum(-1, keepdims=True) + np.roll(X, -1, 1)[..., :1] * 0.5
    history = model.fit(X, y, epochs=80, batch_size=3, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]
