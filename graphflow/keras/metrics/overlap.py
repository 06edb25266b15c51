"""Intersection over union, from a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.variable import Variable, as_variable
from graphflow.keras.arguments import recorded
from graphflow.keras.metrics.base import Metric
from graphflow.keras.metrics.means import ratio
from graphflow.keras.metrics.resolution import METRIC_CLASSES
from graphflow.ops.counting import bincount
from graphflow.ops.diagonals import diagonal
from graphflow.ops.elementwise import cast, multiply, where
from graphflow.ops.gathering import take
from graphflow.ops.logic import greater, not_equal
from graphflow.ops.reduction import argmax, sum_
from graphflow.ops.shape import broadcast_to, reshape


class _Overlap(Metric):
    """The mean over classes that occur of tp / (tp + fp + fn); `target_class_ids` None: all classes."""

    target_class_ids: Sequence[int] | None = None
    sparse_y_true = sparse_y_pred = True
    ignore_class: int | None = None
    axis = -1

    def _make_matrix(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.total_cm = self.add_weight("total_confusion_matrix", (num_classes, num_classes))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = (
            reshape(cast(v if sparse else argmax(v, axis=self.axis), "int64"), (-1,))
            for v, sparse in ((as_variable(y_true), self.sparse_y_true), (as_variable(y_pred), self.sparse_y_pred))
        )
        weights = cast(as_variable(1 if sample_weight is None else sample_weight), self.dtype)
        weights = broadcast_to(reshape(weights, (-1,)) if weights.ndim else weights, p.shape)
        if self.ignore_class is not None:
            counted = not_equal(t, self.ignore_class)
            weights = multiply(weights, cast(counted, weights.dtype))
            t = where(counted, t, 0)
        cells = bincount(t * self.num_classes + p, weights, length=self.num_classes**2)
        self.total_cm.assign_add(reshape(cells, (self.num_classes, self.num_classes)))

    def result(self) -> Any:
        both = diagonal(self.total_cm)
        either = sum_(self.total_cm, axis=0) + sum_(self.total_cm, axis=1) - both
        shares = ratio(both, either)
        occurs = cast(greater(either, 0), either.dtype)
        if self.target_class_ids is not None:
            shares, occurs = (take(v, list(self.target_class_ids)) for v in (shares, occurs))
        return ratio(sum_(shares), sum_(occurs))


@METRIC_CLASSES.add()
@recorded
class IoU(_Overlap):
    """The mean overlap of the classes `target_class_ids`, for class numbers, or (`sparse_y_...` False) one for each class on `axis`."""

    def __init__(
        self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None, dtype: Any = None, ignore_class: int | None = None,
        sparse_y_true: bool = True, sparse_y_pred: bool = True, axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        self.target_class_ids, self.ignore_class = target_class_ids, ignore_class
        self.sparse_y_true, self.sparse_y_pred, self.axis = sparse_y_true, sparse_y_pred, axis
        self._make_matrix(num_classes)


@METRIC_CLASSES.add()
@recorded
class MeanIoU(_Overlap):
    """The mean overlap of all classes that occur."""

    def __init__(
        self, num_classes: int, name: str | None = None, dtype: Any = None, ignore_class: int | None = None,
        sparse_y_true: bool = True, sparse_y_pred: bool = True, axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        self.ignore_class, self.sparse_y_true, self.sparse_y_pred, self.axis = ignore_class, sparse_y_true, sparse_y_pred, axis
        self._make_matrix(num_classes)


@METRIC_CLASSES.add()
@recorded
class BinaryIoU(_Overlap):
    """The mean overlap of the classes 0 and 1 (`target_class_ids`); class 1 is above the threshold."""

    def __init__(self, target_class_ids: Sequence[int] = (0, 1), threshold: float = 0.5, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.target_class_ids, self.threshold = target_class_ids, threshold
        self._make_matrix(2)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        found: Variable = greater(as_variable(y_pred), self.threshold)
        super().update_state(y_true, found, sample_weight)


@METRIC_CLASSES.add()
@recorded
class OneHotIoU(_Overlap):
    """The mean overlap of the classes `target_class_ids`, for one-hot targets."""

    sparse_y_true = False

    def __init__(
        self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None, dtype: Any = None, ignore_class: int | None = None,
        sparse_y_pred: bool = False, axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        self.target_class_ids, self.ignore_class, self.sparse_y_pred, self.axis = target_class_ids, ignore_class, sparse_y_pred, axis
        self._make_matrix(num_classes)


@METRIC_CLASSES.add()
@recorded
class OneHotMeanIoU(_Overlap):
    """The mean overlap of all classes that occur, for one-hot targets."""

    sparse_y_true = False

    def __init__(
        self, num_classes: int, name: str | None = None, dtype: Any = None, ignore_class: int | None = None, sparse_y_pred: bool = False, axis: int = -1
    ) -> None:
        super().__init__(name, dtype)
        self.ignore_class, self.sparse_y_pred, self.axis = ignore_class, sparse_y_pred, axis
        self._make_matrix(num_classes)
