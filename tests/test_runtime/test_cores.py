"""Which cores a process may use, and how processes share them out."""

from __future__ import annotations

import fcntl
import math
import os
from pathlib import Path

import pytest

from graphflow.runtime import cores


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# --- quota ------------------------------------------------------------------------------------------
@pytest.mark.smoke
@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {}, math.inf),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "200000 100000\n"}, 2.0),  # the one above counts, too
        ("0::/gone\n", {"cpu.max": "50000 100000\n"}, 0.5),  # in a container the path is the host's
        ("0::/../x\n", {"cpu.max": "50000 100000\n"}, 0.5),
        ("4:cpu,cpuacct:/a\n3:memory:/m\n", {"cpu/a/cpu.cfs_quota_us": "300000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 3.0),
        ("4:cpu,cpuacct:/a\n", {"cpu,cpuacct/a/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"}, 2.5),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ("4:memory:/\n", {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ("0::/\n", {"cpu.max": "nonsense\n"}, math.inf),
    ],
)  # fmt: skip
def test_quota(tmp_path: Path, membership: str, files: dict[str, str], expected: float) -> None:
    write(tmp_path / "cgroup", membership)
    for name, text in files.items():
        write(tmp_path / "fs" / name, text)
    assert cores.quota(tmp_path / "cgroup", tmp_path / "fs") == expected


def test_no_cgroups(tmp_path: Path) -> None:
    assert cores.quota(tmp_path / "absent", tmp_path) == math.inf


def test_count_and_whole() -> None:
    assert cores.count({4, 5}, math.inf) == 2
    assert cores.count({4, 5}, 1.5) == 2
    assert cores.count({4, 5}, 1.0) == 1
    assert cores.count({4, 5}, 0.2) == 1
    assert cores.count({4, 5}, 7.0) == 2
    assert cores.whole(math.inf) and cores.whole(2.0) and not cores.whole(1.5)


# --- order ------------------------------------------------------------------------------------------
@pytest.mark.smoke
def test_workers_keep_off_the_callers_core() -> None:
    assert cores.in_order({4, 5}, here=5) == [4, 5]
    assert cores.in_order({4, 5}, here=4) == [5, 4]
    assert sorted(cores.in_order(range(8), here=3)) == list(range(8))
    assert cores.in_order(range(8), here=3)[-1] == 3


def test_physical_cores_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for core in range(8):  # 0 and 4 are one physical core, 1 and 5 ...
        write(tmp_path / f"cpu{core}", f"{core % 4},{core % 4 + 4}\n")
    monkeypatch.setattr(cores, "_TOPOLOGY", str(tmp_path / "cpu{}"))
    order = cores.in_order(range(8), here=-1)
    assert set(order[:4]) == {0, 1, 2, 3} and set(order[4:]) == {4, 5, 6, 7}
    write(tmp_path / "cpu1", "0-1\n")
    assert cores.in_order([0, 1], here=-1) == [0, 1]


# --- locks ------------------------------------------------------------------------------------------
def test_a_lock_is_free_until_someone_holds_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    ours, theirs = cores.Locks(tmp_path), cores.Locks(tmp_path)
    assert ours.free(4) and theirs.free(4)
    fcntl.flock(theirs.file(4), fcntl.LOCK_EX)
    assert not ours.free(4) and ours.free(5)
    theirs.close()
    assert ours.free(4)
    assert ours.file(4) == ours.file(4) >= 0


def test_there_is_no_lock_behind_a_link(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "graphflow-core-0").symlink_to(tmp_path / "elsewhere")
    locks = cores.Locks(tmp_path)
    assert locks.file(0) == -1 and not locks.free(0)
    assert locks.file(1) >= 0


def test_descriptors_are_not_inherited_by_programs(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert not os.get_inheritable(cores.Locks(tmp_path).file(0))


@pytest.mark.smoke
def test_the_folder_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, temporary = tmp_path / "run", tmp_path / "tmp"
    given.mkdir(mode=0o700)
    temporary.mkdir()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(temporary))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(given))
    assert cores.folder() == given
    given.chmod(0o755)  # others may look into it
    made = cores.folder()
    assert made == temporary / f"graphflow-{os.getuid()}" and made.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "absent"))
    assert cores.folder() == made
    made.chmod(0o777)
    assert cores.folder() is None
    made.rmdir()
    made.symlink_to(given)  # put there by someone else
    assert cores.folder() is None


def test_without_a_folder_there_are_no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "folder", lambda: None)
    assert cores.Locks().file(0) == -1
    assert cores.shared_memory(4096) is None


def test_processes_share_memory(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    ours, theirs = cores.shared_memory(4096, tmp_path), cores.shared_memory(4096, tmp_path)
    assert ours is not None and theirs is not None
    assert ours[:] == bytes(4096)
    ours[7] = 42
    assert theirs[7] == 42
