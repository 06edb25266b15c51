"""The C ABI: results, and the stated code for every wrong call."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphflow as gf
from graphflow.bundle import object as bundle_object

RNG = np.random.default_rng(1)


@pytest.mark.smoke
@pytest.mark.parametrize("rows", [0, 1, 7, 32, 1000])
def test_one_object_serves_every_batch_size(export: Any, mlp: Any, rows: int) -> None:
    native = export(mlp.predict)
    x = RNG.normal(size=(rows, 6)).astype("float32")
    out = np.full((rows, 3), np.nan, "float32")
    assert native([x], [out], [rows]) == 0
    np.testing.assert_allclose(out, mlp.predict(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", ["x86_64-linux", "x86_64-linux-v2", "x86_64-linux-v4"])
def test_targets_compute_the_same(export: Any, mlp: Any, target: str) -> None:
    native = export(mlp.step, target=target)
    assert native.metadata["target"] == target
    x, t = RNG.normal(size=(9, 6)).astype("float32"), RNG.normal(size=(9, 3)).astype("float32")
    state, loss = native.new_state(), np.zeros((), "float32")
    assert native([x, t], [loss], [9], state, "train_step") == 0
    np.testing.assert_allclose(loss, mlp.step(x, t), rtol=1e-5)
    np.testing.assert_allclose(native.state_value(state, "w1"), mlp.w1.get_value(), rtol=1e-5, atol=1e-6)


def test_training_step_equals_the_function_over_twenty_steps(export: Any, mlp: Any) -> None:
    before = mlp.w1.get_value()
    native = export(mlp.step)
    np.testing.assert_array_equal(mlp.w1.get_value(), before)  # the export ran it on a copy
    assert native.metadata["train_step"]["updates"] == ["v_w1", "w1", "v_b1", "b1", "v_w2", "w2"]
    state, loss = native.new_state(), np.zeros((), "float32")
    losses = []
    for i in range(20):
        x, t = RNG.normal(size=(5 + i, 6)).astype("float32"), RNG.normal(size=(5 + i, 3)).astype("float32")
        assert native([x, t], [loss], [5 + i], state, "train_step") == 0
        losses.append((float(loss), float(mlp.step(x, t))))
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=1e-5)
    for w in mlp.weights:
        np.testing.assert_allclose(native.state_value(state, w.name), w.get_value(), rtol=1e-5, atol=1e-6)


def test_run_reads_the_callers_state_and_never_writes_it(export: Any, mlp: Any) -> None:
    native = export(mlp.step)
    x, t = RNG.normal(size=(4, 6)).astype("float32"), RNG.normal(size=(4, 3)).astype("float32")
    state, embedded, own = native.new_state(), np.zeros((), "float32"), np.zeros((), "float32")
    native.state_value(state, "w2")[...] = 0
    copy = state.copy()
    assert native([x, t], [embedded], [4]) == 0 and native([x, t], [own], [4], state) == 0
    np.testing.assert_array_equal(state, copy)
    np.testing.assert_allclose(own, np.mean(t * t), rtol=1e-6)
    with gf.Session(store=gf.default_store()) as s:
        np.testing.assert_allclose(embedded, s.run(mlp.loss, {mlp.x: x, mlp.t: t}), rtol=1e-6)


def test_values_at_the_time_of_the_export_are_embedded(export: Any, mlp: Any) -> None:
    mlp.w2.set_value(np.ones((20, 3), "float32"))
    native = export(mlp.predict)
    np.testing.assert_array_equal(native.state_value(native.new_state(), "w2"), 1)


def test_state_of_another_size_than_it_began_with(export: Any) -> None:
    w = gf.shared(np.zeros(3, "float32"), name="w")
    x = gf.placeholder("float32", (None,), name="x")
    f = gf.function([x], gf.sum(x * w), updates=[(w, w * 2.0 + 1.0)])
    w.set_value(np.arange(5, dtype="float32"))
    native = export(f)
    state, out = native.new_state(), np.zeros((), "float32")
    for _ in range(3):
        x_value = RNG.normal(size=5).astype("float32")
        assert native([x_value], [out], [5] * len(native.metadata["dims"]), state, "train_step") == 0
        np.testing.assert_allclose(out, f(x_value), rtol=1e-5)
    np.testing.assert_allclose(native.state_value(state, "w"), w.get_value())


def test_random_numbers_follow_the_functions(export: Any) -> None:
    x = gf.placeholder("float32", (None, 8), name="x")
    f = gf.function([x], gf.where(gf.random.uniform((4, 8)) < 0.5, x, 0.0))
    native = export(f, inputs=[np.ones((4, 8), "float32")])
    x_value = RNG.normal(size=(4, 8)).astype("float32")
    state, out = native.new_state(), np.zeros((4, 8), "float32")
    seen = []
    for _ in range(3):
        assert native([x_value], [out], [4] * len(native.metadata["dims"]), state, "train_step") == 0
        np.testing.assert_array_equal(out, f(x_value))
        seen.append(out.copy())
    assert not np.array_equal(seen[0], seen[1])


def test_weights_above_the_limit_come_from_a_file(export: Any, mlp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, out = RNG.normal(size=(3, 6)).astype("float32"), np.zeros((3, 3), "float32")
    monkeypatch.setattr(bundle_object, "INLINE_IMAGE", 16)
    assert export(mlp.predict)([x], [out], [3]) == 0
    np.testing.assert_allclose(out, mlp.predict(x), rtol=1e-5, atol=1e-6)


def test_unknown_rank_is_taken_from_the_sample(export: Any) -> None:
    x = gf.placeholder("float64", name="x")
    f = gf.function([x], gf.sum(x * x, axis=0))
    with pytest.raises(gf.ExportError, match="rank of x"):
        export(f)
    native = export(f, inputs=[np.ones((2, 3))])
    value, out = RNG.normal(size=(4, 5)), np.zeros(5)
    assert native.metadata["dims"] == ["x_0", "x_1"]
    assert native([value], [out], [4, 5]) == 0
    np.testing.assert_allclose(out, f(value))


def test_a_failed_check_is_code_6_with_its_site(export: Any) -> None:
    table = gf.placeholder("float32", (None, 2), name="table")
    rows = gf.placeholder("int64", (None,), name="rows")
    native = export(gf.function([table, rows], gf.take(table, rows, axis=0)))
    values, out = np.arange(8, dtype="float32").reshape(4, 2), np.zeros((3, 2), "float32")
    dims = dict(zip(native.metadata["dims"], [4, 3], strict=True))
    assert set(dims) == {"table_0", "rows_0"}
    assert native([values, np.array([3, 0, 1])], [out], list(dims.values())) == 0
    np.testing.assert_array_equal(out, values[[3, 0, 1]])
    assert native([values, np.array([3, 77, 1])], [out], list(dims.values())) == 6
    site, operand = native.workspace[:16].view(np.int64)
    assert operand == 77 and native.metadata["checks"][site - 1]


# --- threads --------------------------------------------------------------------------------------
_PART = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, _PART, ctypes.c_void_p, ctypes.c_int64)


class Parallel(ctypes.Structure):
    _fields_ = (("run", _RUN), ("ctx", ctypes.c_void_p))


def test_parts_run_by_the_callers_function_give_the_same_bits(export: Any, mlp: Any) -> None:
    native = export(mlp.predict)
    x = RNG.normal(size=(60000, 6)).astype("float32")
    serial, parts = np.zeros((60000, 3), "float32"), np.zeros((60000, 3), "float32")
    calls: list[int] = []

    def run(ctx: int, fn: Callable[..., None], args: int, n: int) -> None:
        calls.append(ctx)
        for first in reversed(range(0, n, 7)):
            fn(args, first, min(n, first + 7))

    assert native([x], [serial], [60000]) == 0
    par = Parallel(_RUN(run), 1234)
    assert native([x], [parts], [60000], par=ctypes.byref(par)) == 0
    assert calls and set(calls) == {1234}
    np.testing.assert_array_equal(serial, parts)


# --- wrong calls ----------------------------------------------------------------------------------
DIMS = [-(2**63), -1, 0, 1, 3, 2**31 - 1, 2**31, 2**63 - 1]


@pytest.fixture(scope="module")
def wrong(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[int, int]]:
    """Call a routine with arguments that may be wrong: (the code that came, the code it should be)."""
    aligned, pointers, table = tools.aligned, tools.pointers, tools.table
    native = tools.Native(gf.export(tools.Mlp().step, tmp_path_factory.mktemp("wrong"), name="m"))
    x, t, loss = np.zeros((3, 6), "float32"), np.zeros((3, 3), "float32"), np.zeros((), "float32")
    _, full, _ = native.workspace_size([3])
    workspace, state = aligned(full + 64), native.new_state()
    none = ctypes.c_void_p(None)

    def call(suffix: str, null: set[str], dim: int, workspace_bytes: int, workspace_at: int, state_at: int | None, par: bool) -> tuple[int, int]:
        ins = none if "in" in null else pointers([None if "x" in null else x, None if "t" in null else t])
        outs = none if "out" in null else pointers([None if "loss" in null else loss])
        dims = none if "dims" in null else table([dim])
        where = none if "workspace" in null else ctypes.c_void_p(workspace.ctypes.data + workspace_at)
        block = none if state_at is None else ctypes.c_void_p(state.ctypes.data + state_at)
        threads = ctypes.byref(Parallel(_RUN(), None)) if par else None
        came = native.function(suffix)(ins, outs, dims, block, where, ctypes.c_uint64(full - workspace_bytes), threads)
        if null or par:
            return came, 1
        if not 0 <= dim <= 2**31 - 1:
            return came, 2
        needed = eval(native.metadata["workspace"][suffix == "train_step"], {"min": min, "max": max, native.metadata["dims"][0]: dim})
        if workspace_at or needed > full - workspace_bytes:
            return came, 3
        if (state_at is None and suffix == "train_step") or state_at:
            return came, 4
        return came, 0

    return call


@settings(max_examples=400, deadline=None)
@given(
    suffix=st.sampled_from(["run", "train_step"]),
    null=st.sets(st.sampled_from(["in", "out", "dims", "workspace", "x", "t", "loss"]), max_size=2) | st.just(set()),
    dim=st.sampled_from(DIMS) | st.integers(0, 3),
    workspace_bytes=st.sampled_from([0, 0, 0, 1, 64, 200]),
    workspace_at=st.sampled_from([0, 0, 0, 1, 8, 32]),
    state_at=st.sampled_from([0, 0, None, 4, 16]),
    par=st.sampled_from([False, False, False, True]),
)
def test_wrong_calls_give_their_code(wrong: Any, **arguments: Any) -> None:
    came, should_be = wrong(**arguments)
    assert came == should_be


def test_wrong_calls_of_the_small_functions(export: Any, mlp: Any) -> None:
    native = export(mlp.step)
    f, size, align = native.function("workspace_size"), ctypes.c_uint64(), ctypes.c_uint32()
    dims = (ctypes.c_int64 * 1)(3)
    assert f(None, ctypes.byref(size), ctypes.byref(align)) == 1
    assert f(dims, None, ctypes.byref(align)) == 1
    assert f(dims, ctypes.byref(size), None) == 1
    assert native.workspace_size([-1])[0] == 2
    assert native.workspace_size([3])[2] == 64
    assert native.function("state_init")(None) == 1
    assert native.function("state_init")(ctypes.c_void_p(8)) == 4
    assert native.function("abi_version")() == 1


def test_sizes_that_overflow_are_refused(export: Any) -> None:
    x = gf.placeholder("float32", (None, None, None, None), name="x")
    native = export(gf.function([x], gf.sum(x * 2.0)))
    assert native.workspace_size([1, 2, 3, 4])[0] == 0
    assert native.workspace_size([2**31 - 1] * 4)[0] == 2
