"""A bundle's shared library, called through ctypes."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.bundle import Bundle


def aligned(n: int, offset: int = 0) -> np.ndarray:
    """n bytes, `offset` past a boundary of 64."""
    raw = np.zeros(n + 128, np.uint8)
    start = -raw.ctypes.data % 64 + offset
    return raw[start : start + n]


class Native:
    """The C functions of a bundle; arrays in, arrays out."""

    def __init__(self, bundle: Bundle) -> None:
        self.name = bundle.name
        self.library = ctypes.CDLL(str(bundle.library))
        self.function("metadata").restype = ctypes.c_char_p
        self.metadata: dict[str, Any] = json.loads(self.function("metadata")())
        assert self.metadata == bundle.metadata
        assert self.function("init")() == 0

    def function(self, suffix: str) -> Any:
        return getattr(self.library, f"{self.name}_{suffix}")

    def workspace_size(self, dims: Sequence[int]) -> tuple[int, int, int]:
        """(code, bytes, alignment)"""
        size, align = ctypes.c_uint64(0), ctypes.c_uint32(0)
        code = self.function("workspace_size")(table(dims), ctypes.byref(size), ctypes.byref(align))
        return code, size.value, align.value

    def new_state(self) -> np.ndarray:
        state = aligned(self.metadata["state_bytes"])
        assert self.function("state_init")(ctypes.c_void_p(state.ctypes.data)) == 0
        return state

    def state_value(self, state: np.ndarray, name: str) -> np.ndarray:
        t = next(t for t in self.metadata["state"] if t["name"] == name)
        shape = [int(n) for n in t["shape"]]
        n = int(np.prod(shape)) * np.dtype(t["dtype"]).itemsize
        return state[t["offset"] : t["offset"] + n].view(t["dtype"]).reshape(shape)

    def __call__(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], dims: Sequence[int], state: np.ndarray | None = None, suffix: str = "run", par: Any = None) -> int:
        """Fills `outputs`; the code."""
        code, size, _ = self.workspace_size(dims)
        assert code == 0
        self.workspace = aligned(size)
        where = ctypes.c_void_p(None if state is None else state.ctypes.data)
        return int(self.function(suffix)(pointers(inputs), pointers(outputs), table(dims), where, ctypes.c_void_p(self.workspace.ctypes.data), ctypes.c_uint64(size), par))


def table(dims: Sequence[int]) -> Any:
    return (ctypes.c_int64 * max(1, len(dims)))(*dims)


def pointers(arrays: Sequence[np.ndarray | None]) -> Any:
    return (ctypes.c_void_p * max(1, len(arrays)))(*[None if a is None else a.ctypes.data for a in arrays])


@pytest.fixture
def export(tmp_path: Any) -> Callable[..., Native]:
    """Export and load: `export(f, name="f")`."""

    def make(what: Any, name: str = "f", **options: Any) -> Native:
        return Native(gf.export(what, tmp_path / name, name=name, **options))

    return make


class Mlp:
    """A small network, its loss and a training step with momentum: graphs without transcendental functions."""

    def __init__(self, momentum: bool = True) -> None:
        rng = np.random.default_rng(5)
        self.x = gf.placeholder("float32", (None, 6), name="x")
        self.t = gf.placeholder("float32", (None, 3), name="t")
        self.w1 = gf.shared(rng.normal(size=(6, 20)).astype("float32") * 0.3, name="w1")
        self.b1 = gf.shared(np.zeros(20, "float32"), name="b1")
        self.w2 = gf.shared(rng.normal(size=(20, 3)).astype("float32") * 0.3, name="w2")
        self.weights = [self.w1, self.b1, self.w2]
        self.y = gf.maximum(self.x @ self.w1 + self.b1, 0.0) @ self.w2
        self.loss = gf.mean(gf.square(self.y - self.t))
        updates: list[tuple[Any, Any]] = []
        for w, g in zip(self.weights, gf.grad(self.loss, self.weights), strict=True):
            v = gf.shared(np.zeros_like(w.get_value()), name=f"v_{w.name}")
            fresh = 0.9 * v - 0.05 * g
            updates += [(v, fresh), (w, w + fresh)]
        self.predict = gf.function([self.x], self.y, name="mlp")
        self.step = gf.function([self.x, self.t], self.loss, updates=updates, name="mlp")


@pytest.fixture
def mlp() -> Mlp:
    return Mlp()


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    """This file's classes and functions, for fixtures of other scopes."""
    return SimpleNamespace(Mlp=Mlp, Native=Native, aligned=aligned, pointers=pointers, table=table)
