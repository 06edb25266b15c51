"""Sequences, texts and images, against what tf_keras made of the same (fixtures/preprocessing/make.py)."""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from graphflow.graph.errors import GraphError, GraphflowError, ShapeError
from graphflow.keras import backend as K
from graphflow.keras.preprocessing import image, sequence, text

FOLDER = Path(__file__).parent / "fixtures" / "preprocessing"
EXPECTED = dict(np.load(FOLDER / "expected.npz"))


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_preprocessing", FOLDER / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = _maker()


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """The same calls, with our modules."""
    found: dict[str, Any] = {}
    MAKER.from_generators(image, found)
    MAKER.from_transforms(image, found)
    MAKER.from_texts(text, found)
    MAKER.from_sequences(sequence, found)
    return found


@pytest.mark.parametrize("name", [n for n in EXPECTED if not n.endswith((" json", "generator whitened"))])
def test_as_real_keras(made: dict[str, Any], name: str) -> None:
    assert set(made) == set(EXPECTED)
    if EXPECTED[name].dtype.kind == "U":
        assert json.loads(made[name]) == json.loads(str(EXPECTED[name]))
    else:
        np.testing.assert_allclose(made[name], EXPECTED[name], rtol=1e-5, atol=2e-4)


def test_whitened_images_have_the_same_length(made: dict[str, Any]) -> None:
    """Directions of no variance are whatever the SVD makes of them: only the rest can be compared."""
    np.testing.assert_allclose(made["generator whitened"].std(), EXPECTED["generator whitened"].std(), rtol=1e-2)


@pytest.mark.parametrize("name", ["plain", "few", "letters"])
def test_a_tokenizer_as_json_is_that_of_real_keras(made: dict[str, Any], name: str) -> None:
    ours, theirs = (_tables(json.loads(str(s))) for s in (made[f"{name} json"], EXPECTED[f"{name} json"]))
    assert ours == theirs
    again = text.tokenizer_from_json(str(EXPECTED[f"{name} json"]))
    assert again.texts_to_sequences(MAKER.TEXTS) == text.tokenizer_from_json(made[f"{name} json"]).texts_to_sequences(MAKER.TEXTS)
    assert _tables(json.loads(again.to_json())) == theirs


def _tables(data: dict[str, Any]) -> dict[str, Any]:
    for name in ("word_counts", "word_docs", "index_docs", "index_word", "word_index"):
        data["config"][name] = json.loads(data["config"][name])
    return data


# --- sequences -----------------------------------------------------------------------------------
@pytest.mark.smoke
def test_pad_sequences_takes_vectors_and_texts() -> None:
    padded = sequence.pad_sequences([[[1, 2]], [[3, 4], [5, 6]]], padding="post")
    assert padded.tolist() == [[[1, 2], [0, 0]], [[3, 4], [5, 6]]]
    assert sequence.pad_sequences([["a"], []], dtype=object, value="").tolist() == [["a"], [""]]
    assert sequence.pad_sequences([]).shape == (0, 0)
    with pytest.raises(ShapeError, match="sequence 1 has samples of the shape"):
        sequence.pad_sequences([[[1, 2]], [[1]]])
    with pytest.raises(GraphError, match="one of the items is none"):
        sequence.pad_sequences([1, 2])
    with pytest.raises(GraphError, match="'before'"):
        sequence.pad_sequences([[1]], padding="before")


def test_skipgrams_draw_from_python() -> None:
    random.seed(0)
    first = sequence.skipgrams([1, 2, 3], 4, shuffle=False, negative_samples=0.0, categorical=True)
    assert first == ([[1, 2], [1, 3], [2, 1], [2, 3], [3, 1], [3, 2]], [[0, 1]] * 6)
    assert sequence.skipgrams([1, 2], 3, sampling_table=np.zeros(3)) == ([], [])


def test_a_series_goes_to_json_and_back() -> None:
    series = sequence.TimeseriesGenerator(np.arange(10), np.arange(10), length=3, batch_size=4, start_index=1)
    again = sequence.timeseries_generator_from_json(series.to_json())
    assert len(again) == len(series) == 2
    for a, b in zip(series, again, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])
    with pytest.raises(GraphError, match="no step is left"):
        sequence.TimeseriesGenerator(np.arange(3), np.arange(3), length=5)


def test_keras_1_says_nb_words() -> None:
    with pytest.warns(DeprecationWarning, match="num_words"):
        assert text.Tokenizer(nb_words=3).num_words == 3


# --- images --------------------------------------------------------------------------------------
def test_files_and_arrays(tmp_path: Path) -> None:
    x = MAKER.images()[0]
    image.save_img(tmp_path / "a.png", x, scale=False)
    np.testing.assert_array_equal(image.img_to_array(image.load_img(tmp_path / "a.png")), x)
    grey = image.img_to_array(image.load_img(tmp_path / "a.png", color_mode="grayscale", target_size=(4, 3)))
    assert grey.shape == (4, 3, 1)
    assert image.img_to_array(image.load_img(tmp_path / "a.png"), "channels_first").shape == (3, 5, 6)
    assert image.load_img(tmp_path / "a.png", target_size=(2, 6), keep_aspect_ratio=True).size == (6, 2)
    assert image.list_pictures(tmp_path) == [str(tmp_path / "a.png")]
    image.save_img(tmp_path / "b.jpg", np.zeros((4, 4, 4)))
    with pytest.raises(ShapeError, match="5 channels"):
        image.array_to_img(np.zeros((2, 2, 5)))
    with pytest.raises(GraphError, match="'cubic'"):
        image.load_img(tmp_path / "a.png", target_size=(2, 2), interpolation="cubic")


def test_smart_resize_keeps_proportions() -> None:
    x = np.zeros((4, 8, 3), np.float32)
    x[:, 2:6] = 1  # the square in the middle
    np.testing.assert_array_equal(image.smart_resize(x, (2, 2)), np.ones((2, 2, 3)))
    assert image.smart_resize(np.zeros((5, 3, 4, 8)), (2, 2), data_format="channels_first").shape == (5, 3, 2, 2)


def _folders(tmp_path: Path) -> Path:
    for number, x in enumerate(MAKER.images()):
        folder = tmp_path / "images" / ("cats" if number % 2 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        image.save_img(folder / f"{number}.png", x, scale=False)
    return tmp_path / "images"


def test_images_from_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _folders(tmp_path)
    batches = image.ImageDataGenerator().flow_from_directory(folder, target_size=(5, 6), batch_size=2, shuffle=False)
    assert "Found 3 images belonging to 2 classes." in capsys.readouterr().out
    assert batches.class_indices == {"cats": 0, "dogs": 1} and len(batches) == 2
    x, y = next(batches)
    np.testing.assert_array_equal(x, MAKER.images()[[1, 0]])
    np.testing.assert_array_equal(y, [[1, 0], [0, 1]])
    np.testing.assert_array_equal(batches[1][0], MAKER.images()[[2]])
    modes = {mode: image.ImageDataGenerator().flow_from_directory(folder, class_mode=mode, shuffle=False)[0] for mode in ("sparse", "input", None)}
    assert modes["sparse"][1].tolist() == [0, 1, 1] and modes[None].shape == (3, 256, 256, 3)
    np.testing.assert_array_equal(*modes["input"])
    with pytest.raises(GraphError, match="no class_mode"):
        image.ImageDataGenerator().flow_from_directory(folder, class_mode="one")
    with pytest.raises(GraphError, match="there is no folder"):
        image.ImageDataGenerator().flow_from_directory(tmp_path / "none")


def test_part_of_the_images_is_for_validation_and_what_comes_out_is_saved(tmp_path: Path) -> None:
    folder, seen = _folders(tmp_path), tmp_path / "seen"
    seen.mkdir()
    generator = image.ImageDataGenerator(validation_split=0.5)
    parts = {s: generator.flow_from_directory(folder, subset=s, save_to_dir=str(seen), save_prefix=s) for s in ("training", "validation")}
    assert sorted(parts["training"].filenames) == ["cats/1.png", "dogs/2.png"] and parts["validation"].filenames == ["dogs/0.png"]
    next(parts["training"])
    assert len(list(seen.glob("training_*.png"))) == 2
    x, y = MAKER.images(), np.array([0, 1, 0])
    arrays = {s: image.ImageDataGenerator(validation_split=0.4).flow(x, y, subset=s, ignore_class_split=True) for s in ("training", "validation")}
    assert arrays["training"].n == 2 and arrays["validation"].n == 1
    with pytest.raises(GraphError, match="the same classes"):
        image.ImageDataGenerator(validation_split=0.4).flow(x, y, subset="training")


def test_images_from_a_table(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    folder = _folders(tmp_path)
    table = pandas.DataFrame({"file": ["dogs/0.png", "cats/1.png", "dogs/2.png", "gone.png"], "kind": ["dog", "cat", "dog", "dog"], "size": [1.0, 2.0, 3.0, 4.0]})
    generator = image.ImageDataGenerator()
    with pytest.warns(UserWarning, match="1 of the file names"):
        batches = generator.flow_from_dataframe(table, folder, x_col="file", y_col="kind", target_size=(5, 6), shuffle=False, weight_col="size")
    x, y, weights = next(batches)
    np.testing.assert_array_equal(x, MAKER.images())
    assert y.tolist() == [[0, 1], [1, 0], [0, 1]] and weights.tolist() == [1, 2, 3]
    with pytest.warns(UserWarning):
        raw = generator.flow_from_dataframe(table, folder, x_col="file", y_col=["size", "size"], class_mode="raw", shuffle=False)[0][1]
    assert raw.tolist() == [[1, 1], [2, 2], [3, 3]]
    with pytest.warns(UserWarning):
        several = generator.flow_from_dataframe(table, folder, x_col="file", y_col=["size", "kind"], class_mode="multi_output", shuffle=False)[0][1]
    assert several[0].tolist() == [1, 2, 3] and several[1].tolist() == ["dog", "cat", "dog"]
    with pytest.warns(UserWarning), pytest.raises(GraphError, match="is no string"):
        generator.flow_from_dataframe(table, folder, x_col="file", y_col="size")


def test_options_that_do_not_go_together() -> None:
    with pytest.warns(UserWarning, match="needs featurewise_center"):
        assert image.ImageDataGenerator(featurewise_std_normalization=True).featurewise_center
    with pytest.warns(UserWarning, match="call fit"):
        image.ImageDataGenerator(featurewise_center=True).standardize(MAKER.images()[0])
    with pytest.raises(GraphError, match="zoom_range"):
        image.ImageDataGenerator(zoom_range=(1, 2, 3))
    with pytest.raises(GraphflowError, match="no argument is called"):
        image.ImageDataGenerator(rotate=3)
    with pytest.raises(ShapeError, match="rows of y"):
        image.ImageDataGenerator().flow(MAKER.images(), [1])


def test_keras_1_says_dim_ordering() -> None:
    with pytest.warns(DeprecationWarning, match="data_format"):
        assert image.ImageDataGenerator(dim_ordering="th").data_format == "channels_first"
    K.set_image_data_format("channels_first")
    try:
        assert image.ImageDataGenerator().flow(MAKER.images().transpose(0, 3, 1, 2)).data_format == "channels_first"
    finally:
        K.set_image_data_format("channels_last")


def test_other_arrays_come_along() -> None:
    x, y, w = MAKER.images(), np.arange(3), np.ones(3)
    (images, numbers), labels, weights = next(image.ImageDataGenerator().flow((x, np.arange(6).reshape(3, 2)), y, sample_weight=w, shuffle=False))
    assert images.shape == x.shape and numbers.tolist() == [[0, 1], [2, 3], [4, 5]] and labels.tolist() == [0, 1, 2] and weights.shape == (3,)
