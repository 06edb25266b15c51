"""`check_kernels` finds kernels that are not what the ops' references are, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import CheckError
from graphflow.graph.op import ScalarOp


@dataclass(frozen=True)
class Twice(ScalarOp):
    """2 x, compiled as 2 x + 1e-3: a fault of a lowering."""

    name = "twice"

    def scalar(self, b: Any, *xs: Any) -> Any:
        return xs[0] + xs[0] + 1e-3

    def reference(self, *arrays: Any) -> Any:
        return arrays[0] * np.asarray(2, arrays[0].dtype)


def faulty() -> gf.Function:
    x = gf.placeholder("float32", (None, 4), name="x")
    s = gf.shared(np.zeros((), np.float32), name="s")
    y = Twice()(gf.exp(x))  # planted
    total = gf.sum(y)
    return gf.function([x], total, updates=[(s, s + total)])


@pytest.mark.smoke
def test_a_wrong_lowering_is_found_with_the_users_line() -> None:
    f = faulty()
    state = f.compiled.shared
    with gf.config.override(check_kernels=True), pytest.raises(CheckError) as caught:
        f(np.ones((3, 4), np.float32))
    text = str(caught.value)
    with open(__file__) as source:
        line = next(i for i, text in enumerate(source, 1) if text.rstrip().endswith("# planted"))
    assert text.startswith("kernel 1, exp · twice · sum · add, is not what the ops' NumPy references are")
    assert f"  twice at test_debug_kernels.py:{line}" in text and "operand x: float32[3, 4]" in text
    assert [s.get_value() for s in state] == [0]


def test_the_kernel_and_its_operands_are_written(tmp_path: Path) -> None:
    with gf.config.override(check_kernels=True, dump=str(tmp_path)), pytest.raises(CheckError, match=r"are in .*\{txt,npz\}"):
        faulty()(np.ones((3, 4), np.float32))
    (kernel,) = tmp_path.glob("differs-*.txt")
    assert "for" in kernel.read_text()
    with np.load(kernel.with_suffix(".npz")) as arrays:
        assert arrays["operand_0_x"].shape == (3, 4) and abs(arrays["reference"] - 6 * 4 * np.e) < 1e-3


def test_a_training_step_passes_and_gives_what_it_gives_unchecked() -> None:
    def step() -> tuple[gf.Function, list[gf.Shared]]:
        rng = np.random.default_rng(0)
        x, t = gf.placeholder("float32", (None, 8, 8, 1), name="x"), gf.placeholder("int32", (None,), name="t")
        k = gf.shared(rng.normal(size=(3, 3, 1, 4)).astype(np.float32), name="k")
        w = gf.shared(rng.normal(size=(36, 10)).astype(np.float32) * 0.1, name="w")
        h = gf.max_pool(gf.nn.relu(gf.conv(x, k)), (2, 2))
        h = gf.nn.dropout(gf.reshape(h, (x.shape[0], 36)), 0.5)
        loss = gf.mean(gf.nn.sparse_softmax_cross_entropy(h @ w, t))
        return gf.function([x, t], loss, updates=[(p, p - 0.1 * g) for p, g in zip([k, w], gf.grad(loss, [k, w]), strict=True)]), [k, w]

    rng = np.random.default_rng(1)
    batch = rng.normal(size=(16, 8, 8, 1)).astype(np.float32), rng.integers(0, 10, 16).astype(np.int32)
    losses, states = [], []
    for checking in (False, True):
        gf.random.seed(5)
        f, state = step()
        with gf.config.override(check_kernels=checking):
            losses.append([float(f(*batch)) for _ in range(3)])
        states.append([s.get_value() for s in state])
    assert losses[0] == losses[1]
    for plain, checked in zip(*states, strict=True):
        np.testing.assert_array_equal(plain, checked)


@pytest.mark.parametrize("n", [0, 1, 7, 5000])
def test_cancellation_sums_and_sorting_are_no_faults(n: int) -> None:
    x = gf.placeholder("float32", (None,), name="x")
    y = [gf.sum(x), gf.sum((x + 1e4) - 1e4), gf.sort(x), gf.floor(x * 10), gf.cumsum(x), gf.exp(3 * x), gf.sum(gf.square(x))]
    with gf.config.override(check_kernels=True):
        gf.function([x], y)(np.random.default_rng(n).normal(size=n).astype(np.float32))


def scanned(op: Any) -> tuple[gf.Variable, gf.Variable, gf.Variable]:
    x, w = gf.placeholder("float32", (None, 4), name="x"), gf.shared(np.eye(4, dtype=np.float32) / 2, name="w")
    hs, _ = gf.scan(lambda row, h: gf.tanh(op(row) + h @ w), sequences=[x], outputs_info=[gf.zeros((4,), "float32")])
    return x, w, hs


def test_kernels_of_loops_are_compared_each_trip() -> None:
    rows = np.random.default_rng(0).normal(size=(11, 4)).astype(np.float32)
    x, w, hs = scanned(gf.sin)
    loss = gf.sum(gf.square(hs))
    f = gf.function([x], [loss, gf.grad(loss, w)])
    plain = f(rows)
    with gf.config.override(check_kernels=True):
        for a, b in zip(plain, f(rows), strict=True):
            np.testing.assert_array_equal(a, b)
    x, _, hs = scanned(Twice())
    with gf.config.override(check_kernels=True), pytest.raises(CheckError, match="twice"):
        gf.function([x], hs)(rows)


def test_branches() -> None:
    x = gf.placeholder("float32", (None,), name="x")
    f = gf.function([x], gf.cond(gf.sum(x) > 0, lambda: gf.exp(x), lambda: Twice()(x)))
    with gf.config.override(check_kernels=True):
        f([1.0, 2.0])
        with pytest.raises(CheckError, match="twice"):
            f([-1.0, -2.0])


def test_sizes_that_the_graph_computes(tmp_path: Path) -> None:
    n = gf.placeholder("int32", (None,), name="n")
    f = gf.function([n], gf.sum(gf.square(gf.arange(gf.max(n)))))
    with gf.config.override(check_kernels=True, check_nan=True):
        assert f([2, 5, 3]) == 30
    assert Path(gf.explain(f, tmp_path / "p.html", [2, 5, 3])).stat().st_size > 10_000
