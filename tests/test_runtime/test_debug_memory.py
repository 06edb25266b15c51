"""Reads of memory that nothing wrote, faults of the memory plan, and indices out of range."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler import assemble, memory
from graphflow.graph.errors import CheckError
from graphflow.graph.op import NestOp
from graphflow.graph.types import TensorType


@dataclass(frozen=True)
class Half(NestOp):
    """x, of which the lowering stores the first element only: a fault."""

    name = "half"

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        outs[0].store((0,), ins[0].load(0))

    def reference(self, *arrays: Any) -> Any:
        return arrays[0]


@pytest.mark.smoke
def test_memory_that_nothing_wrote_is_nan_when_poisoned() -> None:
    x = gf.placeholder("float32", (None,), name="x")
    f = gf.function([x], gf.sum(Half()(x)))
    with gf.config.override(debug_memory="poison"):
        assert np.isnan(f(np.ones(100, np.float32)))
        with gf.config.override(check_nan=True), pytest.raises(CheckError, match="the kernel of half made NaN, and the ops' NumPy references do not"):
            f(np.ones(100, np.float32))
    with gf.config.override(check_kernels=True), pytest.raises(CheckError, match="half, is not what"):
        f(np.ones(100, np.float32))


def test_a_fault_of_the_memory_plan_is_gone_without_reuse(monkeypatch: pytest.MonkeyPatch) -> None:
    plan: Callable[..., memory.Plan] = memory.plan

    def faulty(spans: Sequence[memory.Span], base: Any, reuse: bool) -> memory.Plan:
        made = plan(spans, base, reuse)
        return memory.Plan(dict.fromkeys(made.offset, base), made.total, made.spans) if reuse else made

    monkeypatch.setattr(assemble.memory, "plan", faulty)
    rows = np.random.default_rng(0).normal(size=(50, 50))
    found = []
    for setting in ("", "no-reuse"):
        x = gf.placeholder("float64", (None, 50), name="x")
        with gf.config.override(debug_memory=setting):
            found.append(gf.function([x], gf.sum((x @ x) * (x @ gf.transpose(x))))(rows))
    assert abs(found[0] - found[1]) > 1 and abs(found[1] - ((rows @ rows) * (rows @ rows.T)).sum()) < 1e-6


@pytest.mark.parametrize(
    ("read", "index", "text"),
    [
        (lambda table, i: table[i], 12, "take: an index is out of range for axis 0 of size 10"),
        (lambda table, i: table[i], -11, "take: an index is out of range for axis 0 of size 10"),
        (lambda table, i: gf.take(table, i, axis=1), -4, "take: an index is out of range for axis 1 of size 3"),
    ],
)
def test_an_index_out_of_range_is_named_with_its_axis_size_and_line(read: Callable[..., gf.Variable], index: int, text: str) -> None:
    table, i = gf.shared(np.zeros((10, 3)), name="table"), gf.placeholder("int32", (None,), name="i")
    f = gf.function([i], read(table, i))
    f([0, -1])
    with pytest.raises(CheckError) as caught:
        f([0, index])
    assert str(caught.value).startswith(text) and f"the value was {index}" in str(caught.value) and "at test_debug_memory.py:" in str(caught.value)


def test_an_axis_of_run_time_size_is_named_by_its_dim() -> None:
    x, i = gf.placeholder("float32", (None, 3), name="x"), gf.placeholder("int32", (None,), name="i")
    with pytest.raises(CheckError, match=r"out of range for axis 0 of size x\.0") as caught:
        gf.function([x, i], x[i])(np.zeros((4, 3)), [4])
    assert "the value was 4" in str(caught.value)
