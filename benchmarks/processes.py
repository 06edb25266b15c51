"""Interpreters that have the peers, and runs of the worker in them."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.catalog import Peer
from benchmarks.machine import ROOT

IMPORTS = 5  # of a library, timed after one that is not
_PROBE = """
import importlib.metadata as m, importlib.util as u, json, sys
owners = m.packages_distributions()
print(json.dumps({name: m.version(owners[name][0]) if name in owners else "" for name in sys.argv[1:] if u.find_spec(name)}))
"""
# the folders in which libraries keep compiled code
_CACHES = {
    "GRAPHFLOW_CACHE_DIR": "{}/graphflow", "TORCHINDUCTOR_CACHE_DIR": "{}/inductor", "NUMBA_CACHE_DIR": "{}/numba",
    "PYTENSOR_FLAGS": "base_compiledir={}/pytensor", "XDG_CACHE_HOME": "{}/cache",
}  # fmt: skip
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "GRAPHFLOW_THREADS")


@dataclass(frozen=True)
class Interpreter:
    """A Python and the versions of the modules it has."""

    path: str
    versions: Mapping[str, str]

    def has(self, peer: Peer) -> bool:
        return all(name in self.versions for name in peer.needs)


def probe(path: str, modules: Iterable[str]) -> Interpreter:
    """Which of the modules this Python can import.  Raises RuntimeError where it does not run or has no NumPy."""
    found = subprocess.run([path, "-c", _PROBE, *modules], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise RuntimeError(f"{path} does not run: {last_message(found.stderr)}")
    return Interpreter(path, json.loads(found.stdout))


@dataclass(frozen=True)
class Effort:
    """How long to time: see worker.py."""

    seconds: float
    limit: float
    timeout: float
    boost: bool


def workload_names(python: str, peer: str) -> list[str]:
    """What a peer has programs for.  Raises RuntimeError where its library cannot be imported."""
    ended = subprocess.run([python, "-m", "benchmarks.worker", peer], cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(last_message(ended.stderr))
    found: list[str] = json.loads(ended.stdout.strip().splitlines()[-1])
    return found


def run_worker(python: str, peer: str, workload: str, threads: int, effort: Effort, caches: str | None = None) -> dict[str, Any]:
    """What the worker found, or `error`: why it ended without.  `caches`: the folder of compiled code, else the user's own."""
    command = [python, "-m", "benchmarks.worker", peer, workload, "--threads", str(threads)]
    command += ["--seconds", str(effort.seconds), "--limit", str(effort.limit), *(["--boost"] if effort.boost else [])]
    environment = {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
    if caches is not None:
        environment |= {name: folder.format(caches) for name, folder in _CACHES.items()}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=effort.timeout)
    except subprocess.TimeoutExpired:
        return {"error": f"no result in {effort.timeout:.0f} s"}
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode != 0:
        return {"error": last_message(err) or f"exit status {process.returncode}"}
    found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return found


def run_twice(python: str, peer: str, workload: str, threads: int, effort: Effort) -> tuple[dict[str, Any], dict[str, Any]]:
    """A process that finds no compiled code, and one after it."""
    with tempfile.TemporaryDirectory() as caches:
        first = run_worker(python, peer, workload, threads, effort, caches)
        if "build_s" not in first:
            return first, first
        return first, run_worker(python, peer, workload, threads, effort, caches)


def time_import(python: str, statement: str) -> dict[str, Any]:
    """`import_s`: the median time of a process that only imports."""
    times = []
    for _ in range(1 + IMPORTS):
        start = time.perf_counter()
        ended = subprocess.run([python, "-c", statement], cwd=ROOT, capture_output=True, text=True, check=False)
        times.append(time.perf_counter() - start)
        if ended.returncode != 0:
            return {"error": last_message(ended.stderr)}
    return {"import_s": statistics.median(times[1:])}


def last_message(text: str) -> str:
    """The line of the exception in a traceback: the last one that is not indented."""
    lines = [line for line in text.splitlines() if line and not line[0].isspace()]
    return lines[-1][:200] if lines else ""


@contextmanager
def held(lock: Path | None) -> Iterator[None]:
    """An exclusive lock on a file, which others that time things on this machine take too."""
    if lock is None:
        yield
        return
    import fcntl

    with lock.open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield
