"""Where tf.keras 2.11 and later keep the optimizers of tf.keras 2; those of `optimizers` follow the generation by themselves."""

from graphflow.keras.optimizers.algorithms import SGD, Adadelta, Adagrad, Adam, Adamax, Ftrl, Nadam, RMSprop
from graphflow.keras.optimizers.custom import Optimizer

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "Adamax", "Ftrl", "Nadam", "Optimizer", "RMSprop"]
