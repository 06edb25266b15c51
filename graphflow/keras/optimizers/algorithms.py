"""The optimizers.  Each gives, for a weight p with the gradient g, the new weight and the new state."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array
from graphflow.graph.variable import Shared, Variable
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.arguments import recorded
from graphflow.keras.generation import DEFAULT
from graphflow.keras.optimizers.base import OPTIMIZERS, Updates
from graphflow.keras.optimizers.custom import Optimizer
from graphflow.ops.elementwise import abs_, add, clip, divide, maximum, minimum, multiply, sqrt, square, subtract, where
from graphflow.ops.logic import greater
from graphflow.ops.power import power
from graphflow.ops.reduction import sum_
from graphflow.ops.rounding import sign
from graphflow.ops.shape import expand_dims
from graphflow.ops.statistics import mean


def _epsilon(given: float | None) -> float:
    return K.epsilon() if given is None else given


def _moving(average: Any, value: Any, share: Any) -> Any:
    """`share` of the average and the rest of the value."""
    return share * average + (1 - share) * value


@OPTIMIZERS.add()
@recorded
class SGD(Optimizer):
    """Gradient descent: v = momentum * v - lr * g; p + v, or p + momentum * v - lr * g with `nesterov`.

    With momentum 0 there are no moments, and momentum is no state.
    """

    def __init__(self, lr: Any = 0.01, momentum: float = 0.0, decay: float = 0.0, nesterov: bool = False, **common: Any) -> None:
        third_is_nesterov = isinstance(decay, bool)  # as from Keras 2.3 on
        super().__init__(lr, 0.0 if third_is_nesterov else decay, **common)
        self.momentum: Any = self.rate("momentum", momentum) if momentum else 0.0
        self.nesterov = bool(decay) if third_is_nesterov else nesterov
        self.slots = ("moment",) if momentum else ()

    def step(self, lr: Variable, t: Variable, p: Any, g: Any, *state: Any) -> tuple[Any, ...]:
        if not state:
            return (p - lr * g,)
        v = self.momentum * state[0] - lr * g
        return p + self.momentum * v - lr * g if self.nesterov else p + v, v


@OPTIMIZERS.add()
@recorded
class RMSprop(Optimizer):
    """p - lr * g / sqrt(a), for a running mean a of g ** 2 (Tieleman and Hinton 2012).

    `momentum` keeps a part of the last step; `centered` takes the square of the mean of g off a.
    """

    arguments_of_tf_keras = ("momentum", "centered")

    def __init__(
        self, lr: Any = 0.001, rho: float = 0.9, epsilon: float | None = DEFAULT, decay: float = 0.0, momentum: float = 0.0, centered: bool = False, **common: Any
    ) -> None:
        super().__init__(lr, decay, **common)
        self.rho = self.rate("rho", rho)
        self.epsilon, self.momentum, self.centered = _epsilon(epsilon), momentum, centered
        self.slots = ("accumulator", *(("momentum",) if momentum else ()), *(("mean",) if centered else ()))
        self._inside = generation.resolve("RMSprop adds epsilon inside the root") in ((True, "with momentum") if momentum else (True,))

    def step(self, lr: Variable, t: Variable, p: Any, g: Any, *state: Any) -> tuple[Any, ...]:
        own = dict(zip(self.slots, state, strict=True))
        own["accumulator"] = spread = _moving(own["accumulator"], square(g), self.rho)
        if self.centered:
            own["mean"] = _moving(own["mean"], g, self.rho)
            spread = spread - square(own["mean"])
        change = lr * g / (sqrt(spread + self.epsilon) if self._inside else add(sqrt(spread), self.epsilon))
        if self.momentum:
            own["momentum"] = change = multiply(own["momentum"], self.momentum) + change
        return (p - change, *own.values())


@OPTIMIZERS.add()
@recorded
class Adagrad(Optimizer):
    """p - lr * g / sqrt(a), for the sum a of all g ** 2 (Duchi et al. 2011)."""

    slots = ("accumulator",)
    arguments_of_tf_keras = ("initial_accumulator_value",)

    def __init__(
        self, lr: Any = DEFAULT, epsilon: float | None = DEFAULT, decay: float = 0.0, initial_accumulator_value: float = DEFAULT, **common: Any
    ) -> None:
        super().__init__(lr, decay, **common)
        self.epsilon, self.initial_accumulator_value = _epsilon(epsilon), initial_accumulator_value
        self._inside = generation.resolve("Adagrad adds epsilon inside the root")

    def first_state(self, slot: str, p: Any) -> Array:
        return np.full_like(super().first_state(slot, p), self.initial_accumulator_value)

    def step(self, lr: Variable, t: Variable, p: Any, g: Any, *state: Any) -> tuple[Any, ...]:
        a = state[0] + square(g)
        return p - lr * g / (sqrt(a + self.epsilon) if self._inside else add(sqrt(a), self.epsilon)), a


@OPTIMIZERS.add()
@recorded
class Adadelta(Optimizer):
    """Adagrad with running means, of g ** 2 and of the steps' squares, whose ratio is the rate (Zeiler 2012, arXiv:1212.5701)."""

    slots = ("accumulator", "delta_accumulator")

    def __init__(self, lr: Any = DEFAULT, rho: float = 0.95, epsilon: float | None = DEFAULT, decay: float = 0.0, **common: Any) -> None:
        super().__init__(lr, decay, **common)
        self.rho, self.epsilon = rho, _epsilon(epsilon)

    def step(self, lr: Variable, t: Variable, p: Any, g: Any, *state: Any) -> tuple[Any, ...]:
        a = _moving(state[0], square(g), self.rho)
        change = g * sqrt(state[1] + self.epsilon) / sqrt(a + self.epsilon)
        return p - lr * change, a, _moving(state[1], square(change), self.rho)


# --- with moments --------------------------------------------------------------------------------
@OPTIMIZERS.add()
@recorded
class Adam(Optimizer):
    """Kingma and Ba 2014 (arXiv:1412.6980), with bias correction in the rate; `amsgrad`: Reddi et al. 2018.

    `epsilon` None is `backend.epsilon()`.
    """

    def __init__(
        self, lr: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float | None = DEFAULT, decay: float = 0.0, amsgrad: bool = False, **common: Any
    ) -> None:
        super().__init__(lr, decay, **common)
        self.beta_1, self.beta_2 = self.rate("beta_1", beta_1), self.rate("beta_2", beta_2)
        self.epsilon, self.amsgrad = _epsilon(epsilon), amsgrad
        self.slots = ("m", "v", "vhat") if amsgrad else ("m", "v")

    def step(self, lr: Variable, t: Variable, p: Any, g: Any, *state: Any) -> tuple[Any, ...]:
        rate = lr * divide(sqrt(subtract(1, power(self.beta_2, t))), subtract(1, power(self.beta_1, t)))
        m, v = _moving(state[0], g, self.beta_1), _moving(state[1], square(g), self.beta_2)
        largest = maximum(state[2], v) if self.amsgrad else v
        new = p - rate * m / add(sqrt(largest), self.epsilon)
        return (new, m, v, largest) if self.amsgrad else (new, m, v)


@OPTIMIZERS.add()
@recorded
class AdamW(Adam):
    """Adam with a decay of the weights that the moments do not see (Loshchilov and Hutter 2017, arXiv:1711.05101)."""

    def __init__(
        self, lr: Any = 0.001, weight_decay: float = 0.004, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float | None = 1e-7, amsgrad: bool = False, **common: Any
    ) -> None:
        super().__init__(lr, beta_1, beta_2, epsilon, amsgrad=amsgrad, weight_decay=weight_decay, **common)


@OPTIMIZERS.add()
@recorded
class Adamax(Optimizer):
    """Adam with the largest |g|, that decays, in place of the second moment (Kingma and Ba 2014, section 7)."""

    slots = ("m", "u")

    def __init__(
        self, lr: Any = DEFAULT, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float | None = DEFAULT, decay: float = 0.0, **common: Any
    ) -> None:
        super().__init__(lr, decay, **common)
        self.beta_1, self.beta_2 = self.rate("beta_1", beta_1), self.rate("beta_2", beta_2)
        self.epsilon = _epsilon(epsilon)

    def step(self, lr: Variable, t: Variable, p: Any, g: Any, *state: Any) -> tuple[Any, ...]:
        m, u = _moving(state[0], g, self.beta_1), maximum(self.beta_2 * state[1], abs_(g))
        return p - lr / subtract(1, power(self.beta_1, t)) * m / add(u, self.epsilon), m, u


@OPTIMIZERS.add()
@recorded
class Nadam(Optimizer):
    """Adam with Nesterov's momentum, on a schedule (Dozat 2015): mu(t) = beta_1 * (1 - 0.96 ** (t * schedule_decay) / 2).

    tf.keras calls the last argument decay, and Keras 3 has 1 for it.
    """

    slots = ("m", "v")

    def __init__(
        self, lr: Any = DEFAULT, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float | None = DEFAULT, schedule_decay: float = DEFAULT, **common: Any
    ) -> None:
        given = common.pop("decay", None)
        super().__init__(lr, **common)
        self.beta_1, self.beta_2 = self.rate("beta_1", beta_1), self.rate("beta_2", beta_2)
        self.epsilon, self.schedule_decay = _epsilon(epsilon), schedule_decay if given is None else given
        self.m_schedule: Shared = self.rate("m_schedule", 1.0)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        name = generation.resolve("Nadam.schedule_decay's name")
        value = config.pop("schedule_decay")
        return config if name is None else {**config, name: value}

    def _mu(self, t: Variable) -> Any:
        return self.beta_1 * (1 - multiply(power(0.96, multiply(t, self.schedule_decay)), 0.5))

    def common_updates(self, t: Variable) -> Updates:
        self.weights.insert(1, self.m_schedule)
        return [(self.m_schedule, self.m_schedule * self._mu(t))]

    def step(self, lr: Variable, t: Variable, p: Any, g: Any, *state: Any) -> tuple[Any, ...]:
        mu, next_mu = self._mu(t), self._mu(t + 1)
        product = self.m_schedule * mu
        m, v = _moving(state[0], g, self.beta_1), _moving(state[1], square(g), self.beta_2)
        direction = (1 - mu) * g / (1 - product) + next_mu * m / (1 - product * next_mu)
        return p - lr * direction / add(sqrt(v / subtract(1, power(self.beta_2, t))), self.epsilon), m, v


@OPTIMIZERS.add()
@recorded
class Lamb(Optimizer):
    """Adam with the length of the step that of the weight (You et al. 2019, arXiv:1904.00962)."""

    slots = ("m", "v")

    def __init__(self, lr: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, **common: Any) -> None:
        super().__init__(lr, **common)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def step(self, lr: Variable, t: Variable, p: Any, g: Any, *state: Any) -> tuple[Any, ...]:
        m, v = _moving(state[0], g, self.beta_1), _moving(state[1], square(g), self.beta_2)
        change = m / (1 - power(self.beta_1, t)) / add(sqrt(v / (1 - power(self.beta_2, t))), self.epsilon)
        lengths = [sqrt(sum_(square(x))) for x in (p, change)]
        known = greater(minimum(*lengths), 0)
        return p - lr * where(known, lengths[0] / where(known, lengths[1], 1), 1) * change, m, v


# --- others --------------------------------------------------------------------------------------
@OPTIMIZERS.add()
@recorded
class Lion(Optimizer):
    """Steps of one length by the sign of a momentum (Chen et al. 2023, arXiv:2302.06675)."""

    slots = ("m",)

    def __init__(self, lr: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.99, **common: Any) -> None:
        super().__init__(lr, **common)
        if not 0 < beta_1 <= 1:
            raise GraphError(f"Lion: beta_1 is {beta_1}", hint="it is above 0 and at most 1")
        self.beta_1, self.beta_2 = beta_1, beta_2

    def step(self, lr: Variable, t: Variable, p: Any, g: Any, *state: Any) -> tuple[Any, ...]:
        return p - lr * sign(_moving(state[0], g, self.beta_1)), _moving(state[0], g, self.beta_2)


@OPTIMIZERS.add()
@recorded
class Ftrl(Optimizer):
    """Follow the regularized leader, with a rate for each weight (McMahan et al. 2013)."""

    slots = ("accumulator", "linear")

    def __init__(
        self, lr: Any = 0.001, learning_rate_power: float = -0.5, initial_accumulator_value: float = 0.1, l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0, l2_shrinkage_regularization_strength: float = 0.0, beta: float = 0.0, **common: Any,
    ) -> None:  # fmt: skip
        super().__init__(lr, **common)
        if initial_accumulator_value < 0 or learning_rate_power > 0:
            raise GraphError(f"Ftrl: initial_accumulator_value={initial_accumulator_value}, learning_rate_power={learning_rate_power}", hint="the first is not below 0, the second not above")
        self.learning_rate_power, self.initial_accumulator_value, self.beta = learning_rate_power, initial_accumulator_value, beta
        self.l1_regularization_strength, self.l2_regularization_strength = l1_regularization_strength, l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength

    def first_state(self, slot: str, p: Any) -> Array:
        first = super().first_state(slot, p)
        return np.full_like(first, self.initial_accumulator_value) if slot == "accumulator" else first

    def step(self, lr: Variable, t: Variable, p: Any, g: Any, *state: Any) -> tuple[Any, ...]:
        a, linear = state
        new = a + square(g)
        before, after = (power(x, -self.learning_rate_power) for x in (a, new))
        linear = linear + g + multiply(p, 2 * self.l2_shrinkage_regularization_strength) - (after - before) / lr * p
        l2 = add(divide(self.beta, multiply(lr, 2.0)), self.l2_regularization_strength)
        bounded = clip(linear, -self.l1_regularization_strength, self.l1_regularization_strength)
        return (bounded - linear) / (after / lr + multiply(l2, 2.0)), new, linear


@OPTIMIZERS.add()
@recorded
class Adafactor(Optimizer):
    """Second moments of a matrix from those of its rows and columns (Shazeer and Stern 2018, arXiv:1804.04235)."""

    slots = ("rows", "columns")

    def __init__(
        self, lr: Any = 0.001, beta_2_decay: float = -0.8, epsilon_1: float = 1e-30, epsilon_2: float = 1e-3, clip_threshold: float = 1.0,
        relative_step: bool = True, **common: Any,
    ) -> None:  # fmt: skip
        super().__init__(lr, **common)
        self.beta_2_decay, self.epsilon_1, self.epsilon_2 = beta_2_decay, epsilon_1, epsilon_2
        self.clip_threshold, self.relative_step = clip_threshold, relative_step

    def first_state(self, slot: str, p: Any) -> Array:
        """Of a matrix its rows and columns; of anything less all of it, and nothing."""
        full = super().first_state(slot, p)
        if full.ndim < 2:
            return full if slot == "rows" else np.zeros((), p.dtype)
        return full[..., 0] if slot == "rows" else full[..., 0, :]

    def step(self, lr: Variable, t: Variable, p: Any, g: Any, *state: Any) -> tuple[Any, ...]:
        slowing = divide(1.0, sqrt(t))
        rate = minimum(lr, slowing)
        share = 1 - power(t, self.beta_2_decay)
        squares = add(square(g), self.epsilon_1)
        rows, columns = state
        if g.ndim >= 2:
            rows, columns = _moving(rows, mean(squares, axis=-1), share), _moving(columns, mean(squares, axis=-2), share)
            spread = expand_dims(rows / mean(rows, axis=-1, keepdims=True), -1) * expand_dims(columns, -2)
        else:
            rows = spread = _moving(rows, squares, share)
        change = g / sqrt(spread)
        change = change / maximum(divide(_rms(change), self.clip_threshold), 1.0)
        return p - maximum(_rms(p), self.epsilon_2) * rate * change, rows, columns


def _rms(x: Any) -> Any:
    return sqrt(mean(square(x)))


sgd, rmsprop, adagrad, adadelta, adam, adamax, nadam = SGD, RMSprop, Adagrad, Adadelta, Adam, Adamax, Nadam
