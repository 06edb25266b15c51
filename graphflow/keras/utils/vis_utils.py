"""Pictures of models, under the path that Keras 2 had them."""

from graphflow.keras.plotting import model_to_dot, plot_model

__all__ = ["model_to_dot", "plot_model"]
