"""Settings of the process: float type, epsilon, the order of images' axes, numbers in names."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from graphflow.configuration import config
from graphflow.graph.errors import GraphError
from graphflow.keras.phase import reset_learning_phase

FLOATS = ("float32", "float64", "float16", "bfloat16")


class _Process:
    epsilon = 1e-7
    image_data_format = "channels_last"
    uids: ClassVar[Counter[str]] = Counter()


def floatx() -> str:
    """The float dtype of weights and inputs, 'float32' by default (`gf.config.floatX`)."""
    name: str = config.floatX
    return name


def set_floatx(name: str) -> None:
    """Use another float dtype for what is built from now on.  Raises GraphError for one that is not float."""
    if name not in FLOATS:
        raise GraphError(f"Unknown floatx type: {name}", hint=f"use one of {', '.join(FLOATS)}")
    config.floatX = name


def epsilon() -> float:
    """The small number that keeps divisions and logarithms finite, 1e-7 by default."""
    return _Process.epsilon


def set_epsilon(value: float) -> None:
    _Process.epsilon = float(value)


def image_data_format() -> str:
    """Where images have their channels: 'channels_last' by default, or 'channels_first'."""
    return _Process.image_data_format


def set_image_data_format(data_format: str) -> None:
    """Where images have their channels from now on.  Raises GraphError for a format that is not known."""
    if data_format not in ("channels_last", "channels_first"):
        raise GraphError(f"no data_format is called {data_format!r}", hint="use 'channels_last' or 'channels_first'")
    _Process.image_data_format = data_format


def image_dim_ordering() -> str:
    """'tf' or 'th': what Keras 1 called channels_last and channels_first."""
    return "tf" if image_data_format() == "channels_last" else "th"


def set_image_dim_ordering(dim_ordering: str) -> None:
    """'tf' for channels_last, 'th' for channels_first.  Raises GraphError for another name."""
    set_image_data_format({"tf": "channels_last", "th": "channels_first"}.get(dim_ordering, dim_ordering))


def normalize_data_format(value: str | None) -> str:
    """The format given, that of `image_data_format()` for None.  Raises GraphError for one that is not known."""
    found = image_data_format() if value is None else value.lower()
    if found not in ("channels_last", "channels_first"):
        raise GraphError(f"no data_format is called {value!r}", hint="use 'channels_last' or 'channels_first'")
    return found


def backend() -> str:
    """The name of what computes; programs of Keras ask whether it is 'tensorflow', whose conventions hold here."""
    return "tensorflow"


def _get_available_gpus() -> list[str]:
    """None: what Keras's own tests, and programs that go through `K.tensorflow_backend`, ask before they use several."""
    return []


# --- names ---------------------------------------------------------------------------------------
def get_uid(prefix: str = "") -> int:
    """1, 2, 3 ... for each prefix."""
    _Process.uids[prefix] += 1
    return _Process.uids[prefix]


def reset_uids() -> None:
    """Begin numbering layers from the start again."""
    _Process.uids.clear()


def clear_session() -> None:
    """Begin numbering layers from the start again, in the phase of testing.

    Graphs and weights leave with the models that hold them.
    """
    reset_uids()
    reset_learning_phase()
