"""DenseNet121, DenseNet169 and DenseNet201.  [G. Huang et al., "Densely connected convolutional networks", 2016]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.variable import Variable
from graphflow.keras.applications.assembly import Application, Body, channel_axis, files, pooled_top
from graphflow.keras.applications.imagenet_utils import decode_predictions
from graphflow.keras.applications.imagenet_utils import preprocess_input as preprocess
from graphflow.keras.applications.resnet import normalized
from graphflow.keras.layers import AveragePooling2D, Concatenate, Conv2D, MaxPooling2D, ZeroPadding2D
from graphflow.keras.structure import int_shape

__all__ = ["DenseNet121", "DenseNet169", "DenseNet201", "decode_predictions", "preprocess_input"]

GROWTH = 32


def _body(blocks: Sequence[int]) -> Body:
    def body(x: Variable) -> Any:
        x = ZeroPadding2D(((3, 3), (3, 3)))(x)
        x = normalized(Conv2D(64, 7, strides=2, use_bias=False, name="conv1/conv")(x), "conv1", "/bn", "/relu")
        x = MaxPooling2D(3, strides=2, name="pool1")(ZeroPadding2D(((1, 1), (1, 1)))(x))
        for number, count in enumerate(blocks, 2):
            x = _dense_block(x, count, f"conv{number}")
            x = _transition(x, f"pool{number}") if number < 5 else normalized(x, "", "bn", "relu")
        return x

    return body


def _dense_block(x: Variable, count: int, name: str) -> Any:
    for i in range(1, count + 1):
        block = f"{name}_block{i}"
        y = Conv2D(4 * GROWTH, 1, use_bias=False, name=f"{block}_1_conv")(normalized(x, f"{block}_0"))
        y = Conv2D(GROWTH, 3, padding="same", use_bias=False, name=f"{block}_2_conv")(normalized(y, f"{block}_1"))
        x = Concatenate(axis=channel_axis(), name=f"{block}_concat")([x, y])
    return x


def _transition(x: Variable, name: str) -> Any:
    """Half the channels, and half the size of the image."""
    channels = int_shape(x)[channel_axis()]
    assert channels is not None
    x = Conv2D(channels // 2, 1, use_bias=False, name=f"{name}_conv")(normalized(x, name))
    return AveragePooling2D(2, strides=2, name=f"{name}_pool")(x)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Values 0 .. 255 with mean 0 and variance 1 in each channel."""
    return preprocess(x, data_format, mode="torch")


DenseNet121 = Application(
    "densenet121", _body((6, 12, 24, 16)), pooled_top, files("densenet", "densenet121", "9d60b8095a5708f2dcce2bca79d332c7", "30ee3e1110167f948a6b9946edeeb738")
)  # 8,062,504 parameters
DenseNet169 = Application(
    "densenet169", _body((6, 12, 32, 32)), pooled_top, files("densenet", "densenet169", "d699b8f76981ab1b30698df4c175e90b", "b8c4d4c20dd625c148057b9ff1c1176b")
)  # 14,307,880 parameters
DenseNet201 = Application(
    "densenet201", _body((6, 12, 48, 32)), pooled_top, files("densenet", "densenet201", "1ceb130c1ea1b78c3bf6114dbdfd8807", "c13680b51ded0fb44dff2d8f86ac8bb1")
)  # 20,242,984 parameters
