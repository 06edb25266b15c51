"""Every layer of the fixtures against real Keras: results to 1e-5, gradients and moving averages to 1e-4, and configurations."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.keras import activations, generation, layers
from graphflow.keras.engine.registry import deserialize, serialize
from graphflow.keras.layers import Input
from graphflow.keras.saving.translation import translated
from graphflow.keras.structure import as_list

FOLDER = Path(__file__).parent / "fixtures" / "layers"
sys.path.insert(0, str(FOLDER))
from cases import CASES, Case, arguments_of, factors, inputs_of, weights_for  # noqa: E402

sys.path.remove(str(FOLDER))
ALL = [pytest.param(group, case, id=f"{group}-{case[0]}") for group, cases in CASES.items() for case in cases]


def expected(group: str, name: str) -> tuple[tuple[int, ...], np.ndarray]:
    with np.load(FOLDER / f"{group}.npz") as arrays:
        key = next(k for k in arrays.files if k.split("|")[0] == name)
        return tuple(int(n) for n in key.split("|")[1].split(",")), arrays[key]


def called(case: Case, layer: Any, xs: list[Any]) -> Any:
    """The result; of several results one vector, as the fixtures have them."""
    more = case[4]
    given = {**more.get("call", {}), **({"training": more["training"]} if "training" in more else {})}
    y = layer(*xs, **given) if more.get("spread") else layer(xs if len(xs) > 1 else xs[0], **given)
    return gf.concatenate([gf.reshape(v, (-1,)) for v in y]) if isinstance(y, list) else y


@pytest.mark.parametrize(("group", "case"), ALL)
def test_a_layer_is_that_of_keras(group: str, case: Case) -> None:
    name, cls, _, shapes, more = case
    generation.use("3" if more.get("keras") == 3 else "2.4")
    shape, want = expected(group, name)
    layer = getattr(layers, cls)(**arguments_of(case, layers))
    xs = [Input(batch_shape=(None, *s[1:])) for s in shapes]
    y = called(case, layer, xs)
    layer.set_weights(weights_for(case, [w.shape for w in layer.weights]))
    c = gf.placeholder("float32", y.shape)
    loss = gf.sum(gf.multiply(y, c))
    watched = ([] if "high" in more else xs) + layer.trainable_weights
    grads = gf.grad(loss, watched, disconnected_inputs="ignore") if watched else []
    trains = "training" in more
    after = {w: dict(layer.updates).get(w, w) for w in layer.weights} if trains else {}
    found = gf.function([*xs, c], [y, *after.values(), *grads])(*inputs_of(case), factors(shape))
    assert found[0].shape == shape
    if not isinstance(layer.output_shape, list):
        assert shape == tuple(n if m is None else m for n, m in zip(shape, layer.output_shape, strict=True))
    size = found[0].size
    np.testing.assert_allclose(found[0].ravel(), want[:size], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([np.zeros(0), *(v.ravel() for v in found[1:])]), want[size:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("group", "case"), ALL)
def test_a_configuration_makes_an_equal_layer(group: str, case: Case) -> None:
    generation.use("3" if case[4].get("keras") == 3 else "2.4")
    data = serialize(getattr(layers, case[1])(**arguments_of(case, layers)))
    again = deserialize(data)
    assert serialize(again) == data and data["class_name"] == case[1]
    given = {name: value for name, value in case[2].items() if name not in WRITTEN_IN_FULL}
    assert {name: as_list(data["config"][name]) for name in given} == {name: as_list(value) for name, value in given.items()}


@pytest.mark.parametrize(("group", "case"), ALL)
def test_a_configuration_of_keras_makes_the_layer(group: str, case: Case) -> None:
    generation.use("3" if case[4].get("keras") == 3 else "2.4")
    data = json.loads((FOLDER / "configurations.json").read_text())[f"{group}/{case[0]}"]
    layer = deserialize(translated(data, generation.current()))
    found = layer.get_config()
    assert layer.name == "made" and type(layer).__name__ == case[1]
    for name, value in case[2].items():
        if name not in WRITTEN_IN_FULL:
            assert as_list(found[name]) == pytest.approx(as_list(value))


# one number for all axes becomes a number, or a pair, for each, and a layer its configuration
WRITTEN_IN_FULL = ("backward_layer", "cell", "layer", "cropping", "dilation_rate", "kernel_size", "output_padding", "padding", "size", "strides")


def test_sparsemax_gives_probabilities_of_which_some_are_zero() -> None:
    x = np.random.RandomState(0).randn(6, 5).astype("float32")
    p = gf.function([], activations.sparsemax(gf.constant(x)))()
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert (p >= 0).all() and (p == 0).any()
    gap = (x - p).max(1, keepdims=True)  # where p > 0, x - p is the same number, and nowhere more
    assert np.allclose(np.where(p > 0, x - p, gap), gap, atol=1e-5)


def test_activations_by_name() -> None:
    for name in activations.ACTIVATIONS:
        if name != "threshold":
            assert activations.serialize(activations.get(name)) == name and activations.deserialize(name) is activations.get(name)
    x = gf.constant(np.array([[-2.0, 0.5, 3.0]], "float32"))
    np.testing.assert_allclose(gf.function([], activations.threshold(x, 1.0, -7.0))(), [[-7, -7, 3]])
    with generation.using("2.2"):
        np.testing.assert_allclose(gf.function([], activations.hard_sigmoid(x))(), [[0.1, 0.6, 1.0]], rtol=1e-6)
    with generation.using("3"):
        np.testing.assert_allclose(gf.function([], activations.hard_sigmoid(x))(), [[1 / 6, 0.5 + 0.5 / 6, 1.0]], rtol=1e-6)
