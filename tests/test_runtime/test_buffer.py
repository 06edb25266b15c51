"""Feeds: what is used where it lies, what is copied, what is refused."""

from __future__ import annotations

import array

import numpy as np
import pytest

import graphflow as gf
from graphflow.runtime.buffer import aligned_copy, aligned_empty, as_fed_array

X = gf.placeholder("float32", (None,), name="x")


def fed(value, dtype="float32"):
    return as_fed_array(value, np.dtype(dtype), X)


def memory(a: np.ndarray) -> int:
    return a.__array_interface__["data"][0]


@pytest.mark.smoke
def test_arrays_that_fit_are_used_where_they_lie() -> None:
    a = np.arange(12, dtype="float32")
    frozen = a.copy()
    frozen.flags.writeable = False
    named = a.view(np.dtype("float32", metadata={"unit": "m"}))
    for value in (a, a[2:7], a.reshape(3, 4)[1:], a[:0], frozen, a.view(type("Sub", (np.ndarray,), {})), named, a.reshape(1, 12).T, np.broadcast_to(a, (1, 12))):
        got = fed(value)
        assert type(got) is np.ndarray and got.dtype is np.dtype("float32")
        assert memory(got) == memory(value) and np.shares_memory(got, value) == bool(value.size)
        np.testing.assert_array_equal(got, np.asarray(value))
    longs = np.arange(3, dtype=np.longlong)
    assert memory(fed(longs, "int64")) == memory(longs) and fed(longs, "int64").dtype is np.dtype("int64")


def test_others_are_copied_in_order_and_aligned() -> None:
    a = np.arange(24, dtype="float32").reshape(4, 6)
    raw = np.zeros(a.nbytes + 1, np.uint8)
    misaligned = raw[1:].view("float32").reshape(4, 6)
    misaligned[:] = a
    for value in (a.T, a[:, ::2], a[::-1], np.asfortranarray(a), misaligned, a.astype(">f4"), a.astype(float), a.astype("int8"), a > 3, a.tolist(), np.broadcast_to(a[0], (3, 6))):
        got = fed(value)
        assert got.flags.c_contiguous and got.flags.aligned and got.dtype is np.dtype("float32") and not np.shares_memory(got, a)
        np.testing.assert_array_equal(got, np.asarray(value, "float32"))


def test_buffers_are_arrays_over_their_memory() -> None:
    numbers = array.array("f", [1, 2, 3])
    got = fed(numbers)
    numbers[0] = 7
    assert got.tolist() == [7, 2, 3]
    held = bytearray(b"abc")
    got = fed(held, "uint8")
    held[0] = 0
    assert got.tolist() == [0, 98, 99]
    view = memoryview(np.arange(6, dtype="float32").reshape(2, 3))
    assert fed(view).shape == (2, 3) and memory(fed(view)) == memory(np.asarray(view))
    fixed = b"\x01\x02\xff"
    assert fed(fixed, "uint8").tolist() == [1, 2, 255] and not fed(fixed, "uint8").flags.writeable
    assert fed(b"", "uint8").shape == (0,)
    x = gf.placeholder("uint8", (None,))
    assert gf.function([x], gf.sum(gf.cast(x, "int64")))(fixed) == 258


@pytest.mark.parametrize("value", ["text", np.array(["a"]), 1j, np.zeros(2, complex), object(), None, [1, None], [[1], [1, 2]], np.zeros(2, "M8[s]"), {}, lambda: 0, 10**400])
def test_what_is_no_number_is_refused(value) -> None:
    with pytest.raises(gf.DTypeError, match="wrong value for x"):
        fed(value)


def test_no_silent_loss() -> None:
    assert fed(np.array([1, 127]), "int8").tolist() == [1, 127]
    for value, dtype in (([128], "int8"), ([-1], "uint64"), (2**64, "uint64"), (np.array([1.5]), "int32"), (np.float64(2), "int64"), (2**70, "int32")):
        with pytest.raises(gf.DTypeError):
            fed(value, dtype)
    assert fed(True, "int8") == 1 and fed([], "int32").size == 0


def test_aligned_memory() -> None:
    for shape in ((), (0,), (3, 5), (2, 0, 4)):
        a = aligned_empty(shape, np.dtype("float64"))
        assert a.shape == shape and (memory(a) % 64 == 0 or not a.size) and a.flags.carray
        np.testing.assert_array_equal(aligned_copy(np.ones(shape)), np.ones(shape))
