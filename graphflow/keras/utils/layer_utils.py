"""Summaries, counts of weights, and weights turned for another order of axes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Shared
from graphflow.keras import backend as K
from graphflow.keras.engine.node import get_source_inputs
from graphflow.keras.engine.registry import deserialize as layer_from_config
from graphflow.keras.engine.summary import print_summary
from graphflow.keras.structure import as_list
from graphflow.keras.utils.conv_utils import convert_kernel

__all__ = [
    "convert_all_kernels_in_model", "convert_dense_weights_data_format", "count_params", "get_source_inputs", "layer_from_config", "print_summary",
]  # fmt: skip


def count_params(weights: Iterable[Shared]) -> int:
    """The number of elements of all weights, each counted once."""
    return sum(K.count_params(w) for w in dict.fromkeys(weights))


def convert_all_kernels_in_model(model: Any) -> None:
    """Turn all kernels of a model from cross-correlation to convolution, or back, in place."""
    kinds = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose")
    kernels = [layer.kernel for layer in model.layers if type(layer).__name__ in kinds]
    K.batch_set_value([(kernel, convert_kernel(K.get_value(kernel))) for kernel in kernels])


def convert_dense_weights_data_format(dense: Any, previous_feature_map_shape: Sequence[int], target_data_format: str = "channels_first") -> None:
    """Reorder the rows of a Dense layer behind a Flatten for images in the other data format.

    `previous_feature_map_shape`: the shape that is flattened, without the batch, in the target format.
    """
    if target_data_format not in ("channels_first", "channels_last"):
        raise GraphError(f"no data_format is called {target_data_format!r}", hint="use 'channels_first' or 'channels_last'")
    kernel, *bias = dense.get_weights()
    shape = tuple(as_list(previous_feature_map_shape))
    last = target_data_format == "channels_last"
    before = (shape[-1], *shape[:-1]) if last else (*shape[1:], shape[0])
    axes = (1, 2, 0) if last else (2, 0, 1)
    rows = np.arange(kernel.shape[0]).reshape(before).transpose(axes).reshape(-1)
    dense.set_weights([kernel[rows], *bias])
