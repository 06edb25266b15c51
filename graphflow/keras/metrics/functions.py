"""Metrics as functions of (y_true, y_pred): numbers for each sample, whose mean is reported.

Those of Keras 1 (precision, recall, fmeasure, matthews_correlation ...) give one number for a batch.
"""

from __future__ import annotations

from typing import Any

from graphflow.graph.variable import Variable, as_variable
from graphflow.keras import backend as K
from graphflow.keras import generation, losses
from graphflow.keras.lookup import Table
from graphflow.keras.losses.base import as_float, same_rank
from graphflow.ops.elementwise import cast, clip, divide, multiply, negative, sqrt, square
from graphflow.ops.logic import equal, greater
from graphflow.ops.reduction import argmax, sum_
from graphflow.ops.rounding import rint
from graphflow.ops.shape import reshape
from graphflow.ops.sorting import in_top_k
from graphflow.ops.statistics import mean

METRICS = Table("metric")


def number(x: Variable) -> Variable:
    """x, bools included, in the float dtype."""
    return cast(x, K.floatx())


# --- accuracy ------------------------------------------------------------------------------------
@METRICS.add()
def accuracy(y_true: Any, y_pred: Any) -> Variable:
    """1 where both are equal."""
    t, p = same_rank(as_variable(y_true), as_variable(y_pred))
    return number(equal(cast(t, p.dtype), p))


@METRICS.add()
def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Variable:
    """The part of the last axis where y_pred > threshold is what y_true says."""
    p = as_variable(y_pred)
    chosen = rint(p) if threshold == 0.5 and generation.resolve("binary accuracy rounds") else number(greater(p, threshold))
    return mean(number(equal(as_variable(y_true), chosen)), axis=-1)


@METRICS.add()
def categorical_accuracy(y_true: Any, y_pred: Any) -> Variable:
    """1 where the largest of the last axis is at the same place."""
    return number(equal(argmax(as_variable(y_true), axis=-1), argmax(as_variable(y_pred), axis=-1)))


@METRICS.add()
def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Variable:
    """1 where the largest of y_pred is at the place whose number y_true has."""
    p = as_variable(y_pred)
    return number(equal(losses.class_numbers(y_true, p), argmax(p, axis=-1)))


@METRICS.add()
def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Variable:
    """1 where the largest of y_true is at a place of the k largest of y_pred."""
    return _in_top(argmax(as_variable(y_true), axis=-1), as_variable(y_pred), k)


@METRICS.add()
def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Variable:
    """1 where y_true is the number of a place of the k largest of y_pred."""
    p = as_variable(y_pred)
    return _in_top(losses.class_numbers(y_true, p), p, k)


def _in_top(labels: Variable, p: Variable, k: int) -> Variable:
    """For each line of p whether its label is among the k largest; before Keras 2.3 the mean of that over the last axis."""
    found = in_top_k(reshape(p, (-1, p.shape[-1])), reshape(labels, (-1,)), k)
    lines = reshape(number(found), p.shape[:-1])
    return mean(lines, axis=-1) if generation.resolve("top k accuracy is of a batch") else lines


# --- correlations ----------------------------------------------------------------------------------
@METRICS.add()
def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Variable:
    """The correlation of both along `axis`."""
    t, p = (v - mean(v, axis=axis, keepdims=True) for v in (as_float(y_true), as_float(y_pred)))
    return negative(losses.cosine_similarity(t, p, axis))


@METRICS.add()
def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Variable:
    """2 * covariance / (both variances + the squared difference of the means) along `axis` (Lin 1989)."""
    values = [as_float(y_true), as_float(y_pred)]
    means = [mean(v, axis=axis, keepdims=True) for v in values]
    t, p = (v - m for v, m in zip(values, means, strict=True))
    scale = mean(square(t) + square(p) + square(means[0] - means[1]), axis=axis)
    return divide(multiply(mean(t * p, axis=axis), 2.0), scale)


# --- losses as metrics ---------------------------------------------------------------------------
@METRICS.add("cosine", "cosine_proximity")
def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Variable:
    """The cosine of the angle between both; before Keras 2.3 minus that, as the loss."""
    loss = losses.cosine_proximity(y_true, y_pred, axis)
    return loss if generation.resolve("the metric cosine is negative") else negative(loss)


mean_squared_error = mse = MSE = METRICS.add("mse")(losses.mean_squared_error)
mean_absolute_error = mae = MAE = METRICS.add("mae")(losses.mean_absolute_error)
mean_absolute_percentage_error = mape = MAPE = METRICS.add("mape")(losses.mean_absolute_percentage_error)
mean_squared_logarithmic_error = msle = MSLE = METRICS.add("msle")(losses.mean_squared_logarithmic_error)
hinge = METRICS.add()(losses.hinge)
squared_hinge = METRICS.add()(losses.squared_hinge)
categorical_hinge = METRICS.add()(losses.categorical_hinge)
logcosh = log_cosh = METRICS.add("log_cosh")(losses.logcosh)
huber = METRICS.add()(losses.huber)
binary_crossentropy = METRICS.add("bce")(losses.binary_crossentropy)
categorical_crossentropy = METRICS.add()(losses.categorical_crossentropy)
sparse_categorical_crossentropy = METRICS.add()(losses.sparse_categorical_crossentropy)
binary_focal_crossentropy = METRICS.add()(losses.binary_focal_crossentropy)
categorical_focal_crossentropy = METRICS.add()(losses.categorical_focal_crossentropy)
kullback_leibler_divergence = kl_divergence = kld = KLD = METRICS.add("kld", "kl_divergence")(losses.kullback_leibler_divergence)
poisson = METRICS.add()(losses.poisson)
cosine = cosine_proximity = cosine_similarity


# --- of Keras 1: numbers of a whole batch ---------------------------------------------------------
def _ones(x: Any) -> Variable:
    """How many elements round to 1."""
    return sum_(rint(clip(as_float(x), 0.0, 1.0)))


@METRICS.add()
def precision(y_true: Any, y_pred: Any) -> Variable:
    """The part of what is found that is right, of a batch, for several labels."""
    return divide(_ones(multiply(as_float(y_true), y_pred)), _ones(y_pred) + K.epsilon())


@METRICS.add()
def recall(y_true: Any, y_pred: Any) -> Variable:
    """The part of what is right that is found, of a batch, for several labels."""
    return divide(_ones(multiply(as_float(y_true), y_pred)), _ones(y_true) + K.epsilon())


@METRICS.add()
def fbeta_score(y_true: Any, y_pred: Any, beta: float = 1) -> Variable:
    """(1 + beta ** 2) * p * r / (beta ** 2 * p + r) for the precision p and the recall r of a batch."""
    p, r = precision(y_true, y_pred), recall(y_true, y_pred)
    return divide(multiply(p * r, 1 + beta**2), multiply(p, beta**2) + r + K.epsilon())


@METRICS.add("f1score", "fscore")
def fmeasure(y_true: Any, y_pred: Any) -> Variable:
    """The harmonic mean of the precision and the recall of a batch."""
    return fbeta_score(y_true, y_pred, beta=1)


@METRICS.add()
def matthews_correlation(y_true: Any, y_pred: Any) -> Variable:
    """The correlation of predicted and true classes of a batch, from -1 to 1 (Matthews 1975)."""
    p, t = (rint(clip(as_float(v), 0.0, 1.0)) for v in (y_pred, y_true))
    tp, tn, fp, fn = sum_(t * p), sum_((1 - t) * (1 - p)), sum_((1 - t) * p), sum_(t * (1 - p))
    return divide(tp * tn - fp * fn, sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) + K.epsilon())


f1score = fscore = fmeasure
