"""Masks: which time steps of a Variable are data, and not padding.

A mask is a boolean Variable of the shape (batch, steps), true for data, that goes along with the Variable it
tells of.  Layers pass it on (`Layer.compute_mask`), and losses count nothing where it is false.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.errors import GraphflowError
from graphflow.graph.variable import Variable
from graphflow.keras.structure import as_list, unwrapped


class MaskError(GraphflowError, TypeError):
    """A mask that came to a layer that does not know masks."""


def mask_of(v: Variable) -> Variable | None:
    """The mask that goes along with v, if there is one."""
    found: Variable | None = getattr(v.tag, "keras_mask", None)
    return found


def masks_of(operands: Sequence[Variable]) -> Any:
    """The mask of the only Variable, or a list of those of several; None where there are none at all."""
    masks = [mask_of(v) for v in operands]
    return unwrapped(masks) if any(m is not None for m in masks) else None


def give_masks(results: Sequence[Variable], masks: Any) -> None:
    """Let masks (one, a list, or None) go along with the results of a layer."""
    for v, mask in zip(results, as_list(masks), strict=False):
        v.tag.keras_mask = mask
