"""Optimizer: updates of weights and of its state from gradients.

Rates, counters and moments are state, so that they may be set while training.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.compiler.autodiff import grad
from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.op import Array
from graphflow.graph.variable import Shared, Variable, as_variable, shared
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.arguments import ArgumentError, no_more, recorded_config
from graphflow.keras.assignments import inside_statements
from graphflow.keras.lookup import Table
from graphflow.keras.optimizers.schedules import LearningRateSchedule
from graphflow.keras.optimizers.schedules import deserialize as schedule_of
from graphflow.ops.elementwise import cast, clip, divide, multiply, sqrt, square, where
from graphflow.ops.logic import equal, greater_equal, not_equal
from graphflow.ops.reduction import sum_
from graphflow.ops.rounding import mod
from graphflow.ops.state import assign

OPTIMIZERS = Table("optimizer", makes=True)
Updates = list[tuple[Shared, Any]]

# Arguments that every optimizer has, beside those of its own, with their defaults.
COMMON = {
    "weight_decay": None, "clipnorm": None, "clipvalue": None, "global_clipnorm": None, "use_ema": False, "ema_momentum": 0.99,
    "ema_overwrite_frequency": None, "loss_scale_factor": None, "gradient_accumulation_steps": None,
}  # fmt: skip
WITHOUT_MEANING = ("jit_compile", "is_legacy_optimizer")  # tf.keras 2.11 writes these to files


class GradientOptimizer:
    """A subclass gives `step`, with the state named in `slots`; or, as in Keras 2, `get_updates(loss, params)`.

    `clipnorm`: gradients are scaled so that the norm of all of them together (from tf.keras on: of each) is at
    most this; `global_clipnorm`: of all together.  `clipvalue`: bounds each element.  `weight_decay`: before each
    step a weight loses this part of itself times the rate.  `use_ema`: keeps running averages of the weights, which
    replace them every `ema_overwrite_frequency` steps, or at the end of training.  `gradient_accumulation_steps`:
    weights change once in so many steps, by the mean of the gradients.  `loss_scale_factor`: gradients are those of the
    loss times this, divided by it.
    """

    slots: tuple[str, ...] = ()
    arguments_of_tf_keras: tuple[str, ...] = ()  # those that Keras up to 2.3 does not know
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    weight_decay: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None

    def __init__(self, lr: Any = None, decay: float = 0.0, learning_rate: Any = None, name: str | None = None, **common: Any) -> None:
        if isinstance(lr, str):  # tf.keras 2 begins with the name
            lr, name = None, lr
        no_more(type(self).__name__, {key: value for key, value in common.items() if key not in (*COMMON, *WITHOUT_MEANING)})
        for key, default in COMMON.items():
            setattr(self, key, common.get(key, default))
        self.name = name or type(self).__name__
        self.weights: list[Shared] = []
        self.iterations = self.add_state("iterations", np.int64(0))
        self.initial_decay = self._initial_decay = decay
        given = lr if learning_rate is None else learning_rate
        if given is not None:
            self.lr = self._rate_of(given)
            self.decay = self.rate("decay", decay)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "get_updates" in cls.__dict__:
            cls.get_updates = _of_any_generation(cls.__dict__["get_updates"])  # type: ignore[method-assign]

    # --- what a subclass gives --------------------------------------------------------------------
    def step(self, lr: Variable, t: Variable, p: Any, g: Any, *state: Any) -> tuple[Any, ...]:
        """The new value of a weight p with the gradient g, and of its `slots`; t counts steps from 1."""
        raise NotImplementedError(f"{type(self).__name__} has neither step nor get_updates")

    def first_state(self, slot: str, p: Any) -> Array:
        """The first value of a weight's state: zeros of its shape."""
        return np.zeros([int(n) for n in p.shape], p.dtype)

    def common_updates(self, t: Variable) -> Updates:
        """Updates of state that is not of one weight."""
        return []

    # --- updates ----------------------------------------------------------------------------------
    def get_updates(self, *given: Any, **named: Any) -> Updates:
        """(loss, params): new values of the weights and of the optimizer's state; moments begin anew.

        In Keras 1 the arguments are (params, constraints, loss); the constraints, which weights now have themselves, change nothing.
        """
        loss, params = _of_get_updates(*given, **named)
        self.weights = [self.iterations]
        return self.updates_from(self._gradients(loss, params), params)

    def updates_from(self, grads: Sequence[Any], params: Sequence[Any]) -> Updates:
        """Updates for gradients that have not been clipped."""
        grads, accumulating = self._accumulated(list(grads), params)
        t = cast(self.iterations + 1, K.floatx())
        lr = self.current_rate()
        changed = self._steps(lr, t, self.clipped(grads), params)
        if accumulating:
            due = accumulating[0]
            changed = [(v, where(due, new, v)) for v, new in changed] + accumulating[1]
        return [K.update_add(self.iterations, 1), *changed]

    def _steps(self, lr: Variable, t: Variable, grads: Sequence[Any], params: Sequence[Any]) -> Updates:
        state = {slot: [self.add_state(f"{slot}/{p.name}", self.first_state(slot, p)) for p in params] for slot in self.slots}
        averages = self.add_moments("average", params) if self.use_ema else [None] * len(params)
        updates = self.common_updates(t)
        for i, (p, g, average) in enumerate(zip(params, grads, averages, strict=True)):
            own = [state[slot][i] for slot in self.slots]
            before = p if not self.weight_decay else p - multiply(p, self.weight_decay) * lr
            value, *news = self.step(lr, t, before, g, *own)
            updates += zip(own, news, strict=True)
            if average is not None:
                value, mean = self._averaged(t, value, average)
                updates.append((average, mean))
            updates.append((p, constrained(p, value)))
        return updates

    def _averaged(self, t: Variable, value: Any, average: Any) -> tuple[Any, Any]:
        """A weight's new value, which its running average may replace, and the average."""
        momentum = multiply(cast(not_equal(t, 1), average.dtype), self.ema_momentum)
        mean = momentum * average + (1 - momentum) * value
        if self.ema_overwrite_frequency:
            value = where(equal(mod(self.iterations + 1, self.ema_overwrite_frequency), 0), mean, value)
        return value, mean

    def _accumulated(self, grads: list[Any], params: Sequence[Any]) -> tuple[list[Any], Any]:
        """Means over steps, and (whether the weights change now, updates of the sums); else the gradients."""
        steps = self.gradient_accumulation_steps
        if not steps:
            return grads, None
        sums = self.add_moments("gradient", params)
        due = equal(mod(self.iterations + 1, steps), 0)
        total = [s + g for s, g in zip(sums, grads, strict=True)]
        return [divide(v, steps) for v in total], (due, [(s, where(due, 0, v)) for s, v in zip(sums, total, strict=True)])

    def apply_gradients(self, grads_and_vars: Any, name: str | None = None, **unused: Any) -> Updates:
        """Updates for pairs (gradient, weight); where statements are collected (a model's own train step), they are made."""
        pairs = list(grads_and_vars)
        self.weights = [self.iterations]
        updates = self.updates_from([g for g, _ in pairs], [p for _, p in pairs])
        if inside_statements():
            for v, new in updates:
                assign(v, as_variable(new, v.dtype))
        return updates

    def finalize_variable_values(self, params: Sequence[Any]) -> None:
        """After training: running averages replace the weights, if they are kept and nothing else replaces them."""
        if self.use_ema and not self.ema_overwrite_frequency:
            averages = {v.name: v for v in self.weights}
            for p in params:
                average = averages.get(f"{type(self).__name__}/average/{p.name}")
                if average is not None:
                    K.set_value(p, K.get_value(average))

    # --- gradients --------------------------------------------------------------------------------
    def get_gradients(self, loss: Variable, params: Sequence[Any]) -> list[Any]:
        """Gradients of the loss, clipped.  Raises DisconnectedError for a weight that the loss does not depend on."""
        return self.clipped(self._gradients(loss, params))

    def _gradients(self, loss: Variable, params: Sequence[Any]) -> list[Any]:
        """Gradients of the loss, of its sum where it has axes."""
        loss = sum_(loss) if loss.ndim else loss
        if not self.loss_scale_factor:
            return list(grad(loss, list(params)))
        return [divide(g, self.loss_scale_factor) for g in grad(multiply(loss, self.loss_scale_factor), list(params))]

    def clipped(self, grads: Sequence[Any]) -> list[Any]:
        """Gradients within the bounds that were given."""
        squares = [sum_(square(g)) for g in grads] if self.clipnorm or self.global_clipnorm else []
        whole = sqrt(sum(squares[1:], squares[0])) if squares else None
        if self.clipnorm:
            each = generation.resolve("clipnorm bounds each gradient")
            norms = [sqrt(s) if each else whole for s in squares]
            grads = [clip_norm(g, self.clipnorm, norm) for g, norm in zip(grads, norms, strict=True)]
        elif self.global_clipnorm:
            grads = [clip_norm(g, self.global_clipnorm, whole) for g in grads]
        if self.clipvalue:
            grads = [clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        return list(grads)

    # --- rates ------------------------------------------------------------------------------------
    def _rate_of(self, given: Any) -> Any:
        """State for a number, a schedule for one, or for what one was serialized to."""
        if isinstance(given, LearningRateSchedule) or (callable(given) and not isinstance(given, Variable)):
            return given
        if isinstance(given, dict):
            return schedule_of(given)
        return given if isinstance(given, Shared) else self.rate("lr", given)

    def current_rate(self) -> Any:
        """The rate of this step: the schedule's, or lr / (1 + decay * iterations) where there was a decay from the start."""
        if not isinstance(self.lr, Variable):
            count = self.iterations if not self.gradient_accumulation_steps else self.iterations // self.gradient_accumulation_steps
            takes_step = isinstance(self.lr, LearningRateSchedule) or bool(inspect.signature(self.lr).parameters)
            return cast(as_variable(self.lr(count) if takes_step else self.lr(), K.floatx()), K.floatx())
        return self.decayed(self.lr, self.__dict__.get("decay", self.initial_decay), self.initial_decay)

    def decayed(self, lr: Any, decay: Any, initial_decay: float) -> Any:
        """lr / (1 + decay * iterations), where there was a decay from the start."""
        return lr / (decay * cast(self.iterations, lr.dtype) + 1) if initial_decay else lr

    @property
    def learning_rate(self) -> Any:
        return self.lr

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.lr = value

    def __setattr__(self, name: str, value: Any) -> None:
        """A number assigned to a rate becomes its value."""
        present = self.__dict__.get(name)
        number = isinstance(value, int | float | np.number | np.ndarray)
        if number and isinstance(present, Shared):
            K.set_value(present, value)
        elif number and isinstance(present, LearningRateSchedule):
            raise GraphError(f"the learning rate of {self.name} is a schedule", hint="give the optimizer a number if you want to set it later")
        else:
            super().__setattr__(name, value)

    # --- state ------------------------------------------------------------------------------------
    def add_state(self, name: str, value: Any) -> Any:
        """State that belongs to `weights`: counters and moments."""
        made = shared(value, name=f"{type(self).__name__}/{name}", shape=np.shape(value), trainable=False)
        self.weights.append(made)
        return made

    def add_moments(self, name: str, params: Sequence[Any]) -> list[Any]:
        """State of the shapes of `params`, zero at first."""
        return [self.add_state(f"{name}/{p.name}", np.zeros([int(n) for n in p.shape], p.dtype)) for p in params]

    def rate(self, name: str, value: float) -> Any:
        """A number that may be set while training."""
        return K.variable(value, name=f"{type(self).__name__}/{name}")

    @property
    def variables(self) -> list[Shared]:
        return self.weights

    def get_weights(self) -> list[Array]:
        """The values of counters and moments."""
        return K.batch_get_value(self.weights)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Give counters and moments values, in the order of `get_weights`.  Raises ShapeError."""
        if len(weights) != len(self.weights):
            raise ShapeError(f"set_weights: {type(self).__name__} has {len(self.weights)} weights, and {len(weights)} arrays came")
        K.batch_set_value(list(zip(self.weights, weights, strict=True)))

    # --- configuration ----------------------------------------------------------------------------
    def get_config(self) -> dict[str, Any]:
        """The arguments as the generation calls them; those that all optimizers have where they are not the default."""
        own = recorded_config(self)
        style = generation.resolve("optimizer's configuration")
        common = {key: getattr(self, key) for key, default in COMMON.items() if "common" in style or getattr(self, key) != default}
        if "learning_rate" in style and "lr" in own:
            own = {"learning_rate": own.pop("lr"), **own}
        if "common" in style and isinstance(own.get("learning_rate"), dict):
            own["learning_rate"] |= {"module": "keras.optimizers.schedules", "registered_name": None}
        unknown = () if "name" in style else self.arguments_of_tf_keras
        for key in (*unknown, *(("decay",) if "name" in style else ())):
            if not own.get(key):
                own.pop(key, None)
        return {**({"name": self.name} if "name" in style else {}), **own, **common}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)

    def __reduce__(self) -> Any:
        """Copied and pickled as its configuration: another, at its beginning."""
        return type(self).from_config, (self.get_config(),)


def clip_norm(g: Any, c: float, n: Any) -> Any:
    """The gradient g, of a norm n, with at most c in its place."""
    over = greater_equal(n, c)
    return where(over, g * divide(c, where(over, n, 1)), g)


def constrained(p: Shared, value: Any) -> Any:
    """The new value of a weight, after its constraint."""
    constraint = getattr(p.tag, "constraint", None)
    return value if constraint is None else constraint(value)


def _of_get_updates(*given: Any, loss: Any = None, params: Any = None, constraints: Any = None) -> tuple[Variable, Sequence[Any]]:
    """Loss and weights in the order of any Keras."""
    rest = list(given)
    if rest and params is None and isinstance(rest[0], list | tuple):  # (params, constraints, loss)
        params, rest = rest[0], rest[1:] if loss is None and len(rest) == 2 else rest[2:]
    loss = rest.pop(0) if rest and loss is None else loss
    params = rest.pop(0) if rest and params is None else params
    if loss is None or params is None or rest:
        raise ArgumentError("get_updates takes a loss and weights", hint="get_updates(loss=loss, params=model.trainable_weights)")
    return loss, params


def _of_any_generation(method: Callable[..., Any]) -> Callable[..., Any]:
    """A user's `get_updates` with its arguments by name, (params, constraints, loss) in Keras 1; constraints are applied after it."""
    names = inspect.signature(method).parameters

    @functools.wraps(method)
    def get_updates(self: GradientOptimizer, *given: Any, **named: Any) -> Updates:
        loss, params = _of_get_updates(*given, **named)
        known: dict[str, Any] = {"constraints": {}} if "constraints" in names else {}
        pairs = method(self, loss=loss, params=params, **known)
        weights = set(params)
        return [(v, constrained(v, as_variable(new, v.dtype)) if v in weights else new) for v, new in pairs]

    return get_updates
