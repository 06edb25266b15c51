"""What recurrent layers do at one time step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable
from graphflow.keras import activations, initializers, phase
from graphflow.keras import backend as K
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.calling import takes_argument
from graphflow.keras.engine.registry import deserialize, serialize
from graphflow.keras.engine.weights import first_value
from graphflow.keras.generation import DEFAULT
from graphflow.keras.layers.parameters import describe, parameter
from graphflow.keras.layers.recurrent.former import of_keras_1
from graphflow.keras.structure import as_list
from graphflow.ops.creation import ones_like, zeros
from graphflow.ops.elementwise import add, multiply, subtract
from graphflow.ops.joining import split
from graphflow.ops.nn import dropout

Masks = tuple[list[Variable], ...]  # of the inputs, of the states


@recorded
class AbstractRNNCell(Layer):
    """What cells of one's own may derive from: they give `call(inputs, states)`, and `state_size`."""

    state_size: Any = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def get_initial_state(self, inputs: Any = None, batch_size: Any = None, dtype: Any = None) -> Any:
        """Zeros for a batch."""
        n = inputs.shape[0] if inputs is not None else batch_size
        found = [zeros((n, *sizes(size)), dtype or K.floatx()) for size in as_list(self.state_size)]
        return found if isinstance(self.state_size, list | tuple) else found[0]


class Cell(AbstractRNNCell):
    """One step of a recurrent layer: `call(inputs, states)` gives (output, new states).

    Kernels hold the gates side by side: (input size, gates * units) and (units, gates * units).
    """

    gates = 1
    dropout = recurrent_dropout = 0.0
    units: int
    bias: Any
    bias_initializer: Any

    def __init__(self, seed: Any = None, **kwargs: Any) -> None:
        """`seed`, of Keras 3, says nothing: masks are drawn from the stream of the process."""
        super().__init__(**kwargs)

    def _describe(self, units: int, activation: Any, use_bias: bool, dropout: float, recurrent_dropout: float, given: dict[str, Any]) -> None:
        self.units, self.activation, self.use_bias = int(units), activations.get(activation), use_bias
        self.dropout, self.recurrent_dropout = (min(1.0, max(0.0, rate)) for rate in (dropout, recurrent_dropout))
        for name in ("kernel", "recurrent", "bias"):
            describe(self, name, *(given[f"{name}_{what}"] for what in ("initializer", "regularizer", "constraint")))
        self._drawn: Masks | None = None

    @property
    def output_size(self) -> Any:
        return self.units

    @classmethod
    def former_arguments(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return of_keras_1(args, kwargs)

    def build(self, input_shape: Any) -> None:
        size, columns = input_shape[-1], self.units * self.gates
        self.kernel = parameter(self, "kernel", (size, columns))
        self.recurrent_kernel = parameter(self, "recurrent", (self.units, columns), called="recurrent_kernel")
        self._build_bias()
        self.built = True

    def _build_bias(self) -> None:
        self.bias = parameter(self, "bias", (self.units * self.gates,), used=self.use_bias)

    # --- dropout ------------------------------------------------------------------------------------
    @contextmanager
    def dropping(self, row: Variable, state: Variable) -> Iterator[None]:
        """Inside, each step drops the same of inputs and states: what, is drawn here."""
        self._drawn = self._draw(row, state)
        try:
            yield
        finally:
            self._drawn = None

    def masks(self, inputs: Variable, state: Variable) -> Masks:
        """What to multiply inputs and the state with: a tensor for each gate, or one for all (`implementation` 2)."""
        return self._drawn or self._draw(inputs, state)

    def _draw(self, row: Variable, state: Variable) -> Masks:
        count = 1 if getattr(self, "implementation", 1) == 2 else self.gates
        return tuple([_mask(like, rate) for _ in range(count)] if rate else [] for like, rate in ((row, self.dropout), (state, self.recurrent_dropout)))

    # --- products -----------------------------------------------------------------------------------
    def gates_of(self, inputs: Variable, state: Variable) -> list[Variable]:
        """inputs @ kernel + state @ recurrent_kernel + bias, gate by gate."""
        of_inputs, of_state = self.masks(inputs, state)
        if len(of_inputs) <= 1 and len(of_state) <= 1:
            z = add(masked(inputs, of_inputs) @ self.kernel, masked(state, of_state) @ self.recurrent_kernel)
            return as_list(split(biased(z, self.bias), self.gates, axis=-1))
        sums = zip(products(inputs, self.kernel, of_inputs, self.bias, self.gates), products(state, self.recurrent_kernel, of_state, None, self.gates), strict=True)
        return [add(x, h) for x, h in sums]


def sizes(size: Any) -> tuple[Any, ...]:
    """The axes of a state after the samples: a number, or several."""
    return tuple(size) if isinstance(size, list | tuple) else (size,)


def _mask(like: Variable, rate: float) -> Variable:
    ones = ones_like(like)
    return phase.in_train_phase(lambda: dropout(ones, rate), ones)


def masked(x: Variable, masks: Sequence[Variable]) -> Variable:
    return multiply(x, masks[0]) if masks else x


def products(x: Variable, kernel: Any, masks: Sequence[Variable], bias: Any, gates: int) -> list[Variable]:
    """x @ kernel + bias, gate by gate."""
    if len(masks) <= 1:
        return as_list(split(biased(masked(x, masks) @ kernel, bias), gates, axis=-1))
    biases = [None] * gates if bias is None else split(bias, gates, axis=-1)
    return [biased(multiply(x, mask) @ part, b) for mask, part, b in zip(masks, split(kernel, gates, axis=1), biases, strict=True)]


def biased(z: Variable, bias: Any) -> Variable:
    return z if bias is None else add(z, bias)


@recorded
class SimpleRNNCell(Cell):
    """h' = activation(x W + h U + b)."""

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        given = dict(locals())
        Cell.__init__(self, **kwargs)
        self._describe(units, activation, use_bias, dropout, recurrent_dropout, given)
        self.state_size = self.units

    def call(self, inputs: Any, states: Any = None, training: Any = None) -> Any:
        (h,) = as_list(states)
        new = self.activation(self.gates_of(inputs, h)[0])
        return new, [new]


@recorded
class LSTMCell(Cell):
    """Hochreiter and Schmidhuber, "Long short-term memory" (1997), with forget gates; gates in the order i, f, c, o."""

    gates = 4

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        implementation: int = DEFAULT,
        **kwargs: Any,
    ) -> None:
        given = dict(locals())
        Cell.__init__(self, **kwargs)
        self._describe(units, activation, use_bias, dropout, recurrent_dropout, given)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias, self.implementation = unit_forget_bias, implementation
        self.state_size = (self.units, self.units)

    def _build_bias(self) -> None:
        own = self.bias_initializer
        if self.unit_forget_bias:
            self.bias_initializer = ForgetBias(own, self.units)
        super()._build_bias()
        self.bias_initializer = own

    def call(self, inputs: Any, states: Any = None, training: Any = None) -> Any:
        h, c = as_list(states)
        i, f, g, o = self.gates_of(inputs, h)
        c = add(multiply(self.recurrent_activation(f), c), multiply(self.recurrent_activation(i), self.activation(g)))
        h = multiply(self.recurrent_activation(o), self.activation(c))
        return h, [h, c]


class ForgetBias(initializers.Initializer):
    """Ones for the forget gate, whose `units` biases begin at `first`; the other gates as `initializer` says."""

    def __init__(self, initializer: Any, units: int, first: int | None = None) -> None:
        self.initializer, self.units, self.first = initializer, units, units if first is None else first

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        value = np.array(first_value(self.initializer, shape, dtype))
        value[self.first : self.first + self.units] = 1
        return value


@recorded
class GRUCell(Cell):
    """Cho et al., "Learning phrase representations using RNN encoder-decoder" (2014); gates in the order z, r, h.

    `reset_after`: the reset gate takes from the product with the state (and not from the state), as CuDNN has it;
    there are two biases then, (2, 3 units).
    """

    gates = 3

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        implementation: int = DEFAULT,
        reset_after: bool = DEFAULT,
        **kwargs: Any,
    ) -> None:
        given = dict(locals())
        Cell.__init__(self, **kwargs)
        self._describe(units, activation, use_bias, dropout, recurrent_dropout, given)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.implementation, self.reset_after = implementation, reset_after
        self.state_size = self.units

    def _build_bias(self) -> None:
        columns = 3 * self.units
        self.bias = parameter(self, "bias", (2, columns) if self.reset_after else (columns,), used=self.use_bias)

    def call(self, inputs: Any, states: Any = None, training: Any = None) -> Any:
        (h,) = as_list(states)
        of_inputs, of_state = self.masks(inputs, h)
        if len(of_state) == 1:  # one for all gates: Keras takes what is left of the state in the sum, too
            h, of_state = masked(h, of_state), []
        first, second = (self.bias[0], self.bias[1]) if self.reset_after and self.use_bias else (self.bias, None)
        x_z, x_r, x_h = products(inputs, self.kernel, of_inputs, first, 3)
        if self.reset_after:
            h_z, h_r, h_h = products(h, self.recurrent_kernel, of_state, second, 3)
        else:
            gates, last = self.recurrent_kernel[:, : 2 * self.units], self.recurrent_kernel[:, 2 * self.units :]
            h_z, h_r = products(h, gates, of_state[:2], None, 2)
        z, r = self.recurrent_activation(add(x_z, h_z)), self.recurrent_activation(add(x_r, h_r))
        reset = multiply(r, h_h) if self.reset_after else multiply(r, masked(h, of_state[2:])) @ last
        new = add(multiply(z, h), multiply(subtract(1, z), self.activation(add(x_h, reset))))
        return new, [new]


class StackedRNNCells(Layer):
    """Several cells as one: each step goes through all of them.

    States stand in the order of the cells, or in the opposite one (`reverse_state_order`, as Keras had it before 2.2.3).
    """

    def __init__(self, cells: Sequence[Any], reverse_state_order: bool = False, **kwargs: Any) -> None:
        for cell in cells:
            if not hasattr(cell, "call"):
                raise GraphError(f"All cells must have a `call` method. received cells: {cells!r:.120}")
            if not hasattr(cell, "state_size"):
                raise GraphError(f"All cells must have a `state_size` attribute. received cells: {cells!r:.120}")
        super().__init__(**kwargs)
        self.cells = list(cells)
        self.reverse_state_order = reverse_state_order

    def _in_state_order(self, of_cells: list[Any]) -> list[Any]:
        return of_cells[::-1] if self.reverse_state_order else of_cells

    @property
    def state_size(self) -> Any:
        return tuple(size for cell in self._in_state_order(self.cells) for size in as_list(cell.state_size))

    @property
    def output_size(self) -> Any:
        return output_size(self.cells[-1])

    def states_of_cells(self, states: Sequence[Any]) -> list[list[Any]]:
        """The states of each cell."""
        left, found = list(states), []
        for cell in self._in_state_order(self.cells):
            count = len(as_list(cell.state_size))
            found.append(left[:count])
            left = left[count:]
        return self._in_state_order(found)

    def build(self, input_shape: Any) -> None:
        shape, *constants = input_shape if isinstance(input_shape, list) else [input_shape]
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell.build([shape, *constants] if constants and takes_argument(cell.call, "constants") else shape)
                cell.built = True
            shape = (shape[0], output_size(cell))
        self.built = True

    def call(self, inputs: Any, states: Any = None, constants: Any = None, training: Any = None) -> Any:
        given, made = {"constants": constants, "training": training}, []
        for cell, own in zip(self.cells, self.states_of_cells(states), strict=True):
            arguments = {name: value for name, value in given.items() if value is not None and takes_argument(cell.call, name)}
            inputs, new = cell.call(inputs, own, **arguments)
            made.append(as_list(new))
        return inputs, [state for new in self._in_state_order(made) for state in new]

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "cells": [serialize(cell) for cell in self.cells]}
        return {**config, "reverse_state_order": True} if self.reverse_state_order else config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        cells = [deserialize(cell, custom_objects) for cell in config["cells"]]
        return cls(**{**config, "cells": cells})


def output_size(cell: Any) -> Any:
    """The size of what a cell gives: that of its first state, if it says nothing else."""
    own = getattr(cell, "output_size", None)
    return as_list(cell.state_size)[0] if own is None else own
