"""Losses: functions of (y_true, y_pred) that keep the batch, and classes that reduce them to a scalar.

`compile(loss=...)` takes a name, a function or an object of either kind, one's own included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphflow.keras.custom_objects import custom_object_scope
from graphflow.keras.lookup import as_data
from graphflow.keras.losses.base import LOSS_CLASSES, LOSSES, Loss, LossFunctionWrapper, Reduction, formula
from graphflow.keras.losses.classes import (
    CTC,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    CategoricalHinge,
    CosineSimilarity,
    Dice,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
)
from graphflow.keras.losses.classification import (
    BCE,
    bce,
    before,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    class_numbers,
    ctc,
    dice,
    sparse_categorical_crossentropy,
    tversky,
)
from graphflow.keras.losses.regression import (
    KLD,
    MAE,
    MAPE,
    MSE,
    MSLE,
    categorical_hinge,
    cosine,
    cosine_proximity,
    cosine_similarity,
    hinge,
    huber,
    huber_loss,
    kl_divergence,
    kld,
    kullback_leibler_divergence,
    log_cosh,
    logcosh,
    mae,
    mape,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    mse,
    msle,
    poisson,
    squared_hinge,
)

__all__ = [
    "BCE", "CTC", "KLD", "LOSSES", "LOSS_CLASSES", "MAE", "MAPE", "MSE", "MSLE", "BinaryCrossentropy", "BinaryFocalCrossentropy",
    "CategoricalCrossentropy", "CategoricalFocalCrossentropy", "CategoricalGeneralizedCrossEntropy", "CategoricalHinge",
    "CosineSimilarity", "Dice", "Hinge", "Huber", "KLDivergence", "LogCosh", "Loss", "LossFunctionWrapper", "MeanAbsoluteError",
    "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson", "Reduction",
    "SparseCategoricalCrossentropy", "SquaredHinge", "Tversky", "bce", "before", "binary_crossentropy",
    "binary_focal_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy", "categorical_hinge", "class_numbers", "cosine", "cosine_proximity",
    "cosine_similarity", "ctc", "deserialize", "dice", "formula", "get", "hinge", "huber", "huber_loss", "is_categorical_crossentropy",
    "kl_divergence", "kld", "kullback_leibler_divergence", "log_cosh", "logcosh", "mae", "mape", "mean_absolute_error",
    "mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error", "mse", "msle", "poisson",
    "serialize", "sparse_categorical_crossentropy", "squared_hinge", "tversky",
]  # fmt: skip


def get(identifier: Any) -> Any:
    """The loss for a name, {'class_name', 'config'}, class, function or object; None for None.

    A name gives the function.  Raises GraphError that lists the known names.
    """
    return (LOSS_CLASSES if isinstance(identifier, Mapping) else LOSSES).get(identifier)


def serialize(loss: Any) -> Any:
    """A function's name; {'class_name', 'config'} of an object."""
    return as_data(loss)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The loss for what `serialize` gives; `custom_objects` come first."""
    with custom_object_scope(custom_objects or {}):
        return get(config)


def is_categorical_crossentropy(loss: Any) -> bool:
    """Whether a loss is the categorical cross entropy, by name, as a function or as an object."""
    return formula(get(loss)) is categorical_crossentropy
