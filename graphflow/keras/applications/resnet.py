"""ResNet50, ResNet101 and ResNet152.  [K. He et al., "Deep residual learning for image recognition", 2015]

From Keras 2.3 on layers are called conv2_block1_1_conv ...; before, ResNet50's were called res2a_branch2a ..., and files of
weights of then have that order.  A file that is given decides, else the generation.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from graphflow.graph.variable import Variable
from graphflow.keras import generation
from graphflow.keras.applications.assembly import Application, Body, Files, channel_axis, files, named_top, pooled_top
from graphflow.keras.applications.imagenet_utils import decode_predictions, preprocess_input
from graphflow.keras.layers import Activation, Add, BatchNormalization, Conv2D, MaxPooling2D, ZeroPadding2D
from graphflow.keras.models import Model
from graphflow.keras.utils.io_utils import h5py_module

__all__ = ["ResNet50", "ResNet101", "ResNet152", "decode_predictions", "preprocess_input"]


def _body(blocks: Sequence[int]) -> Body:
    return lambda x: stages(pooled(normalized(stem(x), "conv1")), blocks, stack)


# --- shared with ResNet V2 -----------------------------------------------------------------------
def stem(x: Variable) -> Any:
    x = ZeroPadding2D(((3, 3), (3, 3)), name="conv1_pad")(x)
    return Conv2D(64, 7, strides=2, name="conv1_conv")(x)


def pooled(x: Variable) -> Any:
    x = ZeroPadding2D(((1, 1), (1, 1)), name="pool1_pad")(x)
    return MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def normalized(x: Variable, name: str, bn: str = "_bn", relu: str | None = "_relu") -> Any:
    """Batch normalisation, and a rectifier if it has a name."""
    x = BatchNormalization(axis=channel_axis(), epsilon=1.001e-5, name=name + bn)(x)
    return Activation("relu", name=name + relu)(x) if relu is not None else x


def stages(x: Variable, blocks: Sequence[int], stack: Callable[..., Variable]) -> Any:
    """Four stacks of blocks, with twice the filters each."""
    for number, count in enumerate(blocks):
        x = stack(x, 64 * 2**number, count, number, name=f"conv{number + 2}")
    return x


# --- blocks ----------------------------------------------------------------------------------------
def stack(x: Variable, filters: int, count: int, number: int, name: str) -> Any:
    """Blocks, of which the first halves the size of the image (in the first stack it stays)."""
    for i in range(1, count + 1):
        x = _block(x, filters, stride=2 if i == 1 and number else 1, shortcut=i == 1, name=f"{name}_block{i}")
    return x


def _block(x: Variable, filters: int, stride: int, shortcut: bool, name: str) -> Any:
    direct = normalized(Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(x), f"{name}_0", relu=None) if shortcut else x
    x = normalized(Conv2D(filters, 1, strides=stride, name=f"{name}_1_conv")(x), f"{name}_1")
    x = normalized(Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(x), f"{name}_2")
    x = normalized(Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x), f"{name}_3", relu=None)
    return Activation("relu", name=f"{name}_out")(Add(name=f"{name}_add")([direct, x]))


# --- as Keras had it first -------------------------------------------------------------------------
def _first_body(x: Variable) -> Any:
    x = ZeroPadding2D((3, 3), name="conv1_pad")(x)
    x = Conv2D(64, (7, 7), strides=(2, 2), kernel_initializer="he_normal", name="conv1")(x)
    x = Activation("relu")(BatchNormalization(axis=channel_axis(), name="bn_conv1")(x))
    x = MaxPooling2D((3, 3), strides=(2, 2))(ZeroPadding2D((1, 1), name="pool1_pad")(x))
    for number, count in enumerate((3, 4, 6, 3)):
        for letter in "abcdef"[:count]:
            x = _first_block(x, 64 * 2**number, 2 if letter == "a" and number else 1, letter == "a", f"{number + 2}{letter}_branch")
    return x


def _first_block(x: Variable, filters: int, stride: int, shortcut: bool, name: str) -> Any:
    def convolved(x: Variable, filters: int, size: int, stride: int, end: str) -> Any:
        conv = Conv2D(filters, size, strides=stride, padding="same" if size > 1 else "valid", kernel_initializer="he_normal", name=f"res{name}{end}")
        return BatchNormalization(axis=channel_axis(), name=f"bn{name}{end}")(conv(x))

    y = Activation("relu")(convolved(x, filters, 1, stride, "2a"))
    y = Activation("relu")(convolved(y, filters, 3, 1, "2b"))
    y = convolved(y, 4 * filters, 1, 1, "2c")
    return Activation("relu")(Add()([y, convolved(x, 4 * filters, 1, stride, "1") if shortcut else x]))


_FIRST_FILES = Files(
    "https://github.com/fchollet/deep-learning-models/releases/download/v0.2/",
    ("resnet50_weights_tf_dim_ordering_tf_kernels.h5", "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    ("a7b3fe01876f51b976af0dea6bc144eb", "a268eb855778b3df3c7506639542a6af"),
)

_FIRST = Application("resnet50", _first_body, named_top("fc1000"), _FIRST_FILES)
_LATER = Application(
    "resnet50", _body((3, 4, 6, 3)), pooled_top, files("resnet", "resnet50", "2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626")
)
ResNet101 = Application(
    "resnet101", _body((3, 4, 23, 3)), pooled_top, files("resnet", "resnet101", "f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21")
)  # 44,707,176 parameters
ResNet152 = Application(
    "resnet152", _body((3, 8, 36, 3)), pooled_top, files("resnet", "resnet152", "100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c")
)  # 60,419,944 parameters


def ResNet50(*args: Any, **kwargs: Any) -> Model:
    """ResNet50; the arguments are `applications.assembly.Options`.  25,636,712 parameters."""
    weights = kwargs.get("weights", args[1] if len(args) > 1 else "imagenet")
    own = None if weights in (None, "imagenet") else _names_in(weights)
    first = any("branch" in name for name in own) if own else generation.resolve("ResNet50 has its first layer names")
    return (_FIRST if first else _LATER)(*args, **kwargs)


def _names_in(path: Any) -> list[str]:
    """The layers that a file of weights has in the format of Keras 2; none for other files."""
    h5py = h5py_module()
    if not os.path.isfile(path) or not h5py.is_hdf5(path):
        return []
    with h5py.File(path, "r") as file:
        names = file.get("model_weights", file).attrs.get("layer_names", ())
        return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
