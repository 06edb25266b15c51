"""A profile in Chrome's trace event format, which Perfetto shows: a lane for each thread, and the arena's live bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from graphflow.runtime.instrument import thread_names

if TYPE_CHECKING:
    from graphflow.runtime.profile import Profile, Row

PROCESS = 1
Event = dict[str, Any]


def write(profile: Profile, path: str) -> None:
    """Write the calls of the profile's history to a file."""
    with open(path, "w") as f:
        json.dump({"traceEvents": events(profile), "displayTimeUnit": "ns"}, f)


def events(profile: Profile) -> list[Event]:
    """Calls, launches and chunks as complete events, in microseconds from the first call on."""
    zero = profile.history[0].begin
    lanes = _lanes(profile)
    names = [row.name.text for row in profile.rows]
    about = [_about(row) for row in profile.rows]
    found: list[Event] = [{"ph": "M", "name": "process_name", "pid": PROCESS, "args": {"name": f"graphflow {profile.name}"}}]
    found += [{"ph": "M", "name": "thread_name", "pid": PROCESS, "tid": lane, "args": {"name": name}} for lane, name in lanes.values()]

    def slice_(name: str, kind: str, lane: int, begin: int, end: int, args: Event) -> Event:
        return {"ph": "X", "name": name, "cat": kind, "pid": PROCESS, "tid": lane, "ts": (begin - zero) / 1e3, "dur": (end - begin) / 1e3, "args": args}

    for number, call in enumerate(profile.history):
        found.append(slice_(f"call {number}", "call", 0, call.begin, call.end, {}))
        for i, (begin, end) in enumerate(call.events.tolist()):
            if not call.counts[i]:
                continue
            found.append(slice_(names[i], "kernel", 0, begin, end, about[i]))
            if profile.memory.held:
                found.append({"ph": "C", "name": "arena", "pid": PROCESS, "ts": (begin - zero) / 1e3, "args": {"live bytes": profile.memory.live[i]}})
        found += [slice_(names[c.event], "chunk", lanes[c.thread][0], c.begin, c.end, {"launch": c.event}) for c in call.chunks]
    return found


def _lanes(profile: Profile) -> dict[int, tuple[int, str]]:
    """Lanes and names of threads by their system number; the caller's is lane 0."""
    names = thread_names()
    found = {profile.caller: (0, names.get(profile.caller, "caller"))}
    for call in profile.history:
        for chunk in call.chunks:
            found.setdefault(chunk.thread, (len(found), names.get(chunk.thread, f"worker {len(found)}")))
    return found


def _about(row: Row) -> Event:
    line = {"line": row.name.place} if row.name.place else {}
    return {"kernel": row.name.symbol, **line, "flops": row.operations, "bytes": row.bytes, "roofline": round(row.roofline, 3), "bound": row.bound.by}
