"""Rows of results to markdown tables with ratios.

A ratio is the time (or memory) of the fastest peer by graphflow's: above 1 graphflow is better.  A peer
whose check value is off computes something else: it is flagged and left out of the ratio.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.catalog import BY_NAME, OURS, PEERS
from benchmarks.workloads import ROWS, TOLERANCE, TOLERANCES

Result = Mapping[str, Any]  # what a worker found, with `peer`, `row`, `workload` and `threads`
SLOW = 0.88  # of the best rate of the calibrating product: the machine had not its full cores


def human(value: float, field: str) -> str:
    """A time or a size, three digits."""
    if field == "rss_mb":
        return f"{value:.0f} MB"
    scale, unit = next((s, u) for s, u in ((1e-6, "us"), (1e-3, "ms"), (1.0, "s")) if value < 1000 * s or u == "s")
    return f"{value / scale:.3g} {unit}"


def references(results: Iterable[Result]) -> dict[str, float]:
    """The check value of the middle peer for each workload; graphflow's own does not count."""
    values: dict[str, dict[str, float]] = {}
    for r in results:
        if "check" in r and not BY_NAME[r["peer"]].is_ours:
            values.setdefault(r["workload"], {})[r["peer"]] = r["check"]
    return {workload: statistics.median_low(found.values()) for workload, found in values.items()}


def is_off(result: Result, reference: Mapping[str, float]) -> bool:
    """Whether the check value differs from the middle peer's by more than the tolerance (or is not a number)."""
    if "check" not in result or result["workload"] not in reference:
        return False
    middle = reference[result["workload"]]
    tolerance = TOLERANCES.get(result["workload"], TOLERANCE)
    return not abs(result["check"] - middle) <= tolerance * max(abs(middle), 1e-6)


def is_slow(result: Result, best_rate: float) -> bool:
    """Whether the machine lacked its full cores before or after the run; only several threads feel it."""
    return bool(result["threads"] > 1 and min(result.get("gemm", [best_rate])) < SLOW * best_rate)


class Table:
    """The results with one number of threads.  `statistic`: of a cell's times, median or min."""

    def __init__(self, results: Sequence[Result], threads: int, statistic: str = "median") -> None:
        self.statistic = statistic
        self.results = [r for r in results if r["threads"] == threads]
        self.reference = references(results)
        self.best_rate = max((rate for r in results for rate in r.get("gemm", ())), default=0)
        self.cells: dict[tuple[str, str], Result] = {}
        for r in self.results:
            key = r["row"], r["peer"]
            if key not in self.cells or self._value(r) < self._value(self.cells[key]):
                self.cells[key] = r  # the best of several runs
        found = {peer for _, peer in self.cells}
        self.peers = [p.name for p in PEERS if p.name in found]
        self.rows = [name for name in ROWS if any(row == name for row, _ in self.cells)]

    def _field(self, row: str) -> str:
        field = ROWS[row].field
        return self.statistic if field == "median" else field

    def _value(self, result: Result) -> float:
        return float(result.get(self._field(result["row"]), float("inf")))

    def cell(self, row: str, peer: str) -> str:
        result = self.cells.get((row, peer))
        if result is None:
            return ""
        if "error" in result:
            return "failed"
        shown = human(self._value(result), ROWS[row].field)
        shown += " ~" if ROWS[row].field == "median" and is_slow(result, self.best_rate) else ""
        if is_off(result, self.reference):
            return f"{shown} (value off)"
        return f"**{shown}**" if peer == self.fastest(row) else shown

    def fastest(self, row: str) -> str | None:
        """The fastest of the other peers that computed the same."""
        fit = {
            peer: self._value(r) for (name, peer), r in self.cells.items()
            if name == row and not BY_NAME[peer].is_ours and ROWS[row].field in r and not is_off(r, self.reference)
        }  # fmt: skip
        return min(fit, key=lambda peer: fit[peer]) if fit else None

    def ratio(self, row: str) -> float | None:
        """The fastest peer's value by graphflow's."""
        ours, peer = self.cells.get((row, OURS)), self.fastest(row)
        if ours is None or peer is None or ROWS[row].field not in ours or is_off(ours, self.reference):
            return None
        return self._value(self.cells[row, peer]) / self._value(ours)

    def lines(self, brief: bool) -> list[str]:
        """Markdown: graphflow, the ratio and the fastest peer; unless `brief`, a column for each peer."""
        others = [] if brief else [p for p in self.peers if p != OURS]
        lines = ["| workload | " + " | ".join([OURS, "ratio", "fastest peer", *others]) + " |", "|---" * (4 + len(others)) + "|"]
        for row in self.rows:
            peer, ratio = self.fastest(row), self.ratio(row)
            best = f"{peer} {human(self._value(self.cells[row, peer]), ROWS[row].field)}" if peer else ""
            shown = [row, self.cell(row, OURS), "" if ratio is None else f"{ratio:.2f}", best, *(self.cell(row, p) for p in others)]
            lines.append(f"| {' | '.join(shown)} |")
        return lines

    def notes(self) -> list[str]:
        """Values that are off, and runs that failed."""
        found: dict[str, None] = {}
        for r in self.results:
            if is_off(r, self.reference):
                found[f"* {r['peer']} {r['workload']}: value {r['check']:.6g}, the middle peer's is {self.reference[r['workload']]:.6g}"] = None
            if "error" in r:
                found[f"* {r['peer']} {r['row']} failed: {r['error']}"] = None
        return list(found)


def header(machine: Mapping[str, str], versions: Mapping[str, str]) -> str:
    facts = ", ".join(value if name in ("date", "cpu", "system") else f"{name} {value}" for name, value in machine.items())
    return f"{facts}.\n{', '.join(f'{name} {version}' for name, version in versions.items())}."


def tables(results: Sequence[Result], machine: Mapping[str, str], versions: Mapping[str, str], brief: bool, statistic: str = "median") -> str:
    """All of a run: the machine, and a table for each number of threads."""
    parts = [header(machine, versions)]
    for threads in sorted({r["threads"] for r in results}):
        table = Table(results, threads, statistic)
        if table.rows:
            title = f"{threads} thread{'s' if threads > 1 else ''}; ratio above 1: graphflow is better"
            notes = table.notes()
            parts.append("\n".join([title, "", *table.lines(brief), *([""] if notes else []), *notes]))
    return "\n\n".join(parts)
