"""What Keras 2 kept of Keras 1."""

from graphflow.keras.legacy import interfaces

__all__ = ["interfaces"]
