"""Module paths of Keras 1 and 2 that are no files here: `keras.objectives`, `keras.engine.topology`, `keras.layers.recurrent` ...

Such a path is a module whose names are those of other modules, looked up when they are used.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

KERAS = "graphflow.keras"

# path -> the modules whose names it has, the first that knows a name wins
PATHS: dict[str, tuple[str, ...]] = {
    # Keras 1
    "objectives": ("losses",),
    "initializations": ("initializers",),
    "utils.visualize_util": ("utils.vis_utils",),
    # Keras 2
    "engine.topology": ("engine", "engine.base_layer", "engine.input_layer", "engine.network", "engine.node", "utils.layer_utils", "utils.generic_utils", "layers"),
    "engine.saving": ("saving", "models"),
    "engine.training_arrays": ("engine.training",),
    "engine.training_generator": ("engine.training",),
    "engine.training_utils": ("engine.training", "losses"),
    "legacy.layers": ("layers",),
    "backend.common": ("backend",),
    "backend.load_backend": ("backend",),
    "backend.tensorflow_backend": ("backend",),
    "backend.theano_backend": ("backend",),
    "callbacks.callbacks": ("callbacks",),
    "callbacks.tensorboard_v1": ("callbacks",),
    "callbacks.tensorboard_v2": ("callbacks",),
    **{
        f"layers.{name}": ("layers",)
        for name in (
            "advanced_activations", "attention", "convolutional", "convolutional_recurrent", "core", "cudnn_recurrent", "embeddings", "local", "merge",
            "noise", "normalization", "pooling", "recurrent", "rnn", "wrappers",
        )
    },
    "utils.training_utils": ("utils.multi_gpu_utils",),
    "utils.losses_utils": ("losses",),
    "utils.metrics_utils": ("metrics",),
    "applications.mobilenetv2": ("applications.mobilenet_v2",),
    "applications.resnet50": ("applications.resnet",),
    "applications.resnet_common": ("applications.resnet", "applications.resnet_v2"),
}  # fmt: skip

# path -> {a name that has another one now}
OTHER_NAMES: dict[str, dict[str, str]] = {
    "utils.visualize_util": {"plot": "plot_model", "to_graph": "model_to_dot"},
    "engine.topology": {"Container": "Network", "_to_list": "to_list", "_object_list_uid": "object_list_uid"},
}

# packages that are imported when they are first named
ON_USE = ("applications", "datasets", "legacy", "preprocessing", "wrappers")


class HistoricalModule(ModuleType):
    """The names of other modules under a path of their own."""

    sources: tuple[str, ...]
    renamed: dict[str, str]

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return sorted({*self.renamed, *(n for module in self._modules() for n in _public(module))})
        wanted = self.renamed.get(name, name)
        for module in self._modules():
            if not wanted.startswith("__") and hasattr(module, wanted):
                return getattr(module, wanted)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return list(self.__all__)

    def _modules(self) -> list[ModuleType]:
        return [importlib.import_module(f"{KERAS}.{source}") for source in self.sources]


def _public(module: ModuleType) -> list[str]:
    return list(getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")]))


class HistoricalFinder(MetaPathFinder, Loader):
    """Finds PATHS where no file is found."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        inside = fullname.removeprefix(f"{KERAS}.")
        return ModuleSpec(fullname, self) if inside != fullname and inside in PATHS else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        made = HistoricalModule(spec.name)
        inside = spec.name.removeprefix(f"{KERAS}.")
        made.sources, made.renamed = PATHS[inside], OTHER_NAMES.get(inside, {})
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Its names come when they are used."""


def submodule(package: str, name: str) -> ModuleType:
    """A submodule by attribute: `keras.engine.topology` without an import of its own.  Raises AttributeError if there is none."""
    inside = f"{package.removeprefix(KERAS)}.{name}".lstrip(".")
    if inside in PATHS or inside in ON_USE:
        return importlib.import_module(f"{KERAS}.{inside}")
    raise AttributeError(f"module {package!r} has no attribute {name!r}")


def install() -> None:
    """Let the paths be imported, and be attributes of the packages that they are in.

    A path that is a module here has its own names first: `keras.layers.convolutional` has pooling, too.
    """
    if not any(isinstance(finder, HistoricalFinder) for finder in sys.meta_path):
        sys.meta_path.append(HistoricalFinder())
    for package in {path.rpartition(".")[0] for path in PATHS} - {""}:
        module = sys.modules.get(f"{KERAS}.{package}")
        if module is None:
            continue
        vars(module).setdefault("__path__", [])  # a module of one file has submodules, too
        vars(module).setdefault("__getattr__", lambda name, within=module.__name__: submodule(within, name))
    for path, sources in PATHS.items():
        module = sys.modules.get(f"{KERAS}.{path}")
        if module is not None and not isinstance(module, HistoricalModule):
            vars(module).setdefault("__getattr__", functools.partial(_elsewhere, module.__name__, sources))


def _elsewhere(name_of_module: str, sources: Sequence[str], name: str) -> Any:
    for source in sources if not name.startswith("__") else ():
        module = importlib.import_module(f"{KERAS}.{source}")
        if name in vars(module):
            return vars(module)[name]
    raise AttributeError(f"module {name_of_module!r} has no attribute {name!r}")
