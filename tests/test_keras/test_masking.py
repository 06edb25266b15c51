"""Masks on their way through layers, models and losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.engine.masks import MaskError, mask_of
from graphflow.keras.layers import (
    Activation,
    Add,
    Attention,
    BatchNormalization,
    Concatenate,
    Dense,
    Dot,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    Input,
    Lambda,
    Layer,
    Masking,
    MultiHeadAttention,
    TimeDistributed,
)
from graphflow.keras.models import Model, Sequential

IDS = np.array([[1, 2, 3, 0], [4, 0, 0, 0]])


def value(v: Any, inputs: Any, *arrays: Any) -> np.ndarray:
    found: np.ndarray = gf.function(inputs if isinstance(inputs, list) else [inputs], v)(*arrays)
    return found


def embedded(**kwargs: Any) -> tuple[Any, Any]:
    x = Input((4,))
    return x, Embedding(5, 3, mask_zero=True, **kwargs)(x)


@pytest.mark.smoke
def test_a_mask_goes_through_layers_that_know_masks() -> None:
    x, y = embedded()
    for layer in (Dense(3), Activation("tanh"), Dropout(0.1), BatchNormalization(), TimeDistributed(Dense(2))):
        y = layer(y)
        np.testing.assert_array_equal(value(mask_of(y), x, IDS), IDS != 0)
        assert layer.output_mask is mask_of(y) and layer.get_output_mask_at(0) is mask_of(y)


def test_masking_finds_steps_of_one_value() -> None:
    data = np.random.rand(2, 3, 2).astype("float32")
    data[0, 1:] = 7
    data[1, 0, 0] = 7
    x = Input((3, 2))
    y = Masking(7.0)(x)
    np.testing.assert_array_equal(value(mask_of(y), x, data), [[True, False, False], [True, True, True]])
    want = data.copy()
    want[0, 1:] = 0
    np.testing.assert_array_equal(Model(x, y).predict(data), want)


def test_a_layer_that_knows_no_masks_refuses_them_and_from_tf_keras_on_drops_them() -> None:
    _, y = embedded()
    with pytest.raises(MaskError, match="does not support masking"):
        Flatten()(y)
    assert issubclass(MaskError, TypeError)
    with generation.using("2.4"):
        assert mask_of(Flatten()(y)) is None


def test_own_layers_get_the_mask_and_say_what_becomes_of_it() -> None:
    class Mean(Layer):
        def call(self, x: Any, mask: Any = None) -> Any:
            weights = gf.cast(mask, "float32")
            return gf.sum(x * gf.expand_dims(weights, 2), axis=1) / gf.sum(weights, axis=1, keepdims=True)

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return None

    x, y = embedded()
    own, pooled = Mean()(y), GlobalAveragePooling1D()(y)
    assert mask_of(own) is None and mask_of(pooled) is None
    steps, found, layer = Model(x, [y, own, pooled]).predict(IDS)
    np.testing.assert_allclose(found, [steps[0, :3].mean(0), steps[1, 0]], rtol=1e-6)
    np.testing.assert_allclose(layer, found, rtol=1e-6)


def test_lambda_takes_the_mask_if_its_function_does() -> None:
    x, y = embedded()
    counted = Lambda(lambda t, mask: t * gf.cast(gf.expand_dims(mask, 2), "float32"), mask=lambda inputs, mask: mask)(y)
    assert (value(counted, x, IDS)[IDS == 0] == 0).all() and mask_of(counted) is mask_of(y)
    with generation.using("2.4"):
        assert mask_of(Lambda(lambda t: t)(y)) is None


def test_merging_keeps_steps_that_all_inputs_keep() -> None:
    x, y = embedded()
    other = Input((4,))
    z = Embedding(5, 3, mask_zero=True)(other)
    plain = Input((2, 3))
    second = np.array([[1, 1, 0, 0], [1, 1, 1, 1]])
    np.testing.assert_array_equal(value(mask_of(Add()([y, z])), [x, other], IDS, second), (IDS != 0) & (second != 0))
    np.testing.assert_array_equal(value(mask_of(Concatenate()([y, z])), [x, other], IDS, second), (IDS != 0) & (second != 0))
    joined = mask_of(Concatenate(axis=1)([y, plain]))
    np.testing.assert_array_equal(value(joined, [x, plain], IDS, np.ones((2, 2, 3))), np.hstack([IDS != 0, np.ones((2, 2), bool)]))
    assert mask_of(Dot(2)([y, z])) is None and mask_of(Add()([plain, plain])) is None


def test_a_nested_model_passes_masks_in_and_out() -> None:
    inside, y = embedded()
    inner = Model(inside, Dense(2)(y))
    x = Input((4,))
    outer = inner(x)
    np.testing.assert_array_equal(value(mask_of(outer), x, IDS), IDS != 0)
    stack = Sequential([Dense(2, input_shape=(4, 3)), Activation("relu")])
    x, y = embedded()
    np.testing.assert_array_equal(value(mask_of(stack(y)), x, IDS), IDS != 0)


def test_time_distributed_hands_the_mask_of_inner_steps_on() -> None:
    x = Input((2, 4))
    y = TimeDistributed(Embedding(5, 3, mask_zero=True))(x)
    ids = np.stack([IDS, IDS[::-1]], 1)
    np.testing.assert_array_equal(value(mask_of(y), x, ids), ids != 0)
    pooled = TimeDistributed(GlobalAveragePooling1D())(y)
    np.testing.assert_array_equal(value(mask_of(pooled), x, ids), (ids != 0).any(-1))
    steps, means = Model(x, [y, pooled]).predict(ids)
    np.testing.assert_allclose(means[0, 0], steps[0, 0, :3].mean(0), rtol=1e-6)


def test_masks_may_be_asked_for() -> None:
    a, b = Input((4, 5)), Input((4, 5))
    full = [gf.constant(np.ones((1, 4, 5), bool)), gf.constant(np.tri(4, 5, -1, dtype=bool)[None])]
    assert Concatenate().compute_mask([a, b], [None, None]) is None and Add().compute_mask([a, b], [None, None]) is None
    np.testing.assert_array_equal(value(Concatenate().compute_mask([a, b], full), []), np.zeros((1, 4), bool))
    for layer in (Add(), Concatenate()):
        with pytest.raises(gf.ShapeError, match="`mask` should be a list"):
            layer.compute_mask([a, b], full[0])
        with pytest.raises(gf.ShapeError, match="same length"):
            layer.compute_mask([a, b], [None])
    steps = gf.constant(np.array([[[True, False], [False, False]]]))
    inner = TimeDistributed(Dense(2)).compute_mask(Input(batch_shape=(1, 2, 2, 3)), steps)
    np.testing.assert_array_equal(value(inner, []), [[[True, False], [False, False]]])
    pooled = TimeDistributed(GlobalAveragePooling1D()).compute_mask(Input(batch_shape=(1, 2, 2, 3)), steps)
    np.testing.assert_array_equal(value(pooled, []), [[True, False]])


@pytest.mark.parametrize(("name", "steps"), [("2.2", 4), ("2.3", 8), ("2.4", 4)])
def test_losses_leave_masked_steps_out(name: str, steps: int) -> None:
    generation.use(name)
    x = Input((4, 1))
    model = Model(x, Dense(1, use_bias=False, kernel_initializer="ones")(Masking()(x)))
    model.compile("sgd", "mse")
    data = np.array([[1.0, 2, 3, 0], [4, 0, 0, 0]])[..., None]
    errors = (data - 0.5) ** 2 * (data != 0)
    assert model.test_on_batch(data, np.full((2, 4, 1), 0.5)) == pytest.approx(errors.sum() / steps, rel=1e-6)


def test_attention_gives_masked_values_no_weight() -> None:
    x, y = embedded()
    query = Input((2, 3))
    attended, weights = Attention()([query, y], return_attention_scores=True)
    q = np.random.rand(2, 2, 3).astype("float32")
    found = value(weights, [query, x], q, IDS)
    assert (found[:, :, :][np.broadcast_to((IDS == 0)[:, None], found.shape)] == 0).all() and np.allclose(found.sum(-1), 1)
    result, scores = MultiHeadAttention(2, 3)(query, y, return_attention_scores=True)
    found = value(scores, [query, x], q, IDS)
    assert found.shape == (2, 2, 2, 4) and (found[np.broadcast_to((IDS == 0)[:, None, None], found.shape)] == 0).all()
    assert K.int_shape(result) == K.int_shape(attended) == (None, 2, 3)
