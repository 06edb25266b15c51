"""InceptionResNetV2.  [C. Szegedy et al., "Inception-v4, Inception-ResNet and the impact of residual connections on learning", 2016]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.variable import Variable
from graphflow.keras.applications.assembly import Application, channel_axis, files, pooled_top
from graphflow.keras.applications.imagenet_utils import decode_predictions
from graphflow.keras.applications.inception_v3 import Step, chain, same
from graphflow.keras.applications.mobilenet import preprocess_input
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.layers import Activation, AveragePooling2D, BatchNormalization, Concatenate, Conv2D, MaxPooling2D
from graphflow.keras.structure import int_shape
from graphflow.ops.elementwise import add, multiply

__all__ = ["CustomScaleLayer", "InceptionResNetV2", "decode_predictions", "preprocess_input"]

Branches = Sequence[Sequence[Step]]
_BLOCK35: Branches = ([same(32, 1, 1)], [same(32, 1, 1), same(32, 3, 3)], [same(32, 1, 1), same(48, 3, 3), same(64, 3, 3)])
_BLOCK17: Branches = ([same(192, 1, 1)], [same(128, 1, 1), same(160, 1, 7), same(192, 7, 1)])
_BLOCK8: Branches = ([same(192, 1, 1)], [same(192, 1, 1), same(224, 1, 3), same(256, 3, 1)])
_REDUCTION_A: Branches = ([(384, 3, 3, 2, "valid")], [same(256, 1, 1), same(256, 3, 3), (384, 3, 3, 2, "valid")])
_REDUCTION_B: Branches = (
    [same(256, 1, 1), (384, 3, 3, 2, "valid")],
    [same(256, 1, 1), (288, 3, 3, 2, "valid")],
    [same(256, 1, 1), same(288, 3, 3), (320, 3, 3, 2, "valid")],
)


@recorded
class CustomScaleLayer(Layer):
    """x + scale * y, of a list [x, y]."""

    def __init__(self, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs: Any) -> Any:
        return add(inputs[0], multiply(inputs[1], self.scale))


def _body(x: Variable) -> Any:
    x = chain(x, [(32, 3, 3, 2, "valid"), (32, 3, 3, 1, "valid"), same(64, 3, 3)])
    x = chain(MaxPooling2D(3, strides=2)(x), [(80, 1, 1, 1, "valid"), (192, 3, 3, 1, "valid")])
    x = MaxPooling2D(3, strides=2)(x)
    first: Branches = ([same(96, 1, 1)], [same(48, 1, 1), same(64, 5, 5)], [same(64, 1, 1), same(96, 3, 3), same(96, 3, 3)])
    branches = [chain(x, steps) for steps in first]
    averages = chain(AveragePooling2D(3, strides=1, padding="same")(x), [same(64, 1, 1)])
    x = Concatenate(axis=channel_axis(), name="mixed_5b")([*branches, averages])
    for i in range(1, 11):
        x = _block(x, 0.17, _BLOCK35, f"block35_{i}")
    x = _reduction(x, _REDUCTION_A, "mixed_6a")
    for i in range(1, 21):
        x = _block(x, 0.1, _BLOCK17, f"block17_{i}")
    x = _reduction(x, _REDUCTION_B, "mixed_7a")
    for i in range(1, 10):
        x = _block(x, 0.2, _BLOCK8, f"block8_{i}")
    x = _block(x, 1.0, _BLOCK8, "block8_10", rectified=False)
    x = Conv2D(1536, 1, padding="same", use_bias=False, name="conv_7b")(x)
    return Activation("relu", name="conv_7b_ac")(BatchNormalization(axis=channel_axis(), scale=False, name="conv_7b_bn")(x))


def _block(x: Variable, scale: float, branches: Branches, name: str, rectified: bool = True) -> Any:
    """x plus a part of what branches side by side make of it."""
    mixed = Concatenate(axis=channel_axis(), name=f"{name}_mixed")([chain(x, steps) for steps in branches])
    back = Conv2D(int_shape(x)[channel_axis()], 1, padding="same", name=f"{name}_conv")(mixed)
    y = CustomScaleLayer(scale)([x, back])
    return Activation("relu", name=f"{name}_ac")(y) if rectified else y


def _reduction(x: Variable, branches: Branches, name: str) -> Any:
    """Half the size of the image, and more channels."""
    return Concatenate(axis=channel_axis(), name=name)([*(chain(x, steps) for steps in branches), MaxPooling2D(3, strides=2)(x)])


InceptionResNetV2 = Application(
    "inception_resnet_v2", _body, pooled_top,
    files("inception_resnet_v2", "inception_resnet_v2", "e693bd0210a403b3192acc6073ad2e96", "d19885ff4a710c122648d3b5c3b684e4"), 299, 75,
)  # fmt: skip  # 55,873,736 parameters
