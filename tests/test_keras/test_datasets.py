"""Data sets, from small files in the real formats."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphflow.graph.errors import GraphError
from graphflow.keras import backend as K
from graphflow.keras import datasets
from graphflow.keras.cache import FetchError
from graphflow.keras.datasets import files
from graphflow.keras.plain_pickle import UntrustedDataError, load_npz, load_plain


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], None]:
    """put(name, content) puts a file into a cache of its own; its hash is what the file should have."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def put(name: str, content: bytes, key: str | None = None) -> None:
        path = tmp_path / "datasets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        key = key or Path(name).name
        monkeypatch.setitem(files.FILES, key, (files.FILES[key][0], hashlib.sha256(content).hexdigest()))

    return put


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def rows(*lists: list[int]) -> Any:
    made = np.empty(len(lists), object)
    made[:] = lists
    return made


def offline(*args: Any, **kwargs: Any) -> Any:
    raise ConnectionError("no network")


@pytest.mark.smoke
def test_without_the_file_it_says_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    wanted = {
        "mnist": "mnist.npz", "imdb": "imdb.npz", "reuters": "reuters.npz", "boston_housing": "boston_housing.npz", "california_housing": "california_housing.npz",
        "cifar10": "cifar-10-batches-py.tar.gz", "cifar100": "cifar-100-python.tar.gz", "fashion_mnist": "fashion-mnist/train-labels-idx1-ubyte.gz",
    }  # fmt: skip
    for name, file in wanted.items():
        with pytest.raises(FetchError) as caught:
            getattr(datasets, name).load_data()
        assert f"put it at {tmp_path / 'datasets' / file}" in str(caught.value)


def test_mnist(put: Any, tmp_path: Path) -> None:
    arrays = {"x_train": np.ones((3, 28, 28), np.uint8), "y_train": np.arange(3, dtype=np.uint8), "x_test": np.zeros((1, 28, 28), np.uint8), "y_test": np.array([7])}
    put("mnist.npz", npz(**arrays))
    (x, y), (x2, y2) = datasets.mnist.load_data()
    assert x.shape == (3, 28, 28) and x.dtype == np.uint8 and y.tolist() == [0, 1, 2] and x2.shape[0] == 1 and y2.tolist() == [7]
    (tmp_path / "mine.npz").write_bytes(npz(**{**arrays, "y_test": np.array([9])}))
    assert datasets.mnist.load_data(str(tmp_path / "mine.npz"))[1][1].tolist() == [9]


def test_a_file_that_was_changed_is_not_taken(put: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("mnist.npz", b"right")
    (tmp_path / "datasets" / "mnist.npz").write_bytes(b"wrong")
    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(FetchError, match="cannot be reached"):
        datasets.mnist.load_data()


def test_fashion_mnist(put: Any) -> None:
    for part, count in (("train", 3), ("t10k", 2)):
        put(f"fashion-mnist/{part}-labels-idx1-ubyte.gz", gzip.compress(b"\0" * 8 + bytes(range(count))))
        put(f"fashion-mnist/{part}-images-idx3-ubyte.gz", gzip.compress(b"\0" * 16 + b"\5" * count * 784))
    (x, y), (x2, y2) = datasets.fashion_mnist.load_data()
    assert x.shape == (3, 28, 28) and (x == 5).all() and y.tolist() == [0, 1, 2] and x2.shape == (2, 28, 28) and y2.tolist() == [0, 1]


def _cifar_archive(folder: str, batches: dict[str, dict[bytes, Any]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, batch in batches.items():
            content = pickle.dumps(batch, protocol=2)
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def test_cifar(put: Any) -> None:
    images = np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3072)
    ten = {name: {b"data": images, b"labels": [3, 1]} for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")}
    put("cifar-10-batches-py.tar.gz", _cifar_archive("cifar-10-batches-py", ten), "cifar-10-batches-py")
    (x, y), (x2, y2) = datasets.cifar10.load_data()
    assert x.shape == (10, 32, 32, 3) and x.dtype == np.uint8 and y.shape == (10, 1) and y2[:, 0].tolist() == [3, 1]
    np.testing.assert_array_equal(x2[1, :, :, 2], images[1].reshape(3, 32, 32)[2])
    hundred = {name: {b"data": images, b"fine_labels": [99, 0], b"coarse_labels": [19, 1]} for name in ("train", "test")}
    put("cifar-100-python.tar.gz", _cifar_archive("cifar-100-python", hundred), "cifar-100-python")
    assert datasets.cifar100.load_data()[0][1][:, 0].tolist() == [99, 0]
    K.set_image_data_format("channels_first")
    try:
        (x, y), _ = datasets.cifar100.load_data("coarse")
        np.testing.assert_array_equal(x, images.reshape(2, 3, 32, 32))
        assert y[:, 0].tolist() == [19, 1]
    finally:
        K.set_image_data_format("channels_last")
    with pytest.raises(GraphError, match="label_mode"):
        datasets.cifar100.load_data("medium")


REVIEWS = rows([1, 2, 3], [4, 5], [6], [1, 1, 1, 1])


def _real_imdb(seed: int) -> tuple[list[list[int]], list[int]]:
    """The order Keras draws."""
    order = np.arange(4)
    np.random.RandomState(seed).shuffle(order)
    return [REVIEWS[i] for i in order], order.tolist()


def test_imdb(put: Any) -> None:
    put("imdb.npz", npz(x_train=REVIEWS, y_train=np.arange(4), x_test=REVIEWS, y_test=np.arange(4)))
    xs, order = _real_imdb(113)
    (x, y), (x2, y2) = datasets.imdb.load_data()
    # without num_words the limit is the largest number, which becomes 2 itself: as in Keras
    assert x.tolist() == [[1, *(w + 3 if w + 3 < 9 else 2 for w in row)] for row in xs] and y.tolist() == order and x.dtype == object
    assert sorted(y2) == [0, 1, 2, 3] and len(x2) == 4
    (x, y), _ = datasets.imdb.load_data(num_words=8, skip_top=5, maxlen=4, start_char=None, oov_char=None, index_from=3)
    short = [(row, i) for row, i in zip(xs, order, strict=True) if len(row) < 4]
    assert x.tolist() == [[w + 3 for w in row if 5 <= w + 3 < 8] for row, _ in short] and y.tolist() == [i for _, i in short]
    with pytest.warns(DeprecationWarning, match="num_words"):
        assert max(max(row) for row in datasets.imdb.load_data(nb_words=6)[0][0]) == 5
    with pytest.raises(GraphError, match="maxlen"):
        datasets.imdb.load_data(maxlen=1)
    put("imdb_word_index.json", json.dumps({"the": 1}).encode())
    assert datasets.imdb.get_word_index() == {"the": 1}


def test_reuters(put: Any) -> None:
    put("reuters.npz", npz(x=REVIEWS, y=np.arange(4)))
    xs, order = _real_imdb(113)
    (x, y), (x2, y2) = datasets.reuters.load_data(num_words=100, test_split=0.25)
    assert [*x.tolist(), *x2.tolist()] == [[1, *(w + 3 for w in row)] for row in xs] and [*y, *y2] == order and len(x) == 3
    put("reuters_word_index.json", b"{}")
    assert datasets.reuters.get_word_index() == {} and len(datasets.reuters.get_label_names()) == 46


def test_housing(put: Any) -> None:
    table = np.arange(1300.0).reshape(650, 2)
    put("boston_housing.npz", npz(x=table, y=table[:, 0]))
    (x, y), (x2, _) = datasets.boston_housing.load_data(test_split=0.5, seed=3)
    order = np.arange(650)
    np.random.RandomState(3).shuffle(order)
    np.testing.assert_array_equal(np.concatenate([x, x2]), table[order])
    np.testing.assert_array_equal(y, x[:, 0])
    put("california_housing.npz", npz(x=table, y=table[:, 0]))
    assert datasets.california_housing.load_data("small")[1][0].shape == (120, 2)
    with pytest.raises(GraphError, match="test_split"):
        datasets.boston_housing.load_data(test_split=1.5)


# --- nothing that a file names is run ------------------------------------------------------------
class Harmful:
    def __reduce__(self) -> Any:
        return print, ("this ran",)


@pytest.mark.parametrize("content", [Harmful(), [Harmful()], {"a": {"b": Harmful()}}, rows([Harmful()]), np.dtype([("a", "O")]), Path("x")])  # type: ignore[list-item]
def test_code_in_a_file_is_refused(content: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for protocol in (0, 2, 4):
        with pytest.raises(UntrustedDataError, match="only plain data"):
            load_plain(io.BytesIO(pickle.dumps(content, protocol)))
    assert "this ran" not in capsys.readouterr().out


def test_code_in_the_archive_of_a_data_set_is_refused(put: Any, capsys: pytest.CaptureFixture[str]) -> None:
    put("imdb.npz", npz(x_train=rows([Harmful()]), y_train=np.zeros(1), x_test=REVIEWS, y_test=np.zeros(4)))  # type: ignore[list-item]
    with pytest.raises(UntrustedDataError):
        datasets.imdb.load_data()
    assert "this ran" not in capsys.readouterr().out


@pytest.mark.parametrize("protocol", range(5))
def test_plain_data_come_back(protocol: int) -> None:
    arrays = [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3)), np.array(["a", "bc"]), np.array([True]), np.arange(3, dtype=">i2"), np.array(3.5)]
    plain = {"arrays": arrays, "rows": rows([1, 2], [3]), "numbers": (1, 2.5, None, True, "text", b"bytes"), "scalar": np.float32(2)}
    again = load_plain(io.BytesIO(pickle.dumps(plain, protocol)))
    for a, b in zip(again["arrays"], arrays, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
    assert again["rows"].tolist() == [[1, 2], [3]] and again["numbers"] == plain["numbers"] and again["scalar"] == 2


def test_broken_files_are_named_as_such(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": np.arange(100)}, 2)
    for end in (0, 5, len(whole) // 2, len(whole) - 1):
        with pytest.raises(UntrustedDataError):
            load_plain(io.BytesIO(whole[:end]))
    np.savez(tmp_path / "f.npz", a=np.asfortranarray(np.arange(6).reshape(2, 3)), b=np.zeros((0, 2)))
    found = load_npz(str(tmp_path / "f.npz"))
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and found["b"].shape == (0, 2)
