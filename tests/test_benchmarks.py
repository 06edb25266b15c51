"""The benchmark's bookkeeping, and that graphflow and NumPy do the same work."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import benchmarks
from benchmarks import __main__ as command
from benchmarks import data, networks, roofline, worker
from benchmarks.catalog import BY_NAME, PEERS
from benchmarks.processes import Effort, last_message, run_twice
from benchmarks.table import Table, human, is_off, references, tables
from benchmarks.workloads import INFER, ROWS, TRAIN

BUILD_ONLY = Effort(seconds=0, limit=0, timeout=60, boost=False)


def result(peer: str, **fields: Any) -> dict[str, Any]:
    row = fields.pop("row", "w1_mlp_sgd_b32")
    return {"peer": peer, "row": row, "workload": ROWS[row].workload, "threads": 1, "gemm": [100, 100], **fields}


def report(peer: str, workload: str) -> dict[str, Any]:
    return worker.report(peer, workload, seconds=0, limit=0, boost=False)


# --- tables -------------------------------------------------------------------------------------
@pytest.mark.smoke
def test_the_ratio_is_to_the_fastest_peer() -> None:
    results = [result("graphflow", median=2e-4, check=1.0), result("jax", median=3e-4, check=1.0), result("torch", median=5e-4, check=1.0)]
    table = Table(results, 1)
    assert table.fastest("w1_mlp_sgd_b32") == "jax"
    assert table.ratio("w1_mlp_sgd_b32") == pytest.approx(1.5)
    assert table.lines(brief=True)[-1] == "| w1_mlp_sgd_b32 | 200 us | 1.50 | jax 300 us |"
    assert "**300 us**" in table.lines(brief=False)[-1]


def test_another_value_does_not_count() -> None:
    peers = [result("jax", median=1e-4, check=1.002), result("torch", median=3e-4, check=1.0), result("numpy", median=4e-4, check=1.0005)]
    table = Table([result("graphflow", median=2e-4, check=1.0), *peers], 1)
    assert table.fastest("w1_mlp_sgd_b32") == "torch"
    assert table.cell("w1_mlp_sgd_b32", "jax") == "100 us (value off)"
    assert len(table.notes()) == 1 and "jax" in table.notes()[0]
    ours = result("graphflow", median=2e-4, check=float("nan"))
    assert Table([ours, *peers], 1).ratio("w1_mlp_sgd_b32") is None


def test_the_middle_peer_is_the_reference() -> None:
    results = [result(peer, check=check) for peer, check in (("graphflow", 9.0), ("numpy", 9.0), ("torch", 1.0), ("jax", 1.0005))]
    assert references(results) == {"w1_mlp_sgd_b32": 1.0005}
    assert [is_off(r, references(results)) for r in results] == [True, True, False, False]


def test_the_least_times_can_be_compared_instead() -> None:
    results = [result("graphflow", median=4e-4, min=1e-4, check=1.0), result("jax", median=3e-4, min=2e-4, check=1.0)]
    assert Table(results, 1).ratio("w1_mlp_sgd_b32") == pytest.approx(0.75)
    assert Table(results, 1, "min").ratio("w1_mlp_sgd_b32") == pytest.approx(2.0)


def test_cells_without_a_time() -> None:
    results = [result("torch", error="out of memory"), result("jax", median=1e-3, check=1.0)]
    table = Table([*results, result("jax", median=2e-3, check=1.0)], 1)
    assert table.lines(brief=False)[-1] == "| w1_mlp_sgd_b32 |  |  | jax 1 ms | failed | **1 ms** |"
    assert table.notes() == ["* torch w1_mlp_sgd_b32 failed: out of memory"]


def test_a_slow_machine_is_marked_where_several_threads_run() -> None:
    fast = result("jax", median=1e-3, check=1.0, threads=2)
    slow = result("torch", median=2e-3, check=1.0, threads=2, gemm=[100, 60])
    alone = result("torch", median=2e-3, check=1.0, gemm=[100, 60])
    assert Table([fast, slow, alone], 2).cell("w1_mlp_sgd_b32", "torch") == "2 ms ~"
    assert Table([fast, slow, alone], 1).cell("w1_mlp_sgd_b32", "torch") == "**2 ms**"


@pytest.mark.parametrize(("value", "shown"), [(2.5e-7, "0.25 us"), (9.994e-4, "999 us"), (1e-3, "1 ms"), (0.25, "250 ms"), (12.34, "12.3 s")])
def test_times_have_three_digits(value: float, shown: str) -> None:
    assert human(value, "median") == shown


def test_tables_of_earlier_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [result("numpy", median=2e-4, check=1.0), result("graphflow", row="w10_memory_w2_cnn_adam_b128", rss_mb=150, check=1.0)]
    for name, part in (("a", rows[:1]), ("b", rows[1:])):
        (tmp_path / name).write_text(json.dumps({"machine": {"cpu": "one"}, "versions": {name: "1"}, "rows": part}))
    command.main(["--table", str(tmp_path / "a"), str(tmp_path / "b")])
    shown = capsys.readouterr().out
    assert "one.\na 1, b 1." in shown and "200 us" in shown and "150 MB" in shown


# --- peers --------------------------------------------------------------------------------------
@pytest.mark.smoke
def test_every_peer_has_a_module() -> None:
    folder = Path(benchmarks.__file__).parent / "peers"
    assert {f"{peer.library}.py" for peer in PEERS} | {"__init__.py", "onnx_models.py"} == {path.name for path in folder.glob("*.py")}


def test_a_peer_that_is_not_installed_is_left_out_aloud(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    absent = BY_NAME["numpy"].__class__("numpy:absent", ("no_such_module_here",), "", "")
    found = command.choose_interpreters([], [BY_NAME["numpy"], absent])
    assert list(found) == ["numpy"] and found["numpy"].path == sys.executable
    assert "no_such_module_here: numpy:absent" in capsys.readouterr().err


def test_start_up_is_measured_once() -> None:
    programs = {"numpy": ["w1_mlp_adam_b32"], "graphflow:static": ["w1_mlp_adam_b32", "w2_cnn_adam_b128"]}
    found = command.jobs(["w9", "w10"], programs, [1, 2])
    names = [(job.row.name, job.peer.name, job.threads) for job in found if job.row.start]
    assert len(names) == len(set(names)) and {threads for _, _, threads in names} == {1}
    assert ("w9_import", "numpy", 1) in names and ("w9_import", "graphflow:static", 1) not in names
    assert all(job.row.start != "second" for job in found)
    assert [(job.peer.name, job.threads) for job in found if not job.row.start] == [("graphflow:static", 1), ("graphflow:static", 2)]


def test_the_message_of_a_traceback() -> None:
    assert last_message("Traceback\n  File x\nValueError: wrong\n  hint: look\n") == "ValueError: wrong"


# --- the same work ------------------------------------------------------------------------------
@pytest.mark.parametrize("workload", ["w1_mlp_adam_b32", "w8_logreg_b60", "w7_logsumexp_4096x1024", "w8_call_vec10", "w6_mlp_b1", "w11_gemm_512"])
def test_graphflow_and_numpy_agree(workload: str) -> None:
    numpy, ours = report("numpy", workload), report("graphflow", workload)
    assert ours["check"] == pytest.approx(numpy["check"], rel=1e-4)
    assert ours["build_s"] > 0


def test_a_peer_names_what_it_has() -> None:
    assert "w4_lstm_adam_b32" in worker.names("graphflow") and "w4_lstm_adam_b32" not in worker.names("numpy")


def test_models_and_data_fit() -> None:
    assert {work.model for work in [*TRAIN.values(), *INFER.values()]} == set(networks.WEIGHTS)
    for work in TRAIN.values():
        x, y = data.minibatches(work.model, work.batch)[0]
        assert len(x) == len(y) == work.batch
    assert sum(w.size for w in networks.cnn_weights()) == 61_482
    w = data.f32(1) * networks.after_nchw_flatten(networks.cnn3_weights()[6], 4, 4, 64)
    assert (w.reshape(64, 4, 4, 10)[5, 2, 3] == networks.cnn3_weights()[6].reshape(4, 4, 64, 10)[2, 3, 5]).all()


def test_a_second_process_starts_from_the_cache() -> None:
    first, second = run_twice(sys.executable, "graphflow", "w8_call_scalar", 1, BUILD_ONLY)
    assert first["check"] == second["check"] == 2.0 and "median" not in first


def test_the_roofline_of_a_workload(capsys: pytest.CaptureFixture[str]) -> None:
    roofline.main(["w8_call_vec10_numpy", "--threads", "1"])
    shown = capsys.readouterr().out
    assert shown.startswith("w8_call_vec10_numpy\n") and "GFLOP/s" in shown and "add" in shown


def test_measured_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    found = worker.report("numpy", "w8_call_scalar", seconds=0.2, limit=0.5, boost=False)
    assert 0 < found["min"] <= found["median"] <= found["p90"] and found["blocks"] >= 3
    text = tables([result("numpy", row="w8_call_scalar", **found)], {"cpu": "one"}, {}, brief=False)
    assert "w8_call_scalar" in text
