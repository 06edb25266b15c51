"""Layer: names, building, weights, shapes and configuration, so that a layer's own code is its formula."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, GraphflowError, ShapeError, StateError
from graphflow.graph.op import Array
from graphflow.graph.variable import Shared, Variable, as_variable, name_scope, origin_of, placeholder
from graphflow.keras import backend as K
from graphflow.keras import generation, regularizers
from graphflow.keras.arguments import no_more, recorded_config
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.keras.engine.node import Node, UnconnectedError, remember
from graphflow.keras.engine.weights import make_weight, weight_arguments
from graphflow.keras.structure import as_list, int_shape, unwrapped
from graphflow.ops.identity import identity


class Layer:
    """A function of Variables with weights of its own.

    A subclass gives `call(inputs)`, and `build(input_shape)` if it has weights, which it makes there
    with `add_weight`.  `__init__` takes name, trainable, dtype, weights (first values) and, for the first
    layer of a Sequential, input_shape, batch_input_shape, batch_size or input_dim.
    """

    input_spec: InputSpec | list[InputSpec] | None = None
    built: bool
    trainable: bool
    _name: str
    _dtype: Any
    _first_values: Sequence[Any] | None
    _own_trainable: list[Shared]
    _own_fixed: list[Shared]
    _tracked: list[Layer]
    _own_losses: list[Variable]
    _own_updates: list[tuple[Shared, Any]]
    _inbound_nodes: list[Node]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Bookkeeping is made here: attributes may be set before `super().__init__()` is called, or without it."""
        layer = super().__new__(cls)
        layer.__dict__.update(
            built=False, trainable=True, _dtype=None, _first_values=None, _own_trainable=[], _own_fixed=[], _tracked=[],
            _own_losses=[], _own_updates=[], _inbound_nodes=[],
        )  # fmt: skip
        return layer

    def __init__(
        self,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
        weights: Sequence[Any] | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        input_dim: int | None = None,
        input_dtype: Any = None,
        activity_regularizer: Any = None,
        **unknown: Any,
    ) -> None:
        no_more(type(self).__name__, unknown)
        self._name = name or self._next_name()
        self.trainable = trainable
        self._dtype = dtype or input_dtype
        self._first_values = weights
        self.activity_regularizer = regularizers.get(activity_regularizer)
        if batch_input_shape is None and (input_shape is not None or input_dim is not None):
            sizes = (input_dim,) if input_shape is None else (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
            batch_input_shape = (batch_size, *sizes)
        if batch_input_shape is not None:
            self.batch_input_shape = tuple(batch_input_shape)

    # --- names ------------------------------------------------------------------------------------
    @property
    def name(self) -> str:
        if "_name" not in self.__dict__:
            self._name = self._next_name()
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    @classmethod
    def _next_name(cls) -> str:
        """dense_1, dense_2 ...; from tf.keras on dense, dense_1 ...  Words are cut as Keras cuts them: conv_lst_m2d_1."""
        words = re.sub(r"(?<=.)(?=[A-Z][a-z0-9])|(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()
        prefix = f"private{words}" if words.startswith("_") else words
        number = K.get_uid(prefix) - 1 + generation.resolve("number of the first layer")
        return f"{prefix}_{number}" if number else prefix

    @property
    def dtype(self) -> Any:
        return self._dtype

    @dtype.setter
    def dtype(self, value: Any) -> None:
        self._dtype = value

    # --- what a subclass gives --------------------------------------------------------------------
    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape (a list of shapes for several inputs)."""
        self.built = True

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The layer's formula: Variables from Variables.  The first argument is the input, or a list of inputs."""
        return args[0]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as data."""
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        if hasattr(self, "batch_input_shape"):
            config["batch_input_shape"] = self.batch_input_shape
        if self.dtype is not None:
            config["dtype"] = self.dtype
        return {**config, **recorded_config(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the result for inputs of this shape, found by building on placeholders."""
        several = any(isinstance(part, list | tuple) for part in input_shape)
        shapes = input_shape if several else [input_shape]
        stand_ins = [placeholder(self.dtype or K.floatx(), tuple(shape)) for shape in shapes]
        if not self.built:
            self.build(input_shape)
            self.built = True
        outputs = [int_shape(v) for v in as_list(self.call(unwrapped(stand_ins)))]
        return unwrapped(outputs)

    # --- calls ------------------------------------------------------------------------------------
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The layer on Variables: builds it on first use.

        Raises ShapeError, with the user's line and the layer's name, for inputs that do not fit.
        """
        operands = [v if isinstance(v, Variable) else as_variable(v, self.dtype or K.floatx()) for v in as_list(inputs)]
        given = operands if isinstance(inputs, list | tuple) else operands[0]
        self._check(operands)
        with name_scope(self.name), self._named_in_errors():
            self._build_for(operands)
            made = self.call(given, *args, **kwargs)
            results = [identity(v) if any(v is x for x in operands) else as_variable(v) for v in as_list(made)]
            self._penalise(results)
        node = Node(self, operands, results, kwargs)
        self._inbound_nodes.append(node)
        remember(node)
        return unwrapped(results)

    def _check(self, operands: Sequence[Variable]) -> None:
        specs = as_list(self.input_spec)
        if specs and len(specs) != len(operands):
            raise ShapeError(f"Layer {self.name} expects {len(specs)} inputs, but it received {len(operands)}")
        for number, (spec, v) in enumerate(zip(specs, operands, strict=False)):
            wrong = spec.complaint(v)
            if wrong:
                where = (f"  input {number}: {origin_of(v)}", f"  in the layer {self.name} ({type(self).__name__})")
                raise ShapeError(f"Input {number} is incompatible with layer {self.name}: {wrong}", context=where)

    def _build_for(self, operands: Sequence[Variable]) -> None:
        if self.built:
            return
        self.build(unwrapped([int_shape(v) for v in operands]))
        self.built = True
        if self._first_values is not None:
            self.set_weights(self._first_values)
            self._first_values = None

    def _penalise(self, results: Sequence[Variable]) -> None:
        regularizer = self.__dict__.get("activity_regularizer")
        if regularizer is not None:
            self.add_loss([regularizer(v) for v in results])

    @contextmanager
    def _named_in_errors(self) -> Iterator[None]:
        try:
            yield
        except GraphflowError as error:
            error.with_context(f"  in the layer {self.name} ({type(self).__name__})")
            raise

    # --- weights ----------------------------------------------------------------------------------
    def add_weight(self, *args: Any, **kwargs: Any) -> Shared:
        """A weight: add_weight(name, shape, dtype, initializer, regularizer, trainable, constraint).

        The orders of Keras 1 (shape, initializer, name, ...) and 3 (shape, initializer, dtype, ...) work, too.
        """
        weight = make_weight(self.name, **weight_arguments(args, kwargs))
        (self._own_trainable if weight.trainable else self._own_fixed).append(weight)
        return weight

    def __setattr__(self, name: str, value: Any) -> None:
        """Layers, and shared variables made with `gf.shared`, are tracked."""
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, Layer) and all(item is not known for known in self._tracked):
                self._tracked.append(item)
            elif isinstance(item, Shared) and isinstance(value, Shared):
                self._track(item)
        super().__setattr__(name, value)

    def _track(self, v: Shared) -> None:
        if v not in self._own_trainable and v not in self._own_fixed and getattr(v.tag, "found_in_attributes", True):
            (self._own_trainable if v.trainable else self._own_fixed).append(v)

    def _parts(self) -> Sequence[Layer]:
        """Layers inside this one."""
        return self._tracked

    def _all_parts(self) -> list[Layer]:
        """This layer and all layers inside, once each."""
        found: dict[Layer, None] = {}
        stack: list[Layer] = [self]
        while stack:
            layer = stack.pop()
            if layer not in found:
                found[layer] = None
                stack.extend(reversed(layer._parts()))
        return list(found)

    @property
    def trainable_weights(self) -> list[Shared]:
        if not self.trainable:
            return []
        return _once([*self._own_trainable, *(w for part in self._parts() for w in part.trainable_weights)])

    @trainable_weights.setter
    def trainable_weights(self, weights: Sequence[Shared]) -> None:
        self.__dict__["_own_trainable"] = list(weights)

    @property
    def non_trainable_weights(self) -> list[Shared]:
        if not self.trainable:
            return _once([*self._own_trainable, *self._own_fixed, *(w for part in self._parts() for w in part.weights)])
        return _once([*self._own_fixed, *(w for part in self._parts() for w in part.non_trainable_weights)])

    @non_trainable_weights.setter
    def non_trainable_weights(self, weights: Sequence[Shared]) -> None:
        self.__dict__["_own_fixed"] = list(weights)

    @property
    def weights(self) -> list[Shared]:
        return [*self.trainable_weights, *self.non_trainable_weights]

    def _stored_weights(self) -> list[Shared]:
        """All weights in the order of `get_weights` and of files."""
        return self.weights

    def get_weights(self) -> list[Array]:
        """The values of all weights, as a list of arrays."""
        return K.batch_get_value(self._stored_weights())

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Give all weights new values, in the order of `get_weights`.  Raises ShapeError, and then sets none."""
        own = self._stored_weights()
        values = [np.asarray(value) for value in weights]
        if len(values) != len(own):
            raise ShapeError(f"set_weights: {self.name} has {len(own)} weights, and {len(values)} arrays came")
        for w, value in zip(own, values, strict=True):
            if int_shape(w) != value.shape:
                raise ShapeError(f"set_weights: {w.name} has the shape {int_shape(w)}, and the array has {value.shape}")
        K.batch_set_value(list(zip(own, values, strict=True)))

    def count_params(self) -> int:
        """The number of elements of all weights.  Raises StateError before the layer is built."""
        if not self.built:
            raise StateError(f"{self.name} has no weights yet", hint="call it, or build(input_shape)")
        return sum(K.count_params(w) for w in self.weights)

    # --- losses and updates -----------------------------------------------------------------------
    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Scalars to add to the loss of models with this layer."""
        self._own_losses.extend(as_list(losses))

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Pairs (variable, new value) to perform at each training step."""
        pairs = [updates] if isinstance(updates, tuple) and len(updates) == 2 and isinstance(updates[0], Shared) else as_list(updates)
        self._own_updates.extend(pairs)

    @property
    def losses(self) -> list[Variable]:
        """Penalties on weights, activities, and what `add_loss` added."""
        found: list[Variable] = []
        for layer in self._all_parts():
            penalised = [w for w in [*layer._own_trainable, *layer._own_fixed] if getattr(w.tag, "regularizer", None) is not None]
            found += [*(w.tag.regularizer(w) for w in penalised), *layer._own_losses]
        return found

    @property
    def updates(self) -> list[tuple[Shared, Any]]:
        """What `add_update` asked for."""
        return [pair for layer in self._all_parts() for pair in layer._own_updates]

    # --- inputs and outputs -----------------------------------------------------------------------
    def get_input_at(self, node_index: int) -> Any:
        """The input (or list of inputs) of the call with this number."""
        return unwrapped(self._node(node_index).inputs)

    def get_output_at(self, node_index: int) -> Any:
        return unwrapped(self._node(node_index).outputs)

    def get_input_shape_at(self, node_index: int) -> Any:
        return unwrapped(self._node(node_index).input_shapes)

    def get_output_shape_at(self, node_index: int) -> Any:
        return unwrapped(self._node(node_index).output_shapes)

    @property
    def input(self) -> Any:
        return unwrapped(self._only_node("input").inputs)

    @property
    def output(self) -> Any:
        return unwrapped(self._only_node("output").outputs)

    @property
    def input_shape(self) -> Any:
        return unwrapped(self._agreed("input_shapes"))

    @property
    def output_shape(self) -> Any:
        return unwrapped(self._agreed("output_shapes"))

    def _node(self, index: int) -> Node:
        if not -len(self._inbound_nodes) <= index < len(self._inbound_nodes):
            raise GraphError(f"{self.name} has been called {len(self._inbound_nodes)} times: there is no call {index}")
        return self._inbound_nodes[index]

    def _only_node(self, what: str) -> Node:
        if len(self._inbound_nodes) != 1:
            n = len(self._inbound_nodes)
            hint = f"use get_{what}_at(node_index)" if n else "call the layer, or the model, on an input first"
            raise UnconnectedError(f"{self.name} has {'more than one' if n else 'no'} {what}: it was called {n} times", hint=hint)
        return self._node(0)

    def _agreed(self, what: str) -> Any:
        shapes = [getattr(node, what) for node in self._inbound_nodes]
        if not shapes or any(s != shapes[0] for s in shapes):
            raise UnconnectedError(f"{self.name} has {'several' if shapes else 'no'} {what}", hint="use get_output_shape_at(node_index)" if shapes else "call the layer first")
        return shapes[0]


def _once(weights: Sequence[Shared]) -> list[Shared]:
    return list(dict.fromkeys(weights))
