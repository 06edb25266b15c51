"""scan, while_loop and cond against NumPy, through the reference and compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import DTypeError, GraphError, ShapeError

X = np.random.default_rng(0).standard_normal((6, 3))
H = np.random.default_rng(1).standard_normal(3)


def operands() -> tuple[Any, Any]:
    return gf.placeholder("float64", (None, 3), name="x"), gf.placeholder("float64", (3,), name="h")


def run(inputs: Sequence[Any], outputs: Any, *values: Any) -> Any:
    return gf.function(list(inputs), outputs)(*values)


def slope(fn: Any, at: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences of a scalar function of an array."""
    found = np.zeros_like(at)
    for i in np.ndindex(*at.shape):
        up, down = at.copy(), at.copy()
        up[i] += step
        down[i] -= step
        found[i] = (fn(up) - fn(down)) / (2 * step)
    return found


@pytest.mark.smoke
def test_a_recurrence() -> None:
    x, h = operands()
    out, updates = gf.scan(lambda x, h: gf.tanh(h * 0.5 + x), sequences=x, outputs_info=h)
    want, now = [], H
    for row in X:
        now = np.tanh(now * 0.5 + row)
        want.append(now)
    assert updates == {}
    np.testing.assert_allclose(run([x, h], out, X, H), want, rtol=1e-12)
    np.testing.assert_allclose(run([x, h], out[-1], X, H), want[-1], rtol=1e-12)


@pytest.mark.parametrize("rows", [0, 1, 6])
def test_any_number_of_rows(rows: int) -> None:
    x, h = operands()
    out, _ = gf.scan(lambda x, h: h + x, sequences=x, outputs_info=h)
    loss = gf.sum(out * out)
    f = gf.function([x, h], [out, *gf.grad(loss, [x, h])])
    got, gx, gh = f(X[:rows], H)
    want = H + np.cumsum(X[:rows], 0)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    np.testing.assert_allclose(gh, 2 * want.sum(0), rtol=1e-12)
    np.testing.assert_allclose(gx, 2 * np.cumsum(want[::-1], 0)[::-1], rtol=1e-12)


def test_taps_look_back_and_ahead() -> None:
    x, h = operands()
    out, _ = gf.scan(
        lambda before, after, older, newer, k: before * after + 0.5 * older - newer * k,
        sequences={"input": x, "taps": [-1, 1]}, outputs_info={"initial": x[:2], "taps": [-2, -1]}, non_sequences=h,
    )  # fmt: skip
    want = [X[0], X[1]]
    for t in range(1, 5):
        want.append(X[t - 1] * X[t + 1] + 0.5 * want[-2] - want[-1] * H)
    np.testing.assert_allclose(run([x, h], out, X, H), want[2:], rtol=1e-12)


def test_several_outputs_some_without_recurrence() -> None:
    x, h = operands()
    (twice, total), _ = gf.scan(lambda x, s: [2 * x, s + x], sequences=[x], outputs_info=[None, h])
    got = run([x, h], [twice, total], X, H)
    np.testing.assert_allclose(got[0], 2 * X)
    np.testing.assert_allclose(got[1], H + np.cumsum(X, 0))


def test_backwards_and_by_number() -> None:
    x, h = operands()
    out, _ = gf.scan(lambda x, s: s * 0.5 + x, sequences=x, outputs_info=h, go_backwards=True)
    want, now = [], H
    for row in X[::-1]:
        now = now * 0.5 + row
        want.append(now)
    np.testing.assert_allclose(run([x, h], out, X, H), want)
    powers, _ = gf.scan(lambda p, b: p * b, outputs_info=gf.ones((3,), "float64"), non_sequences=h, n_steps=4)
    np.testing.assert_allclose(run([h], powers[-1], H), H**4)


def test_a_number_of_trips_that_is_fed() -> None:
    n, h = gf.placeholder("int64", (), name="n"), gf.placeholder("float64", (3,))
    out, _ = gf.scan(lambda p: p * 2.0, outputs_info=h, n_steps=n)
    f = gf.function([n, h], out)
    for trips in (0, 1, 5):
        np.testing.assert_allclose(f(np.int64(trips), H), [H * 2.0**k for k in range(1, trips + 1)] or np.zeros((0, 3)))


def test_updates_of_shared_variables() -> None:
    count, x = gf.shared(np.float64(1.0), "count"), gf.placeholder("float64", (None,))
    out, updates = gf.scan(lambda x: (x * count, {count: count + 1.0}), sequences=x)
    f = gf.function([x], out, updates=updates)
    np.testing.assert_allclose(f(np.ones(4)), [1, 2, 3, 4])
    assert count.get_value() == 5.0


def test_a_body_sees_the_graph_around_it_and_its_own_index() -> None:
    x, h = operands()
    w = gf.shared(np.full(3, 2.0), "w")
    out, _ = gf.scan(lambda i, s: s + w * x[i], sequences=gf.arange(x.shape[0]), outputs_info=h)
    np.testing.assert_allclose(run([x, h], out, X, H), H + 2 * np.cumsum(X, 0))
    with pytest.raises(GraphError, match="not among the operands"):
        gf.scan(lambda s: s + w, outputs_info=h, n_steps=3, strict=True)


def test_nested_loops() -> None:
    x, h = operands()

    def row(r: Any, total: Any) -> Any:
        inner, _ = gf.scan(lambda s, acc: acc * s + r[0], sequences=r, outputs_info=gf.sum(total))
        return total + inner[-1]

    out, _ = gf.scan(row, sequences=x, outputs_info=h)

    def numpy(x: np.ndarray) -> list[np.ndarray]:
        total, found = H, []
        for r in x:
            acc = total.sum()
            for s in r:
                acc = acc * s + r[0]
            total = total + acc
            found.append(total)
        return found

    got, gx = run([x, h], [out, gf.grad(gf.sum(gf.tanh(out)), x)], X, H)
    np.testing.assert_allclose(got, numpy(X), rtol=1e-10)
    np.testing.assert_allclose(gx, slope(lambda v: np.tanh(numpy(v)).sum(), X), rtol=1e-4, atol=1e-6)


def test_gradients_are_truncated() -> None:
    x, h = operands()
    out, _ = gf.scan(lambda x, s: s * 0.5 + x, sequences=x, outputs_info=h, truncate_gradient=2)
    gx, gh = run([x, h], gf.grad(gf.sum(out[-1]), [x, h]), X, H)
    np.testing.assert_allclose(gx, [[0] * 3] * 4 + [[0.5] * 3, [1.0] * 3])
    np.testing.assert_allclose(gh, np.zeros(3))


@pytest.mark.parametrize("truncate", [1, 2, 3, 9])
def test_truncation_counts_from_the_trip_that_was_the_last(truncate: int) -> None:
    x, h = operands()
    out, _ = gf.scan(lambda i, x, s: (s * 0.5 + x, gf.until(i >= 2)), [gf.arange(x.shape[0]), x], h, truncate_gradient=truncate)
    gx, gh = run([x, h], gf.grad(gf.sum(out[-1]), [x, h]), X, H)
    want = np.zeros((6, 3))
    for back in range(min(truncate, 3)):
        want[2 - back] = 0.5**back
    np.testing.assert_allclose(gx, want)
    np.testing.assert_allclose(gh, np.full(3, 0.125 if truncate >= 3 else 0.0))


def test_derivatives_of_derivatives() -> None:
    x, h = operands()
    w = gf.placeholder("float64", (3,))
    out, _ = gf.scan(lambda x, s: gf.tanh(s * w + x), sequences=x, outputs_info=h)
    loss = gf.sum(out[-1] * out[0])
    W = np.array([0.3, -0.7, 1.1])
    first = gf.function([x, h, w], gf.grad(loss, w))
    second = run([x, h, w], gf.hessian(loss, w), X, H, W)
    np.testing.assert_allclose(np.diag(second), np.diag(np.stack([slope(lambda v, i=i: first(X, H, v)[i], W) for i in range(3)])), rtol=1e-5, atol=1e-8)
    pushed = run([x, h, w], gf.jvp(out, [w], [np.ones(3)]), X, H, W)
    value = gf.function([x, h, w], out)
    np.testing.assert_allclose(pushed, (value(X, H, W + 1e-6) - value(X, H, W - 1e-6)) / 2e-6, rtol=1e-5, atol=1e-8)


@pytest.mark.smoke
def test_while_counts_and_has_a_gradient_with_a_bound() -> None:
    h = gf.placeholder("float64", (3,))
    i, v = gf.while_loop(lambda i, v: gf.sum(gf.abs(v)) < 100.0, lambda i, v: (i + 1, v * 2.0), [0, h], maximum_iterations=50)
    trips, got, g = run([h], [i, v, gf.grad(gf.sum(v * v), h)], H)
    n = int(np.ceil(np.log2(100 / np.abs(H).sum())))
    assert trips == n
    np.testing.assert_allclose(got, H * 2.0**n)
    np.testing.assert_allclose(g, 2 * H * 4.0**n)
    _, unbounded = gf.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v * 2.0), [0, h])
    np.testing.assert_allclose(run([h], unbounded, H), H * 8)
    with pytest.raises(GraphError, match="without a bound") as error:
        gf.grad(gf.sum(unbounded), h)
    assert "maximum_iterations" in str(error.value)


def test_while_that_does_not_begin() -> None:
    h = gf.placeholder("float64", (3,))
    v = gf.while_loop(lambda v: gf.sum(v) > 1e9, lambda v: v * 2.0, h, maximum_iterations=4)
    got, g = run([h], [v, gf.grad(gf.sum(v * v), h)], H)
    np.testing.assert_allclose(got, H)
    np.testing.assert_allclose(g, 2 * H)


def test_while_keeps_the_structure_of_its_variables() -> None:
    start = {"i": gf.constant(0), "pair": (gf.constant(1.0), [gf.constant(2.0)])}
    made = gf.while_loop(lambda i, pair: i < 4, lambda i, pair: {"i": i + 1, "pair": (pair[0] * 2.0, [pair[1][0] + 1.0])}, start)
    assert set(made) == {"i", "pair"} and isinstance(made["pair"], tuple)
    assert [float(v) for v in run([], [made["i"], made["pair"][0], made["pair"][1][0]])] == [4, 16, 6]


def test_only_the_chosen_branch_is_computed() -> None:
    x, flag = gf.placeholder("float64", (3,)), gf.placeholder("bool", ())
    inverse = gf.cond(flag, lambda: gf.cond(gf.all(x > 0), lambda: gf.log(x), lambda: x * 0.0), lambda: -x)
    f = gf.function([flag, x], [inverse, gf.grad(gf.sum(inverse), x)])
    for choice, value in ((True, np.abs(H)), (True, H), (False, H)):
        want = np.log(value) if choice and (value > 0).all() else value * 0 if choice else -value
        np.testing.assert_allclose(f(np.bool_(choice), value)[0], want)
        np.testing.assert_allclose(f(np.bool_(choice), value)[1], 1 / value if choice and (value > 0).all() else 0 * value if choice else -np.ones(3))


def test_a_failing_check_in_the_other_branch_does_not_fail_the_run() -> None:
    x, i, flag = gf.placeholder("float64", (None,)), gf.placeholder("int64", (1,)), gf.placeholder("bool", ())
    f = gf.function([flag, x, i], gf.cond(flag, lambda: gf.take(x, i), lambda: x[:1] * 0.0))
    assert f(np.bool_(False), H, np.array([99])) == 0.0
    with pytest.raises(gf.CheckError, match="out of range"):
        f(np.bool_(True), H, np.array([99]))


def test_random_tensors_in_a_body_are_new_each_trip() -> None:
    draws, _ = gf.scan(lambda: gf.random.uniform((2,)), n_steps=50)
    f = gf.function([], draws)
    first, second = f(), f()
    assert len(np.unique(first)) == 100 and len(np.intersect1d(first, second)) == 0
    kept = gf.random.uniform((2,))
    same, _ = gf.scan(lambda: kept * 1.0, n_steps=4)
    assert len(np.unique(gf.function([], same)())) == 2


def test_a_gradient_sees_the_random_numbers_of_the_forward_loop() -> None:
    x = gf.placeholder("float32", (None, 4))
    out, _ = gf.scan(lambda x, s: s + x * gf.cast(gf.random.uniform((4,)) < 0.5, "float32"), sequences=x, outputs_info=gf.zeros((4,), "float32"))
    total, g = run([x], [out[-1], gf.grad(gf.sum(out[-1]), x)], np.ones((9, 4), np.float32))
    np.testing.assert_allclose(g.sum(0), total)


def test_mistakes_name_what_is_wrong() -> None:
    x, h = operands()
    with pytest.raises(GraphError, match="number of trips is not known"):
        gf.scan(lambda s: s, outputs_info=h)
    with pytest.raises(GraphError, match=r"2 outputs, and outputs_info has 1"):
        gf.scan(lambda x, s: (s, x), sequences=x, outputs_info=h)
    with pytest.raises(ShapeError, match="carry 0"):
        gf.scan(lambda x, s: gf.sum(s), sequences=x, outputs_info=h)
    with pytest.raises(DTypeError, match="carry 0"):
        gf.scan(lambda x, s: gf.cast(s, "float32"), sequences=x, outputs_info=h)
    with pytest.raises(GraphError, match="negative"):
        gf.scan(lambda x, s: s, sequences=x, outputs_info={"initial": h, "taps": [0]})
    with pytest.raises(DTypeError, match="bool scalar"):
        gf.while_loop(lambda v: v, lambda v: v, gf.constant(1.0))
    with pytest.raises(GraphError, match="gives 1 values, false_fn 2"):
        gf.cond(gf.sum(h) > 0, lambda: h, lambda: [h, h])
    with pytest.raises(ShapeError, match="scalar"):
        gf.cond(h > 0, lambda: h, lambda: h)


def test_an_index_out_of_range_in_a_body_is_reported() -> None:
    x, h = operands()
    out, _ = gf.scan(lambda i, s: s + x[i + 2], sequences=gf.arange(x.shape[0]), outputs_info=h)
    with pytest.raises(gf.CheckError, match=r"out of range|equal"):
        run([x, h], out, X, H)
