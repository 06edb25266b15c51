"""Losses as classes, with a reduction and the options of their functions."""

from __future__ import annotations

from graphflow.keras.losses import classification, regression
from graphflow.keras.losses.base import LOSS_CLASSES, Formula, LossFunctionWrapper, Reduction
from graphflow.keras.wrapping import wrapper_class


def _class_of(name: str, fn: Formula, default_name: str | None = None) -> type[LossFunctionWrapper]:
    """The class `name` of a loss function; its arguments are the function's options, reduction, name and dtype."""
    common = {"reduction": Reduction.SUM_OVER_BATCH_SIZE, "name": default_name or fn.__name__, "dtype": None}
    return LOSS_CLASSES.add()(wrapper_class(name, LossFunctionWrapper, fn, common, __name__))


MeanSquaredError = _class_of("MeanSquaredError", regression.mean_squared_error)
MeanAbsoluteError = _class_of("MeanAbsoluteError", regression.mean_absolute_error)
MeanAbsolutePercentageError = _class_of("MeanAbsolutePercentageError", regression.mean_absolute_percentage_error)
MeanSquaredLogarithmicError = _class_of("MeanSquaredLogarithmicError", regression.mean_squared_logarithmic_error)
LogCosh = _class_of("LogCosh", regression.logcosh, "log_cosh")
Huber = _class_of("Huber", regression.huber, "huber_loss")
KLDivergence = _class_of("KLDivergence", regression.kullback_leibler_divergence, "kl_divergence")
Poisson = _class_of("Poisson", regression.poisson)
CosineSimilarity = _class_of("CosineSimilarity", regression.cosine_proximity, "cosine_similarity")
Hinge = _class_of("Hinge", regression.hinge)
SquaredHinge = _class_of("SquaredHinge", regression.squared_hinge)
CategoricalHinge = _class_of("CategoricalHinge", regression.categorical_hinge)
BinaryCrossentropy = _class_of("BinaryCrossentropy", classification.binary_crossentropy)
CategoricalCrossentropy = _class_of("CategoricalCrossentropy", classification.categorical_crossentropy)
SparseCategoricalCrossentropy = _class_of("SparseCategoricalCrossentropy", classification.sparse_categorical_crossentropy)
BinaryFocalCrossentropy = _class_of("BinaryFocalCrossentropy", classification.binary_focal_crossentropy)
CategoricalFocalCrossentropy = _class_of("CategoricalFocalCrossentropy", classification.categorical_focal_crossentropy)
CategoricalGeneralizedCrossEntropy = _class_of("CategoricalGeneralizedCrossEntropy", classification.categorical_generalized_cross_entropy)
CTC = _class_of("CTC", classification.ctc)
Dice = _class_of("Dice", classification.dice)
Tversky = _class_of("Tversky", classification.tversky)
