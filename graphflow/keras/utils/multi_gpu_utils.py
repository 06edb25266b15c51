"""multi_gpu_model, under the path that Keras 2 had it."""

from __future__ import annotations

from typing import Any

from graphflow.graph.errors import GraphError

__all__ = ["multi_gpu_model"]


def multi_gpu_model(model: Any, gpus: Any = None, cpu_merge: bool = True, cpu_relocation: bool = False) -> Any:
    """Raises GraphError: a model runs on one device."""
    raise GraphError("multi_gpu_model: a model is not spread over several GPUs", hint="train `model` itself; it uses all cores of the CPU")
