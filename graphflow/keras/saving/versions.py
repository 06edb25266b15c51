"""Versions of Keras that files name, and the generations they belong to."""

from __future__ import annotations

import re

from graphflow.keras import generation

# files without a version are by Keras 1
_SINCE: list[tuple[tuple[int, int], str]] = [((0, 0), "1"), ((2, 0), "2.2"), ((2, 3), "2.3"), ((2, 4), "2.4"), ((3, 0), "3")]
# what is written says it is by the last version of its generation; Keras 1's own layout is not written
_WRITTEN = {"1": "2.2.4", "2.2": "2.2.4", "2.3": "2.3.1", "2.4": "2.15.0", "3": "2.15.0"}
ZIP_VERSION = "3.8.0"


def generation_of(version: str | None) -> str:
    """The generation of a version as a file has it: '2.2.4', '2.2.4-tf', '2.15.0'; '1' for None."""
    found = re.match(r"(\d+)\.(\d+)", version or "")
    if found is None:
        return "1"
    number = (int(found[1]), int(found[2]))
    if "tf" in (version or "") and number < (3, 0):
        return "2.4"
    return next(name for since, name in reversed(_SINCE) if number >= since)


def written_version() -> str:
    """The version that HDF5 files of this process name."""
    return _WRITTEN[generation.current()]
