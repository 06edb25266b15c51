"""From a network's layers to a model: its input, its top, its weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.variable import Variable
from graphflow.keras import backend as K
from graphflow.keras.applications.imagenet_utils import CLASSES
from graphflow.keras.arguments import no_more
from graphflow.keras.cache import get_file
from graphflow.keras.engine.node import history
from graphflow.keras.layers import Dense, GlobalAveragePooling2D, GlobalMaxPooling2D, Input
from graphflow.keras.models import Model
from graphflow.keras.utils.layer_utils import get_source_inputs

Body = Callable[[Variable], Variable]
STORE = "https://storage.googleapis.com/tensorflow/keras-applications/"
_OLDER = ("backend", "layers", "models", "utils")  # which modules to build with, in Keras 2.2


@dataclass(frozen=True)
class Files:
    """The files of published weights: where they are, their names with and without the top, and their MD5."""

    url: str
    names: tuple[str, str]
    md5: tuple[str | None, str | None] = (None, None)


def files(folder: str, name: str, *md5: str) -> Files:
    """The usual names."""
    stem = f"{name}_weights_tf_dim_ordering_tf_kernels"
    return Files(f"{STORE}{folder}/", (f"{stem}.h5", f"{stem}_notop.h5"), (md5[0], md5[1]))


@dataclass(frozen=True)
class Options:
    """What all applications take.

    `include_top`: with the layers that tell the `classes` apart.  `weights`: None for new ones, 'imagenet' for published
    ones, from the cache, or the path of a file.  `input_tensor`: a Variable to build on.  `input_shape`: without the
    batch.  `pooling`: without the top, 'avg' or 'max' for one vector an image.
    """

    include_top: bool
    weights: str | os.PathLike[str] | None
    input_tensor: Any
    input_shape: Sequence[int | None] | None
    pooling: str | None
    classes: int
    classifier_activation: Any = "softmax"

    def check(self, older: Mapping[str, Any]) -> None:
        """Raises GraphError for options that do not go together, ArgumentError for those that no application has."""
        no_more("applications", {name: value for name, value in older.items() if name not in _OLDER})
        if self.weights not in (None, "imagenet") and not os.path.exists(self.weights or ""):
            raise GraphError(f"weights={self.weights!r}: there is no such file", hint="use None, 'imagenet', or the path of a file with weights")
        if self.weights == "imagenet" and self.include_top and self.classes != CLASSES:
            raise GraphError(f"the published weights tell {CLASSES} classes apart, not {self.classes}", hint="use include_top=False, or weights=None")
        if self.pooling not in (None, "avg", "max"):
            raise GraphError(f"pooling={self.pooling!r} is not known", hint="use 'avg', 'max' or None")


def dense_top(options: Options, name: str = "predictions") -> Body:
    """Probabilities of classes from one vector an image."""
    return Dense(options.classes, activation=options.classifier_activation, name=name)


def pooled_top(options: Options, name: str = "predictions") -> Body:
    """The same from feature maps, whose means are taken first."""
    return lambda x: dense_top(options, name)(GlobalAveragePooling2D(name="avg_pool")(x))


def named_top(name: str) -> Callable[[Options], Body]:
    """`pooled_top` with a name of its own."""
    return lambda options: pooled_top(options, name)


@dataclass(frozen=True)
class Application:
    """A network that is called to make a model.

    `body` gives feature maps from images, `top` what tells classes apart, `size` is the height and width of images if none
    are given, `least` the smallest possible.  `fixed_size`: the top works with one size only, so that it must be known.
    `needs_size`: which layers there are depends on the size, so that `size` is taken even without the top.
    """

    name: str
    body: Body
    top: Callable[[Options], Body]
    published: Files
    size: int = 224
    least: int = 32
    fixed_size: bool = False
    needs_size: bool = False

    def __call__(
        self,
        include_top: bool = True,
        weights: Any = "imagenet",
        input_tensor: Any = None,
        input_shape: Sequence[int | None] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str | None = None,
        **older: Any,
    ) -> Model:
        """The model; the arguments are those of Options."""
        options = Options(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation)
        options.check(older)
        x = _input(options, self)
        y = self.body(x)
        if options.include_top:
            y = self.top(options)(y)
        elif options.pooling is not None:
            y = (GlobalAveragePooling2D if options.pooling == "avg" else GlobalMaxPooling2D)()(y)
        inputs = get_source_inputs(x)
        model = Model(inputs[0] if len(inputs) == 1 else inputs, y, name=name or self.name)
        if options.weights is not None:
            model.load_weights(weights_file(options, self.published))
        return model


def weights_file(options: Options, published: Files) -> str:
    """The path of the file to load.  Raises FetchError if published weights are not in the cache and cannot be fetched."""
    if options.weights != "imagenet":
        return os.fspath(options.weights)  # type: ignore[arg-type]
    which = 0 if options.include_top else 1
    return get_file(published.names[which], published.url + published.names[which], cache_subdir="models", file_hash=published.md5[which])


def _input(options: Options, network: Application) -> Variable:
    given = options.input_tensor
    if given is not None and history(given) is None:
        return Input(tensor=given)
    if given is not None:
        tensor: Variable = given
        return tensor
    last = K.image_data_format() == "channels_last"
    usual = (network.size, network.size, 3) if last else (3, network.size, network.size)
    published_top = options.weights == "imagenet" and options.include_top
    if options.input_shape is None:
        open_size = (None, None, 3) if last else (3, None, None)
        return Input(shape=usual if options.include_top or network.needs_size else open_size)
    shape = tuple(options.input_shape)
    if published_top and shape != usual:
        raise ShapeError(f"with include_top=True and the published weights, input_shape is {usual}, not {shape}", hint="use include_top=False")
    if len(shape) != 3:
        raise ShapeError(f"input_shape is {shape}", hint=f"it is (height, width, channels), or as {usual}")
    height_and_width = shape[:2] if last else shape[1:]
    if any(n is not None and n < network.least for n in height_and_width):
        raise ShapeError(f"input_shape is {shape}, and images have at least {network.least}x{network.least} pixels")
    if (network.needs_size or (network.fixed_size and options.include_top)) and None in height_and_width:
        raise ShapeError(f"the size of images must be known, and input_shape is {shape}", hint="give height and width")
    return Input(shape=shape)


def channel_axis() -> int:
    """Where images have their channels."""
    return 1 if K.image_data_format() == "channels_first" else 3
