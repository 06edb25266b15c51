"""Sequences, texts and images as arrays."""

from graphflow.keras.preprocessing import image, sequence, text

__all__ = ["image", "sequence", "text"]
