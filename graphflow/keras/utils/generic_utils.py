"""Objects as plain data, names of the user's own objects, and small functions on lists that Keras 2 had."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.keras.custom_objects import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from graphflow.keras.progress import Progbar
from graphflow.keras.structure import as_list

__all__ = [
    "CustomObjectScope", "Progbar", "check_for_unexpected_keys", "custom_object_scope", "deserialize_keras_object", "func_dump", "func_load",
    "get_custom_objects", "get_registered_name", "get_registered_object", "has_arg", "is_all_none", "object_list_uid",
    "register_keras_serializable", "serialize_keras_object", "slice_arrays", "to_list", "transpose_shape", "unpack_singleton",
]  # fmt: skip


# --- objects as data -----------------------------------------------------------------------------
def serialize_keras_object(instance: Any) -> Any:
    """{'class_name', 'config'} of an object with `get_config`, the name of a function or class, None for None."""
    if instance is None:
        return None
    if hasattr(instance, "get_config") and not isinstance(instance, type):
        return {"class_name": get_registered_name(type(instance)), "config": instance.get_config()}
    if hasattr(instance, "__name__"):
        return get_registered_name(instance)
    raise GraphError(f"{instance!r:.60} has neither a configuration nor a name", hint="give its class a get_config")


def deserialize_keras_object(
    identifier: Any,
    module_objects: Mapping[str, Any] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    printable_module_name: str = "object",
) -> Any:
    """The object for {'class_name', 'config'}, or the function for a name, from the user's own or from `module_objects`.

    A class that a name stands for is called without arguments.  Raises GraphError for names that nothing is known by.
    """
    if identifier is None:
        return None
    if isinstance(identifier, str):
        found = _named(identifier, module_objects, custom_objects, printable_module_name)
        return found() if isinstance(found, type) else found
    if isinstance(identifier, Mapping):
        if "class_name" not in identifier or "config" not in identifier:
            raise GraphError(f"{identifier!r:.80} is no configuration of a {printable_module_name}", hint="it has 'class_name' and 'config'")
        cls = _named(identifier["class_name"], module_objects, custom_objects, printable_module_name)
        with CustomObjectScope(custom_objects or {}):
            return cls.from_config(identifier["config"]) if hasattr(cls, "from_config") else cls(**identifier["config"])
    if callable(identifier):
        return identifier
    raise GraphError(f"{identifier!r:.60} is no {printable_module_name}", hint="pass a name, a configuration or a function")


def _named(name: str, module_objects: Mapping[str, Any] | None, custom_objects: Mapping[str, Any] | None, kind: str) -> Any:
    found = get_registered_object(name, custom_objects, module_objects)
    if found is None:
        raise GraphError(f"no {kind} is called {name!r}", hint="pass it in custom_objects, or enter it with CustomObjectScope")
    return found


def func_dump(func: Callable[..., Any]) -> Any:
    """Raises GraphError: code is not data."""
    raise GraphError(f"func_dump: the code of {func.__name__!r} is not saved", hint="save its name, and pass it in custom_objects when you load")


def func_load(code: Any, defaults: Any = None, closure: Any = None, globs: Any = None) -> Any:
    """Raises GraphError: code from a file is never run."""
    raise GraphError("func_load: code from a file is not run", hint="define the function in your program, and pass it in custom_objects")


# --- lists ---------------------------------------------------------------------------------------
def to_list(x: Any, allow_tuple: bool = False) -> list[Any]:
    """x if it is a list (a list of a tuple with `allow_tuple`), else [x]."""
    if isinstance(x, list):
        return x
    return list(x) if allow_tuple and isinstance(x, tuple) else [x]


def unpack_singleton(x: Any) -> Any:
    """The only item of a list of one, else x."""
    return x[0] if len(x) == 1 else x


def is_all_none(iterable_or_element: Any) -> bool:
    """Whether x, or each item of the list x, is None."""
    items = iterable_or_element if isinstance(iterable_or_element, list | tuple) else [iterable_or_element]
    return all(item is None for item in items)


def object_list_uid(object_list: Any) -> str:
    """The identities of objects, as one string."""
    return ", ".join(str(abs(id(x))) for x in to_list(object_list))


def slice_arrays(arrays: Any, start: Any = None, stop: int | None = None) -> Any:
    """Rows start to stop of an array or of each in a list; `start` may be a list of row numbers."""
    if arrays is None:
        return [None]
    if isinstance(start, list) and stop is not None:
        raise GraphError("slice_arrays: a list of row numbers takes no stop")
    rows = list(start) if hasattr(start, "__len__") else slice(start, stop)
    if isinstance(arrays, list):
        return [None if a is None else a[rows] for a in arrays]
    return arrays[rows] if hasattr(arrays, "__getitem__") else [None]


def transpose_shape(shape: Sequence[Any], target_format: str, spatial_axes: Sequence[int]) -> tuple[Any, ...]:
    """A channels-last shape, of the same axes, in `target_format`."""
    if target_format == "channels_first":
        return (*shape[: spatial_axes[0]], shape[-1], *(shape[axis] for axis in spatial_axes))
    if target_format == "channels_last":
        return tuple(shape)
    raise GraphError(f"no data_format is called {target_format!r}", hint="use 'channels_first' or 'channels_last'")


def check_for_unexpected_keys(name: str, input_dict: Mapping[str, Any], expected_values: Sequence[str]) -> None:
    """Raises GraphError for keys that are not expected."""
    unknown = sorted(set(input_dict).difference(expected_values))
    if unknown:
        raise GraphError(f"{name} has the unknown keys {', '.join(map(str, unknown))}", hint=f"expected are {', '.join(as_list(expected_values))}")


def has_arg(fn: Any, name: str, accept_all: bool = False) -> bool:
    """Whether a function can be called with `name=`; `accept_all`: **kwargs counts."""
    parameters = inspect.signature(fn).parameters
    if accept_all and any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return True
    return name in parameters and parameters[name].kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
