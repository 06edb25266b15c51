"""Loops in Programs: what leaves them, what is kept, and that size does not depend on the number of trips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler.assemble import assemble
from graphflow.compiler.pipeline import Compilation, run_passes
from graphflow.compiler.program import History, Launch, Loop, Overwrite, Program, Swap, walk
from graphflow.compiler.target.machine import host
from graphflow.graph.op import ContractOp


def program(inputs: list[Any], outputs: list[Any]) -> Program:
    c = Compilation(inputs, outputs, [], host(), verify=True)
    run_passes(c)
    return assemble(c.inputs, c.outputs, c.updates, c.machine)


def loops(made: Program) -> list[Loop]:
    return [step for step in walk(made.steps) if isinstance(step, Loop)]


def products(steps: Any) -> int:
    return sum(isinstance(node.op, ContractOp) for step in steps if isinstance(step, Launch) for node in step.group.members)


def recurrent(length: Any = None) -> tuple[list[Any], Any, list[Any]]:
    """A small LSTM: its inputs, its loss, and its weights."""
    units = 4
    r = np.random.default_rng(0)
    x = gf.placeholder("float64", (length, 2, 3), name="x")
    kernel, recurrent, bias = (gf.shared(r.standard_normal(s) * 0.5, n) for s, n in (((3, 16), "kernel"), ((4, 16), "recurrent"), ((16,), "bias")))

    def cell(x: Any, h: Any, c: Any) -> Any:
        i, f, g, o = (part for part in gf.split(x @ kernel + h @ recurrent + bias, 4, axis=1))
        c = gf.sigmoid(f) * c + gf.sigmoid(i) * gf.tanh(g)
        return gf.sigmoid(o) * gf.tanh(c), c

    zero = gf.zeros((2, units), "float64")
    (h, _), _ = gf.scan(cell, sequences=x, outputs_info=[zero, zero])
    return [x], gf.sum(h[-1] * h[0]), [kernel, recurrent, bias]


@pytest.mark.smoke
def test_input_products_leave_before_and_weight_gradients_after() -> None:
    inputs, loss, weights = recurrent()
    made = program(inputs, [loss, *gf.grad(loss, weights)])
    forward, backward = loops(made)
    assert products(forward.steps) == 1 and products(backward.steps) == 1  # h @ recurrent, dz @ recurrent.T
    assert products(made.steps) == 3  # x @ kernel of all rows, and two weight gradients
    assert not any("sigmoid" in str(n.op) or "tanh" in str(n.op) for s in backward.steps if isinstance(s, Launch) for n in s.group.members)


def test_the_gradient_of_a_recurrent_layer() -> None:
    inputs, loss, weights = recurrent()
    x = np.random.default_rng(1).standard_normal((5, 2, 3))
    value, grads = gf.function(inputs, loss), gf.function(inputs, gf.grad(loss, [*inputs, *weights]))
    for w, g in zip(weights, grads(x)[1:], strict=True):
        before = w.get_value()
        r = np.random.default_rng(2)
        for _ in range(4):
            at = tuple(r.integers(0, n) for n in before.shape)
            change = np.zeros_like(before)
            change[at] = 1e-6
            w.set_value(before + change)
            up = value(x)
            w.set_value(before - change)
            down = value(x)
            w.set_value(before)
            np.testing.assert_allclose(g[at], (up - down) / 2e-6, rtol=1e-6, atol=1e-8)


def test_code_does_not_depend_on_the_number_of_trips() -> None:
    texts = []
    for length in (3, 300):
        inputs, loss, weights = recurrent(length)
        made = program(inputs, [loss, *gf.grad(loss, weights)])
        texts.append([[str(n.op).partition("{")[0] for n in launch.group.members] for launch in made.launches])
    assert texts[0] == texts[1]


def test_many_trips_take_constant_stack() -> None:
    n = gf.placeholder("int64", ())
    total, _ = gf.scan(lambda s: s + 1.0, outputs_info=gf.constant(np.float64(0)), n_steps=n)
    assert gf.function([n], total[-1])(np.int64(100_000)) == 100_000


def test_what_nothing_needs_leaves_a_loop() -> None:
    x = gf.placeholder("float64", (None, 3))
    zero = gf.zeros((3,), "float64")
    (used, _unused), _ = gf.scan(lambda x, a, b: [a + x, gf.exp(b + a)], sequences=x, outputs_info=[zero, zero])
    (loop,) = loops(program([x], [used[-1]]))
    assert len([b for b in loop.bindings if isinstance(b, Overwrite)]) == 1
    assert not any("exp" in str(n.op) for s in loop.steps if isinstance(s, Launch) for n in s.group.members)


def test_a_sum_of_rows_needs_no_loop() -> None:
    x, w = gf.placeholder("float64", (None, 4, 3)), gf.shared(np.eye(3))
    total, _ = gf.scan(lambda x, s: s + gf.matmul(gf.transpose(x), x) @ w, sequences=x, outputs_info=gf.zeros((3, 3), "float64"))
    X = np.random.default_rng(0).standard_normal((5, 4, 3))
    np.testing.assert_allclose(gf.function([x], total[-1])(X), np.einsum("tij,tik->jk", X, X), rtol=1e-10)


def test_a_value_of_a_constant_is_computed_once() -> None:
    x, w = gf.placeholder("float64", (None, 3)), gf.placeholder("float64", (3,))
    out, _ = gf.scan(lambda x, s, w: s * gf.exp(w) + x, sequences=x, outputs_info=gf.zeros((3,), "float64"), non_sequences=w, strict=True)
    (loop,) = loops(program([x, w], [out]))
    assert not any("exp" in str(n.op) for s in loop.steps if isinstance(s, Launch) for n in s.group.members)


def test_checkpoints_take_less_memory_and_give_the_same() -> None:
    x, h = gf.placeholder("float64", (100, 64)), gf.placeholder("float64", (64,))

    def step(x: Any, h: Any) -> Any:
        return gf.tanh(gf.sin(gf.exp(gf.tanh(h * x))) + gf.cos(h))

    plain, _ = gf.scan(step, sequences=x, outputs_info=h)
    made, sizes = [], []
    for out in (plain, gf.scan_checkpoints(step, x, h), gf.scan_checkpoints(step, x, h, save_every_N=7)):
        grads = gf.grad(gf.sum(out[-1]), [x, h])
        sizes.append(program([x, h], grads).workspace)
        made.append(gf.function([x, h], [out, *grads]))
    r = np.random.default_rng(0)
    X, H = r.standard_normal((100, 64)), r.standard_normal(64)
    want = made[0](X, H)
    for f in made[1:]:
        for got, value in zip(f(X, H), want, strict=True):
            np.testing.assert_allclose(got, value, rtol=1e-10, atol=1e-14)
    assert sizes[1] < sizes[0] / 2


def test_checkpoints_of_any_number_of_rows() -> None:
    x = gf.placeholder("float64", (None, 3))
    out = gf.scan_checkpoints(lambda x, s: s * 0.5 + x, x, gf.zeros((3,), "float64"), save_every_N=4)
    f = gf.function([x], [out, gf.grad(gf.sum(out[-1]), x)])
    for n in (1, 4, 9):
        X = np.arange(3.0 * n).reshape(n, 3)
        got, g = f(X)
        want, now = [], np.zeros(3)
        for row in X:
            now = now * 0.5 + row
            want.append(now)
        np.testing.assert_allclose(got, want)
        np.testing.assert_allclose(g, [[0.5 ** (n - 1 - t)] * 3 for t in range(n)])


def test_carries_that_are_alike_are_one() -> None:
    x, h = gf.placeholder("float64", (None, 3)), gf.placeholder("float64", (3,))

    def step(x: Any, a: Any, b: Any, c: Any, d: Any) -> list[Any]:
        return [gf.tanh(b * x), gf.tanh(a * x), gf.tanh(c * x), d + gf.tanh(a * x) - gf.tanh(c * x)]

    found, _ = gf.scan(step, sequences=x, outputs_info=[h, h, h, h])
    (loop,) = loops(program([x, h], [found[0], found[1][-1], found[2], found[3][-1]]))
    assert sum(isinstance(b, History | Overwrite | Swap) for b in loop.bindings) == 2
    X, H = np.random.default_rng(0).standard_normal((4, 3)), np.array([0.5, -1.0, 2.0])
    a, b, c, d = gf.function([x, h], found)(X, H)
    want, now = [], H
    for row in X:
        now = np.tanh(now * row)
        want.append(now)
    for got in (a, b, c):
        np.testing.assert_allclose(got, want)
    np.testing.assert_allclose(d, [H] * 4)


def test_carries_that_part_later_stay_apart() -> None:
    x, h = gf.placeholder("float64", (None,)), gf.placeholder("float64", ())
    found, _ = gf.scan(lambda x, a, b, c: [a + x, b + c, c * 2.0], sequences=x, outputs_info=[h, h, h])
    X = np.arange(1.0, 5.0)
    a, b, c = gf.function([x, h], found)(X, np.float64(1.0))
    np.testing.assert_allclose(a, 1 + np.cumsum(X))
    np.testing.assert_allclose(b, [2, 4, 8, 16])
    np.testing.assert_allclose(c, [2, 4, 8, 16])


def test_equal_loops_have_one_key() -> None:
    from graphflow.runtime.cache import Canonical

    keys = []
    for factor in (0.5, 0.5, 0.25):
        x = gf.placeholder("float64", (None, 3))
        out, _ = gf.scan(lambda x, s, k=factor: s * k + x, sequences=x, outputs_info=gf.zeros((3,), "float64"))
        canonical = Canonical()
        canonical.graph([x], [out])
        assert canonical.cacheable
        keys.append(canonical.hash.hexdigest())
    assert keys[0] == keys[1] != keys[2]


def test_a_part_of_a_vector_may_be_a_constant_of_a_loop() -> None:
    """Loops read rows of sequences through slices, but their constants as they are."""
    r = np.random.default_rng(0)
    x, b = gf.placeholder("float64", (4, 3)), gf.shared(r.standard_normal(6))
    out, _ = gf.scan(lambda row, h: gf.clip(row * b[:3] + h * b[3:], -1, 1), sequences=x, outputs_info=gf.zeros((3,), "float64"))
    step = gf.function([x], out, updates=[(b, b - gf.grad(gf.sum(out), b))])
    rows, before = r.standard_normal((4, 3)), b.get_value()
    h, want = np.zeros(3), []
    for row in rows:
        h = np.clip(row * before[:3] + h * before[3:], -1, 1)
        want.append(h)
    np.testing.assert_allclose(step(rows), want)
    assert not np.allclose(b.get_value(), before)


@pytest.mark.parametrize("twice", ["row", "carry"])
def test_a_sum_that_is_used_twice_stays_in_its_loop(twice: str) -> None:
    x, zero = gf.placeholder("float64", (None, 3)), gf.constant(np.float64(0))
    X = np.random.default_rng(0).standard_normal((5, 3))

    def step(x: Any, s: Any, *_: Any) -> Any:
        total = s + gf.sum(x)
        return total, total

    (s, other), _ = gf.scan(step, sequences=x, outputs_info=[zero, zero if twice == "carry" else None])
    got = gf.function([x], [s[-1], other[-1] if twice == "carry" else other])(X)
    np.testing.assert_allclose(got[0], X.sum())
    np.testing.assert_allclose(got[1], X.sum() if twice == "carry" else np.cumsum(X.sum(1)))
