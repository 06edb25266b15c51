"""Small data sets for tests, and the test of a layer that Keras 2's own tests go through."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.graph.op import Array
from graphflow.keras import backend as K
from graphflow.keras.engine import Input, Model
from graphflow.keras.utils.generic_utils import has_arg

__all__ = ["get_test_data", "keras_test", "layer_test"]

Data = tuple[Array, Array]


def get_test_data(
    num_train: int = 1000, num_test: int = 500, input_shape: Sequence[int] = (10,), output_shape: Sequence[int] = (2,), classification: bool = True, num_classes: int = 2
) -> tuple[Data, Data]:
    """((x_train, y_train), (x_test, y_test)): noise around a value for each class, or around a value for each sample."""
    samples = num_train + num_test
    if classification:
        y = np.random.randint(0, num_classes, size=(samples,))
        x = np.zeros((samples, *input_shape), dtype=np.float32)
        for i in range(samples):
            x[i] = np.random.normal(loc=y[i], scale=0.7, size=tuple(input_shape))
    else:
        around = np.random.random((samples,))
        x = np.stack([np.random.normal(loc=c, scale=0.7, size=tuple(input_shape)) for c in around]).astype(np.float32)
        y = np.stack([np.random.normal(loc=c, scale=0.7, size=tuple(output_shape)) for c in around]).astype(np.float32)
    return (x[:num_train], y[:num_train]), (x[num_train:], y[num_train:])


def layer_test(
    layer_cls: Callable[..., Any],
    kwargs: Mapping[str, Any] | None = None,
    input_shape: Sequence[int | None] | None = None,
    input_dtype: str | None = None,
    input_data: Array | None = None,
    expected_output: Array | None = None,
    expected_output_dtype: str | None = None,
    fixed_batch_size: bool = False,
) -> Array:
    """What `layer_cls(**kwargs)` makes of `input_data` (drawn for `input_shape` if not given); AssertionError where it breaks a layer's promises.

    They are: `compute_output_shape` and the dtype are those of the result (None: any size; the dtype is the
    input's unless told), the result is `expected_output` up to a relative 1e-3, weights can be read and set,
    a model of the same configuration and weights gives the same, and a layer that has phases trains.
    """
    kwargs = dict(kwargs or {})
    if input_data is None:
        if input_shape is None:
            raise ValueError("layer_test needs input_shape or input_data")
        sizes = [int(np.random.randint(1, 4)) if n is None else n for n in input_shape]
        input_data = (10 * np.random.random(sizes)).astype(input_dtype or K.floatx())
    input_shape = tuple(input_data.shape if input_shape is None else input_shape)
    dtype = input_dtype or str(input_data.dtype)

    layer = layer_cls(**kwargs)
    layer.set_weights(layer.get_weights())
    promised = layer.compute_output_shape(input_shape)
    x = Input(batch_shape=input_shape, dtype=dtype) if fixed_batch_size else Input(shape=input_shape[1:], dtype=dtype)
    y = layer(x)
    assert K.dtype(y) == (expected_output_dtype or dtype), f"the result is {K.dtype(y)}, not {expected_output_dtype or dtype}"

    model = Model(x, y)
    output: Array = model.predict(input_data)
    assert all(p in (None, n) for p, n in zip(promised, output.shape, strict=True)), f"the promised shape is {promised}, the result's {output.shape}"
    if expected_output is not None:
        np.testing.assert_allclose(output, expected_output, rtol=1e-3)
    again = type(model).from_config(model.get_config())
    if model.weights:
        again.set_weights(model.get_weights())
        np.testing.assert_allclose(again.predict(input_data), output, rtol=1e-3)
    if has_arg(layer.call, "training"):
        model.compile("rmsprop", "mse")
        model.train_on_batch(input_data, output)
    type(layer).from_config({**layer.get_config(), "batch_input_shape": input_shape})
    return output


def keras_test(test: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator for tests: afterwards layers are numbered from the start, in the phase of testing."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return test(*args, **kwargs)
        finally:
            K.clear_session()

    return run
