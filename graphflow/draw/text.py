"""Text in drawings: styles, estimated sizes, shortening.

Fonts are the reader's, so widths are estimates on the generous side.  Types and numbers stand in a
monospaced face, whose width hardly differs between systems.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'Liberation Mono', 'DejaVu Sans Mono', monospace"

_MONO_ADVANCE = 0.605
_NARROW, _SLIM, _WIDE = frozenset("iljI.,:;'|!` "), frozenset("frt()[]{}-\"/\\"), frozenset("mwMWQO@%&…—")


@dataclass(frozen=True)
class Style:
    """How a line is set: `size` in pixels, `leading` from one line to the next."""

    size: float
    leading: float
    mono: bool = False
    bold: bool = False


STYLES = {
    "title": Style(13, 17, bold=True),  # an op's or a Variable's name
    "code": Style(10, 13, mono=True),  # types and parameters
    "cost": Style(10, 13, mono=True),  # bytes and FLOPs
    "note": Style(11, 15),  # scopes, legend
}


@dataclass(frozen=True)
class Line:
    text: str
    style: str

    @property
    def width(self) -> float:
        return text_width(self.text, STYLES[self.style])

    @property
    def leading(self) -> float:
        return STYLES[self.style].leading


def text_width(text: str, style: Style) -> float:
    """Estimated width in pixels."""
    advance = sum(_advance(c, style.mono) for c in text)
    return advance * style.size * (1.07 if style.bold else 1.0)


def _advance(c: str, mono: bool) -> float:
    if unicodedata.combining(c):
        return 0.0
    if unicodedata.east_asian_width(c) in "WF":
        return 1.05
    if mono:
        return _MONO_ADVANCE
    if c in _NARROW:
        return 0.33
    if c in _SLIM:
        return 0.42
    if c in _WIDE:
        return 0.93
    return 0.72 if c.isupper() else 0.63


def elide(text: str, limit: int) -> str:
    """At most `limit` characters, the cut marked with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
