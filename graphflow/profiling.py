"""`gf.profile`: finds what is to be profiled in a function, a model or fetches and feeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable
from graphflow.runtime.function import Function
from graphflow.runtime.profile import Profile, profile_function
from graphflow.runtime.session import Session, current_store


def profile(what: Any, *values: Any, repeat: int | None = None, trace: str | None = None) -> Profile:
    """Run something several times with a clock around each of its kernels; printed, the result is a table.

    `what` and `values` are a `gf.function` and its arguments; a Keras model and a batch, `(model, x, y)` for a
    training step and `(model, x)` for a prediction; or fetches and feeds as `Session.run` takes them, in the Session
    that is open.  State is copied first: that of the user is as it was afterwards.  `repeat`: how many calls are
    measured, by default as many as fit into 0.3 s.  `trace`: a file for the trace, which ui.perfetto.dev shows.

    Raises GraphError for something else, and what a call with these values raises.
    """
    fn, arguments = _resolve(what, values)
    found = profile_function(fn, arguments, repeat)
    if trace is not None:
        found.trace(trace)
    return found


def _resolve(what: Any, values: Sequence[Any]) -> tuple[Function, Sequence[Any]]:
    if isinstance(what, Function):
        return what, values
    if hasattr(what, "train_step") and hasattr(what, "predict_step"):
        return model_step(what, values)
    if isinstance(what, Variable | list | tuple | dict) and all(isinstance(v, Mapping) for v in values) and len(values) <= 1:
        feeds = values[0] if values else {}
        return Session(store=current_store()).make_callable(what, list(feeds)), list(feeds.values())
    raise GraphError(f"profile: {what!r:.60} cannot be run", hint="pass a gf.function and its arguments, a model and a batch, or fetches and feeds")


def model_step(model: Any, batch: Sequence[Any]) -> tuple[Function, Sequence[Any]]:
    """What a model runs for a batch."""
    from graphflow.keras.engine.data import inputs_feed, training_feed

    if len(batch) == 1:
        model._meet(*batch)
        return model.predict_step(), inputs_feed(model, *batch).arrays
    if len(batch) not in (2, 3):
        raise GraphError(f"profile: {len(batch)} arguments after the model", hint="pass x; x and y; or x, y and sample weights")
    feed = training_feed(model, model._prepared(*batch[:2]), *batch)
    return model.train_step(feed.weighted), feed.arrays
