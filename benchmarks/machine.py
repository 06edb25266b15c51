"""The machine in words, and how fast it is at the moment."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import time
from pathlib import Path

import numpy as np

from benchmarks import sampling

ROOT = Path(__file__).parent.parent
_SIDE, _SLICES, _SLICE_SECONDS = 256, 10, 4e-3


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> dict[str, str]:
    """Facts to print above a table."""
    facts = {
        "date": datetime.date.today().isoformat(),
        "cpu": _cpu(),
        "cores": str(cores()),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "revision": _revision(),
    }
    return {name: fact for name, fact in facts.items() if fact}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in info.read_text().split("\n\n")[0].splitlines() if ":" in line)
    found = {name.strip(): value.strip() for name, value in fields.items()}
    if "model name" not in found:
        return platform.machine()
    wide = next((name for name in ("avx512f", "avx2") if name in found.get("flags", "").split()), "")
    return f"{found['model name']} (family {found.get('cpu family')}, model {found.get('model')}{', ' if wide else ''}{wide})"


def _memory() -> str:
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return ""
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"


def _revision() -> str:
    """Of graphflow's checkout; `+` where files differ from it."""
    found = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else ""


def product_rate(boost: bool) -> int:
    """GFLOP/s of NumPy's matrix product on all cores, the best of some slices of 4 ms.

    Shows whether a virtual machine has its full cores now: on a shared host two of them may be hyperthreads
    of one from one second to the next, and no counter of the guest tells.
    """
    a = np.ones((_SIDE, _SIDE), np.float32)
    a @ a
    if boost:
        sampling.take_priority()
    best = 0.0
    for _ in range(_SLICES):
        calls, start = 0, time.perf_counter()
        while time.perf_counter() - start < _SLICE_SECONDS:
            a @ a
            calls += 1
        best = max(best, calls * 2 * _SIDE**3 / (time.perf_counter() - start) / 1e9)
    if boost:
        sampling.give_up_priority()
    return round(best)
