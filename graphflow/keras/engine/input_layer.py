"""Input: where data enters a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.dim import Dim
from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable, placeholder
from graphflow.keras import backend as K
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.node import Node, remember


@recorded
class InputLayer(Layer):
    """A placeholder as a layer.

    `input_shape` is without the batch axis, `batch_input_shape` with it; None is a size known at run
    time.  `input_tensor`: a Variable to take instead of a new placeholder; what a model is fed takes its place, and
    a function made of the model's results without feeding it computes it.  `sparse`: recorded; values are dense, and
    SciPy's sparse matrices are made so when they are fed.
    """

    def __init__(
        self,
        input_shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
        dtype: Any = None,
        input_tensor: Variable | None = None,
        sparse: bool = False,
        name: str | None = None,
    ) -> None:
        if input_tensor is None and input_shape is None and batch_input_shape is None:
            raise GraphError("an input needs a shape", hint="Input(shape=(784,)) takes batches of vectors")
        super().__init__(name=name or f"input_{K.get_uid('input')}", batch_input_shape=batch_input_shape)
        if input_tensor is None:
            sizes = tuple(batch_input_shape) if batch_input_shape is not None else (batch_size, *_sizes(input_shape))
            input_tensor = placeholder(dtype or K.floatx(), [_size(n, axis) for axis, n in enumerate(sizes)], name=self.name)
        self.input_tensor, self.sparse = input_tensor, sparse
        self.batch_input_shape = Node(self, [], [input_tensor], {}).output_shapes[0]
        self._dtype = input_tensor.dtype.name
        self.built = True
        node = Node(self, [], [input_tensor], {})
        self._inbound_nodes.append(node)
        remember(node)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "batch_input_shape": self.batch_input_shape, "dtype": self.dtype, "sparse": self.sparse}


def _sizes(shape: Any) -> tuple[int | None, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def _size(n: int | None, axis: int) -> int | Dim | None:
    """The batch axis is called batch in drawings and messages."""
    return Dim.symbol("batch") if n is None and axis == 0 else n


def Input(
    shape: Sequence[int | None] | None = None,
    batch_shape: Sequence[int | None] | None = None,
    name: str | None = None,
    dtype: Any = None,
    sparse: bool = False,
    tensor: Variable | None = None,
    batch_size: int | None = None,
) -> Variable:
    """A Variable to be fed: `shape` without the batch axis, or `batch_shape` with it."""
    layer = InputLayer(shape, batch_size, batch_shape, dtype, tensor, sparse, name)
    output: Variable = layer.output
    return output
