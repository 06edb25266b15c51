"""A profile as text: one line a launch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphflow.compiler.op_cost import format_bytes, format_count

if TYPE_CHECKING:
    from graphflow.runtime.profile import Profile, Row

_LEAST = 16  # characters for ops
PLACE = 22  # the longest file and line that is shown whole
LONG = 1e-6  # seconds above which the clock's steps do not matter
IMPOSSIBLE = 1.1  # a share of the roofline which says that the roofline was measured while the machine was busy
_HEAD = ("time", "share", "bytes", "GB/s", "FLOP", "GFLOP/s", "roof", "bound")


def table(profile: Profile, width: int, most: int) -> str:
    """The table, at most `width` characters wide, of the `most` launches that take longest."""
    inside = profile.inside or 1e-12
    by_time = sorted(profile.rows, key=lambda r: -r.seconds)
    shown, left = sorted(by_time[:most], key=lambda r: r.number), by_time[most:]
    cells = [_cells(row, inside) for row in shown]
    total = _total(profile.rows, inside)
    sizes = [max(len(c[k]) for c in [_HEAD, total, *cells]) for k in range(len(_HEAD))]
    places = [row.name.place for row in shown]
    place = min(PLACE, max(map(len, [*places, "line"])))
    longest = max((len(named(row)) for row in shown), default=0)
    ops = max(_LEAST, min(longest, width - sum(sizes) - 2 * len(sizes) - place - 6))

    def line(number: str, text: str, where: str, figures: tuple[str, ...]) -> str:
        values = "  ".join(f"{c:>{n}}" for c, n in zip(figures[:-1], sizes, strict=False))
        values += f"  {figures[-1]}"
        return f"{number:>3} {elided(text, ops):<{ops}}  {elided(where, place, left=True):<{place}}  {values}".rstrip()

    out = [*head(profile), "", line("#", "kernel", "line", _HEAD)]
    out += [line(str(row.number), named(row), row.name.place, c) for row, c in zip(shown, cells, strict=True)]
    if left:
        seconds = sum(row.seconds for row in left)
        out.append(line("", f"{len(left)} shorter ones", "", (time(seconds), percent(seconds / inside), *[""] * (len(_HEAD) - 2))))
    return "\n".join([*out, line("", "all", "", total), "", *foot(profile)])


def head(profile: Profile) -> list[str]:
    lines = [f"{profile.name}: {len(profile.rows)} kernels, median of {profile.calls} calls"]
    return lines + [f"{who}: {limits}" for who, limits in profile.roofline.lines().items()]


def named(row: Row) -> str:
    """Its ops; with how often it runs, in a loop."""
    return row.name.text if row.trips == 1 else f"{row.trips}× {row.name.text}"


def impossible(row: Row) -> bool:
    """Did it take less time than the roofline allows?"""
    return row.seconds > LONG and row.roofline > IMPOSSIBLE


def foot(profile: Profile) -> list[str]:
    outside = f"{time(profile.outside) if profile.outside > 1e-7 else 'nothing to see'} of it outside kernels"
    lines = [f"a call from Python takes {time(profile.seconds)}, at best {time(profile.least)}; {outside}"]
    if any(map(impossible, profile.rows)):
        lines.append("shares above 100%: the machine was busy while its roofline was measured")
    return lines


def _cells(row: Row, inside: float) -> tuple[str, ...]:
    by = {"float32": "f32", "float64": "f64"}.get(row.bound.by, row.bound.by)
    figures = rates(row.bytes, row.operations, row.seconds, row.exact)
    return (time(row.seconds), percent(row.seconds / inside), *figures, percent(row.roofline), f"{by} ×{row.threads}" if row.threads > 1 else by)


def _total(rows: list[Row], inside: float) -> tuple[str, ...]:
    bound = sum(row.bound.seconds for row in rows)
    figures = rates(sum(r.bytes for r in rows), sum(r.operations for r in rows), inside, all(r.exact for r in rows))
    return (time(inside), "100%", *figures, percent(bound / inside), "")


def rates(moved: int, operations: int, seconds: float, exact: bool) -> tuple[str, str, str, str]:
    """Bytes, GB/s, operations, GFLOP/s; a `~` says that they were estimated."""
    about = "" if exact else "~"
    a_second = 1e-9 / seconds if seconds else 0.0
    done = (about + format_count(operations), digits(operations * a_second)) if operations else ("", "")
    return (about + format_bytes(moved), digits(moved * a_second), *done)


def time(seconds: float) -> str:
    """`0.12 us`, `4.31 ms`, `2.5 s`."""
    for unit, scale in (("us", 1e6), ("ms", 1e3)):
        if seconds * scale < 1000:
            return f"{digits(seconds * scale)} {unit}"
    return f"{digits(seconds)} s"


def digits(x: float) -> str:
    """Three significant digits."""
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.0995 else f"{100 * share:.1f}%"


def elided(text: str, width: int, left: bool = False) -> str:
    """The text with a `…` where it is too long, at its end or at its beginning."""
    if len(text) <= width:
        return text
    return "…" + text[len(text) - width + 1 :] if left else text[: width - 1] + "…"
