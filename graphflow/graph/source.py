"""Where the user wrote a node: cheap to record, formatted only when somebody asks.

A location is a chain of (code object, instruction offset), innermost first, of the frames
outside graphflow.  Recording costs well under a microsecond; reading files, finding columns
and drawing the caret happen in `describe`.
"""

from __future__ import annotations

import contextlib
import itertools
import linecache
import os
import sys
import threading
from collections.abc import Iterator
from types import CodeType, FrameType

Location = tuple[tuple[CodeType, int], ...]

_FRAMES_KEPT = 3
_LOOKED_AT = 60
_here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_parent = os.path.dirname(_here)
_ours: dict[str, bool] = {}


class _Override(threading.local):
    location: Location | None = None


_override = _Override()


def is_internal(filename: str) -> bool:
    """True for files of graphflow itself and of Python's import machinery, whose frames are not the user's."""
    known = _ours.get(filename)
    if known is None:
        path = os.path.abspath(filename)
        roots = [_here, *(os.path.join(_parent, name) for name in ("compiler", "runtime"))]
        known = _ours[filename] = filename.startswith("<frozen ") or any(path.startswith(root + os.sep) for root in roots)
    return known


def here() -> Location:
    """The location of the user's code that is running now."""
    if _override.location is not None:
        return _override.location
    frame: FrameType | None = sys._getframe(1)
    chain: list[tuple[CodeType, int]] = []
    for _ in range(_LOOKED_AT):
        if frame is None:
            break
        code = frame.f_code
        if not is_internal(code.co_filename):
            chain.append((code, frame.f_lasti))
            if len(chain) == _FRAMES_KEPT:
                break
        frame = frame.f_back
    return tuple(chain)


@contextlib.contextmanager
def at(location: Location) -> Iterator[None]:
    """Nodes built inside carry `location`: rewrites and gradients keep the user's line."""
    before = _override.location
    _override.location = location or before
    try:
        yield
    finally:
        _override.location = before


def line_of(location: Location) -> tuple[str, int]:
    """(file name, line number) of the innermost user frame."""
    if not location:
        return "<unknown>", 0
    code, offset = location[0]
    return code.co_filename, _position(code, offset)[0]


def _position(code: CodeType, offset: int) -> tuple[int, int, int]:
    """(line, first column, end column) of an instruction; columns are -1 where unknown."""
    for line, end_line, col, end_col in itertools.islice(code.co_positions(), offset // 2, None):
        if line is None:
            break
        single = line == end_line and col is not None and end_col is not None
        return line, (col or 0) if single else -1, (end_col or 0) if single else -1
    return code.co_firstlineno, -1, -1


def short(location: Location) -> str:
    """`file.py:12`, for graph drawings and one-line notes."""
    filename, line = line_of(location)
    return f"{shown_name(filename)}:{line}" if location else "unknown place"


def shown_name(filename: str) -> str:
    """`model.py`; `In[9]` for a notebook's cell, whose file has a name that IPython made."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    named = getattr(getattr(shell, "compile", None), "format_code_name", lambda _: None)(filename)
    return named[1] if named else os.path.basename(filename)


def describe(location: Location, indent: str = "  ") -> str:
    """The user's line with a caret under the expression, and the callers kept."""
    if not location:
        return ""
    out: list[str] = []
    for depth, (code, offset) in enumerate(location):
        line, start, end = _position(code, offset)
        text = linecache.getline(code.co_filename, line).rstrip("\n")
        stripped = text.strip()
        out.append(f"{indent}{'at' if depth == 0 else 'called from'} {shown_name(code.co_filename)}:{line}")
        if not stripped:
            continue
        out.append(f"{indent}    {stripped}")
        if depth == 0 and start >= 0:
            shift = len(text.encode()[:start].decode(errors="replace")) - (len(text) - len(text.lstrip()))
            width = max(1, len(text.encode()[start:end].decode(errors="replace")))
            out.append(f"{indent}    {' ' * max(0, shift)}{'^' * width}")
    return "\n".join(out)
