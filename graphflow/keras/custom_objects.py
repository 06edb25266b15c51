"""The user's own classes and functions, under the names that strings and files have for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from graphflow.graph.errors import GraphError

T = TypeVar("T")
_known: dict[str, Any] = {}
_registered: dict[Any, str] = {}


def get_custom_objects() -> dict[str, Any]:
    """The table of names: what is entered here is found by every `get` and by every file that is loaded."""
    return _known


class CustomObjectScope(AbstractContextManager["CustomObjectScope"]):
    """`with CustomObjectScope({"MyLayer": MyLayer}): ...`: names that are known inside only."""

    def __init__(self, *scopes: Mapping[str, Any]) -> None:
        self.custom_objects = {name: entry for scope in scopes for name, entry in (scope or {}).items()}

    def __enter__(self) -> CustomObjectScope:
        self._before = dict(_known)
        _known.update(self.custom_objects)
        return self

    def __exit__(self, *error: Any) -> None:
        _known.clear()
        _known.update(self._before)


def custom_object_scope(*scopes: Mapping[str, Any]) -> CustomObjectScope:
    """`with custom_object_scope({"MyLayer": MyLayer}): ...`"""
    return CustomObjectScope(*scopes)


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
    """A decorator that enters a class (with `get_config`) or function as "package>name" for files to name.

    Raises GraphError for a class without `get_config` and for a name that is taken.
    """

    def enter(entry: T) -> T:
        full = f"{package}>{name or entry.__name__}"  # type: ignore[attr-defined]
        if isinstance(entry, type) and not hasattr(entry, "get_config"):
            raise GraphError(f"{full}: the class has no get_config", hint="it is what a file keeps of an object")
        if _known.get(full, entry) is not entry:
            raise GraphError(f"{full} is registered already, for {_known[full]!r}", hint="give another package or name")
        _known[full] = entry
        _registered[entry] = full
        return entry

    return enter


def get_registered_name(obj: Any) -> str:
    """The name a class or function was registered under, or its own."""
    own: str = _registered.get(obj) or obj.__name__
    return own


def get_registered_object(name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None) -> Any:
    """What a name stands for: in the table of all, then in the two given; None if nowhere."""
    return next((table[name] for table in (_known, custom_objects or {}, module_objects or {}) if name in table), None)
