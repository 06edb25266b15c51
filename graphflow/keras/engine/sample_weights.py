"""Weights of samples, of steps and of classes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import FeedError, GraphError, ShapeError
from graphflow.graph.op import Array
from graphflow.keras.arguments import users_stacklevel
from graphflow.keras.engine.objective import Output


def sample_weights(outputs: Sequence[Output], targets: Sequence[Array], sample_weight: Any, class_weight: Any) -> list[Array] | None:
    """Weights for each output, the product of those given by sample and by class; None for none.

    One for each sample, or one for each of its steps where the output takes temporal weights.
    """
    class_weight = _of_classes(class_weight)
    if _nothing(sample_weight) and not class_weight:
        return None
    names = [o.name for o in outputs]
    by_sample = _by_output(sample_weight, names, "sample_weight", isinstance(sample_weight, Mapping))
    by_class = _by_output(class_weight, names, "class_weight", isinstance(class_weight, Mapping) and isinstance(next(iter(class_weight.values()), None), Mapping))
    found: list[Array] = []
    for output, target, weight, classes in zip(outputs, targets, by_sample, by_class, strict=True):
        axes = output.sample_weight.ndim
        values = np.ones(target.shape[:axes], output.sample_weight.dtype)
        if weight is not None:
            values = values * _checked(np.asarray(weight), output, target, axes)
        if classes:
            values = values * class_weights(target, classes, output.name).reshape(-1, *[1] * (axes - 1))
        found.append(values.astype(output.sample_weight.dtype))
    return found


def _of_classes(class_weight: Any) -> Any:
    """Dicts of weights by class.  Anything else, as 'auto' or an array, changed nothing in Keras 2 either; here with a warning."""
    parts = class_weight if isinstance(class_weight, list | tuple) else [class_weight]
    if all(part is None or isinstance(part, Mapping) for part in parts):
        return class_weight
    warnings.warn("class_weight is not a dict {class: weight}, and changes nothing", stacklevel=users_stacklevel())
    return None


def _checked(weight: Array, output: Output, target: Array, axes: int) -> Array:
    """Weights of the right rank and number."""
    if weight.ndim == 2 and axes == 1 and weight.shape[1] == 1:
        weight = weight[:, 0]
    if weight.ndim != axes:
        expected = "one weight for each step" if axes == 2 else "one weight for each sample"
        hint = f"{expected}; sample_weight_mode='temporal' in compile asks for weights of steps, of the shape (samples, steps)"
        raise ShapeError(f"Found a sample_weight array with shape {weight.shape} for {output.name}", hint=hint)
    if weight.shape != target.shape[:axes]:
        raise ShapeError(
            f"Found a sample_weight array with shape {weight.shape} for {output.name}, whose targets have the shape {target.shape}: different numbers of samples or steps",
            hint="sample_weight cannot be broadcast",
        )
    return weight


def temporal(outputs: Sequence[Output], sample_weight: Any) -> dict[str, str]:
    """'temporal' for each output whose weights are given by step; none where the weights do not fit the outputs."""
    names = [o.name for o in outputs]
    if _nothing(sample_weight):
        return {}
    given = _by_output(sample_weight, names, "sample_weight", isinstance(sample_weight, Mapping))
    shapes = {name: np.shape(weight) for name, weight in zip(names, given, strict=True) if weight is not None}
    return {name: "temporal" for name, shape in shapes.items() if len(shape) == 2 and shape[1] > 1}


def _nothing(sample_weight: Any) -> bool:
    return sample_weight is None or (isinstance(sample_weight, list | tuple) and all(w is None for w in sample_weight))


def _by_output(given: Any, names: Sequence[str], what: str, named: bool) -> list[Any]:
    """An entry for each output, None where there is none."""
    if given is None:
        return [None] * len(names)
    if named:
        unknown = [name for name in given if name not in names]
        if unknown:
            raise FeedError(f"{what} has an entry {unknown[0]!r}, which is no output of the model", hint=f"outputs are {', '.join(names)}")
        return [given.get(name) for name in names]
    if len(names) == 1:
        single = isinstance(given, list | tuple) and len(given) == 1 and (given[0] is None or np.ndim(given[0]) > 0)
        return [given[0] if single else given]
    if isinstance(given, list | tuple) and len(given) == len(names):
        return list(given)
    raise FeedError(f"{what} is for one output, and the model has {len(names)}", hint=f"pass a list, or a dict by output: {', '.join(names)}")


def class_weights(target: Array, weights: Mapping[Any, float], name: str) -> Array:
    """The weight of each sample's class.  Raises GraphError for a class without a weight."""
    if target.ndim > 2:
        raise GraphError("`class_weight` not supported for 3+ dimensional targets.", hint=f"those of {name} have {target.ndim}: give sample_weight")
    classes = target.argmax(axis=1) if target.shape[1] > 1 else target[:, 0].astype(np.int64)
    present, places = np.unique(classes, return_inverse=True)
    missing = [int(c) for c in present if c not in weights]
    if missing:
        raise GraphError(f"`class_weight` must contain all classes in the data: no weight for the classes {missing}", hint=f"it has {sorted(weights)}")
    return np.array([weights[c] for c in present])[places.reshape(-1)]
