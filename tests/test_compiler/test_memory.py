"""The memory plan: slots are shared only where sizes and lifetimes allow, and results take over dying operands."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler.assemble import assemble
from graphflow.compiler.kernel import Mode
from graphflow.compiler.memory import Span, plan, profile
from graphflow.compiler.pipeline import Compilation, run_passes
from graphflow.compiler.program import Program
from graphflow.compiler.target.machine import host
from graphflow.graph.dim import evaluate, maximum
from graphflow.graph.types import TensorType


def value(*shape):
    return gf.Variable(TensorType(np.dtype("float32"), shape))


def program_of(inputs, outputs, updates=(), reuse: bool = True) -> Program:
    c = Compilation(inputs, outputs, list(updates), host())
    run_passes(c)
    return assemble(c.inputs, c.outputs, c.updates, host(), reuse)


def overlaps(spans, made, dims) -> list:
    """Pairs alive at once whose memory overlaps."""
    found = []
    for k, v in enumerate(spans):
        for w in spans[:k]:
            a, b = evaluate(made.offset[v.value], dims), evaluate(made.offset[w.value], dims)
            apart = a + evaluate(v.size, dims) <= b or b + evaluate(w.size, dims) <= a
            if v.first <= w.last and w.first <= v.last and not apart:
                found.append((v, w))
    return found


def random_spans(rng, sizes, count: int = 12, launches: int = 10) -> list[Span]:
    firsts = [int(rng.integers(0, launches)) for _ in range(count)]
    return [Span(value(sizes[rng.integers(0, len(sizes))]), first, first + int(rng.integers(0, 5))) for first in firsts]


def test_values_alive_together_never_overlap() -> None:
    rng = np.random.default_rng(0)
    m, n = gf.Dim.symbol("m"), gf.Dim.symbol("n")
    (s,), (t,) = m.symbols(), n.symbols()
    sizes = [1, 7, 100, 1000, m, m * 3, m * 7 + 5, m * m, m * n, n * 16, (m - 3) // 2 + 1, maximum(m - 2, 0) * n, m * 16 - 4]
    for _ in range(200):
        spans = random_spans(rng, sizes)
        made = plan(spans, 64)
        for dims in ({s: a, t: b} for a, b in ((1, 0), (1, 1), (13, 4), (3, 700), (500, 17))):
            assert not overlaps(spans, made, dims)
            assert all(evaluate(o, dims) % 64 == 0 for o in made.offset.values())
            ends = [evaluate(made.offset[v.value], dims) + evaluate(v.size, dims) for v in spans]
            assert min(evaluate(o, dims) for o in made.offset.values()) >= 64
            assert max(ends) <= evaluate(made.total, dims)


def test_a_plan_is_near_what_is_alive_at_once() -> None:
    rng = np.random.default_rng(1)
    m = gf.Dim.symbol("m")
    (symbol,) = m.symbols()
    ratios = []
    for _ in range(60):
        spans = random_spans(rng, [m * int(k) for k in rng.integers(1, 60, 8)], count=40, launches=30)
        found = profile(plan(spans, 0), {symbol: 1024})
        assert found.bound <= found.workspace
        ratios.append(found.workspace / found.bound)
    assert np.mean(ratios) < 1.05
    assert max(ratios) < 1.2


def test_a_chain_of_kernels_needs_two_places() -> None:
    spans = [Span(value(1000), i, i + 1) for i in range(20)]
    assert profile(plan(spans, 0), {}).workspace == 2 * 4032
    assert profile(plan(spans, 0, reuse=False), {}).workspace == 20 * 4032


def test_memory_is_shared_between_values_of_different_dims() -> None:
    m = gf.Dim.symbol("m")
    (symbol,) = m.symbols()
    weights, batch = [value(16 * k, 100) for k in (5, 9, 2)], [value(m, 16 * k) for k in (3, 8, 4)]
    spans = [Span(v, i, i) for i, v in enumerate([*weights, *batch])]
    made = plan(spans, 0)
    for n in (0, 1, 7, 300):
        assert evaluate(made.total, {symbol: n}) == max(16 * 9 * 400, n * 16 * 8 * 4)


def test_more_values_than_are_sorted_still_share(monkeypatch) -> None:
    from graphflow.compiler import memory

    monkeypatch.setattr(memory, "SORTED", 20)
    monkeypatch.setattr(memory, "SEARCHED", 8)
    rng = np.random.default_rng(2)
    m = gf.Dim.symbol("m")
    (symbol,) = m.symbols()
    depth = 60
    forward = [Span(value(m, 16 * int(rng.integers(1, 5))), i, 2 * depth - i) for i in range(depth)]
    backward = [Span(value(m, 32), i, i + 1) for i in range(2 * depth)]
    spans = [*forward, *backward]
    made = plan(spans, 64)
    for n in (1, 100):
        assert not overlaps(spans, made, {symbol: n})
    found = profile(made, {symbol: 100})
    assert found.workspace < 1.15 * found.bound


def test_a_value_larger_than_memory_is_refused() -> None:
    with pytest.raises(gf.ShapeError, match="at most"):
        plan([Span(value(2**31 - 1, 2**31 - 1), 0, 0)], 64)


def test_a_profile_names_what_is_alive() -> None:
    x, w = gf.placeholder("float32", (None, 64)), gf.placeholder("float32", (64, 64))
    y = x @ w
    made = program_of([x, w], [gf.tanh(y - gf.max(y, axis=0)) @ w])
    found = profile(made.plan, dict.fromkeys(made.dims, 100))
    assert found.workspace == evaluate(made.workspace, dict.fromkeys(made.dims, 100))
    assert found.bound == max(found.alive) == max(sum(r.bytes for r in found.residents if r.first <= i <= r.last) for i in range(len(made.launches)))
    assert {r.bytes for r in found.residents} == {100 * 64 * 4, 64 * 4}
    assert all(r.name and r.offset + r.bytes <= found.workspace for r in found.residents)


@pytest.mark.parametrize("kind", ["dense", "attention"])
def test_training_steps_are_near_what_is_alive(kind: str) -> None:
    rng = np.random.default_rng(0)
    batch, steps = gf.Dim.symbol("batch"), gf.Dim.symbol("steps")
    shape = (batch, 64) if kind == "dense" else (batch, steps, 64)
    x, y = gf.placeholder("float32", shape), gf.placeholder("float32", shape)
    h, weights = x, []
    for _ in range(4):
        new = [gf.shared(rng.standard_normal((64, 64)).astype("float32") * 0.1) for _ in range(3)]
        weights += new
        if kind == "dense":
            h = gf.maximum(gf.tanh(gf.maximum(h @ new[0], 0.0) @ new[1]) @ new[2], 0.0)
        else:
            scores = gf.nn.softmax(gf.einsum("btd,bsd->bts", h @ new[0], h @ new[1]))
            h = h + gf.einsum("bts,bsd->btd", scores, gf.tanh(h @ new[2]))
    loss = gf.mean(gf.square(h - y))
    made = program_of([x, y], [loss], [(w, w - 0.1 * g) for w, g in zip(weights, gf.grad(loss, weights), strict=True)])
    for n in (32, 1024):
        found = profile(made.plan, dict.fromkeys(made.dims, n))
        assert found.workspace < 1.1 * found.bound


def test_an_elementwise_result_takes_over_its_operand() -> None:
    x, w = gf.placeholder("float32", (64, 64)), gf.placeholder("float32", (64, 64))
    y = x @ w
    outputs = [gf.tanh(y - gf.max(y, axis=0)) @ w]
    made = program_of([x, w], outputs)
    assert any(b.mode is Mode.INOUT for launch in made.launches for b in launch.proc.params)
    assert evaluate(made.workspace, {}) < evaluate(program_of([x, w], outputs, reuse=False).workspace, {})
    a, b = np.random.default_rng(0).standard_normal((2, 64, 64)).astype("float32") * 0.1
    want = np.tanh(a @ b - (a @ b).max(0)) @ b
    np.testing.assert_allclose(gf.function([x, w], outputs)(a, b)[0], want, rtol=1e-4, atol=1e-4)


def test_an_operand_stored_for_a_product_is_not_read_by_kernels_before_it() -> None:
    n = 6
    x, w = gf.placeholder("float64", (None, n)), gf.placeholder("float64", (n, n))
    turned = gf.transpose(x)
    outputs = [gf.softplus(gf.transpose(turned * 2.0)), gf.transpose(w) @ turned]
    a, b = np.random.default_rng(0).standard_normal((5, n)), np.random.default_rng(1).standard_normal((n, n))
    first, second = gf.function([x, w], outputs)(a, b)
    np.testing.assert_allclose(first, np.logaddexp(0, 2 * a), rtol=1e-12)
    np.testing.assert_allclose(second, b.T @ a.T, rtol=1e-12)
