"""`make bench`: graphflow beside NumPy, as ratios in one run.

Every workload is checked for equal results first; then each library takes turns, and the median over
rounds is printed with its ratio to graphflow.  NumPy runs with as many threads as graphflow.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

THREADS = argparse.ArgumentParser()
THREADS.add_argument("--threads", type=int, default=1)
THREADS.add_argument("--rounds", type=int, default=7)
OPTIONS = THREADS.parse_args()
for name in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{name}_NUM_THREADS"] = str(OPTIONS.threads)
os.environ["GRAPHFLOW_THREADS"] = str(OPTIONS.threads)

import numpy as np  # noqa: E402  after the number of threads is set

import graphflow as gf  # noqa: E402

Calls = dict[str, Callable[[], object]]
rng = np.random.default_rng(0)


def mlp_step(batch: int) -> Calls:
    """One SGD step of a 784-300-100-10 network: forward, backward, update."""
    sizes = [(784, 300), (300, 100), (100, 10)]
    start = [(rng.standard_normal(s).astype("float32") / np.sqrt(s[0]).astype("float32"), np.zeros(s[1], "float32")) for s in sizes]
    images, labels = rng.standard_normal((batch, 784)).astype("float32"), rng.integers(0, 10, batch).astype("int32")

    x, t = gf.placeholder("float32", (None, 784)), gf.placeholder("int32", (None,))
    params = [gf.shared(p) for pair in start for p in pair]
    h = x
    for i in range(3):
        h = h @ params[2 * i] + params[2 * i + 1]
        h = gf.nn.relu(h) if i < 2 else h
    loss = gf.mean(gf.nn.sparse_softmax_cross_entropy(h, t))
    ours = gf.function([x, t], loss, updates=[(p, p - 0.01 * g) for p, g in zip(params, gf.grad(loss, params), strict=True)])

    weights = [(w.copy(), b.copy()) for w, b in start]

    def numpy_step() -> float:
        activations = [images]
        for i, (w, b) in enumerate(weights):
            z = activations[-1] @ w + b
            activations.append(np.maximum(z, 0) if i < 2 else z)
        z = activations[-1] - activations[-1].max(1, keepdims=True)
        p = np.exp(z)
        p /= p.sum(1, keepdims=True)
        value = -np.log(p[np.arange(batch), labels]).mean()
        d = p
        d[np.arange(batch), labels] -= 1
        d /= batch
        for i in (2, 1, 0):
            w, b = weights[i]
            dw, db = activations[i].T @ d, d.sum(0)
            if i:
                d = (d @ w.T) * (activations[i] > 0)
            w -= 0.01 * dw
            b -= 0.01 * db
        return float(value)

    return {"graphflow": lambda: ours(images, labels), "numpy": numpy_step}


def chain() -> Calls:
    """tanh(x * 1.5 + 0.5) * exp(-x * x) over a million elements."""
    a = rng.standard_normal(1 << 20).astype("float32")
    x = gf.placeholder("float32", (None,))
    f = gf.function([x], gf.tanh(x * 1.5 + 0.5) * gf.exp(-x * x))
    return {"graphflow": lambda: f(a), "numpy": lambda: np.tanh(a * np.float32(1.5) + np.float32(0.5)) * np.exp(-a * a)}


def softmax() -> Calls:
    """Row softmax of 1024 x 1000."""
    a = rng.standard_normal((1024, 1000)).astype("float32")
    x = gf.placeholder("float32", (None, 1000))
    f = gf.function([x], gf.nn.softmax(x, axis=1))

    def by_numpy() -> np.ndarray:
        e = np.exp(a - a.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    return {"graphflow": lambda: f(a), "numpy": by_numpy}


def product(n: int) -> Calls:
    """A square matrix product."""
    a, b = (rng.standard_normal((n, n)).astype("float32") for _ in range(2))
    x, y = gf.placeholder("float32", (n, n)), gf.placeholder("float32", (n, n))
    f = gf.function([x, y], x @ y)
    return {"graphflow": lambda: f(a, b), "numpy": lambda: a @ b}


def call() -> Calls:
    """x + y of ten numbers: the cost of a call."""
    a, b = np.ones(10, "float32"), np.ones(10, "float32")
    x, y = gf.placeholder("float32", (10,)), gf.placeholder("float32", (10,))
    f = gf.function([x, y], x + y)
    return {"graphflow": lambda: f(a, b), "numpy": lambda: a + b}


WORKLOADS: dict[str, Callable[[], Calls]] = {
    "MLP step, batch 32": lambda: mlp_step(32),
    "MLP step, batch 128": lambda: mlp_step(128),
    "elementwise chain, 1M": chain,
    "softmax 1024x1000": softmax,
    "product 256": lambda: product(256),
    "product 1024": lambda: product(1024),
    "call of x + y": call,
}


def seconds(fn: Callable[[], object]) -> float:
    """Time of one call, from a block of at least 20 ms."""
    n = 1
    while True:
        start = time.perf_counter()
        for _ in range(n):
            fn()
        took = time.perf_counter() - start
        if took >= 0.02:
            return took / n
        n = max(n * 2, int(n * 0.025 / max(took, 1e-7)))


def main() -> None:
    print(f"{platform.machine()}, {OPTIONS.threads} thread(s), numpy {np.__version__}; medians of {OPTIONS.rounds} rounds\n")
    print("| workload | graphflow | numpy | ratio |\n|---|---|---|---|")
    for name, make in WORKLOADS.items():
        calls = make()
        results = [np.asarray(fn(), float) for fn in calls.values()]
        for other in results[1:]:
            np.testing.assert_allclose(results[0], other, rtol=2e-4, atol=2e-4)
        times: dict[str, list[float]] = {peer: [] for peer in calls}
        for _ in range(OPTIONS.rounds):
            for peer, fn in calls.items():
                times[peer].append(seconds(fn))
        median = {peer: statistics.median(t) for peer, t in times.items()}
        print(f"| {name} | {median['graphflow'] * 1e6:.1f} us | {median['numpy'] * 1e6:.1f} us | {median['numpy'] / median['graphflow']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
