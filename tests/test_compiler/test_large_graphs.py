"""Deep and wide graphs: no recursion, and work that grows with the graph and no faster."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler.fuse import Fusion
from graphflow.compiler.intern import Interner
from graphflow.compiler.rewrite import Rewriter
from graphflow.compiler.rules import PHASES


def chain(n: int) -> tuple[gf.Variable, gf.Variable]:
    """n nodes deep, and its gradient as deep again."""
    x = gf.placeholder("float32", (None,), name="x")
    v = x
    for i in range(n):
        v = v - x if i % 2 else v * 0.75 if i % 1000 else gf.sigmoid(v)
    return x, v


def run_chain(n: int) -> None:
    x, v = chain(n)
    g = gf.grad(gf.sum(v), x)
    f = gf.function([x], [v, g])
    value, gradient = f(np.full(5, 0.25, "float32"))
    assert np.isfinite(value).all() and value.shape == gradient.shape == (5,)
    del x, v, g, f
    gc.collect()


def test_a_chain_of_ten_thousand_nodes() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)  # nothing may walk a graph by recursion
    try:
        with gf.config.override(verify=False):
            run_chain(10_000)
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.slow
def test_a_chain_of_a_hundred_thousand_nodes() -> None:
    with gf.config.override(verify=False):
        run_chain(100_000)


def test_rewriting_work_is_linear() -> None:
    def work(n: int) -> int:
        x, v = chain(n)
        rewriter = Rewriter(PHASES[0], Interner())
        rewriter.rewrite([v, gf.grad(gf.sum(v), x)])
        return rewriter.stats.work

    small, large = work(400), work(800)
    assert small > 400
    assert large <= 2.1 * small


def test_fusion_work_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0
    real = Fusion.node_accesses

    def counting(self, node):
        nonlocal counted
        for access in real(self, node):
            counted += 1
            yield access

    monkeypatch.setattr(Fusion, "node_accesses", counting)

    def work(n: int) -> int:
        nonlocal counted
        counted = 0
        x, v = chain(n)
        Fusion([v, gf.grad(gf.sum(v), x)]).run()
        return counted

    assert work(1600) <= 2.1 * work(800)


def test_equal_expressions_are_computed_once() -> None:
    x = gf.placeholder("float32", (None,))
    v = x
    for _ in range(40):
        v = v * 0.5 + v * 0.5  # 2**40 paths, 40 nodes
    f = gf.function([x], v)
    np.testing.assert_allclose(f([1.0, 2.0]), [1.0, 2.0], rtol=1e-5)
