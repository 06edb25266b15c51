"""The layer API of Keras 2 on graphflow's graphs."""

from types import ModuleType

from graphflow.keras import (
    activations,
    backend,
    callbacks,
    constraints,
    engine,
    generation,
    historical,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    utils,
)
from graphflow.keras.engine.input_layer import Input
from graphflow.keras.models import Model, Sequential

__all__ = [
    "Input", "Model", "Sequential", "activations", "backend", "callbacks", "constraints", "engine", "generation", "initializers",
    "layers", "losses", "metrics", "models", "optimizers", "regularizers", "utils",
]  # fmt: skip

historical.install()


def __getattr__(name: str) -> ModuleType | str:
    """Packages that are imported when they are first named, modules of Keras 1, and the version of Keras that this process is as of."""
    if name == "__version__":
        return generation.version()
    return historical.submodule(__name__, name)
