"""What users pass as data, as arrays that fit the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.graph.errors import FeedError, ShapeError
from graphflow.graph.op import Array
from graphflow.keras import losses
from graphflow.keras.engine.objective import Objective, Output
from graphflow.keras.engine.sample_weights import sample_weights
from graphflow.keras.structure import KerasShape, int_shape


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
            raise _misfit(f'No data provided for the {what} "{missing[0]}". Need data for each key in: {list(names)}', f"the keys that came are {', '.join(map(str, data))}")
        return [data[name] for name in names]
    if len(names) == 1:
        single = isinstance(data, list | tuple) and len(data) == 1 and np.ndim(data[0]) > 0
        if isinstance(data, list | tuple) and len(data) > 1 and all(isinstance(a, np.ndarray) and a.ndim > 1 for a in data):
            raise _wrong_number(what, names, f"a list of {len(data)} arrays came", "make one array of them with numpy.stack or numpy.concatenate")
        return [data[0] if single else data]
    if not isinstance(data, list | tuple) or len(data) != len(names):
        came = f"{len(data)} arrays came" if isinstance(data, list | tuple) else f"one {type(data).__name__} came"
        raise _wrong_number(what, names, came, f"pass a list in the order {', '.join(names)}, or a dict by these names")
    return list(data)


def _wrong_number(what: str, names: Sequence[str], came: str, hint: str) -> FeedError:
    several = f"{len(names)} {what}{'s' if len(names) > 1 else ''}"
    return _misfit(
        f"Error when checking model {what}: the list of Numpy arrays that you are passing to your model is not the size the model expected: the model has {several}, and {came}",
        hint,
    )


def _misfit(message: str, hint: str) -> FeedError:
    return FeedError(message, hint=hint)


def fitting(data: Any, name: str, shape: KerasShape, what: str, hint: str = "") -> Array:
    """An array for `name`, which takes `shape`; numbers in a row become a column, and SciPy's sparse matrices dense arrays.

    Raises ShapeError that says what was expected and what came, FeedError for rows of different lengths.
    """
    try:
        array = np.asarray(data.toarray() if hasattr(data, "toarray") else data)
    except ValueError as error:
        raise _misfit(f"the data for {name} are not an array: {error}", "rows must have equal lengths: pad or cut them") from None
    if array.dtype == object:
        raise _misfit(f"the data for {name} are no numbers: {type(data).__name__} of {type(array.reshape(-1)[0]).__name__ if array.size else 'nothing'}", "pass arrays of numbers")
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


def same_samples(arrays: Sequence[Array], what: Sequence[str], message: str) -> int:
    """The number of rows of all arrays; raises ShapeError where they differ."""
    sizes = [len(a) for a in arrays]
    if len(set(sizes)) > 1:
        pairs = ", ".join(f"{name}: {n}" for name, n in zip(what, sizes, strict=True))
        raise ShapeError(f"{message} Different numbers of samples came: {pairs}", hint="each sample needs a row in every array")
    return sizes[0] if sizes else 0


_INPUTS = "All input arrays (x) should have the same number of samples."
_TARGETS = "Input arrays should have the same number of samples as target arrays."
_WEIGHTS = "Sample_weight arrays should have the same number of samples as input arrays."


def inputs_feed(model: Any, x: Any, batch_size: int | None = None) -> Feed:
    """The arrays of the inputs alone; `batch_size`: what they will be cut into, where that is not free."""
    names: list[str] = model.input_names
    arrays = [fitting(a, name, int_shape(v), "input") for a, name, v in zip(by_name(x, names, "input"), names, model.inputs, strict=True)]
    samples = same_samples(arrays, names, _INPUTS)
    if model.stateful and batch_size and samples % batch_size:
        raise ShapeError(
            f"In a stateful network, you should only pass inputs with a number of samples that can be divided by the batch size. Found: {samples} samples",
            hint=f"the batch size is {batch_size}",
        )
    return Feed(arrays, samples)


def training_feed(
    model: Any, objective: Objective, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None, batch_size: int | None = None
) -> Feed:
    """The arrays of inputs and targets, and of sample weights if there are any."""
    inputs = inputs_feed(model, x, batch_size)
    names = [o.name for o in objective.outputs]
    given = by_name(y, names, "output") if names else []
    targets = [fitting(a, o.name, o.target_shape, "target", _target_hint(o)) for a, o in zip(given, objective.outputs, strict=True)]
    for array, output in zip(targets, objective.outputs, strict=True):
        _check_loss(array, output)
    arrays = [*inputs.arrays, *targets]
    samples = same_samples(arrays, [*model.input_names, *names], _TARGETS)
    weights = sample_weights(objective.outputs, targets, sample_weight, class_weight)
    if weights is None:
        return Feed(arrays, samples)
    same_samples([*arrays, *weights], [*model.input_names, *names, *(f"weights of {name}" for name in names)], _WEIGHTS)
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
    if losses.formula(output.loss) is not losses.categorical_crossentropy:
        return ""
    return "categorical_crossentropy takes one-hot targets: use sparse_categorical_crossentropy for class numbers, or keras.utils.to_categorical"


def _check_loss(array: Array, output: Output) -> None:
    sparse = losses.formula(output.loss) is losses.sparse_categorical_crossentropy
    if sparse and array.dtype.kind == "f" and array.size and not np.array_equal(array, np.trunc(array)):
        raise FeedError(f"the targets of {output.name} are not whole numbers", hint="sparse_categorical_crossentropy takes class numbers")
