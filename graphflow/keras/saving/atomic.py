"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graphflow.graph.errors import GraphflowError
from graphflow.keras.utils.io_utils import ask_to_proceed_with_overwrite


class OverwriteError(GraphflowError, FileExistsError):
    """A file that is there, `overwrite=False`, and nobody to ask."""


@contextmanager
def replacing(path: Any) -> Iterator[Path]:
    """A new file in the folder of `path`, to be written inside; it takes the place of `path` when it is complete.

    If anything goes wrong, or the process is killed, `path` is as it was before.
    """
    target = Path(os.path.realpath(os.fspath(path)))
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(_mode(target))
        _flush(part)
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        _flush(target.parent)


def _mode(target: Path) -> int:
    """What the file has now, or a new file would have."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def may_write(path: Any, overwrite: bool) -> bool:
    """Whether to write a file: with `overwrite=False` the user is asked about one that is there.

    Raises OverwriteError where nobody can be asked.
    """
    if overwrite or not os.path.isfile(path):
        return True
    if not sys.stdin.isatty():
        raise OverwriteError(f"{os.fspath(path)} is there already", hint="pass overwrite=True, or another name")
    return ask_to_proceed_with_overwrite(os.fspath(path))
