"""What the workloads are fed: the same arrays in every process."""

from __future__ import annotations

import numpy as np

from benchmarks.workloads import CALLS, FORMULAS, PRODUCTS, REGRESSION_BATCH

f32 = np.float32
BATCHES = 8  # distinct minibatches of a training workload, visited in turn
VOCABULARY, WORDS = 5000, 100  # of the texts that the LSTM reads


def minibatches(model: str, batch: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(x, y) for a training workload: images NHWC or rows, and classes; for the LSTM texts and 0 or 1."""
    r = np.random.default_rng(10)
    if model == "lstm":
        return [
            (r.integers(0, VOCABULARY, (batch, WORDS)).astype(np.int32), r.integers(0, 2, (batch, 1)).astype(f32))
            for _ in range(BATCHES)
        ]
    shape = (batch, 784) if model in ("mlp", "logreg") else (batch, 28, 28, 1)
    return [(r.standard_normal(shape).astype(f32), r.integers(0, 10, batch).astype(np.int32)) for _ in range(BATCHES)]


def images(model: str, batch: int) -> np.ndarray:
    """The input of an inference workload."""
    shape = {"mlp": (batch, 784), "cnn": (batch, 28, 28, 1), "resnet50": (batch, 224, 224, 3)}[model]
    return np.random.default_rng(11).standard_normal(shape).astype(f32)


def noisy_sine() -> tuple[np.ndarray, np.ndarray]:
    """200 points (x, sin x + noise), each of shape (200, 1)."""
    r = np.random.default_rng(12)
    x = np.linspace(-3, 3, 200, dtype=f32)[r.permutation(200), None]
    return x, (np.sin(x) + 0.1 * r.standard_normal(x.shape)).astype(f32)


def sine_batches() -> list[tuple[np.ndarray, np.ndarray]]:
    """The minibatches of an epoch on the noisy sine."""
    x, y = noisy_sine()
    starts = range(0, len(x), REGRESSION_BATCH)
    return [(x[i : i + REGRESSION_BATCH], y[i : i + REGRESSION_BATCH]) for i in starts]


def formula_input(name: str) -> np.ndarray:
    return np.random.default_rng(13).standard_normal(FORMULAS[name]).astype(f32)


def summands(name: str) -> tuple[np.ndarray, np.ndarray]:
    """x and y of a workload of CALLS."""
    return np.ones(CALLS[name], f32), np.ones(CALLS[name], f32)


def square_matrix(name: str) -> np.ndarray:
    """The matrix that a workload of PRODUCTS multiplies with itself."""
    n = PRODUCTS[name]
    return np.random.default_rng(0).standard_normal((n, n)).astype(f32)
