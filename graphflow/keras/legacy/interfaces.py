"""Decorators of Keras 2 that made functions take Keras 1's arguments, as layers and optimizers of the user still name them.

graphflow's own classes take those arguments by themselves, so a decorated function stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

NAMES = tuple(
    f"legacy_{what}_support"
    for what in ["add_weight", "batchnorm", "conv1d", "conv2d", "conv3d", "convlstm2d", "convlstm2d_args", "cropping2d", "cropping3d", "deconv2d", "dense", "dropout", "embedding", "gaussiandropout", "gaussiannoise", "generator_methods", "get_updates", "global_pooling", "input", "lambda", "max_pooling1d", "model_constructor", "model_methods", "pooling1d", "pooling2d", "pooling3d", "prelu", "recurrent", "separable_conv2d", "spatialdropout1d", "spatialdropoutNd", "upsampling1d", "upsampling2d", "upsampling3d", "zeropadding2d", "zeropadding3d"]
)


def unchanged(function: F) -> F:
    return function


def __getattr__(name: str) -> Callable[[F], F]:
    if name in NAMES:
        return unchanged
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
