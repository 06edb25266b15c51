"""F scores and the coefficient of determination."""

from __future__ import annotations

from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Shared, Variable, as_variable
from graphflow.keras.arguments import recorded
from graphflow.keras.metrics.base import Metric
from graphflow.keras.metrics.means import ratio
from graphflow.keras.metrics.resolution import METRIC_CLASSES
from graphflow.ops.elementwise import cast, divide, multiply, square, subtract
from graphflow.ops.logic import greater, greater_equal, logical_and
from graphflow.ops.reduction import max_, sum_
from graphflow.ops.shape import expand_dims
from graphflow.ops.statistics import mean


class _OfBatch(Metric):
    """State with a size for each output, made with the first batch."""

    def _require_state(self, size: Any, *names: str) -> None:
        for name in names:
            if name not in self.__dict__:
                setattr(self, name, self.add_weight(name, (size,)))


@METRIC_CLASSES.add()
@recorded
class FBetaScore(_OfBatch):
    """(1 + beta ** 2) * precision * recall / (beta ** 2 * precision + recall) for one-hot targets of the shape (batch, classes).

    A prediction is the largest class, or with a `threshold` every class above it.  `average`: None for one
    number for each class, or 'micro', 'macro', 'weighted' (by how often classes are true).
    """

    true_positives: Shared
    false_positives: Shared
    false_negatives: Shared
    intermediate_weights: Shared

    def __init__(self, average: str | None = None, beta: float = 1.0, threshold: float | None = None, name: str | None = "fbeta_score", dtype: Any = None) -> None:
        super().__init__(name, dtype)
        if average not in (None, "micro", "macro", "weighted"):
            raise GraphError(f"{type(self).__name__}: average={average!r}", hint="it is None, 'micro', 'macro' or 'weighted'")
        self.average, self.beta, self.threshold = average, beta, threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = (cast(as_variable(v), self.dtype) for v in (y_true, y_pred))
        self._require_state(1 if self.average == "micro" else t.shape[1], "true_positives", "false_positives", "false_negatives", "intermediate_weights")
        if self.threshold is None:
            found = logical_and(greater_equal(p, max_(p, axis=-1, keepdims=True)), greater(abs(p), 1e-9))
        else:
            found = greater(p, self.threshold)
        p = cast(found, t.dtype)
        weights = 1 if sample_weight is None else expand_dims(cast(as_variable(sample_weight), t.dtype), -1)
        axis = None if self.average == "micro" else 0

        def count(x: Variable) -> Variable:
            total = sum_(multiply(x, weights), axis=axis)
            return expand_dims(total, 0) if axis is None else total

        self.true_positives.assign_add(count(t * p))
        self.false_positives.assign_add(count((1 - t) * p))
        self.false_negatives.assign_add(count(t * (1 - p)))
        self.intermediate_weights.assign_add(count(t))

    def result(self) -> Any:
        tp = self.true_positives
        precision, recall = ratio(tp, tp + self.false_positives), ratio(tp, tp + self.false_negatives)
        score = ratio(multiply(precision * recall, 1 + self.beta**2), multiply(precision, self.beta**2) + recall)
        if self.average == "weighted":
            return sum_(score * ratio(self.intermediate_weights, sum_(self.intermediate_weights)))
        return score if self.average is None else mean(score)


@METRIC_CLASSES.add()
@recorded
class F1Score(FBetaScore):
    """The harmonic mean of precision and recall; see FBetaScore."""

    def __init__(self, average: str | None = None, threshold: float | None = None, name: str | None = "f1_score", dtype: Any = None) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return {key: value for key, value in super().get_config().items() if key != "beta"}


@METRIC_CLASSES.add()
@recorded
class R2Score(_OfBatch):
    """1 - squared errors / variance of the targets, for y of the shape (batch, outputs).

    `class_aggregation`: None for one number for each output, 'uniform_average' or 'variance_weighted_average'.
    `num_regressors` > 0 gives the adjusted coefficient.
    """

    squared_sum: Shared
    sum: Shared
    total_mse: Shared
    count: Shared

    def __init__(self, class_aggregation: str | None = "uniform_average", num_regressors: int = 0, name: str | None = "r2_score", dtype: Any = None) -> None:
        super().__init__(name, dtype)
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise GraphError(f"R2Score: class_aggregation={class_aggregation!r}", hint="it is None, 'uniform_average' or 'variance_weighted_average'")
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        self.num_samples = self.add_weight("num_samples")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = (cast(as_variable(v), self.dtype) for v in (y_true, y_pred))
        self._require_state(t.shape[1], "squared_sum", "sum", "total_mse", "count")
        w = cast(as_variable(1 if sample_weight is None else sample_weight), t.dtype)
        w = expand_dims(w, -1) if w.ndim == 1 else w
        self.sum.assign_add(sum_(t * w, axis=0))
        self.squared_sum.assign_add(sum_(square(t) * w, axis=0))
        self.total_mse.assign_add(sum_(square(t - p) * w, axis=0))
        self.count.assign_add(sum_(t * 0 + w, axis=0))
        self.num_samples.assign_add(cast(as_variable(t.size), t.dtype))  # of all outputs, as Keras counts

    def result(self) -> Any:
        total = self.squared_sum - ratio(square(self.sum), self.count)
        scores = subtract(1, ratio(self.total_mse, total))
        if self.class_aggregation == "uniform_average":
            scores = mean(scores)
        elif self.class_aggregation is not None:
            scores = sum_(scores * ratio(total, sum_(total)))
        if not self.num_regressors:
            return scores
        n = self.num_samples
        return subtract(1, divide(multiply(subtract(1, scores), n - 1), n - self.num_regressors - 1))
