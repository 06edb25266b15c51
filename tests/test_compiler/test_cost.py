"""What kernels cost: traffic against the addresses the interpreter touches, operations against counts by hand."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler import cost as costs
from graphflow.compiler import interpret, iterations
from graphflow.compiler.cost import Cost, cost
from graphflow.compiler.fuse import fuse
from graphflow.compiler.kernel import FUNCTIONS, Buffer, Call, Mode, Proc, const, subexprs
from graphflow.compiler.lower import lower
from graphflow.compiler.math import expand
from graphflow.compiler.pipeline import Compilation, run_passes
from graphflow.compiler.target.machine import host
from graphflow.compiler.unify import unify
from graphflow.graph.dim import evaluate
from graphflow.graph.traversal import leaves


def kernels(*outputs: gf.Variable) -> list[Proc]:
    results = unify(outputs)
    inputs = [v for v in leaves(results) if isinstance(v, gf.Placeholder)]
    c = Compilation(inputs, list(results), [], host())
    run_passes(c)
    fusion = fuse(c.outputs)
    return [one.proc for i, g in enumerate(g for g in fusion.groups if g.stores) for one in lower(fusion, g, f"k{i}")]


def cost_at(proc: Proc, n: int) -> Cost:
    return cost(proc, dict.fromkeys(proc.dims, n))


class Watched(interpret.Interpreter):
    """Remembers the elements of each parameter that were read (before the kernel wrote them) and written."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.touched: dict[tuple[str, Buffer], set[tuple[int, ...]]] = {}

    def read(self, b: Buffer, at: Any) -> Any:
        if b.mode is Mode.IN:
            self.touched.setdefault(("read", b), set()).add(self.place(b, at))
        return super().read(b, at)

    def write(self, b: Buffer, at: Any, value: Any) -> None:
        self.touched.setdefault(("written", b), set()).add(self.place(b, at))
        super().write(b, at, value)


def observed(proc: Proc, n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(bytes read, bytes written) by parameter when the interpreter runs the kernel; integers are indices 0, 1, 2 ..."""
    dims = dict.fromkeys(proc.dims, n)
    arrays = {}
    for p in proc.params:
        shape = tuple(evaluate(s, dims) for s in p.shape)
        arrays[p] = (np.arange(prod(shape)) % 3).reshape(shape).astype(p.dtype)
    run = Watched(costs.expand_proc(proc), arrays, dims, True)
    with np.errstate(all="ignore"):
        run.run()
    read, written = (tuple(len(run.touched.get((what, p), ())) * p.dtype.itemsize for p in proc.params) for what in ("read", "written"))
    return read, tuple(w if p.mode is not Mode.IN else 0 for w, p in zip(written, proc.params, strict=True))


def graphs() -> dict[str, list[gf.Variable]]:
    x = gf.placeholder("float32", (None, 70), name="x")
    y = gf.placeholder("float64", (5, None), name="y")
    i = gf.placeholder("int32", (None,), name="i")
    table = gf.placeholder("float32", (40, 6), name="table")
    w = gf.placeholder("float32", (70, 9), name="w")
    return {
        "matmul": [gf.maximum(x @ w, 0.0)],
        "gradient of a matmul": gf.grad(gf.sum(gf.tanh(x @ w)), [w]),
        "softmax": [gf.nn.softmax(x)],
        "narrow softmax": [gf.nn.softmax(x[:, :10])],
        "sum": [gf.sum(x), gf.sum(x, axis=0), gf.sum(x, axis=1)],
        "layernorm": [(x - gf.mean(x, axis=1, keepdims=True)) / gf.sqrt(gf.var(x, axis=1, keepdims=True) + 1e-5)],
        "slice and pad": [x[:, 3:20] * 2.0, gf.pad(x, ((1, 1), (2, 0))), x[::-1, ::2] + 1.0],
        "concatenate": [gf.concatenate([x, x[:, :7] * 3.0], axis=1)],
        "transpose": [gf.transpose(y) + 1.0],
        "broadcast": [x + x[:1], y * y[:, :1]],
        "cumsum": [gf.cumsum(x, axis=1), gf.cumsum(y, axis=1)],
        "one hot": [gf.nn.softmax(x) - gf.cast(gf.equal(gf.expand_dims(i, 1), gf.arange(70)), "float32")],
        "rows by index": [gf.take(table, i, axis=0)],
    }


EXACT = sorted(set(graphs()) - {"rows by index"})


@pytest.mark.smoke
@pytest.mark.parametrize("name", EXACT)
def test_traffic_is_what_the_interpreter_touches(name: str) -> None:
    for proc in kernels(*graphs()[name]):
        for n in (1, 4, 11):
            found = cost_at(proc, n)
            assert found.exact
            assert (found.read, found.written) == observed(proc, n), (proc.name, n)


def test_indices_from_data_count_at_most_the_table_and_at_most_the_reads() -> None:
    (proc,) = kernels(*graphs()["rows by index"])
    table = next(k for k, p in enumerate(proc.params) if p.shape == (40, 6))
    assert cost_at(proc, 3).read[table] == 3 * 6 * 4
    assert cost_at(proc, 1000).read[table] == 40 * 6 * 4


def test_operations_of_a_dense_layer() -> None:
    x, w, b = (gf.placeholder("float32", s) for s in ((None, 784), (784, 300), (300,)))
    (proc,) = kernels(gf.maximum(x @ w + b, 0.0))
    assert cost_at(proc, 32).flops == {"float32": 2 * 32 * 784 * 300 + 2 * 32 * 300}


def test_float64_is_counted_apart() -> None:
    x = gf.placeholder("float32", (None, 8))
    (proc,) = kernels(gf.cast(x * 2.0, "float64") + 1.0)
    assert cost_at(proc, 5).flops == {"float32": 40, "float64": 40}


def test_work_on_integers_is_no_flop_and_still_traffic() -> None:
    i = gf.placeholder("int64", (None,))
    (proc,) = kernels((i * 3 + 1) ^ 5)
    found = cost_at(proc, 100)
    assert found.flops == {} and sum(found.read) == sum(found.written) == 800


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_functions_count_as_what_they_expand_to(name: str) -> None:
    arguments = [Call("add", (const(np.dtype("float32"), 0.1 * k), const(np.dtype("float32"), 1)), np.dtype("float32")) for k in range(2 if name in ("pow", "atan2", "fmod") else 1)]
    body = expand(Call(name, tuple(arguments), np.dtype("float32")))
    expected = sum(costs.OPERATIONS.get(e.prim, 0) for e in subexprs(body) if isinstance(e, Call) and e.dtype.kind == "f") - len(arguments)
    x = gf.placeholder("float32", (None,))
    y = gf.placeholder("float32", (None,))
    made = {"pow": gf.power, "atan2": getattr(gf, "arctan2", None), "fmod": getattr(gf, "fmod", None)}.get(name, getattr(gf, name, None))
    if made is None or name == "softplus":
        pytest.skip("no op is this function alone")
    proc = kernels(made(x, y) if len(arguments) == 2 else made(x))[-1]
    per_element = cost_at(proc, 10).flops["float32"] / 10
    assert per_element == pytest.approx(expected, abs=2)


def test_what_a_row_needs_once_counts_once_a_row() -> None:
    x = gf.placeholder("float32", (None, 64))
    (proc,) = kernels(x - gf.log(gf.sum(gf.exp(x), axis=1, keepdims=True)))
    one, two = (cost_at(kernels(f(x))[0], 1).flops["float32"] / 64 for f in (gf.exp, gf.log))
    assert cost_at(proc, 10).flops["float32"] == pytest.approx(10 * (64 * (one + 2) + two * 64 / 64), rel=0.1)


def test_many_points_are_estimated_and_the_estimate_is_close(monkeypatch: pytest.MonkeyPatch) -> None:
    x = gf.placeholder("float32", (None, 70))
    estimated = 0
    for y in (gf.sum(x), gf.pad(x, ((1, 1), (2, 0))), gf.cumsum(x, axis=1)):
        for proc in kernels(y):
            n = 3000
            monkeypatch.setattr(iterations, "MOST", 1 << 18)
            exact = cost_at(proc, n)
            monkeypatch.setattr(iterations, "MOST", 100)
            estimate = cost_at(proc, n)
            assert exact.exact
            estimated += not estimate.exact
            assert sum(estimate.read) == pytest.approx(sum(exact.read), rel=0.05)
            assert sum(estimate.written) == pytest.approx(sum(exact.written), rel=0.05)
            assert sum(estimate.flops.values()) == pytest.approx(sum(exact.flops.values()), rel=0.05)
    assert estimated >= 2


def test_no_elements_cost_nothing() -> None:
    x = gf.placeholder("float32", (None, 70))
    for proc in kernels(gf.nn.softmax(x), gf.exp(x)):
        found = cost_at(proc, 0)
        assert sum(found.read) == sum(found.written) == sum(found.flops.values()) == 0
