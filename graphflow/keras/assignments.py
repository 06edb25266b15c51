"""Statements that assign, as updates.

A user's `update_state` or `update_step` assigns to variables one after another, and reads what it has
assigned.  A graph's updates happen together, from the old values.  `Statements` translates: a node reads the
assignments that were made before it, known from the order in which nodes are made.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any

from graphflow.compiler.clone import Cloner
from graphflow.graph import source
from graphflow.graph.variable import Apply, Shared, Variable, as_variable
from graphflow.ops.state import Assign, assign, recording

Updates = list[tuple[Shared, Variable]]
_NOW = sys.maxsize
_active: ContextVar[bool] = ContextVar("statements", default=False)


def inside_statements() -> bool:
    """Whether assignments are being collected."""
    return _active.get()


class _InOrder(Cloner):
    """Clones with every read of a variable replaced by what had been assigned to it."""

    def __init__(self) -> None:
        super().__init__({})
        self.versions: dict[Variable, list[tuple[int, Variable]]] = {}

    def read(self, v: Variable, serial: int) -> Variable:
        """v as the node with this serial number sees it."""
        earlier = [value for made, value in self.versions.get(v, ()) if made < serial]
        return earlier[-1] if earlier else self.of.get(v, v)

    def clone_apply(self, node: Apply) -> None:
        inputs = [self.read(v, node.serial) for v in node.inputs]
        if isinstance(node.op, Assign):
            self.versions.setdefault(node.inputs[0], []).append((node.serial, inputs[1]))
            self.of[node.outputs[0]] = inputs[1]
        elif any(a is not b for a, b in zip(inputs, node.inputs, strict=True)):
            with source.at(node.source):
                self.of.update(zip(node.outputs, self.rebuild(node, inputs), strict=True))


class Statements:
    """`with Statements() as done: ...` collects the assignments made inside (`v.assign`, pairs given to `note`)."""

    def __enter__(self) -> Statements:
        self._scope = ExitStack()
        self._made = self._scope.enter_context(recording())
        token = _active.set(True)
        self._scope.callback(_active.reset, token)
        self._cloner = _InOrder()
        return self

    def __exit__(self, *error: Any) -> None:
        self._scope.close()

    @staticmethod
    def note(returned: Any) -> None:
        """Pairs (variable, new value), as `K.update` makes them, single or in lists, as assignments made now."""
        if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], Shared):
            assign(returned[0], as_variable(returned[1], returned[0].dtype))
        elif isinstance(returned, list | tuple):
            for part in returned:
                Statements.note(part)

    def now(self, values: Iterable[Variable]) -> list[Variable]:
        """Values computed inside, in terms of what variables held before."""
        wanted = list(values)
        for made in self._made:
            self._cloner.clone([made])
        self._cloner.clone(wanted)
        return [self._cloner.read(v, _NOW) for v in wanted]

    def updates(self) -> Updates:
        """Each variable that was assigned to, with its last value."""
        self.now([])
        return [(cell, versions[-1][1]) for cell, versions in self._cloner.versions.items() if isinstance(cell, Shared)]
