"""Training or testing.

What differs between them is a choice on one shared boolean.  `fit` and `predict` never read it:
`folded` takes one side of every choice before anything is compiled.  A graph compiled as it is
follows the variable's value, False unless it was set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphflow.compiler.clone import transform
from graphflow.graph.traversal import leaves
from graphflow.graph.variable import Apply, Shared, Variable, as_variable, shared
from graphflow.ops.elementwise import Where, where
from graphflow.runtime.store import default_store


class _Process:
    phase: Shared | None = None


def learning_phase() -> Shared:
    """The shared boolean that is true while training."""
    if _Process.phase is None:
        _Process.phase = shared(False, name="learning_phase", shape=(), trainable=False)
    return _Process.phase


def set_learning_phase(value: Any) -> None:
    """The phase of graphs compiled outside `fit`, `evaluate` and `predict`; 0 or 1."""
    default_store().set(learning_phase(), bool(value))


def in_train_phase(x: Any, alt: Any, training: Any = None) -> Variable:
    """x while training, else alt; each a Variable or a function that makes it.

    `training` True or False decides now.
    """
    if training is None or isinstance(training, Variable):
        return where(learning_phase() if training is None else training, _made(x), _made(alt))
    return _made(x if training else alt)


def in_test_phase(x: Any, alt: Any, training: Any = None) -> Variable:
    """x while testing, else alt."""
    return in_train_phase(alt, x, training)


def _made(x: Variable | Callable[[], Variable]) -> Variable:
    return as_variable(x() if callable(x) else x)


def folded(outputs: Sequence[Variable], training: bool) -> list[Variable]:
    """`outputs` with the choices made; parts without a choice are shared with the original."""
    phase = learning_phase()
    if phase not in leaves(outputs):
        return list(outputs)

    def visit(node: Apply, inputs: list[Variable]) -> Sequence[Variable] | None:
        if isinstance(node.op, Where) and node.inputs[0] is phase:
            return [inputs[1] if training else inputs[2]]
        return None

    return transform(outputs, visit)
