"""Damaged and hostile files: a clear error that names file and field, no code run, no memory taken, nothing left half done."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graphflow.keras as keras
from graphflow.graph.errors import GraphError, GraphflowError
from graphflow.keras import layers as L
from graphflow.keras import models, saving

QUICKLY = settings(max_examples=40, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])


def dense() -> Any:
    model = models.Sequential([L.Dense(3, input_shape=(4,), name="one"), L.Dense(2, name="two")])
    model.compile("sgd", "mse")
    return model


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    for name in ("m.h5", "m.keras"):
        dense().save(folder / name)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _load(folder: Path, name: str, content: bytes) -> Any:
    path = folder / name
    path.write_bytes(content)
    return models.load_model(path, compile=False)


# --- damage --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
@given(part=st.floats(0, 0.999))
@QUICKLY
def test_a_file_that_is_cut_off_is_refused(name: str, part: float, files: dict[str, bytes], tmp_path: Path) -> None:
    content = files[name]
    with pytest.raises(saving.ModelFileError, match=f"m.{name[2:]}"):
        _load(tmp_path, name, content[: int(part * len(content))])


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
@given(flips=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(1, 255)), min_size=1, max_size=4))
@QUICKLY
def test_flipped_bytes_give_a_model_or_an_error_of_ours(name: str, flips: list[tuple[float, int]], files: dict[str, bytes], tmp_path: Path) -> None:
    content = bytearray(files[name])
    for place, mask in flips:
        content[int(place * len(content))] ^= mask
    try:
        _load(tmp_path, name, bytes(content))
    except GraphflowError as error:
        assert error.message


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04pickle", b"PK\x03\x04"], ids=["empty", "text", "pickle", "zip"])
def test_other_files_are_no_models(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(saving.ModelFileError, match=r"m\.h5"):
        _load(tmp_path, "m.h5", content)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(saving.ModelFileError, match="there is no file"):
        models.load_model(tmp_path / "none.h5")
    with pytest.raises(saving.ModelFileError, match="is a folder"):
        models.load_model(tmp_path)
    with pytest.raises(OSError, match="no file"):
        dense().load_weights(tmp_path / "none.h5")


def _edit(path: Path, change: Any) -> Path:
    dense().save(path)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def _replace(file: Any, name: str, **dataset: Any) -> None:
    del file[name]
    file.create_dataset(name, **dataset)


KERNEL = "model_weights/one/one/kernel:0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: _replace(f, KERNEL, shape=(1 << 40, 1 << 10), dtype="f4", chunks=(1, 1024)), "holds only"),
        (lambda f: _replace(f, KERNEL, data=np.array([b"x"], dtype=object), dtype=h5py.string_dtype()), "not numbers"),
        (lambda f: _replace(f, KERNEL, shape=(4, 3), dtype="f4", external=[("other", 0, 48)]), "in another file"),
        (lambda f: (f.pop(KERNEL), f.__setitem__(KERNEL, h5py.ExternalLink("other.h5", "/x"))), "link"),
        (lambda f: (f.pop(KERNEL), f.__setitem__(KERNEL, h5py.SoftLink("/model_weights/two/two/kernel:0"))), "link"),
        (lambda f: f.pop(KERNEL), "is missing"),
        (lambda f: f.attrs.__delitem__("model_config"), "no model is in the file"),
        (lambda f: f.attrs.__setitem__("model_config", b"{"), "model_config"),
        (lambda f: f.attrs.__setitem__("model_config", b"[" * 60000), "model_config"),
        (lambda f: f.attrs.__setitem__("model_config", b'{"class_name": "Sequential", "config": 3}'), "configuration of a Sequential"),
        (lambda f: f.attrs.__setitem__("model_config", b'{"class_name": "Dense"}'), "configuration of a Dense"),
        (lambda f: f.attrs.__setitem__("training_config", b'{"optimizer_config": 1}'), "training_config"),
        (lambda f: f["model_weights"].attrs.__setitem__("layer_names", 3), "layer_names"),
    ],
    ids=["huge", "text", "external", "external link", "soft link", "missing", "no config", "no json", "deep json", "config 3", "no config inside", "training", "names"],
)  # fmt: skip
def test_a_damaged_field_is_named(change: Any, message: str, tmp_path: Path) -> None:
    path = _edit(tmp_path / "m.h5", change)
    with pytest.raises(GraphflowError, match=message) as error:
        models.load_model(path)
    assert "m.h5" in str(error.value)


def test_an_archive_that_swells_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": []}}))
    with pytest.raises(saving.ModelFileError, match=r"model\.weights\.h5 is missing"):
        models.load_model(tmp_path / "m.keras")
    content = bytearray(_zip_of_zeros())
    with pytest.raises(saving.ModelFileError, match=r"config\.json"):
        _load(tmp_path, "z.keras", bytes(content))


def _zip_of_zeros() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", "{}")
    content = made.getvalue()
    entry = content.rindex(b"PK\x01\x02")  # the directory's entry of config.json: its size becomes 1 GB
    return content[: entry + 24] + (1 << 30).to_bytes(4, "little") + content[entry + 28 :]


# --- code ----------------------------------------------------------------------------------------
CODE = ["4wEAAAAAAAAAAAAAAAEAAAACAAAA", None, None]


def _lambda_config(function: Any, kind: str) -> dict[str, Any]:
    config = {"name": "lambda_1", "function": function, "function_type": kind, "output_shape": None, "output_shape_type": "raw", "arguments": {}}
    return {"class_name": "Sequential", "config": {"name": "s", "layers": [{"class_name": "Lambda", "config": {**config, "batch_input_shape": [None, 3]}}]}}


@pytest.mark.parametrize(
    "data",
    [_lambda_config(CODE, "lambda"), _lambda_config({"class_name": "__lambda__", "config": {"code": "x", "defaults": None, "closure": None}}, "lambda")],
    ids=["Keras 2", "Keras 3"],
)
def test_code_in_a_file_is_never_run(data: dict[str, Any]) -> None:
    with pytest.raises(GraphError, match=r"'lambda_1' holds code") as error:
        models.model_from_config(data)
    assert "custom_objects={'lambda_1': function}" in error.value.hint
    model = models.model_from_config(data, custom_objects={"lambda_1": lambda x: x * 2})
    np.testing.assert_array_equal(model.predict(np.ones((1, 3))), [[2, 2, 2]])


def test_a_function_by_name_is_asked_for() -> None:
    data = _lambda_config("double", "function")
    with pytest.raises(GraphError, match="'double'"):
        models.model_from_json(json.dumps(data))
    with saving.CustomObjectScope({"double": lambda x: x * 2}):
        assert models.model_from_json(json.dumps(data)).layers[0].name == "lambda_1"


# --- the user's own ------------------------------------------------------------------------------
class Scaled(L.Layer):
    def __init__(self, factor: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape: Any) -> None:
        self.weight = self.add_weight(name="weight", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return inputs * self.weight * self.factor

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


def steep(x: Any) -> Any:
    return x * 3


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_own_layers_and_functions(name: str, tmp_path: Path) -> None:
    model = models.Sequential([L.Dense(3, activation=steep, input_shape=(2,)), Scaled(4.0)])
    model.save(tmp_path / name)
    with pytest.raises(GraphError, match=r"steep|Scaled"):
        models.load_model(tmp_path / name)
    again = models.load_model(tmp_path / name, custom_objects={"Scaled": Scaled, "steep": steep})
    x = np.ones((1, 2), "f")
    np.testing.assert_array_equal(model.predict(x), again.predict(x))
    with saving.custom_object_scope({"Scaled": Scaled, "steep": steep}):
        np.testing.assert_array_equal(models.load_model(tmp_path / name).predict(x), model.predict(x))


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_registered_classes_need_no_word(name: str, tmp_path: Path) -> None:
    registered = saving.register_keras_serializable("tests")(type("Own", (Scaled,), {"__module__": __name__}))
    try:
        models.Sequential([registered(3.0, input_shape=(2,))]).save(tmp_path / name)
        again = models.load_model(tmp_path / name)
        assert type(again.layers[0]) is registered and again.layers[0].factor == 3.0
    finally:
        saving.get_custom_objects().pop("tests>Own")


# --- killed --------------------------------------------------------------------------------------
@pytest.mark.slow
def test_killed_while_saving_there_is_a_whole_file(tmp_path: Path) -> None:
    program = (
        "import sys, itertools\n"
        "from graphflow.keras import layers as L, models\n"
        "model = models.Sequential([L.Dense(700, input_shape=(700,))])\n"
        "for i in itertools.count():\n"
        "    model.save(sys.argv[1]); print(i, flush=True)\n"
    )
    path = tmp_path / "m.h5"
    for attempt in range(4):
        with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as child:
            assert child.stdout is not None and child.stdout.readline()
            time.sleep(0.003 * (1 + attempt))
            os.kill(child.pid, signal.SIGKILL)
        assert models.load_model(path, compile=False).layers[0].units == 700


def test_a_model_of_another_generation_is_read_with_its_own_defaults() -> None:
    data = {"class_name": "Sequential", "config": {"name": "s", "layers": [{"class_name": "Activation", "config": {"name": "a", "activation": "hard_sigmoid", "batch_input_shape": [None, 1]}}]}}
    x = np.array([[1.0]], "f")
    for version, value in (("2.2.4", 0.7), ("3.0.0", 0.5 + 1 / 6)):
        model = models.model_from_config({**data, "keras_version": version})
        np.testing.assert_allclose(model.predict(x), [[value]], rtol=1e-6)
    assert keras.generation.current() == "2.2"
