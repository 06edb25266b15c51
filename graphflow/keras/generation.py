"""Which Keras this process is: names, defaults and formulas that changed from one generation to the next.

A process behaves as one generation (2.2 unless told otherwise).  What changed is listed here, once;
signatures say `DEFAULT` where the default is one of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from graphflow.graph.errors import GraphError

GENERATIONS = ("1", "2.2", "2.3", "2.4", "3")  # 2.4 stands for all of tf.keras 2


class _Default:
    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final[Any] = _Default()

# what -> {the first generation with a value: the value}
CHANGED: dict[str, dict[str, Any]] = {
    "Adam.epsilon": {"1": 1e-8, "2.2": None},  # None: backend.epsilon()
    "fit.epochs": {"1": 10, "2.2": 1},
    "hard_sigmoid.slope": {"1": 0.2, "3": 1 / 6},
    "clipnorm bounds each gradient": {"1": False, "2.4": True},  # before: all of them together
    "metrics are called as given": {"1": False, "2.3": True},  # before: acc, mean_squared_error
    "loss is divided by all samples": {"1": False, "2.3": True},  # before: by those with a weight
    "number of the first layer": {"1": 1, "2.4": 0},  # 0: dense, dense_1 ...
    "attributes that are variables are weights": {"1": False, "2.4": True},
    "summary has a title": {"1": False, "2.3": True},
    "progress counts steps": {"1": False, "2.4": True},  # before: samples
    "fit announces sample numbers": {"1": True, "2.4": False},
}

_current = "2.2"


def current() -> str:
    """The generation this process behaves as."""
    return _current


def use(name: str) -> None:
    """Behave as generation `name`, one of GENERATIONS, for what is built from now on."""
    global _current
    if name not in GENERATIONS:
        raise GraphError(f"there is no Keras generation {name!r}", hint=f"generations are {', '.join(GENERATIONS)}")
    _current = name


@contextmanager
def using(name: str) -> Iterator[None]:
    """`with using("1"): ...`"""
    before = _current
    use(name)
    try:
        yield
    finally:
        use(before)


def resolve(what: str) -> Any:
    """The value of an entry of CHANGED in the current generation."""
    present = GENERATIONS.index(_current)
    return next(value for since, value in reversed(CHANGED[what].items()) if GENERATIONS.index(since) <= present)
