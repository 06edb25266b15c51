"""Metrics that are means or sums over samples: of values, and of functions of (y_true, y_pred)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.graph.errors import ShapeError
from graphflow.graph.variable import Variable, as_variable, constant
from graphflow.keras import losses
from graphflow.keras.arguments import recorded, recorded_config
from graphflow.keras.losses.base import same_rank
from graphflow.keras.metrics import functions
from graphflow.keras.metrics.base import Metric
from graphflow.keras.metrics.resolution import METRIC_CLASSES
from graphflow.keras.wrapping import wrapper_class
from graphflow.ops.elementwise import abs_, cast, divide, multiply, negative, sqrt, square, where
from graphflow.ops.logic import equal
from graphflow.ops.reduction import sum_
from graphflow.ops.shape import broadcast_to, expand_dims, is_one, squeeze
from graphflow.ops.statistics import mean


def ratio(x: Variable, y: Variable) -> Variable:
    """x / y, and 0 where y is 0."""
    zero = equal(y, 0)
    return where(zero, 0, divide(x, where(zero, 1, y)))


def of_samples(values: Variable, sample_weight: Any, fold: Callable[..., Variable]) -> tuple[Variable, Variable]:
    """One value times its weight, and one weight, for each sample; `fold` (a sum or mean) takes the other axes."""
    if sample_weight is None:
        values = _folded(values, 1, fold)
        return values, broadcast_to(constant(1, values.dtype), values.shape)
    weights = cast(as_variable(sample_weight), values.dtype)
    if weights.ndim == values.ndim + 1 and is_one(weights.shape[-1]):
        weights = squeeze(weights, -1)
    if weights.ndim > values.ndim:
        raise ShapeError(f"sample weights {weights.type} do not fit values {values.type}", hint="one for each sample, or for each value")
    values = _folded(values, max(weights.ndim, 1), fold)
    weights = broadcast_to(weights, values.shape)
    return _folded(multiply(values, weights), 1, fold), _folded(weights, 1, fold)


def _folded(x: Variable, axes: int, fold: Callable[..., Variable]) -> Variable:
    """x with at most its first `axes` axes."""
    return fold(x, axis=tuple(range(axes, x.ndim))) if x.ndim > axes else x


class Reduce(Metric):
    """A metric with the sum of values times weights, `total`."""

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.total = self.add_weight("total")


@METRIC_CLASSES.add()
class Sum(Reduce):
    """The sum of values times weights."""

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        self.total.assign_add(sum_(of_samples(cast(as_variable(values), self.dtype), sample_weight, sum_)[0]))

    def result(self) -> Any:
        return multiply(self.total, 1)


@METRIC_CLASSES.add()
class Mean(Reduce):
    """The mean of values by their weights."""

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.count = self.add_weight("count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        weighted, weights = of_samples(cast(as_variable(values), self.dtype), sample_weight, mean)
        self.total.assign_add(sum_(weighted))
        self.count.assign_add(sum_(weights))

    def result(self) -> Any:
        return ratio(self.total, self.count)


@METRIC_CLASSES.add()
class MeanTensor(Metric):
    """The mean of arrays of one shape, element by element."""

    keeps_shape = True

    def __init__(self, name: str | None = "mean_tensor", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def _require_state(self, values: Variable) -> None:
        if "total" not in self.__dict__:
            self.total, self.count = (self.add_weight(name, values.shape) for name in ("total", "count"))

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        v = cast(as_variable(values), self.dtype)
        self._require_state(v)
        w = cast(as_variable(1 if sample_weight is None else sample_weight), v.dtype)
        w = broadcast_to(expand_dims(w, tuple(range(w.ndim, v.ndim))) if 0 < w.ndim < v.ndim else w, v.shape)
        self.total.assign_add(multiply(v, w))
        self.count.assign_add(w)

    def result(self) -> Any:
        return ratio(self.total, self.count)


@METRIC_CLASSES.add()
class MeanMetricWrapper(Mean):
    """The mean over samples of a function of (y_true, y_pred); keyword arguments go to the function."""

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(name or getattr(fn, "__name__", None) or self._next_name(), dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        t, p = same_rank(cast(as_variable(y_true), self.dtype), cast(as_variable(y_pred), self.dtype))
        super().update_state(self.fn(t, p, **self._fn_kwargs), sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._fn_kwargs, **recorded_config(self)}


@METRIC_CLASSES.add()
class RootMeanSquaredError(Mean):
    """The square root of the mean of (y_pred - y_true) ** 2."""

    def __init__(self, name: str = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        t, p = same_rank(cast(as_variable(y_true), self.dtype), cast(as_variable(y_pred), self.dtype))
        super().update_state(square(p - t), sample_weight)

    def result(self) -> Any:
        return sqrt(super().result())


@METRIC_CLASSES.add()
@recorded
class MeanRelativeError(Mean):
    """The mean of |y_pred - y_true| / normalizer; where the normalizer is 0, so is the error."""

    def __init__(self, normalizer: Any, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name or self._next_name(), dtype)
        self.normalizer = normalizer

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        t, p = same_rank(cast(as_variable(y_true), self.dtype), cast(as_variable(y_pred), self.dtype))
        scale = broadcast_to(as_variable(self.normalizer, p.dtype), p.shape)
        super().update_state(ratio(abs_(p - t), scale), sample_weight)


# --- of functions --------------------------------------------------------------------------------
def _class_of(name: str, fn: Callable[..., Any], default_name: str | None = None, options_first: bool = False) -> type[MeanMetricWrapper]:
    """The class `name` of a metric function; its arguments are name, dtype and the function's options."""
    made = wrapper_class(name, MeanMetricWrapper, fn, {"name": default_name or fn.__name__, "dtype": None}, __name__, options_first)
    return METRIC_CLASSES.add()(made)


def _similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Variable:
    """The cosine of the angle between both along `axis`."""
    return negative(losses.cosine_similarity(y_true, y_pred, axis))


Accuracy = _class_of("Accuracy", functions.accuracy)
BinaryAccuracy = _class_of("BinaryAccuracy", functions.binary_accuracy)
CategoricalAccuracy = _class_of("CategoricalAccuracy", functions.categorical_accuracy)
SparseCategoricalAccuracy = _class_of("SparseCategoricalAccuracy", functions.sparse_categorical_accuracy)
TopKCategoricalAccuracy = _class_of("TopKCategoricalAccuracy", functions.top_k_categorical_accuracy, options_first=True)
SparseTopKCategoricalAccuracy = _class_of("SparseTopKCategoricalAccuracy", functions.sparse_top_k_categorical_accuracy, options_first=True)
MeanSquaredError = _class_of("MeanSquaredError", losses.mean_squared_error)
MeanAbsoluteError = _class_of("MeanAbsoluteError", losses.mean_absolute_error)
MeanAbsolutePercentageError = _class_of("MeanAbsolutePercentageError", losses.mean_absolute_percentage_error)
MeanSquaredLogarithmicError = _class_of("MeanSquaredLogarithmicError", losses.mean_squared_logarithmic_error)
LogCoshError = _class_of("LogCoshError", losses.logcosh)
KLDivergence = _class_of("KLDivergence", losses.kullback_leibler_divergence)
Poisson = _class_of("Poisson", losses.poisson)
Hinge = _class_of("Hinge", losses.hinge)
SquaredHinge = _class_of("SquaredHinge", losses.squared_hinge)
CategoricalHinge = _class_of("CategoricalHinge", losses.categorical_hinge)
BinaryCrossentropy = _class_of("BinaryCrossentropy", losses.binary_crossentropy)
CategoricalCrossentropy = _class_of("CategoricalCrossentropy", losses.categorical_crossentropy)
SparseCategoricalCrossentropy = _class_of("SparseCategoricalCrossentropy", losses.sparse_categorical_crossentropy)
CosineSimilarity = _class_of("CosineSimilarity", _similarity, "cosine_similarity")
PearsonCorrelation = _class_of("PearsonCorrelation", functions.pearson_correlation)
ConcordanceCorrelation = _class_of("ConcordanceCorrelation", functions.concordance_correlation)
