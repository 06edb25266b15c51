"""Loss: a function of (y_true, y_pred) with a reduction to a scalar; the tables of losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.variable import Variable, as_variable
from graphflow.keras import backend as K
from graphflow.keras.arguments import recorded_config
from graphflow.keras.lookup import Table
from graphflow.ops.elementwise import cast, divide, maximum, multiply
from graphflow.ops.reduction import sum_
from graphflow.ops.shape import broadcast_to, expand_dims, is_one, squeeze
from graphflow.ops.statistics import mean

LOSSES = Table("loss")
LOSS_CLASSES = Table("loss", makes=True)
Formula = Callable[..., Variable]


class Reduction:
    """Names of what is made of the losses of samples."""

    AUTO = "auto"
    NONE = "none"
    SUM = "sum"
    SUM_OVER_BATCH_SIZE = "sum_over_batch_size"
    MEAN = "mean"
    MEAN_WITH_SAMPLE_WEIGHT = "mean_with_sample_weight"

    @classmethod
    def all(cls) -> tuple[str, ...]:
        return (cls.AUTO, cls.NONE, cls.SUM, cls.SUM_OVER_BATCH_SIZE, cls.MEAN, cls.MEAN_WITH_SAMPLE_WEIGHT)

    @classmethod
    def validate(cls, key: Any) -> str:
        """The name of a reduction; raises GraphError for another."""
        if key is None:
            return cls.NONE
        if key not in cls.all():
            raise GraphError(f"no reduction is called {key!r}", hint=f"known: {', '.join(cls.all())}")
        return str(key)


class Loss:
    """A subclass gives `call(y_true, y_pred)`: losses that keep the batch.

    Calling it reduces them: to their mean ('sum_over_batch_size', which 'auto' and 'mean' are too), their
    'sum', their sum over that of the weights ('mean_with_sample_weight'), or not at all ('none').
    """

    def __init__(self, reduction: str | None = Reduction.SUM_OVER_BATCH_SIZE, name: str | None = None, dtype: Any = None) -> None:
        self.reduction = Reduction.validate(reduction)
        self.name = name
        self.dtype = dtype

    def call(self, y_true: Any, y_pred: Any) -> Variable:
        raise NotImplementedError(f"{type(self).__name__} has no call(y_true, y_pred)")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Variable:
        """The reduced loss; weights are for samples, or for each loss."""
        target, prediction = as_float(y_true), as_float(y_pred)
        scores = as_variable(self.call(target, prediction))
        counted = getattr(scores.tag, "counted", None)
        if counted is not None:  # elements that the formula left out
            sample_weight = counted if sample_weight is None else multiply(weights_like(sample_weight, scores), counted)
        return reduced(scores, sample_weight, self.reduction, counted)

    def get_config(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)


_NOT_EVERYWHERE = (("dtype", None), ("axis", -1), ("ignore_class", None))


class LossFunctionWrapper(Loss):
    """A loss of a function; keyword arguments go to the function."""

    def __init__(self, fn: Formula, reduction: str | None = Reduction.SUM_OVER_BATCH_SIZE, name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(reduction, name or getattr(fn, "__name__", None), dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true: Any, y_pred: Any) -> Variable:
        return self.fn(*same_rank(y_true, y_pred), **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        """Arguments; those that not every Keras with classes of losses knows only where they are not the default."""
        config = {**super().get_config(), **self._fn_kwargs, **recorded_config(self)}
        return {key: value for key, value in config.items() if (key, value) not in _NOT_EVERYWHERE}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Of a class with a function of its own, tf.keras writes the function's name all the same."""
        if cls is LossFunctionWrapper:
            return cls(**{**config, "fn": LOSSES.get(config["fn"])})
        return cls(**{key: value for key, value in config.items() if key != "fn"})


def formula(loss: Any) -> Any:
    """The function of a loss: its own for a wrapped one, the loss itself for a plain function."""
    return loss.fn if isinstance(loss, LossFunctionWrapper) else loss


def as_float(x: Any) -> Variable:
    """x; numbers and lists, which would be float64, as floatx."""
    return x if isinstance(x, Variable) else as_variable(x, K.floatx())


def same_rank(y_true: Variable, y_pred: Variable) -> tuple[Variable, Variable]:
    """Both with the same number of axes, where one has a last axis of 1 and the other none."""
    if y_true.ndim == y_pred.ndim + 1 and is_one(y_true.shape[-1]):
        return (y_true, expand_dims(y_pred, -1)) if y_pred.ndim == 1 else (squeeze(y_true, -1), y_pred)
    if y_pred.ndim == y_true.ndim + 1 and is_one(y_pred.shape[-1]):
        return (expand_dims(y_true, -1), y_pred) if y_true.ndim == 1 else (y_true, squeeze(y_pred, -1))
    return y_true, y_pred


def weights_like(sample_weight: Any, scores: Variable) -> Variable:
    """Weights of samples with the axes of the scores; raises ShapeError if they have more."""
    weights = cast(as_float(sample_weight), scores.dtype)
    if weights.ndim == scores.ndim + 1 and is_one(weights.shape[-1]):
        weights = squeeze(weights, -1)
    if weights.ndim > scores.ndim:
        raise ShapeError(f"sample weights {weights.type} do not fit losses {scores.type}", hint="one for each sample, or for each loss")
    return weights if weights.ndim in (0, scores.ndim) else expand_dims(weights, tuple(range(weights.ndim, scores.ndim)))


def reduced(scores: Variable, sample_weight: Any, reduction: str, counted: Variable | None = None) -> Variable:
    """Scores times weights, reduced; a mean is over those that `counted` (all of them by default)."""
    weighted = scores if sample_weight is None else multiply(scores, weights_like(sample_weight, scores))
    if reduction == Reduction.NONE:
        return weighted
    if reduction == Reduction.SUM:
        return sum_(weighted)
    if reduction == Reduction.MEAN_WITH_SAMPLE_WEIGHT and sample_weight is not None:
        return divide(sum_(weighted), maximum(sum_(broadcast_to(weights_like(sample_weight, scores), scores.shape)), K.epsilon()))
    return mean(weighted) if counted is None else divide(sum_(weighted), maximum(sum_(counted), 1))
