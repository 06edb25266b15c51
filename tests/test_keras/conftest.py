"""Each test begins as a process does: numbering from 1, generation 2.2, fixed seeds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import graphflow as gf
from graphflow.keras import arguments, generation
from graphflow.keras import backend as K


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    K.clear_session()
    np.random.seed(0)
    gf.random.seed(0)
    arguments._warned.clear()
    yield
    generation.use("2.2")
    K.set_floatx("float32")
    K.clear_session()
