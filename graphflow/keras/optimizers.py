"""Optimizers: updates of weights from gradients.  Rates, counters and moments are state, so they may be set while training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.compiler.autodiff import grad
from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.op import Array
from graphflow.graph.variable import Shared, Variable, shared
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.arguments import no_more, recorded, recorded_config
from graphflow.keras.generation import DEFAULT
from graphflow.keras.lookup import Table, as_data
from graphflow.ops.elementwise import add, cast, clip, divide, maximum, sqrt, square, subtract, where
from graphflow.ops.logic import greater_equal
from graphflow.ops.power import power
from graphflow.ops.reduction import sum_

OPTIMIZERS = Table("optimizer", makes=True)
Updates = list[tuple[Shared, Any]]


class Optimizer:
    """A subclass gives `get_updates(loss, params)`: pairs of a variable and its new value.

    `clipnorm`: gradients are scaled so that the norm of all of them together (from tf.keras on: of each)
    is at most this.  `clipvalue`: each element of a gradient is at most this in absolute value.
    """

    def __init__(self, clipnorm: float | None = None, clipvalue: float | None = None, **unknown: Any) -> None:
        no_more(type(self).__name__, unknown)
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.weights: list[Shared] = []
        self.iterations = self.add_state("iterations", np.int64(0))

    def get_updates(self, loss: Variable, params: Sequence[Any]) -> Updates:
        """New values of the weights and of the optimizer's state; moments begin at zero."""
        raise NotImplementedError

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

    def __setattr__(self, name: str, value: Any) -> None:
        """A number assigned to a rate becomes its value."""
        present = self.__dict__.get(name)
        if isinstance(present, Shared) and isinstance(value, int | float | np.number):
            K.set_value(present, value)
        else:
            super().__setattr__(name, value)

    def get_weights(self) -> list[Array]:
        """The values of counters and moments."""
        return K.batch_get_value(self.weights)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Give counters and moments values, in the order of `get_weights`.  Raises ShapeError."""
        if len(weights) != len(self.weights):
            raise ShapeError(f"set_weights: {type(self).__name__} has {len(self.weights)} weights, and {len(weights)} arrays came")
        K.batch_set_value(list(zip(self.weights, weights, strict=True)))

    def get_config(self) -> dict[str, Any]:
        return recorded_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)

    # --- gradients --------------------------------------------------------------------------------
    def get_gradients(self, loss: Variable, params: Sequence[Any]) -> list[Any]:
        """Gradients of the loss, clipped.  Raises DisconnectedError for a weight that the loss does not depend on."""
        grads: list[Any] = grad(loss, list(params))
        if self.clipnorm:
            squares = [sum_(square(g)) for g in grads]
            if not generation.resolve("clipnorm bounds each gradient"):
                squares = [sum(squares[1:], squares[0])] * len(squares) if squares else []
            grads = [_scaled(g, self.clipnorm, sqrt(s)) for g, s in zip(grads, squares, strict=True)]
        if self.clipvalue:
            grads = [clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        return grads

    def decayed(self, lr: Any, decay: Any, initial_decay: float) -> Any:
        """lr / (1 + decay * iterations), where there was a decay from the start."""
        if not initial_decay:
            return lr
        return lr / (decay * cast(self.iterations, lr.dtype) + 1)


def _scaled(g: Any, limit: float, norm: Any) -> Any:
    """g with at most `limit` in place of its norm."""
    over = greater_equal(norm, limit)
    return where(over, g * divide(limit, where(over, norm, 1)), g)


def constrained(p: Shared, value: Any) -> Any:
    """The new value of a weight, after its constraint."""
    constraint = getattr(p.tag, "constraint", None)
    return value if constraint is None else constraint(value)


class RateOptimizer(Optimizer):
    """An optimizer with the state `lr` (also `learning_rate`) and `decay`."""

    def __init__(self, lr: float, decay: float, learning_rate: float | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initial_decay = decay
        self.lr = self.rate("lr", lr if learning_rate is None else learning_rate)
        self.decay = self.rate("decay", decay)

    @property
    def learning_rate(self) -> Any:
        return self.lr

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.lr = value

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("learning_rate", None)
        return config


@OPTIMIZERS.add()
@recorded
class SGD(RateOptimizer):
    """Gradient descent: v = momentum * v - lr * g; w + v, or w + momentum * v - lr * g with `nesterov`.

    With momentum 0 there are no moments, and momentum is no state.
    """

    def __init__(
        self,
        lr: float = 0.01,
        momentum: float = 0.0,
        decay: float = 0.0,
        nesterov: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        learning_rate: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(lr, decay, learning_rate, clipnorm=clipnorm, clipvalue=clipvalue, **kwargs)
        self.momentum: Any = self.rate("momentum", momentum) if momentum else 0.0
        self.nesterov = nesterov

    def get_updates(self, loss: Variable, params: Sequence[Any]) -> Updates:
        self.weights = [self.iterations]
        lr = self.decayed(self.lr, self.decay, self.initial_decay)
        grads = self.get_gradients(loss, params)
        updates: Updates = [K.update_add(self.iterations, 1)]
        if not isinstance(self.momentum, Shared):
            return updates + [(p, constrained(p, p - lr * g)) for p, g in zip(params, grads, strict=True)]
        for p, g, moment in zip(params, grads, self.add_moments("moment", params), strict=True):
            v = self.momentum * moment - lr * g
            updates += [(moment, v), (p, constrained(p, p + self.momentum * v - lr * g if self.nesterov else p + v))]
        return updates


@OPTIMIZERS.add()
@recorded
class Adam(RateOptimizer):
    """Kingma and Ba 2014 (arXiv:1412.6980), with bias correction in the rate; `amsgrad`: Reddi et al. 2018.

    `epsilon` None is `backend.epsilon()`.
    """

    def __init__(
        self,
        lr: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = DEFAULT,
        decay: float = 0.0,
        amsgrad: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        learning_rate: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(lr, decay, learning_rate, clipnorm=clipnorm, clipvalue=clipvalue, **kwargs)
        self.beta_1 = self.rate("beta_1", beta_1)
        self.beta_2 = self.rate("beta_2", beta_2)
        self.epsilon = K.epsilon() if epsilon is None else epsilon
        self.amsgrad = amsgrad

    def get_updates(self, loss: Variable, params: Sequence[Any]) -> Updates:
        self.weights = [self.iterations]
        grads = self.get_gradients(loss, params)
        t = cast(self.iterations + 1, self.lr.dtype)
        lr = self.decayed(self.lr, self.decay, self.initial_decay) * divide(sqrt(subtract(1, power(self.beta_2, t))), subtract(1, power(self.beta_1, t)))
        firsts, seconds = self.add_moments("m", params), self.add_moments("v", params)
        largest = self.add_moments("vhat", params) if self.amsgrad else [None] * len(seconds)
        updates: Updates = [K.update_add(self.iterations, 1)]
        for p, g, m, v, vhat in zip(params, grads, firsts, seconds, largest, strict=True):
            new_m = self.beta_1 * m + (1 - self.beta_1) * g
            new_v: Any = self.beta_2 * v + (1 - self.beta_2) * square(g)
            updates += [(m, new_m), (v, new_v)]
            if vhat is not None:
                new_v = maximum(vhat, new_v)
                updates.append((vhat, new_v))
            updates.append((p, constrained(p, p - lr * new_m / add(sqrt(new_v), self.epsilon))))
        return updates


sgd, adam = SGD, Adam


def get(identifier: Any) -> Any:
    """The optimizer for a name, {'class_name', 'config'} or object.  Raises GraphError that lists the known names."""
    found = OPTIMIZERS.get(identifier)
    if not hasattr(found, "get_updates"):
        raise GraphError(f"{identifier!r:.60} is not an optimizer", hint=f"known: {', '.join(OPTIMIZERS)}")
    return found


def serialize(optimizer: Any) -> Any:
    """The optimizer as data: its class and arguments."""
    return as_data(optimizer)


def deserialize(config: Any) -> Any:
    return get(config)
