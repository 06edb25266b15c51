"""Which Keras this process is: names, defaults and formulas that changed from one generation to the next.

A process behaves as one generation (2.2 unless told otherwise).  What changed is listed here, once;
signatures say `DEFAULT` where the default is one of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from graphflow.graph.errors import GraphError

GENERATIONS = ("1", "2.2", "2.3", "2.4", "3")  # 2.4 stands for all of tf.keras 2
VERSIONS = dict(zip(GENERATIONS, ("1.2.2", "2.2.4", "2.3.1", "2.15.0", "3.8.0"), strict=True))


class _Default:
    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final[Any] = _Default()

# what -> {the first generation with a value: the value}
CHANGED: dict[str, dict[str, Any]] = {
    "Adam.epsilon": {"1": 1e-8, "2.2": None},  # None: backend.epsilon()
    "RMSprop.epsilon": {"1": 1e-8, "2.2": None},
    "Adagrad.epsilon": {"1": 1e-8, "2.2": None},
    "Adadelta.epsilon": {"1": 1e-8, "2.2": None},
    "Adamax.epsilon": {"1": 1e-8, "2.2": None},
    "Nadam.epsilon": {"1": 1e-8, "2.2": None},
    "Adagrad.lr": {"1": 0.01, "2.4": 0.001},
    "Adadelta.lr": {"1": 1.0, "2.4": 0.001},
    "Adamax.lr": {"1": 0.002, "2.4": 0.001},
    "Nadam.lr": {"1": 0.002, "2.4": 0.001},
    "Nadam.schedule_decay": {"1": 0.004, "3": 1.0},
    "Nadam.schedule_decay's name": {"1": "schedule_decay", "2.4": "decay", "3": None},
    "Adagrad.initial_accumulator_value": {"1": 0.0, "2.4": 0.1},
    "Adagrad adds epsilon inside the root": {"1": False, "3": True},
    "RMSprop adds epsilon inside the root": {"1": False, "2.4": "with momentum", "3": True},
    "Orthogonal.gain": {"1": 1.1, "2.2": 1.0},
    "VarianceScaling's normal distribution": {"1": "untruncated_normal", "2.2": "truncated_normal"},
    "a seeded initializer goes on": {"1": False, "2.3": True, "3": False},  # to other values at each call
    "top k accuracy is of a batch": {"1": True, "2.3": False},
    "fans of a vector are its size": {"1": False, "2.4": True},
    "optimizer's configuration": {"1": "lr, decay", "2.3": "learning_rate, decay", "2.4": "name, learning_rate, decay", "3": "name, learning_rate, common"},
    "Identity repeats itself": {"1": False, "2.2": True, "2.3": False},  # along the longer side; else ones on the diagonal
    "batch_dot multiplies matrices": {"1": True, "2.3": False},  # axes between the first and the last two are of batches
    "cosine_proximity is a mean": {"1": True, "2.2": False},  # after: a sum
    "the metric cosine is negative": {"1": True, "2.3": False},
    "binary accuracy rounds": {"1": True, "2.3": False},  # 0.5 to 0, and 1.5 to 2; after: above a threshold
    "hinge takes targets 0 and 1": {"1": False, "2.4": True},
    **{f"{layer}.recurrent_activation": {"1": "hard_sigmoid", "2.3": "sigmoid"} for layer in ("LSTM", "LSTMCell", "GRU", "GRUCell")},
    **{f"{layer}.implementation": {"1": 1, "2.3": 2} for layer in ("LSTM", "LSTMCell", "GRU", "GRUCell")},
    **{f"{layer}.reset_after": {"1": False, "2.4": True} for layer in ("GRU", "GRUCell")},
    **{f"{layer}.recurrent_activation": {"1": "hard_sigmoid", "3": "sigmoid"} for layer in ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "ConvLSTM2DCell")},
    "Bidirectional gives zeros at masked steps": {"1": False, "2.4": True},
    "fit.epochs": {"1": 10, "2.2": 1},
    "hard_sigmoid.slope": {"1": 0.2, "3": 1 / 6},
    "clipnorm bounds each gradient": {"1": False, "2.4": True},  # before: all of them together
    "metrics are called as given": {"1": False, "2.3": True},  # before: acc, mean_squared_error
    "loss is divided by all samples": {"1": False, "2.3": True},  # before: by those with a weight
    "weighted metrics are means by weight": {"1": False, "2.3": True},  # before: sums over the samples with a weight
    "masked losses count all steps": {"1": False, "2.3": True, "2.4": False},  # before and after: those not masked; tf.keras as of 2.11
    "masks must be supported": {"1": True, "2.4": False},  # False: layers that know no masks drop them
    "activity penalties are per sample": {"1": False, "2.4": True},
    "trainable reaches the layers inside": {"1": False, "2.4": True},
    "layers are told the phase": {"1": False, "2.4": True},  # an argument `training` of `call` is True or False
    "BatchNormalization at rest when not trainable": {"1": False, "2.4": True},  # before: batch statistics while training
    "BatchNormalization counts masked steps": {"1": True, "3": False},
    "BatchNormalization's moving variance": {"1": "of the sample", "2.2": "of the population", "2.4": "of the population for images", "3": "of the sample"},
    "images are sampled at pixel centers": {"1": False, "2.4": True},  # before: at their upper left corners
    "sizes of windows may be positional": {"1": True, "2.4": False},  # Conv2D(32, 3, 3); later the second 3 is the stride
    "number of the first layer": {"1": 1, "2.4": 0},  # 0: dense, dense_1 ...
    "attributes that are variables are weights": {"1": False, "2.4": True},
    "weights files have Keras 3's layout": {"1": False, "2.4": True},  # those called *.weights.h5
    "summary has a title": {"1": False, "2.3": True},
    "progress counts steps": {"1": False, "2.4": True},  # before: samples
    "K.function gives single outputs": {"1": False, "2.4": True},
    "generators need steps": {"1": True, "2.4": False},  # False: an epoch may end with its generator
    "weights of steps need no mode": {"1": False, "2.4": True},  # before: sample_weight_mode='temporal'
    "best weights come back without a stop": {"1": False, "3": True},  # EarlyStopping
    "rate in the logs": {"1": "lr", "3": "learning_rate"},
    "histograms need validation data": {"1": False, "2.2": True, "2.4": False},  # of TensorBoard
    "TensorBoard writes two runs": {"1": False, "2.4": True},  # train/ and validation/, and epoch_loss for loss
    "fit announces sample numbers": {"1": True, "2.4": False},
    "ResNet50 has its first layer names": {"1": True, "2.3": False},  # res2a_branch2a; later conv2_block1_1_conv
}

_current = "2.2"


def current() -> str:
    """The generation this process behaves as."""
    return _current


def version() -> str:
    """The version of Keras that the generation is as of: what programs read as `keras.__version__`."""
    return VERSIONS[_current]


def use(name: str) -> None:
    """Behave as generation `name`, one of GENERATIONS, for what is built from now on."""
    global _current
    if name not in GENERATIONS:
        raise GraphError(f"there is no Keras generation {name!r}", hint=f"generations are {', '.join(GENERATIONS)}")
    _current = name


@contextmanager
def using(name: str) -> Iterator[None]:
    """`with using("1"): ...`"""
    before = _current
    use(name)
    try:
        yield
    finally:
        use(before)


def resolve(what: str) -> Any:
    """The value of an entry of CHANGED in the current generation."""
    present = GENERATIONS.index(_current)
    return next(value for since, value in reversed(CHANGED[what].items()) if GENERATIONS.index(since) <= present)
