"""Kinds of programs that tutorials of 2016 to 2020 are about, in small: each trains, and does what makes it that kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphflow import keras
from graphflow.frontends import front_ends
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.layers import (
    LSTM,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalMaxPooling1D,
    Input,
    Lambda,
    LeakyReLU,
    RepeatVector,
    TimeDistributed,
)
from graphflow.keras.models import Model, Sequential

OF_2016 = """
import numpy as np
from keras import backend as K
from keras.layers.convolutional import Convolution2D, MaxPooling2D
from keras.layers.core import Activation, Dense, Dropout, Flatten
from keras.models import Sequential
from keras.objectives import categorical_crossentropy
from keras.preprocessing.image import ImageDataGenerator
from keras.regularizers import l2
from keras.utils import np_utils
from keras.utils.visualize_util import plot

K.set_image_dim_ordering('th')
X = np.random.rand(20, 1, 12, 12)
Y = np_utils.to_categorical(np.arange(20) % 3, nb_classes=3)
model = Sequential()
model.add(Convolution2D(4, 3, 3, border_mode='valid', input_shape=(1, 12, 12)))
model.add(Activation('relu'))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Dropout(0.25))
model.add(Flatten())
model.add(Dense(8, W_regularizer=l2(0.01), init='he_normal'))
model.add(Dense(3, activation='softmax'))
model.compile(loss=categorical_crossentropy, optimizer='adadelta', metrics=['accuracy'])
generator = ImageDataGenerator(rotation_range=5, dim_ordering='th')
generator.fit(X)
history = model.fit_generator(generator.flow(X, Y, batch_size=5), samples_per_epoch=20, nb_epoch=2, validation_data=(X, Y), verbose=0)
classes = model.predict_classes(X, verbose=0)
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_program_of_2016() -> None:
    scope: dict[str, Any] = {}
    try:
        with front_ends():
            exec(OF_2016, scope)
    finally:
        K.set_image_data_format("channels_last")
    assert scope["model"].layers[0].output_shape == (None, 4, 10, 10) and scope["classes"].shape == (20,)
    assert len(scope["history"].history["val_acc"]) == 2 and scope["plot"] is keras.utils.plot_model


def test_a_variational_autoencoder() -> None:
    """A random Lambda, a model with three outputs inside another, and a loss that needs no targets."""
    x = Input(shape=(20,))
    hidden = Dense(8, activation="relu")(x)
    mean, log_variance = Dense(2)(hidden), Dense(2)(hidden)
    drawn = Lambda(lambda both: both[0] + K.exp(both[1] / 2) * K.random_normal(shape=(K.shape(both[0])[0], 2)), output_shape=(2,))([mean, log_variance])
    encoder = Model(x, [mean, log_variance, drawn])
    code = Input(shape=(2,))
    decoder = Model(code, Dense(20, activation="sigmoid")(Dense(8, activation="relu")(code)))
    again = decoder(encoder(x)[2])
    model = Model(x, again)
    divergence = -0.5 * K.sum(1 + log_variance - K.square(mean) - K.exp(log_variance), axis=-1)
    model.add_loss(K.mean(20 * keras.losses.mse(x, again) + divergence))
    model.compile(optimizer="adam")
    data = np.random.rand(32, 20)
    losses = model.fit(data, epochs=30, batch_size=8, validation_data=(data, None), verbose=0).history["loss"]
    assert losses[-1] < losses[0] and encoder.predict(data)[0].shape == (32, 2) and decoder.predict(np.zeros((1, 2))).shape == (1, 20)


def test_twins_that_share_their_layers() -> None:
    """One model called twice, a distance as a Lambda with its shape, and a loss and a metric of the user's."""
    one = Input(shape=(5, 5))
    base = Model(one, Dense(8, activation="relu")(Dropout(0.1)(Flatten()(one))))
    a, b = Input(shape=(5, 5)), Input(shape=(5, 5))
    distance = Lambda(
        lambda pair: K.sqrt(K.maximum(K.sum(K.square(pair[0] - pair[1]), axis=1, keepdims=True), K.epsilon())), output_shape=lambda shapes: (shapes[0][0], 1)
    )([base(a), base(b)])

    def contrast(y_true: Any, y_pred: Any) -> Any:
        return K.mean(y_true * K.square(y_pred) + (1 - y_true) * K.square(K.maximum(1 - y_pred, 0)))

    def close_enough(y_true: Any, y_pred: Any) -> Any:
        return K.mean(K.equal(y_true, K.cast(y_pred < 0.5, y_true.dtype)))

    model = Model([a, b], distance)
    model.compile(loss=contrast, optimizer=keras.optimizers.RMSprop(), metrics=[close_enough])
    x, y = np.random.rand(24, 2, 5, 5), np.arange(24) % 2
    history = model.fit([x[:, 0], x[:, 1]], y, batch_size=8, epochs=10, validation_data=([x[:, 0], x[:, 1]], y), verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and 0 <= history["val_close_enough"][-1] <= 1


def test_two_networks_against_each_other() -> None:
    """A discriminator that is trained by itself and frozen inside the other's model."""
    generator = Sequential([Dense(8, input_dim=4), LeakyReLU(alpha=0.2), BatchNormalization(momentum=0.8), Dense(6, activation="tanh")])
    discriminator = Sequential([Dense(8, input_dim=6), LeakyReLU(alpha=0.2), Dense(1, activation="sigmoid")])
    discriminator.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam(0.01, 0.5), metrics=["accuracy"])
    noise = Input(shape=(4,))
    made = generator(noise)
    discriminator.trainable = False
    combined = Model(noise, discriminator(made))
    combined.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam(0.01, 0.5))
    drawn = np.random.normal(0, 1, (8, 4))
    before = discriminator.get_weights(), generator.get_weights()
    combined.train_on_batch(drawn, np.ones((8, 1)))
    assert all(np.array_equal(u, v) for u, v in zip(before[0], discriminator.get_weights(), strict=True))
    assert not all(np.array_equal(u, v) for u, v in zip(before[1], generator.get_weights(), strict=True))
    real = discriminator.train_on_batch(np.random.rand(8, 6), np.ones((8, 1)))
    fake = discriminator.train_on_batch(generator.predict(drawn), np.zeros((8, 1)))
    assert len(0.5 * np.add(real, fake)) == 2
    assert not all(np.array_equal(u, v) for u, v in zip(before[0], discriminator.get_weights(), strict=True))


def test_an_image_that_a_layer_likes_better() -> None:
    """Gradient ascent on the input, by the names of layers, K.gradients and K.function."""
    K.set_learning_phase(0)
    network = keras.applications.MobileNet(weights=None, include_top=False, alpha=0.25, input_shape=(32, 32, 3))
    by_name = {layer.name: layer for layer in network.layers}
    activity = K.mean(K.square(by_name["conv_pw_2_relu"].output[:, 1:-1, 1:-1, :]))
    gradient = K.gradients(activity, network.input)[0]
    gradient = gradient / K.maximum(K.mean(K.abs(gradient)), K.epsilon())
    step = K.function([network.input], [activity, gradient])
    image = np.random.rand(1, 32, 32, 3)
    first = step([image])[0]
    for _ in range(5):
        image = image + 0.02 * step([image])[1]
    assert step([image])[0] > first


@pytest.mark.slow
def test_sequences_to_classes_and_to_sequences() -> None:
    x, y = keras.preprocessing.sequence.pad_sequences([[1, 2, 3], [4, 5]] * 8, maxlen=10), np.array([0, 1] * 8)
    for middle in (
        [LSTM(8, dropout=0.2, recurrent_dropout=0.2)],
        [Dropout(0.2), Conv1D(8, 3, activation="relu"), GlobalMaxPooling1D()],
        [Bidirectional(LSTM(4))],
    ):
        model = Sequential([Embedding(20, 8, input_length=10), *middle, Dense(1, activation="sigmoid")])
        model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
        model.fit(x, y, batch_size=4, epochs=1, validation_data=(x, y), verbose=0)
        assert len(model.evaluate(x, y, verbose=0)) == 2
    model = Sequential([LSTM(8, input_shape=(7, 12)), RepeatVector(4), LSTM(8, return_sequences=True), TimeDistributed(Dense(12, activation="softmax"))])
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    digits = np.zeros((10, 7, 12), dtype=bool)
    model.fit(digits, np.eye(12, dtype=bool)[np.zeros((10, 4), int)], epochs=1, verbose=0)
    assert model.predict_classes(digits, verbose=0).shape == (10, 4)


def test_a_step_of_the_users_own_that_k_function_runs() -> None:
    """As actors and critics are trained: `get_updates` in the order of Keras 1, a loss for each sample, fetches and feeds of a session."""
    actor = Sequential([Dense(6, input_dim=4, activation="relu"), Dense(2, activation="softmax")])
    action, advantage = K.placeholder(shape=(None, 2)), K.placeholder(shape=(None,))
    chosen = K.log(K.sum(action * actor.output, axis=1) + 1e-10) * K.stop_gradient(advantage)
    weights = actor.trainable_weights
    updates = keras.optimizers.RMSprop(lr=0.05, epsilon=0.1).get_updates(weights, [], -chosen)
    step = K.function([actor.input, action, advantage], [], updates=updates)
    states, taken = np.random.rand(8, 4), np.eye(2)[np.zeros(8, int)]
    before = actor.predict(states)[:, 0].mean()
    for _ in range(20):
        assert step([states, taken, np.ones(8)]) == []
    assert actor.predict(states)[:, 0].mean() > before
    loss = K.mean(chosen)
    orders = [((loss, weights), {}), ((weights, {}), {"loss": loss}), ((weights,), {"loss": loss}), ((), {"params": weights, "constraints": [], "loss": loss})]
    assert {len(keras.optimizers.SGD().get_updates(*given, **named)) for given, named in orders} == {1 + len(weights)}
    with pytest.raises(TypeError, match="a loss and weights"):
        keras.optimizers.SGD().get_updates(weights)
    seen, scale, feeds = K.variable(0.0), K.placeholder(shape=()), {}
    feeds[scale] = 3.0
    count = K.function([advantage], [K.sum(advantage)], fetches=[K.update(seen, scale * 10)], feed_dict=feeds)
    assert count([np.ones(2)]) == [2] and K.get_value(seen) == 30
    feeds[scale] = 4.0
    assert count([np.ones(3)]) == [3] and K.get_value(seen) == 40 and K.get_value(seen * 2) == 80


def test_a_style_that_is_compared_within_one_batch() -> None:
    """A network on a batch of variables and a placeholder, whose results a function computes without feeding the batch."""
    content, style = (K.variable(np.random.rand(1, 8, 8, 3)) for _ in range(2))
    mixed = K.placeholder((1, 8, 8, 3))
    batch = K.concatenate([content, style, mixed], axis=0)
    entry = Input(tensor=batch)
    network = Model(entry, keras.layers.Conv2D(4, 3, activation="relu", name="first")(entry))
    features = network.get_layer("first").output
    grams = [K.dot(f, K.transpose(f)) for f in (K.batch_flatten(K.permute_dimensions(features[i], (2, 0, 1))) for i in (1, 2))]
    loss = K.sum(K.square(features[2] - features[0])) + K.sum(K.square(grams[0] - grams[1]))
    descend = K.function([mixed], [loss, *K.gradients(loss, mixed)])
    picture = np.random.rand(1, 8, 8, 3)
    first, slope = descend([picture])
    assert descend([picture - 1e-4 * slope])[0] < first and descend([K.get_value(content)])[0] < first
    assert network.predict(np.zeros((3, 8, 8, 3))).shape == (3, 6, 6, 4)


def test_what_programs_read_off_variables() -> None:
    """`_keras_shape`, `_keras_history`, `_uses_learning_phase`; calls by the names that Keras 2 has for them; states that no layer made."""
    x = Input(batch_shape=(2, 5, 3))
    y = LSTM(4)(x, initial_state=[K.zeros((2, 4)), K.ones((2, 4))])
    model = Model(x, y)
    layer, node, index = y._keras_history
    assert (layer, node, index) == (model.layers[1], 0, 0) and y._keras_shape == (2, 4) and not hasattr(K.zeros((2,)), "_keras_history")
    call = layer._inbound_nodes[0]
    assert call.inbound_layers == [model.layers[0]] and call.output_tensors == [y] and call.input_tensors[0] is x and call.outbound_layer is layer
    assert Dropout(0.5)(x)._uses_learning_phase and not y._uses_learning_phase
    value = K.zeros((3,))
    value._keras_shape, value._uses_learning_phase = (None, 3), True
    assert value._keras_shape == (None, 3) and value._uses_learning_phase
    model.compile("sgd", "mse")
    assert np.isfinite(model.train_on_batch(np.ones((2, 5, 3)), np.ones((2, 4)))) and model(Input(batch_shape=(2, 5, 3))).shape == (2, 4)
    assert keras.engine.get_source_inputs(y) == [x] and K.tensorflow_backend._get_available_gpus() == []


def test_weights_of_classes_in_every_form() -> None:
    x, y = np.random.rand(8, 3), np.eye(2)[np.arange(8) % 2]
    model = Sequential([Dense(2, input_dim=3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy")
    plain = model.test_on_batch(x, y)
    for no_dict in ("auto", np.array([1.0, 5.0])):
        with pytest.warns(UserWarning, match="changes nothing"):
            model.fit(x, y, class_weight=no_dict, epochs=1, verbose=0)
    assert model.test_on_batch(x, y) < plain
    z = Input((3,))
    both = Model(z, [Dense(2, activation="softmax")(z), Dense(2, activation="softmax")(z)])
    both.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy")
    losses = both.fit(x, [y, y], class_weight=[{0: 3.0, 1: 3.0}, None], epochs=1, verbose=0).history
    names = [f"{name}_loss" for name in both.output_names]
    evaluated = dict(zip(both.metrics_names, both.evaluate(x, [y, y], verbose=0), strict=True))
    np.testing.assert_allclose([losses[names[0]][0], losses[names[1]][0]], [3 * evaluated[names[0]], evaluated[names[1]]], rtol=1e-5)


def test_what_a_nested_model_asks_for() -> None:
    """Statistics of a model inside move; penalties and updates of calls outside the model are not its own."""
    shared = Sequential([Dense(4, input_dim=3, activity_regularizer="l1", kernel_regularizer="l2"), BatchNormalization()])
    x = Input((3,))
    outer = Model(x, shared(x))
    assert len(outer.losses) == 2 and len(outer.updates) == 2 and len(shared.updates) == 2
    outer.compile("sgd", "mse")
    before = shared.layers[1].get_weights()[2:]
    outer.train_on_batch(5 * np.random.rand(8, 3), np.zeros((8, 4)))
    assert not any(np.array_equal(u, v) for u, v in zip(before, shared.layers[1].get_weights()[2:], strict=True))


def test_products_of_batches() -> None:
    """Of matrices before Keras 2.3, of any axes since."""
    rng = np.random.default_rng(0)
    x, y, z = rng.random((2, 5, 4)), rng.random((2, 5, 7, 4)), rng.random((2, 5, 7, 4))
    np.testing.assert_allclose(K.eval(K.batch_dot(K.variable(x), K.variable(y), [2, 3])), np.einsum("bkd,bkid->bki", x, y), rtol=1e-5)
    np.testing.assert_allclose(K.eval(K.batch_dot(K.variable(y), K.variable(z), axes=[3, 3])), np.einsum("bhqd,bhkd->bhqk", y, z), rtol=1e-5)
    a, b = rng.random((6, 3)), rng.random((3, 6))
    np.testing.assert_allclose(K.eval(K.batch_dot(K.variable(a), K.variable(b), axes=(0, 1))), (a.T * b).sum(1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(K.eval(K.batch_dot(K.variable(a), K.variable(a), axes=0)), (a * a).sum(0)[:, None], rtol=1e-5)
    with generation.using("2.3"):
        np.testing.assert_allclose(K.eval(K.batch_dot(K.variable(y), K.variable(z), axes=[3, 3])), np.einsum("bhqd,bgkd->bhqgk", y, z), rtol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_layers_as_keras_1_spells_them() -> None:
    from graphflow.keras.layers import ConvLSTM2D, Deconvolution2D, SeparableConv2D

    assert ConvLSTM2D(5, 3, 3).cell.kernel_size == (3, 3)
    former = ConvLSTM2D(nb_filter=5, nb_row=3, nb_col=2, border_mode="same", forget_bias_init="one", inner_activation="sigmoid", dim_ordering="th")
    assert (former.cell.filters, former.cell.kernel_size, former.cell.padding, former.cell.data_format) == (5, (3, 2), "same", "channels_first")
    assert Deconvolution2D(5, 3, 3, (6, 7, 5)).kernel_size == (3, 3) and Deconvolution2D(5, 3, 3, output_shape=(6, 7, 5)).strides == (1, 1)
    both = SeparableConv2D(5, 3, 3, init="he_normal").get_config()
    assert both["depthwise_initializer"] == both["pointwise_initializer"] and both["depthwise_initializer"]["config"]["scale"] == 2


def test_what_is_not_possible_is_said() -> None:
    for wrong, text in [
        (lambda: K.set_learning_phase(2), "0 or 1"),
        (lambda: K.dropout(K.zeros((2,)), level=-0.5), "level"),
        (lambda: K.set_floatx("beerfloat"), "floatx"),
        (lambda: keras.layers.ReLU(max_value=-1.0), "max_value"),
        (lambda: keras.layers.SpatialDropout2D(0.5, data_format="channels_middle"), "channels_middle"),
        (lambda: Sequential([Embedding(10, 4, input_length=2, input_shape=(4, 5))]), "input_length"),
    ]:
        with pytest.raises(ValueError, match=text):
            wrong()
    x = K.variable([-3.0, -1.0, 2.0, 7.0])
    assert K.eval(K.relu(x, alpha=0.5, max_value=5.0, threshold=-2.0)).tolist() == [-0.5, 0, 2, 5]


def test_a_layer_test_as_keras_2_has_it() -> None:
    from graphflow.keras.utils.test_utils import layer_test

    made = layer_test(Dense, {"units": 3, "kernel_initializer": "ones"}, input_shape=(2, 4), expected_output=None)
    assert made.shape == (2, 3)
    assert layer_test(Embedding, {"input_dim": 100, "output_dim": 2}, input_shape=(3, None), input_dtype="int32", expected_output_dtype="float32").shape[0] == 3
    assert layer_test(Dropout, {"rate": 0.5}, input_data=np.ones((2, 3), "float32"), expected_output=np.ones((2, 3))).shape == (2, 3)
    with pytest.raises(AssertionError):
        layer_test(Dense, {"units": 3}, input_data=np.ones((2, 4), "float32"), expected_output=np.full((2, 3), 9.0))
    with pytest.raises(AssertionError, match="not int32"):
        layer_test(Embedding, {"input_dim": 5, "output_dim": 2}, input_shape=(3, 2), input_dtype="int32")
    with pytest.raises(ValueError, match="input_shape or input_data"):
        layer_test(Dense, {"units": 3})


def test_functions_of_the_users_own_come_back_from_a_file(tmp_path: Any) -> None:
    def overlap(y_true: Any, y_pred: Any, smooth: float = 1) -> Any:
        return (2 * K.sum(y_true * y_pred) + smooth) / (K.sum(y_true) + K.sum(y_pred) + smooth)

    def loss(y_true: Any, y_pred: Any) -> Any:
        return 1 - overlap(y_true, y_pred)

    model = Sequential([Dense(2, input_dim=3, activation="sigmoid")])
    model.compile("rmsprop", loss, metrics=[overlap])
    x, y = np.random.rand(4, 3), np.eye(2)[[0, 1, 0, 1]]
    expected = model.evaluate(x, y, verbose=0)
    model.save(tmp_path / "own.h5")
    again = keras.models.load_model(tmp_path / "own.h5", custom_objects={"loss": loss, "overlap": overlap})
    np.testing.assert_allclose(again.evaluate(x, y, verbose=0), expected, rtol=1e-6)


def test_matrices_that_are_mostly_zeros() -> None:
    """SciPy's sparse matrices as inputs and as targets, whole and by batches."""
    sparse = pytest.importorskip("scipy.sparse")
    x, y = np.eye(6)[np.arange(12) % 6], np.eye(3)[np.arange(12) % 3]
    entry = Input((6,), sparse=True)
    model = Model(entry, Dense(3, activation="softmax")(entry))
    model.compile("sgd", "categorical_crossentropy")
    expected = model.predict(x)
    np.testing.assert_array_equal(model.predict(sparse.csr_matrix(x)), expected)
    assert model.test_on_batch(sparse.csr_matrix(x), sparse.csr_matrix(y)) == model.test_on_batch(x, y)
    model.fit(sparse.csr_matrix(x), y, validation_split=0.25, epochs=1, verbose=0)
    model.fit_generator(((sparse.csr_matrix(x[:4]), y[:4]) for _ in range(9)), steps_per_epoch=2, epochs=1, verbose=0)
    assert Model.from_config(model.get_config()).layers[0].sparse


def test_what_callbacks_see_of_the_validation_data() -> None:
    class Seen(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            predicted = self.model.predict(self.validation_data[0]).argmax(1)
            logs["val_agreement"] = (predicted == self.validation_data[1].argmax(1)).mean()
            self.parts = [part.shape for part in self.validation_data]

    x, y, seen = np.random.rand(8, 3), np.eye(2)[np.arange(8) % 2], Seen()
    model = Sequential([Dense(2, input_dim=3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy")
    history = model.fit(x, y, epochs=2, validation_data=(x, y), callbacks=[seen], verbose=0).history
    assert seen.parts == [(8, 3), (8, 2), (8,)] and len(history["val_agreement"]) == 2
    with pytest.raises(ValueError, match="validation_data must be provided"):
        model.fit(x, y, callbacks=[keras.callbacks.TensorBoard(histogram_freq=1)], verbose=0)


def test_a_summary_says_that_compile_was_forgotten(capsys: Any) -> None:
    base = Sequential([Dense(2, input_dim=3)])
    model = Sequential([base, Dense(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(np.ones((1, 3)), np.ones((1, 1)))
    base.trainable = False
    with pytest.warns(UserWarning, match="Discrepancy"):
        model.summary()
    assert "Trainable params: 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "from keras.utils.training_utils import multi_gpu_model",
        "from keras.engine.topology import Container, _to_list, _object_list_uid, get_source_inputs",
        "from keras.applications.mobilenet import relu6, DepthwiseConv2D",
        "from keras.utils.conv_utils import normalize_data_format, normalize_tuple",
        "from keras.initializers import _compute_fans",
        "from keras.utils.test_utils import keras_test, layer_test",
    ],
)
def test_imports_of_old_programs(line: str) -> None:
    scope: dict[str, Any] = {}
    with front_ends():
        exec(line, scope)
    assert all(callable(value) for name, value in scope.items() if name != "__builtins__") and len(scope) > 1


def test_a_program_may_ask_for_the_version() -> None:
    assert keras.__version__ == "2.2.4"
    with generation.using("2.3"):
        assert keras.__version__ == "2.3.1"


def test_a_test_of_keras_2_leaves_nothing_behind() -> None:
    from graphflow.keras.utils.test_utils import keras_test

    @keras_test
    def one(size: int) -> str:
        return Dense(size).name

    assert one(1) == one(size=2) == "dense_1" and one.__name__ == "one"
