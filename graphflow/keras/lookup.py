"""Losses, optimizers, initializers ... by name, and objects as plain data."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Shared
from graphflow.keras import backend as K
from graphflow.keras.custom_objects import get_registered_name, get_registered_object

T = TypeVar("T")


class Table:
    """What Keras's strings of one kind stand for.

    Names match without regard to case and underscores.  `makes`: entries are classes and
    functions that are called without arguments to get the object.
    """

    def __init__(self, kind: str, makes: bool = False) -> None:
        self.kind = kind
        self.makes = makes
        self._entries: dict[str, tuple[str, Any]] = {}
        self._names: list[str] = []

    def add(self, *aliases: str) -> Callable[[T], T]:
        """A decorator that enters a function or class under its name and the aliases."""

        def enter(entry: T) -> T:
            own: str = entry.__name__  # type: ignore[attr-defined]
            self._names.append(own)
            self._entries.update({_key(name): (name, entry) for name in (own, *aliases)})
            return entry

        return enter

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _key(name) in self._entries

    def find(self, name: str) -> Any:
        """The entry called `name`, the user's own first; raises GraphError that lists what is known."""
        own = get_registered_object(name)
        if own is not None:
            return own
        if _key(name) not in self._entries:
            near = difflib.get_close_matches(_key(name), self._entries, 1)
            guess = f"did you mean {self._entries[near[0]][0]!r}? " if near else ""
            raise GraphError(f"no {self.kind} is called {name!r}", hint=f"{guess}known: {', '.join(self._names)}")
        return self._entries[_key(name)][1]

    def get(self, identifier: Any) -> Any:
        """The object for a name, {'class_name', 'config'}, class or object; None for None."""
        if isinstance(identifier, str):
            entry = self.find(identifier)
            return entry() if self.makes or isinstance(entry, type) else entry
        if isinstance(identifier, Mapping) and "class_name" in identifier:
            entry = self.find(identifier["class_name"])
            return getattr(entry, "from_config", lambda config: entry(**config))(dict(identifier.get("config") or {}))
        if isinstance(identifier, type):
            return identifier()
        if identifier is not None and not callable(identifier) and not hasattr(identifier, "get_config"):
            raise GraphError(
                f"{identifier!r:.60} is not {'an' if self.kind[0] in 'aeio' else 'a'} {self.kind}",
                hint="pass a name, a function or an object",
            )
        return identifier


def _key(name: str) -> str:
    return name.replace("_", "").lower()


def as_data(value: Any) -> Any:
    """A constructor argument as JSON-like data: objects as {'class_name', 'config'}, functions by name."""
    if isinstance(value, Shared):
        return K.get_value(value).tolist()
    if hasattr(value, "get_config"):
        return {"class_name": get_registered_name(type(value)), "config": value.get_config()}
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    if isinstance(value, list | tuple):
        return [as_data(v) for v in value]
    return value
