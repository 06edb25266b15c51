"""What users pass as data, as arrays that fit the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.graph.errors import FeedError, GraphError, ShapeError
from graphflow.graph.op import Array
from graphflow.keras import losses
from graphflow.keras.engine.objective import Objective, Output
from graphflow.keras.structure import KerasShape


@dataclass(frozen=True)
class Feed:
    """Arrays in the order of a function's inputs, with one row for each sample."""

    arrays: list[Array]
    samples: int
    weighted: bool = False

    def rows(self, start: int, stop: int) -> Feed:
        return Feed([a[start:stop] for a in self.arrays], stop - start, self.weighted)


def by_name(data: Any, names: Sequence[str], what: str) -> list[Any]:
    """One entry for each name: from a dict by name, a list or tuple in order, or a single array.

    Raises FeedError for missing names and wrong numbers.
    """
    if isinstance(data, Mapping):
        missing = [name for name in names if name not in data]
        if missing:
            raise _misfit(f"no data for the {what} {missing[0]!r}", f"the keys that came are {', '.join(map(str, data))}")
        return [data[name] for name in names]
    if len(names) == 1:
        single = isinstance(data, list | tuple) and len(data) == 1 and np.ndim(data[0]) > 0
        if isinstance(data, list | tuple) and len(data) > 1 and all(isinstance(a, np.ndarray) and a.ndim > 1 for a in data):
            raise _misfit(f"the model has 1 {what}, and a list of {len(data)} arrays came", "make one array of them with numpy.stack or numpy.concatenate")
        return [data[0] if single else data]
    if not isinstance(data, list | tuple) or len(data) != len(names):
        came = f"{len(data)} arrays" if isinstance(data, list | tuple) else f"one {type(data).__name__}"
        raise _misfit(f"the model has {len(names)} {what}s, and {came} came", f"pass a list in the order {', '.join(names)}, or a dict by these names")
    return list(data)


def _misfit(message: str, hint: str) -> FeedError:
    return FeedError(message, hint=hint)


def fitting(data: Any, name: str, shape: KerasShape, what: str, hint: str = "") -> Array:
    """An array for `name`, which takes `shape`; numbers in a row become a column.

    Raises ShapeError that says what was expected and what came, FeedError for rows of different lengths.
    """
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise _misfit(f"the data for {name} are not an array: {error}", "rows must have equal lengths: pad or cut them") from None
    if array.ndim == 1 and len(shape) == 2:
        array = array[:, None]
    if array.ndim != len(shape):
        wrong = f"to have {len(shape)} dimensions, but got array with shape {array.shape}"
    elif any(n is not None and n != m for n, m in zip(shape[1:], array.shape[1:], strict=True)):
        wrong = f"to have shape {shape[1:]} but got array with shape {array.shape[1:]}"
    else:
        return array
    raise ShapeError(
        f"Error when checking {what}: expected {name} {wrong}",
        hint=hint or f"its batches have the shape {shape}; reshape the data, or declare another shape",
    )


def input_shapes(x: Any) -> list[tuple[int, ...]]:
    """The shapes of data for a model that has not seen any; several inputs are a list or tuple of arrays."""
    if isinstance(x, Mapping):
        raise _misfit("the model does not know its inputs yet, so data by name cannot be placed", "pass arrays, or give the first layer an input_shape")
    several = isinstance(x, list | tuple) and len(x) > 0 and all(isinstance(a, np.ndarray) for a in x)
    shapes = [np.shape(a) for a in (x if several else [x])]
    return [shape if len(shape) > 1 else (*shape, 1) for shape in shapes]


def same_samples(arrays: Sequence[Array], what: Sequence[str]) -> int:
    """The number of rows of all arrays; raises ShapeError where they differ."""
    sizes = [len(a) for a in arrays]
    if len(set(sizes)) > 1:
        pairs = ", ".join(f"{name}: {n}" for name, n in zip(what, sizes, strict=True))
        raise ShapeError(f"arrays have different numbers of samples: {pairs}", hint="each sample needs a row in every array")
    return sizes[0] if sizes else 0


def inputs_feed(model: Any, x: Any) -> Feed:
    """The arrays of the inputs alone."""
    names: list[str] = model.input_names
    shapes = [tuple(n if isinstance(n, int) else None for n in v.shape) for v in model.inputs]
    arrays = [fitting(a, name, shape, "input") for a, name, shape in zip(by_name(x, names, "input"), names, shapes, strict=True)]
    return Feed(arrays, same_samples(arrays, names))


def training_feed(model: Any, objective: Objective, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None) -> Feed:
    """The arrays of inputs and targets, and of sample weights if there are any."""
    inputs = inputs_feed(model, x)
    names = [o.name for o in objective.outputs]
    given = by_name(y, names, "output") if names else []
    targets = [fitting(a, o.name, o.target_shape, "target", _target_hint(o)) for a, o in zip(given, objective.outputs, strict=True)]
    for array, output in zip(targets, objective.outputs, strict=True):
        _check_loss(array, output)
    arrays = [*inputs.arrays, *targets]
    samples = same_samples(arrays, [*model.input_names, *names])
    weights = sample_weights(objective.outputs, targets, sample_weight, class_weight)
    if weights is None:
        return Feed(arrays, samples)
    same_samples([*arrays, *weights], [*model.input_names, *names, *(f"weights of {name}" for name in names)])
    return Feed([*arrays, *weights], samples, weighted=True)


def target_shapes(objective: Objective, y: Any) -> dict[str, KerasShape]:
    """The shapes of targets for the user's own losses, where they are not those of the predictions."""
    names = [o.name for o in objective.outputs]
    found: dict[str, KerasShape] = {}
    for data, output in zip(by_name(y, names, "output") if names else [], objective.outputs, strict=True):
        shape = np.shape(data)
        shape = (*shape, 1) if len(shape) == 1 and len(output.target_shape) == 2 else shape
        same_rank = len(shape) == len(output.target_shape)
        if output.free_target and not (same_rank and all(n in (None, m) for n, m in zip(output.target_shape[1:], shape[1:], strict=True))):
            found[output.name] = (None, *shape[1:])
    return found


def _target_hint(output: Output) -> str:
    if output.loss is not losses.categorical_crossentropy:
        return ""
    return "categorical_crossentropy takes one-hot targets: use sparse_categorical_crossentropy for class numbers, or keras.utils.to_categorical"


def _check_loss(array: Array, output: Output) -> None:
    if output.loss is losses.sparse_categorical_crossentropy and array.dtype.kind == "f" and array.size and not np.array_equal(array, np.trunc(array)):
        raise FeedError(f"the targets of {output.name} are not whole numbers", hint="sparse_categorical_crossentropy takes class numbers")


# --- weights of samples --------------------------------------------------------------------------
def sample_weights(outputs: Sequence[Output], targets: Sequence[Array], sample_weight: Any, class_weight: Any) -> list[Array] | None:
    """One weight for each sample and output: the product of those given by sample and by class; None for none."""
    if sample_weight is None and not class_weight:
        return None
    names = [o.name for o in outputs]
    by_sample = _optional(sample_weight, names, "sample_weight", isinstance(sample_weight, Mapping))
    by_class = _optional(class_weight, names, "class_weight", bool(class_weight) and isinstance(next(iter(class_weight.values())), Mapping))
    found: list[Array] = []
    for output, target, weight, classes in zip(outputs, targets, by_sample, by_class, strict=True):
        values = np.ones(len(target), output.sample_weight.dtype)
        if weight is not None:
            weight = np.asarray(weight)
            if weight.ndim != 1:
                raise ShapeError(f"sample_weight of {output.name} has the shape {weight.shape}", hint="one weight for each sample")
            same_samples([target, weight], [output.name, "sample_weight"])
            values = values * weight
        if classes:
            values = values * class_weights(target, classes, output.name)
        found.append(values.astype(output.sample_weight.dtype))
    return found


def _optional(given: Any, names: Sequence[str], what: str, named: bool) -> list[Any]:
    """An entry for each output, None where there is none."""
    if given is None:
        return [None] * len(names)
    if named:
        unknown = [name for name in given if name not in names]
        if unknown:
            raise _misfit(f"{what} has an entry {unknown[0]!r}, which is no output of the model", f"outputs are {', '.join(names)}")
        return [given.get(name) for name in names]
    if len(names) == 1:
        single = isinstance(given, list) and len(given) == 1 and np.ndim(given[0]) == 1
        return [given[0] if single else given]
    if isinstance(given, list | tuple) and len(given) == len(names):
        return list(given)
    raise _misfit(f"{what} is for one output, and the model has {len(names)}", f"pass a dict by output: {', '.join(names)}")


def class_weights(target: Array, weights: Mapping[Any, float], name: str) -> Array:
    """The weight of each sample's class.  Raises GraphError for a class without a weight."""
    if target.ndim > 2:
        raise GraphError(f"class_weight: targets of {name} have {target.ndim} dimensions", hint="class weights are for one class a sample")
    classes = target.argmax(axis=1) if target.shape[1] > 1 else target[:, 0].astype(np.int64)
    present, places = np.unique(classes, return_inverse=True)
    missing = [int(c) for c in present if c not in weights]
    if missing:
        raise GraphError(f"class_weight: no weight for the classes {missing}", hint=f"it has {sorted(weights)}")
    return np.array([weights[c] for c in present])[places.reshape(-1)]
