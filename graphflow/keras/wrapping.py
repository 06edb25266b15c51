"""Classes made of functions of (y_true, y_pred): the function's options become arguments of the constructor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from graphflow.keras.arguments import recorded


def wrapper_class(name: str, base: type, fn: Callable[..., Any], common: Mapping[str, Any], module: str, options_first: bool = True) -> type[Any]:
    """A subclass of `base` in a module, whose constructor takes arguments with the defaults `common`, and the options of `fn`."""
    options = {p.name: p.default for p in list(inspect.signature(fn).parameters.values())[2:]}
    defaults = {**options, **common} if options_first else {**common, **options}
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("self", kind), *(inspect.Parameter(p, kind, default=value) for p, value in defaults.items())]
    signature = inspect.Signature(parameters)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        given = dict(list(bound.arguments.items())[1:])
        base.__init__(self, fn, **given)  # type: ignore[misc]
        self.__dict__.update({p: given[p] for p in options})

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return recorded(type(name, (base,), {"__init__": __init__, "__doc__": fn.__doc__, "__module__": module}))
