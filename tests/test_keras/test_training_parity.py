"""Trainings report what Keras 2.2.4 and tf_keras report, to the line of the summary: weights of samples, classes and steps, masks, several
ends, penalties, frozen and nested parts."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphflow import keras
from graphflow.keras import generation

FOLDER = Path(__file__).parent / "fixtures" / "training"
FILES = {"2.2": "keras_2.2.4.json", "2.4": "tf_keras.json"}
EXPECTED: dict[str, dict[str, Any]] = {name: json.loads((FOLDER / file).read_text()) for name, file in FILES.items()}


def cases() -> Any:
    spec = importlib.util.spec_from_file_location("training_cases", FOLDER / "cases.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [name for name in EXPECTED["2.2"] if name != "made by"])
@pytest.mark.parametrize("since", list(FILES))
def test_a_training_reports_what_keras_reports(since: str, name: str) -> None:
    expected = EXPECTED[since][name]
    with generation.using(since):
        found = cases().run(keras, name, old=since == "2.2")
    assert found["summary"] == expected["summary"]
    assert found["names"] == expected["names"] and set(found["history"]) == set(expected["history"])
    for key, values in expected["history"].items():
        np.testing.assert_allclose(found["history"][key], values, rtol=2e-5, atol=1e-6, err_msg=key)
    np.testing.assert_allclose(found["evaluate"], expected["evaluate"], rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(found["weights"], expected["weights"], rtol=1e-4, atol=1e-5)
