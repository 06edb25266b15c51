"""Errors name the user's own line, what came, and what to do: golden texts of classic mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import graphflow as gf

HERE = Path(__file__).parent / "mistakes"


@pytest.fixture(scope="module")
def printed() -> str:
    env = {**os.environ, "PYTHONPATH": str(Path(gf.__file__).parent.parent)}
    return subprocess.run([sys.executable, str(HERE / "script.py")], capture_output=True, text=True, check=True, env=env).stdout


@pytest.mark.smoke
def test_texts_are_as_expected(printed: str) -> None:
    assert printed == (HERE / "expected.txt").read_text()


def test_each_has_the_users_line_and_a_hint(printed: str) -> None:
    parts = printed.split("=== ")[1:]
    assert len(parts) >= 10
    for part in parts:
        assert "no error" not in part, part
        assert "script.py:" in part and "^" in part, part
        assert "hint: " in part, part
