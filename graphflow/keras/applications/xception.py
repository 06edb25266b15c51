"""Xception.  [F. Chollet, "Xception: deep learning with depthwise separable convolutions", 2016]"""

from __future__ import annotations

from typing import Any

from graphflow.graph.variable import Variable
from graphflow.keras.applications.assembly import Application, channel_axis, files, pooled_top
from graphflow.keras.applications.imagenet_utils import decode_predictions
from graphflow.keras.applications.mobilenet import preprocess_input
from graphflow.keras.layers import Activation, Add, BatchNormalization, Conv2D, MaxPooling2D, SeparableConv2D

__all__ = ["Xception", "decode_predictions", "preprocess_input"]


def _body(x: Variable) -> Any:
    for number, filters in ((1, 32), (2, 64)):
        x = Conv2D(filters, (3, 3), strides=(2, 2) if number == 1 else (1, 1), use_bias=False, name=f"block1_conv{number}")(x)
        x = Activation("relu", name=f"block1_conv{number}_act")(BatchNormalization(axis=channel_axis(), name=f"block1_conv{number}_bn")(x))
    for block, filters in ((2, 128), (3, 256), (4, 728)):
        x = _shrinking(x, block, (filters, filters), rectified_first=block > 2)
    for block in range(5, 13):
        y = x
        for number in (1, 2, 3):
            y = _separable(Activation("relu", name=f"block{block}_sepconv{number}_act")(y), 728, f"block{block}_sepconv{number}")
        x = Add()([y, x])
    x = _shrinking(x, 13, (728, 1024), rectified_first=True)
    for number, filters in ((1, 1536), (2, 2048)):
        name = f"block14_sepconv{number}"
        x = Activation("relu", name=f"{name}_act")(_separable(x, filters, name))
    return x


def _shrinking(x: Variable, block: int, filters: tuple[int, int], rectified_first: bool) -> Any:
    """Two separable convolutions and a pooling, beside a convolution with stride 2."""
    direct = Conv2D(filters[1], (1, 1), strides=(2, 2), padding="same", use_bias=False)(x)
    direct = BatchNormalization(axis=channel_axis())(direct)
    for number, count in enumerate(filters, 1):
        name = f"block{block}_sepconv{number}"
        if number == 2 or rectified_first:
            x = Activation("relu", name=f"{name}_act")(x)
        x = _separable(x, count, name)
    x = MaxPooling2D((3, 3), strides=(2, 2), padding="same", name=f"block{block}_pool")(x)
    return Add()([x, direct])


def _separable(x: Variable, filters: int, name: str) -> Any:
    x = SeparableConv2D(filters, (3, 3), padding="same", use_bias=False, name=name)(x)
    return BatchNormalization(axis=channel_axis(), name=f"{name}_bn")(x)


Xception = Application(
    "xception", _body, pooled_top, files("xception", "xception", "0a58e3b7378bc2990ea3b43d5981f1f6", "b0042744bf5b25fce3cb969f33bebb97"), 299, 71
)  # 22,910,480 parameters
