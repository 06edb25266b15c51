"""Layer: names, building, weights, shapes and configuration, so that a layer's own code is its formula."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphflowError, ShapeError, StateError
from graphflow.graph.op import Array
from graphflow.graph.traversal import depends_on, leaves
from graphflow.graph.variable import Placeholder, Shared, Variable, as_variable, name_scope, origin_of, placeholder
from graphflow.keras import backend as K
from graphflow.keras import generation, regularizers
from graphflow.keras.arguments import bind, no_more, recorded_config
from graphflow.keras.engine.calling import called, takes
from graphflow.keras.engine.connections import Connections
from graphflow.keras.engine.input_spec import InputSpec
from graphflow.keras.engine.masks import MaskError, give_masks, mask_of, masks_of
from graphflow.keras.engine.node import Node, remember
from graphflow.keras.engine.registry import CLASSES
from graphflow.keras.engine.weights import make_weight, weight_arguments
from graphflow.keras.naming import next_name
from graphflow.keras.structure import as_list, int_shape, unwrapped
from graphflow.ops.creation import dim_value
from graphflow.ops.elementwise import cast, divide
from graphflow.ops.identity import identity


class Layer(Connections):
    """A function of Variables with weights of its own.

    A subclass gives `call(inputs)`, and `build(input_shape)` if it has weights, which it makes there
    with `add_weight`.  `__init__` takes name, trainable, dtype, weights (first values) and, for the first
    layer of a Sequential, input_shape, batch_input_shape, batch_size or input_dim.  `dynamic` and `autocast` of later
    versions say nothing here: every call makes a graph, and every weight has one dtype.
    """

    input_spec: InputSpec | list[InputSpec] | None = None
    supports_masking = False
    stateful = False
    built: bool
    _name: str
    _dtype: Any
    _first_values: Sequence[Any] | None
    _own_trainable: list[Shared]
    _own_fixed: list[Shared]
    _own_losses: list[Any]
    _own_updates: list[tuple[Shared, Any]]
    _own_metrics: list[tuple[str, Variable]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """The library's own layers are known by name to files and configurations."""
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("graphflow.keras."):
            CLASSES[cls.__name__] = cls

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Bookkeeping is made here: attributes may be set before `super().__init__()` is called, or without it."""
        layer = super().__new__(cls)
        layer.__dict__.update(
            built=False, _trainable=True, _dtype=None, _first_values=None, _own_trainable=[], _own_fixed=[],
            _own_losses=[], _own_updates=[], _own_metrics=[], _inbound_nodes=[],
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
        dynamic: bool = False,
        autocast: bool = True,
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
        return next_name(cls.__name__)

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
        """The layer's formula: Variables from Variables.

        The first argument is the input, or a list of inputs.  Arguments called `mask` and `training` are given
        where there is something to say: the inputs' masks, and what the caller of a model said.
        """
        return args[0]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the result: that of the input if the layer `supports_masking`.

        Raises MaskError if it does not and a mask comes; from tf.keras on the mask is dropped.
        """
        if self.supports_masking:
            return mask
        if any(m is not None for m in as_list(mask)) and generation.resolve("masks must be supported"):
            raise MaskError(
                f"Layer {self.name} does not support masking, but was passed an input_mask",
                hint="set supports_masking = True in the layer, or give it a compute_mask",
            )
        return None

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
        """The shape of the result for inputs of this shape: that on placeholders, of which nothing remains."""
        several = any(isinstance(part, list | tuple) for part in input_shape)
        shapes = input_shape if several else [input_shape]
        stand_ins = [placeholder(self.dtype or K.floatx(), tuple(shape)) for shape in shapes]
        with undone(self):
            if not self.built:
                self.build(input_shape)
                self.built = True
            outputs = [int_shape(v) for v in as_list(self.call(stand_ins if several else stand_ins[0]))]
        return unwrapped(outputs)

    def get_output_shape_for(self, input_shape: Any) -> Any:
        """What Keras 1 called `compute_output_shape`."""
        return self.compute_output_shape(input_shape)

    # --- calls ------------------------------------------------------------------------------------
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The layer on Variables: builds it on first use.

        Raises ShapeError, with the user's line and the layer's name, for inputs that do not fit.
        """
        operands = [v if isinstance(v, Variable) else as_variable(v, self.dtype or K.floatx()) for v in as_list(inputs)]
        given = operands if isinstance(inputs, list | tuple) else operands[0]
        self._check(operands)
        arguments = self._by_name(given, args, kwargs)
        results = self._run(given, arguments)
        node = Node(self, operands, results, arguments)
        self._inbound_nodes.append(node)
        remember(node)
        return unwrapped(results)

    def _by_name(self, given: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call after the first, by name."""
        if not args:
            return kwargs
        bound = bind(self.name, inspect.signature(self.call), given, *args, **kwargs).arguments
        return dict(list(bound.items())[1:])

    def _run(self, given: Any, arguments: dict[str, Any]) -> list[Variable]:
        """The results of a call on Variables, with their masks: all of `__call__` but the history."""
        operands = as_list(given)
        with name_scope(self.name), self._named_in_errors():
            self._build_for(operands)
            mask = masks_of(operands)
            if mask is not None and "mask" not in arguments and takes(self, "mask"):
                arguments = {**arguments, "mask": mask}
            made = as_list(called(self, given, arguments))
            results = [identity(v) if any(v is x for x in operands) else as_variable(v) for v in made]
            self._penalise(results)
            if all(mask_of(v) is None for v in results):  # else layers inside have given them
                give_masks(results, self.compute_mask(given, mask))
        return results

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
        if regularizer is None:
            return
        for v in results:
            penalty = regularizer(v)
            by_sample = generation.resolve("activity penalties are per sample")
            self.add_loss(divide(penalty, cast(dim_value(v.shape[0]), penalty.dtype)) if by_sample else penalty)

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
        """Shared variables made with `gf.shared` are tracked, as are layers (see `_tracked`)."""
        if isinstance(value, Shared):
            self._track(value)
        super().__setattr__(name, value)

    def _track(self, v: Shared) -> None:
        if v not in self._own_trainable and v not in self._own_fixed and getattr(v.tag, "found_in_attributes", True):
            (self._own_trainable if v.trainable else self._own_fixed).append(v)

    @property
    def _tracked(self) -> list[Layer]:
        """The layers among the attributes, and in lists and dicts among them, in the order in which these were made."""
        return list(dict.fromkeys(layer for name, value in self.__dict__.items() if name != "_arguments" for layer in _layers_in(value)))

    def _parts(self) -> Sequence[Layer]:
        """Layers inside this one."""
        return self._tracked

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights.  From tf.keras on setting it sets it for the layers inside, too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        if generation.resolve("trainable reaches the layers inside"):
            for part in self._parts():
                part.trainable = value

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

    @property
    def variables(self) -> list[Shared]:
        """What tf.keras calls `weights`, too."""
        return self.weights

    @property
    def trainable_variables(self) -> list[Shared]:
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Shared]:
        return self.non_trainable_weights

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
            raise ShapeError(
                f'You called `set_weights(weights)` on layer "{self.name}" with a weight list of length {len(values)}, '
                f"but the layer was expecting {len(own)} weights."
            )
        for w, value in zip(own, values, strict=True):
            if int_shape(w) != value.shape:
                raise ShapeError(f"Layer weight shape {int_shape(w)} not compatible with provided weight shape {value.shape}", context=(f"  set_weights: {w.name}",))
        K.batch_set_value(list(zip(own, values, strict=True)))

    def count_params(self) -> int:
        """The number of elements of all weights.  Raises StateError before the layer is built."""
        if not self.built:
            raise StateError(f"You tried to call `count_params` on {self.name}, but the layer isn't built.", hint="call it, or build(input_shape)")
        return sum(K.count_params(w) for w in self.weights)

    # --- losses, updates and metrics --------------------------------------------------------------
    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Scalars to add to the loss of models with this layer, or functions that make them."""
        self._own_losses.extend(as_list(losses))

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Pairs (variable, new value) to perform at each training step."""
        pairs = [updates] if isinstance(updates, tuple) and len(updates) == 2 and isinstance(updates[0], Shared) else as_list(updates)
        self._own_updates.extend(pair for pair in pairs if pair is not None)

    def add_metric(self, value: Any, aggregation: str | None = "mean", name: str | None = None) -> None:
        """A value to report under `name` beside the metrics of models with this layer, as its mean over batches."""
        self._own_metrics.append((name or f"metric_{len(self._own_metrics) + 1}", as_variable(value)))

    @property
    def losses(self) -> list[Variable]:
        """Penalties on weights, activities, and what `add_loss` added."""
        found: list[Variable] = []
        for layer in self._all_parts():
            penalised = [w for w in [*layer._own_trainable, *layer._own_fixed] if getattr(w.tag, "regularizer", None) is not None]
            added = [as_variable(loss() if callable(loss) else loss) for loss in layer._own_losses]
            found += [*(w.tag.regularizer(w) for w in penalised), *added]
        return found

    @property
    def updates(self) -> list[tuple[Shared, Any]]:
        """What `add_update` asked for; nothing of layers that are not trained, unless they are stateful."""
        return self._all_updates()

    def _all_updates(self) -> list[tuple[Shared, Any]]:
        if not self.trainable and not self.stateful:
            return []
        inside = [pair for part in self._parts() for pair in part._all_updates()]
        return list(dict.fromkeys([*self._own_updates, *inside]))

    @property
    def added_metrics(self) -> list[tuple[str, Variable]]:
        """Names and values that `add_metric` added."""
        return [pair for layer in self._all_parts() for pair in layer._own_metrics]

    def get_losses_for(self, inputs: Any) -> list[Variable]:
        """The losses that depend on `inputs`; for None those that depend on no input."""
        return [loss for loss in self.losses if _belongs(loss, inputs)]

    def get_updates_for(self, inputs: Any) -> list[tuple[Shared, Any]]:
        """The updates that depend on `inputs`; for None those that depend on no input."""
        return [pair for pair in self.updates if _belongs(as_variable(pair[1]), inputs)]


@contextmanager
def undone(layer: Layer) -> Iterator[None]:
    """Afterwards the layer, those inside and NumPy's random numbers are as before: built or not, with their losses and updates."""
    kept = [(part, {name: list(v) if isinstance(v, list) else v for name, v in part.__dict__.items()}) for part in layer._all_parts()]
    randomness = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(randomness)
        for part, attributes in kept:
            part.__dict__.clear()
            part.__dict__.update(attributes)


def _belongs(v: Variable, inputs: Any) -> bool:
    if inputs is None:
        return not any(isinstance(leaf, Placeholder) for leaf in leaves([v]))
    return v in depends_on([v], as_list(inputs))


def _layers_in(value: Any) -> Iterator[Layer]:
    if isinstance(value, Layer):
        yield value
    elif isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _layers_in(item)


def _once(weights: Sequence[Shared]) -> list[Shared]:
    return list(dict.fromkeys(weights))
