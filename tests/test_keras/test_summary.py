"""The table of `summary()`."""

from __future__ import annotations

from typing import Any

import pytest

import graphflow as gf
from graphflow.keras import generation
from graphflow.keras.layers import Activation, Dense, Flatten, Input, Layer
from graphflow.keras.models import Model, Sequential

MLP = """\
_________________________________________________________________
Layer (type)                 Output Shape              Param #   
=================================================================
flatten_1 (Flatten)          (None, 784)               0         
_________________________________________________________________
dense_1 (Dense)              (None, 300)               235500    
_________________________________________________________________
dense_2 (Dense)              (None, 100)               30100     
_________________________________________________________________
dense_3 (Dense)              (None, 10)                1010      
=================================================================
Total params: 266,610
Trainable params: 266,610
Non-trainable params: 0
_________________________________________________________________
"""  # noqa: W291

GRAPH = """\
__________________________________________________________________________________________________
Layer (type)                    Output Shape         Param #     Connected to                     
==================================================================================================
input_1 (InputLayer)            (None, 8)            0                                            
__________________________________________________________________________________________________
dense_1 (Dense)                 (None, 30)           270         input_1[0][0]                    
__________________________________________________________________________________________________
dense_2 (Dense)                 (None, 30)           930         dense_1[0][0]                    
__________________________________________________________________________________________________
join_1 (Join)                   (None, 38)           0           input_1[0][0]                    
                                                                 dense_2[0][0]                    
__________________________________________________________________________________________________
dense_3 (Dense)                 (None, 1)            39          join_1[0][0]                     
==================================================================================================
Total params: 1,239
Trainable params: 1,200
Non-trainable params: 39
__________________________________________________________________________________________________
"""  # noqa: W291


class Join(Layer):
    def call(self, xs: Any) -> Any:
        return gf.concatenate(xs, axis=-1)


@pytest.mark.smoke
def test_a_chain(capsys: pytest.CaptureFixture[str]) -> None:
    model = Sequential([Flatten(input_shape=[28, 28]), Dense(300, "relu"), Dense(100, "relu"), Dense(10, "softmax")])
    assert model.summary() is None  # type: ignore[func-returns-value]
    assert capsys.readouterr().out == MLP


def test_a_graph_shows_connections_and_what_is_frozen() -> None:
    x = Input((8,))
    hidden = Dense(30, "relu")(x)
    hidden = Dense(30, "relu")(hidden)
    out = Dense(1)
    out.trainable = False
    lines: list[str] = []
    Model(x, out(Join()([x, hidden]))).summary(print_fn=lines.append)
    assert "\n".join(lines) + "\n" == GRAPH


def test_a_functional_chain_shows_its_input_and_a_long_name_is_cut() -> None:
    x = Input((3,), name="in")
    lines: list[str] = []
    Model(x, Activation("relu", name="a_very_long_name_for_a_layer")(x)).summary(line_length=40, positions=[0.5, 0.8, 1.0], print_fn=lines.append)
    assert lines[0] == "_" * 40 and lines[3] == "in (InputLayer)     (None, 3)   0       "
    assert lines[5] == "a_very_long_name_fo (None, 3)   0       "


def test_from_2_3_on_there_is_a_title() -> None:
    lines: list[str] = []
    with generation.using("2.4"):
        Sequential([Dense(1, input_dim=2)], name="mine").summary(print_fn=lines.append)
    assert lines[0] == 'Model: "mine"' and lines[1] == "_" * 65


def test_a_layer_with_several_shapes_says_so() -> None:
    a, b = Input((2, 3)), Input((3,))
    shared = Dense(4)
    lines: list[str] = []
    Model([a, b], [shared(a), shared(b)]).summary(print_fn=lines.append)
    row = next(line for line in lines if line.startswith("dense_1"))
    assert "multiple" in row and row.rstrip().endswith("input_1[0][0]")
