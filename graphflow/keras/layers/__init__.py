"""Layers."""

from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.keras.layers.core import Activation, Dense, Dropout, Flatten, Input, InputLayer

__all__ = ["Activation", "Dense", "Dropout", "Flatten", "Input", "InputLayer", "InputSpec", "Layer"]
