"""Programs of lectures of 2016 to 2020, on tiny data: each does what the lecture shows, with only its imports changed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphflow import keras
from graphflow.keras import layers
from graphflow.keras.layers import *  # noqa: F403
from graphflow.keras.models import Model, Sequential

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def seeded() -> None:
    keras.utils.set_random_seed(1)


def images(count: int = 40, classes: int = 10) -> tuple[Any, Any]:
    """Stand-ins for MNIST and Fashion-MNIST: a bright patch at another place for each class."""
    y = np.arange(count) % classes
    x = np.random.rand(count, 28, 28).astype("float32") / 4
    for i, c in enumerate(y):
        x[i, 2 * c : 2 * c + 4, 4:20] += 0.7
    return x, y


# --- the notes on Keras --------------------------------------------------------------------------
def test_a_network_of_dense_layers_predicts_what_numpy_scores(capsys: pytest.CaptureFixture[str]) -> None:
    X = np.random.randn(64, 128)
    y = X[:, :3].sum(axis=1, keepdims=True)
    model = Sequential()
    model.add(Input(shape=(128,)))  # noqa: F405
    model.add(Dense(units=16, activation="tanh"))  # noqa: F405
    model.add(Dense(units=1, activation="linear"))  # noqa: F405
    print(model.summary())
    assert "Total params: 2,081" in capsys.readouterr().out
    model.compile(optimizer="Adam", loss="mse")
    model.fit(X, y, epochs=2, batch_size=16, verbose=0)
    y_hat = model.predict(X)
    assert model.evaluate(X, y, verbose=0) == pytest.approx(np.mean((y_hat - y) ** 2), rel=1e-5)


def test_layers_in_a_list_and_layers_of_images() -> None:
    model = Sequential([
        Conv2D(4, (3, 3), padding="same", input_shape=(8, 8, 1)), BatchNormalization(), LeakyReLU(), MaxPooling2D(), Dropout(0.2), Flatten(), Dense(2),  # noqa: F405
    ])  # fmt: skip
    model.compile("sgd", "mse")
    model.fit(np.random.rand(6, 8, 8, 1), np.random.rand(6, 2), epochs=1, verbose=0)
    assert model.predict(np.random.rand(3, 8, 8, 1)).shape == (3, 2)
    volumes = Sequential([Conv3D(2, 3, input_shape=(5, 5, 5, 1)), Flatten(), Dense(1)])  # noqa: F405
    assert volumes.predict(np.random.rand(2, 5, 5, 5, 1)).shape == (2, 1)


@pytest.mark.skipif(not hasattr(layers, "ConvLSTM2D"), reason="recurrent layers are not there yet")
@pytest.mark.parametrize("name", ["LSTM", "SimpleRNN", "GRU"])
def test_recurrent_layers(name: str) -> None:
    model = Sequential([getattr(layers, name)(4, input_shape=(5, 3)), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.random.rand(6, 5, 3), np.random.rand(6, 1), epochs=1, verbose=0)
    frames = Sequential([layers.ConvLSTM2D(2, 3, padding="same", input_shape=(3, 6, 6, 1))])
    assert frames.predict(np.random.rand(2, 3, 6, 6, 1)).shape == (2, 6, 6, 2)


def endless(size: int) -> Iterator[tuple[Any, Any]]:
    while True:
        x = np.random.rand(size, 4)
        yield x, x.sum(axis=1, keepdims=True)


def test_endless_generators_feed_fit_predict_and_evaluate() -> None:
    model = Sequential([layers.Dense(1, input_dim=4)])
    model.compile("sgd", "mse")
    history = model.fit(endless(8), steps_per_epoch=3, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
    assert model.predict(endless(8), steps=2).shape == (16, 1)
    assert model.evaluate(endless(8), steps=2, verbose=0) >= 0
    model.fit_generator(endless(8), steps_per_epoch=2, epochs=1, verbose=0)


def test_a_known_network_inside_a_sequential() -> None:
    model = Sequential()
    model.add(keras.applications.ResNet50(include_top=False, pooling="avg", weights=None, input_shape=(32, 32, 3)))
    model.add(layers.Dense(2, activation="softmax"))
    model.layers[0].trainable = False
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    assert len(model.trainable_weights) == 2 and model.output_shape == (None, 2)
    assert model.layers[0].count_params() == 23_587_712


def test_a_skip_in_the_functional_api() -> None:
    x = keras.Input(shape=(8,))
    h = layers.Dense(8, activation="relu")(x)
    model = keras.Model(inputs=x, outputs=layers.Dense(1)(layers.add([x, h])))
    model.compile("adam", "mse")
    model.fit(np.random.rand(8, 8), np.random.rand(8, 1), epochs=1, verbose=0)
    assert model.count_params() == 72 + 9


# --- the lecture on neural networks with Keras ---------------------------------------------------
def fashion() -> Sequential:
    model = keras.models.Sequential()
    model.add(keras.layers.Flatten(input_shape=[28, 28]))
    model.add(keras.layers.Dense(300, activation="relu"))
    model.add(keras.layers.Dense(100, activation="relu"))
    model.add(keras.layers.Dense(10, activation="softmax"))
    return model


def test_fashion_mnist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pandas = pytest.importorskip("pandas")
    model = fashion()
    model.summary()
    assert "Total params: 266,610" in capsys.readouterr().out
    keras.utils.plot_model(model, str(tmp_path / "x.svg"), show_shapes=True)
    weights, biases = model.layers[1].get_weights()
    assert weights.shape == (784, 300) and not biases.any() and model.layers[1].name == "dense_1" and model.get_layer("dense_1") is model.layers[1]
    model.compile(loss="sparse_categorical_crossentropy", optimizer="sgd", metrics=["accuracy"])
    x, y = images()
    history = model.fit(x, y, epochs=2, validation_data=(x, y), verbose=0)
    assert history.params["epochs"] == 2 and history.epoch == [0, 1]
    table = pandas.DataFrame(history.history)
    assert len(table) == 2 and {"loss", "val_loss"} <= set(table.columns)
    assert history.history["accuracy"] == history.history["acc"] and history.history["val_accuracy"] == history.history["val_acc"]
    assert len(model.evaluate(x, y, verbose=0)) == 2
    probabilities = model.predict(x[:3])
    assert probabilities.round(2).shape == (3, 10)
    np.testing.assert_array_equal(model.predict_classes(x[:3]), probabilities.argmax(axis=1))


def housing() -> tuple[Any, Any]:
    from sklearn.preprocessing import StandardScaler

    X = np.random.rand(60, 8) * 10
    return StandardScaler().fit_transform(X), X[:, 0] + X[:, 3]


def test_california_housing_by_a_sequential_and_by_wide_and_deep(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = housing()
    model = Sequential([keras.layers.Dense(30, activation="relu", input_shape=X.shape[1:]), keras.layers.Dense(1)])
    model.compile(loss="mean_squared_error", optimizer=keras.optimizers.SGD(lr=1e-3))
    model.fit(X, y, epochs=2, validation_data=(X, y), verbose=0)
    assert model.predict(X[:3]).shape == (3, 1)

    input_ = keras.layers.Input(shape=X.shape[1:])
    hidden1 = keras.layers.Dense(30, activation="relu")(input_)
    hidden2 = keras.layers.Dense(30, activation="relu")(hidden1)
    concat = keras.layers.concatenate([input_, hidden2])
    model = keras.models.Model(inputs=[input_], outputs=[keras.layers.Dense(1)(concat)])
    model.summary()
    shown = capsys.readouterr().out
    assert "Total params: 1,239" in shown and "Connected to" in shown and "dense_4[0][0]" in shown


def test_two_inputs_and_two_outputs() -> None:
    X, y = housing()
    input_A, input_B = keras.layers.Input(shape=[5], name="wide_input"), keras.layers.Input(shape=[6], name="deep_input")
    hidden2 = keras.layers.Dense(30, activation="relu")(keras.layers.Dense(30, activation="relu")(input_B))
    output = keras.layers.Dense(1, name="main_output")(keras.layers.concatenate([input_A, hidden2]))
    aux_output = keras.layers.Dense(1, name="aux_output")(hidden2)
    model = Model(inputs=[input_A, input_B], outputs=[output])
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(lr=1e-3))
    X_A, X_B = X[:, :5], X[:, 2:]
    model.fit((X_A, X_B), y, epochs=1, validation_data=((X_A, X_B), y), verbose=0)
    assert np.isscalar(model.evaluate((X_A, X_B), y, verbose=0)) and model.predict((X_A[:3], X_B[:3])).shape == (3, 1)

    model = Model(inputs=[input_A, input_B], outputs=[output, aux_output])
    model.compile(loss=["mse", "mse"], loss_weights=[0.9, 0.1], optimizer="sgd")
    model.fit([X_A, X_B], [y, y], epochs=1, validation_data=([X_A, X_B], [y, y]), verbose=0)
    total, main, aux = model.evaluate([X_A, X_B], [y, y], verbose=0)
    assert total == pytest.approx(0.9 * main + 0.1 * aux, rel=1e-5)
    y_main, y_aux = model.predict([X_A[:3], X_B[:3]])
    assert y_main.shape == y_aux.shape == (3, 1)


class PrintValTrainRatio(keras.callbacks.Callback):
    ratios: list[float] = []  # noqa: RUF012

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        self.ratios.append(logs["val_loss"] / logs["loss"])


@pytest.mark.skipif(not hasattr(keras.models, "load_model"), reason="files are not there yet")
def test_saving_and_callbacks(tmp_path: Path) -> None:
    X, y = housing()
    path = str(tmp_path / "my_keras_model.h5")
    model = Sequential([keras.layers.Dense(30, activation="relu", input_shape=[8]), keras.layers.Dense(1)])
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(lr=1e-3))
    model.save(path)
    np.testing.assert_allclose(keras.models.load_model(path).predict(X), model.predict(X), rtol=1e-5)
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_best_only=True)
    stopping = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    model.fit(X, y, epochs=3, validation_data=(X, y), callbacks=[checkpoint, stopping, PrintValTrainRatio()], verbose=0)
    assert len(PrintValTrainRatio.ratios) == 3
    assert keras.models.load_model(path).evaluate(X, y, verbose=0) == pytest.approx(model.evaluate(X, y, verbose=0), rel=1e-4)


def build_model(n_hidden: int = 1, n_neurons: int = 10, learning_rate: float = 3e-3, input_shape: Any = (8,)) -> Sequential:
    model = keras.models.Sequential()
    options = {"input_shape": input_shape}
    for _ in range(n_hidden):
        model.add(keras.layers.Dense(n_neurons, activation="relu", **options))
        options = {}
    model.add(keras.layers.Dense(1, **options))
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(learning_rate))
    return model


def test_a_random_search_over_hyperparameters() -> None:
    from scipy.stats import reciprocal
    from sklearn.model_selection import RandomizedSearchCV

    X, y = housing()
    keras_reg = keras.wrappers.scikit_learn.KerasRegressor(build_model)
    keras_reg.fit(X, y, epochs=2, validation_data=(X, y), callbacks=[keras.callbacks.EarlyStopping(patience=10)], verbose=0)
    assert keras_reg.score(X, y, verbose=0) < 0 and keras_reg.predict(X[:3]).shape == (3,)
    space = {"n_hidden": [0, 1], "n_neurons": np.arange(1, 9), "learning_rate": reciprocal(3e-4, 3e-2)}
    search = RandomizedSearchCV(keras.wrappers.scikit_learn.KerasRegressor(build_model, verbose=0), space, n_iter=2, cv=2, random_state=0)
    search.fit(X, y, epochs=1, validation_data=(X, y))
    assert set(search.best_params_) == set(space) and search.best_estimator_.model.predict(X).shape == (60, 1)


# --- the lecture on Theano and Keras 1 -----------------------------------------------------------
class TrainingHistory(keras.callbacks.Callback):
    losses: list[float]

    def on_train_begin(self, logs: Any = {}) -> None:  # noqa: B006
        self.losses, self.predictions, self.i, self.save_every = [], [], 0, 50

    def on_batch_end(self, batch: int, logs: Any = {}) -> None:  # noqa: B006
        self.losses.append(logs.get("loss"))
        self.i += 1
        if self.i % self.save_every == 0:
            self.predictions.append(self.model.predict(np.linspace(-1, 1, 7)))


def test_one_neuron_and_a_noisy_sine_in_the_words_of_keras_1() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from graphflow.keras.layers.core import Activation, Dense
        from graphflow.keras.optimizers import SGD, Adam

        x = np.linspace(-1, 1, 200)
        model = Sequential()
        model.add(Dense(output_dim=1, input_dim=1, init="normal"))
        model.add(Activation("linear"))
        model.compile(loss="mse", optimizer=SGD(lr=0.05))
        history = TrainingHistory()
        model.fit(x, 2 * x + 1, nb_epoch=110, batch_size=200, verbose=0, callbacks=[history])
        assert len(history.losses) == 110 and len(history.predictions) == 2 and history.losses[-1] < history.losses[0]

        for sizes in ((60,), (10, 10)):
            model = Sequential()
            model.add(Dense(sizes[0], input_dim=1, init="normal"))
            model.add(Activation("relu"))
            for n in sizes[1:]:
                model.add(Dense(n, init="normal"))
                model.add(Activation("relu"))
            model.add(Dense(1))
            model.compile(loss="mse", optimizer=Adam())
            model.fit(x, np.sin(3 * x) + 0.1 * np.random.randn(200), nb_epoch=2, batch_size=20, verbose=0)
            assert model.predict(x).shape == (200, 1)


# --- the lecture on convolutional networks -------------------------------------------------------
def test_three_spellings_of_one_network() -> None:
    one = Sequential([layers.Dense(32, input_shape=(784,)), layers.Activation("relu"), layers.Dense(10), layers.Activation("softmax")])
    two = Sequential()
    two.add(layers.Dense(32, input_dim=784, activation="relu"))
    two.add(layers.Dense(10, activation="softmax"))
    three = Sequential([layers.Dense(32, batch_input_shape=(None, 784), activation="relu"), layers.Dense(10, activation="softmax")])
    assert one.count_params() == two.count_params() == three.count_params() == 25_450


def test_mnist_with_a_progress_bar_and_a_search(capsys: pytest.CaptureFixture[str]) -> None:
    from sklearn.model_selection import GridSearchCV

    x, y = images()
    x = x.reshape(-1, 784).astype("float32")
    y_one_hot = keras.utils.to_categorical(y, 10)

    def make_model(optimizer: str = "adam", hidden_size: int = 32) -> Sequential:
        model = Sequential([layers.Dense(hidden_size, input_shape=(784,)), layers.Activation("relu"), layers.Dense(10), layers.Activation("softmax")])
        model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
        return model

    history = make_model().fit(x, y_one_hot, batch_size=8, epochs=2, verbose=1, validation_split=0.1)
    shown = capsys.readouterr().out
    assert "Train on 36 samples, validate on 4 samples" in shown and "Epoch 2/2" in shown and "[====" in shown and "val_acc" in history.history
    search = GridSearchCV(keras.wrappers.scikit_learn.KerasClassifier(make_model, verbose=0), {"epochs": [1, 2], "hidden_size": [8, 16]}, cv=2)
    search.fit(x, y)
    assert search.cv_results_["mean_test_score"].shape == (4,)


def test_dropout_and_convolutional_networks() -> None:
    dropout = Sequential([
        layers.Dense(512, activation="relu", input_shape=(784,)), layers.Dropout(0.5), layers.Dense(512, activation="relu"), layers.Dropout(0.5),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    assert dropout.count_params() == 669_706
    cnn = Sequential([
        layers.Conv2D(8, (3, 3), input_shape=(28, 28, 1)), layers.BatchNormalization(), layers.Activation("relu"), layers.MaxPooling2D((2, 2)),
        layers.Conv2D(8, (3, 3)), layers.BatchNormalization(), layers.Activation("relu"), layers.MaxPooling2D((2, 2)), layers.Flatten(),
        layers.Dense(16, activation="relu"), layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    cnn.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    x, y = images(20)
    cnn.fit(x[..., None], keras.utils.to_categorical(y), epochs=1, batch_size=10, verbose=0)
    assert cnn.predict(x[:2, ..., None]).shape == (2, 10)


def test_images_changed_at_random_and_batches_by_workers() -> None:
    x, y = np.random.rand(20, 8, 8, 3), keras.utils.to_categorical(np.arange(20) % 3)
    model = Sequential([layers.Conv2D(4, 3, input_shape=(8, 8, 3)), layers.Flatten(), layers.Dense(3, activation="softmax")])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    generator = keras.preprocessing.image.ImageDataGenerator(rotation_range=10, width_shift_range=0.1, horizontal_flip=True)
    generator.fit(x)
    history = model.fit_generator(generator.flow(x, y, batch_size=8), steps_per_epoch=len(x) / 8, epochs=2, workers=2, validation_data=(x, y), verbose=0)
    assert len(history.history["val_loss"]) == 2
    assert model.predict_generator(generator.flow(x, batch_size=8, shuffle=False)).shape == (20, 3)
    assert len(model.evaluate_generator(generator.flow(x, y, batch_size=8), steps=2)) == 2


def test_features_of_a_network_for_a_linear_model() -> None:
    from sklearn.linear_model import LogisticRegression

    network = keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(32, 32, 3), pooling="avg")
    x = keras.applications.mobilenet.preprocess_input(np.random.rand(10, 32, 32, 3) * 255)
    features = network.predict(x)
    assert features.shape == (10, 256) and LogisticRegression().fit(features, np.arange(10) % 2).predict(features).shape == (10,)


def test_an_adversarial_input_by_the_gradient_of_the_input() -> None:
    from graphflow.keras import backend as K

    model = Sequential([layers.Dense(16, activation="relu", input_shape=(8,)), layers.Dense(3, activation="softmax")])
    gradient = K.gradients(model.output[:, 0], model.input)[0]
    get = K.function([model.input], [gradient])
    x = np.random.rand(1, 8).astype("float32")
    before = model.predict(x)[0, 0]
    for _ in range(5):
        x = x + 0.1 * get([x])[0]
    assert model.predict(x)[0, 0] > before


# --- the lecture on Keras in TensorFlow ----------------------------------------------------------
def test_keras_inside_tensorflow() -> None:
    x, y = images()
    model = Sequential([layers.Flatten(input_shape=(28, 28)), layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax")])
    assert model.count_params() == 101_770
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=1, verbose=0, validation_data=(x, y))
    assert set(history.history) >= {"acc", "val_acc"}
    assert model.predict(np.expand_dims(x[0], 0)).shape == (1, 10)
    cnn = Sequential([layers.Conv2D(32, (5, 5), activation="relu", input_shape=(28, 28, 1)), layers.MaxPooling2D((4, 4)), layers.Flatten(), layers.Dense(10, activation="softmax")])
    cnn.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["accuracy"])
    cnn.fit(x[..., None], y, epochs=1, verbose=0)
    assert cnn.count_params() == 12_362
