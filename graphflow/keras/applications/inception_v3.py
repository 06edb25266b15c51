"""InceptionV3.  [C. Szegedy et al., "Rethinking the Inception architecture for computer vision", 2015]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.variable import Variable
from graphflow.keras.applications.assembly import Application, channel_axis, files, pooled_top
from graphflow.keras.applications.imagenet_utils import decode_predictions
from graphflow.keras.applications.mobilenet import preprocess_input
from graphflow.keras.layers import Activation, AveragePooling2D, BatchNormalization, Concatenate, Conv2D, MaxPooling2D

__all__ = ["InceptionV3", "decode_predictions", "preprocess_input"]

# a convolution: filters, height and width of its window, stride, padding
Step = tuple[int, int, int, int, str]


def same(filters: int, height: int, width: int) -> Step:
    """A convolution that keeps the size of the image."""
    return filters, height, width, 1, "same"


def _body(x: Variable) -> Any:
    x = chain(x, [(32, 3, 3, 2, "valid"), (32, 3, 3, 1, "valid"), same(64, 3, 3)])
    x = MaxPooling2D((3, 3), strides=(2, 2))(x)
    x = chain(x, [(80, 1, 1, 1, "valid"), (192, 3, 3, 1, "valid")])
    x = MaxPooling2D((3, 3), strides=(2, 2))(x)
    number = 0
    for pool in (32, 64, 64):  # 35 x 35
        parts = [chain(x, [same(64, 1, 1)]), chain(x, [same(48, 1, 1), same(64, 5, 5)]), chain(x, [same(64, 1, 1), same(96, 3, 3), same(96, 3, 3)])]
        x, number = _joined([*parts, _averaged(x, pool)], number)
    parts = [chain(x, [(384, 3, 3, 2, "valid")]), chain(x, [same(64, 1, 1), same(96, 3, 3), (96, 3, 3, 2, "valid")])]
    x, number = _joined([*parts, MaxPooling2D((3, 3), strides=(2, 2))(x)], number)
    for n in (128, 160, 160, 192):  # 17 x 17
        seven = [same(n, 1, 1), same(n, 1, 7), same(192, 7, 1)]
        twice = [same(n, 1, 1), same(n, 7, 1), same(n, 1, 7), same(n, 7, 1), same(192, 1, 7)]
        x, number = _joined([chain(x, [same(192, 1, 1)]), chain(x, seven), chain(x, twice), _averaged(x, 192)], number)
    parts = [chain(x, [same(192, 1, 1), (320, 3, 3, 2, "valid")])]
    parts += [chain(x, [same(192, 1, 1), same(192, 1, 7), same(192, 7, 1), (192, 3, 3, 2, "valid")])]
    x, number = _joined([*parts, MaxPooling2D((3, 3), strides=(2, 2))(x)], number)
    for i in range(2):  # 8 x 8
        x, number = _split(x, i, number)
    return x


def _split(x: Variable, i: int, number: int) -> tuple[Variable, int]:
    """The last blocks: 3x3 windows as 1x3 and 3x1 side by side."""
    one = chain(x, [same(320, 1, 1)])
    three = chain(x, [same(384, 1, 1)])
    three = Concatenate(axis=channel_axis(), name=f"mixed9_{i}")([chain(three, [same(384, 1, 3)]), chain(three, [same(384, 3, 1)])])
    twice = chain(x, [same(448, 1, 1), same(384, 3, 3)])
    twice = Concatenate(axis=channel_axis())([chain(twice, [same(384, 1, 3)]), chain(twice, [same(384, 3, 1)])])
    return _joined([one, three, twice, _averaged(x, 192)], number)


def chain(x: Variable, steps: Sequence[Step]) -> Any:
    """Convolutions one after the other, normalised and rectified."""
    for filters, height, width, stride, padding in steps:
        x = Conv2D(filters, (height, width), strides=(stride, stride), padding=padding, use_bias=False)(x)
        x = Activation("relu")(BatchNormalization(axis=channel_axis(), scale=False)(x))
    return x


def _averaged(x: Variable, filters: int) -> Any:
    return chain(AveragePooling2D((3, 3), strides=(1, 1), padding="same")(x), [same(filters, 1, 1)])


def _joined(parts: Sequence[Any], number: int) -> tuple[Variable, int]:
    """The channels of all parts, as the block with this number; and the next one's."""
    return Concatenate(axis=channel_axis(), name=f"mixed{number}")(list(parts)), number + 1


InceptionV3 = Application(
    "inception_v3", _body, pooled_top, files("inception_v3", "inception_v3", "9a0d58056eeedaa3f26cb7ebd46da564", "bcbd6486424b2319ff4ef7d526e38f63"), 299, 75
)  # 23,851,784 parameters
