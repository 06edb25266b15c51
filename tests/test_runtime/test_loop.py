"""Native loops: the same bits as calls, rows of all widths and dtypes, orders, stops, errors, signals."""

from __future__ import annotations

import _thread
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphflow as gf
from graphflow.graph.errors import CheckError, FeedError, ShapeError, StateError
from graphflow.runtime import batches as batches_module
from graphflow.runtime.batches import Batches, Stepwise
from graphflow.runtime.loop import Loop
from graphflow.runtime.orders import Orders
from graphflow.runtime.store import default_store

Array = np.ndarray[Any, Any]


def regression(rate: float = 0.05, width: int = 3) -> tuple[gf.Function, Any, Any]:
    """A step of linear regression with noise, its weights and its count of steps."""
    x, t = gf.placeholder("float32", (None, width), name="x"), gf.placeholder("float32", (None,), name="t")
    w, steps = gf.shared(np.zeros(width, "float32"), name="w"), gf.shared(np.int64(0), name="steps")
    error = x @ w - t + 0.01 * gf.random.normal((width,), seed=3)[0]
    loss = gf.mean(error**2)
    step = gf.function([x, t], [loss, gf.max(gf.abs(error))], updates=[(w, w - rate * gf.grad(loss, w)), (steps, steps + 1)])
    return step, w, steps


def data(rows: int, width: int = 3) -> list[Array]:
    rng = np.random.default_rng(rows)
    return [rng.standard_normal((rows, width)).astype("float32"), rng.standard_normal(rows).astype("float32")]


def by_calls(step: gf.Function, tables: list[Array], batch_size: int, epochs: int, rng: Any = None) -> list[Array]:
    """What `loop` should return, from one call for each batch."""
    rows, means = np.arange(len(tables[0])), []
    for _ in range(epochs):
        if rng is not None:
            rng.shuffle(rows)
        sums = np.zeros(2)
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            sums += [float(v) * len(part) for v in step(*(t[part] for t in tables))]
        means.append(sums / len(rows))
    return list(np.array(means).T)


@pytest.mark.smoke
@pytest.mark.parametrize(("rows", "batch_size"), [(40, 8), (41, 8), (7, 8), (8, 8), (5, 1)])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_loop_gives_the_bits_of_calls(rows: int, batch_size: int, shuffled: bool) -> None:
    step, w, steps = regression()
    tables = data(rows)
    gf.random.seed(1)
    expected = by_calls(step, tables, batch_size, 20, np.random.RandomState(4) if shuffled else None)
    weights, count = w.get_value(), steps.get_value()
    w.set_value(np.zeros(3)), steps.set_value(0), gf.random.seed(1)
    means = step.loop(tables, batch_size, epochs=20, shuffle=np.random.RandomState(4) if shuffled else None)
    assert isinstance(step.batches(tables, batch_size), Loop)
    for a, b in zip(means, expected, strict=True):
        assert a.dtype == np.float64
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(w.get_value(), weights)
    assert steps.get_value() == count == 20 * -(-rows // batch_size)
    assert len(step.compiled.executables) == 1


def test_native_and_stepwise_batches_give_the_same() -> None:
    step, w, _ = regression()
    tables = data(50)
    found: list[Any] = []
    for native in (True, False):
        w.set_value(np.zeros(3)), gf.random.seed(1)
        made: Batches = step.batches(tables, 8) if native else Stepwise(step._call_one, tables, 8, [True, True])
        found.append([*made.loop(9, np.random.default_rng(0)), w.get_value(), made.values])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


# --- rows ------------------------------------------------------------------------------------------
class Recorded:
    """Shuffles, and keeps the order."""

    def shuffle(self, rows: Array) -> None:
        np.random.default_rng(7).shuffle(rows)
        self.order = rows.copy()


KINDS = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]


@pytest.mark.parametrize("target", KINDS)
def test_rows_of_every_width_are_gathered(target: str) -> None:
    x = gf.placeholder(target, (None, None))
    f = gf.function([x], x)
    rng = np.random.default_rng(0)
    for width in (1, 2, 3, 4, 8, 12, 15, 16, 17, 33, 63, 64, 65, 200):
        table = rng.integers(0, 2 if target == "bool" else 100, (11, width)).astype(target)
        mixed = Recorded()
        np.testing.assert_array_equal(f.loop([table], 4, shuffle=mixed), table[mixed.order])
        np.testing.assert_array_equal(f.loop([table], 4), table)


@pytest.mark.parametrize("target", ["float32", "float64"])
@pytest.mark.parametrize("source", KINDS)
def test_rows_are_converted_as_numpy_does(source: str, target: str) -> None:
    x = gf.placeholder(target, (None, None))
    f = gf.function([x], x)
    table = np.random.default_rng(0).integers(0, 250, (9, 19)) * 2654435761.7
    table = table.astype(source) if source.startswith("f") else table.astype("uint64").astype(source)
    if source == "float64":
        table[:, 0] = [np.nan, np.inf, -np.inf, 1e300, 1e-310, -0.0, 1e-40, 16777217.0, 0.1]
    mixed = Recorded()
    with np.errstate(over="ignore"):
        expected = table.astype(target)
    np.testing.assert_array_equal(f.loop([table], 4, shuffle=mixed), expected[mixed.order])
    np.testing.assert_array_equal(f.loop([table], 4), expected)
    assert f.batches([table], 4).tables[0] is table  # converted on the way, not copied


def test_other_tables_are_copied_to_what_is_read() -> None:
    x = gf.placeholder("int32", (None, 2))
    f = gf.function([x], x * 2)
    table = np.arange(20).reshape(10, 2)
    for given_table in (table, table.tolist(), np.asfortranarray(table), table.astype(">i4"), table.astype("int8")):
        np.testing.assert_array_equal(f.loop([given_table], 3), table * 2)
    with pytest.raises(gf.DTypeError):
        f.loop([table + 0.5], 3)
    with pytest.raises(gf.DTypeError, match="2147483648"):
        f.loop([table + 2**31], 3)


def test_results_of_batches_are_joined_and_scalars_are_means() -> None:
    x, c = gf.placeholder("float64", (None,)), gf.placeholder("float64", ())
    f = gf.function([x, c], {"rows": x * c, "mean": gf.mean(x), "count": gf.sum(gf.cast(x > 0, "int32")), "any": gf.any(x > 2.5)})
    table = np.arange(1.0, 8.0)
    found = f.loop([table, 10.0], batch_size=3)
    np.testing.assert_array_equal(found["rows"], table * 10)
    assert found["mean"] == pytest.approx([4.0]) and found["count"] == [(3 * 3 + 3 * 3 + 1 * 1) / 7] and found["any"] == [7 / 7 - 0 / 7]
    with pytest.raises(ShapeError, match="over one epoch"):
        f.loop([table, 10.0], 3, epochs=2)


@pytest.mark.parametrize("dtype", KINDS)
def test_scalars_of_every_dtype_are_read(dtype: str) -> None:
    x = gf.placeholder(dtype, (None,))
    value = 1 if dtype == "bool" else 100
    assert gf.function([x], gf.max(x) if dtype != "bool" else gf.any(x)).loop([np.full(5, value, dtype)], 2) == [value]


def test_no_rows() -> None:
    step, _, steps = regression()
    loss, _ = step.loop(data(0), 4, epochs=3)
    assert np.isnan(loss).all() and loss.shape == (3,) and steps.get_value() == 0
    x = gf.placeholder("float32", (None, 2))
    assert gf.function([x], x @ np.ones((2, 3), "float32")).loop([np.zeros((0, 2))]).shape == (0, 3)


def test_a_function_without_results_loops_for_its_updates() -> None:
    x, total = gf.placeholder("float64", (None,)), gf.shared(np.float64(0))
    f = gf.function([x], None, updates=[(total, total + gf.sum(x))])
    assert f.loop([np.arange(10.0)], 4, epochs=2) is None
    assert total.get_value() == 90


# --- orders ----------------------------------------------------------------------------------------
@given(rows=st.integers(0, 300), epochs=st.lists(st.integers(1, 5), max_size=4), seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_orders_are_numpys_shuffles(rows: int, epochs: list[int], seed: int) -> None:
    def state() -> list[Any]:
        return [np.asarray(part).tolist() for part in np.random.get_state()]

    np.random.seed(seed)
    np.random.standard_normal()
    expected, order = [], np.arange(rows)
    for _ in range(sum(epochs)):
        np.random.shuffle(order)
        expected.append(order.tolist())
    after = state()
    np.random.seed(seed)
    np.random.standard_normal()
    orders = Orders(rows, np.random)
    assert [order for n in epochs for order in orders.draw(n).tolist()] == expected
    assert state() == after


@pytest.mark.parametrize("make", [lambda: np.random.seed(3) or np.random, lambda: np.random.RandomState(3), lambda: np.random.default_rng(3), lambda: random.Random(3)])
def test_orders_that_were_not_used_were_not_drawn(make: Callable[[], Any]) -> None:
    rng, drawn = make(), []
    orders = Orders(20, rng)
    for ahead, used in ((1, 1), (6, 2), (4, 4), (5, 1)):
        some = orders.draw(ahead)
        used = min(used, len(some))
        orders.keep(used)
        drawn += some[:used].tolist()
    rng, order = make(), np.arange(20)
    for row in drawn:
        rng.shuffle(order)
        assert row == order.tolist()


# --- where batches differ ----------------------------------------------------------------------------
def test_batches_that_do_not_fit_one_executable_are_called() -> None:
    a, b = gf.placeholder("float32", (None,)), gf.placeholder("float32", (None,))
    total = gf.shared(np.float32(0))
    f = gf.function([a, b], [gf.sum(a * b)], updates=[(total, total + gf.sum(a + b))])
    x, y = np.arange(7.0, dtype="float32"), np.ones(7, "float32")
    assert f.loop([x, y], 3) == [(3 * 3 + 12 * 3 + 6 * 1) / 7] and total.get_value() == 28

    grows = gf.shared(np.zeros(0, "float32"), shape=(None,))
    g = gf.function([a], gf.sum(grows), updates=[(grows, gf.concatenate([grows, a]))])
    made = g.batches([x], 3)
    assert isinstance(made, Stepwise)
    assert made.loop(2)[0].tolist() == [(3 * 3 + 15) / 7, ((21 + 24) * 3 + 36) / 7] and grows.get_value().size == 14


def test_state_whose_value_is_a_size_is_read_anew_for_each_batch() -> None:
    x, n = gf.placeholder("float32", (None,)), gf.shared(np.int64(1))
    f = gf.function([x], gf.sum(x[:n]), updates=[(n, n + 1)])
    assert isinstance(f.batches([np.ones(6)], 3), Stepwise)
    assert f.loop([np.ones(6)], 3)[0] == (1 * 3 + 2 * 3) / 6


@pytest.mark.smoke
def test_mistakes() -> None:
    step, _, _ = regression()
    x, t = data(6)
    for tables, size, error, text in (
        ([x, t[:5]], 2, ShapeError, "they have 5 and 6 rows"),
        ([x], 2, FeedError, "1 tables for 2 inputs"),
        ([x, t], 0, ShapeError, "at least one row"),
        ([x[:, :2], t], 2, ShapeError, r"wrong shape for x"),
        ([x[0, 0], t[0]], 2, ShapeError, "none came"),
        ([x[0, 0], t], 2, ShapeError, "wrong shape for x"),
        ([x, ["a"] * 6], 2, gf.DTypeError, "wrong value for t"),
    ):
        with pytest.raises(error, match=text):
            step.loop(tables, size)


# --- stops -------------------------------------------------------------------------------------------
def test_a_failed_check_ends_the_loop_at_its_batch() -> None:
    i, t = gf.placeholder("int64", (None,), name="i"), gf.shared(np.arange(5.0), name="t")
    steps = gf.shared(np.int64(0))
    f = gf.function([i], gf.sum(t[i]), updates=[(steps, steps + 1)])
    rows = np.array([0, 1, 2, 3, 4, 0, 7, 1])
    with pytest.raises(CheckError) as single:
        f(rows[6:8])
    batches = f.batches([rows], 2)
    with pytest.raises(CheckError) as caught:
        batches.loop(3)
    assert caught.value.message == single.value.message and caught.value.hint == single.value.hint == "the value was 7"
    assert "in batch 3 of the epoch, places 6 to 7" in str(caught.value)
    assert batches.at == 3 and steps.get_value() == 3
    np.random.seed(0)
    state = np.random.get_state()[1]
    order = np.arange(8)
    np.random.shuffle(order)
    after = np.random.random()
    np.random.seed(0)
    assert (np.random.get_state()[1] == state).all()
    f.loop([np.zeros(8, int)], 2, epochs=100)
    with pytest.raises(CheckError):
        f.loop([rows], 2, epochs=100, shuffle=np.random)
    assert np.random.random() == after  # one order was drawn


@pytest.mark.parametrize("native", [True, False])
def test_a_watched_result_that_is_not_finite_stops_the_loop(native: bool) -> None:
    x, steps = gf.placeholder("float32", (None,)), gf.shared(np.int64(0))
    f = gf.function([x], [gf.sum(1 / x), gf.sum(x)], updates=[(steps, steps + 1)])
    table = np.array([1, 2, 0, 4, 5, 6], "float32")
    batches: Batches = f.batches([table], 2) if native else Stepwise(f._call_one, [table], 2, [True, True])
    rounds: list[Any] = []
    batches.run_epochs(5, None, lambda sums: bool(rounds.append((batches.finished, batches.at, batches.stopped, sums[0].tolist()))) or True, watched=1)
    assert rounds == [(0, 2, True, [np.inf, 2 * 3 + 2 * 4])] and steps.get_value() == 2
    assert batches.values.tolist() == [np.inf, 4]
    batches.loop(2)  # unwatched, it goes on
    assert steps.get_value() == 8 and not batches.stopped


def test_slices_grow_with_what_fits_in_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted(Batches):
        """A batch takes 1/64 s, by a clock of its own."""

        now = 0.0

        def run(self, orders: Array | None, sums: Array, until: int, watched: int) -> None:
            lengths.append(until - self.at)
            Counted.now += (until - self.at) / 64
            self.at = until

    lengths: list[int] = []
    monkeypatch.setattr(batches_module.time, "perf_counter", lambda: Counted.now)
    counted = Counted([np.zeros(30)], 1, [])
    counted.run_epochs(2, None, lambda sums: True)
    assert lengths == [1, *[3] * 9, 2, *[3] * 10]  # 50 ms are 3.2 batches
    lengths.clear()
    Counted([np.zeros(30)], 1, []).run_epochs(1, None, lambda sums: False)
    assert sum(lengths) == 30


def test_a_signal_ends_the_loop_between_batches() -> None:
    step, w, steps = regression(rate=0.001)
    batches = step.batches(data(64), 8)
    np.random.seed(2)
    finished: list[int] = []
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        batches.run_epochs(10**9, Orders(64, np.random), lambda sums: bool(finished.append(batches.finished)) or True)
    assert time.perf_counter() - began < 5
    timer.join()
    assert np.isfinite(w.get_value()).all()
    drawn = sum(finished) + (batches.at % batches.batches > 0)
    assert steps.get_value() == 8 * sum(finished[:-1]) + batches.at
    position = np.random.random()
    np.random.seed(2)
    order = np.arange(64)
    for _ in range(drawn):
        np.random.shuffle(order)
    if batches.at % batches.batches:  # else the order of the next epoch may have been drawn
        assert position == np.random.random()
    step.loop(data(64), 8)  # the lock was given back


def test_state_may_be_set_between_slices_but_not_resized() -> None:
    x, c = gf.placeholder("float64", (None,)), gf.shared(np.zeros(2))
    f = gf.function([x], gf.sum(x) + gf.sum(c))
    batches = f.batches([np.ones(4)], 2)
    sums = np.zeros((1, 1))
    batches.advance(None, sums, 0, 1)
    c.set_value(np.ones(2))
    batches.advance(None, sums, 1, 2)
    assert sums[0, 0] == 2 * 2 + 4 * 2
    c.set_value(np.ones(3))
    with pytest.raises(StateError, match="changed its size"):
        batches.advance(None, sums, 0, 1)
    assert f.loop([np.ones(4)], 2) == [2 + 3]


def test_readers_run_beside_a_loop_and_writers_between_its_slices() -> None:
    step, w, _ = regression(rate=1e-6)
    batches = step.batches(data(64), 8)
    seen: list[Array] = []

    def watch() -> None:
        for _ in range(20):
            seen.append(w.get_value())
            w.set_value(np.full(3, 0.5, "float32"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    batches.run_epochs(10**9, None, lambda sums: watcher.is_alive())
    watcher.join()
    assert len(seen) == 20 and np.isfinite(seen).all()


def test_poisoned_workspaces_change_nothing() -> None:
    step, w, _ = regression()
    gf.random.seed(1)
    expected = step.loop(data(20), 8)
    w.set_value(np.zeros(3)), gf.random.seed(1)
    with gf.config.override(debug_memory="poison"):
        found = step.loop(data(20), 8)
    np.testing.assert_array_equal(found, expected)


def test_check_nan_looks_at_each_batch() -> None:
    x, steps = gf.placeholder("float32", (None,)), gf.shared(np.int64(0))
    f = gf.function([x], gf.log(gf.sum(x)), updates=[(steps, steps + 1)])
    with gf.config.override(check_nan=True), pytest.raises(CheckError, match="NaN in"):
        f.loop([np.array([1.0, -1, -1, 1])], 1)
    assert steps.get_value() == 1


def test_an_executable_loops_by_itself() -> None:
    step, _, steps = regression()
    tables = data(10)
    step(*tables)
    made = step.compiled.executables[0].loop(tables, 4, default_store())
    assert made.loop(2)[0].shape == (2,) and steps.get_value() == 1 + 6 and step.compiled.executables[0].calls == 7
