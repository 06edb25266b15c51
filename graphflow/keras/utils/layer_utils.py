"""print_summary, under the path that Keras 1 and 2 had it."""

from graphflow.keras.engine.summary import print_summary

__all__ = ["print_summary"]
