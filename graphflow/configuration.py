"""Settings: `gf.config.<name>` or the environment variable `GRAPHFLOW_<NAME>`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from graphflow.graph.errors import GraphflowError


@dataclass(frozen=True)
class Setting:
    """A setting's default, type and meaning; of text, the values it may have, if not all."""

    default: Any
    kind: type
    doc: str
    choices: tuple[str, ...] = ()


SETTINGS = {
    "threads": Setting(0, int, "threads a call may use; 0: as many as the affinity mask and the cgroup quota give"),
    "cache_dir": Setting("", str, "folder of compiled code; empty: graphflow under the user's cache folder"),
    "cache": Setting(True, bool, "keep compiled code on disk"),
    "fastcall": Setting(True, bool, "let calls of compiled functions go from array to array natively where the interpreter is known; off: through ctypes"),
    "check_nan": Setting(False, bool, "after each call, raise if a fetched value or new state holds NaN or infinity, and name the op that made the first"),
    "check_kernels": Setting(False, bool, "compare each kernel of each call with the NumPy references of its ops, and raise for the first that differs"),
    "check_test_values": Setting("", str, "'warn' or 'raise' runs each node on the test values of its inputs (x.tag.test_value) as it is made", ("", "warn", "raise")),
    "dump": Setting("", str, "folder to write graphs, kernels and LLVM text of each compilation to"),
    "fastmath": Setting(False, bool, "allow rewrites that assume finite values (x * 0 -> 0, x / x -> 1)"),
    "optimize": Setting(True, bool, "rewrite and schedule; off: each op as it was written, plain loops"),
    "verify": Setting(False, bool, "run the verifiers between compiler passes"),
    "rematerialise": Setting("", str, "'min-cut' computes cheap values again in the backward pass where that lowers the peak of memory, to the same bits", ("", "min-cut")),
    "debug_memory": Setting("", str, "'poison' fills the workspace with NaN patterns before each call; 'no-reuse' gives every value its own memory", ("", "poison", "no-reuse")),
    "seed": Setting(None, int, "seed of gf.random when gf.random.seed was not called; default: 0"),
    "floatX": Setting("float32", str, "default float dtype of front ends that have one"),
}  # fmt: skip


class Config:
    """Values of all settings; assigning an unknown name or a wrong type raises GraphflowError."""

    def __init__(self) -> None:
        self.__dict__["_values"] = {}
        self.__dict__["_watchers"] = []

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called whenever a setting was assigned."""
        self._watchers.append(changed)

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__["_values"]
        if name in values:
            return values[name]
        setting = _known(name)  # the environment is read once, when a setting is first asked for
        text = os.environ.get(f"GRAPHFLOW_{name.upper()}")
        value = self._values[name] = setting.default if text is None else _parse(name, setting, text)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        setting = _known(name)
        self._values[name] = _parse(name, setting, value) if isinstance(value, str) else _typed(name, setting, value)
        for changed in self._watchers:
            changed()

    def __dir__(self) -> list[str]:
        return list(SETTINGS)

    @contextmanager
    def override(self, **values: Any) -> Iterator[None]:
        """`with gf.config.override(threads=1): ...`"""
        before = dict(self._values)
        for name, value in values.items():
            setattr(self, name, value)
        try:
            yield
        finally:
            self.__dict__["_values"] = before
            for changed in self._watchers:
                changed()


def _known(name: str) -> Setting:
    if name not in SETTINGS:
        raise GraphflowError(f"no setting is called {name!r}", hint=f"settings are {', '.join(SETTINGS)}")
    return SETTINGS[name]


def _typed(name: str, setting: Setting, value: Any) -> Any:
    if value is None and setting.default is None:
        return None
    if setting.kind is int and (isinstance(value, bool) or not isinstance(value, int)):
        raise GraphflowError(f"the setting {name} takes an int, not {value!r}")
    if not isinstance(value, setting.kind):
        raise GraphflowError(f"the setting {name} takes a {setting.kind.__name__}, not {value!r}")
    return value


def _parse(name: str, setting: Setting, text: str) -> Any:
    if setting.kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off", ""):
            return False
    elif setting.kind is int:
        try:
            return int(text)
        except ValueError:
            pass
    elif not setting.choices or text in setting.choices:
        return text
    what = " or ".join(map(repr, setting.choices)) or f"a {setting.kind.__name__}"
    raise GraphflowError(f"the setting {name} takes {what}, not {text!r}", hint=setting.doc)


config = Config()
