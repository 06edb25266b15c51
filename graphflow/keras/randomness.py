"""One seed for all random numbers of a program."""

from __future__ import annotations

import random

import numpy as np

from graphflow.ops.random import seed as seed_graphs


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's and graphflow's random numbers."""
    random.seed(seed)
    np.random.seed(seed)
    seed_graphs(seed)
