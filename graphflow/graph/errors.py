"""Errors that name the user's own line, what was expected, what came, and what to do."""

from __future__ import annotations

from typing import Self

from graphflow.graph import source
from graphflow.graph.source import Location


class GraphflowError(Exception):
    """Base of all errors graphflow raises on purpose.

    `message` says what is wrong, `location` is the user's line (by default the one running now),
    `context` lists lines such as operand types and where they were made, `hint` says what to do.
    """

    def __init__(self, message: str, *, hint: str = "", context: tuple[str, ...] = (), location: Location | None = None) -> None:
        self.message = message
        self.hint = hint
        self.context = context
        self.location = source.here() if location is None else location
        super().__init__(message)

    def with_context(self, *lines: str) -> Self:
        self.context = (*self.context, *(line for line in lines if line))
        return self

    def __str__(self) -> str:
        parts = [self.message, source.describe(self.location), *self.context]
        if self.hint:
            parts.append(f"  hint: {self.hint}")
        return "\n".join(p for p in parts if p)


class ShapeError(GraphflowError, ValueError):
    """Shapes that do not fit together, at building or at entry."""


class DTypeError(GraphflowError, TypeError):
    """An element type an op or a feed cannot take."""


class GraphError(GraphflowError, ValueError):
    """A graph that cannot be built or differentiated as asked."""


class DisconnectedError(GraphError):
    """A gradient with respect to something the cost does not depend on."""


class FeedError(GraphflowError, ValueError):
    """A placeholder without a value, or a feed that fits none."""


class StateError(GraphflowError, RuntimeError):
    """State that is not initialised, belongs elsewhere, or has another shape."""


class CheckError(GraphflowError, RuntimeError):
    """A run-time check that failed inside compiled code (an index out of range ...)."""


class CompileError(GraphflowError, RuntimeError):
    """The compiler's own fault: a rule, pass or verifier failed."""


class ExportError(GraphflowError, RuntimeError):
    """A function that cannot become a standalone kernel as asked."""


class MissingExtraError(GraphflowError, ImportError):
    """An optional library is not installed; the message names the extra."""
