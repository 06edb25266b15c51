"""VGG16.  [K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.variable import Variable
from graphflow.keras.applications.assembly import Application, Body, Options, dense_top, files
from graphflow.keras.applications.imagenet_utils import decode_predictions, preprocess_input
from graphflow.keras.layers import Conv2D, Dense, Flatten, MaxPooling2D

__all__ = ["VGG16", "decode_predictions", "preprocess_input"]


def blocks(convolutions: Sequence[int]) -> Body:
    """Blocks of 3x3 convolutions, this many each, with a pooling behind each block."""

    def body(x: Variable) -> Any:
        for number, (count, filters) in enumerate(zip(convolutions, (64, 128, 256, 512, 512), strict=True), 1):
            for i in range(1, count + 1):
                x = Conv2D(filters, (3, 3), activation="relu", padding="same", name=f"block{number}_conv{i}")(x)
            x = MaxPooling2D((2, 2), strides=(2, 2), name=f"block{number}_pool")(x)
        return x

    return body


def top(options: Options) -> Body:
    def head(x: Variable) -> Any:
        x = Flatten(name="flatten")(x)
        for name in ("fc1", "fc2"):
            x = Dense(4096, activation="relu", name=name)(x)
        return dense_top(options)(x)

    return head


VGG16 = Application(
    "vgg16", blocks((2, 2, 3, 3, 3)), top, files("vgg16", "vgg16", "64373286793e3c8b2b4e3219cbf3544b", "6d6bbae143d832006294945121d1f1fc"), fixed_size=True
)  # 138,357,544 parameters
