"""The memory plan: slots are shared only where sizes and lifetimes allow, and results take over dying operands."""

from __future__ import annotations

import numpy as np

import graphflow as gf
from graphflow.compiler.kernel import Mode
from graphflow.compiler.memory import plan
from graphflow.compiler.pipeline import Compilation, run_passes
from graphflow.compiler.program import Assembler, Program
from graphflow.compiler.target.machine import host
from graphflow.graph.dim import evaluate
from graphflow.graph.types import TensorType


def value(*shape):
    return gf.Variable(TensorType(np.dtype("float32"), shape))


def program_of(inputs, outputs, reuse: bool = True) -> Program:
    c = Compilation(inputs, outputs, [], host())
    run_passes(c)
    return Assembler(c.inputs, c.outputs, c.updates, host(), reuse).run()


def overlaps(spans, made, dims) -> list:
    """Pairs alive at once whose memory overlaps."""
    found = []
    for k, (v, start, end) in enumerate(spans):
        for w, other_start, other_end in spans[:k]:
            a, b = evaluate(made.offset[v], dims), evaluate(made.offset[w], dims)
            apart = a + evaluate(v.type.nbytes, dims) <= b or b + evaluate(w.type.nbytes, dims) <= a
            if start <= other_end and other_start <= end and not apart:
                found.append((v, w))
    return found


def test_values_alive_together_never_overlap() -> None:
    rng = np.random.default_rng(0)
    m = gf.Dim.symbol("m")
    (symbol,) = m.symbols()
    sizes = [1, 7, 100, 1000, m, m * 3, m * 7 + 5, m * m]
    for _ in range(200):
        spans = []
        for _ in range(12):
            start = int(rng.integers(0, 10))
            spans.append((value(sizes[rng.integers(0, len(sizes))]), start, start + int(rng.integers(0, 5))))
        made = plan(spans, 64)
        for n in (0, 1, 13, 500):
            assert not overlaps(spans, made, {symbol: n})
            assert all(evaluate(o, {symbol: n}) % 64 == 0 for o in made.offset.values())


def test_a_chain_of_kernels_needs_two_slots() -> None:
    spans = [(value(1000), i, i + 1) for i in range(20)]
    assert len(plan(spans, 0).slots) == 2
    assert len(plan(spans, 0, reuse=False).slots) == 20


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
