"""Arguments of recurrent layers as Keras 1 takes them."""

from __future__ import annotations

from typing import Any

from graphflow.keras.layers.former import with_series_shape


def of_keras_1(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """`input_length` and `input_dim` as a shape; a forget gate whose bias began with ones as `unit_forget_bias`."""
    if "forget_bias_init" in kwargs:
        kwargs = {**kwargs, "unit_forget_bias": kwargs["forget_bias_init"] in ("one", "ones")}
        del kwargs["forget_bias_init"]
    return args, with_series_shape(kwargs)
