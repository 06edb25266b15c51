"""Every op of graphflow.  Importing the package registers them all and gives Variables their operators."""

from graphflow.ops import (  # noqa: F401
    along_axis,
    contraction,
    convolution,
    creation,
    cumulative,
    diagonals,
    elementwise,
    gathering,
    identity,
    indexing,
    joining,
    logic,
    losses,
    nn,
    operators,
    pooling,
    power,
    random,
    reduction,
    rounding,
    shape,
    slicing,
    softmax,
    special,
    state,
    statistics,
    transcendental,
    windows,
)
from graphflow.ops.public import PUBLIC

__all__ = ["PUBLIC"]
