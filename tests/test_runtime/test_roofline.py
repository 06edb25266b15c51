"""The roofline: probes that do what they say, bounds by hand, and files that are trusted only if they parse."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import graphflow as gf
from graphflow.cli import main
from graphflow.compiler import interpret, probes
from graphflow.compiler.kernel import F32, F64
from graphflow.compiler.target.machine import host
from graphflow.compiler.verify import verify
from graphflow.runtime import roofline as roof
from graphflow.runtime.pool import current_pool
from graphflow.runtime.roofline import Level, Probe, Roofline, Speed

NEAR = Level("L1", 1000, read=400.0, write=200.0, copy=300.0)
FAR = Level("memory", 1e9, read=40.0, write=20.0, copy=30.0)
SPEED = Speed({"float32": 1000.0, "float64": 500.0}, (NEAR, FAR))


@pytest.mark.parametrize("bits", [0, 128, 256, 512])
def test_probes_compute_what_they_say(bits: int) -> None:
    machine = host().narrowed(bits)
    threads, passes, rows = 2, 3, 2
    for dtype in (F32, F64):
        proc = probes.multiply_adds(dtype, machine)
        verify(proc, final=True)
        x, y = (np.empty([threads if n is proc.params[1].shape[0] and k else n for n in p.shape], dtype) for k, p in enumerate(proc.params))
        x[:] = np.arange(x.size) + 1
        interpret.run(proc, dict(zip(proc.params, (x, y), strict=True)), dict(zip(proc.dims, (threads, passes), strict=True)))
        assert (y == passes * x * x).all()
    for pattern in roof.PATTERNS:
        proc = probes.memory(pattern, machine)
        verify(proc, final=True)
        x = np.arange(threads * rows * probes.ROW, dtype=np.float32) % 7
        y = np.full(threads * 8 * machine.lanes(F32) if pattern == "read" else x.size, 5, np.float32)
        interpret.run(proc, dict(zip(proc.params, (x, y), strict=True)), dict(zip(proc.dims, (threads, passes, rows), strict=True)))
        expected = {"read": passes * x.sum(), "write": 0.0, "copy": x.sum()}[pattern]
        assert y.sum() == expected and (pattern != "copy" or (x == y).all())


@pytest.mark.smoke
def test_bounds_are_the_larger_of_arithmetic_and_traffic() -> None:
    assert SPEED.bound({"float32": 3000}, 4, 4) == roof.Bound(3.0, "float32")
    assert SPEED.bound({"float32": 1000, "float64": 4000}, 4, 4) == roof.Bound(9.0, "float64")
    assert SPEED.bound({}, 400, 200) == roof.Bound(400 / 300 + 200 / 400, "L1")
    assert SPEED.bound({}, 100, 500) == roof.Bound(200 / 300 + 400 / 200, "L1")
    assert SPEED.bound({}, 80_000, 0) == roof.Bound(2000.0, "memory")
    assert SPEED.bound({}, 0, 0).seconds == 0


def test_a_level_is_left_gradually() -> None:
    times = [SPEED.memory(n, 0).seconds for n in (1000, 1001, 1400, 2000, 2800, 3999, 4000, 4001)]
    assert times == sorted(times)
    assert times[1] == pytest.approx(times[0], rel=0.02) and times[-2] == pytest.approx(4000 / 40)
    assert SPEED.memory(2000, 0).seconds == pytest.approx((2000 / 400 + 2000 / 40) / 2)  # half way between 1000 and 4000


def test_the_better_of_two_measurements_is_kept() -> None:
    other = Speed({"float32": 900.0, "float64": 600.0}, (Level("L1", 1000, 300.0, 300.0, 300.0), FAR))
    merged = Roofline("cpu", {1: SPEED, 2: SPEED}).merged(Roofline("cpu", {1: other}))
    assert merged.speeds[1] == Speed({"float32": 1000.0, "float64": 600.0}, (Level("L1", 1000, 400.0, 300.0, 300.0), FAR))
    assert merged.speeds[2] == SPEED
    assert merged.speed(1) is merged.speeds[1] and merged.speed(64) is merged.speeds[2]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """How often `measure` was asked, with a cache of its own."""
    asked: list[float] = []

    def measure(budget: float = 0.0) -> Roofline:
        asked.append(budget)
        return Roofline("cpu", {1: SPEED})

    monkeypatch.setattr(roof, "measure", measure)
    monkeypatch.setattr(roof, "_known", {})
    (tmp_path / "cache").mkdir(mode=0o700)
    return asked


def test_it_is_measured_once_a_machine(counted: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with gf.config.override(cache=True, cache_dir=str(tmp_path / "cache")):
        first = roof.roofline()
        assert roof.roofline() is first and len(counted) == 1
        monkeypatch.setattr(roof, "_known", {})  # another process
        assert roof.roofline() == first and len(counted) == 1
        roof.roofline(again=True)
        assert len(counted) == 2
        (file,) = (tmp_path / "cache").glob("roofline-*.json")
        for damage in ("", "{}", file.read_text().replace("400.0", "-1.0"), json.dumps({"cpu": "x", "speeds": {"one": {}}})):
            file.write_text(damage)
            monkeypatch.setattr(roof, "_known", {})
            before = len(counted)
            assert roof.roofline() == first and len(counted) == before + 1


def test_without_a_cache_nothing_is_written(counted: list[float], tmp_path: Path) -> None:
    with gf.config.override(cache=False, cache_dir=str(tmp_path / "cache")):
        roof.roofline()
    assert len(counted) == 1 and not list((tmp_path / "cache").iterdir())


def test_info_measures_on_request(counted: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with gf.config.override(cache=False):
        assert main(["info"]) == 0 and not counted
        assert "GFLOP/s" not in capsys.readouterr().out
        assert main(["info", "--measure"]) == 0
    assert len(counted) == 1
    assert "1 thread   0 GFLOP/s float32, 0 GFLOP/s float64; copies L1 0 GB/s, memory 0 GB/s" in capsys.readouterr().out


def test_json_keeps_every_figure() -> None:
    made = Roofline("cpu", {1: SPEED, 8: SPEED})
    assert Roofline.from_json(made.to_json()) == made


def test_caches_come_nearest_first_and_memory_last() -> None:
    regions = roof.memory_regions()
    assert regions[-1].name == "memory" and not regions[-1].own
    assert [r.holds for r in regions] == sorted(r.holds for r in regions)
    assert all(0 < r.measured <= r.holds for r in regions)


@pytest.mark.smoke
def test_this_machine_has_figures_in_the_order_they_must_have() -> None:
    speeds = roof.measure(budget=1e-3).speeds
    one = speeds[1]
    assert one.flops["float32"] > 1.3 * one.flops["float64"] > 1e8
    assert one.levels[0].copy > one.levels[-1].copy
    assert all(math.isfinite(f) and f > 0 for level in one.levels for f in (level.read, level.write, level.copy))
    assert all(speed.flops["float32"] >= one.flops["float32"] for speed in speeds.values())


def test_a_probe_runs_on_a_pool() -> None:
    pool = current_pool()
    if pool is None:
        pytest.skip("one thread is all there is")
    x = np.zeros(64, np.float32)
    y = np.full(pool.count * probes.CHAINS * host().lanes(F32), 7, np.float32)
    assert Probe(probes.multiply_adds(F32, host())).seconds(1e-3, pool, x.ctypes.data, y.ctypes.data, pool.count, 10) < 1
    assert (y == 0).all()
