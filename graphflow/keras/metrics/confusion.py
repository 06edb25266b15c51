"""Metrics from counts of true and false positives and negatives, at one threshold or many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Shared, Variable, as_variable, constant
from graphflow.keras.arguments import recorded
from graphflow.keras.losses.base import same_rank
from graphflow.keras.metrics.base import Metric
from graphflow.keras.metrics.means import ratio
from graphflow.keras.metrics.resolution import METRIC_CLASSES
from graphflow.ops.elementwise import cast, maximum, minimum, multiply, subtract, where
from graphflow.ops.logic import greater, greater_equal, logical_and
from graphflow.ops.nn import sigmoid
from graphflow.ops.reduction import max_, sum_
from graphflow.ops.shape import broadcast_to, expand_dims, reshape
from graphflow.ops.sorting import top_k
from graphflow.ops.statistics import mean
from graphflow.ops.transcendental import log

COUNTS = ("true_positives", "true_negatives", "false_positives", "false_negatives")
_OUTSIDE = -1e10  # a prediction that is above no threshold


def spread_thresholds(number: int, margin: float = 0.0) -> list[float]:
    """`number` thresholds from 0 to 1, the first and the last moved outwards by `margin`."""
    if number < 2:
        raise GraphError(f"num_thresholds is {number}", hint="it is at least 2")
    return [0.0 - margin, *(i / (number - 1) for i in range(1, number - 1)), 1.0 + margin]


class Confusion(Metric):
    """A metric with the counts that `_counts` names, for each threshold (and label, where `labels` is given)."""

    _counts: Sequence[str] = COUNTS
    top_k: int | None = None
    class_id: int | None = None
    thresholds: Any
    true_positives: Shared
    true_negatives: Shared
    false_positives: Shared
    false_negatives: Shared

    def _make_counts(self, levels: Sequence[float], labels: int | None = None) -> None:
        self._levels = np.array(levels, dtype=np.dtype(self.dtype))
        self._labels = labels
        shape = (len(self._levels),) if labels is None else (len(self._levels), labels)
        for name in self._counts:
            setattr(self, name, self.add_weight(name, shape))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = same_rank(cast(as_variable(y_true), self.dtype), cast(as_variable(y_pred), self.dtype))
        if self.top_k is not None:
            p = _only_top(p, self.top_k)
        if self.class_id is not None:
            t, p = t[..., self.class_id], p[..., self.class_id]
        weights = _weights_of(p, sample_weight)
        rows = (-1,) if self._labels is None else (-1, self._labels)
        t, p, weights = (expand_dims(reshape(v, rows), 0) for v in (t, p, weights))
        levels = constant(self._levels.reshape(-1, *[1] * (p.ndim - 1)))
        found = cast(greater(p, levels), t.dtype)
        for name in self._counts:
            right = t if name in ("true_positives", "false_negatives") else subtract(1, t)
            chosen = found if name.endswith("positives") else subtract(1, found)
            getattr(self, name).assign_add(sum_(multiply(multiply(right, chosen), weights), axis=1))

    def _single(self, value: Variable) -> Variable:
        """A scalar where there is one threshold."""
        return value[0] if len(self._levels) == 1 else value


def _weights_of(p: Variable, sample_weight: Any) -> Variable:
    """A weight for each element of p."""
    if sample_weight is None:
        return broadcast_to(constant(1, p.dtype), p.shape)
    w = cast(as_variable(sample_weight), p.dtype)
    return broadcast_to(expand_dims(w, tuple(range(w.ndim, p.ndim))) if 0 < w.ndim < p.ndim else w, p.shape)


def _only_top(p: Variable, k: int) -> Variable:
    """p with all but the k largest of the last axis below every threshold."""
    least = top_k(p, k)[0][..., k - 1 : k]
    return where(greater_equal(p, least), p, _OUTSIDE)


# --- counts, precision, recall -------------------------------------------------------------------
class _Count(Confusion):
    """One of the counts."""

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.thresholds = thresholds
        self._make_counts(_levels(thresholds, 0.5))

    def result(self) -> Any:
        return self._single(multiply(getattr(self, self._counts[0]), 1))


def _levels(thresholds: Any, default: float) -> list[float]:
    levels = [default] if thresholds is None else list(thresholds) if isinstance(thresholds, list | tuple) else [thresholds]
    if any(not 0 <= level <= 1 for level in levels if level != _OUTSIDE):
        raise GraphError(f"thresholds are {levels}", hint="they are between 0 and 1")
    return levels


@METRIC_CLASSES.add()
@recorded
class TruePositives(_Count):
    """How many of class 1 are above the threshold."""

    _counts = ("true_positives",)


@METRIC_CLASSES.add()
@recorded
class TrueNegatives(_Count):
    """How many of class 0 are not above the threshold."""

    _counts = ("true_negatives",)


@METRIC_CLASSES.add()
@recorded
class FalsePositives(_Count):
    """How many of class 0 are above the threshold."""

    _counts = ("false_positives",)


@METRIC_CLASSES.add()
@recorded
class FalseNegatives(_Count):
    """How many of class 1 are not above the threshold."""

    _counts = ("false_negatives",)


class _Share(Confusion):
    """True positives over themselves and another count."""

    def __init__(self, thresholds: Any = None, top_k: int | None = None, class_id: int | None = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.thresholds, self.top_k, self.class_id = thresholds, top_k, class_id
        self._make_counts(_levels(thresholds, 0.5 if top_k is None else _OUTSIDE))

    def result(self) -> Any:
        found, missed = (getattr(self, name) for name in self._counts)
        return self._single(ratio(found, found + missed))


@METRIC_CLASSES.add()
@recorded
class Precision(_Share):
    """The part of what is found that is right: tp / (tp + fp).

    `top_k`: the k largest predictions of each sample are found.  `class_id`: only this class is looked at.
    """

    _counts = ("true_positives", "false_positives")


@METRIC_CLASSES.add()
@recorded
class Recall(_Share):
    """The part of what is right that is found: tp / (tp + fn)."""

    _counts = ("true_positives", "false_negatives")


# --- one at a level of another -------------------------------------------------------------------
class SensitivitySpecificityBase(Confusion):
    """The largest of one ratio among the thresholds where another is at least `value`."""

    def __init__(self, value: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        if not 0 <= value <= 1:
            raise GraphError(f"{type(self).__name__}: the level is {value}", hint="it is between 0 and 1")
        self.value, self.num_thresholds, self.class_id = value, num_thresholds, class_id
        self._make_counts([0.5] if num_thresholds == 1 else spread_thresholds(num_thresholds))

    def _largest(self, of: Variable, where_high: Variable) -> Variable:
        feasible = greater_equal(where_high, self.value)
        return max_(where(feasible, of, 0))

    @property
    def sensitivities(self) -> Variable:
        return ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificities(self) -> Variable:
        return ratio(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def precisions(self) -> Variable:
        return ratio(self.true_positives, self.true_positives + self.false_positives)


@METRIC_CLASSES.add()
@recorded
class SensitivityAtSpecificity(SensitivitySpecificityBase):
    """The best tp / (tp + fn) where tn / (tn + fp) is at least `specificity`."""

    def __init__(self, specificity: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None, dtype: Any = None) -> None:
        self.specificity = specificity
        super().__init__(specificity, num_thresholds, class_id, name, dtype)

    def result(self) -> Any:
        return self._largest(self.sensitivities, self.specificities)


@METRIC_CLASSES.add()
@recorded
class SpecificityAtSensitivity(SensitivitySpecificityBase):
    """The best tn / (tn + fp) where tp / (tp + fn) is at least `sensitivity`."""

    def __init__(self, sensitivity: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None, dtype: Any = None) -> None:
        self.sensitivity = sensitivity
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)

    def result(self) -> Any:
        return self._largest(self.specificities, self.sensitivities)


@METRIC_CLASSES.add()
@recorded
class PrecisionAtRecall(SensitivitySpecificityBase):
    """The best tp / (tp + fp) where tp / (tp + fn) is at least `recall`."""

    def __init__(self, recall: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None, dtype: Any = None) -> None:
        self.recall = recall
        super().__init__(recall, num_thresholds, class_id, name, dtype)

    def result(self) -> Any:
        return self._largest(self.precisions, self.sensitivities)


@METRIC_CLASSES.add()
@recorded
class RecallAtPrecision(SensitivitySpecificityBase):
    """The best tp / (tp + fn) where tp / (tp + fp) is at least `precision`."""

    def __init__(self, precision: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None, dtype: Any = None) -> None:
        self.precision = precision
        super().__init__(precision, num_thresholds, class_id, name, dtype)

    def result(self) -> Any:
        return self._largest(self.sensitivities, self.precisions)


# --- areas ---------------------------------------------------------------------------------------
_HEIGHTS = {"interpolation": lambda a, b: multiply(a + b, 0.5), "minoring": minimum, "majoring": maximum}


@METRIC_CLASSES.add()
@recorded
class AUC(Confusion):
    """The area under a curve over thresholds: of true over false positive rates ('ROC'), or precision over recall ('PR').

    `summation_method`: 'interpolation' (trapezoids, and for PR those of Davis and Goadrich 2006), 'minoring' or
    'majoring'.  `multi_label`: the mean (by `label_weights`) of the areas of `num_labels` labels.  Raises GraphError.
    """

    def __init__(
        self, num_thresholds: int = 200, curve: str = "ROC", summation_method: str = "interpolation", name: str | None = None, dtype: Any = None,
        thresholds: Sequence[float] | None = None, multi_label: bool = False, num_labels: int | None = None,
        label_weights: Sequence[float] | None = None, from_logits: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        if curve not in ("ROC", "PR") or summation_method not in _HEIGHTS:
            raise GraphError(f"AUC: curve={curve!r}, summation_method={summation_method!r}", hint="curves are ROC and PR, methods interpolation, minoring and majoring")
        self.num_thresholds, self.curve, self.summation_method = num_thresholds, curve, summation_method
        self.thresholds, self.multi_label, self.num_labels = thresholds, multi_label, num_labels
        self.label_weights, self.from_logits = label_weights, from_logits
        self._own_levels = spread_thresholds(num_thresholds, 1e-7) if thresholds is None else [-1e-7, *sorted(thresholds), 1 + 1e-7]
        if not multi_label or num_labels is not None:
            self._make_counts(self._own_levels, num_labels if multi_label else None)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        p = as_variable(y_pred)
        if "true_positives" not in self.__dict__:
            self._make_counts(self._own_levels, int(p.shape[-1]))
        super().update_state(y_true, sigmoid(p) if self.from_logits else p, sample_weight)

    def result(self) -> Any:
        tp, fp = self.true_positives, self.false_positives
        recall = ratio(tp, tp + self.false_negatives)
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = self._pr_area()
        else:
            x, y = (ratio(fp, fp + self.true_negatives), recall) if self.curve == "ROC" else (recall, ratio(tp, tp + fp))
            areas = sum_((x[:-1] - x[1:]) * _HEIGHTS[self.summation_method](y[:-1], y[1:]), axis=0)
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return mean(areas)
        weights = constant(self.label_weights, areas.dtype)
        return ratio(sum_(areas * weights), sum_(weights))

    def _pr_area(self) -> Variable:
        """Between thresholds the true positives are linear in the positives (Davis and Goadrich 2006)."""
        tp, found = self.true_positives, self.true_positives + self.false_positives
        more = tp[:-1] - tp[1:]
        slope = ratio(more, maximum(found[:-1] - found[1:], 0))
        intercept = tp[1:] - slope * found[1:]
        both = logical_and(greater(found[:-1], 0), greater(found[1:], 0))
        growth = where(both, ratio(found[:-1], maximum(found[1:], 0)), 1)
        parts = ratio(slope * (more + intercept * log(growth)), maximum(tp[1:] + self.false_negatives[1:], 0))
        return sum_(parts, axis=0)
