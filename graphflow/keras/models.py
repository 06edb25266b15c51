"""Models."""

from graphflow.keras.engine.input_layer import Input
from graphflow.keras.engine.sequential import Sequential
from graphflow.keras.engine.training import Model

__all__ = ["Input", "Model", "Sequential"]
