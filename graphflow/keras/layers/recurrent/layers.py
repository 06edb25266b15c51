"""SimpleRNN, LSTM and GRU: a cell's arguments and the loop's in one layer."""

from __future__ import annotations

from typing import Any

from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.generation import DEFAULT
from graphflow.keras.layers.recurrent.cells import Cell, GRUCell, LSTMCell, SimpleRNNCell
from graphflow.keras.layers.recurrent.former import of_keras_1
from graphflow.keras.layers.recurrent.rnn import Recurrent, of_cell

LOOP = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll")
NOT_OF_CELLS = (*LOOP, "activity_regularizer", "kwargs", "self", "__class__")
OF_CELLS = (
    "units", "activation", "recurrent_activation", "use_bias", "kernel_initializer", "recurrent_initializer", "bias_initializer", "unit_forget_bias",
    "kernel_regularizer", "recurrent_regularizer", "bias_regularizer", "kernel_constraint", "recurrent_constraint", "bias_constraint", "dropout",
    "recurrent_dropout", "implementation", "reset_after", "kernel", "recurrent_kernel", "bias",
)  # fmt: skip


class WithCell(Recurrent):
    """A recurrent layer whose cell is made of its arguments."""

    cell_class: type[Cell]

    def _make(self, given: dict[str, Any]) -> None:
        """Make layer and cell of a constructor's arguments."""
        Layer.__init__(self, activity_regularizer=given["activity_regularizer"], **self._options(given["kwargs"]))
        own = {name: value for name, value in given.items() if name not in NOT_OF_CELLS}
        cell = self.cell_class(**own, name=self.name)  # so that weights are called as the layer
        self._set_loop(cell, *(given[name] for name in LOOP))

    @classmethod
    def former_arguments(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return of_keras_1(args, kwargs)


for _name in OF_CELLS:
    setattr(WithCell, _name, of_cell(_name))


@recorded
class SimpleRNN(WithCell):
    """h' = activation(x W + h U + b) at each step."""

    cell_class = SimpleRNNCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
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
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        self._make(locals())


@recorded
class LSTM(WithCell):
    """An LSTMCell at each step."""

    cell_class = LSTMCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = DEFAULT,
        use_bias: bool = True,
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
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        implementation: int = DEFAULT,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        self._make(locals())


@recorded
class GRU(WithCell):
    """A GRUCell at each step."""

    cell_class = GRUCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = DEFAULT,
        use_bias: bool = True,
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
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        implementation: int = DEFAULT,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = DEFAULT,
        **kwargs: Any,
    ) -> None:
        self._make(locals())
