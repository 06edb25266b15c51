"""Which cores this process may use: affinity mask, cgroup quota, and how processes share cores out.

A thread that spins on a core holds the core's lock, an advisory one on a file in a folder of the user.  So two
processes do not spin on one core, and a core whose owner sleeps is free.  In the same folder is a file that processes
map into memory, in which each says when it used the cores last.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import stat
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a Unix
    _can_lock = False
else:
    _can_lock = True

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def affinity() -> frozenset[int]:
    """The cores that the calling thread may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


# --- quota ------------------------------------------------------------------------------------------
def quota(membership: Path = _MEMBERSHIP, root: Path = _CGROUPS) -> float:
    """How many CPUs' time the process's cgroups may use: infinity without a limit.

    A cgroup's limit holds for those below it, so the least on the way to the root counts.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return math.inf
    limits = [math.inf]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            limits += [_v2_limit(folder) for folder in _ancestors(root, path)]
        elif "cpu" in controllers.split(","):
            for mounted in {root / "cpu", root / controllers}:
                limits += [_v1_limit(folder) for folder in _ancestors(mounted, path)]
    return min(limits)


def _ancestors(root: Path, path: str) -> Iterable[Path]:
    """The folders of a cgroup and of those above it.  In a container the path may begin outside of what is mounted."""
    at = Path(path)
    return [root / p.relative_to("/") for p in (at, *at.parents)]


def _v2_limit(folder: Path) -> float:
    return _ratio(_words(folder / "cpu.max"))


def _v1_limit(folder: Path) -> float:
    return _ratio(_words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us"))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _ratio(words: list[str]) -> float:
    """Quota and period; `max` and -1 mean no limit."""
    try:
        limit, period = (float(w) for w in words)
    except ValueError:
        return math.inf
    return limit / period if limit > 0 and period > 0 else math.inf


def count(cores: Collection[int], limit: float) -> int:
    """Threads for these cores under a quota: not more than there are cores, a begun CPU counting as one."""
    return len(cores) if limit == math.inf else min(len(cores), max(1, math.ceil(limit)))


def whole(limit: float) -> bool:
    """Does the quota leave whole CPUs?  A thread that spins would use up a part of one at once and stop the others."""
    return limit == math.inf or limit == math.floor(limit)


# --- order ------------------------------------------------------------------------------------------
def in_order(cores: Iterable[int], here: int) -> list[int]:
    """The cores in the order in which workers should take them.

    First one thread of each physical core, last `here`, where the caller runs.  Each process begins at another
    one, so that small pools do not all want the first.
    """
    listed = sorted(cores)
    start = os.getpid() % max(1, len(listed))
    turned = listed[start:] + listed[:start]
    return sorted(turned, key=lambda core: (core == here, _rank_among_siblings(core)))


def _rank_among_siblings(core: int) -> int:
    try:
        text = Path(_TOPOLOGY.format(core)).read_text()
    except OSError:
        return 0
    siblings: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        siblings += range(int(first), int(last or first) + 1)
    return siblings.index(core) if core in siblings else 0


# --- locks ------------------------------------------------------------------------------------------
class Locks:
    """The lock files of cores, opened once.  A process that is forked has to open its own."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._files: dict[int, int] = {}

    def file(self, core: int) -> int:
        """The descriptor whose lock means the core; -1 where there can be none."""
        if core not in self._files:
            self._files[core] = _open_lock(self._folder or folder(), core)
        return self._files[core]

    def free(self, core: int) -> bool:
        """Is the core's lock free at this moment?"""
        file = self.file(core)
        if file < 0:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        fcntl.flock(file, fcntl.LOCK_UN)
        return True

    def close(self) -> None:
        """Close the files.  In a forked process the parent's locks stay: it has the files open, too."""
        for file in self._files.values():
            if file >= 0:
                with contextlib.suppress(OSError):
                    os.close(file)
        self._files.clear()


def folder() -> Path | None:
    """A folder that is ours alone: XDG_RUNTIME_DIR, else one under the folder for temporary files."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given and _is_private(Path(given)):
        return Path(given)
    if not hasattr(os, "getuid"):
        return None
    made = Path(tempfile.gettempdir()) / f"graphflow-{os.getuid()}"
    with contextlib.suppress(OSError):
        made.mkdir(mode=0o700)
    return made if _is_private(made) else None


def _is_private(folder: Path) -> bool:
    """A folder, not a link to one, of this user, that no one else may enter."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _open_lock(where: Path | None, core: int) -> int:
    return -1 if where is None or not _can_lock else _open(where / f"graphflow-core-{core}")


def _open(file: Path) -> int:
    """A descriptor of a file of ours, made if it is not there; -1 where that fails or the file is a link."""
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return -1


def shared_memory(size: int, where: Path | None = None) -> mmap.mmap | None:
    """Memory that the user's processes share, zero at first; None where there can be none."""
    where = where or folder()
    file = -1 if where is None else _open(where / f"graphflow-presence-{size}")
    if file < 0:
        return None
    try:
        if os.fstat(file).st_size < size:
            os.ftruncate(file, size)
        return mmap.mmap(file, size)
    except (OSError, ValueError):
        return None
    finally:
        os.close(file)
