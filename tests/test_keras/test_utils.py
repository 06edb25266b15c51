"""keras.utils: the user's own objects, the cache, batches made ahead, pictures of models, arrays in files."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphflow.draw import graphviz_layout
from graphflow.graph.errors import GraphError, MissingExtraError, StateError
from graphflow.keras import backend as K
from graphflow.keras import losses, utils
from graphflow.keras.cache import FetchError, keras_home
from graphflow.keras.layers import Dense, Flatten, Input
from graphflow.keras.models import Model, Sequential
from graphflow.keras.utils import conv_utils, generic_utils, io_utils, layer_utils, np_utils, test_utils


# --- the user's own objects ----------------------------------------------------------------------
def half_of_squares(y_true: Any, y_pred: Any) -> Any:
    return (y_true - y_pred) ** 2 / 2


@pytest.mark.smoke
def test_names_of_the_users_own() -> None:
    with pytest.raises(GraphError, match="no loss"):
        losses.get("half_of_squares")
    with utils.CustomObjectScope({"half_of_squares": half_of_squares}, {"other": max}):
        assert losses.get("half_of_squares") is half_of_squares and "other" in utils.get_custom_objects()
    assert "half_of_squares" not in utils.get_custom_objects()
    utils.get_custom_objects()["half_of_squares"] = half_of_squares
    try:
        assert losses.get("half_of_squares") is half_of_squares
    finally:
        del utils.get_custom_objects()["half_of_squares"]


def test_registered_classes_have_a_package() -> None:
    @utils.register_keras_serializable(package="mine", name="Twin")
    class Double:
        def __init__(self, by: int = 2) -> None:
            self.by = by

        def get_config(self) -> dict[str, Any]:
            return {"by": self.by}

    try:
        data = utils.serialize_keras_object(Double(3))
        assert data == {"class_name": "mine>Twin", "config": {"by": 3}}
        again = utils.deserialize_keras_object(data)
        assert type(again) is Double and again.by == 3
        assert utils.get_registered_name(Double) == "mine>Twin" and utils.get_registered_object("mine>Twin") is Double
        with pytest.raises(GraphError, match="registered already"):
            utils.register_keras_serializable(package="mine", name="Twin")(half_of_squares)
    finally:
        del utils.get_custom_objects()["mine>Twin"]
    with pytest.raises(GraphError, match="get_config"):
        utils.register_keras_serializable()(type("Bare", (), {}))


def test_objects_from_names_and_configurations() -> None:
    assert utils.deserialize_keras_object("max", {"max": max}) is max
    assert utils.deserialize_keras_object("dict", custom_objects={"dict": dict}) == {}
    assert utils.serialize_keras_object(half_of_squares) == "half_of_squares" and utils.serialize_keras_object(None) is None
    with pytest.raises(GraphError, match="no loss is called 'gone'"):
        utils.deserialize_keras_object("gone", {}, printable_module_name="loss")
    with pytest.raises(GraphError, match="code from a file is not run"):
        generic_utils.func_load(b"")


def test_small_functions() -> None:
    assert generic_utils.has_arg(half_of_squares, "y_pred") and not generic_utils.has_arg(half_of_squares, "z")
    assert generic_utils.has_arg(lambda **kw: kw, "z", accept_all=True)
    assert generic_utils.to_list((1, 2)) == [(1, 2)] and generic_utils.to_list((1, 2), allow_tuple=True) == [1, 2]
    assert generic_utils.unpack_singleton([4]) == 4 and generic_utils.is_all_none([None, None])
    a = np.arange(6)
    assert generic_utils.slice_arrays([a, None], 1, 3)[0].tolist() == [1, 2] and generic_utils.slice_arrays(a, [0, 5]).tolist() == [0, 5]
    assert generic_utils.transpose_shape((2, 5, 6, 3), "channels_first", (1, 2)) == (2, 3, 5, 6)
    with pytest.raises(GraphError, match="unknown keys b"):
        generic_utils.check_for_unexpected_keys("loss", {"b": 1}, ["a"])
    np.testing.assert_allclose(utils.normalize([[3.0, 4.0], [0.0, 0.0]]), [[0.6, 0.8], [0, 0]])
    assert np_utils.probas_to_classes(np.array([[0.2], [0.9]])).tolist() == [0, 1]
    (x, y), (x2, _) = test_utils.get_test_data(5, 2, (3,), num_classes=2)
    assert x.shape == (5, 3) and x2.shape == (2, 3) and set(y) <= {0, 1}
    with pytest.raises(GraphError, match="several GPUs"):
        utils.multi_gpu_model(None, 2)


def test_batches_of_generators() -> None:
    for data in (1, (1, 2), (1, 2, 3)):
        x, y, weight = utils.unpack_x_y_sample_weight(data)
        assert (x, y, weight) == (1, 2 if data != 1 else None, 3 if data == (1, 2, 3) else None)
        assert utils.pack_x_y_sample_weight(x, y, weight) == data
    with pytest.raises(GraphError, match="4 parts"):
        utils.unpack_x_y_sample_weight((1, 2, 3, 4))
    assert layer_utils.layer_from_config({"class_name": "Dense", "config": {"units": 3}}).units == 3


def test_one_seed_for_all() -> None:
    drawn = []
    for _ in range(2):
        utils.set_random_seed(7)
        drawn.append((random.random(), np.random.rand(), Sequential([Dense(2, input_dim=3)]).get_weights()[0]))
    assert drawn[0][:2] == drawn[1][:2]
    np.testing.assert_array_equal(drawn[0][2], drawn[1][2])


# --- convolutions and weights --------------------------------------------------------------------
def test_lengths_of_convolutions() -> None:
    for n in (7, 8):
        for stride in (1, 2, 3):
            for padding in ("valid", "same"):
                x = np.zeros((1, n))
                expected = len(range(0, n - 3 + 1, stride)) if padding == "valid" else -(-n // stride)
                assert conv_utils.conv_output_length(x.shape[1], 3, padding, stride) == expected
    assert conv_utils.conv_output_length(10, 3, "valid", 1, dilation=2) == 6 and conv_utils.conv_output_length(None, 3, "same", 1) is None
    assert conv_utils.conv_input_length(5, 3, "valid", 2) == 11
    assert conv_utils.deconv_length(4, 2, 3, "valid") == 9 and conv_utils.deconv_length(4, 2, 3, "same") == 8
    assert conv_utils.deconv_length(4, 2, 3, "same", output_padding=1) == 8
    assert conv_utils.normalize_tuple(3, 2, "strides") == (3, 3) and conv_utils.normalize_padding("SAME") == "same"
    with pytest.raises(GraphError, match="strides"):
        conv_utils.normalize_tuple((1, 2, 3), 2, "strides")


def test_weights_for_the_other_order_of_axes() -> None:
    kernel = np.arange(12).reshape(2, 3, 1, 2)
    np.testing.assert_array_equal(conv_utils.convert_kernel(kernel), kernel[::-1, ::-1])
    images = np.random.rand(2, 4, 5, 3).astype(np.float32)
    last = Sequential([Flatten(input_shape=(4, 5, 3)), Dense(2)])
    first = Sequential([Flatten(input_shape=(3, 4, 5)), Dense(2, weights=last.get_weights())])
    layer_utils.convert_dense_weights_data_format(first.layers[-1], (3, 4, 5), "channels_first")
    np.testing.assert_allclose(first.predict(images.transpose(0, 3, 1, 2)), last.predict(images), rtol=1e-4, atol=1e-6)


def test_inputs_that_a_result_depends_on() -> None:
    a, b = Input((2,)), Input((3,))
    y = Dense(4)(Dense(3)(a))
    assert utils.get_source_inputs(y) == [a] and utils.get_source_inputs(b) == [b]
    model = Model(a, y)
    assert layer_utils.count_params(model.weights) == 9 + 16 and K.int_shape(y) == (None, 4)


# --- the cache -----------------------------------------------------------------------------------
@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_file_is_fetched_once_and_checked(home: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("one")
    digest = hashlib.sha256(b"one").hexdigest()
    path = utils.get_file("a.txt", source.as_uri(), file_hash=digest)
    assert path == str(home / "datasets" / "a.txt") and Path(path).read_text() == "one" and keras_home() == home
    source.write_text("two")
    assert Path(utils.get_file("a.txt", source.as_uri(), file_hash=digest)).read_text() == "one"
    assert Path(utils.get_file("a.txt", source.as_uri(), md5_hash=hashlib.md5(b"two").hexdigest())).read_text() == "two"
    with pytest.raises(FetchError, match="its hash is not"):
        utils.get_file("b.txt", source.as_uri(), file_hash="0" * 64)
    assert [p.name for p in (home / "datasets").iterdir()] == ["a.txt"]  # no rest of what failed
    source.write_text("three")
    assert Path(utils.get_file("a.txt", source.as_uri(), force_download=True)).read_text() == "three"


def test_without_a_network_it_says_where_to_put_the_file(home: Path, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        utils.get_file("c.npz", (tmp_path / "none").as_uri(), cache_subdir="models")
    assert f"put it at {home / 'models' / 'c.npz'}" in str(caught.value) and isinstance(caught.value, OSError)


def test_archives_are_unpacked_beside_themselves_only(home: Path, tmp_path: Path) -> None:
    good, bad, packed = tmp_path / "good.tar.gz", tmp_path / "bad.tar.gz", tmp_path / "p.zip"
    for path, name in ((good, "folder/inside.txt"), (bad, "../../outside.txt")):
        with tarfile.open(path, "w:gz") as tar:
            info = tarfile.TarInfo(name)
            info.size = 2
            tar.addfile(info, io.BytesIO(b"hi"))
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../z.txt", "hi")
    folder = utils.get_file("folder", good.as_uri(), untar=True)
    assert (Path(folder) / "inside.txt").read_text() == "hi"
    with pytest.raises(tarfile.TarError):
        utils.get_file("bad.tar.gz", bad.as_uri(), extract=True)
    utils.get_file("p.zip", packed.as_uri(), extract=True)
    assert (home / "datasets" / "z.txt").exists() and not list(tmp_path.glob("**/outside.txt"))
    with pytest.raises(GraphError, match="rar"):
        utils.get_file("good.tar.gz", good.as_uri(), extract=True, archive_format="rar")


# --- batches made ahead --------------------------------------------------------------------------
class Numbers(utils.Sequence):
    def __init__(self, count: int, fail_at: int = -1) -> None:
        super().__init__()
        self.count, self.fail_at, self.epochs = count, fail_at, 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[int, int]:
        if index == self.fail_at:
            raise ZeroDivisionError("in a worker")
        time.sleep(0.001 * ((index * 7) % 3))  # finished in another order
        return self.epochs, index

    def on_epoch_end(self) -> None:
        self.epochs += 1


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_several_workers_keep_the_order(processes: bool) -> None:
    enqueuer = utils.OrderedEnqueuer(Numbers(5), use_multiprocessing=processes)
    enqueuer.start(workers=2, max_queue_size=3)
    batches = enqueuer.get()
    assert [next(batches) for _ in range(12)] == [(n // 5, n % 5) for n in range(12)]
    enqueuer.stop()
    assert not enqueuer.is_running()


def test_a_shuffled_epoch_has_every_batch() -> None:
    enqueuer = utils.OrderedEnqueuer(Numbers(20), shuffle=True)
    enqueuer.start()
    batches = enqueuer.get()
    seen = [next(batches)[1] for _ in range(20)]
    enqueuer.stop()
    assert sorted(seen) == list(range(20)) and seen != list(range(20))


def test_what_a_worker_raises_arrives() -> None:
    enqueuer = utils.OrderedEnqueuer(Numbers(5, fail_at=2))
    enqueuer.start(workers=2)
    batches = enqueuer.get()
    assert next(batches) == (0, 0) and next(batches) == (0, 1)
    with pytest.raises(ZeroDivisionError, match="in a worker"):
        next(batches)
    assert not enqueuer.is_running()
    with pytest.raises(StateError, match="start"):
        next(enqueuer.get())


def test_a_generator_runs_ahead_in_one_thread() -> None:
    inside: set[str] = set()

    def count(to: int) -> Iterator[int]:
        for n in range(to):
            inside.add(threading.current_thread().name)
            yield n
        if to == 4:
            raise ZeroDivisionError

    enqueuer = utils.GeneratorEnqueuer(count(3), use_multiprocessing=True)
    enqueuer.start(workers=3)
    assert list(enqueuer.get()) == [0, 1, 2] and len(inside) == 1 and threading.current_thread().name not in inside
    enqueuer = utils.GeneratorEnqueuer(count(4))
    enqueuer.start(max_queue_size=2)
    with pytest.raises(ZeroDivisionError):
        list(enqueuer.get())


# --- pictures of models --------------------------------------------------------------------------
def _nested() -> Model:
    inner = Sequential([Dense(3, input_dim=4, name="q"), Dense(5, name="r")], name="inner")
    x, z = Input((4,), name="x"), Input((5,), name="z")
    return Model([x, z], [Dense(2, name="out", activation="relu")(inner(x)), Dense(1, name="other")(z)])


def test_a_picture_shows_shapes_names_and_nested_models() -> None:
    dot = utils.model_to_dot(_nested(), show_shapes=True)
    assert "inner: Sequential" in dot.source and "(None, 5)" in dot.source and "q: Dense" not in dot.source
    assert dot.source.count("->") == 3 and "rankdir=TB" in dot.to_string()
    dot = utils.model_to_dot(_nested(), expand_nested=True, rankdir="LR", show_layer_names=False, show_layer_activations=True, show_dtype=True, show_trainable=True)
    assert "subgraph cluster_1" in dot.source and "q: Dense" not in dot.source and dot.source.count("->") == 5
    assert "relu" in dot.source and "trainable:" in dot.source and "rankdir=LR" in dot.source
    with pytest.raises(GraphError, match="rankdir"):
        utils.model_to_dot(_nested(), rankdir="UP")


@pytest.mark.skipif(not graphviz_layout.available(), reason="Graphviz is not installed")
@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("dot", b"digraph")])
def test_plot_model_writes_the_format_of_the_suffix(tmp_path: Path, suffix: str, start: bytes) -> None:
    path = tmp_path / f"model.{suffix}"
    utils.plot_model(_nested(), to_file=str(path), show_shapes=True, expand_nested=True)
    assert path.read_bytes().startswith(start)


@pytest.mark.skipif(not graphviz_layout.available(), reason="Graphviz is not installed")
def test_a_model_as_svg_fills_its_view_box() -> None:
    svg = utils.model_to_dot(_nested(), rankdir="LR", dpi=144).create(format="svg").decode()
    assert 'transform="scale(1 1)' in svg


def test_without_graphviz_there_is_our_own_svg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphviz_layout, "available", lambda: False)
    utils.plot_model(_nested(), tmp_path / "m.svg", show_shapes=True, expand_nested=True)
    text = (tmp_path / "m.svg").read_text()
    assert text.startswith("<svg") and text.count('class="edge"') == 5 and "q: Dense" in text and ">inner<" in text
    with pytest.raises(MissingExtraError, match="install Graphviz"):
        utils.plot_model(_nested(), tmp_path / "m.png")
    assert not (tmp_path / "m.png").exists()


# --- arrays in files -----------------------------------------------------------------------------
def test_hdf5_matrices_are_read_where_they_are_used(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path, data = str(tmp_path / "m.h5"), np.arange(40).reshape(20, 2)
    with h5py.File(path, "w") as file:
        file["x"] = data
    matrix = utils.HDF5Matrix(path, "x", start=4, end=16, normalizer=lambda a: a * 10)
    part = data[4:16] * 10
    assert matrix.shape == (12, 2) and len(matrix) == 12 and matrix.ndim == 2 and matrix.size == 24 and matrix.dtype == data.dtype
    for key in (3, -1, slice(2, 5), slice(None), slice(None, None, -2), [5, 1, 5, -2], np.array([7, 0]), np.arange(12) % 3 == 0):
        np.testing.assert_array_equal(matrix[key], part[key])
    np.testing.assert_array_equal(np.asarray(matrix), part)
    for key in (12, [3, 99]):
        with pytest.raises(IndexError, match="of a matrix with 12 rows"):
            matrix[key]
    io_utils.save_array(data, str(tmp_path / "a.h5"))
    np.testing.assert_array_equal(io_utils.load_array(str(tmp_path / "a.h5")), data)
    utils.HDF5Matrix.refs.pop(path).close()
