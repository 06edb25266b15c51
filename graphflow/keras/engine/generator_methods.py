"""`fit_generator`, `evaluate_generator` and `predict_generator`: methods of models that take what gives batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.errors import FeedError
from graphflow.keras import generation
from graphflow.keras.arguments import no_more, with_new_names
from graphflow.keras.callbacks import History
from graphflow.keras.engine.stream import is_stream
from graphflow.keras.generation import DEFAULT


def fit_generator(
    self: Any,
    generator: Any,
    steps_per_epoch: int | None = None,
    epochs: int = DEFAULT,
    verbose: Any = 1,
    callbacks: Sequence[Any] | None = None,
    validation_data: Any = None,
    validation_steps: int | None = None,
    class_weight: Any = None,
    max_queue_size: int = 10,
    workers: int = 1,
    use_multiprocessing: bool = False,
    shuffle: bool = True,
    initial_epoch: int = 0,
    validation_freq: int | Sequence[int] = 1,
    **renamed: Any,
) -> History:
    """`fit` on batches (x, y) or (x, y, weights) of a generator or Sequence.

    Keras 1's `samples_per_epoch` is divided by the generator's `batch_size` if it has one, and is a number of batches if not.
    """
    given = {
        "steps_per_epoch": steps_per_epoch, "epochs": epochs, "validation_steps": validation_steps, "max_queue_size": max_queue_size,
        "workers": workers, "use_multiprocessing": use_multiprocessing,
    }  # fmt: skip
    arguments = _renamed("fit_generator", renamed, given)
    if "samples_per_epoch" in renamed:
        arguments["steps_per_epoch"] = renamed["samples_per_epoch"] // getattr(generator, "batch_size", 1)
    if arguments["epochs"] is DEFAULT:
        arguments["epochs"] = generation.resolve("fit.epochs")
    history: History = self.fit(
        _source(generator), verbose=verbose, callbacks=callbacks, validation_data=validation_data, class_weight=class_weight, shuffle=shuffle,
        initial_epoch=initial_epoch, validation_freq=validation_freq, **arguments,
    )  # fmt: skip
    return history


def evaluate_generator(
    self: Any,
    generator: Any,
    steps: int | None = None,
    callbacks: Any = None,
    max_queue_size: int = 10,
    workers: int = 1,
    use_multiprocessing: bool = False,
    verbose: Any = 0,
    **renamed: Any,
) -> Any:
    """`evaluate` on batches of a generator or Sequence."""
    given = {"steps": steps, "max_queue_size": max_queue_size, "workers": workers, "use_multiprocessing": use_multiprocessing}
    return self.evaluate(_source(generator), verbose=verbose, callbacks=callbacks, **_renamed("evaluate_generator", renamed, given))


def predict_generator(
    self: Any,
    generator: Any,
    steps: int | None = None,
    callbacks: Any = None,
    max_queue_size: int = 10,
    workers: int = 1,
    use_multiprocessing: bool = False,
    verbose: Any = 0,
    **renamed: Any,
) -> Any:
    """`predict` on batches of a generator or Sequence: of (x, y) the x."""
    given = {"steps": steps, "max_queue_size": max_queue_size, "workers": workers, "use_multiprocessing": use_multiprocessing}
    return self.predict(_source(generator), verbose=verbose, callbacks=callbacks, **_renamed("predict_generator", renamed, given))


def _renamed(what: str, renamed: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The arguments given, those under their old names included; raises ArgumentError for unknown ones."""
    found = with_new_names(what, {name: value for name, value in renamed.items() if name != "samples_per_epoch"})
    no_more(what, {name: value for name, value in found.items() if name not in given})
    return {**given, **found}


def _source(generator: Any) -> Any:
    if not is_stream(generator):
        raise FeedError(f"a generator or Sequence is needed, and {type(generator).__name__} came", hint="fit, evaluate and predict take arrays")
    return generator
