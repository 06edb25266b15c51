"""Training or testing.

What differs between them is a choice on one shared boolean.  `fit` and `predict` never read it:
`folded` takes one side of every choice before anything is compiled.  A graph compiled as it is
follows the variable's value, False unless it was set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from graphflow.compiler.clone import clone, transform
from graphflow.graph.errors import GraphError
from graphflow.graph.traversal import leaves
from graphflow.graph.variable import Apply, Shared, Variable, as_variable, constant, give_attribute, shared
from graphflow.ops.elementwise import Where, where
from graphflow.ops.identity import identity
from graphflow.runtime.store import default_store


class _Process:
    phase: Shared | None = None
    decision: bool | None = None
    set_by_user: bool | None = None


def learning_phase() -> Shared:
    """The shared boolean that is true while training."""
    if _Process.phase is None:
        _Process.phase = shared(False, name="learning_phase", shape=(), trainable=False)
    return _Process.phase


def set_learning_phase(value: Any) -> None:
    """The phase, 0 or 1: of all layers that are called from now on, and of graphs compiled outside `fit`, `evaluate` and `predict`.

    Raises GraphError for any other value.
    """
    if value not in (0, 1):
        raise GraphError(f"Expected learning phase to be 0 or 1, and it is {value!r}.")
    default_store().set(learning_phase(), bool(value))
    _Process.set_by_user = bool(value)


def reset_learning_phase() -> None:
    """Let layers that are called from now on train and test again as their model does."""
    set_learning_phase(False)
    _Process.set_by_user = None


@contextmanager
def decided(training: Any) -> Iterator[None]:
    """Inside, `in_train_phase` takes the side that `training` says; None and Variables leave it as it is."""
    before = _Process.decision
    if training is not None and not isinstance(training, Variable):
        _Process.decision = bool(training)
    try:
        yield
    finally:
        _Process.decision = before


def decision() -> bool | None:
    """What the enclosing `decided` says, or else `set_learning_phase` said."""
    return _Process.set_by_user if _Process.decision is None else _Process.decision


def in_train_phase(x: Any, alt: Any, training: Any = None) -> Variable:
    """x while training, else alt; each a Variable or a function that makes it.

    `training` True or False decides now.
    """
    training = decision() if training is None else training
    if training is None or isinstance(training, Variable):
        return where(learning_phase() if training is None else training, _made(x), _made(alt))
    return _made(x if training else alt)


def in_test_phase(x: Any, alt: Any, training: Any = None) -> Variable:
    """x while testing, else alt."""
    return in_train_phase(alt, x, training)


def _made(x: Variable | Callable[[], Variable]) -> Variable:
    return as_variable(x() if callable(x) else x)


def while_training(allowed: Callable[[], bool]) -> Variable:
    """A condition that is true while training if `allowed()` is, when the function that trains is made."""
    condition = identity(learning_phase())
    condition.tag.allowed = allowed
    return condition


def _choice(condition: Variable, training: bool) -> bool | None:
    """What a condition is in a phase; None for one that does not depend on it alone."""
    if condition is _Process.phase:
        return training
    allowed = getattr(condition.tag, "allowed", None)
    return None if allowed is None else training and allowed()


def folded(outputs: Sequence[Variable], training: bool) -> list[Variable]:
    """`outputs` with the choices made; parts without a choice are shared with the original.

    Where the phase goes into a loop, it goes in as a constant.
    """
    phase = learning_phase()
    if phase not in leaves(outputs):
        return list(outputs)

    def visit(node: Apply, inputs: list[Variable]) -> Sequence[Variable] | None:
        taken = _choice(node.inputs[0], training) if isinstance(node.op, Where) else None
        return None if taken is None else [inputs[1] if taken else inputs[2]]

    chosen = transform(outputs, visit)
    return clone(chosen, {phase: constant(training)}) if phase in leaves(chosen) else chosen


def _uses_learning_phase(v: Variable) -> bool:
    return getattr(v.tag, "uses_learning_phase", False) or learning_phase() in leaves([v])


def _set_uses_learning_phase(v: Variable, value: bool) -> None:
    v.tag.uses_learning_phase = value


give_attribute("_uses_learning_phase", _uses_learning_phase, _set_uses_learning_phase)
