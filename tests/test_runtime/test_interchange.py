"""DLPack and other protocols, in and out."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf


class Tensor:
    """Another library's tensor: nothing but DLPack."""

    def __init__(self, a: np.ndarray, device: tuple[int, int] = (1, 0)) -> None:
        self.a, self.device, self.exported = a, device, 0

    def __dlpack__(self, **wanted):
        self.exported += 1
        if self.device[0] != 1:
            raise BufferError("the tensor is on another device")
        return self.a.__dlpack__(**wanted)

    def __dlpack_device__(self):
        return self.device


class Both(Tensor):
    """One that exports arrays where it cannot export DLPack."""

    def __array__(self, dtype=None, copy=None):
        return self.a


def function():
    x = gf.placeholder("float32", (None, 3), name="x")
    return gf.function([x], x * 2)


@pytest.mark.smoke
def test_tensors_are_fed_without_a_copy() -> None:
    from graphflow.runtime.buffer import as_fed_array

    f, a = function(), np.arange(6, dtype="float32").reshape(2, 3)
    tensor = Tensor(a)
    for _ in range(6):
        np.testing.assert_array_equal(f(tensor), a * 2)
    assert tensor.exported == 6 and f.compiled.executables[0].calls == 6
    assert np.shares_memory(as_fed_array(tensor, np.dtype("float32"), f.inputs[0]), a)
    for other in (a.astype(float), a.T.reshape(2, 3), np.asfortranarray(a), a[::-1], a[:0], a.astype("int16")):
        np.testing.assert_array_equal(f(Tensor(other)), other * 2)


def test_tensors_that_cannot_be_read_say_why() -> None:
    f, a = function(), np.ones((2, 3), "float32")
    with pytest.raises(gf.DTypeError, match="on another device"):
        f(Tensor(a, (2, 0)))
    np.testing.assert_array_equal(f(Both(a, (2, 0))), a * 2)
    with pytest.raises(gf.ShapeError, match="wrong shape for x"):
        f(Tensor(a[0]))


def test_state_takes_tensors_and_keeps_none() -> None:
    a = np.ones(3, "float32")
    w = gf.shared(np.zeros(3, "float32"))
    w.set_value(Tensor(a))
    a[:] = 5
    assert w.get_value().tolist() == [1, 1, 1]


def test_results_are_exported() -> None:
    f, a = function(), np.ones((2, 3), "float32")
    for _ in range(6):
        result = f(a)
    there = np.from_dlpack(result)
    assert np.shares_memory(there, result) and result.__dlpack_device__() == (1, 0)
    assert memoryview(result).shape == (2, 3) and memoryview(result).format == "f" and not memoryview(result).readonly
    kept = np.from_dlpack(f(a))
    for _ in range(10):
        f(a * 3)
    np.testing.assert_array_equal(kept, a * 2)  # no later call writes into a result


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    f, t = function(), torch.arange(6, dtype=torch.float32).reshape(2, 3)
    for _ in range(6):
        np.testing.assert_array_equal(f(t), t.numpy() * 2)
    assert torch.equal(torch.from_dlpack(f(t)), t * 2)
    with pytest.raises(gf.DTypeError, match="grad"):
        f(t.clone().requires_grad_())
    np.testing.assert_array_equal(f(t.T.contiguous().T), t.numpy() * 2)


def test_jax_arrays() -> None:
    jnp = pytest.importorskip("jax.numpy")
    f, a = function(), jnp.arange(6, dtype="float32").reshape(2, 3)
    for _ in range(6):
        np.testing.assert_array_equal(f(a), np.asarray(a) * 2)
    np.testing.assert_array_equal(jnp.from_dlpack(f(a)), np.asarray(a) * 2)
