"""Models."""

from graphflow.keras.engine.input_layer import Input
from graphflow.keras.engine.sequential import Sequential
from graphflow.keras.engine.training import Model
from graphflow.keras.saving import load_model, model_from_config, model_from_json, model_from_yaml, save_model
from graphflow.keras.saving.cloning import clone_model

__all__ = [
    "Input", "Model", "Sequential", "clone_model", "load_model", "model_from_config", "model_from_json", "model_from_yaml", "save_model",
]  # fmt: skip
