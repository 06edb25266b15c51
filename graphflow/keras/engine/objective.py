"""Objective: what a compiled model minimises and reports, as graphs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.graph.types import Shape, TensorType
from graphflow.graph.variable import Placeholder, Variable, constant
from graphflow.keras import backend as K
from graphflow.keras import generation, losses, metrics
from graphflow.keras.structure import as_list, int_shape
from graphflow.ops.elementwise import add, cast, divide, multiply
from graphflow.ops.logic import not_equal
from graphflow.ops.shape import broadcast_to
from graphflow.ops.statistics import mean


@dataclass(frozen=True)
class Terms:
    """The arguments of `compile` that say what is minimised and reported."""

    loss: Any
    metrics: Any
    weighted_metrics: Any
    loss_weights: Any


@dataclass
class Output:
    """One output of the model with its target, sample weights, loss and metrics."""

    name: str
    prediction: Variable
    loss: Callable[[Variable, Variable], Variable]
    loss_weight: float
    target: Placeholder
    sample_weight: Placeholder
    metrics: list[tuple[str, metrics.Metric, bool]] = field(default_factory=list)  # name, function, weighted

    def __post_init__(self) -> None:
        self.weighted_part = mean(cast(not_equal(self.sample_weight, 0), self.sample_weight.dtype))

    def mean(self, score: Variable, weighted: bool) -> Variable:
        """The mean of the scores of samples.

        Weighted, it is divided by the part of samples that have a weight (from 2.3 on it is not).
        """
        if not weighted or score.ndim == 0:
            return mean(score)
        if score.ndim > 1:
            score = mean(score, axis=tuple(range(1, score.ndim)))
        total = mean(multiply(score, self.sample_weight))
        return total if generation.resolve("loss is divided by all samples") else divide(total, self.weighted_part)

    @property
    def target_shape(self) -> tuple[int | None, ...]:
        return int_shape(self.target)

    @property
    def free_target(self) -> bool:
        """Whether a target of another shape than the prediction's may be meant: the loss is the user's own."""
        return self.loss not in _OF_PREDICTIONS_SHAPE and self.loss is not losses.sparse_categorical_crossentropy


_OF_PREDICTIONS_SHAPE = (losses.mean_squared_error, losses.mean_absolute_error, losses.binary_crossentropy, losses.categorical_crossentropy)


class Objective:
    """Total loss and metrics of a connected model.

    `target_shapes`: shapes of targets by output, where they are not those the losses suggest.
    Raises GraphError for names that fit no output, loss or metric.
    """

    def __init__(self, model: Any, terms: Terms, target_shapes: Mapping[str, Sequence[int | None]] | None = None) -> None:
        names: list[str] = model.output_names
        chosen = _for_outputs("loss", terms.loss, names, every=True)
        factors = _for_outputs("loss_weights", terms.loss_weights, names)
        self.outputs: list[Output] = []
        for name, v in zip(names, model.outputs, strict=True):
            loss = losses.get(chosen.get(name))
            if loss is None:
                continue
            target = _target(name, v, loss, (target_shapes or {}).get(name))
            weight = Placeholder(TensorType(target.dtype, v.shape[:1]), f"{name}_sample_weights")
            factor = factors.get(name)
            self.outputs.append(Output(name, v, loss, 1.0 if factor is None else float(factor), target, weight))
        for argument, weighted in (("metrics", False), ("weighted_metrics", True)):
            self._add_metrics(_for_outputs(argument, getattr(terms, argument), names, every=True), weighted)
        self.names, self.values = self._report(model)

    def _add_metrics(self, chosen: Mapping[str, Any], weighted: bool) -> None:
        for output in self.outputs:
            for identifier in as_list(chosen.get(output.name)):
                name, function = metrics.resolve(identifier, int_shape(output.prediction), output.loss)
                if generation.resolve("metrics are called as given") and isinstance(identifier, str):
                    name = identifier
                output.metrics.append((f"weighted_{name}" if weighted else name, function, weighted))

    def _report(self, model: Any) -> tuple[list[str], list[Variable]]:
        """Names and values of the total loss, the losses of several outputs, and metrics, in Keras's order."""
        own = [o.mean(o.loss(o.target, o.prediction), weighted=True) for o in self.outputs]
        terms = [value if o.loss_weight == 1 else multiply(value, o.loss_weight) for o, value in zip(self.outputs, own, strict=True)]
        terms += [loss for loss in model.losses if model.depends_only_on_inputs(loss)]
        if not terms:
            raise GraphError("the model has nothing to minimise", hint="give compile a loss")
        names, values = ["loss"], [functools.reduce(add, terms)]
        several = len(model.outputs) > 1
        if several:
            names += [f"{o.name}_loss" for o in self.outputs]
            values += own
        for o in self.outputs:
            for name, function, weighted in o.metrics:
                names.append(f"{o.name}_{name}" if several else name)
                values.append(o.mean(function(o.target, o.prediction), weighted))
        return names, values

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


def _target(name: str, prediction: Variable, loss: Any, shape: Sequence[int | None] | None) -> Placeholder:
    """A placeholder for what the output should be, of the prediction's batch size."""
    rest: Shape = prediction.shape[1:]
    if shape is not None:
        rest = tuple(n if n is not None else p for n, p in zip(shape[1:], rest, strict=False))
    elif loss is losses.sparse_categorical_crossentropy:
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
    in_order = isinstance(given, list | tuple) and argument in ("loss", "loss_weights")
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


