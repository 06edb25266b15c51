"""The layers that Keras 2 ran by CuDNN: here their formulas, and weights in their layout."""

from __future__ import annotations

from typing import Any

from graphflow.keras.arguments import recorded
from graphflow.keras.layers.parameters import parameter
from graphflow.keras.layers.recurrent.cells import ForgetBias, GRUCell, LSTMCell
from graphflow.keras.layers.recurrent.layers import WithCell
from graphflow.ops.elementwise import add
from graphflow.ops.shape import reshape

FIXED = {"activation": "tanh", "use_bias": True, "dropout": 0.0, "recurrent_dropout": 0.0, "unroll": False}


class CuDNNLSTMCell(LSTMCell):
    """An LSTM with two biases, one after the other, which are added."""

    def _build_bias(self) -> None:
        own, columns = self.bias_initializer, 4 * self.units
        if self.unit_forget_bias:
            self.bias_initializer = ForgetBias(own, self.units, first=5 * self.units)
        self.both: Any = parameter(self, "bias", (2 * columns,))
        self.bias = add(self.both[:columns], self.both[columns:])
        self.bias_initializer = own


class CuDNNGRUCell(GRUCell):
    """A GRU that resets after the product, whose two biases stand one after the other."""

    def _build_bias(self) -> None:
        self.both: Any = parameter(self, "bias", (6 * self.units,))
        self.bias = reshape(self.both, (2, 3 * self.units))


class CuDNN(WithCell):
    """Layers whose activations CuDNN fixes."""

    def _make_fixed(self, given: dict[str, Any]) -> None:
        self._make({**FIXED, **given})


@recorded
class CuDNNLSTM(CuDNN):
    """An LSTM with tanh and sigmoid, in CuDNN's layout of weights."""

    cell_class = CuDNNLSTMCell

    def __init__(
        self,
        units: int,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Any,
    ) -> None:
        self._make_fixed({**locals(), "recurrent_activation": "sigmoid"})


@recorded
class CuDNNGRU(CuDNN):
    """A GRU with tanh and sigmoid that resets after the product, in CuDNN's layout of weights."""

    cell_class = CuDNNGRUCell

    def __init__(
        self,
        units: int,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Any,
    ) -> None:
        self._make_fixed({**locals(), "recurrent_activation": "sigmoid", "reset_after": True})
