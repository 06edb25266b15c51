"""Model: a Network that is trained, evaluated and asked for predictions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from graphflow.graph.errors import FeedError, GraphError, StateError
from graphflow.graph.traversal import leaves
from graphflow.graph.variable import Shared, Variable, as_variable
from graphflow.keras import backend as K
from graphflow.keras import generation, optimizers
from graphflow.keras.arguments import no_more, users_stacklevel, with_new_names
from graphflow.keras.callbacks import CallbackList, History
from graphflow.keras.engine import generator_methods, loops
from graphflow.keras.engine.data import Feed, input_shapes, inputs_feed, target_shapes, training_feed
from graphflow.keras.engine.fit import Fit, Validation, WholeBatches
from graphflow.keras.engine.network import Network
from graphflow.keras.engine.objective import Objective, Terms
from graphflow.keras.engine.sample_weights import temporal
from graphflow.keras.engine.stream import Stream, Workers, is_stream
from graphflow.keras.generation import DEFAULT
from graphflow.keras.phase import folded
from graphflow.keras.structure import as_list, unwrapped
from graphflow.keras.values import Value
from graphflow.ops.elementwise import add, subtract
from graphflow.runtime.batches import Batches
from graphflow.runtime.function import Function, function
from graphflow.runtime.orders import Orders

BATCH_SIZE = 32
_WITHOUT_EFFECT = ("auto_scale_loss", "distribute", "experimental_run_tf_function", "jit_compile", "run_eagerly", "steps_per_execution")


class Model(Network):
    """Layers from inputs to outputs that can be compiled, fit, evaluated and asked for predictions.

    `Model(inputs, outputs)`, each a Variable or a list.
    """

    optimizer: Any = None
    stop_training = False
    running_fit: Fit | None = None
    _objective: Objective | None
    _functions: dict[tuple[str, bool], Function]
    _training_updates: list[tuple[Shared, Any]] | None
    _collected: list[Shared] | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._forget_functions()
        super().__init__(*args, **with_new_names("Model", kwargs))

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The model on Variables; on arrays it computes, and gives arrays."""
        given = list(inputs.values()) if isinstance(inputs, dict) else as_list(inputs)
        if args or any(isinstance(v, Variable) for v in given) or not all(isinstance(v, np.ndarray) for v in given):
            return super().__call__(inputs, *args, **kwargs)
        self._meet(inputs)
        step = self._function("predict", bool(kwargs.get("training")))
        return unwrapped([np.asarray(v).view(Value) for v in step(*inputs_feed(self, inputs).arrays)])

    # --- compiling --------------------------------------------------------------------------------
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        sample_weight_mode: Any = None,
        weighted_metrics: Any = None,
        target_tensors: Any = None,
        **options: Any,
    ) -> None:
        """Say how to train.

        `loss`: a name, function or Loss, or a list or dict of them by output.  `metrics` and `weighted_metrics`: names,
        functions or Metrics, or a dict or list of lists of them by output.  `sample_weight_mode`: 'temporal' for weights of
        the shape (samples, steps).  `target_tensors`: placeholders to feed targets to.  The weights that are trainable now are
        trained.  Options that choose how TensorFlow runs are accepted.  Raises GraphError for unknown names, with those
        that are known.
        """
        no_more("compile", {name: value for name, value in options.items() if name not in _WITHOUT_EFFECT})
        self.optimizer = optimizers.get(optimizer)
        self.loss, self.metrics, self.loss_weights, self.weighted_metrics = loss, metrics or [], loss_weights, weighted_metrics
        self.sample_weight_mode = sample_weight_mode
        self._terms = Terms(loss, metrics, weighted_metrics, loss_weights, sample_weight_mode, target_tensors)
        self._forget_functions()
        if self.connected:
            self._set_objective(Objective(self, self._terms))

    def _forget_functions(self) -> None:
        """Begin again: what is trained, or how, has changed."""
        self._objective = None
        self._functions = {}
        self._training_updates = None
        self.__dict__["_collected"] = None  # these are layers' weights, and not the model's own

    def _set_objective(self, objective: Objective) -> None:
        self._objective = objective
        if self._collected is None:
            self.__dict__["_collected"] = self.trainable_weights

    def _require_compiled(self) -> None:
        if self.optimizer is None:
            raise StateError("You must compile a model before training/testing. Use `model.compile(optimizer, loss)`.", hint="e.g. model.compile('adam', 'mse')")

    def _prepared(self, x: Any, y: Any, sample_weight: Any = None) -> Objective:
        """The objective for targets and weights like these; connects a model that waited for its first data."""
        self._require_compiled()
        self._meet(x)
        goal = self._goal
        shapes = target_shapes(goal, y)
        modes = temporal(goal.outputs, sample_weight) if generation.resolve("weights of steps need no mode") else {}
        if shapes or any(len(o.sample_weight.shape) == 1 for o in goal.outputs if o.name in modes):
            collected = self._collected
            self._forget_functions()
            self.__dict__["_collected"] = collected
            self._set_objective(Objective(self, self._terms, shapes, modes))
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
            self._set_objective(Objective(self, self._terms))
        assert self._objective is not None
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

    @property
    def targets(self) -> list[Any]:
        """What targets are fed to."""
        return list(self._goal.targets)

    @property
    def sample_weights(self) -> list[Any]:
        """What weights of samples are fed to."""
        return list(self._goal.sample_weights)

    def reset_metrics(self) -> None:
        """Let metrics that keep state begin again."""
        if self._objective is not None:
            self._objective.reset_metrics()

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

    def _make_predict_function(self) -> None:
        """Have the function of `predict` ready, as programs do before threads use the model."""
        self.predict_step()

    def _make_test_function(self) -> None:
        self.test_step()

    def _make_train_function(self) -> None:
        self.train_step()

    def _function(self, kind: str, variant: bool) -> Function:
        """The function of a kind; `variant`: with weights of samples, or ('predict') as while training."""
        if (kind, variant) not in self._functions:
            self._functions[kind, variant] = self._make(kind, variant)
        return self._functions[kind, variant]

    def _make(self, kind: str, variant: bool) -> Function:
        if kind == "predict":
            self._require_connection()
            return function(self.inputs, folded(self.outputs, training=variant), [] if variant else self._state_updates(), name=f"{self.name}.predict")
        goal = self._goal
        kept = goal.metric_updates
        made = folded([*goal.values, *(v for _, v in kept)], training=kind == "train")
        values, updates = made[: len(goal.values)], list(zip([s for s, _ in kept], made[len(goal.values) :], strict=True))
        updates += self._updates(values[0]) if kind == "train" else self._state_updates()
        inputs = [*self.inputs, *goal.targets, *(goal.sample_weights if variant else ())]
        return function(inputs, values, updates, givens={} if variant else goal.without_weights(), name=f"{self.name}.{kind}")

    def _updates(self, loss: Any) -> list[tuple[Shared, Any]]:
        """New values of weights, optimizer state and what layers keep; made once for all functions that train."""
        if self._training_updates is None:
            kept = self._kept(self.updates, training=True)
            self._training_updates = [*self.optimizer.get_updates(loss=loss, params=self._trained_weights(loss)), *kept]
        return self._training_updates

    def _state_updates(self) -> list[tuple[Shared, Any]]:
        """New values of the states of stateful layers, which testing and predicting change as well."""
        return self._kept(self.state_updates, training=False)

    def _kept(self, pairs: Sequence[tuple[Shared, Any]], training: bool) -> list[tuple[Shared, Any]]:
        own = [(s, as_variable(v, s.dtype)) for s, v in pairs]
        own = _one_each([(s, v) for s, v in own if self.depends_only_on_inputs(v)])
        return list(zip([s for s, _ in own], folded([v for _, v in own], training=training), strict=True))

    def _trained_weights(self, loss: Any) -> list[Shared]:
        """The weights to train that the loss depends on; warns if that leaves some out."""
        used = set(leaves([loss]))
        chosen = self._collected or []
        unused = [w.label for w in chosen if w not in used]
        if unused:
            warnings.warn(f"the loss does not depend on {', '.join(unused)}: they are not trained", stacklevel=users_stacklevel())
        return [w for w in chosen if w in used]

    def summary(self, line_length: int | None = None, positions: Sequence[float] | None = None, print_fn: Any = None) -> None:
        """Print layers, shapes and numbers of weights; warns if other weights are trainable than when the model was compiled."""
        self._check_trainable()
        super().summary(line_length, positions, print_fn)

    def _check_trainable(self) -> None:
        """Warn if other weights are trainable than when the model was compiled."""
        if self._collected is not None and set(self._collected) != set(self.trainable_weights):
            warnings.warn(
                "Discrepancy between trainable weights and collected trainable weights, did you set `model.trainable` without calling `model.compile` after ?",
                stacklevel=users_stacklevel(),
            )

    # --- many samples -----------------------------------------------------------------------------
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = DEFAULT,
        verbose: Any = 1,
        callbacks: Sequence[Any] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_freq: int | Sequence[int] = 1,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
        validation_batch_size: int | None = None,
        **renamed: Any,
    ) -> History:
        """Train for epochs, and return a History.

        `x`: an array, a list, tuple or dict of arrays by input, or what gives batches (x, y) or (x, y, weights): a
        generator, or a Sequence.  `validation_split`: the last part of the samples, before shuffling, is kept for validation;
        `validation_data`: (x, y), (x, y, sample_weight), or what gives batches.  `class_weight`: {class: weight}.  `verbose`:
        0 nothing, 1 a progress bar, 2 a line for each epoch.  `steps_per_epoch` and `validation_steps`: how many batches.
        `validation_freq`: after how many epochs, or after which, counted from 1.  Raises StateError before `compile`,
        ShapeError and FeedError for data that do not fit.
        """
        arguments = with_new_names("fit", renamed)
        epochs = arguments.pop("epochs", epochs)
        no_more("fit", arguments)
        epochs = generation.resolve("fit.epochs") if epochs is DEFAULT else epochs
        self._require_compiled()
        ahead = Workers(workers, max_queue_size, use_multiprocessing)
        with ExitStack() as running:
            orders, step = None, None
            training: loops.Source
            if is_stream(x):
                if y is not None or validation_split:
                    what = "y" if y is not None else "validation_split"
                    raise FeedError(f"`{what}` argument is not supported when batches come from a generator or Sequence", hint="it gives (x, y) or (x, y, weights)")
                training = running.enter_context(Stream(self, x, "train", steps_per_epoch, ahead, bool(shuffle), class_weight))
                training.meet()
                held: Feed | None = None
            else:
                size = batch_size or self._batch_size()
                feed = training_feed(self, self._prepared(x, y, sample_weight), x, y, sample_weight, class_weight, size)
                feed, held = _split(feed, validation_split) if validation_split and validation_data is None else (feed, None)
                step = self.train_step(feed.weighted)
                training = step.batches(feed.arrays, size)
                orders = Orders(feed.samples, WholeBatches(size) if shuffle == "batch" else np.random) if shuffle else None
                if steps_per_epoch is not None and steps_per_epoch != training.batches:
                    training, orders = loops.Passes(training, orders, steps_per_epoch, epochs - initial_epoch), None
            batch_size = batch_size or (None if isinstance(training, Stream) else self._batch_size())
            validation = self._validation(held, validation_data, validation_batch_size or batch_size, validation_steps, validation_freq, ahead)
            if validation is not None and isinstance(validation.batches, Stream):
                running.enter_context(validation.batches)
            self._check_trainable()
            fit = Fit(self, training, step, orders, validation, batch_size, _verbosity(verbose))
            return fit.run(epochs, initial_epoch, callbacks or [])

    def _batch_size(self) -> int:
        """The number of samples that the inputs are declared for, else 32."""
        sizes = [v.shape[0] for v in self.inputs if v.ndim and isinstance(v.shape[0], int)] if self.connected else []
        return sizes[0] if sizes else BATCH_SIZE

    def _validation(self, held: Feed | None, data: Any, batch_size: int | None, steps: int | None, every: Any, workers: Workers) -> Validation | None:
        if data is not None and is_stream(data):
            return Validation(Stream(self, data, "test", steps, workers), None, every)
        if data is not None:
            if len(data) not in (2, 3):
                raise GraphError(
                    f"`validation_data` should be a tuple `(x_val, y_val, val_sample_weight)` or `(x_val, y_val)`. Found {len(data)} parts",
                    hint="it is (x, y) or (x, y, sample_weight)",
                )
            held = training_feed(self, self._prepared(*data), *data)
        if held is None:
            return None
        batches = self.test_step(held.weighted).batches(held.arrays, batch_size or self._batch_size())
        weights = [] if held.weighted else [np.ones(held.samples, K.floatx()) for _ in self.outputs]
        return Validation(batches, steps, every, held.samples, [*held.arrays, *weights])

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = 1,
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Sequence[Any] | None = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
        return_dict: bool = False,
    ) -> Any:
        """The loss, or a list of the loss and metrics, over all samples in the order of `metrics_names`.

        `x`: arrays, or what gives batches (x, y); `steps`: how many of them.  `return_dict`: values by name.
        """
        self._require_compiled()
        with ExitStack() as running:
            batches: loops.Source
            if is_stream(x):
                batches = running.enter_context(Stream(self, x, "test", steps, Workers(workers, max_queue_size, use_multiprocessing)))
                batches.meet()
            else:
                size = batch_size or self._batch_size()
                feed = training_feed(self, self._prepared(x, y, sample_weight), x, y, sample_weight, batch_size=size)
                batches = self.test_step(feed.weighted).batches(feed.arrays, size)
            self.reset_metrics()
            done = loops.Round(batches, "test", self.metrics_names, self._hooks(callbacks, batches, batch_size, verbose), steps, _verbosity(verbose))
            done.run()
        values = done.means(self._goal.running)
        return dict(zip(self.metrics_names, values, strict=True)) if return_dict else unwrapped(values)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = 0,
        steps: int | None = None,
        callbacks: Sequence[Any] | None = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
    ) -> Any:
        """The outputs for all samples: an array, or a list for several outputs.  Needs no `compile`.

        `x`: arrays, or what gives batches of inputs; `steps`: how many of them.
        """
        if is_stream(x):
            stream = Stream(self, x, "predict", steps, Workers(workers, max_queue_size, use_multiprocessing))
            return unwrapped(loops.predict_stream(stream, _verbosity(verbose), self._hooks(callbacks, stream, None, verbose)))
        self._meet(x)
        size = batch_size or self._batch_size()
        hooks = self._hooks(callbacks, None, size, verbose) if callbacks else None
        return unwrapped(loops.predict(self.predict_step(), inputs_feed(self, x, size), size, _verbosity(verbose), hooks, steps))

    def _hooks(self, callbacks: Sequence[Any] | None, batches: loops.Source | None, batch_size: int | None, verbose: Any) -> CallbackList:
        hooks = CallbackList(callbacks or [])
        hooks.set_model(self)
        samples = batches.samples if isinstance(batches, Batches) else None
        steps = int(batches.batches) if batches is not None and np.isfinite(batches.batches) else None
        hooks.set_params({"batch_size": batch_size, "epochs": 1, "steps": steps, "samples": samples, "verbose": _verbosity(verbose), "do_validation": False, "metrics": []})
        return hooks

    fit_generator = generator_methods.fit_generator
    evaluate_generator = generator_methods.evaluate_generator
    predict_generator = generator_methods.predict_generator

    # --- one batch --------------------------------------------------------------------------------
    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, reset_metrics: bool = True, return_dict: bool = False
    ) -> Any:
        """One update; returns the loss before it, or a list of the loss and metrics."""
        return self._on_batch(self.train_step, x, y, sample_weight, class_weight, reset_metrics, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, reset_metrics: bool = True, return_dict: bool = False) -> Any:
        """The loss of one batch, or a list of the loss and metrics."""
        return self._on_batch(self.test_step, x, y, sample_weight, None, reset_metrics, return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch."""
        self._meet(x)
        return unwrapped(self.predict_step()(*inputs_feed(self, x).arrays))

    def _on_batch(
        self, step: Callable[[bool], Function], x: Any, y: Any, sample_weight: Any, class_weight: Any, reset_metrics: bool, return_dict: bool
    ) -> Any:
        objective = self._prepared(x, y, sample_weight)
        feed = training_feed(self, objective, x, y, sample_weight, class_weight)
        if reset_metrics and any(objective.running):
            objective.reset_metrics()
        values = [float(v) for v in step(feed.weighted)(*feed.arrays)]
        return dict(zip(objective.names, values, strict=True)) if return_dict else unwrapped(values)


def _verbosity(verbose: Any) -> int:
    """0, 1 or 2; 'auto' is 1."""
    return 1 if verbose == "auto" else int(verbose)


def _one_each(pairs: Sequence[tuple[Shared, Variable]]) -> list[tuple[Shared, Variable]]:
    """One new value for each variable: that of a layer called several times moves by the sum of what its calls say."""
    found: dict[Shared, Variable] = {}
    for s, v in pairs:
        found[s] = add(found[s], subtract(v, s)) if s in found else v
    return list(found.items())


def _split(feed: Feed, fraction: float) -> tuple[Feed, Feed]:
    """All but the last `fraction` of the samples, and those."""
    at = int(feed.samples * (1 - fraction))
    if not 0 < at < feed.samples:
        raise GraphError(f"validation_split={fraction} leaves {at} of {feed.samples} samples for training", hint="it is a part between 0 and 1")
    return feed.rows(0, at), feed.rows(at, feed.samples)
