"""The native entry: which launches it gives to a gf_parallel, and that any partition of them gives the same bits."""

from __future__ import annotations

import ctypes
import itertools
import random
from collections.abc import Callable

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler.entry import FOREIGN_PARALLEL_WORK, PARALLEL_WORK, Entry
from graphflow.compiler.pipeline import Compilation, module_of
from graphflow.compiler.target.machine import host
from graphflow.graph.errors import CheckError
from graphflow.runtime import executable

FN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


class Parallel:
    """A gf_parallel that does iterations in pieces `cut` chooses; `jobs` are the numbers of iterations it was given."""

    def __init__(self, cut: Callable[[int], list[tuple[int, int]]]) -> None:
        self.cut = cut
        self.jobs: list[int] = []
        self._run = RUN(self.run)
        self._pair = (ctypes.c_void_p * 2)(ctypes.cast(self._run, ctypes.c_void_p), 4711)
        self.par = ctypes.addressof(self._pair)

    def run(self, context: int, fn: int, args: int, n: int) -> None:
        assert context == 4711
        self.jobs.append(n)
        for lo, hi in self.cut(n):
            FN(fn)(args, lo, hi)


def whole(n: int) -> list[tuple[int, int]]:
    return [(0, n)]


def pieces(rng: random.Random) -> Callable[[int], list[tuple[int, int]]]:
    """A partition in any order, with empty pieces."""

    def cut(n: int) -> list[tuple[int, int]]:
        ends = sorted([0, n, *(rng.randint(0, n) for _ in range(rng.randint(0, 5)))])
        made = list(itertools.pairwise(ends))
        rng.shuffle(made)
        return made

    return cut


@pytest.fixture
def give(monkeypatch):
    """Have calls use a gf_parallel, None for none."""

    def set_parallel(parallel: Parallel | None) -> None:
        monkeypatch.setattr(executable, "current_pool", lambda: parallel)

    with gf.config.override(fastcall=False):
        yield set_parallel


def network():
    """Products, rows, columns, a nest, an update and a check."""
    rng = np.random.default_rng(0)
    x, t = gf.placeholder("float32", (None, 19)), gf.placeholder("int32", (None,))
    w = gf.shared(rng.standard_normal((19, 33)).astype("float32"))
    table = gf.shared(rng.standard_normal((7, 33)).astype("float32"))
    h = gf.nn.relu(x @ w) + gf.take(table, t, axis=0)
    loss = gf.mean(gf.nn.softmax(h, axis=1) * gf.sum(h, axis=0))
    step = gf.function([x, t], [loss, gf.transpose(h)], updates=[(p, p - 0.1 * g) for p, g in zip([w, table], gf.grad(loss, [w, table]), strict=True)])
    return step, [w, table], rng.standard_normal((41, 19)).astype("float32"), rng.integers(0, 7, 41).astype("int32")


@pytest.mark.smoke
def test_any_partition_gives_the_same_bits(give, monkeypatch) -> None:
    monkeypatch.setattr(Entry, "parallel_work", 0)

    def results(parallel: Parallel | None) -> list[np.ndarray]:
        give(parallel)
        step, state, a, labels = network()
        found = [v for _ in range(3) for v in step(a, labels)]
        return [*map(np.array, found), *(s.get_value() for s in state)]

    expected = results(None)
    for seed in range(6):
        parallel = Parallel(pieces(random.Random(seed)) if seed else whole)
        for got, wanted in zip(results(parallel), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
        assert len(parallel.jobs) >= 9 and min(parallel.jobs) > 1


@pytest.mark.smoke
def test_small_kernels_are_not_shared(give) -> None:
    """Whether a kernel of unknown size is small is decided at each call."""
    x = gf.placeholder("float32", (None, 64))
    f = gf.function([x], gf.exp(x) * gf.sum(x, axis=1, keepdims=True))
    parallel = Parallel(whole)
    give(parallel)
    for rows, shared in ((3, False), (3000, True), (1, False), (3000, True)):
        a = np.linspace(0, 1, rows * 64, dtype="float32").reshape(rows, 64)
        parallel.jobs.clear()
        f(a)
        assert bool(parallel.jobs) == shared


def test_one_iteration_is_not_shared(give, monkeypatch) -> None:
    monkeypatch.setattr(Entry, "parallel_work", 0)
    x = gf.placeholder("float32", (None, 300))
    f = gf.function([x], gf.nn.softmax(x, axis=1))
    parallel = Parallel(whole)
    give(parallel)
    f(np.ones((1, 300), "float32"))
    assert not parallel.jobs
    f(np.ones((2, 300), "float32"))
    assert parallel.jobs == [2]


@pytest.mark.parametrize("rows", [4, 4000])
def test_no_code_for_what_is_known_to_be_small(rows: int) -> None:
    x = gf.placeholder("float32", (rows, 64))
    _, text = module_of(Compilation([x], [gf.nn.softmax(x, axis=1)], [], host()), "gf_main")
    assert (".team(" in text) == (rows == 4000)


def test_a_check_that_fails_in_a_shared_kernel(give, monkeypatch) -> None:
    monkeypatch.setattr(Entry, "parallel_work", 0)
    x, i = gf.placeholder("float32", (9, 64)), gf.placeholder("int32", (None,))
    f = gf.function([x, i], gf.take(x, i, axis=0))
    a, good = np.arange(9 * 64, dtype="float32").reshape(9, 64), np.arange(40, dtype="int32") % 9
    bad = good.copy()
    bad[31] = 11
    parallel = Parallel(pieces(random.Random(1)))
    give(parallel)
    np.testing.assert_array_equal(f(a, good), a[good])
    with pytest.raises(CheckError, match="11"):
        f(a, bad)
    np.testing.assert_array_equal(f(a, good), a[good])
    assert parallel.jobs


def test_strangers_get_larger_kernels() -> None:
    """What a caller of a bundle brings may cost more to share with than the pool."""
    from graphflow.bundle.object import BundleEntry

    assert Entry.parallel_work == PARALLEL_WORK < FOREIGN_PARALLEL_WORK == BundleEntry.parallel_work
