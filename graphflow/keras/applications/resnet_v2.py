"""ResNet50V2, ResNet101V2 and ResNet152V2.  [K. He et al., "Identity mappings in deep residual networks", 2016]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.variable import Variable
from graphflow.keras.applications.assembly import Application, Body, files, pooled_top
from graphflow.keras.applications.imagenet_utils import decode_predictions
from graphflow.keras.applications.imagenet_utils import preprocess_input as preprocess
from graphflow.keras.applications.resnet import normalized, pooled, stages, stem
from graphflow.keras.layers import Add, Conv2D, MaxPooling2D, ZeroPadding2D

__all__ = ["ResNet50V2", "ResNet101V2", "ResNet152V2", "decode_predictions", "preprocess_input"]


def _body(blocks: Sequence[int]) -> Body:
    return lambda x: normalized(stages(pooled(stem(x)), blocks, _stack), "post")


def _stack(x: Variable, filters: int, count: int, number: int, name: str) -> Any:
    """Blocks, of which the last halves the size of the image (in the last stack it stays)."""
    for i in range(1, count + 1):
        x = _block(x, filters, stride=2 if i == count and number < 3 else 1, shortcut=i == 1, name=f"{name}_block{i}")
    return x


def _block(x: Variable, filters: int, stride: int, shortcut: bool, name: str) -> Any:
    before = normalized(x, f"{name}_preact")
    if shortcut:
        direct = Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(before)
    else:
        direct = MaxPooling2D(1, strides=stride)(x) if stride > 1 else x
    y = normalized(Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(before), f"{name}_1")
    y = ZeroPadding2D(((1, 1), (1, 1)), name=f"{name}_2_pad")(y)
    y = normalized(Conv2D(filters, 3, strides=stride, use_bias=False, name=f"{name}_2_conv")(y), f"{name}_2")
    y = Conv2D(4 * filters, 1, name=f"{name}_3_conv")(y)
    return Add(name=f"{name}_out")([direct, y])


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Values 0 .. 255 as values from -1 to 1."""
    return preprocess(x, data_format, mode="tf")


ResNet50V2 = Application(
    "resnet50v2", _body((3, 4, 6, 3)), pooled_top, files("resnet", "resnet50v2", "3ef43a0b657b3be2300d5770ece849e0", "fac2f116257151a9d068a22e544a4917")
)  # 25,613,800 parameters
ResNet101V2 = Application(
    "resnet101v2", _body((3, 4, 23, 3)), pooled_top, files("resnet", "resnet101v2", "6343647c601c52e1368623803854d971", "c0ed64b8031c3730f411d2eb4eea35b5")
)  # 44,675,560 parameters
ResNet152V2 = Application(
    "resnet152v2", _body((3, 8, 36, 3)), pooled_top, files("resnet", "resnet152v2", "a49b44d1979771252814e80f8ec446f9", "ed17cf2e0169df9d443503ef94b23b33")
)  # 60,380,648 parameters
