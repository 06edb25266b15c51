"""Progbar, under the path that Keras 1 and 2 had it."""

from graphflow.keras.progress import Progbar

__all__ = ["Progbar"]
