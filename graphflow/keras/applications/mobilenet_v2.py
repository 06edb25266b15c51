"""MobileNetV2.  [M. Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable
from graphflow.keras.applications.assembly import STORE, Application, Body, Files, Options, channel_axis, dense_top
from graphflow.keras.applications.imagenet_utils import decode_predictions
from graphflow.keras.applications.mobilenet import preprocess_input, usual_size
from graphflow.keras.layers import (
    Add,
    BatchNormalization,
    Conv2D,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    ReLU,
    ZeroPadding2D,
)
from graphflow.keras.models import Model
from graphflow.keras.structure import int_shape

__all__ = ["MobileNetV2", "decode_predictions", "preprocess_input"]

# the filters, blocks and first stride of the stacks; all but the first widen the image's channels six times inside a block
_STACKS = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
_PUBLISHED = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)


def MobileNetV2(
    input_shape: Sequence[int | None] | None = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
    **older: Any,
) -> Model:
    """MobileNetV2 with `alpha` times as many filters; 3,538,984 parameters for alpha = 1.

    The other arguments are `applications.assembly.Options`.
    """
    older.pop("depth_multiplier", None)  # of Keras 2.2, where it must be 1
    if weights == "imagenet" and alpha not in _PUBLISHED:
        raise GraphError(f"there are no published weights for alpha={alpha}", hint=f"alpha is one of {_PUBLISHED}")
    size = usual_size(input_shape)
    stem = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{size}"
    published = Files(f"{STORE}mobilenet_v2/", (f"{stem}.h5", f"{stem}_no_top.h5"))
    network = Application(f"mobilenetv2_{alpha:0.2f}_{size}", _body(alpha), _top, published, size)
    return network(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name, **older)


def divisible(filters: float, by: int = 8) -> int:
    """The nearest multiple of `by`, not less than 90 % of `filters`."""
    nearest = max(by, int(filters + by / 2) // by * by)
    return nearest if nearest >= 0.9 * filters else nearest + by


def _body(alpha: float) -> Body:
    def body(x: Variable) -> Any:
        x = Conv2D(divisible(32 * alpha), 3, strides=(2, 2), padding="same", use_bias=False, name="Conv1")(x)
        x = ReLU(6.0, name="Conv1_relu")(_normalized(x, "bn_Conv1"))
        number = 0
        for filters, count, first_stride in _STACKS:
            for i in range(count):
                x = _block(x, divisible(int(filters * alpha)), first_stride if i == 0 else 1, number)
                number += 1
        x = Conv2D(divisible(1280 * alpha) if alpha > 1 else 1280, 1, use_bias=False, name="Conv_1")(x)
        return ReLU(6.0, name="out_relu")(_normalized(x, "Conv_1_bn"))

    return body


def _block(x: Variable, filters: int, stride: int, number: int) -> Any:
    """Wider, a convolution of each channel, narrower again; and past it where nothing changes its shape."""
    channels = int_shape(x)[channel_axis()]
    assert channels is not None
    name = f"block_{number}" if number else "expanded_conv"
    y = x
    if number:
        y = Conv2D(6 * channels, 1, padding="same", use_bias=False, name=f"{name}_expand")(y)
        y = ReLU(6.0, name=f"{name}_expand_relu")(_normalized(y, f"{name}_expand_BN"))
    if stride == 2:
        y = ZeroPadding2D(_padding(y), name=f"{name}_pad")(y)
    y = DepthwiseConv2D(3, strides=stride, use_bias=False, padding="same" if stride == 1 else "valid", name=f"{name}_depthwise")(y)
    y = ReLU(6.0, name=f"{name}_depthwise_relu")(_normalized(y, f"{name}_depthwise_BN"))
    y = _normalized(Conv2D(filters, 1, padding="same", use_bias=False, name=f"{name}_project")(y), f"{name}_project_BN")
    return Add(name=f"{name}_add")([x, y]) if channels == filters and stride == 1 else y


def _normalized(x: Variable, name: str) -> Any:
    return BatchNormalization(axis=channel_axis(), epsilon=1e-3, momentum=0.999, name=name)(x)


def _padding(x: Variable) -> tuple[tuple[int, int], tuple[int, int]]:
    """What makes a 3x3 convolution with stride 2 and padding 'valid' see what TensorFlow's 'same' sees."""
    first = 2 if channel_axis() == 1 else 1
    height, width = ((0 if n is not None and n % 2 == 0 else 1) for n in int_shape(x)[first : first + 2])
    return (height, 1), (width, 1)


def _top(options: Options) -> Body:
    return lambda x: dense_top(options)(GlobalAveragePooling2D()(x))
