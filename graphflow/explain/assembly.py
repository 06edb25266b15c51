"""Assembly for reading: without directives, and with the loop that most of the time goes to."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LABEL = re.compile(r"^(\.?\w[\w.$]*):")
_TARGET = re.compile(r"(\.LBB\w+)\s*$")
_ARITHMETIC = re.compile(r"^\s+(vf|v?(add|sub|mul|div|sqrt|max|min)[ps][sd]|fml|fadd|fmul|fsub|fdiv|fmax|fmin|v?p(add|sub|mul|and|or|xor|cmp))")


@dataclass(frozen=True)
class Loop:
    """Lines `first` to `last`, from its label to its jump back; how many loops are around it."""

    first: int
    last: int
    depth: int
    arithmetic: int


@dataclass(frozen=True)
class Assembly:
    """`text`, and the innermost loop with most arithmetic on floats, if there is a loop."""

    text: str
    hot: Loop | None

    @property
    def instructions(self) -> int:
        return _instructions(self.text.splitlines())


def assembly(code: str) -> Assembly:
    """The compiler's assembly text, cleaned."""
    lines = [line for line in map(_cleaned, code.splitlines()) if line]
    used = {target.group(1) for line in lines if not _LABEL.match(line) and (target := _TARGET.search(line))}
    lines = [line for line in lines if not ((label := _LABEL.match(line)) and label.group(1).startswith(".L") and label.group(1) not in used)]
    found = loops(lines)
    deepest = [loop for loop in found if not any(inner is not loop and loop.first <= inner.first and inner.last <= loop.last for inner in found)]
    hot = max(deepest, key=lambda loop: (loop.arithmetic > 0, loop.depth, loop.arithmetic), default=None)
    return Assembly("\n".join(lines), hot)


def _cleaned(line: str) -> str:
    """Without comments; empty for directives."""
    line = line.split("#")[0].rstrip() if not line.lstrip().startswith(("//", ";")) else ""
    words = line.split()
    return "" if not words or (words[0].startswith(".") and not words[0].endswith(":")) else line.expandtabs(8)


def loops(lines: list[str]) -> list[Loop]:
    """From each label the last jump back to it."""
    labels = {found.group(1): i for i, line in enumerate(lines) if (found := _LABEL.match(line))}
    ends: dict[int, int] = {}
    for i, line in enumerate(lines):
        target = None if _LABEL.match(line) else _TARGET.search(line)
        if target and labels.get(target.group(1), i + 1) <= i:
            ends[labels[target.group(1)]] = i
    spans = list(ends.items())
    depth = [sum(f <= first and last <= e for f, e in spans) for first, last in spans]
    return [Loop(first, last, d, sum(bool(_ARITHMETIC.match(line)) for line in lines[first : last + 1])) for (first, last), d in zip(spans, depth, strict=True)]


def _instructions(lines: list[str]) -> int:
    return sum(not _LABEL.match(line) for line in lines)
