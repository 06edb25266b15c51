"""Weights with an initializer, a regularizer and a constraint of their own, and the format of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from graphflow.graph.errors import ShapeError
from graphflow.graph.variable import Shared, Variable
from graphflow.keras import backend as K
from graphflow.keras import constraints, initializers, regularizers
from graphflow.keras.engine.base_layer import Layer
from graphflow.ops.convolution import CHANNELS_FIRST
from graphflow.ops.elementwise import add
from graphflow.ops.shape import reshape


def describe(layer: Layer, name: str, initializer: Any, regularizer: Any = None, constraint: Any = None) -> None:
    """Make `<name>_initializer`, `<name>_regularizer` and `<name>_constraint` attributes of the layer."""
    setattr(layer, f"{name}_initializer", initializers.get(initializer))
    setattr(layer, f"{name}_regularizer", regularizers.get(regularizer))
    setattr(layer, f"{name}_constraint", constraints.get(constraint))


@overload
def parameter(layer: Layer, name: str, shape: Sequence[Any], called: str | None = None) -> Shared: ...
@overload
def parameter(layer: Layer, name: str, shape: Sequence[Any], called: str | None = None, *, used: bool) -> Shared | None: ...
def parameter(layer: Layer, name: str, shape: Sequence[Any], called: str | None = None, used: bool = True) -> Shared | None:
    """The weight that `describe` described; `called`: its name where it differs.  None if it is not `used`."""
    if not used:
        return None
    given = {what: getattr(layer, f"{name}_{what}") for what in ("initializer", "regularizer", "constraint")}
    return layer.add_weight(called or name, tuple(shape), **given)


def image_format(data_format: str | None) -> str:
    """`data_format`, or for None that of the configuration.  Raises GraphError for one that is not known."""
    return K.normalize_data_format(data_format)


def channel_axis(data_format: str) -> int:
    return 1 if data_format in CHANNELS_FIRST else -1


def spatial_axes(data_format: str, rank: int) -> tuple[int, ...]:
    """The `rank` axes between batch and channels."""
    first = 2 if data_format in CHANNELS_FIRST else 1
    return tuple(range(first, first + rank))


def static_channels(layer: Layer, input_shape: Sequence[Any], data_format: str) -> int:
    """The number of channels; raises ShapeError where it is known only at run time."""
    channels = input_shape[channel_axis(data_format)]
    if not isinstance(channels, int):
        raise ShapeError(f"{layer.name}: the number of channels is not known", hint="give the layer's input its number of channels")
    return channels


def with_bias(y: Variable, bias: Variable | None, data_format: str) -> Variable:
    """y + bias, one number for each channel (or for each position and channel, channels last)."""
    if bias is None:
        return y
    if data_format in CHANNELS_FIRST:
        bias = reshape(bias, (bias.shape[0], *(1,) * (y.ndim - 2)))
    return add(y, bias)
