"""The workloads: names, sizes and what is compared between peers.

A peer module supplies `workloads() -> {name: factory}`.  A factory builds the program and returns a
`Case`; its `step()` does one unit of work, the same arithmetic in every peer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Case:
    """`step`: one training step or one call; the result is what is compared.

    `timed`: what is timed instead, where that is a larger unit such as an epoch of `fit`, of `steps` steps.
    """

    step: Callable[[], Any]
    timed: Callable[[], Any] | None = None
    steps: int = 1


Factory = Callable[[], Case]


@dataclass(frozen=True)
class Training:
    """Steps of an optimiser on minibatches of `batch` samples."""

    model: str
    optimizer: str
    batch: int


@dataclass(frozen=True)
class Inference:
    """The outputs of a model for `batch` samples."""

    model: str
    batch: int


TRAIN = {
    "w1_mlp_sgd_b32": Training("mlp", "sgd", 32),
    "w1_mlp_sgd_b128": Training("mlp", "sgd", 128),
    "w1_mlp_adam_b32": Training("mlp", "adam", 32),
    "w1_mlp_adam_b128": Training("mlp", "adam", 128),
    "w2_cnn_adam_b32": Training("cnn", "adam", 32),
    "w2_cnn_adam_b128": Training("cnn", "adam", 128),
    "w3_cnn3_rmsprop_b64": Training("cnn3", "rmsprop", 64),
    "w4_lstm_adam_b32": Training("lstm", "adam", 32),
    "w8_logreg_b60": Training("logreg", "sgd", 60),
}
CHECK_STEPS = 10  # the loss of this training step is compared

# the whole training of a 1-10-10-1 network, minibatches in the order of the rows, the last one smaller
REGRESSION = "w5_sine_500_epochs"
REGRESSION_EPOCHS, REGRESSION_BATCH = 500, 32

INFER = {
    "w6_mlp_b1": Inference("mlp", 1),
    "w6_mlp_b64": Inference("mlp", 64),
    "w6_cnn_b1": Inference("cnn", 1),
    "w6_cnn_b64": Inference("cnn", 64),
    "w6_resnet50_b1": Inference("resnet50", 1),
}

FORMULAS: dict[str, tuple[int, ...]] = {  # elementwise chains and reductions: the shape of the input
    "w7_chain_4M": (4_000_000,),
    "w7_softmax_128x1000": (128, 1000),
    "w7_softmax_4096x1024": (4096, 1024),
    "w7_layernorm_4096x1024": (4096, 1024),
    "w7_logsumexp_4096x1024": (4096, 1024),
    "w7_sumexp_16M": (16_000_000,),
}
CALLS: dict[str, tuple[int, ...]] = {  # x + y: arguments of the library's own type, or NumPy in and out
    "w8_call_scalar": (),
    "w8_call_vec10": (10,),
    "w8_call_vec10_numpy": (10,),
}
PRODUCTS = {f"w11_gemm_{n}": n for n in (512, 1024, 2048)}

FAMILIES: dict[str, Collection[str]] = {
    "train": TRAIN, "regression": (REGRESSION,), "infer": INFER, "formula": FORMULAS, "call": CALLS, "product": PRODUCTS,
}  # fmt: skip


def factories(models: Collection[str] | None = None, **makers: Callable[[str], Case]) -> dict[str, Factory]:
    """A factory for every workload of the families named, each with its name as argument.

    `models`: those a peer has, where it lacks some.
    """
    found: dict[str, Factory] = {}
    for family, make in makers.items():
        for name in FAMILIES[family]:
            work = TRAIN.get(name) or INFER.get(name)
            if work is None or models is None or work.model in models:
                found[name] = partial(make, name)
    return found


# --- rows of the table --------------------------------------------------------------------------
Field = Literal["median", "build_s", "import_s", "rss_mb"]


@dataclass(frozen=True)
class Row:
    """One line of the table: a field of what a worker reports on a workload.

    `start`: how the process starts, for rows about start-up.  'cold': the caches of compiled code are
    empty; 'second': one process filled them before; 'import': only the library is imported.
    """

    name: str
    workload: str
    field: Field = "median"
    start: Literal["", "cold", "second", "import"] = ""


def _rows() -> list[Row]:
    timed = [*TRAIN, REGRESSION, *INFER, *CALLS, *FORMULAS, *PRODUCTS]
    timed.sort(key=lambda name: int(name[1:].partition("_")[0]))
    products = len(timed) - len(PRODUCTS)
    rows = [Row(name, name) for name in timed]
    start = [
        Row(f"w9_{start}_{name}", name, "build_s", start)
        for name in ("w1_mlp_adam_b32", "w2_cnn_adam_b128", "w4_lstm_adam_b32")
        for start in ("cold", "second")
    ]  # fmt: skip
    start.append(Row("w9_import", "", "import_s", "import"))
    memory = [Row("w10_memory_w2_cnn_adam_b128", "w2_cnn_adam_b128", "rss_mb")]
    return [*rows[:products], *start, *memory, *rows[products:]]


ROWS = {row.name: row for row in _rows()}


# --- what is compared ---------------------------------------------------------------------------
TOLERANCE = 1e-3
# 3500 Adam steps amplify rounding: peers differ by up to 6e-3
TOLERANCES = {REGRESSION: 2e-2}


def check_value(result: np.ndarray) -> float:
    """The number that peers must agree on: the mean absolute value of a loss or an output."""
    return float(np.abs(np.asarray(result, np.float64)).mean())
