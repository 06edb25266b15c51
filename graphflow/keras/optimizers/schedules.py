"""Learning rates that are functions of the number of updates.

A schedule is called with the number of updates: of a Variable it gives a Variable, of a number a number.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable, as_variable
from graphflow.keras import backend as K
from graphflow.keras.arguments import recorded, recorded_config
from graphflow.keras.lookup import Table, as_data
from graphflow.keras.values import Value
from graphflow.ops.elementwise import add, cast, divide, maximum, minimum, multiply, where
from graphflow.ops.logic import equal, less, less_equal
from graphflow.ops.power import power
from graphflow.ops.rounding import ceil, floor
from graphflow.ops.transcendental import cos, log

SCHEDULES = Table("learning rate schedule")


class LearningRateSchedule:
    """A subclass gives `__call__(step)`, the rate at the update with this number, and `get_config`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in cls.__dict__:
            cls.__call__ = _of_numbers_too(cls.__dict__["__call__"])  # type: ignore[method-assign]

    def __call__(self, step: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no __call__(step)")

    def get_config(self) -> dict[str, Any]:
        return recorded_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)


def _of_numbers_too(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def __call__(self: LearningRateSchedule, step: Any) -> Any:
        rate = method(self, as_variable(step))
        if isinstance(step, Variable) or not isinstance(rate, Variable):
            return rate
        return np.asarray(rate.eval()).view(Value)

    return __call__


def _number(step: Any) -> Variable:
    return cast(step, K.floatx())


@SCHEDULES.add()
@recorded
class ExponentialDecay(LearningRateSchedule):
    """initial * decay_rate ** (step / decay_steps); `staircase`: the exponent is rounded down."""

    def __init__(self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False, name: str = "ExponentialDecay") -> None:
        self.initial_learning_rate, self.decay_steps, self.decay_rate = initial_learning_rate, decay_steps, decay_rate
        self.staircase, self.name = staircase, name

    def __call__(self, step: Any) -> Any:
        part = divide(_number(step), self.decay_steps)
        return multiply(power(self.decay_rate, floor(part) if self.staircase else part), self.initial_learning_rate)


@SCHEDULES.add()
@recorded
class InverseTimeDecay(LearningRateSchedule):
    """initial / (1 + decay_rate * step / decay_steps); `staircase`: the quotient is rounded down."""

    def __init__(self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False, name: str = "InverseTimeDecay") -> None:
        self.initial_learning_rate, self.decay_steps, self.decay_rate = initial_learning_rate, decay_steps, decay_rate
        self.staircase, self.name = staircase, name

    def __call__(self, step: Any) -> Any:
        part = divide(_number(step), self.decay_steps)
        return divide(self.initial_learning_rate, add(multiply(floor(part) if self.staircase else part, self.decay_rate), 1.0))


@SCHEDULES.add()
@recorded
class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] up to and with the step boundaries[0], values[1] up to boundaries[1] ..., and the last value after."""

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        if len(boundaries) != len(values) - 1:
            raise GraphError(f"PiecewiseConstantDecay: {len(boundaries)} boundaries and {len(values)} values", hint="there is one value more")
        self.boundaries, self.values, self.name = list(boundaries), list(values), name

    def __call__(self, step: Any) -> Any:
        rate: Any = as_variable(self.values[-1], K.floatx())
        for boundary, value in reversed(list(zip(self.boundaries, self.values[:-1], strict=True))):
            rate = where(less_equal(_number(step), boundary), as_variable(value, K.floatx()), rate)
        return rate


@SCHEDULES.add()
@recorded
class PolynomialDecay(LearningRateSchedule):
    """From the initial rate to `end_learning_rate` in `decay_steps`, as (1 - part) ** power; `cycle`: then begins again, longer."""

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, end_learning_rate: float = 0.0001, power: float = 1.0, cycle: bool = False, name: str = "PolynomialDecay"
    ) -> None:
        self.initial_learning_rate, self.decay_steps, self.end_learning_rate = initial_learning_rate, decay_steps, end_learning_rate
        self.power, self.cycle, self.name = power, cycle, name

    def __call__(self, step: Any) -> Any:
        step = _number(step)
        if self.cycle:
            steps = multiply(where(equal(step, 0), 1.0, ceil(divide(step, self.decay_steps))), self.decay_steps)
        else:
            steps, step = as_variable(self.decay_steps, step.dtype), minimum(step, self.decay_steps)
        left = power(1 - divide(step, steps), self.power)
        return add(multiply(left, self.initial_learning_rate - self.end_learning_rate), self.end_learning_rate)


def _cosine(part: Any, alpha: float) -> Any:
    """From 1 to alpha along half a wave, for a part of 0 to 1."""
    return add(multiply(1 + cos(multiply(part, math.pi)), 0.5 * (1 - alpha)), alpha)


@SCHEDULES.add()
@recorded
class CosineDecay(LearningRateSchedule):
    """Half a wave from the initial rate to `alpha` times it (Loshchilov and Hutter 2016, arXiv:1608.03983).

    With a `warmup_target` the rate first rises to it from the initial rate, straight, in `warmup_steps`.
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, alpha: float = 0.0, name: str = "CosineDecay",
        warmup_target: float | None = None, warmup_steps: int = 0,
    ) -> None:  # fmt: skip
        self.initial_learning_rate, self.decay_steps, self.alpha, self.name = initial_learning_rate, decay_steps, alpha, name
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step: Any) -> Any:
        step = _number(step)
        if self.warmup_target is None:
            return multiply(_cosine(divide(minimum(step, self.decay_steps), self.decay_steps), self.alpha), self.initial_learning_rate)
        part = divide(minimum(maximum(step - self.warmup_steps, 0), self.decay_steps), self.decay_steps)
        falling = multiply(_cosine(part, self.alpha), self.warmup_target)
        rise = (self.warmup_target - self.initial_learning_rate) / max(self.warmup_steps, 1)
        return where(less(step, self.warmup_steps), add(multiply(step, rise), self.initial_learning_rate), falling)


@SCHEDULES.add()
@recorded
class CosineDecayRestarts(LearningRateSchedule):
    """Half waves that begin again, each `t_mul` times as long and `m_mul` times as high as the one before."""

    def __init__(
        self, initial_learning_rate: float, first_decay_steps: int, t_mul: float = 2.0, m_mul: float = 1.0, alpha: float = 0.0, name: str = "SGDRDecay"
    ) -> None:
        self.initial_learning_rate, self.first_decay_steps, self.t_mul, self.m_mul = initial_learning_rate, first_decay_steps, t_mul, m_mul
        self.alpha, self.name = alpha, name

    def __call__(self, step: Any) -> Any:
        done = divide(_number(step), self.first_decay_steps)
        if self.t_mul == 1.0:
            number = floor(done)
            part = done - number
        else:
            number = floor(divide(log(1 - multiply(done, 1 - self.t_mul)), math.log(self.t_mul)))
            before = divide(1 - power(self.t_mul, number), 1 - self.t_mul)
            part = divide(done - before, power(self.t_mul, number))
        height = power(self.m_mul, number)
        return multiply(height * divide(1 + cos(multiply(part, math.pi)), 2.0) * (1 - self.alpha) + self.alpha, self.initial_learning_rate)


def serialize(schedule: Any) -> Any:
    return as_data(schedule)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The schedule for what `serialize` gives; `custom_objects` come first."""
    own = (custom_objects or {}).get(config["class_name"])
    return SCHEDULES.get(config) if own is None else own.from_config(config["config"])
