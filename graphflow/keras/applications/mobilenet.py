"""MobileNet.  [A. Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications", 2017]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable
from graphflow.keras import backend as K
from graphflow.keras.applications.assembly import STORE, Application, Body, Files, Options, channel_axis
from graphflow.keras.applications.imagenet_utils import decode_predictions
from graphflow.keras.applications.imagenet_utils import preprocess_input as preprocess
from graphflow.keras.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    DepthwiseConv2D,
    Dropout,
    GlobalAveragePooling2D,
    ReLU,
    Reshape,
    ZeroPadding2D,
)
from graphflow.keras.models import Model

__all__ = ["DepthwiseConv2D", "MobileNet", "decode_predictions", "preprocess_input", "relu6"]


def relu6(x: Any) -> Variable:
    """x between 0 and 6: what files of Keras 2.0 and 2.1 call by this name."""
    return K.relu(x, max_value=6)

# the filters and strides of the blocks behind the first convolution
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
_PUBLISHED = {1.0: "1_0", 0.75: "7_5", 0.5: "5_0", 0.25: "2_5"}
_SIZES = (128, 160, 192, 224)


def MobileNet(
    input_shape: Sequence[int | None] | None = None,
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 1e-3,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
    **older: Any,
) -> Model:
    """MobileNet with `alpha` times as many filters; 4,253,864 parameters for alpha = 1.

    `depth_multiplier`: depthwise kernels for each channel.  The other arguments are `applications.assembly.Options`.
    """
    size = usual_size(input_shape)
    if weights == "imagenet" and (alpha not in _PUBLISHED or depth_multiplier != 1):
        raise GraphError(f"there are no published weights for alpha={alpha}, depth_multiplier={depth_multiplier}", hint=f"alpha is one of {sorted(_PUBLISHED)}")
    stem = f"mobilenet_{_PUBLISHED.get(alpha, '')}_{size}_tf"
    published = Files(f"{STORE}mobilenet/", (f"{stem}.h5", f"{stem}_no_top.h5"))
    network = Application(f"mobilenet_{alpha:0.2f}_{size}", _body(alpha, depth_multiplier), _top(alpha, dropout), published, size)
    return network(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name, **older)


def usual_size(input_shape: Sequence[int | None] | None) -> int:
    """The size of images that weights were published for: the given one, or 224."""
    if input_shape is None:
        return 224
    last = K.image_data_format() == "channels_last"
    height, width = (input_shape[0], input_shape[1]) if last else (input_shape[1], input_shape[2])
    return height if height is not None and height == width and height in _SIZES else 224


def _body(alpha: float, depth_multiplier: int) -> Body:
    def body(x: Variable) -> Any:
        x = Conv2D(int(32 * alpha), (3, 3), strides=(2, 2), padding="same", use_bias=False, name="conv1")(x)
        x = _normalized(x, "conv1")
        for number, (filters, stride) in enumerate(_BLOCKS, 1):
            x = _block(x, int(filters * alpha), depth_multiplier, stride, number)
        return x

    return body


def _block(x: Variable, filters: int, depth_multiplier: int, stride: int, number: int) -> Any:
    """A convolution of each channel, then one across channels."""
    if stride == 2:
        x = ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{number}")(x)
    padding = "same" if stride == 1 else "valid"
    name = f"conv_dw_{number}"
    x = DepthwiseConv2D((3, 3), padding=padding, depth_multiplier=depth_multiplier, strides=stride, use_bias=False, name=name)(x)
    x = _normalized(x, name)
    name = f"conv_pw_{number}"
    return _normalized(Conv2D(filters, (1, 1), padding="same", use_bias=False, name=name)(x), name)


def _normalized(x: Variable, name: str) -> Any:
    return ReLU(6.0, name=f"{name}_relu")(BatchNormalization(axis=channel_axis(), name=f"{name}_bn")(x))


def _top(alpha: float, dropout: float) -> Any:
    def top(options: Options) -> Body:
        def head(x: Variable) -> Any:
            channels = int(1024 * alpha)
            x = GlobalAveragePooling2D()(x)
            x = Reshape((channels, 1, 1) if channel_axis() == 1 else (1, 1, channels), name="reshape_1")(x)
            x = Conv2D(options.classes, (1, 1), padding="same", name="conv_preds")(Dropout(dropout, name="dropout")(x))
            x = Reshape((options.classes,), name="reshape_2")(x)
            return Activation(options.classifier_activation, name="predictions")(x)

        return head

    return top


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Values 0 .. 255 as values from -1 to 1."""
    return preprocess(x, data_format, mode="tf")
