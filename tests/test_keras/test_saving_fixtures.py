"""Files by real Kerases, 1.2.2 to 3.15: what they compute, their gradients, and how training goes on (fixtures/files/make.py)."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphflow.compiler.autodiff import grad
from graphflow.keras import generation, models, saving
from graphflow.keras.engine.registry import CLASSES
from graphflow.keras.phase import folded
from graphflow.keras.saving.versions import generation_of
from graphflow.keras.utils import convert_all_kernels_in_model
from graphflow.ops.reduction import sum_
from graphflow.runtime.function import function

FILES = Path(__file__).parent / "fixtures" / "files"
NEEDED = {
    "attention": ("MultiHeadAttention",), "bidirectional": ("Bidirectional", "LSTM", "GRU"), "conv_lstm": ("ConvLSTM2D",), "gru": ("GRU", "SimpleRNN"),
    "lstm": ("LSTM",), "masking": ("LSTM", "GRU"), "stateful": ("LSTM", "GRU"),
}  # fmt: skip
QUICK = {("keras_2.2.4", "multi_io"), ("keras_1.2.2", "mlp"), ("tf_keras_2.19.0", "nested"), ("keras_3.15.1", "shared"), ("keras_3.15.1", "attention"), ("keras_1.2.2", "bidirectional"), ("tf_keras_2.19.0", "lstm")}  # fmt: skip
THEANO = ("keras_1.2.2", "keras_2.2.4", "keras_2.3.1")
# Theano's maximum pooling gives each of equal maxima the gradient, TensorFlow's and ours the first
OTHERWISE_ON_THEANO = ("bn_cnn", "th_cnn")


def _cases(*suffixes: str) -> list[Any]:
    cases = []
    for archive in sorted(FILES.glob("*.zip")):
        with zipfile.ZipFile(archive) as members:
            names = sorted(members.namelist())
        for name in names:
            model, _, suffix = name.partition(".")
            if suffix not in suffixes:
                continue
            missing = [cls for cls in NEEDED.get(model, ()) if cls not in CLASSES]
            marks: list[Any] = [pytest.mark.skip(f"there is no {missing[0]} yet")] if missing else []
            marks += [] if (archive.stem, model) in QUICK else [pytest.mark.slow]
            cases.append(pytest.param(archive.stem, model, suffix, id=f"{archive.stem}-{name}", marks=marks))
    return cases


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {}
    for archive in FILES.glob("*.zip"):
        folders[archive.stem] = tmp_path_factory.mktemp(archive.stem)
        with zipfile.ZipFile(archive) as members:
            members.extractall(folders[archive.stem])
    return folders


class Recorded:
    """What the real Keras gave."""

    def __init__(self, folder: Path, model: str) -> None:
        with np.load(folder / f"{model}.npz") as arrays:
            self.arrays = {name: arrays[name] for name in arrays}

    def all(self, what: str) -> list[Any]:
        return [self.arrays[key] for key in sorted(self.arrays) if key.rstrip("0123456789") == what]

    def fed(self, what: str) -> Any:
        found = self.all(what)
        return found if len(found) > 1 else found[0]


def _as_list(x: Any) -> list[Any]:
    return list(x) if isinstance(x, list | tuple) else [x]


def _predicted(model: Any, recorded: Recorded) -> list[Any]:
    return _as_list(model.predict(recorded.fed("x"), batch_size=len(recorded.all("x")[0])))


def _assert_predicts(model: Any, recorded: Recorded, what: str, tolerance: float) -> None:
    for got, wanted in zip(_predicted(model, recorded), recorded.all(what), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("maker", "name", "suffix"), _cases("h5", "keras"))
def test_whole_model_computes_and_trains_on_as_where_it_was_saved(maker: str, name: str, suffix: str, extracted: dict[str, Path]) -> None:
    recorded = Recorded(extracted[maker], name)
    generation.use(generation_of(maker.rsplit("_", 1)[1]))
    model = models.load_model(extracted[maker] / f"{name}.{suffix}")
    if maker == "keras_1.2.2":  # its files do not say that they are Theano's
        convert_all_kernels_in_model(model)
    _assert_predicts(model, recorded, "out", 1e-5)
    if recorded.all("again"):
        _assert_predicts(model, recorded, "again", 1e-5)
        model.reset_states()
    for got, wanted in zip(_input_gradients(model, recorded), recorded.all("grad"), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    if maker in THEANO and name in OTHERWISE_ON_THEANO:
        return
    model.train_on_batch(recorded.fed("x"), recorded.fed("y"))
    if recorded.all("again"):
        model.reset_states()
    _assert_predicts(model, recorded, "after", 1e-3 if name == "embedding" else 1e-4)


def _input_gradients(model: Any, recorded: Recorded) -> list[Any]:
    wanted = [i for i in range(len(model.inputs)) if f"grad{i}" in recorded.arrays]
    if not wanted:
        return []
    outputs = folded(model.outputs, training=False)
    total = sum(sum_(y) for y in outputs)
    gradient = function(model.inputs, grad(total, [model.inputs[i] for i in wanted]))
    return list(gradient(*recorded.all("x")))


@pytest.mark.parametrize(("maker", "name", "suffix"), _cases("hdf5", "weights.h5"))
def test_weights_go_into_a_model_made_from_its_json(maker: str, name: str, suffix: str, extracted: dict[str, Path]) -> None:
    recorded = Recorded(extracted[maker], name)
    text = (extracted[maker] / f"{name}.json").read_text()
    model = models.model_from_json(text)
    model.load_weights(extracted[maker] / f"{name}.{suffix}")
    if maker == "keras_1.2.2":
        convert_all_kernels_in_model(model)
    _assert_predicts(model, recorded, "out", 1e-5)


@pytest.mark.parametrize(("maker", "name", "suffix"), _cases("yaml"))
def test_yaml_and_json_say_the_same(maker: str, name: str, suffix: str, extracted: dict[str, Path]) -> None:
    text, data = ((extracted[maker] / f"{name}.{kind}").read_text() for kind in ("yaml", "json"))
    if "python/object" in text:  # Keras 1 left NumPy's scalars in it, as calls of functions
        with pytest.raises(saving.ModelFileError, match="YAML"):
            models.model_from_yaml(text)
        return
    assert models.model_from_yaml(text).get_config()["layers"] == models.model_from_json(data).get_config()["layers"]
