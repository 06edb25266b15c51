"""RNN: a cell at each time step of a sequence, in one native loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, ShapeError, StateError
from graphflow.graph.variable import Shared, Variable, as_variable, shared
from graphflow.keras import backend as K
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.calling import takes_argument
from graphflow.keras.engine.masks import mask_of
from graphflow.keras.engine.registry import deserialize, serialize
from graphflow.keras.layers.recurrent.cells import Cell, StackedRNNCells, output_size, sizes
from graphflow.keras.structure import as_list, int_shape
from graphflow.ops.creation import zeros
from graphflow.ops.shape import swapaxes

GIVE_BATCH_SIZE = """Specify the batch size of your input tensors:
- If using a Sequential model, specify the batch size by passing a `batch_input_shape` argument to your first layer.
- If using the functional API, specify the batch size by passing a `batch_shape` argument to your Input layer."""


OF_LATER_VERSIONS = ("zero_output_for_mask", "time_major")
SAY_NOTHING = ("seed", "use_cudnn")  # of Keras 3: masks are drawn from the stream of the process, and there is one way to compute


class NotStatefulError(StateError, AttributeError):
    """States of a layer that keeps none."""


class Recurrent(Layer):
    """What recurrent layers share: their states, and what they return.

    A call takes `initial_state` (a tensor for each state) and `constants`, which the cell gets at each step.
    """

    supports_masking = True
    rank = 3  # of the inputs: samples, steps, features
    zero_output_for_mask = False
    time_major = False

    def _options(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Set what only later versions know, and give the arguments left."""
        for name in OF_LATER_VERSIONS:
            setattr(self, name, kwargs.get(name, False))
        return {name: value for name, value in kwargs.items() if name not in (*OF_LATER_VERSIONS, *SAY_NOTHING)}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **{name: True for name in OF_LATER_VERSIONS if getattr(self, name)}}

    def _set_loop(self, cell: Any, return_sequences: bool, return_state: bool, go_backwards: bool, stateful: bool, unroll: bool) -> None:
        if not hasattr(cell, "call"):
            raise GraphError(f"`cell` should have a `call` method. The RNN was passed: {cell!r:.60}", hint="call(inputs, states) gives the output and the new states")
        if not hasattr(cell, "state_size"):
            raise GraphError("The RNN cell should have an attribute `state_size` (tuple of integers, one integer per RNN state).")
        self.cell = cell
        self.return_sequences, self.return_state, self.go_backwards = return_sequences, return_state, go_backwards
        self.stateful, self.unroll = stateful, unroll
        self._kept: list[Shared] | None = None
        self._num_constants = 0

    # --- states -----------------------------------------------------------------------------------
    def _state_shapes(self, inputs: Variable) -> list[tuple[Any, ...]]:
        own = getattr(self.cell, "state_shapes", None)
        if own is not None:
            return list(own(inputs[:, 0]))
        return [(inputs.shape[0], *sizes(size)) for size in as_list(self.cell.state_size)]

    def get_initial_state(self, inputs: Any) -> list[Variable]:
        """Zeros, one tensor for each state."""
        own = getattr(self.cell, "get_initial_state", None)
        if own is not None and type(self.cell).__module__.partition(".")[0] != "graphflow":
            return [as_variable(v) for v in as_list(own(inputs=inputs) if takes_argument(own, "inputs") else own(batch_size=inputs.shape[0]))]
        return [zeros(shape, inputs.dtype) for shape in self._state_shapes(inputs)]

    @property
    def states(self) -> list[Shared | None]:
        """What a stateful layer keeps from one batch to the next."""
        return list(self._kept) if self._kept is not None else [None] * len(as_list(self.cell.state_size))

    def _kept_states(self, inputs: Variable) -> list[Shared]:
        if self._kept is None:
            shapes = self._state_shapes(inputs)
            if not all(isinstance(n, int) for shape in shapes for n in shape):
                raise GraphError(f"If a RNN is stateful, it needs to know its batch size, and {self.name} does not. {GIVE_BATCH_SIZE}")
            self._kept = [shared(np.zeros(shape, K.floatx()), name=f"{self.name}/state", trainable=False) for shape in shapes]
        return self._kept

    def reset_states(self, states: Any = None) -> None:
        """Put arrays, or zeros, in place of what a stateful layer has kept."""
        if not self.stateful:
            raise NotStatefulError("Layer must be stateful.", hint="make it with stateful=True")
        if self._kept is None:
            raise StateError(f"{self.name} has no states before it has been called")
        values = [np.zeros_like(s.get_value()) for s in self._kept] if states is None else as_list(states)
        if len(values) != len(self._kept):
            raise ShapeError(f"Layer {self.name} expects {len(self._kept)} states, but it received {len(values)} state values. Input received: {values!r:.200}")
        for index, (s, value) in enumerate(zip(self._kept, values, strict=True)):
            expected = s.get_value().shape
            if np.shape(value) != expected:
                raise ShapeError(f"State {index} is incompatible with layer {self.name}: expected shape={expected}, found shape={np.shape(value)}")
            s.set_value(value)

    reset_state = reset_states

    # --- calls ------------------------------------------------------------------------------------
    def __call__(self, inputs: Any, initial_state: Any = None, constants: Any = None, **kwargs: Any) -> Any:
        """Initial states and constants are inputs, after the sequence, so that a model knows where they come from."""
        given = as_list(inputs)
        if initial_state is not None:
            given = [*given[:1], *as_list(initial_state), *given[1:]]
        if constants is not None:
            if not takes_argument(self.cell.call, "constants"):
                raise GraphError("RNN cell does not support constants", hint="its call takes them: call(inputs, states, constants)")
            self._num_constants = len(as_list(constants))
            given = [*given, *as_list(constants)]
        return super().__call__(given if len(given) > 1 else given[0], **kwargs)

    def build(self, input_shape: Any) -> None:
        shape = input_shape[0] if isinstance(input_shape[0], list | tuple) else input_shape
        if len(shape) != self.rank:
            raise ShapeError(f"Input 0 is incompatible with layer {self.name}: expected ndim={self.rank}, found ndim={len(shape)}", hint="(samples, steps, features)")
        if isinstance(self.cell, Layer) and not self.cell.built:
            step = (shape[0], *shape[2:])
            further = list(input_shape[len(input_shape) - self._num_constants :]) if self._num_constants else []
            self.cell.build([step, *further] if further else step)
            self.cell.built = True
        self.built = True

    def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        x, *further = as_list(inputs)
        own = mask[0] if isinstance(mask, list | tuple) else mask
        own = mask_of(x) if own is None else own
        if self.time_major:
            x, own = swapaxes(x, 0, 1), None if own is None else swapaxes(own, 0, 1)
        at = len(further) - self._num_constants
        given, constants = further[:at], further[at:]
        initial = list(given) or (self._kept_states(x) if self.stateful else self.get_initial_state(x))
        if len(initial) != len(as_list(self.cell.state_size)):
            raise ShapeError(f"Layer has {len(as_list(self.cell.state_size))} states but was passed {len(initial)} initial states.")
        self._check_sizes(initial)
        with self._dropping(x, list(initial)):
            last, outputs, states = K.rnn(
                self._step(training, len(initial)), x, list(initial), go_backwards=self.go_backwards, mask=own,
                constants=constants, unroll=self.unroll, zero_output_for_mask=self.zero_output_for_mask,
            )  # fmt: skip
        if self.stateful:
            self.add_update(list(zip(self._kept_states(x), states, strict=True)), inputs)
        result = last if not self.return_sequences else swapaxes(outputs, 0, 1) if self.time_major else outputs
        return [result, *states] if self.return_state else result

    def _check_sizes(self, states: list[Any]) -> None:
        wanted = [sizes(size) for size in as_list(self.cell.state_size)]
        found = [int_shape(as_variable(state))[1:] for state in states]
        if self.rank == 3 and any(None not in a and a != b for a, b in zip(found, wanted, strict=True)):
            raise ShapeError(
                "An `initial_state` was passed that is not compatible with `cell.state_size`. "
                f"Received states of the sizes {found}; however `cell.state_size` is {self.cell.state_size}"
            )

    def _step(self, training: Any, count: int) -> Any:
        arguments = {"training": training} if training is not None and takes_argument(self.cell.call, "training") else {}

        def step(row: Any, states: Any) -> Any:
            now, constants = list(states[:count]), list(states[count:])
            output, new = self.cell.call(row, now, **({**arguments, "constants": constants} if constants else arguments))
            return output, as_list(new)

        return step

    @contextmanager
    def _dropping(self, x: Variable, states: list[Any]) -> Iterator[None]:
        """The cells drop the same at each step: what, is drawn before the loop."""
        row, stacked = x[:, 0], isinstance(self.cell, StackedRNNCells)
        cells, of_cells = (self.cell.cells, self.cell.states_of_cells(states)) if stacked else ([self.cell], [states])
        with ExitStack() as stack:
            for cell, own in zip(cells, of_cells, strict=True):
                first = as_variable(own[0])
                if isinstance(cell, Cell):
                    stack.enter_context(cell.dropping(row, first))
                row = zeros((x.shape[0], *sizes(output_size(cell))), x.dtype)
            yield

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        own = mask[0] if isinstance(mask, list | tuple) else mask
        first = own if self.return_sequences else None
        return [first, *[None] * len(as_list(self.cell.state_size))] if self.return_state else first

    def compute_output_shape(self, input_shape: Any) -> Any:
        shape = input_shape[0] if isinstance(input_shape[0], list | tuple) else input_shape
        n = shape[1] if self.time_major else shape[0]
        output = (*(shape[:2] if self.return_sequences else (n,)), *sizes(output_size(self.cell)))
        return [output, *((n, *sizes(size)) for size in as_list(self.cell.state_size))] if self.return_state else output


@recorded
class RNN(Recurrent):
    """A cell of one's own: a layer with `call(inputs, states)` -> (output, new states) and a `state_size`, or a list of them."""

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        activity_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        Layer.__init__(self, activity_regularizer=activity_regularizer, **self._options(kwargs))
        self._set_loop(StackedRNNCells(cell) if isinstance(cell, list | tuple) else cell, return_sequences, return_state, go_backwards, stateful, unroll)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "cell": serialize(self.cell)}
        return {**config, "num_constants": self._num_constants} if self._num_constants else config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        given = dict(config)
        constants = given.pop("num_constants", 0)
        made = cls(**{**given, "cell": deserialize(given["cell"], custom_objects)})
        made._num_constants = constants or 0
        return made


def of_cell(name: str) -> Any:
    """A layer's attribute that is its cell's."""
    return property(lambda layer: getattr(layer.cell, name), lambda layer, value: setattr(layer.cell, name, value))
