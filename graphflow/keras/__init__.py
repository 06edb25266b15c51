"""The layer API of Keras 2 on graphflow's graphs."""

from graphflow.keras import (
    activations,
    backend,
    callbacks,
    constraints,
    engine,
    generation,
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
