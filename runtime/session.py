"""Session: run fetches for feeds, with state of its own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from graphflow.compiler.clone import Cloner
from graphflow.graph.errors import FeedError, GraphError, GraphflowError
from graphflow.graph.variable import Placeholder, Variable
from graphflow.runtime.function import Function, flatten
from graphflow.runtime.store import Store, default_store

__all__ = ["Session", "current_store", "default_store"]

DEVICES = ("cpu",)
KEPT = 512  # fetches a Session remembers
_stack = threading.local()


def current_store() -> Store:
    """The Store of the innermost `with Session()`, else the default one."""
    sessions: list[Session] = getattr(_stack, "sessions", [])
    return sessions[-1].store if sessions else default_store()


class Session:
    """Runs graphs.  Owns a fresh Store (state starts from the initial values) unless given one.

    Safe to use from several threads: runs that write state take turns, others run side by side.
    """

    def __init__(self, device: str = "cpu", store: Store | None = None) -> None:
        if device not in DEVICES:
            raise GraphflowError(f"no device {device!r} here", hint=f"devices: {', '.join(DEVICES)}")
        self.device = device
        self.store = store if store is not None else Store()
        self._compiled: OrderedDict[tuple[Any, ...], Function] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, fetches: Any, feeds: Mapping[Variable, Any] | None = None, feed_dict: Mapping[Variable, Any] | None = None) -> Any:
        """Values of `fetches` (a Variable, or nested lists, tuples and dicts) for the given feeds.

        Any Variable may be fed.  Raises FeedError for a missing or foreign feed, ShapeError and
        DTypeError for one that does not fit, CheckError for a failed run-time check.
        """
        feeds = feeds if feeds is not None else feed_dict or {}
        leaves, rebuild = flatten(fetches)
        for v in leaves:
            if not isinstance(v, Variable):
                raise GraphError(f"cannot fetch {v!r:.60}: it is not a Variable")
        targets = self._check_feeds(feeds)
        run = self._prepare(tuple(leaves), targets)
        return rebuild(run(*[feeds[v] for v in targets]))

    def make_callable(self, fetches: Any, feed_list: Sequence[Variable] = ()) -> Function:
        """A function of the values of `feed_list` that runs `fetches`: no look-ups at each call."""
        leaves, _ = flatten(fetches)
        run = self._prepare(tuple(leaves), tuple(feed_list))
        return Function(run.inputs, fetches, (), run.name, self.store, run.compiled)

    def _check_feeds(self, feeds: Mapping[Variable, Any]) -> tuple[Variable, ...]:
        if self._closed:
            raise GraphflowError("this Session is closed")
        for v in feeds:
            if not isinstance(v, Variable):
                raise FeedError(f"cannot feed {v!r:.60}: it is not a Variable", hint="feeds map placeholders to values")
        return tuple(sorted(feeds, key=lambda v: v.serial))

    def _prepare(self, fetches: tuple[Variable, ...], targets: tuple[Variable, ...]) -> Function:
        """The function of `targets` that returns a list of `fetches`; made once."""
        key = (fetches, targets)
        found = self._compiled.get(key)
        if found is None:
            with self._lock:
                found = self._compiled.get(key)
                if found is None:
                    stand_ins = {v: Placeholder(v.type, v.name) for v in targets if not isinstance(v, Placeholder)}
                    outputs = tuple(Cloner(stand_ins).clone(fetches)) if stand_ins else fetches
                    inputs = tuple(stand_ins.get(v, v) for v in targets)
                    found = self._compiled[key] = Function(inputs, list(outputs), (), "session", self.store)
                    while len(self._compiled) > KEPT:  # a loop that fetches new graphs must not fill the memory
                        self._compiled.popitem(last=False)
        return found

    def close(self) -> None:
        """Drop compiled functions; further runs raise GraphflowError."""
        self._closed = True
        self._compiled.clear()

    def __enter__(self) -> Session:
        sessions: list[Session] = _stack.__dict__.setdefault("sessions", [])
        sessions.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        _stack.sessions.remove(self)
        self.close()


