"""The layers of applications, against those of real Keras (fixtures/applications/make.py), and what is done around them."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import GraphError, ShapeError
from graphflow.keras import applications, generation
from graphflow.keras import backend as K
from graphflow.keras.applications import imagenet_utils
from graphflow.keras.arguments import ArgumentError
from graphflow.keras.cache import FetchError
from graphflow.keras.layers import Dense, Input
from graphflow.keras.models import Model, Sequential

FOLDER = Path(__file__).parent / "fixtures" / "applications"
REAL: dict[str, dict[str, Any]] = json.loads((FOLDER / "layers.json").read_text())
PUBLISHED = {  # as papers and Keras's documentation have them
    "VGG16": 138_357_544, "VGG19": 143_667_240, "ResNet50": 25_636_712, "ResNet101": 44_707_176, "ResNet152": 60_419_944, "ResNet50V2": 25_613_800,
    "ResNet101V2": 44_675_560, "ResNet152V2": 60_380_648, "DenseNet121": 8_062_504, "DenseNet169": 14_307_880, "DenseNet201": 20_242_984,
    "InceptionV3": 23_851_784, "InceptionResNetV2": 55_873_736, "Xception": 22_910_480, "MobileNet": 4_253_864, "MobileNetV2": 3_538_984,
    "NASNetMobile": 5_326_716,
}  # fmt: skip
LARGE = ("VGG16", "VGG19", "ResNet101", "ResNet152", "ResNet101V2", "ResNet152V2", "DenseNet169", "DenseNet201", "InceptionResNetV2", "NASNetMobile")


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_applications", FOLDER / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def describe(model: Model) -> dict[str, Any]:
    """As fixtures/applications/make.py describes real Keras's."""
    lines = [f"{layer.name} {type(layer).__name__} {tuple(layer.output_shape)} {layer.count_params()}" for layer in model.layers if layer.count_params()]
    trainable = sum(K.count_params(w) for w in model.trainable_weights)
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return {"params": model.count_params(), "trainable": trainable, "layers": len(lines), "sha256": digest}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in PUBLISHED])
def test_layers_are_those_of_real_keras(name: str) -> None:
    build = getattr(applications, name)
    with generation.using("2.4"):
        with_top = build(weights=None)
        assert describe(with_top) == REAL[f"{name} with top"] and with_top.count_params() == PUBLISHED[name]
        K.clear_session()
        shape = (224, 224, 3) if "NASNet" in name else (96, 96, 3)
        assert describe(build(weights=None, include_top=False, input_shape=shape)) == REAL[f"{name} without top"]


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == "MobileNet" else pytest.mark.slow) for name in _maker().SMALL])
def test_features_are_those_of_real_keras(name: str) -> None:
    expected = np.load(FOLDER / "outputs.npz")[name]
    with generation.using("2.4"):
        np.testing.assert_allclose(_maker().features(name, applications), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.smoke
def test_resnet50_of_keras_2_2_has_other_names() -> None:
    model = applications.ResNet50(weights=None)
    assert model.count_params() == PUBLISHED["ResNet50"] and model.name == "resnet50"
    weighted = [layer.name for layer in model.layers if layer.weights]
    assert weighted[:6] == ["conv1", "bn_conv1", "res2a_branch2a", "bn2a_branch2a", "res2a_branch2b", "bn2a_branch2b"] and weighted[-1] == "fc1000"
    with generation.using("2.4"):
        assert applications.ResNet50(weights=None, include_top=False).layers[-1].name == "conv5_block3_out"


def test_without_the_top_images_have_any_size_and_features_may_be_pooled() -> None:
    maps = applications.MobileNet(weights=None, include_top=False, alpha=0.25)
    assert maps.output_shape == (None, None, None, 256)
    features = applications.MobileNet(weights=None, include_top=False, alpha=0.25, input_shape=(32, 64, 3), pooling="avg")
    assert features.output_shape == (None, 256)
    np.testing.assert_allclose(features.predict(np.ones((1, 32, 64, 3), "float32")).shape, (1, 256))
    x = Input((64, 64, 3), name="mine")
    built = applications.MobileNetV2(weights=None, include_top=False, input_tensor=x, pooling="max", alpha=0.35)
    assert built.inputs == [x] and built.output_shape == (None, 1280)


def test_transfer_learning_as_lectures_do_it() -> None:
    """A network without its top inside a Sequential, frozen."""
    model = Sequential()
    model.add(applications.MobileNet(include_top=False, pooling="avg", weights=None, alpha=0.25, input_shape=(32, 32, 3)))
    model.add(Dense(2, activation="softmax"))
    model.layers[0].trainable = False
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    before = model.layers[0].get_weights()
    model.fit(np.random.rand(4, 32, 32, 3), np.eye(2)[[0, 1, 0, 1]], epochs=1, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.layers[0].get_weights(), strict=True)]
    trainable = {w.name for w in model.trainable_weights}
    assert len(trainable) == 2 and sum(changed) <= sum(w.ndim == 1 for w in before)  # moving statistics at most


def test_channels_first() -> None:
    K.set_image_data_format("channels_first")
    try:
        model = applications.DenseNet121(weights=None, include_top=False, input_shape=(3, 64, 64))
        assert model.output_shape == (None, 1024, 2, 2) and model.count_params() == REAL["DenseNet121 without top"]["params"]
    finally:
        K.set_image_data_format("channels_last")


def test_weights_come_from_a_path_or_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", lambda *_: (_ for _ in ()).throw(ConnectionError("no network")))
    with pytest.raises(FetchError) as caught:
        applications.MobileNet(alpha=0.25)
    assert str(tmp_path / "models" / "mobilenet_2_5_224_tf.h5") in str(caught.value)
    with pytest.raises(FetchError, match="resnet50_weights_tf_dim_ordering_tf_kernels_notop"):
        applications.ResNet50(include_top=False)
    with pytest.raises(GraphError, match="no such file"):
        applications.ResNet50(weights=str(tmp_path / "gone.h5"))
    loaded: list[Any] = []
    monkeypatch.setattr(Model, "load_weights", lambda self, path: loaded.append(path), raising=False)
    (tmp_path / "mine.h5").touch()
    applications.MobileNet(weights=str(tmp_path / "mine.h5"), alpha=0.25)
    assert loaded == [str(tmp_path / "mine.h5")]


def test_options_that_do_not_fit() -> None:
    with pytest.raises(GraphError, match="1000 classes apart, not 10"):
        applications.VGG16(classes=10)
    with pytest.raises(ShapeError, match="at least 32x32"):
        applications.VGG16(weights=None, include_top=False, input_shape=(20, 20, 3))
    with pytest.raises(ShapeError, match=r"input_shape is \(224, 224, 3\)"):
        applications.VGG16(input_shape=(200, 200, 3))
    with pytest.raises(ShapeError, match="must be known"):
        applications.VGG16(weights=None, input_shape=(None, None, 3))
    with pytest.raises(GraphError, match="pooling='mean'"):
        applications.Xception(weights=None, include_top=False, pooling="mean")
    with pytest.raises(GraphError, match="alpha"):
        applications.MobileNet(alpha=0.3)
    with pytest.raises(ArgumentError, match="'tops'"):
        applications.VGG16(weights=None, tops=True)


# --- images and classes --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mode", "expected"),
    [("caffe", [30 - 103.939, 20 - 116.779, 10 - 123.68]), ("tf", [v / 127.5 - 1 for v in (10, 20, 30)]),
     ("torch", [(10 / 255 - 0.485) / 0.229, (20 / 255 - 0.456) / 0.224, (30 / 255 - 0.406) / 0.225])],
)  # fmt: skip
def test_images_are_prepared(mode: str, expected: list[float]) -> None:
    pixel = np.array([10.0, 20.0, 30.0], np.float32)
    for shape, data_format in (((1, 1, 1, 3), "channels_last"), ((1, 1, 3), "channels_last"), ((1, 3, 1, 1), "channels_first")):
        made = imagenet_utils.preprocess_input(pixel.reshape(shape).copy(), data_format, mode)
        np.testing.assert_allclose(made.reshape(-1), expected, rtol=1e-5)
        x = gf.placeholder("float32", shape)
        made = gf.function([x], imagenet_utils.preprocess_input(x, data_format, mode))(pixel.reshape(shape))
        np.testing.assert_allclose(made.reshape(-1), expected, rtol=1e-5)
    bytes_ = np.array([[[10, 20, 30]]], np.uint8)
    np.testing.assert_allclose(imagenet_utils.preprocess_input(bytes_, mode=mode)[0, 0], expected, rtol=1e-5)
    assert bytes_.tolist() == [[[10, 20, 30]]]


def test_each_network_prepares_in_its_own_way() -> None:
    x = np.full((1, 1, 1, 3), 255.0, np.float32)
    assert applications.mobilenet.preprocess_input(x.copy()).max() == applications.resnet_v2.preprocess_input(x.copy()).max() == 1
    assert applications.vgg16.preprocess_input(x.copy()).max() > 100 and 2 < applications.densenet.preprocess_input(x.copy()).max() < 3


def test_predictions_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {str(i): (f"n{i:08d}", f"thing {i}") for i in range(1000)}
    monkeypatch.setattr(imagenet_utils, "class_index", lambda: names)
    p = np.zeros((2, 1000))
    p[0, 7], p[0, 3], p[1, 999] = 0.7, 0.3, 1.0
    decoded = applications.vgg16.decode_predictions(p, top=2)
    assert decoded[0] == [("n00000007", "thing 7", 0.7), ("n00000003", "thing 3", 0.3)] and decoded[1][0][1] == "thing 999"
    with pytest.raises(ShapeError, match=r"\(1, 10\)"):
        imagenet_utils.decode_predictions(np.zeros((1, 10)))


def test_the_names_in_a_file_say_which_resnet50_it_is_for(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    from graphflow.keras.applications import resnet

    chosen = []
    for name in ("res2a_branch2a", "conv2_block1_1_conv"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_group("model_weights").attrs["layer_names"] = [name.encode()]
        chosen.append(resnet._names_in(tmp_path / f"{name}.h5"))
    assert chosen == [["res2a_branch2a"], ["conv2_block1_1_conv"]] and resnet._names_in(tmp_path / "gone.h5") == []
