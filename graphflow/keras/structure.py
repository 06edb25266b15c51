"""Lists, single values, and shapes as Keras shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from graphflow.graph.dim import Size
from graphflow.graph.variable import Variable

T = TypeVar("T")
KerasShape = tuple[int | None, ...]


def as_list(x: Any) -> list[Any]:
    """A list for a list or tuple, [] for None, [x] for anything else."""
    if x is None:
        return []
    return list(x) if isinstance(x, list | tuple) else [x]


def unwrapped(items: Sequence[T]) -> T | list[T]:
    """The only item of one, else a list."""
    return items[0] if len(items) == 1 else list(items)


def shown(shape: Sequence[Size]) -> KerasShape:
    """Sizes known at run time become None."""
    return tuple(n if isinstance(n, int) else None for n in shape)


def int_shape(x: Variable) -> KerasShape:
    """(None, 784): the shape of a Variable with None for sizes known at run time."""
    return shown(x.shape)
