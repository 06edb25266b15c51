"""Kernel -> kernel rewrites, and the strategies that choose them."""

from __future__ import annotations

from graphflow.compiler.kernel import Proc
from graphflow.compiler.math import expand_proc
from graphflow.compiler.schedule.contraction import contract_strategy
from graphflow.compiler.schedule.strategies import column_strategy, map_strategy
from graphflow.compiler.target.machine import Machine

STRATEGIES = {"contract": contract_strategy, "column": column_strategy, "map": map_strategy, "nest": map_strategy}


def schedule(proc: Proc, machine: Machine, shape: str) -> Proc:
    """The kernel as it is emitted for `machine`; `shape` names the kind of nest."""
    return expand_proc(STRATEGIES[shape](proc, machine))
