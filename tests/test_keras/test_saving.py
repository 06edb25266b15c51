"""Files of our own: what is saved is there again, bit for bit; options of saving and loading."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import graphflow.keras as keras
from graphflow.graph.errors import GraphError, ShapeError, StateError
from graphflow.keras import layers as L
from graphflow.keras import models, saving
from graphflow.keras.saving import atomic
from graphflow.keras.saving.layered_weights import HEADER_LIMIT

FORMATS = ("m.h5", "m.keras")


def small(name: str = "a") -> Any:
    """Two inputs and outputs, a layer called twice, a model inside."""
    x, y = L.Input((3,), name=f"{name}_x"), L.Input((3,), name=f"{name}_y")
    shared = L.Dense(4, activation="tanh", name=f"{name}_shared")
    inner = models.Sequential([L.Dense(2, input_shape=(4,), name=f"{name}_in"), L.Dropout(0.0, name=f"{name}_drop")], name=f"{name}_inner")
    first, second = inner(shared(x)), inner(shared(y))
    total = L.Add(name=f"{name}_total")([first, second])
    model = models.Model([x, y], [total, L.Dense(1, name=f"{name}_out", kernel_regularizer="l2")(second)])
    model.compile(keras.optimizers.Adam(0.01), "mse", loss_weights=[1.0, 0.5])
    return model


def data() -> tuple[list[Any], list[Any]]:
    rng = np.random.RandomState(0)
    return [rng.rand(6, 3).astype("f"), rng.rand(6, 3).astype("f")], [rng.rand(6, 2).astype("f"), rng.rand(6, 1).astype("f")]


def dense(units: int = 2, **kwargs: Any) -> Any:
    model = models.Sequential([L.Dense(3, input_shape=(4,), name="one"), L.Dense(units, name="two")], **kwargs)
    return model


# --- whole models --------------------------------------------------------------------------------
@pytest.mark.smoke
@pytest.mark.parametrize("name", FORMATS)
def test_a_loaded_model_predicts_and_trains_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    model, (x, y) = small(), data()
    for _ in range(2):
        model.train_on_batch(x, y)
    model.save(tmp_path / name)
    again = models.load_model(tmp_path / name)
    if name.endswith("h5"):  # archives have an input layer in place of the first layer's input_shape
        assert again.get_config() == model.get_config()
    for a, b in zip(model.predict(x), again.predict(x), strict=True):
        np.testing.assert_array_equal(a, b)
    for _ in range(3):
        assert model.train_on_batch(x, y) == again.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert [p.name for p in tmp_path.iterdir()] == [name], "nothing is left beside the file"


@pytest.mark.parametrize("name", FORMATS)
def test_without_optimizer_and_without_compiling(name: str, tmp_path: Path) -> None:
    model, (x, y) = small(), data()
    model.train_on_batch(x, y)
    model.save(tmp_path / name, include_optimizer=False)
    if name.endswith("h5"):
        with pytest.warns(UserWarning, match="No training configuration"):
            again = models.load_model(tmp_path / name)
    else:
        again = models.load_model(tmp_path / name)
    assert again.optimizer is None
    model.save(tmp_path / name)
    assert models.load_model(tmp_path / name, compile=False).optimizer is None


def test_an_open_group_is_written_and_read(tmp_path: Path) -> None:
    model = dense()
    with h5py.File(tmp_path / "f.h5", "w") as file:
        models.save_model(model, file.create_group("inside"))
        again = models.load_model(file["inside"], compile=False)
    np.testing.assert_array_equal(model.get_weights()[0], again.get_weights()[0])


@pytest.mark.parametrize("name", FORMATS)
def test_everything_is_written_with_all_its_arguments(name: str, tmp_path: Path) -> None:
    dense().save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        config = json.loads(file.attrs["model_config"])
        assert file.attrs["keras_version"] in ("2.2.4", b"2.2.4")
    written = config["config"]["layers"][0]["config"]
    arguments = set(inspect.signature(L.Dense.__init__).parameters) - {"self", "args", "kwargs"}
    assert arguments <= written.keys()


def test_what_is_not_built_has_nothing_to_save(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no weights yet"):
        models.Sequential([L.Dense(2)]).save(tmp_path / "m.h5")


def test_a_saved_model_of_tensorflow_is_neither_written_nor_read(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="'tf'"):
        dense().save(tmp_path / "m", save_format="tf")


# --- weights -------------------------------------------------------------------------------------
@pytest.mark.parametrize("generation", ["2.2", "2.4"])
def test_weights_in_the_layouts_of_two_generations(generation: str, tmp_path: Path) -> None:
    model, other = small(), small("b")
    with keras.generation.using(generation):
        model.save_weights(tmp_path / "w.weights.h5")
    other.load_weights(tmp_path / "w.weights.h5")
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with h5py.File(tmp_path / "w.weights.h5") as file:
        assert ("layers" in file) == (generation == "2.4")


@pytest.mark.parametrize("name", FORMATS)
def test_weights_of_a_whole_model_go_into_another(name: str, tmp_path: Path) -> None:
    model, other = small(), small("b")
    model.save(tmp_path / name)
    other.load_weights(tmp_path / name)
    np.testing.assert_array_equal(model.get_weights()[2], other.get_weights()[2])


def test_weights_by_name(tmp_path: Path) -> None:
    model = dense()
    model.save_weights(tmp_path / "w.h5")
    other = models.Sequential([L.Dense(3, input_shape=(4,), name="one"), L.Dense(5, name="new")])
    kept = other.layers[1].get_weights()[0]
    other.load_weights(tmp_path / "w.h5", by_name=True)
    np.testing.assert_array_equal(other.layers[0].get_weights()[0], model.layers[0].get_weights()[0])
    np.testing.assert_array_equal(other.layers[1].get_weights()[0], kept)


def test_weights_that_do_not_fit_are_refused_or_skipped(tmp_path: Path) -> None:
    model, other = dense(), dense(5)
    model.save_weights(tmp_path / "w.h5")
    before = other.get_weights()
    with pytest.raises(ShapeError, match=r"two.*\(3, 5\).*\(3, 2\)"):
        other.load_weights(tmp_path / "w.h5")
    np.testing.assert_array_equal(other.get_weights()[0], before[0])
    with pytest.warns(UserWarning, match="Skipping loading of weights for layer two"):
        other.load_weights(tmp_path / "w.h5", by_name=True, skip_mismatch=True)
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    with pytest.raises(ShapeError, match="containing 2 layers into a model with 1 layers"):
        models.Sequential([L.Dense(3, input_shape=(4,))]).load_weights(tmp_path / "w.h5")


def test_kernels_are_reshaped_when_asked(tmp_path: Path) -> None:
    wide = models.Sequential([L.Conv2D(2, (1, 3), input_shape=(3, 3, 1), use_bias=False)])
    high = models.Sequential([L.Conv2D(2, (3, 1), input_shape=(3, 3, 1), use_bias=False)])
    wide.save_weights(tmp_path / "w.h5")
    with pytest.raises(ShapeError):
        high.load_weights(tmp_path / "w.h5")
    high.load_weights(tmp_path / "w.h5", reshape=True)
    np.testing.assert_array_equal(high.get_weights()[0].ravel(), wide.get_weights()[0].ravel())


def test_long_lists_of_names_are_in_parts(tmp_path: Path) -> None:
    long = [f"layer{'x' * 900}{i}" for i in range(80)]
    model = models.Sequential([L.Dense(1, input_shape=(1,), name=long[0]), *(L.Activation("relu", name=name) for name in long[1:])])
    assert sum(map(len, long)) > HEADER_LIMIT
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert "layer_names" not in file.attrs and "layer_names1" in file.attrs
    before = model.get_weights()
    model.set_weights([w + 1 for w in before])
    model.load_weights(tmp_path / "w.h5")
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


# --- overwriting ---------------------------------------------------------------------------------
def test_overwrite_false_asks_or_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, model = tmp_path / "w.h5", dense()
    model.save_weights(path, overwrite=False)
    before = path.read_bytes()
    with pytest.raises(saving.OverwriteError, match="is there already"):
        model.save(path, overwrite=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, same in ((False, True), (True, False)):
        monkeypatch.setattr(atomic, "ask_to_proceed_with_overwrite", lambda name, answer=answer: answer)
        model.save(path, overwrite=False)
        assert (path.read_bytes() == before) is same


@pytest.mark.smoke
def test_a_failure_while_saving_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, model = tmp_path / "m.h5", dense()
    model.save(path)
    before = path.read_bytes()
    monkeypatch.setattr("graphflow.keras.saving.legacy_h5.write_layers", _break)
    with pytest.raises(RuntimeError, match="disk"):
        model.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.h5"]


def _break(*args: Any) -> None:
    raise RuntimeError("the disk is full")


# --- text, copies --------------------------------------------------------------------------------
def test_text_describes_the_model() -> None:
    model = small()
    assert models.model_from_json(model.to_json()).get_config() == model.get_config()
    assert models.model_from_yaml(model.to_yaml()).get_config() == model.get_config()
    assert json.loads(model.to_json(indent=1))["class_name"] == "Model"
    described = {"class_name": "Model", "config": model.get_config()}
    assert models.model_from_config(described).get_config() == model.get_config()
    with pytest.raises(GraphError, match="not a list"):
        models.model_from_config([])


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system ['true']", "!!python/name:os.system", "- [", "class_name: Nothing"])
def test_yaml_makes_nothing_but_data(text: str) -> None:
    with pytest.raises((saving.ModelFileError, GraphError)):
        models.model_from_yaml(text)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deepcopy", "pickle"])
def test_copies_train_on_as_the_model_would(copied: Any) -> None:
    model, (x, y) = small(), data()
    model.train_on_batch(x, y)
    again = copied(model)
    assert model.train_on_batch(x, y) == again.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again is not model and not set(again.weights) & set(model.weights)


def test_models_that_wait_for_data_and_lambdas_are_copied() -> None:
    waiting = copy.deepcopy(models.Sequential([L.Dense(2)]))
    assert not waiting.built
    doubled = copy.deepcopy(models.Sequential([L.Lambda(lambda x: 2 * x, input_shape=(3,))]))
    np.testing.assert_array_equal(doubled.predict(np.ones((1, 3))), [[2, 2, 2]])


def test_a_clone_has_weights_of_its_own() -> None:
    model = small()
    clone = models.clone_model(model)
    assert clone.get_config() == model.get_config()
    assert not set(clone.weights) & set(model.weights)
    x = L.Input((4,), name="given")
    stack = models.clone_model(dense(), input_tensors=x)
    assert stack.inputs[0] is x
    frozen = models.clone_model(dense(), clone_function=lambda layer: type(layer).from_config({**layer.get_config(), "trainable": False}))
    assert not frozen.trainable_weights and len(frozen.weights) == 4
