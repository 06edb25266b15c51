"""What can be drawn or printed: a Variable, a collection of them, or what was made from a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable


def named_outputs(fetches: Any) -> list[tuple[str, Variable]]:
    """Pairs of a name ('' for none) and a Variable, in order.

    `fetches`: a Variable, a list, tuple or dict of Variables (a dict's keys become names), or an object
    with `graph_outputs`.  Raises GraphError for anything else, and for an empty collection.
    """
    found: list[tuple[str, Variable]] = []
    stack: list[tuple[str, Any]] = [("", fetches)]
    while stack:
        name, item = stack.pop()
        if isinstance(item, Variable):
            found.append((name, item))
        elif isinstance(item, Mapping):
            stack.extend((f"{name}/{key}" if name else str(key), v) for key, v in reversed(list(item.items())))
        elif isinstance(item, list | tuple):
            stack.extend((name, v) for v in reversed(item))
        elif isinstance(getattr(item, "graph_outputs", None), list | tuple):
            stack.append((name, item.graph_outputs))
        else:
            raise GraphError(
                f"expected Variables, got {type(item).__name__} {item!r:.60}",
                hint="pass a Variable, a list or dict of them, a compiled function or a model",
            )
    if not found:
        raise GraphError("there are no Variables to show", hint="pass a Variable, or a list or dict that has one")
    return found
