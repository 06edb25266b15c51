"""Vectors for whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.errors import ShapeError
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.layers.parameters import describe, parameter
from graphflow.ops.elementwise import cast
from graphflow.ops.gathering import take
from graphflow.ops.logic import not_equal

__all__ = ["Embedding"]


@recorded
class Embedding(Layer):
    """The rows of a matrix (input_dim, output_dim) at whole numbers from 0 to below `input_dim`.

    `mask_zero`: 0 is no number but padding, which later layers leave out.
    `input_length`: the length of sequences, where a later layer must know it.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        activity_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        input_length: int | Sequence[int | None] | None = None,
        **kwargs: Any,
    ) -> None:
        if not kwargs.keys() & {"input_shape", "batch_input_shape"}:
            kwargs["input_shape"] = tuple(input_length) if isinstance(input_length, list | tuple) else (input_length,)
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.input_dim, self.output_dim = int(input_dim), int(output_dim)
        describe(self, "embeddings", embeddings_initializer, embeddings_regularizer, embeddings_constraint)
        self.mask_zero, self.supports_masking = mask_zero, mask_zero
        self.input_length = input_length

    def build(self, input_shape: Any) -> None:
        lengths = self.input_length if isinstance(self.input_length, list | tuple) else (self.input_length,)
        given = tuple(input_shape[1:])
        if self.input_length is not None and (len(lengths) != len(given) or any(None not in (n, m) and n != m for n, m in zip(lengths, given, strict=True))):
            raise ShapeError(f'"input_length" is {self.input_length}, but received input has shape {tuple(input_shape)}', hint="leave it out, or give the length of each sequence")
        self.embeddings = parameter(self, "embeddings", (self.input_dim, self.output_dim))
        self.built = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return not_equal(inputs, 0) if self.mask_zero else None

    def call(self, inputs: Any) -> Any:
        return take(self.embeddings, inputs if inputs.dtype.kind in "iu" else cast(inputs, "int32"), axis=0)
