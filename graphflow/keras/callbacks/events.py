"""TensorBoard's event files: records with checksums that hold protocol buffers.

Formats: TFRecord (length, masked CRC-32C, data, masked CRC-32C) and the messages Event, Summary, HistogramProto and GraphDef of
TensorFlow, in the wire format of protocol buffers.
"""

from __future__ import annotations

import functools
import os
import socket
import struct
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphflow.graph.op import Array


# --- wire format ---------------------------------------------------------------------------------
def varint(n: int) -> bytes:
    """Seven bits in a byte, the lowest first; the highest bit says that more follow."""
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def whole(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)


def single(number: int, value: float) -> bytes:
    return varint(number << 3 | 5) + struct.pack("<f", value)


def nested(number: int, data: bytes | str) -> bytes:
    """A message, text or packed numbers."""
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


# --- messages ------------------------------------------------------------------------------------
def scalar(tag: str, value: float) -> bytes:
    """Summary.Value with simple_value."""
    return nested(1, nested(1, tag) + single(2, value))


def histogram(tag: str, values: Any, bins: int = 30) -> bytes:
    """Summary.Value with a HistogramProto of the finite ones of `values`."""
    x = np.asarray(values, np.float64).reshape(-1)
    x = x[np.isfinite(x)]
    counts, edges = np.histogram(x if x.size else np.zeros(0), bins)
    least, most = (x.min(), x.max()) if x.size else (0.0, 0.0)
    head = double(1, least) + double(2, most) + double(3, x.size) + double(4, x.sum()) + double(5, (x * x).sum())
    packed = nested(6, edges[1:].astype("<f8").tobytes()) + nested(7, counts.astype("<f8").tobytes())
    return nested(1, nested(1, tag) + nested(5, head + packed))


def image(tag: str, pixels: Array) -> bytes:
    """Summary.Value with a grey picture of a matrix, from its least value, black, to its largest, white."""
    x = np.asarray(pixels, np.float64)
    scaled = ((x - x.min()) / (np.ptp(x) or 1) * 255).astype(np.uint8)
    height, width = scaled.shape
    body = whole(1, height) + whole(2, width) + whole(3, 1) + nested(4, png(scaled))
    return nested(1, nested(1, tag) + nested(4, body))


def png(grey: Array) -> bytes:
    """A PNG file of a matrix of bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = grey.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), grey], axis=1)  # no filter in any row
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")


def graph(nodes: Iterable[tuple[str, str, Sequence[str], Mapping[str, str]]]) -> bytes:
    """A GraphDef of (name, op, names of inputs, attributes that are text)."""
    made = b""
    for name, op, inputs, attributes in nodes:
        body = nested(1, name) + nested(2, op) + b"".join(nested(3, i) for i in inputs)
        body += b"".join(nested(5, nested(1, key) + nested(2, nested(2, text))) for key, text in attributes.items())
        made += nested(1, body)
    return made + nested(4, whole(1, 27))


# --- files ---------------------------------------------------------------------------------------
@functools.cache
def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum (RFC 3720)."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def masked_crc(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    """A TFRecord."""
    length = struct.pack("<Q", len(data))
    return length + masked_crc(length) + data + masked_crc(data)


class EventFile:
    """A new event file in a folder, which is made if need be."""

    def __init__(self, folder: Any) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}.v2"
        self.path = Path(folder) / name
        self._file = self.path.open("xb")
        self._write(nested(3, "brain.Event:2"))

    def _write(self, what: bytes, step: int | None = None) -> None:
        at = whole(2, step) if step is not None else b""
        self._file.write(record(double(1, time.time()) + at + what))

    def add(self, step: int, values: Iterable[bytes]) -> None:
        """One Event with a Summary of values."""
        self._write(nested(5, b"".join(values)), step)

    def add_graph(self, definition: bytes) -> None:
        self._write(nested(4, definition))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
