"""How calls on several threads compare with calls on one, on a quiet machine and on busy ones.

    python -m benchmarks.threads [--rounds 9] [--seconds 0.2] [--only quiet ...]

Prints a markdown table: in each cell the time on one thread divided by the time on all (above 1: threads pay), and
both times in microseconds.  They are medians over rounds in which one thread and all take turns, so that both
see the same neighbours.  What neighbours do must not make threads worse than one thread by more than 10 %: 0.91.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

import graphflow as gf

Call = Callable[[], object]


# --- workloads --------------------------------------------------------------------------------------
def mlp_step(batch: int) -> Call:
    """One SGD step of a 784-300-100-10 network: some kernels of 10 to 60 us, many of less than 1 us."""
    rng = np.random.default_rng(0)
    x, t = gf.placeholder("float32", (None, 784)), gf.placeholder("int32", (None,))
    params = []
    h = x
    for i, (n, m) in enumerate([(784, 300), (300, 100), (100, 10)]):
        w, b = gf.shared(rng.standard_normal((n, m), "float32") / np.sqrt(n, dtype="float32")), gf.shared(np.zeros(m, "float32"))
        params += [w, b]
        h = h @ w + b
        h = gf.nn.relu(h) if i < 2 else h
    loss = gf.mean(gf.nn.sparse_softmax_cross_entropy(h, t))
    step = gf.function([x, t], loss, updates=[(p, p - 0.01 * g) for p, g in zip(params, gf.grad(loss, params), strict=True)])
    images, labels = rng.standard_normal((batch, 784), "float32"), rng.integers(0, 10, batch, "int32")
    return lambda: step(images, labels)


def small_kernels() -> Call:
    """A chain of 24 softmaxes along the rows and columns of a 96 x 128 array: kernels of 5 to 15 us."""
    x = gf.placeholder("float32", (96, 128))
    y = x
    for _ in range(12):
        y = gf.nn.softmax(gf.nn.softmax(y * 3.0, axis=1) + x, axis=0)
    f = gf.function([x], y)
    a = np.random.default_rng(0).standard_normal((96, 128), "float32")
    return lambda: f(a)


def chain() -> Call:
    """tanh(x * 1.5 + 0.5) * exp(-x * x) over a million elements: one kernel."""
    x = gf.placeholder("float32", (None,))
    f = gf.function([x], gf.tanh(x * 1.5 + 0.5) * gf.exp(-x * x))
    a = np.random.default_rng(0).standard_normal(1 << 20, "float32")
    return lambda: f(a)


WORKLOADS: dict[str, Callable[[], Call]] = {
    "MLP step, b32": lambda: mlp_step(32),
    "MLP step, b128": lambda: mlp_step(128),
    "24 small kernels": small_kernels,
    "elementwise, 1M": chain,
}


def seconds_per_call(call: Call, seconds: float, threads: int, between: Call | None = None) -> float:
    """The mean time of calls during so many seconds; what happens between them does not count."""
    gf.config.threads = threads
    call()
    spent, calls, end = 0.0, 0, time.perf_counter() + seconds
    while True:
        if between is not None:
            between()
        before = time.perf_counter()
        call()
        after = time.perf_counter()
        spent += after - before
        calls += 1
        if after >= end:
            return spent / calls


# --- surroundings -----------------------------------------------------------------------------------
Measure = Callable[[int], float]


@contextlib.contextmanager
def quiet(make: Callable[[], Call], name: str, seconds: float) -> Iterator[Measure]:
    """Nobody else."""
    call = make()
    yield lambda threads: seconds_per_call(call, seconds, threads)


@contextlib.contextmanager
def busy_cores(make: Callable[[], Call], name: str, seconds: float) -> Iterator[Measure]:
    """Another process computes on each core."""
    spin = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
    others = [subprocess.Popen([sys.executable, "-c", spin, str(core)]) for core in sorted(os.sched_getaffinity(0))]
    try:
        with quiet(make, name, seconds) as measure:
            yield measure
    finally:
        for other in others:
            other.kill()
            other.wait()


@contextlib.contextmanager
def busy_core(make: Callable[[], Call], name: str, seconds: float) -> Iterator[Measure]:
    """Another process computes, on whatever core."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with quiet(make, name, seconds) as measure:
            yield measure
    finally:
        other.kill()
        other.wait()


@contextlib.contextmanager
def blas(make: Callable[[], Call], name: str, seconds: float) -> Iterator[Measure]:
    """NumPy's own threads multiply matrices before each call, and spin afterwards."""
    a = np.ones((256, 256), "float32")
    call = make()
    yield lambda threads: seconds_per_call(call, seconds, threads, lambda: a @ a)


@contextlib.contextmanager
def side_by_side(make: Callable[[], Call], name: str, seconds: float) -> Iterator[Measure]:
    """Two processes do the same."""
    command = [sys.executable, "-m", "benchmarks.threads", "--serve", name, "--seconds", str(seconds)]
    pair = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]

    def measure(threads: int) -> float:
        for p in pair:
            assert p.stdin is not None
            p.stdin.write(f"{threads}\n")
            p.stdin.flush()
        return statistics.mean(float(p.stdout.readline()) for p in pair if p.stdout is not None)

    try:
        yield measure
    finally:
        for p in pair:
            p.communicate("")


@contextlib.contextmanager
def one_core(make: Callable[[], Call], name: str, seconds: float) -> Iterator[Measure]:
    """The process, pool and all, is confined to one core while it runs (taskset -c)."""
    cores = os.sched_getaffinity(0)
    with quiet(make, name, seconds) as measure:
        measure(0)
        try:
            for thread in os.listdir("/proc/self/task"):
                os.sched_setaffinity(int(thread), {min(cores)})
            yield measure
        finally:
            for thread in os.listdir("/proc/self/task"):
                os.sched_setaffinity(int(thread), cores)


SURROUNDINGS: dict[str, tuple[str, Callable[[Callable[[], Call], str, float], contextlib.AbstractContextManager[Measure]]]] = {
    "quiet": ("nobody else", quiet),
    "blas": ("a product of NumPy's threads before each call", blas),
    "pair": ("two processes side by side", side_by_side),
    "core": ("another process computes", busy_core),
    "cores": ("another process computes on each core", busy_cores),
    "one": ("confined to one core", one_core),
}


def compare(measure: Measure, rounds: int) -> tuple[float, float]:
    """Median times on one thread and on all, which take turns."""
    times: dict[int, list[float]] = {1: [], 0: []}
    for i in range(rounds):
        for threads in (1, 0) if i % 2 else (0, 1):
            times[threads].append(measure(threads))
    return statistics.median(times[1]), statistics.median(times[0])


def serve(name: str, seconds: float) -> None:
    """Measure whenever a line says on how many threads."""
    call = WORKLOADS[name]()
    for line in sys.stdin:
        print(seconds_per_call(call, seconds, int(line)), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.2, help="for each measurement")
    parser.add_argument("--only", nargs="+", default=list(SURROUNDINGS), choices=SURROUNDINGS)
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument("--serve", metavar="WORKLOAD", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options.serve, options.seconds)
        return
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores; medians of {options.rounds} rounds of {options.seconds} s\n")
    print(f"| surroundings | {' | '.join(options.workloads)} |\n|---|{'---|' * len(options.workloads)}")
    for key in options.only:
        text, surround = SURROUNDINGS[key]
        cells = []
        for name in options.workloads:
            with surround(WORKLOADS[name], name, options.seconds) as measure:
                one, several = compare(measure, options.rounds)
            cells.append(f"{one / several:.2f} ({one * 1e6:.0f}, {several * 1e6:.0f})")
        print(f"| {text} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
