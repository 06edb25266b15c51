"""The Python blocks of pages that are programs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PROGRAMS = ["derivatives.md"]


@pytest.mark.parametrize("page", PROGRAMS)
def test_a_page_runs(page: str) -> None:
    text = (DOCS / page).read_text()
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert blocks
    names: dict[str, object] = {"__name__": "example"}
    for block in blocks:
        before = "\n" * text.count("\n", 0, block.start(1))  # errors name the page's own lines
        exec(compile(before + block.group(1), str(DOCS / page), "exec"), names)
