"""NASNetMobile and NASNetLarge.  [B. Zoph et al., "Learning transferable architectures for scalable image recognition", 2017]"""

from __future__ import annotations

from typing import Any

from graphflow.graph.variable import Variable
from graphflow.keras.applications.assembly import STORE, Application, Body, Files, Options, channel_axis, dense_top
from graphflow.keras.applications.imagenet_utils import decode_predictions
from graphflow.keras.applications.mobilenet import preprocess_input
from graphflow.keras.layers import (
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Cropping2D,
    GlobalAveragePooling2D,
    MaxPooling2D,
    SeparableConv2D,
    ZeroPadding2D,
)
from graphflow.keras.structure import int_shape

__all__ = ["NASNetLarge", "NASNetMobile", "decode_predictions", "preprocess_input"]


def _body(penultimate_filters: int, blocks: int, stem_filters: int, skip_reduction: bool) -> Body:
    """Three stacks of `blocks` normal cells with reduction cells between; filters double from one to the next."""
    filters = penultimate_filters // 24

    def body(x: Variable) -> Any:
        x = Conv2D(stem_filters, (3, 3), strides=(2, 2), use_bias=False, kernel_initializer="he_normal", name="stem_conv1")(x)
        x = _normalized(x, "stem_bn1")
        before: Variable | None = None
        x, before = _reduction_cell(x, before, filters // 4, "stem_1")
        x, before = _reduction_cell(x, before, filters // 2, "stem_2")
        for stack in range(3):
            if stack:
                x, skipped = _reduction_cell(x, before, filters * 2**stack, f"reduce_{stack * blocks}")
                before = before if skip_reduction else skipped
            for i in range(blocks):
                x, before = _normal_cell(x, before, filters * 2**stack, str(stack * blocks + i + (1 if stack else 0)))
        return Activation("relu")(x)

    return body


# --- cells: (x, the input of the cell before) -> (result, x) -----------------------------------------
def _normal_cell(x: Variable, before: Variable | None, filters: int, name: str) -> tuple[Any, Variable]:
    p = _adjusted(before, x, filters, name)
    h = _squeezed(x, filters, "normal", name)
    parts = [
        Add(name=f"normal_add_1_{name}")([_separable(h, filters, 5, 1, f"normal_left1_{name}"), _separable(p, filters, 3, 1, f"normal_right1_{name}")]),
        Add(name=f"normal_add_2_{name}")([_separable(p, filters, 5, 1, f"normal_left2_{name}"), _separable(p, filters, 3, 1, f"normal_right2_{name}")]),
        Add(name=f"normal_add_3_{name}")([_averages(h, f"normal_left3_{name}"), p]),
        Add(name=f"normal_add_4_{name}")([_averages(p, f"normal_left4_{name}"), _averages(p, f"normal_right4_{name}")]),
        Add(name=f"normal_add_5_{name}")([_separable(h, filters, 3, 1, f"normal_left5_{name}"), h]),
    ]
    return Concatenate(axis=channel_axis(), name=f"normal_concat_{name}")([p, *parts]), x


def _reduction_cell(x: Variable, before: Variable | None, filters: int, name: str) -> tuple[Any, Variable]:
    p = _adjusted(before, x, filters, name)
    h = _squeezed(x, filters, "reduction", name)
    padded = ZeroPadding2D(_padding(h, 3), name=f"reduction_pad_1_{name}")(h)
    largest, means = MaxPooling2D(3, strides=2, name=f"reduction_left2_{name}"), AveragePooling2D(3, strides=2, name=f"reduction_left3_{name}")
    one = Add(name=f"reduction_add_1_{name}")(
        [_separable(h, filters, 5, 2, f"reduction_left1_{name}"), _separable(p, filters, 7, 2, f"reduction_right1_{name}")]
    )
    two = Add(name=f"reduction_add_2_{name}")([largest(padded), _separable(p, filters, 7, 2, f"reduction_right2_{name}")])
    three = Add(name=f"reduction_add3_{name}")([means(padded), _separable(p, filters, 5, 2, f"reduction_right3_{name}")])
    four = Add()([two, _averages(one, f"reduction_left4_{name}")])
    last = _separable(one, filters, 3, 1, f"reduction_left4_{name}")
    five = Add(name=f"reduction_add4_{name}")([last, MaxPooling2D(3, strides=2, name=f"reduction_right5_{name}")(padded)])
    return Concatenate(axis=channel_axis(), name=f"reduction_concat_{name}")([two, three, four, five]), x


def _adjusted(p: Variable | None, x: Variable, filters: int, name: str) -> Any:
    """The input of the cell before with x's size and `filters` channels."""
    if p is None:
        return x
    side = 2 if channel_axis() == 1 else 1
    if int_shape(p)[side] != int_shape(x)[side]:
        p = Activation("relu", name=f"adjust_relu_1_{name}")(p)
        even = AveragePooling2D((1, 1), strides=(2, 2), name=f"adjust_avg_pool_1_{name}")(p)
        even = Conv2D(filters // 2, (1, 1), padding="same", use_bias=False, kernel_initializer="he_normal", name=f"adjust_conv_1_{name}")(even)
        odd = Cropping2D(((1, 0), (1, 0)))(ZeroPadding2D(((0, 1), (0, 1)))(p))
        odd = AveragePooling2D((1, 1), strides=(2, 2), name=f"adjust_avg_pool_2_{name}")(odd)
        odd = Conv2D(filters // 2, (1, 1), padding="same", use_bias=False, kernel_initializer="he_normal", name=f"adjust_conv_2_{name}")(odd)
        return _normalized(Concatenate(axis=channel_axis())([even, odd]), f"adjust_bn_{name}")
    if int_shape(p)[channel_axis()] != filters:
        p = Activation("relu")(p)
        projection = Conv2D(filters, (1, 1), padding="same", use_bias=False, kernel_initializer="he_normal", name=f"adjust_conv_projection_{name}")
        return _normalized(projection(p), f"adjust_bn_{name}")
    return p


def _squeezed(x: Variable, filters: int, kind: str, name: str) -> Any:
    x = Activation("relu")(x)
    x = Conv2D(filters, (1, 1), padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{kind}_conv_1_{name}")(x)
    return _normalized(x, f"{kind}_bn_1_{name}")


def _separable(x: Variable, filters: int, size: int, stride: int, name: str) -> Any:
    """Two separable convolutions, the first with a stride."""
    for number in (1, 2):
        x = Activation("relu")(x)
        padding = "same"
        if number == 1 and stride > 1:
            x, padding = ZeroPadding2D(_padding(x, size), name=f"separable_conv_1_pad_{name}")(x), "valid"
        x = SeparableConv2D(
            filters, size, strides=stride if number == 1 else 1, padding=padding, use_bias=False, name=f"separable_conv_{number}_{name}",
            depthwise_initializer="he_normal", pointwise_initializer="he_normal",
        )(x)  # fmt: skip
        x = _normalized(x, f"separable_conv_{number}_bn_{name}")
    return x


def _averages(x: Variable, name: str) -> Any:
    return AveragePooling2D((3, 3), strides=(1, 1), padding="same", name=name)(x)


def _normalized(x: Variable, name: str) -> Any:
    return BatchNormalization(axis=channel_axis(), momentum=0.9997, epsilon=1e-3, name=name)(x)


def _padding(x: Variable, size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """What makes a window with stride 2 and padding 'valid' see what TensorFlow's 'same' sees."""
    first = 2 if channel_axis() == 1 else 1
    height, width = ((size // 2 - (1 if n is not None and n % 2 == 0 else 0), size // 2) for n in int_shape(x)[first : first + 2])
    return height, width


def _top(options: Options) -> Body:
    return lambda x: dense_top(options)(GlobalAveragePooling2D()(x))


def _files(name: str, *md5: str) -> Files:
    return Files(f"{STORE}nasnet/", (f"NASNet-{name}.h5", f"NASNet-{name}-no-top.h5"), (md5[0], md5[1]))


NASNetMobile = Application(
    "NASNet", _body(1056, 4, 32, False), _top, _files("mobile", "020fb642bf7360b370c678b08e0adf61", "1ed92395b5b598bdda52abe5c0dbfd63"), needs_size=True
)  # 5,326,716 parameters
NASNetLarge = Application(
    "NASNet", _body(4032, 6, 96, True), _top, _files("large", "11577c9a518f0070763c2b964a382f17", "d81d89dc07e6e56530c4e77faddd61b5"), 331, needs_size=True
)  # 88,949,818 parameters
