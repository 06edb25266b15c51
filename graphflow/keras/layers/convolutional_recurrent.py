"""LSTM whose products are convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.variable import Variable
from graphflow.keras import activations
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.generation import DEFAULT
from graphflow.keras.layers.former import with_kernel_size
from graphflow.keras.layers.parameters import channel_axis, image_format, parameter, static_channels, with_bias
from graphflow.keras.layers.recurrent.cells import Cell, LSTMCell
from graphflow.keras.layers.recurrent.former import of_keras_1
from graphflow.keras.layers.recurrent.rnn import RNN, Recurrent, of_cell
from graphflow.keras.structure import as_list
from graphflow.ops.convolution import conv
from graphflow.ops.elementwise import add, multiply
from graphflow.ops.joining import concatenate, split
from graphflow.ops.windows import per_axis

CONVOLUTION = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate")
LOOP = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll")


@recorded
class ConvLSTMCell(LSTMCell):
    """Shi et al., "Convolutional LSTM network" (2015): kernels (*kernel_size, channels, 4 filters), gates i, f, c, o."""

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "hard_sigmoid",
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
        **kwargs: Any,
    ) -> None:
        given = dict(locals())
        Cell.__init__(self, **kwargs)
        self._describe(filters, activation, use_bias, dropout, recurrent_dropout, given)
        self.rank, self.filters, self.padding = rank, self.units, padding.lower()
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias, self.implementation = unit_forget_bias, 1
        self.state_size = (self.units, self.units)
        self.kernel_size, self.strides = per_axis(kernel_size, rank, "kernel_size"), per_axis(strides, rank, "strides")
        self.dilation_rate, self.data_format = per_axis(dilation_rate, rank, "dilation_rate"), image_format(data_format)

    def build(self, input_shape: Any) -> None:
        channels = static_channels(self, input_shape, self.data_format)
        self.kernel = parameter(self, "kernel", (*self.kernel_size, channels, 4 * self.filters))
        self.recurrent_kernel = parameter(self, "recurrent", (*self.kernel_size, self.filters, 4 * self.filters), called="recurrent_kernel")
        self._build_bias()
        self.built = True

    def call(self, inputs: Any, states: Any = None, training: Any = None) -> Any:
        h, c = as_list(states)
        of_inputs, of_state = self.masks(inputs, h)
        x = self._convolved(inputs, self.kernel, of_inputs, self.strides, self.padding, self.dilation_rate)
        z = add(with_bias(x, self.bias, self.data_format), self._convolved(h, self.recurrent_kernel, of_state, (1,) * self.rank, "same", (1,) * self.rank))
        i, f, g, o = split(z, 4, axis=channel_axis(self.data_format))
        c = add(multiply(self.recurrent_activation(f), c), multiply(self.recurrent_activation(i), self.activation(g)))
        h = multiply(self.recurrent_activation(o), self.activation(c))
        return h, [h, c]

    def state_shapes(self, row: Variable) -> list[tuple[Any, ...]]:
        """The shapes of the states for the inputs of one step: that of their convolution."""
        like = conv(row, self.kernel[..., : self.filters], self.strides, self.padding, self.dilation_rate, 1, self.data_format)
        return [like.shape] * 2

    def _convolved(self, x: Variable, kernel: Any, masks: list[Variable], strides: Any, padding: str, dilation: Any) -> Variable:
        if not masks:
            return conv(x, kernel, strides, padding, dilation, 1, self.data_format)
        parts = zip(masks, split(kernel, 4, axis=-1), strict=True)
        return concatenate([conv(multiply(x, m), k, strides, padding, dilation, 1, self.data_format) for m, k in parts], axis=channel_axis(self.data_format))


class ConvLSTM(Recurrent):
    """What ConvLSTM layers of one, two and three axes share."""

    spatial = 2

    @classmethod
    def former_arguments(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Window sizes and the forget gate's bias as Keras 1 takes them: ConvLSTM2D(40, 3, 3), nb_row=3."""
        return with_kernel_size(cls.spatial, *of_keras_1(args, kwargs))

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
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
        return_sequences: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_state: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        given = dict(locals())
        Layer.__init__(self, activity_regularizer=activity_regularizer, **self._options(kwargs))
        own = {name: value for name, value in given.items() if name not in (*LOOP, "self", "kwargs", "activity_regularizer", "__class__")}
        self._set_loop(ConvLSTMCell(self.spatial, **own, name=self.name), *(given[name] for name in LOOP))
        self.rank = self.spatial + 3

    def compute_output_shape(self, input_shape: Any) -> Any:
        return Layer.compute_output_shape(self, input_shape)


for _name in (
    *CONVOLUTION, "activation", "recurrent_activation", "use_bias", "kernel_initializer", "recurrent_initializer", "bias_initializer", "unit_forget_bias",
    "kernel_regularizer", "recurrent_regularizer", "bias_regularizer", "kernel_constraint", "recurrent_constraint", "bias_constraint", "dropout",
    "recurrent_dropout", "kernel", "recurrent_kernel", "bias",
):  # fmt: skip
    setattr(ConvLSTM, _name, of_cell(_name))


@recorded
class ConvLSTM1D(ConvLSTM):
    """Over sequences of rows: (samples, steps, rows, channels)."""

    spatial = 1
    __init__ = ConvLSTM.__init__


@recorded
class ConvLSTM2D(ConvLSTM):
    """Over sequences of images: (samples, steps, rows, columns, channels)."""

    spatial = 2
    __init__ = ConvLSTM.__init__


@recorded
class ConvLSTM3D(ConvLSTM):
    """Over sequences of volumes."""

    spatial = 3
    __init__ = ConvLSTM.__init__


@recorded
class ConvLSTM2DCell(ConvLSTMCell):
    """One step of a ConvLSTM2D."""

    def __init__(self, filters: int, kernel_size: int | Sequence[int], recurrent_activation: Any = DEFAULT, **kwargs: Any) -> None:
        super().__init__(2, filters, kernel_size, recurrent_activation=recurrent_activation, **kwargs)


@recorded
class ConvRNN2D(RNN):
    """A ConvLSTM2DCell, or a cell like it, at each step of (samples, steps, rows, columns, channels)."""

    rank = 5
    __init__ = RNN.__init__

    def compute_output_shape(self, input_shape: Any) -> Any:
        return Layer.compute_output_shape(self, input_shape)
