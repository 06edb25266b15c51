"""What the prover must see, and that it never sees what is not so."""

from __future__ import annotations

import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphflow.compiler.bounds import at_most_once, contradictory, facts_of, proves
from graphflow.compiler.kernel import F32, I64, Buffer, Load, Var, const, index
from graphflow.graph.dim import Dim, Symbol, evaluate, floordiv, maximum, minimum, mod

N, M = Dim.symbol("n"), Dim.symbol("m")


def loop(extent):
    return Dim.symbol("i", 0, extent)


@pytest.mark.smoke
@pytest.mark.parametrize(
    "make",
    [
        lambda: loop(N),
        lambda: N - 1 - loop(N),
        lambda: N * M - 1 - (loop(N) * M + loop(M)),
        lambda: N - 1 - (6 * loop(N // 6) + loop(6)),
        lambda: N - 1 - (N // 6 * 6 + loop(N - N // 6 * 6)),
        lambda: 16 * floordiv(N * N, 16),
        lambda: N * N - 16 * floordiv(N * N, 16),
        lambda: 2 * N * N * M + N,
        lambda: N - 6 * loop((N + 5) // 6) - 1,
        lambda: N - 1 - loop(minimum(N, M)),
        lambda: maximum(N, M) - 1 - loop(N),
        lambda: N - 1 - loop(N * 784) // 784,
        lambda: (N + 1) // 2 - 16 * ((N + 1) // 32),
        lambda: 16 * (N // 32) + 15 - N // 2,
        lambda: (v := loop(N * 784)) - 784 * (v // 784),
        lambda: 783 - (v := loop(N * 784)) + 784 * (v // 784),
        lambda: 15 - loop(N) % 16,
        lambda: loop(N) // (M + 1),
    ],
)
def test_proves(make):
    assert proves(make())


@pytest.mark.parametrize(
    "make", [lambda: N - 1, lambda: N - loop(N) - 2, lambda: M - loop(N), lambda: minimum(N, M) - N, lambda: N - 6 * ((N + 5) // 6), lambda: N % M - M, lambda: 16 * (N // 32) + 14 - N // 2]
)
def test_does_not_prove_what_may_fail(make):
    assert not proves(make())


def test_masks_are_facts():
    i, x = loop(N), Dim.symbol("x", -5, None)
    inside = (index(0) <= index(i + x)) & (index(i + x) < index(N))
    assert not proves(i + x)
    facts = facts_of(inside, {})
    assert proves(i + x, facts) and proves(N - i - x - 1, facts)
    assert proves(i - 3, facts_of(index(i) < 3, {}, holds=False))
    assert proves(i - 3, facts_of(~(index(i) < 3), {}))
    assert proves(2 - i, facts_of((index(i) < 3) | (index(i) < 2), {}, holds=True)) is False
    assert proves(i - 3, facts_of(index(i).eq(3), {})) and not proves(i - 3, facts_of(index(i).ne(3), {}))


def test_facts_are_about_integers():
    m = Dim.symbol("m")
    assert proves(m - 1, [2 * m - 1])
    assert proves(N - 3, [maximum(N - 2, 0) - 1])
    assert proves(N - 2, [minimum(M, N - 1) - 1]) and proves(M - 1, [minimum(M, N - 1) - 1])
    assert not proves(N - 3, [maximum(N - 2, M) - 1])
    assert proves(N * M - 1 - loop(N * M), [])
    assert proves((loop(N) - 2) % M, [M - 1]) and not proves((loop(N) - 2) % M)


def test_a_rest_is_a_modulus():
    chunk = loop((N + 4095) // 4096)
    length = minimum(N - 4096 * chunk, 4096)
    lane = loop(64)
    assert proves(N - 1 - (4096 * chunk + 64 * (length // 64) + lane), [length % 64 - lane - 1])


def test_facts_combine():
    i, j, k = loop(N), loop(4), loop(5)
    assert proves(N - 1 - (3 * i + 3 * j + k), [N - 1 - 3 * i - 3 * j, -k])
    assert proves(2 * N - 1 - 2 * (i + j), [N - 1 - i - j])


def test_facts_that_cannot_hold_prove_anything():
    assert contradictory([0, 2 - 3]) and proves(-N - 1, [-1]) and not contradictory([0, N - 1])


def test_at_most_once():
    i = Symbol("i", 0, (N + 5) // 6)
    partial = [6 * Dim.of(i) + 6 - N - 1]  # the tile is not whole
    assert at_most_once(i, (N + 5) // 6, partial)
    assert not at_most_once(i, (N + 5) // 6, [6 * Dim.of(i) + 12 - N - 1]) and not at_most_once(i, (N + 5) // 6, [])
    assert at_most_once(i, 1, []) and at_most_once(i, minimum(N, 1), [])


def test_a_mask_may_be_a_let_but_data_is_no_index():
    name, i = Symbol("inside"), loop(N)
    assert proves(2 - i, facts_of(Var(name, index(i).dtype), {name: index(i) < 3}))
    value = Symbol("v")
    lets = {value: Load(Buffer("x", I64, (1,)), (0,))}
    assert facts_of(index(i) < Var(value), lets) == []
    assert facts_of(const(F32, 1) < const(F32, 2), {}) == []


SYMBOLS = [Symbol("a", 0, 5), Symbol("b", -3, 4)]
SYMBOLS += [Symbol("c", 0, Dim.of(SYMBOLS[0]) + 1), Symbol("d", 1, None)]
OPERATIONS = [operator.add, operator.sub, operator.mul, floordiv, mod, minimum, maximum]
sizes = st.recursive(
    st.sampled_from([Dim.of(s) for s in SYMBOLS]) | st.integers(-4, 7),
    lambda inner: st.builds(lambda op, x, y: op(x, y), st.sampled_from(OPERATIONS), inner, inner),
    max_leaves=6,
)


@settings(max_examples=300)
@given(sizes, sizes)
def test_what_is_proved_holds(size, fact):
    points = [
        dict(zip(SYMBOLS, (a, b, c, d), strict=True)) for a in range(5) for b in range(-3, 4) for c in range(a + 1) for d in (1, 2, 7)
    ]
    if proves(size):
        assert all(evaluate(size, at) >= 0 for at in points)
    if proves(size, [fact]):
        assert all(evaluate(size, at) >= 0 for at in points if evaluate(fact, at) >= 0)
