"""Event files: framing, messages, what the callback writes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphflow.keras import generation
from graphflow.keras.callbacks import TensorBoard, events
from graphflow.keras.layers import Dense, Dropout, Embedding, Flatten
from graphflow.keras.models import Sequential


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message: numbers, 4 or 8 bytes, or bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return n

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(kind) or varint()
        yield key >> 3, data[at : at + size]
        at += size


def records(path: Path) -> Iterator[dict[int, Any]]:
    data, at = path.read_bytes(), 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        assert data[at + 8 : at + 12] == events.masked_crc(data[at : at + 8])
        body = data[at + 12 : at + 12 + length]
        assert data[at + 12 + length : at + 16 + length] == events.masked_crc(body)
        yield dict(fields(body))
        at += 16 + length


def values(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """By tag: step and simple value, or the fields of the histogram or image."""
    (path,) = folder.glob("events.out.tfevents.*")
    found: dict[str, list[tuple[int, Any]]] = {}
    for event in records(path):
        for number, value in fields(event.get(5, b"")):
            assert number == 1
            parts = dict(fields(value))
            content = struct.unpack("<f", parts[2])[0] if 2 in parts else dict(fields(parts.get(5) or parts[4]))
            found.setdefault(parts[1].decode(), []).append((event.get(2, 0), content))
    return found


def test_checksums_and_numbers() -> None:
    assert events.crc32c(b"123456789") == 0xE3069283 and events.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert events.varint(300) == b"\xac\x02" and events.varint(-1) == b"\xff" * 9 + b"\x01"
    png = events.png(np.array([[0, 255], [7, 9]], np.uint8))
    start = png.index(b"IDAT")
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and zlib.decompress(png[start + 4 : -16]) == bytes([0, 0, 255, 0, 7, 9])


def test_histograms_count_finite_values() -> None:
    message = dict(fields(dict(fields(events.histogram("h", [1.0, 2, 2, np.nan, np.inf])))[1]))
    histogram = dict(fields(message[5]))
    least, most, number, total, squares = (struct.unpack("<d", histogram[i])[0] for i in range(1, 6))
    assert (least, most, number, total, squares) == (1, 2, 3, 5, 9)
    assert np.frombuffer(histogram[7]).sum() == 3 and np.frombuffer(histogram[6])[-1] == 2


def train(folder: Path, **options: Any) -> tuple[Any, Any]:
    x = np.random.rand(12, 3)
    model = Sequential([Dense(4, "tanh", input_dim=3), Dropout(0.2), Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    history = model.fit(x, x[:, 0], batch_size=4, epochs=2, verbose=0, validation_split=0.34, callbacks=[TensorBoard(folder, **options)])
    return model, history.history


@pytest.mark.smoke
def test_losses_and_metrics_of_epochs(tmp_path: Path) -> None:
    _, history = train(tmp_path)
    written = values(tmp_path)
    assert set(written) == set(history)
    for name, found in written.items():
        np.testing.assert_allclose([v for _, v in found], history[name], rtol=1e-6)
        assert [step for step, _ in found] == [0, 1]
    (path,) = tmp_path.iterdir()
    first, graph = list(records(path))[:2]
    assert first[3] == b"brain.Event:2"
    nodes = [dict(fields(node)) for number, node in fields(graph[4]) if number == 1]
    names = [node[1].decode() for node in nodes]
    assert len(set(names)) == len(names) and "dense_1/kernel" in names and any(n.startswith("dense_2/") for n in names)
    inputs = [text.decode() for number, node in fields(graph[4]) if number == 1 for n, text in fields(node) if n == 3]
    assert set(inputs) <= set(names)


def test_histograms_images_and_gradients(tmp_path: Path) -> None:
    model, _ = train(tmp_path, histogram_freq=2, write_grads=True, write_images=True)
    written = values(tmp_path)
    weights = [w.name for w in model.weights]
    expected = {*weights, *(f"{w}/image" for w in weights), *(f"{w}_grad" for w in weights), *(f"{layer.name}_out" for layer in model.layers)}
    assert expected <= set(written) and all([step for step, _ in written[name]] == [0] for name in expected)
    assert struct.unpack("<d", written["dense_1/kernel"][0][1][3])[0] == 12
    assert written["dense_1/kernel/image"][0][1][1] == 3 and written["dense_1/kernel/image"][0][1][4].startswith(b"\x89PNG")


def test_batches_on_request(tmp_path: Path) -> None:
    train(tmp_path / "a", update_freq="batch")
    assert [step for step, _ in values(tmp_path / "a")["loss"]] == [4, 7, 0, 11, 14, 1]  # samples seen, and epochs
    train(tmp_path / "b", update_freq=8, write_graph=False)
    assert [step for step, _ in values(tmp_path / "b")["loss"]] == [0, 11, 1]


def test_from_tf_keras_on_there_are_two_runs(tmp_path: Path) -> None:
    with generation.using("2.4"):
        _, history = train(tmp_path, update_freq=2)
    assert sorted(values(tmp_path / "train")) == ["batch_loss", "batch_mae", "epoch_loss", "epoch_mae"]
    np.testing.assert_allclose([v for _, v in values(tmp_path / "validation")["epoch_loss"]], history["val_loss"], rtol=1e-6)
    assert [step for step, _ in values(tmp_path / "train")["batch_loss"]] == [2, 4]


def test_embeddings_for_the_projector(tmp_path: Path) -> None:
    model = Sequential([Embedding(5, 2, input_length=3, name="words"), Flatten(), Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.zeros((2, 3)), np.zeros(2), verbose=0, callbacks=[TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata="names.tsv")])
    np.testing.assert_allclose(np.loadtxt(tmp_path / "words.tsv"), model.layers[0].get_weights()[0], rtol=1e-5)
    text = (tmp_path / "projector_config.pbtxt").read_text()
    assert 'tensor_path: "words.tsv"' in text and 'metadata_path: "names.tsv"' in text
