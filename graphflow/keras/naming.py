"""Names made from the names of classes."""

from __future__ import annotations

import re

from graphflow.keras import backend as K
from graphflow.keras import generation


def class_words(name: str) -> str:
    """conv_lst_m2d for ConvLSTM2D: words cut as Keras cuts them."""
    words = re.sub(r"(?<=.)(?=[A-Z][a-z0-9])|(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return f"private{words}" if words.startswith("_") else words


def next_name(class_name: str, kind: str = "") -> str:
    """dense_1, dense_2 ...; from tf.keras on dense, dense_1 ...  Things of another `kind` are numbered apart."""
    words = class_words(class_name)
    number = K.get_uid(f"{kind}{words}") - 1 + generation.resolve("number of the first layer")
    return f"{words}_{number}" if number else words
