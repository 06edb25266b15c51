"""Timing on a machine that other processes use too.

Time is sampled in slices of at least SLICE seconds.  A slice during which others used more than
FOREIGN of one core is dropped, and sampling goes on until enough clean slices are in or a limit has
passed; then all count, and `clean` is 0.  At real-time priority every slice counts: others only get the
cores that this process leaves idle.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SLICE = 0.2
FOREIGN = 0.11  # two of the kernel's ticks of 10 ms in a slice
BLOCK = 3e-3  # seconds that are timed at once, at least
WARM_UP_SECONDS, WARM_UP_CALLS = 0.3, 2000
ENOUGH = 3  # clean blocks

_STAT = Path("/proc/stat")


@dataclass(frozen=True)
class Mark:
    """A moment: wall clock, CPU seconds of the whole machine (0 where it does not tell), of this process."""

    wall: float
    machine: float
    own: float


def mark() -> Mark:
    t = os.times()
    return Mark(time.perf_counter(), _machine_seconds(), t.user + t.system + t.children_user + t.children_system)


def _machine_seconds() -> float:
    if not _STAT.exists():
        return 0.0
    with _STAT.open() as f:
        ticks = [int(n) for n in f.readline().split()[1:9]]
    idle, waiting = ticks[3:5]
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def foreign_cores(start: Mark, end: Mark) -> float:
    """Cores that other processes used between two marks."""
    return max(0.0, (end.machine - start.machine) - (end.own - start.own)) / max(end.wall - start.wall, 1e-9)


def take_priority() -> None:
    """Real-time priority for every thread of this process (Linux, root).  Raises PermissionError.

    Niceness is no use: a thread that wakes up still waits for the running one's turn, which ruins barriers.
    """
    for thread in os.listdir("/proc/self/task"):
        os.sched_setscheduler(int(thread), os.SCHED_RR, os.sched_param(1))


def give_up_priority() -> None:
    for thread in os.listdir("/proc/self/task"):
        os.sched_setscheduler(int(thread), os.SCHED_OTHER, os.sched_param(0))


@dataclass(frozen=True)
class Sample:
    """Seconds per step over blocks; `clean`: the share of blocks while the machine was ours, 0 if too few."""

    median: float
    min: float
    p90: float
    blocks: int
    calls: int
    clean: float
    cores_used: float


class Timer:
    """Times `run`, which does `steps` steps; `wait` waits until what it returned is there."""

    def __init__(self, run: Callable[[], object], wait: Callable[[object], object], steps: int) -> None:
        self.run = run
        self.wait = wait
        self.steps = steps

    def block(self, calls: int) -> float:
        """Seconds per step of one block."""
        run = self.run
        start = time.perf_counter()
        for _ in range(calls):
            result = run()
        self.wait(result)
        return (time.perf_counter() - start) / (calls * self.steps)

    def warm_up(self) -> None:
        start, calls = time.perf_counter(), 0
        while calls < ENOUGH or (time.perf_counter() - start < WARM_UP_SECONDS and calls < WARM_UP_CALLS):
            self.wait(self.run())
            calls += 1

    def sample(self, calls: int, seconds: float, limit: float, enough: int, all_count: bool) -> Sample:
        """Blocks until `seconds` of clean slices are in or `limit` seconds have passed."""
        start, clean, dirty, clean_seconds = mark(), list[float](), list[float](), 0.0
        while clean_seconds < seconds and time.perf_counter() - start.wall < limit:
            slice_start, times = mark(), list[float]()
            while time.perf_counter() - slice_start.wall < SLICE:
                times.append(self.block(calls))
            slice_end = mark()
            if all_count or foreign_cores(slice_start, slice_end) < FOREIGN:
                clean += times
                clean_seconds += slice_end.wall - slice_start.wall
            else:
                dirty += times
        end = mark()
        is_clean = len(clean) >= enough
        used = sorted(clean if is_clean else clean + dirty)
        share = len(clean) / (len(clean) + len(dirty)) if is_clean else 0.0
        return Sample(
            statistics.median(used), used[0], used[int(0.9 * (len(used) - 1))], len(used), calls, round(share, 2),
            round((end.own - start.own) / (end.wall - start.wall), 2),
        )  # fmt: skip


def measure(timer: Timer, seconds: float, limit: float, all_count: bool, is_long: bool) -> Sample:
    """Warm up and sample; a long run (a whole training) is not warmed up, and one block of one call is enough."""
    if is_long:
        return timer.sample(1, seconds, limit, 1, all_count)
    timer.warm_up()
    once = min(timer.block(1) for _ in range(3)) * timer.steps
    return timer.sample(max(1, math.ceil(BLOCK / once)), seconds, limit, ENOUGH, all_count)
