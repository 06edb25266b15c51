"""Layers, nodes, inputs and models, under the path that Keras 1 and 2 had them."""

from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.input_layer import Input, InputLayer
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.keras.engine.network import Network
from graphflow.keras.engine.node import Node, get_source_inputs
from graphflow.keras.engine.training import Model

__all__ = ["Input", "InputLayer", "InputSpec", "Layer", "Model", "Network", "Node", "get_source_inputs"]
