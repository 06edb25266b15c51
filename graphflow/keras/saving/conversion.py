"""Weights of layers as older versions and other backends stored them, brought to the order and shapes of Keras 2 on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.graph.errors import ShapeError
from graphflow.graph.op import Array
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.network import Network
from graphflow.keras.saving.gates import between_kinds, joined_gates
from graphflow.keras.structure import int_shape

CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose", "ConvLSTM2D")
TRUE_CONVOLUTION = ("theano",)  # backends whose kernels are upside down and the wrong way round
Weights = list[Array]


@dataclass(frozen=True)
class Origin:
    """Who wrote the weights."""

    generation: str
    backend: str | None
    reshape: bool = False


def converted(layer: Layer, weights: Sequence[Array], origin: Origin) -> Weights:
    """The values for `layer.weights`, from what a file has for the layer.

    Raises ShapeError for kinds of recurrent layers that cannot take each other's weights.
    """
    kind = type(layer).__name__
    values = list(weights)
    if kind == "Bidirectional":
        half = len(values) // 2
        directions = ((layer.forward_layer, values[:half]), (layer.backward_layer, values[half:]))  # type: ignore[attr-defined]
        return [value for part, own in directions for value in converted(part, own, origin)]
    if kind == "TimeDistributed":
        return converted(layer.layer, values, origin)  # type: ignore[attr-defined]
    if isinstance(layer, Network):
        return _of_parts(layer, values, origin)
    if origin.generation == "1" and values:
        values = _FROM_KERAS_1.get(kind, _unchanged)(layer, values)
    if kind in CONVOLUTIONS and values:
        values = _kernels(layer, values, origin)
    return between_kinds(layer, values)


def _unchanged(layer: Any, values: Weights) -> Weights:
    return values


def _of_parts(model: Network, values: Weights, origin: Origin) -> Weights:
    """A model inside: first what its layers train, then what they keep, each in the order of layers."""
    trained, kept = [], []
    at = len([w for part in model.layers for w in part.trainable_weights])
    number = 0
    for part in model.layers:
        n, m = len(part.trainable_weights), len(part.non_trainable_weights)
        own = converted(part, [*values[number : number + n], *values[at : at + m]], origin)
        trained += own[:n]
        kept += own[n:]
        number, at = number + n, at + m
    return [*trained, *kept]


# --- Keras 1 -------------------------------------------------------------------------------------
def _conv1d(layer: Any, values: Weights) -> Weights:
    """(length, 1, channels, filters), or before 1.1 (filters, channels, length, 1), to (length, channels, filters)."""
    kernel = values[0]
    if kernel.ndim == 4 and (kernel.shape[:2] != (layer.kernel_size[0], 1) or kernel.shape[3] != layer.filters):
        kernel = np.transpose(kernel, (2, 3, 1, 0))
    return [kernel[:, 0] if kernel.ndim == 4 else kernel, *values[1:]]


def _by_format(first: tuple[int, ...], last: tuple[int, ...] | None = None) -> Callable[[Any, Weights], Weights]:
    def moved(layer: Any, values: Weights) -> Weights:
        axes = first if layer.data_format == "channels_first" else last
        return values if axes is None else [np.transpose(values[0], axes), *values[1:]]

    return moved


def _separable(layer: Any, values: Weights) -> Weights:
    if layer.data_format != "channels_first":
        return values
    return [*(np.transpose(kernel, (2, 3, 1, 0)) for kernel in values[:2]), *values[2:]]


def _conv_lstm(layer: Any, values: Weights) -> Weights:
    values = joined_gates(values, 4)
    if layer.data_format == "channels_first":
        values = [*(np.transpose(kernel, (2, 3, 1, 0)) for kernel in values[:2]), *values[2:]]
    return values


_FROM_KERAS_1: dict[str, Callable[[Any, Weights], Weights]] = {
    "Conv1D": _conv1d,
    "Conv2D": _by_format((2, 3, 1, 0)),
    "Conv3D": _by_format((2, 3, 4, 1, 0)),
    "Conv2DTranspose": _by_format((2, 3, 0, 1), (0, 1, 3, 2)),
    "SeparableConv2D": _separable,
    "LSTM": lambda layer, values: joined_gates(values, 4),
    "GRU": lambda layer, values: joined_gates(values, 3),
    "ConvLSTM2D": _conv_lstm,
}


# --- convolutions --------------------------------------------------------------------------------
def _kernels(layer: Layer, values: Weights, origin: Origin) -> Weights:
    count = 2 if type(layer).__name__ == "ConvLSTM2D" else 1
    kernels, rest = values[:count], values[count:]
    if origin.backend in TRUE_CONVOLUTION:
        kernels = [kernel[(slice(None, None, -1),) * (kernel.ndim - 2)] for kernel in kernels]
    wanted = int_shape(layer.weights[0])
    if kernels[0].shape == wanted:
        return [*kernels, *rest]
    if origin.reshape:
        if kernels[0].size != np.prod(wanted):  # type: ignore[arg-type]
            raise ShapeError(f"{layer.name}: the file's kernel has the shape {kernels[0].shape}, which cannot be reshaped to {wanted}")
        return [np.reshape(kernels[0], wanted), *kernels[1:], *rest]
    if kernels[0].ndim == 4 and np.transpose(kernels[0], (3, 2, 0, 1)).shape == wanted:
        return [*(np.transpose(kernel, (3, 2, 0, 1)) for kernel in kernels), *rest]
    return [*kernels, *rest]
