"""`gf.profile`: what it measures, what it says, and that it leaves everything as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.runtime import cache, profile_table
from graphflow.runtime.pool import current_pool
from graphflow.runtime.profile import Profile
from graphflow.runtime.roofline import Bound

RNG = np.random.default_rng(0)


def training_step() -> tuple[gf.Function, list[Any], list[gf.Shared]]:
    """A step that learns, a batch, and its state: the same at each call."""
    rng = np.random.default_rng(1)
    x = gf.placeholder("float32", (None, 64), name="x")
    t = gf.placeholder("int32", (None,), name="t")
    w = gf.shared(rng.normal(size=(64, 10)).astype(np.float32), name="w")
    b = gf.shared(np.zeros(10, np.float32), name="b")
    loss = gf.mean(gf.nn.sparse_softmax_cross_entropy(x @ w + b, t))
    updates = [(p, p - 0.1 * g) for p, g in zip([w, b], gf.grad(loss, [w, b]), strict=True)]
    batch = [rng.normal(size=(32, 64)).astype(np.float32), rng.integers(0, 10, 32).astype(np.int32)]
    return gf.function([x, t], loss, updates=updates, name="step"), batch, [w, b]


@pytest.fixture(scope="module")
def profiled() -> Profile:
    step, batch, _ = training_step()
    return gf.profile(step, *batch, repeat=5)


@pytest.mark.smoke
def test_state_and_results_are_as_if_nothing_had_run() -> None:
    step, batch, state = training_step()
    twin, _, _ = training_step()
    before = [s.get_value() for s in state]
    gf.profile(step, *batch, repeat=3)
    assert all((s.get_value() == b).all() for s, b in zip(state, before, strict=True))
    for _ in range(3):
        assert step(*batch) == twin(*batch)


def test_state_that_is_replaced_unread() -> None:
    state, x = gf.shared(np.zeros(2), "state"), gf.placeholder("float64", (None,))
    f = gf.function([x], gf.sum(x), updates=[(state, x * 2.0)])
    f(np.ones(3))
    assert any("multiply" in str(row) for row in gf.profile(f, np.ones(4), repeat=2).rows)
    np.testing.assert_array_equal(state.get_value(), [2, 2, 2])


def test_random_streams_do_not_advance() -> None:
    draw = gf.function([], gf.random.normal((4,)))
    gf.random.seed(3)
    first, second = draw(), draw()
    gf.random.seed(3)
    assert (draw() == first).all()
    assert len(gf.profile(draw, repeat=3).rows) >= 1
    assert (draw() == second).all() and (first != second).any()


@pytest.mark.smoke
def test_rows_say_which_ops_and_whose_line(profiled: Profile) -> None:
    matmul = profiled.rows[0]
    assert matmul.name.ops[0] == "ab,bc→ac" and matmul.name.place.startswith("test_profile.py:")
    line = Path(__file__).read_text().splitlines()[matmul.name.line - 1]
    assert "x @ w + b" in line
    assert matmul.flops == {"float32": 2 * 32 * 64 * 10 + 32 * 10}
    assert [row.number for row in profiled.rows] == list(range(len(profiled.rows)))
    assert profiled.calls == 5 and all(row.calls == 5 for row in profiled.rows)


def test_times_are_within_the_call(profiled: Profile) -> None:
    assert profiled.inside > 0 and all(row.least <= row.seconds for row in profiled.rows)
    for call in profiled.history:
        events = call.events
        assert call.begin <= events[0, 0] and events[-1, 1] <= call.end
        assert (events[:, 0] <= events[:, 1]).all() and (events[1:, 0] >= events[:-1, 1]).all()
        assert 0 < call.reading < 100_000


def test_counts_follow_the_sizes_that_were_fed() -> None:
    x = gf.placeholder("float32", (None, 100))
    f = gf.function([x], gf.tanh(x))
    small, large = (gf.profile(f, np.zeros((n, 100), np.float32), repeat=1).rows[0] for n in (10, 1000))
    assert (small.read, small.written) == (4000, 4000)
    assert (large.read, large.written, large.operations) == (400_000, 400_000, 100 * small.operations)


def test_memory_with_several_views_counts_once() -> None:
    x = gf.placeholder("float32", (None, 6))
    f = gf.function([x], [gf.sum(x, axis=1) + gf.sum(gf.reshape(x, (-1, 3, 2))[:, 0], axis=1)])
    rows = gf.profile(f, np.ones((50, 6), np.float32), repeat=1).rows
    assert all(row.read <= 50 * 6 * 4 + 2 * 50 * 4 for row in rows)


def test_copies_into_state_are_rows() -> None:
    a, b = (gf.shared(np.full(1000, k, np.float32), name=n) for k, n in enumerate("ab"))
    swap = gf.function([], [], updates=[(a, b), (b, a)])
    rows = gf.profile(swap, repeat=2).rows
    assert any("copy into" in row.name.text and row.read == row.written == 4000 for row in rows)
    assert a.get_value()[0] == 0 and b.get_value()[0] == 1


def test_kernels_from_the_disk_cache_are_profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c").mkdir(mode=0o700)
    with gf.config.override(cache=True, cache_dir=str(tmp_path / "c"), verify=False):
        for _ in range(2):  # the second time, as another process would: its kernels are files
            cache.library.cache_clear()
            monkeypatch.setattr(cache, "_recent", type(cache._recent)())
            step, batch, _ = training_step()
            step(*batch)
            found = gf.profile(step, *batch, repeat=1)
            assert found.rows[0].operations > 0 and list((tmp_path / "c").glob("*.k"))


def test_chunks_of_shared_kernels_are_recorded() -> None:
    x = gf.placeholder("float32", (None, 512))
    f = gf.function([x], gf.exp(gf.tanh(x)))
    values = np.zeros((4096, 512), np.float32)
    many = gf.profile(f, values, repeat=2)
    with gf.config.override(threads=1):
        alone = gf.profile(f, values, repeat=2)
    assert not any(call.chunks for call in alone.history) and alone.rows[0].threads == 1
    if current_pool() is not None:
        for call in many.history:
            begin, end = call.events[0]
            assert call.chunks and all(begin <= c.begin <= c.end <= end and c.event == 0 for c in call.chunks)


def test_kernels_of_a_loop_are_counted_and_added_up() -> None:
    x, w = gf.placeholder("float32", (None, 8), name="x"), gf.shared(np.eye(8, dtype=np.float32), name="w")
    hs, _ = gf.scan(lambda row, h: gf.tanh(row + h @ w), sequences=[x], outputs_info=[gf.zeros((8,), "float32")])
    f = gf.function([x], gf.sum(hs))
    short, long = (gf.profile(f, np.ones((n, 8), np.float32), repeat=3) for n in (5, 500))
    inner = [row for row in long.rows if row.trips > 1]
    assert inner and all(row.trips == 500 for row in inner) and {row.trips for row in short.rows} == {1, 5}
    assert f"500× {inner[0].name.text}" in str(long)
    assert long.rows[inner[0].number].operations == 100 * short.rows[inner[0].number].operations > 0
    assert sum(row.seconds for row in inner) < long.seconds and len(long.memory.live) == len(long.rows)


def test_foreign_calls_are_rows(tmp_path: Path) -> None:
    x = gf.placeholder("float32", (None,), name="x")
    y = gf.py_function(lambda a: a * 2, [gf.exp(x)], x.type)
    found = gf.profile(gf.function([x], gf.sum(y)), np.ones(1000, np.float32), repeat=3, trace=str(tmp_path / "t.json"))
    (row,) = [row for row in found.rows if row.name.text == "python_call"]
    assert (row.read, row.written, row.exact) == (4000, 4000, False) and row.seconds > 0 and row.name.place.startswith("test_profile.py:")


def test_a_branch_that_is_not_taken_takes_no_time(tmp_path: Path) -> None:
    x = gf.placeholder("float32", (None,), name="x")
    y = gf.cond(gf.sum(x) > 0, lambda: gf.exp(x), lambda: gf.sin(x))
    found = gf.profile(gf.function([x], y), np.ones(100, np.float32), repeat=3, trace=str(tmp_path / "t.json"))
    trips = {row.name.text: row.trips for row in found.rows}
    assert trips["exp"] == 1 and trips["sin"] == 0
    assert all(e["ts"] >= 0 for e in json.loads((tmp_path / "t.json").read_text())["traceEvents"] if e["ph"] == "X")


# --- what can be profiled ---------------------------------------------------------------------------
def test_fetches_and_feeds_run_in_the_open_session() -> None:
    x = gf.placeholder("float32", (3,), name="x")
    w = gf.shared(np.ones(3, np.float32), name="w")
    with gf.Session() as s:
        found = gf.profile({"y": x * w, "w": w}, {x: np.ones(3, np.float32)}, repeat=1)
        assert len(found.rows) >= 1
        assert (s.run(x * w, {x: np.ones(3, np.float32)}) == 1).all()
    assert gf.profile(w + 1.0, repeat=1).rows


def test_a_model_is_profiled_by_batches() -> None:
    from graphflow.keras import layers, models

    m = models.Sequential([layers.Dense(8, activation="relu", input_shape=(20,)), layers.Dense(3, activation="softmax")])
    m.compile("sgd", "categorical_crossentropy")
    x, y = RNG.normal(size=(16, 20)).astype(np.float32), np.eye(3, dtype=np.float32)[RNG.integers(0, 3, 16)]
    before = m.get_weights()
    step, predict = gf.profile(m, x, y, repeat=1), gf.profile(m, x, repeat=1)
    weighted = gf.profile(m, x, y, np.ones(16, np.float32), repeat=1)
    assert len(step.rows) > len(predict.rows) and weighted.rows
    assert all((a == b).all() for a, b in zip(before, m.get_weights(), strict=True))


def test_what_cannot_be_profiled_says_so() -> None:
    step, batch, _ = training_step()
    with pytest.raises(gf.GraphError, match="cannot be run"):
        gf.profile(3)
    with pytest.raises(gf.GraphError, match="repeat"):
        gf.profile(step, *batch, repeat=0)
    with pytest.raises(gf.ShapeError, match="wrong shape for x"):
        gf.profile(step, batch[0][0], batch[1])
    with pytest.raises(gf.FeedError):
        gf.profile(step, batch[0])
    bad = batch[1].copy()
    bad[3] = 99
    with pytest.raises(gf.CheckError):
        gf.profile(step, batch[0], bad)


# --- what it prints and writes ----------------------------------------------------------------------
@pytest.mark.smoke
def test_the_table_has_a_line_for_each_launch_and_fits(profiled: Profile) -> None:
    for width in (100, 120):
        lines = profiled.table(width).splitlines()
        table = lines[lines.index("") + 1 :]
        assert len(table) >= len(profiled.rows) + 4
        assert all(len(line) <= width for line in table)
    assert "GFLOP/s" in str(profiled) and "100%" in str(profiled)


def test_long_tables_keep_what_takes_longest(profiled: Profile) -> None:
    longest = max(profiled.rows, key=lambda row: row.seconds)
    text = profiled.table(rows=1)
    assert f"{len(profiled.rows) - 1} shorter ones" in text and f"{longest.number:>3} {longest.name.text[:8]}" in text


def test_a_share_above_the_roofline_is_explained(profiled: Profile) -> None:
    from dataclasses import replace

    row = replace(profiled.rows[0], seconds=1e-3, bound=Bound(2e-3, "float32"))
    assert profile_table.impossible(row) and not profile_table.impossible(replace(row, seconds=1e-9, bound=Bound(2e-9, "L1")))
    assert "busy" in replace(profiled, rows=[row]).table() and "200%" in replace(profiled, rows=[row]).table()


@pytest.mark.parametrize(("seconds", "text"), [(1.2e-7, "0.12 us"), (4.5e-5, "45.0 us"), (1.234e-3, "1.23 ms"), (0.5, "500 ms"), (2.5, "2.50 s")])
def test_times_read_well(seconds: float, text: str) -> None:
    assert profile_table.time(seconds) == text


def test_the_trace_nests_and_names_threads(profiled: Profile, tmp_path: Path) -> None:
    profiled.trace(str(tmp_path / "t.json"))
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    slices = [e for e in events if e["ph"] == "X"]
    calls = [e for e in slices if e["cat"] == "call"]
    kernels = [e for e in slices if e["cat"] == "kernel"]
    assert len(calls) == 5 and len(kernels) == 5 * len(profiled.rows)
    for k in kernels:
        assert sum(c["ts"] <= k["ts"] and k["ts"] + k["dur"] <= c["ts"] + c["dur"] + 1e-3 for c in calls) == 1
    assert {e["tid"] for e in slices} <= {e["tid"] for e in events if e["name"] == "thread_name"}
    assert kernels[0]["args"]["line"].startswith("test_profile.py:") and kernels[0]["args"]["flops"] == profiled.rows[0].operations
    assert [e["args"]["live bytes"] for e in events if e["ph"] == "C"][: len(profiled.rows)] == profiled.memory.live


def test_profile_writes_the_trace_it_is_asked_for(tmp_path: Path) -> None:
    x = gf.placeholder("float32", (3,))
    gf.profile(gf.function([x], x + 1.0), np.zeros(3, np.float32), repeat=1, trace=str(tmp_path / "t.json"))
    assert json.loads((tmp_path / "t.json").read_text())["displayTimeUnit"] == "ns"


def test_memory_over_launches(profiled: Profile) -> None:
    m = profiled.memory
    assert len(m.live) == len(profiled.rows) and m.peak == int(np.argmax(m.live)) and m.live[m.peak] <= m.arena
    assert sum(h.bytes for h in m.at_peak) == max(m.live)
    assert (m.inputs, m.outputs, m.state) == (32 * 64 * 4 + 32 * 4, 4, (64 * 10 + 10) * 4)
    text = str(m)
    assert f"at the peak, launch {m.peak}" in text and "test_profile.py:" in text and m.at_peak[0].name in text


def test_without_intermediates_there_is_no_arena() -> None:
    x = gf.placeholder("float32", (3,))
    m = gf.profile(gf.function([x], x + 1.0), np.zeros(3, np.float32), repeat=1).memory
    assert m.arena == 0 and m.live == [0] and "arena 0 B" in str(m)


def test_functions_of_nothing_and_of_inputs_they_do_not_use() -> None:
    x = gf.placeholder("float32", (None, 4), name="x")
    empty = gf.profile(gf.function([], []), repeat=1)
    assert empty.rows == [] and "0 kernels" in str(empty) and str(empty.memory)
    grown = gf.shared(np.zeros(3, np.float32), name="grown")
    growing = gf.function([x], updates=[(grown, gf.concatenate([grown, grown]))])
    assert gf.profile(growing, np.ones((3, 4), np.float32), repeat=1).memory.inputs == 48
    assert grown.get_value().shape == (3,)


def test_ranks_known_only_when_fed() -> None:
    x = gf.placeholder("float32", None, name="x")
    f = gf.function([x], gf.exp(x))
    assert [gf.profile(f, np.ones(shape, np.float32), repeat=1).rows[0].read for shape in ((3,), (5, 4))] == [12, 80]


def test_an_axis_of_one_that_broadcasts() -> None:
    x, y = (gf.placeholder("float32", (None, None)) for _ in range(2))
    f = gf.function([x, y], x + y)
    (row,) = gf.profile(f, np.ones((1, 5), np.float32), np.ones((4, 5), np.float32), repeat=1).rows
    assert (row.read, row.written) == (100, 80)
