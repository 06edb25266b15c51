"""Arguments that Keras 1 takes in another form, not only under another name."""

from __future__ import annotations

import warnings
from typing import Any

from graphflow.keras import generation
from graphflow.keras.arguments import users_stacklevel

WINDOW = {2: ("nb_row", "nb_col"), 3: ("kernel_dim1", "kernel_dim2", "kernel_dim3")}
OF_KERAS_2 = ("padding", "strides", "data_format")


def with_kernel_size(rank: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """One size of windows for each axis as `kernel_size`: Conv2D(32, 3, 3), or by the names nb_row and nb_col.

    From tf.keras on, and beside arguments of Keras 2, further numbers are strides and not sizes.
    """
    names = WINDOW.get(rank, ())
    sizes = args[1 : 1 + rank]
    taken = [name for name in names if name in kwargs]
    if taken:
        sizes = (*(n for n in sizes if isinstance(n, int)), *(kwargs[name] for name in taken))
        kwargs = {**{name: value for name, value in kwargs.items() if name not in names}, "kernel_size": tuple(sizes)}
        args = args[:1]
    elif rank > 1 and len(args) == 1 + rank and all(isinstance(n, int) for n in sizes) and not any(name in kwargs for name in OF_KERAS_2):
        if not generation.resolve("sizes of windows may be positional"):
            return args, kwargs
        args = (args[0], tuple(sizes))
    else:
        return args, kwargs
    warnings.warn(f"the size of windows is now one argument: kernel_size={tuple(sizes)}", DeprecationWarning, stacklevel=users_stacklevel())
    return args, kwargs


def with_series_shape(kwargs: dict[str, Any]) -> dict[str, Any]:
    """`input_length` and `input_dim` of a layer on series as its `input_shape`."""
    if "input_dim" not in kwargs:
        return kwargs
    rest = {name: value for name, value in kwargs.items() if name not in ("input_dim", "input_length")}
    return {**rest, "input_shape": (kwargs.get("input_length"), kwargs["input_dim"])}
