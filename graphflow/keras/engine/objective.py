"""Objective: what a compiled model minimises and reports, as graphs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.graph.types import Shape, TensorType
from graphflow.graph.variable import Placeholder, Shared, Variable, constant
from graphflow.keras import backend as K
from graphflow.keras import generation, losses, metrics
from graphflow.keras.engine.masks import mask_of
from graphflow.keras.metrics import Reading
from graphflow.keras.structure import as_list, int_shape
from graphflow.ops.elementwise import add, cast, divide, multiply
from graphflow.ops.logic import not_equal
from graphflow.ops.shape import broadcast_to, expand_dims
from graphflow.ops.statistics import mean


@dataclass(frozen=True)
class Terms:
    """The arguments of `compile` that say what is minimised and reported."""

    loss: Any
    metrics: Any
    weighted_metrics: Any
    loss_weights: Any
    sample_weight_mode: Any = None
    target_tensors: Any = None


@dataclass
class Output:
    """One output of the model with its target, sample weights, loss and metrics."""

    name: str
    prediction: Variable
    loss: Any  # a function of (y_true, y_pred), or a Loss
    loss_weight: float
    target: Placeholder
    sample_weight: Placeholder
    metrics: list[tuple[str, Any, bool]] = field(default_factory=list)  # name, function or Metric, weighted

    def __post_init__(self) -> None:
        self.weighted_part = mean(cast(not_equal(self.sample_weight, 0), self.sample_weight.dtype))
        mask = mask_of(self.prediction)
        self.mask = None if mask is None else cast(mask, self.sample_weight.dtype)

    @property
    def target_shape(self) -> tuple[int | None, ...]:
        return int_shape(self.target)

    @property
    def free_target(self) -> bool:
        """Whether a target of another shape than the prediction's may be meant: the loss is the user's own."""
        return losses.formula(self.loss) not in (*_OF_PREDICTIONS_SHAPE, losses.sparse_categorical_crossentropy)

    def loss_value(self) -> Variable:
        """The loss of the batch; a Loss reduces to it in its own way."""
        if not isinstance(self.loss, losses.Loss):
            return self._mean(self.loss(self.target, self.prediction), weighted=True)
        value = self.loss(self.target, self.prediction, sample_weight=self._weights(self._counting_mask()))
        return mean(value) if value.ndim else value

    def measured(self, metric: Any, weighted: bool) -> Reading:
        """The value of a metric for the batch, or so far if it keeps state, and its new state."""
        if not metrics.is_stateful(metric):
            return Reading(self._mean(metric(self.target, self.prediction), weighted), [])
        return metrics.reading(metric, self.target, self.prediction, self._weights(self.mask) if weighted else self.mask)

    def _mean(self, score: Variable, weighted: bool) -> Variable:
        """The mean of the scores of samples.

        Weighted, it is divided by the part of samples that have a weight (from 2.3 on it is not).
        """
        if self.mask is not None and score.ndim > 1:
            score = multiply(score, self._over(self._counting_mask(), score))
        if not weighted or score.ndim == 0:
            return mean(score)
        if score.ndim > self.sample_weight.ndim:
            score = mean(score, axis=tuple(range(self.sample_weight.ndim, score.ndim)))
        total = mean(multiply(score, self.sample_weight))
        return total if generation.resolve("loss is divided by all samples") else divide(total, self.weighted_part)

    def _counting_mask(self) -> Any:
        """The mask, scaled so that a mean over all steps is one over those that it leaves."""
        if self.mask is None or generation.resolve("masked losses count all steps"):
            return self.mask
        return divide(self.mask, mean(self.mask))

    def _weights(self, mask: Variable | None) -> Variable:
        """The weights of samples, or those of steps where there is a mask."""
        return self.sample_weight if mask is None else multiply(mask, self._over(self.sample_weight, mask))

    @staticmethod
    def _over(weights: Variable, scores: Variable) -> Variable:
        """Weights with as many axes as the scores."""
        missing = tuple(range(weights.ndim, scores.ndim))
        return expand_dims(weights, missing) if missing else weights


_OF_PREDICTIONS_SHAPE = (losses.mean_squared_error, losses.mean_absolute_error, losses.binary_crossentropy, losses.categorical_crossentropy)


class Objective:
    """Total loss and metrics of a connected model: `values`, called `names`.

    `running` says for each value whether it is one so far, so that the last counts and not the mean over batches;
    `metric_updates` go with them in each step that trains or tests, and `reset_metrics` begins again.
    `target_shapes`: shapes of targets by output, where they are not those the losses suggest; `modes`: 'temporal' for
    outputs with weights for each step.  Raises GraphError for names that fit no output, loss or metric.
    """

    def __init__(
        self, model: Any, terms: Terms, target_shapes: Mapping[str, Sequence[int | None]] | None = None, modes: Mapping[str, str] | None = None
    ) -> None:
        names: list[str] = model.output_names
        chosen = _for_outputs("loss", terms.loss, names, every=True)
        factors = _for_outputs("loss_weights", terms.loss_weights, names)
        modes = {**_for_outputs("sample_weight_mode", terms.sample_weight_mode, names, every=True), **(modes or {})}
        given = _for_outputs("target_tensors", terms.target_tensors, names, every=True)
        self.outputs: list[Output] = []
        for name, v in zip(names, model.outputs, strict=True):
            loss = losses.get(chosen.get(name))
            if loss is None:
                continue
            target = given.get(name) if given.get(name) is not None else _target(name, v, loss, (target_shapes or {}).get(name))
            axes = 2 if modes.get(name) == "temporal" else 1
            if v.ndim <= axes - 1 or not isinstance(target, Placeholder):
                raise _unfit(name, v, target)
            weight = Placeholder(TensorType.make(v.dtype if v.dtype.kind == "f" else K.floatx(), v.shape[:axes]), f"{name}_sample_weights")
            factor = factors.get(name)
            self.outputs.append(Output(name, v, loss, 1.0 if factor is None else float(factor), target, weight))
        for argument, weighted in (("metrics", False), ("weighted_metrics", True)):
            self._add_metrics(_for_outputs(argument, getattr(terms, argument), names, every=True), weighted)
        self.metric_updates: list[tuple[Shared, Variable]] = []
        self.names, self.values = self._report(model)

    def _add_metrics(self, chosen: Mapping[str, Any], weighted: bool) -> None:
        for output in self.outputs:
            for identifier in as_list(chosen.get(output.name)):
                name, metric = metrics.resolve(identifier, int_shape(output.prediction), output.loss)
                if metrics.is_stateful(metric):
                    output.metrics.append((name, metric, weighted))
                    continue
                if generation.resolve("metrics are called as given") and isinstance(identifier, str):
                    name = identifier
                if (weighted or output.mask is not None) and generation.resolve("weighted metrics are means by weight"):
                    metric = metrics.MeanMetricWrapper(metric, name)
                marked = weighted and not generation.resolve("metrics are called as given")
                output.metrics.append((f"weighted_{name}" if marked else name, metric, weighted))

    def _report(self, model: Any) -> tuple[list[str], list[Variable]]:
        """Names and values of the total loss, the losses of several outputs, and metrics, in Keras's order."""
        own = [o.loss_value() for o in self.outputs]
        terms = [value if o.loss_weight == 1 else multiply(value, o.loss_weight) for o, value in zip(self.outputs, own, strict=True)]
        terms += model.losses
        if not terms:
            raise GraphError("the model has nothing to minimise", hint="give compile a loss")
        names, values = ["loss"], [functools.reduce(add, terms)]
        several = len(model.outputs) > 1
        if several:
            names += [f"{o.name}_loss" for o in self.outputs]
            values += own
        for o in self.outputs:
            for name, metric, weighted in o.metrics:
                reading = o.measured(metric, weighted)
                names.append(f"{o.name}_{name}" if several else name)
                values.append(reading.value)
                self.metric_updates += reading.updates
        self.running = [False] * (len(values) - len(self.measures)) + [metrics.is_stateful(m) for m in self.measures]
        for name, value in model.added_metrics:
            if model.depends_only_on_inputs(value):
                names.append(name)
                values.append(mean(value) if value.ndim else value)
                self.running.append(False)
        return names, values

    @property
    def measures(self) -> list[Any]:
        """The metrics of all outputs, functions and objects, in the order of their values, which are the last."""
        return [metric for o in self.outputs for _, metric, _ in o.metrics]

    def reset_metrics(self) -> None:
        """Begin all metrics again that keep state."""
        for metric in self.measures:
            if metrics.is_stateful(metric):
                metric.reset_states()

    @property
    def targets(self) -> list[Placeholder]:
        return [o.target for o in self.outputs]

    @property
    def sample_weights(self) -> list[Placeholder]:
        return [o.sample_weight for o in self.outputs]

    def without_weights(self) -> dict[Variable, Variable]:
        """Sample weights of 1, in place of what would be fed, so that nothing is left of them."""
        ones: dict[Variable, Variable] = {v: broadcast_to(constant(1, v.dtype), v.shape) for v in self.sample_weights}
        return {**ones, **{o.weighted_part: constant(1, o.weighted_part.dtype) for o in self.outputs}}


def _unfit(name: str, v: Variable, target: Any) -> GraphError:
    if not isinstance(target, Placeholder):
        return GraphError(f"compile: the target tensor of {name} is {target!r:.60}", hint="targets are fed: make it with K.placeholder")
    return GraphError(f"Found a sample_weight_mode 'temporal' for {name}, whose results have the type {v.type}", hint="weights of steps are for results with an axis of steps")


def _target(name: str, prediction: Variable, loss: Any, shape: Sequence[int | None] | None) -> Placeholder:
    """A placeholder for what the output should be, of the prediction's batch size."""
    rest: Shape = prediction.shape[1:]
    if shape is not None:
        rest = tuple(n if n is not None else p for n, p in zip(shape[1:], rest, strict=False))
    elif losses.formula(loss) is losses.sparse_categorical_crossentropy:
        rest = (*rest[:-1], 1)
    dtype = K.floatx() if prediction.dtype.kind != "f" else prediction.dtype
    return Placeholder(TensorType.make(dtype, (prediction.shape[0], *rest), f"{name}_target"), f"{name}_target")


def _for_outputs(argument: str, given: Any, names: Sequence[str], every: bool = False) -> dict[str, Any]:
    """An argument of `compile` by output: a dict by name, a list in order, or (`every`) one for all outputs."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise GraphError(
                f"compile: {argument} has an entry {unknown[0]!r}, which is no output of the model",
                hint=f"outputs are {', '.join(names)}",
            )
        return dict(given)
    in_order = isinstance(given, list | tuple) and argument in ("loss", "loss_weights", "sample_weight_mode", "target_tensors")
    nested = isinstance(given, list | tuple) and len(names) > 1 and any(isinstance(item, list | tuple) for item in given)
    if in_order or nested:
        if len(given) != len(names):
            raise GraphError(
                f"compile: {argument} has {len(given)} entries, and the model has {len(names)} outputs",
                hint=f"one for each of {', '.join(names)}",
            )
        return dict(zip(names, given, strict=True))
    if not every:
        raise GraphError(f"compile: {argument} is a list or dict, not {given!r:.60}")
    return dict.fromkeys(names, given)
