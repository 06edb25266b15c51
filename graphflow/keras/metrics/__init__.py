"""Metrics: functions of (y_true, y_pred), whose mean over samples is reported, and classes that keep state.

The protocol between metrics and training:

- `is_stateful(m)`: whether `m` keeps state, so that its value after the last batch counts, and not the mean
  of its values over samples.  A `Metric` does, and a layer of Keras 2.2 that says `stateful = True`.
- `reading(m, y_true, y_pred, sample_weight=None)` gives `value`, a scalar Variable: the metric after this batch,
  and `updates`, the pairs (variable, new value) to perform with it, in training steps and in test steps alike.
- `m.reset_states()` begins again: before each epoch, and before each evaluation.
- `engine.objective.Objective` does this for a compiled model: `values` holds the values, `running` says for
  each whether it is the last that counts, `metric_updates` are all updates, `reset_metrics()` resets all.

Outside of training the same object works on arrays: `m.update_state(y_true, y_pred)`, `float(m.result())`.
"""

from graphflow.keras.metrics.base import Metric, Reading, is_stateful, reading
from graphflow.keras.metrics.confusion import (
    AUC,
    FalseNegatives,
    FalsePositives,
    Precision,
    PrecisionAtRecall,
    Recall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SensitivitySpecificityBase,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)
from graphflow.keras.metrics.functions import (
    KLD,
    MAE,
    MAPE,
    METRICS,
    MSE,
    MSLE,
    accuracy,
    binary_accuracy,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_accuracy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    concordance_correlation,
    cosine,
    cosine_proximity,
    cosine_similarity,
    f1score,
    fbeta_score,
    fmeasure,
    fscore,
    hinge,
    huber,
    kl_divergence,
    kld,
    kullback_leibler_divergence,
    log_cosh,
    logcosh,
    mae,
    mape,
    matthews_correlation,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    mse,
    msle,
    pearson_correlation,
    poisson,
    precision,
    recall,
    sparse_categorical_accuracy,
    sparse_categorical_crossentropy,
    sparse_top_k_categorical_accuracy,
    squared_hinge,
    top_k_categorical_accuracy,
)
from graphflow.keras.metrics.means import (
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    ConcordanceCorrelation,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    Mean,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanMetricWrapper,
    MeanRelativeError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    MeanTensor,
    PearsonCorrelation,
    Poisson,
    Reduce,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SquaredHinge,
    Sum,
    TopKCategoricalAccuracy,
)
from graphflow.keras.metrics.overlap import (
    BinaryIoU,
    IoU,
    MeanIoU,
    OneHotIoU,
    OneHotMeanIoU,
)
from graphflow.keras.metrics.resolution import (
    METRIC_CLASSES,
    clone_metric,
    clone_metrics,
    deserialize,
    get,
    resolve,
    serialize,
)
from graphflow.keras.metrics.scores import (
    F1Score,
    FBetaScore,
    R2Score,
)

__all__ = [
    "AUC", "KLD", "MAE", "MAPE", "METRICS", "METRIC_CLASSES", "MSE", "MSLE", "Accuracy", "BinaryAccuracy",
    "BinaryCrossentropy", "BinaryIoU", "CategoricalAccuracy", "CategoricalCrossentropy", "CategoricalHinge",
    "ConcordanceCorrelation", "CosineSimilarity", "F1Score", "FBetaScore", "FalseNegatives", "FalsePositives", "Hinge",
    "IoU", "KLDivergence", "LogCoshError", "Mean", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanIoU",
    "MeanMetricWrapper", "MeanRelativeError", "MeanSquaredError", "MeanSquaredLogarithmicError", "MeanTensor", "Metric",
    "OneHotIoU", "OneHotMeanIoU", "PearsonCorrelation", "Poisson", "Precision", "PrecisionAtRecall", "R2Score", "Reading",
    "Recall", "RecallAtPrecision", "Reduce", "RootMeanSquaredError", "SensitivityAtSpecificity",
    "SensitivitySpecificityBase", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy", "SpecificityAtSensitivity", "SquaredHinge", "Sum", "TopKCategoricalAccuracy",
    "TrueNegatives", "TruePositives", "accuracy", "binary_accuracy", "binary_crossentropy", "binary_focal_crossentropy",
    "categorical_accuracy", "categorical_crossentropy", "categorical_focal_crossentropy", "categorical_hinge",
    "clone_metric", "clone_metrics", "concordance_correlation", "cosine", "cosine_proximity", "cosine_similarity", "deserialize", "f1score", "fbeta_score",
    "fmeasure", "fscore", "get", "hinge", "huber", "is_stateful", "kl_divergence", "kld", "kullback_leibler_divergence",
    "log_cosh", "logcosh", "mae", "mape", "matthews_correlation", "mean_absolute_error", "mean_absolute_percentage_error",
    "mean_squared_error", "mean_squared_logarithmic_error", "mse", "msle", "pearson_correlation", "poisson", "precision",
    "reading", "recall", "resolve", "serialize", "sparse_categorical_accuracy", "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy", "squared_hinge", "top_k_categorical_accuracy",
]  # fmt: skip
