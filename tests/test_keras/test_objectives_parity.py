"""Optimizers, schedules, losses and metrics against results of real Keras (fixtures/objectives/make_fixtures.py)."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import keras
from graphflow.keras import generation, losses, metrics, optimizers
from graphflow.keras.layers import Dense
from graphflow.keras.models import Sequential

FOLDER = Path(__file__).parent / "fixtures" / "objectives"
_spec = importlib.util.spec_from_file_location("objective_cases", FOLDER / "cases.py")
assert _spec is not None and _spec.loader is not None
cases: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)
CONFIGURATIONS = json.loads((FOLDER / "configurations.json").read_text())
REAL = {"2.4": json.loads((FOLDER / "keras2.json").read_text()), "3": json.loads((FOLDER / "keras3.json").read_text())}


def both(kind: str) -> Any:
    """Each case in each generation that has it."""
    older, newer = ({cases.key(c): c for c in getattr(cases, name, getattr(cases, kind))} for name in (kind, f"{kind}_OF_KERAS_3"))
    found = [("2.4", case) for case in older.values()] + [("3", case) for case in newer.values()]
    return pytest.mark.parametrize(("name", "case"), found, ids=[f"{g} {cases.key(c)}" for g, c in found])


def expected(name: str, kind: str, case: Any) -> Any:
    return np.array(REAL[name][kind][cases.key(case)])


@both("OPTIMIZERS")
def test_three_steps_of_optimizers(name: str, case: Any) -> None:
    with generation.using(name):
        model = Sequential([Dense(3, input_dim=4)])
        model.set_weights([cases.W, cases.B])
        model.compile(getattr(optimizers, case[0])(**case[1]), "mse")
        for _ in range(3):
            model.train_on_batch(cases.X, cases.Y)
        found = np.concatenate([w.reshape(-1) for w in model.get_weights()])
    np.testing.assert_allclose(found, expected(name, "optimizers", case), rtol=2e-5, atol=2e-6)


@both("SCHEDULES")
def test_schedules(name: str, case: Any) -> None:
    schedule = getattr(optimizers.schedules, case[0])(**case[1])
    again = optimizers.schedules.deserialize(optimizers.schedules.serialize(schedule))
    for made in (schedule, again):
        np.testing.assert_allclose([float(made(step)) for step in cases.STEPS], expected(name, "schedules", case), rtol=1e-5, atol=1e-8)


@both("LOSSES")
def test_losses(name: str, case: Any) -> None:
    with generation.using(name):
        loss = getattr(losses, case[0])(**case[1])
        weights = None if case[0] in ("Dice", "Tversky") or case[1].get("axis") == 0 else cases.WEIGHTS
        for made in (loss, losses.deserialize(losses.serialize(loss))):
            found = [made(*cases.DATA[case[2]], sample_weight=w).eval().reshape(-1) for w in (None, weights)]
            np.testing.assert_allclose(np.concatenate(found), expected(name, "losses", case), rtol=1e-5, atol=1e-6)
        target, prediction = (gf.shared(v) for v in cases.DATA[case[2]])
        gradient = gf.grad(gf.sum(loss(target, prediction)), prediction).eval().reshape(-1)
        np.testing.assert_allclose(gradient, expected(name, "gradients", case), rtol=1e-4, atol=1e-6)


@both("METRICS")
def test_metrics(name: str, case: Any) -> None:
    with generation.using(name):
        metric = getattr(metrics, case[0])(**case[1])
        metric = metrics.deserialize(metrics.serialize(metric))
        t, p = cases.DATA[case[2]]
        metric.update_state(t, p)
        first = np.reshape(metric.result(), -1)
        metric.update_state(t[::-1], p, sample_weight=None if "IoU" in case[0] else cases.WEIGHTS)
        found = np.concatenate([first, np.reshape(metric.result(), -1)])
        np.testing.assert_allclose(found, expected(name, "metrics", case), rtol=2e-5, atol=2e-6)
        metric.reset_states()
        metric.update_state(t, p)
        np.testing.assert_array_equal(np.reshape(metric.result(), -1), first)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_what_real_keras_writes_is_understood(name: str) -> None:
    with generation.using(name):
        for what, data in CONFIGURATIONS[name].items():
            kind, class_name = what.split()[:2]
            made = getattr(keras, kind).deserialize(json.loads(json.dumps(data)))
            assert type(made).__name__ == class_name, what
            config = made.get_config()
            for argument, value in data["config"].items():
                if argument in config and not isinstance(value, dict):
                    assert config[argument] == pytest.approx(value) if isinstance(value, float) else config[argument] == value or argument == "reduction", what
            again = getattr(keras, kind).deserialize({"class_name": class_name, "config": config})
            assert again.get_config() == config, what
