"""Programs written for other libraries: `import keras` finds graphflow.keras, and so on.

`graphflow run` installs the finder before it starts a script; nothing else does.
"""

from __future__ import annotations

import importlib
import importlib.util
import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from graphflow.graph.errors import GraphflowError, MissingExtraError

FRONT_ENDS = {"keras": "graphflow.keras", "theano": "graphflow.compat.theano", "tensorflow": "graphflow.compat.tf1"}


class Alias(Loader):
    """Loads a module under a second name: one module, which keeps its own spec."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.name)
        self.own = module.__spec__  # the import machinery writes the alias's into the module
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.own


class Finder(MetaPathFinder):
    """Finds the front ends, and their submodules, in graphflow."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        top, _, rest = fullname.partition(".")
        if top not in FRONT_ENDS:
            return None
        name = f"{FRONT_ENDS[top]}.{rest}" if rest else FRONT_ENDS[top]
        found = _find(name)
        if found is None:
            raise MissingExtraError(f"`import {fullname}`: this version of graphflow has no {name}", hint=_present())
        return ModuleSpec(fullname, Alias(name), is_package=found.submodule_search_locations is not None)


def _find(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None


def _present() -> str:
    found = [alias for alias, name in FRONT_ENDS.items() if _find(name)]
    return f"programs that run: those that import {', '.join(found)}" if found else "no front end is there yet; `import graphflow` works"


@contextmanager
def front_ends() -> Iterator[None]:
    """`with front_ends(): import keras` imports graphflow.keras, whatever else is installed."""
    finder = Finder()
    hidden = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in FRONT_ENDS}
    for name in hidden:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [n for n in sys.modules if n.partition(".")[0] in FRONT_ENDS]:
            del sys.modules[name]
        sys.modules.update(hidden)


def run_script(script: str, arguments: Sequence[str]) -> None:
    """Run a script as `python SCRIPT ARGUMENTS` would, with the front ends in place."""
    if not Path(script).is_file():
        raise GraphflowError(f"there is no file {script}")
    arguments_before, path_before = sys.argv, list(sys.path)
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).resolve().parent))
    try:
        with front_ends():
            runpy.run_path(script, run_name="__main__")
    finally:
        sys.argv, sys.path[:] = arguments_before, path_before
