"""gf.function: signatures, updates, givens, dynamic sizes, state of changing size, run-time checks."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf


@pytest.mark.smoke
def test_one_compilation_serves_every_batch_size() -> None:
    x = gf.placeholder("float32", (None, 20), name="x")
    w = gf.shared(np.random.default_rng(0).standard_normal((20, 7)).astype("float32"), name="w")
    f = gf.function([x], gf.tanh(x @ w))
    rng = np.random.default_rng(1)
    for n in (1, 7, 32, 1000, 0):
        a = rng.standard_normal((n, 20)).astype("float32")
        np.testing.assert_allclose(f(a), np.tanh(a @ w.get_value()), rtol=2e-5, atol=2e-5)
    assert len(f.compiled.executables) == 1
    assert f.compiled.executables[0].calls == 5


@pytest.mark.smoke
def test_training_step_updates_state() -> None:
    rng = np.random.default_rng(0)
    x, t = gf.placeholder("float32", (None, 8)), gf.placeholder("int32", (None,))
    w, b = gf.shared(rng.standard_normal((8, 3)).astype("float32")), gf.shared(np.zeros(3, "float32"))
    loss = gf.mean(gf.nn.sparse_softmax_cross_entropy(x @ w + b, t))
    gw, gb = gf.grad(loss, [w, b])
    step = gf.function([x, t], loss, updates=[(w, w - 0.1 * gw), (b, b - 0.1 * gb)])
    images, labels = rng.standard_normal((30, 8)).astype("float32"), rng.integers(0, 3, 30)
    w0, b0 = w.get_value(), b.get_value()
    for _ in range(3):
        z = images @ w0 + b0
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        want = -np.log(p[np.arange(30), labels]).mean()
        d = (p - np.eye(3)[labels]) / 30
        assert step(images, labels) == pytest.approx(want, rel=1e-5)
        w0, b0 = w0 - 0.1 * images.T @ d, b0 - 0.1 * d.sum(0)
        np.testing.assert_allclose(w.get_value(), w0, atol=1e-6)
        np.testing.assert_allclose(b.get_value(), b0, atol=1e-6)


def test_outputs_keep_their_structure() -> None:
    x = gf.placeholder("float64", ())
    f = gf.function([x], {"a": [x + 1, (x * 2, x)], "b": x * x})
    assert f(3.0) == {"a": [4.0, (6.0, 3.0)], "b": 9.0}
    assert gf.function([x], None)(1.0) is None
    assert gf.function([x], [])(1.0) == []


def test_updates_read_old_values_and_swap() -> None:
    a, b = gf.shared(np.arange(3.0)), gf.shared(np.arange(3.0) + 10)
    swap = gf.function([], a + 0, updates=[(a, b), (b, a)])
    assert swap().tolist() == [0, 1, 2]
    assert a.get_value().tolist() == [10, 11, 12] and b.get_value().tolist() == [0, 1, 2]


def test_fetch_and_update_of_the_same_variable_does_not_alias() -> None:
    w = gf.shared(np.zeros(4))
    step = gf.function([], w, updates=[(w, w + 1)])
    first, second = step(), step()
    assert first.tolist() == [0] * 4 and second.tolist() == [1] * 4
    first[:] = 99
    assert w.get_value().tolist() == [2] * 4


def test_update_read_by_a_later_kernel_uses_the_old_value() -> None:
    rng = np.random.default_rng(0)
    w, x = gf.shared(rng.standard_normal((6, 6))), gf.placeholder("float64", (None, 6))
    f = gf.function([x], [x @ w, gf.sum(w, axis=0), (x @ w) @ w], updates=[(w, w * 2)])
    w0, a = w.get_value(), rng.standard_normal((5, 6))
    y, s, z = f(a)
    np.testing.assert_allclose(y, a @ w0)
    np.testing.assert_allclose(s, w0.sum(0))
    np.testing.assert_allclose(z, a @ w0 @ w0)
    np.testing.assert_array_equal(w.get_value(), w0 * 2)


def test_givens_with_a_sliced_shared_variable() -> None:
    data, i, x = gf.shared(np.arange(100.0).reshape(50, 2)), gf.placeholder("int64", (), name="i"), gf.placeholder("float64", (None, 2))
    f = gf.function([i], gf.sum(x, axis=0), givens={x: data[i * 20 : (i + 1) * 20]})
    for k in range(3):
        np.testing.assert_allclose(f(k), data.get_value()[k * 20 : (k + 1) * 20].sum(0))
    assert len(f.compiled.executables) == 1


def test_feeding_an_intermediate_value() -> None:
    x = gf.placeholder("float64", ())
    y = x * 2
    assert gf.function([y], y + 1)(10.0) == 11.0


def test_state_may_change_its_size() -> None:
    c = gf.shared(np.arange(3.0))
    total, double = gf.function([], gf.sum(c)), gf.function([], None, updates=[(c, gf.concatenate([c, c]))])
    assert total() == 3
    for n in (7, 9, 11):
        c.set_value(np.ones(n))
        assert total() == n
    assert len(total.compiled.executables) == 2
    double()
    double()
    assert c.get_value().shape == (44,)
    declared = gf.shared(np.zeros((2, 3)), shape=(None, 3))
    declared.set_value(np.ones((5, 3)))
    with pytest.raises(gf.ShapeError, match="declared with size 3"):
        declared.set_value(np.ones((5, 4)))


def test_unknown_rank_is_resolved_by_what_is_fed() -> None:
    z = gf.placeholder("float32")
    f = gf.function([z], [gf.sum(z, axis=-1), z * 2])
    assert f([1, 2, 3])[0] == 6
    np.testing.assert_array_equal(f([[1, 2], [3, 4]])[0], [3, 7])
    g = gf.function([z], gf.grad(gf.sum(z * z), z))
    assert g(3.0) == 6.0
    np.testing.assert_array_equal(g([[1.0], [2.0]]), [[2], [4]])


def test_unknown_sizes_broadcast_when_one_is_fed() -> None:
    a, b = gf.placeholder("float64", (None, 3)), gf.placeholder("float64", (None, 3))
    f = gf.function([a, b], [a + b, gf.grad(gf.sum((a + b) * (a + b)), a)])
    assert f(np.ones((2, 3)), np.ones((2, 3)))[1].shape == (2, 3)
    total, gradient = f(np.ones((1, 3)), np.ones((4, 3)))
    assert total.shape == (4, 3) and gradient.tolist() == [[16, 16, 16]]
    with pytest.raises(gf.ShapeError, match="needs the sizes"):
        f(np.ones((2, 3)), np.ones((4, 3)))


def test_a_failed_check_leaves_state_alone() -> None:
    table, i = gf.shared(np.zeros((5, 2)), name="table"), gf.placeholder("int32", (None,))
    counter = gf.shared(np.zeros(()), name="counter")
    f = gf.function([i], table[i], updates=[(counter, counter + 1), (table, table + gf.sum(table[i]) + 1)])
    with pytest.raises(gf.CheckError, match="out of range"):
        f([0, 9])
    assert counter.get_value() == 0 and not table.get_value().any()
    assert f([0, -1]).shape == (2, 2)
    assert counter.get_value() == 1


def test_random_numbers_advance_and_repeat_with_the_seed() -> None:
    f = gf.function([], [gf.random.normal((1000,)), gf.random.uniform((4,))])
    gf.random.seed(7)
    a, b = f(), f()
    gf.random.seed(7)
    c = f()
    np.testing.assert_array_equal(a[0], c[0])
    assert (a[0] != b[0]).mean() > 0.99
    assert abs(a[0].mean()) < 0.2 and abs(a[0].std() - 1) < 0.1


def test_feeds_that_are_not_contiguous_or_native() -> None:
    x = gf.placeholder("float64", (None, None))
    f = gf.function([x], x + 1)
    a = np.arange(24.0).reshape(4, 6)
    for view in (a.T, a[::2, ::-1], np.asfortranarray(a), a.astype(">f8"), a.astype("float32"), a.astype("int16")):
        np.testing.assert_array_equal(f(view), np.asarray(view, float) + 1)


def test_results_do_not_depend_on_memory_reuse_or_old_contents() -> None:
    rng = np.random.default_rng(0)
    x, w = gf.placeholder("float32", (None, 30)), gf.shared(rng.standard_normal((30, 30)).astype("float32"))
    y = gf.nn.softmax(gf.tanh(x @ w) @ w, axis=1)
    outputs = [y, gf.grad(gf.sum(y * y), w)]
    a = rng.standard_normal((17, 30)).astype("float32")
    usual = gf.function([x], outputs)(a)
    for mode in ("poison", "no-reuse"):
        with gf.config.override(debug_memory=mode):
            for got, want in zip(gf.function([x], outputs)(a), usual, strict=True):
                np.testing.assert_array_equal(got, want)


def test_threads_do_not_change_bits() -> None:
    rng = np.random.default_rng(0)
    x = gf.placeholder("float32", (None, 257))
    w = gf.shared(rng.standard_normal((257, 300)).astype("float32"))
    y = gf.exp(-gf.square(x @ w))
    f = gf.function([x], [y, gf.sum(y, axis=0), gf.sum(y), gf.grad(gf.mean(y), w)])
    a = rng.standard_normal((400, 257)).astype("float32")
    with gf.config.override(threads=1):
        one = f(a)
    with gf.config.override(threads=2):
        for _ in range(5):
            for got, want in zip(f(a), one, strict=True):
                np.testing.assert_array_equal(got, want)


def test_check_nan_names_the_value() -> None:
    x = gf.placeholder("float64", (None,))
    f = gf.function([x], gf.log(x))
    with gf.config.override(check_nan=True), pytest.raises(gf.CheckError, match="NaN in log"):
        f([-1.0])
    assert np.isnan(f([-1.0])).all()


def test_what_else_is_fetched_does_not_change_a_sum() -> None:
    """Neither an argmax over the same rows, nor a neighbour that keeps the summed axes from merging."""
    rng = np.random.default_rng(0)
    x, v = gf.placeholder("float32", (None, 7, 300)), gf.placeholder("float32", (300,))
    a, b = rng.standard_normal((5, 7, 300)).astype("float32"), rng.standard_normal(300).astype("float32")
    z = gf.tanh(x)
    rows, total = gf.sum(z, axis=2), gf.sum(z, axis=(1, 2))
    positions, scaled = gf.function([x], [rows, gf.argmax(z, axis=2)]), gf.function([x, v], [total, z * v])
    assert all(len(f.compiled.executable(f.compiled.specialisation(args, f.store)).manifest.kernels) == 1 for f, args in ((positions, [a]), (scaled, [a, b])))
    np.testing.assert_array_equal(positions(a)[0], gf.function([x], rows)(a))
    np.testing.assert_array_equal(positions(a)[1], np.tanh(a).argmax(2))
    np.testing.assert_array_equal(scaled(a, b)[0], gf.function([x], total)(a))
