"""Constructors: recorded arguments, old names, defaults of the Keras generation."""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Mapping
from typing import Any, TypeVar

from graphflow.graph import source
from graphflow.graph.errors import GraphflowError
from graphflow.keras import generation
from graphflow.keras.lookup import as_data
from graphflow.keras.renames import LATER, NEWER_NAMES, ORDERS_OF_KERAS_1, RENAMES, VALUES

C = TypeVar("C", bound=type)
_POSITIONAL = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_warned: set[tuple[str, str]] = set()


class ArgumentError(GraphflowError, TypeError):
    """A call with arguments that the function does not have."""


def recorded(cls: C) -> C:
    """A class decorator: `__init__` takes old names and resolves DEFAULT; its arguments make `get_config`.

    Each argument is an attribute of the same name, so that the configuration has its present value.
    """
    init = cls.__init__  # type: ignore[misc]
    signature = inspect.signature(init)
    named = [p.name for p in list(signature.parameters.values())[1:] if p.kind in _POSITIONAL]
    unresolved = {p.name: f"{cls.__name__}.{p.name}" for p in signature.parameters.values() if p.default is generation.DEFAULT}

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        args, kwargs = _as_now(cls, args, kwargs)
        bound = bind(cls.__name__, signature, self, *args, **kwargs)
        for name, what in unresolved.items():
            if bound.arguments.get(name, generation.DEFAULT) is generation.DEFAULT:
                bound.arguments[name] = generation.resolve(what)
        bound.apply_defaults()
        self.__dict__.setdefault("_arguments", {name: bound.arguments[name] for name in named})
        init(*bound.args, **bound.kwargs)

    cls.__init__ = __init__  # type: ignore[misc]
    return cls


def _as_now(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a constructor as the present Keras has them."""
    order = ORDERS_OF_KERAS_1.get(cls.__name__)
    if order is not None and generation.current() == "1":
        args, kwargs = (), {**dict(zip(order, args, strict=False)), **kwargs}
    former = getattr(cls, "former_arguments", None)
    if former is not None:
        args, kwargs = former(args, kwargs)
    return args, with_new_names(cls.__name__, kwargs)


def bind(what: str, signature: inspect.Signature, *args: Any, **kwargs: Any) -> inspect.BoundArguments:
    """The arguments of a call; raises ArgumentError with the user's line."""
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        names = ", ".join(name for name, p in signature.parameters.items() if p.kind in _POSITIONAL and name != "self")
        raise ArgumentError(f"{what}: {error}", hint=f"arguments are {names}") from None


def recorded_config(instance: Any) -> dict[str, Any]:
    """The recorded arguments with their present values, as data."""
    arguments: dict[str, Any] = instance.__dict__.get("_arguments", {})
    present = {name: getattr(instance, name, value) for name, value in arguments.items()}
    later = LATER.get(type(instance).__name__, {})
    return {name: as_data(value) for name, value in present.items() if name not in later or later[name] != value}


def with_new_names(what: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments with the old names of RENAMES[what] replaced; the first use of each warns."""
    table = {**RENAMES.get(what, {}), **NEWER_NAMES.get(what, {})}
    renamed: dict[str, Any] = {}
    for name, value in kwargs.items():
        new = table.get(name, name)
        if new is not None and (new in renamed or (new != name and new in kwargs)):
            raise ArgumentError(f"{what}: {name} and {new} are two names of one argument")
        if new != name and (what, name) not in _warned and name not in NEWER_NAMES.get(what, {}):
            _warned.add((what, name))
            now = f"is now called {new!r}" if new else "is no more, and changes nothing"
            warnings.warn(f"{what}: the argument {name!r} {now}", DeprecationWarning, stacklevel=users_stacklevel())
        if new is not None:
            renamed[new] = VALUES.get(name, {}).get(value, value) if isinstance(value, str) else value
    return renamed


def no_more(what: str, kwargs: Mapping[str, Any]) -> None:
    """Raises ArgumentError if anything is left over."""
    if kwargs:
        raise ArgumentError(f"{what}: no argument is called {next(iter(kwargs))!r}")


def users_stacklevel() -> int:
    """The stacklevel at which a warning of the caller shows the user's line."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and source.is_internal(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    return level
