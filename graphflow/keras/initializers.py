"""First values of weights, as arrays.

An initializer without a seed draws one from NumPy's global state, so `numpy.random.seed` makes a
program's weights reproducible.  Values come from `RandomState`, whose numbers NumPy has promised
not to change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.configuration import config
from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.op import Array
from graphflow.keras import generation
from graphflow.keras.arguments import recorded, recorded_config
from graphflow.keras.custom_objects import custom_object_scope
from graphflow.keras.generation import DEFAULT
from graphflow.keras.lookup import Table, as_data

INITIALIZERS = Table("initializer", makes=True)
CLASSES = Table("initializer", makes=True)  # those whose names differ from a function's in case only

# The standard deviation of a standard normal variable cut at two standard deviations.
_TRUNCATED_STDDEV = 0.87962566103423978


class Initializer:
    """A function of a shape that gives an array."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Array:
        return self.draw(tuple(shape)).astype(dtype or config.floatX)

    def draw(self, shape: tuple[int, ...]) -> Array:
        """The values, of any float dtype."""
        raise NotImplementedError

    def clone(self) -> Initializer:
        """Another with the same arguments."""
        return type(self).from_config(self.get_config())

    def get_config(self) -> dict[str, Any]:
        return recorded_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """Keras 3 writes axes of inputs and outputs, which are None unless one gave them."""
        return cls(**{key: value for key, value in config.items() if key not in ("input_axes", "output_axes") or value is not None})


class Random(Initializer):
    """An initializer with a seed."""

    seed: int | None
    _calls = 0

    def generator(self) -> np.random.RandomState:
        """Numbers from the seed, or from the number of calls after it where a seeded initializer goes on."""
        if self.seed is None:
            return np.random.RandomState(np.random.randint(10**7))
        self._calls += 1
        return np.random.RandomState(self.seed + (self._calls - 1 if generation.resolve("a seeded initializer goes on") else 0))


def _truncated_normal(generator: np.random.RandomState, mean: float, stddev: float, shape: tuple[int, ...]) -> Array:
    """Normal numbers within two standard deviations: those outside are drawn again."""
    values = generator.normal(size=shape).reshape(-1)
    while (outside := np.flatnonzero(np.abs(values) > 2)).size:
        values[outside] = generator.normal(size=outside.size)
    return (mean + stddev * values).reshape(shape)


@INITIALIZERS.add("zero")
class Zeros(Initializer):
    def draw(self, shape: tuple[int, ...]) -> Array:
        return np.zeros(shape)


@INITIALIZERS.add("one")
class Ones(Initializer):
    def draw(self, shape: tuple[int, ...]) -> Array:
        return np.ones(shape)


@INITIALIZERS.add()
@recorded
class Constant(Initializer):
    """One value everywhere, or an array of the right number of elements."""

    def __init__(self, value: Any = 0) -> None:
        self.value = value

    def draw(self, shape: tuple[int, ...]) -> Array:
        value = np.asarray(self.value)
        return np.array(np.broadcast_to(value, shape) if value.size != math.prod(shape) else value.reshape(shape))


@INITIALIZERS.add("normal")
@recorded
class RandomNormal(Random):
    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self.generator().normal(self.mean, self.stddev, shape)


@INITIALIZERS.add("uniform")
@recorded
class RandomUniform(Random):
    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self.generator().uniform(self.minval, self.maxval, shape)


@INITIALIZERS.add()
@recorded
class TruncatedNormal(Random):
    """Normal numbers, drawn again where they are more than two standard deviations from the mean."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def draw(self, shape: tuple[int, ...]) -> Array:
        return _truncated_normal(self.generator(), self.mean, self.stddev, shape)


@INITIALIZERS.add()
@recorded
class VarianceScaling(Random):
    """A variance of scale / n, where n is the number of inputs, outputs, or their mean.

    `mode`: 'fan_in', 'fan_out' or 'fan_avg'.  `distribution`: 'normal' (truncated, but not in Keras 1),
    'truncated_normal', 'untruncated_normal' or 'uniform'.  Raises GraphError for others.
    """

    def __init__(self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "normal", seed: int | None = None) -> None:
        self.scale, self.mode, self.distribution, self.seed = scale, mode.lower(), distribution.lower(), seed
        if scale <= 0:
            raise GraphError(f"VarianceScaling: the scale is {scale}", hint="it is above 0")
        _require("mode", self.mode, ("fan_in", "fan_out", "fan_avg"))
        _require("distribution", self.distribution, ("normal", "truncated_normal", "untruncated_normal", "uniform"))

    def draw(self, shape: tuple[int, ...]) -> Array:
        fan_in, fan_out = fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, n))
        if self.distribution == "uniform":
            limit = math.sqrt(3) * stddev
            return self.generator().uniform(-limit, limit, shape)
        normal = generation.resolve("VarianceScaling's normal distribution") if self.distribution == "normal" else self.distribution
        if normal == "untruncated_normal":
            return self.generator().normal(0, stddev, shape)
        return _truncated_normal(self.generator(), 0, stddev / _TRUNCATED_STDDEV, shape)


def _require(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise GraphError(f"VarianceScaling: no {what} is called {value!r}", hint=f"known: {', '.join(known)}")


def fans(shape: Sequence[int]) -> tuple[float, float]:
    """Numbers of inputs and outputs of a unit with weights of this shape, channels last.

    Of a vector both are the root of its size; from tf.keras on, its size.
    """
    if len(shape) == 2:
        return shape[0], shape[1]
    if len(shape) > 2:
        field = math.prod(shape[:-2])
        return shape[-2] * field, shape[-1] * field
    size = math.prod(shape) if generation.resolve("fans of a vector are its size") else math.sqrt(math.prod(shape))
    return size, size


@INITIALIZERS.add("orthogonal_initializer")
@recorded
class Orthogonal(Random):
    """Orthogonal rows or columns (Saxe et al. 2013, arXiv:1312.6120), of a normal matrix, times `gain`."""

    def __init__(self, gain: float = DEFAULT, seed: int | None = None) -> None:
        self.gain, self.seed = gain, seed

    def draw(self, shape: tuple[int, ...]) -> Array:
        matrix = self.generator().normal(size=(math.prod(shape[:-1]), shape[-1]))
        left, _, right = np.linalg.svd(matrix, full_matrices=False)
        values: Array = self.gain * (left if left.shape == matrix.shape else right)
        return values.reshape(shape)


@INITIALIZERS.add("identity_initializer")
@recorded
class Identity(Initializer):
    """`gain` on the diagonal of a matrix; in Keras 2.0 to 2.2 again and again along its longer side.

    Raises ShapeError for anything else, and for sides that are no multiples there.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def draw(self, shape: tuple[int, ...]) -> Array:
        if len(shape) != 2:
            raise ShapeError(f"Identity: the shape {shape} is not that of a matrix")
        if not generation.resolve("Identity repeats itself"):
            return self.gain * np.eye(*shape)
        short, long = sorted(shape)
        if long % short:
            raise ShapeError(f"Identity: the sides of {shape} are not multiples of each other")
        return self.gain * np.tile(np.eye(short), (shape[0] // short, shape[1] // short))


@INITIALIZERS.add()
def glorot_uniform(seed: int | None = None) -> Initializer:
    """Uniform, variance 2 / (inputs + outputs) (Glorot and Bengio 2010)."""
    return VarianceScaling(1.0, "fan_avg", "uniform", seed)


@INITIALIZERS.add()
def glorot_normal(seed: int | None = None) -> Initializer:
    """Truncated normal, variance 2 / (inputs + outputs) (Glorot and Bengio 2010)."""
    return VarianceScaling(1.0, "fan_avg", "normal", seed)


@INITIALIZERS.add()
def he_uniform(seed: int | None = None) -> Initializer:
    """Uniform, variance 2 / inputs (He et al. 2015, arXiv:1502.01852)."""
    return VarianceScaling(2.0, "fan_in", "uniform", seed)


@INITIALIZERS.add()
def he_normal(seed: int | None = None) -> Initializer:
    """Truncated normal, variance 2 / inputs (He et al. 2015, arXiv:1502.01852)."""
    return VarianceScaling(2.0, "fan_in", "normal", seed)


@INITIALIZERS.add()
def lecun_uniform(seed: int | None = None) -> Initializer:
    """Uniform, variance 1 / inputs (LeCun et al. 1998)."""
    return VarianceScaling(1.0, "fan_in", "uniform", seed)


@INITIALIZERS.add()
def lecun_normal(seed: int | None = None) -> Initializer:
    """Truncated normal, variance 1 / inputs (LeCun et al. 1998)."""
    return VarianceScaling(1.0, "fan_in", "normal", seed)


def _scaling_class(name: str, scale: float, mode: str, distribution: str, doc: str | None) -> type[VarianceScaling]:
    """A class of Keras 2.4 on: a VarianceScaling whose only argument is a seed."""

    def __init__(self: VarianceScaling, seed: int | None = None) -> None:
        VarianceScaling.__init__(self, scale, mode, distribution, seed)

    made = type(name, (VarianceScaling,), {"__init__": __init__, "__doc__": doc, "__module__": __name__})
    return CLASSES.add()(recorded(made))


GlorotUniform = _scaling_class("GlorotUniform", 1.0, "fan_avg", "uniform", glorot_uniform.__doc__)
GlorotNormal = _scaling_class("GlorotNormal", 1.0, "fan_avg", "truncated_normal", glorot_normal.__doc__)
HeUniform = _scaling_class("HeUniform", 2.0, "fan_in", "uniform", he_uniform.__doc__)
HeNormal = _scaling_class("HeNormal", 2.0, "fan_in", "truncated_normal", he_normal.__doc__)
LecunUniform = _scaling_class("LecunUniform", 1.0, "fan_in", "uniform", lecun_uniform.__doc__)
LecunNormal = _scaling_class("LecunNormal", 1.0, "fan_in", "truncated_normal", lecun_normal.__doc__)

zero = zeros = Zeros
one = ones = Ones
constant = Constant
normal = random_normal = RandomNormal
uniform = random_uniform = RandomUniform
truncated_normal = TruncatedNormal
orthogonal = Orthogonal
identity = Identity
variance_scaling = VarianceScaling
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal
get_fans = _compute_fans = fans  # as Keras 1 and 2 call it


def get(identifier: Any) -> Any:
    """The initializer for a name, {'class_name', 'config'}, class or function of a shape; None for None."""
    name = identifier["class_name"] if isinstance(identifier, Mapping) and "class_name" in identifier else identifier
    return (CLASSES if name in list(CLASSES) else INITIALIZERS).get(identifier)


def serialize(initializer: Any) -> Any:
    """The initializer as data."""
    return as_data(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The initializer for what `serialize` gives; `custom_objects` come first."""
    with custom_object_scope(custom_objects or {}):
        return get(config)
