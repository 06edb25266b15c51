"""Gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.compiler.autodiff import vjp
from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable, constant, placeholder
from graphflow.ops.elementwise import add, multiply
from graphflow.ops.reduction import sum_
from graphflow.runtime.function import function


def verify_grad(fn: Callable[..., Any], points: Sequence[Any], *, eps: float = 1e-6, rtol: float = 1e-5, atol: float = 1e-7, seed: int = 0, order: int = 1) -> None:
    """Compare the gradient of `fn` at `points` with central differences along a random direction.

    `fn` takes one Variable for each point and returns a float Variable, or several.  Points are
    taken as float64.  `order` 2 checks the gradient of the gradient too.  Raises GraphError with
    both numbers where they differ by more than `atol + rtol * scale`.
    """
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(p, np.float64) for p in points]
    inputs = [placeholder("float64", a.shape) for a in arrays]
    made = fn(*inputs)
    outputs: list[Variable] = list(made) if isinstance(made, list | tuple) else [made]
    weights = [rng.standard_normal(function(inputs, v)(*arrays).shape) for v in outputs]
    total = _weighted(outputs, weights)
    for step in range(1, order + 1):
        grads = vjp(total, inputs)
        run = function(inputs, [total, *grads])
        direction = [rng.standard_normal(a.shape) for a in arrays]
        ahead = run(*(a + eps * d for a, d in zip(arrays, direction, strict=True)))[0]
        behind = run(*(a - eps * d for a, d in zip(arrays, direction, strict=True)))[0]
        numeric = (ahead - behind) / (2 * eps)
        found = run(*arrays)[1:]
        symbolic = sum(float(np.sum(g * d)) for g, d in zip(found, direction, strict=True))
        scale = sum(float(np.sum(np.abs(g * d))) for g, d in zip(found, direction, strict=True)) + abs(float(numeric))
        if not abs(numeric - symbolic) <= atol + rtol * scale:
            raise GraphError(
                f"derivative {step}: finite differences give {float(numeric):.10g}, the gradient {symbolic:.10g}",
                hint="check the op's vjp; points near a kink or a pole also differ",
            )
        total = _weighted(grads, [rng.standard_normal(a.shape) for a in arrays])


def _weighted(outputs: Sequence[Variable], weights: Sequence[Any]) -> Variable:
    total: Variable = constant(0.0, "float64")
    for v, w in zip(outputs, weights, strict=True):
        total = add(total, sum_(multiply(v, constant(w, v.dtype))))
    return total
