"""Weights of LSTM and GRU: gates of Keras 1, one by one, and the layout of CuDNN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import ShapeError
from graphflow.graph.op import Array

GATES = {"LSTM": 4, "CuDNNLSTM": 4, "GRU": 3, "CuDNNGRU": 3}
KERAS_1_ORDER = {4: (0, 2, 1, 3), 3: (0, 1, 2)}  # i, c, f, o -> i, f, c, o


def joined_gates(values: Sequence[Array], gates: int) -> list[Array]:
    """Kernel, recurrent kernel and bias of all gates, from W, U and b of one gate after the other."""
    if len(values) != 3 * gates:
        return list(values)
    return [np.concatenate([values[3 * gate + which] for gate in KERAS_1_ORDER[gates]], axis=-1) for which in range(3)]


def between_kinds(layer: Any, values: list[Array]) -> list[Array]:
    """Weights of an LSTM or GRU for its CuDNN twin, or back; which one wrote them is seen from the bias.

    Raises ShapeError for a GRU whose reset gate is elsewhere than that of the weights.
    """
    kind = type(layer).__name__
    if kind not in GATES or len(values) != 3 or values[1].ndim != 2:
        return values
    gates, units = GATES[kind], values[1].shape[0]
    written = _kind_of_bias(kind, values[2].shape, gates * units)
    wanted = kind if kind != "GRU" else f"GRU(reset_after={bool(getattr(layer, 'reset_after', False))})"
    if written == wanted:
        return values
    if "GRU(reset_after=False)" in (written, wanted):
        raise ShapeError(f"{layer.name}: weights of {written} do not fit {wanted}", hint="give the GRU the same reset_after")
    from_cudnn = written.startswith("CuDNN")
    kernel = _each_gate(values[0], gates, lambda k: k.T.reshape(k.shape, order="F" if from_cudnn else "C"))
    recurrent = _each_gate(values[1], gates, lambda k: k.T)
    return [kernel, recurrent, _bias(values[2], kind, from_cudnn)]


def _kind_of_bias(kind: str, shape: tuple[int, ...], size: int) -> str:
    kinds: dict[tuple[int, ...], str] = (
        {(2 * size,): "CuDNNLSTM", (size,): "LSTM"}
        if "LSTM" in kind
        else {(2 * size,): "CuDNNGRU", (2, size): "GRU(reset_after=True)", (size,): "GRU(reset_after=False)"}
    )
    found = kinds.get(shape)
    if found is None:
        raise ShapeError(f"a bias of the shape {shape} is none of {kind}'s", hint=f"it is ({size},), or twice that")
    return found


def _each_gate(kernel: Array, gates: int, change: Callable[[Array], Array]) -> Array:
    return np.hstack([change(part) for part in np.hsplit(kernel, gates)])


def _bias(bias: Array, kind: str, from_cudnn: bool) -> Array:
    """CuDNN has two biases: an LSTM's are summed, a GRU's are rows."""
    if "GRU" in kind:
        return bias.reshape((2, -1) if from_cudnn else -1)
    return np.sum(np.split(bias, 2), axis=0) if from_cudnn else np.tile(0.5 * bias, 2)
