"""The classes that configurations name, and the arguments they take."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from graphflow.keras.custom_objects import get_registered_object
from graphflow.keras.engine.registry import CLASSES, FORMER_NAMES

LIBRARY = "graphflow."


def class_of(name: str, custom_objects: Mapping[str, Any]) -> Any:
    """The layer class called `name`, the user's own first; None if nobody knows it."""
    own = get_registered_object(name, custom_objects)
    return CLASSES.get(FORMER_NAMES.get(name, name)) if own is None else own


def is_built_in(cls: Any) -> bool:
    """Whether a class is the library's, so that its arguments are known."""
    return isinstance(cls, type) and cls.__module__.startswith(LIBRARY)


def arguments_of(cls: type) -> set[str]:
    """The names that a constructor takes, those that it hands to its bases included."""
    names: set[str] = set()
    for base in cls.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters
            names.update(parameters)
            if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
                break
    return names


def call_arguments(cls: Any) -> tuple[list[str], bool]:
    """(names of the arguments of a layer's `call`, whether it takes any others)."""
    parameters = list(inspect.signature(cls.call).parameters.values())[1:]
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)
