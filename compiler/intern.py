"""The compilation's own graph: equal expressions are one node.

A user's Variables have identity; a compilation works on a copy in which an op applied to the
same inputs exists once.  From there on common subexpressions do not exist.  The key of a node tells
apart what Python's `==` merges (0.0 and -0.0, 1 and True and 1.0), and constants are equal when
dtype, shape and bytes are.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from graphflow.graph import source
from graphflow.graph.dim import Dim
from graphflow.graph.op import Array, Op, SizeConstraints
from graphflow.graph.variable import Apply, Constant, Variable

BYTES_COMPARED = 1 << 20  # constants above this are equal only if they are the same object


class _Identity:
    """A parameter that is equal only to itself (a callable, a Variable); keeps it alive."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value) >> 4

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.value is self.value


def encode(value: Any) -> Hashable:
    """A key that is equal for two ops or parameters only if nothing could tell them apart.

    What is no frozen dataclass and no plain value is equal only to itself.
    """
    if value is None or isinstance(value, Dim):
        return value
    if isinstance(value, bool | int | str | bytes):
        return type(value), value
    if isinstance(value, float):
        return float, struct.pack("<d", value)
    if isinstance(value, np.dtype):
        return np.dtype, value
    if isinstance(value, np.generic | np.ndarray):
        return encode_array(np.asarray(value))
    if isinstance(value, tuple):
        return type(value), *map(encode, value)
    if isinstance(value, slice):
        return slice, encode(value.start), encode(value.stop), encode(value.step)
    if "__dataclass_params__" in vars(type(value)) and type(value).__dataclass_params__.frozen:
        return type(value), *(encode(getattr(value, f.name)) for f in dataclasses.fields(value))
    return _Identity(value)


def encode_array(array: Array) -> Hashable:
    return "array", array.dtype.str, array.shape, array.tobytes()


class Interner:
    """Makes the nodes of one compilation.

    `stands_for`: the user's Variables each interned Variable came from.  `equal_sizes`: pairs of
    unequal sizes that inference took to be equal at some node.
    """

    def __init__(self) -> None:
        self.stands_for: dict[Variable, list[Variable]] = {}
        self.equal_sizes: set[frozenset[Any]] = set()
        self._nodes: dict[Hashable, Apply] = {}
        self._own: set[Variable] = set()
        self._constants: dict[Hashable, Constant] = {}

    def make(self, op: Op, inputs: Sequence[Variable], location: source.Location = (), scope: str = "") -> Apply:
        """The node of `op` on interned `inputs`; a new one remembers `location` and `scope`.

        Raises what `op.infer` raises.
        """
        key = (encode(op), tuple(inputs))
        found = self._nodes.get(key)
        if found is not None:
            return found
        try:
            types = op.infer(*(v.type for v in inputs))
        finally:
            constraints = SizeConstraints.take()
        self.equal_sizes.update(frozenset(pair) for pair in constraints)
        node = Apply(op, inputs, types if isinstance(types, tuple) else (types,), constraints)
        node.source, node.scope = location, scope
        self._nodes[key] = node
        self._own.update(node.outputs)
        return node

    def leaf(self, v: Variable) -> Variable:
        """The interned leaf for `v`: one Constant per value, other leaves stand for themselves."""
        if not isinstance(v, Constant) or v.value.nbytes > BYTES_COMPARED:
            return v
        return self._constants.setdefault(encode_array(v.value), v)

    def record(self, new: Variable, old: Variable) -> None:
        """`new` computes what `old` does: it stands for `old`, or for what an interned `old` stood for."""
        if new is not old:
            originals = self.stands_for.get(old, ()) if old in self._own else (old,)
            self.stands_for.setdefault(new, []).extend(originals)
