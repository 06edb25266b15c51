"""Model: a Network that is trained, evaluated and asked for predictions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from graphflow.graph.errors import GraphError, StateError
from graphflow.graph.traversal import leaves
from graphflow.graph.variable import Shared, as_variable
from graphflow.keras import generation, optimizers
from graphflow.keras.arguments import no_more, users_stacklevel, with_new_names
from graphflow.keras.callbacks import History
from graphflow.keras.engine import loops
from graphflow.keras.engine.data import Feed, input_shapes, inputs_feed, target_shapes, training_feed
from graphflow.keras.engine.network import Network
from graphflow.keras.engine.objective import Objective, Terms
from graphflow.keras.generation import DEFAULT
from graphflow.keras.phase import folded
from graphflow.keras.structure import unwrapped
from graphflow.runtime.function import Function, function

BATCH_SIZE = 32


class Model(Network):
    """Layers from inputs to outputs that can be compiled, fit, evaluated and asked for predictions.

    `Model(inputs, outputs)`, each a Variable or a list.
    """

    optimizer: Any = None
    stop_training = False
    _objective: Objective | None
    _functions: dict[tuple[str, bool], Function]
    _training_updates: list[tuple[Shared, Any]] | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._forget_functions()
        super().__init__(*args, **with_new_names("Model", kwargs))

    # --- compiling --------------------------------------------------------------------------------
    def compile(self, optimizer: Any, loss: Any = None, metrics: Any = None, loss_weights: Any = None, weighted_metrics: Any = None) -> None:
        """Say how to train.

        `loss`: a name or function, or a list or dict of them by output.  `metrics`: names or functions, or a
        dict of them by output.  Raises GraphError for unknown names, with those that are known.
        """
        self.optimizer = optimizers.get(optimizer)
        self.loss, self.metrics, self.loss_weights, self.weighted_metrics = loss, metrics or [], loss_weights, weighted_metrics
        self._terms = Terms(loss, metrics, weighted_metrics, loss_weights)
        self._forget_functions()
        if self.connected:
            self._objective = Objective(self, self._terms)

    def _forget_functions(self) -> None:
        """Begin again: what is trained, or how, has changed."""
        self._objective = None
        self._functions = {}
        self._training_updates = None

    def _require_compiled(self) -> None:
        if self.optimizer is None:
            raise StateError("You must compile a model before training/testing", hint="use model.compile(optimizer, loss)")

    def _prepared(self, x: Any, y: Any) -> Objective:
        """The objective for targets like y; connects a model that waited for its first data."""
        self._require_compiled()
        self._meet(x)
        shapes = target_shapes(self._goal, y)
        if shapes:
            self._forget_functions()
            self._objective = Objective(self, self._terms, shapes)
        return self._goal

    def _meet(self, x: Any) -> None:
        if not self.connected:
            self._connect_to(input_shapes(x))

    @property
    def _goal(self) -> Objective:
        """The objective, made as soon as the inputs are known."""
        self._require_compiled()
        self._require_connection()
        if self._objective is None:
            self._objective = Objective(self, self._terms)
        return self._objective

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate` returns: the loss, the losses of several outputs, metrics."""
        self._require_compiled()
        return self._goal.names if self.connected else ["loss"]

    @property
    def total_loss(self) -> Any:
        """The graph of what is minimised."""
        return self._goal.values[0]

    # --- compiled functions -----------------------------------------------------------------------
    def train_step(self, weighted: bool = False) -> Function:
        """Compiled: inputs, targets (and sample weights) -> loss and metrics; updates weights and optimizer."""
        return self._function("train", weighted)

    def test_step(self, weighted: bool = False) -> Function:
        """Compiled: inputs, targets (and sample weights) -> loss and metrics."""
        return self._function("test", weighted)

    def predict_step(self) -> Function:
        """Compiled: inputs -> outputs."""
        return self._function("predict", False)

    def _function(self, kind: str, weighted: bool) -> Function:
        if (kind, weighted) not in self._functions:
            self._functions[kind, weighted] = self._make(kind, weighted)
        return self._functions[kind, weighted]

    def _make(self, kind: str, weighted: bool) -> Function:
        if kind == "predict":
            return function(self.inputs, folded(self.outputs, training=False), name=f"{self.name}.predict")
        goal = self._goal
        values = folded(goal.values, training=kind == "train")
        inputs = [*self.inputs, *goal.targets, *(goal.sample_weights if weighted else ())]
        updates = self._updates(values[0]) if kind == "train" else []
        return function(inputs, values, updates, givens={} if weighted else goal.without_weights(), name=f"{self.name}.{kind}")

    def _updates(self, loss: Any) -> list[tuple[Shared, Any]]:
        """New values of weights, optimizer state and what layers keep; made once for all functions that train."""
        if self._training_updates is None:
            own = [(s, as_variable(v, s.dtype)) for s, v in self.updates]
            own = [(s, v) for s, v in own if self.depends_only_on_inputs(v)]
            kept = zip([s for s, _ in own], folded([v for _, v in own], training=True), strict=True)
            self._training_updates = [*self.optimizer.get_updates(loss=loss, params=self._trained_weights(loss)), *kept]
        return self._training_updates

    def _trained_weights(self, loss: Any) -> list[Shared]:
        """The trainable weights that the loss depends on; warns if that leaves some out."""
        used = set(leaves([loss]))
        unused = [w.label for w in self.trainable_weights if w not in used]
        if unused:
            warnings.warn(f"the loss does not depend on {', '.join(unused)}: they are not trained", stacklevel=users_stacklevel())
        return [w for w in self.trainable_weights if w in used]

    # --- many samples -----------------------------------------------------------------------------
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = DEFAULT,
        verbose: int = 1,
        callbacks: Sequence[Any] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        **renamed: Any,
    ) -> History:
        """Train for epochs over arrays, and return a History.

        `validation_split`: the last part of the samples, before shuffling, is kept for validation;
        `validation_data`: (x, y) or (x, y, sample_weight).  `class_weight`: {class: weight}.  `verbose`: 0
        nothing, 1 a progress bar, 2 a line for each epoch.  Raises StateError before `compile`, ShapeError
        and FeedError for data that do not fit.
        """
        arguments = with_new_names("fit", renamed)
        epochs = arguments.pop("epochs", epochs)
        no_more("fit", arguments)
        epochs = generation.resolve("fit.epochs") if epochs is DEFAULT else epochs
        objective = self._prepared(x, y)
        feed = training_feed(self, objective, x, y, sample_weight, class_weight)
        validation = self._validation(objective, validation_data)
        if validation is None and validation_split:
            feed, validation = _split(feed, validation_split)
        loop = loops.Fit(self, feed, validation, batch_size or BATCH_SIZE, int(verbose), shuffle)
        return loop.run(epochs, initial_epoch, callbacks or [])

    def _validation(self, objective: Objective, data: Any) -> Feed | None:
        if data is None:
            return None
        if len(data) not in (2, 3):
            raise GraphError(f"validation_data has {len(data)} parts", hint="it is (x, y) or (x, y, sample_weight)")
        return training_feed(self, objective, *data)

    def evaluate(self, x: Any = None, y: Any = None, batch_size: int | None = None, verbose: int = 1, sample_weight: Any = None) -> Any:
        """The loss, or a list of the loss and metrics, as means over samples in the order of `metrics_names`."""
        feed = training_feed(self, self._prepared(x, y), x, y, sample_weight)
        return unwrapped(loops.evaluate(self.test_step(feed.weighted).batches(feed.arrays, batch_size or BATCH_SIZE), verbose))

    def predict(self, x: Any, batch_size: int | None = None, verbose: int = 0) -> Any:
        """The outputs for all samples: an array, or a list for several outputs.  Needs no `compile`."""
        self._meet(x)
        return unwrapped(loops.predict(self.predict_step(), inputs_feed(self, x), batch_size or BATCH_SIZE, verbose))

    # --- one batch --------------------------------------------------------------------------------
    def train_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None) -> Any:
        """One update; returns the loss before it, or a list of the loss and metrics."""
        return self._on_batch(self.train_step, x, y, sample_weight, class_weight)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """The loss of one batch, or a list of the loss and metrics."""
        return self._on_batch(self.test_step, x, y, sample_weight, None)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch."""
        self._meet(x)
        return unwrapped(self.predict_step()(*inputs_feed(self, x).arrays))

    def _on_batch(self, step: Callable[[bool], Function], x: Any, y: Any, sample_weight: Any, class_weight: Any) -> Any:
        feed = training_feed(self, self._prepared(x, y), x, y, sample_weight, class_weight)
        return unwrapped([float(v) for v in step(feed.weighted)(*feed.arrays)])


def _split(feed: Feed, fraction: float) -> tuple[Feed, Feed]:
    """All but the last `fraction` of the samples, and those."""
    at = int(feed.samples * (1 - fraction))
    if not 0 < at < feed.samples:
        raise GraphError(f"validation_split={fraction} leaves {at} of {feed.samples} samples for training", hint="it is a part between 0 and 1")
    return feed.rows(0, at), feed.rows(at, feed.samples)
