"""The folder of data sets and weights, ~/.keras or $KERAS_HOME, which is shared with Keras; and what is fetched into it."""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import IO

from graphflow.graph.errors import GraphError, GraphflowError
from graphflow.keras.progress import Progbar

__all__ = ["FetchError", "get_file", "keras_home", "validate_file"]

_BLOCK = 1 << 16
_ARCHIVES = {"tar": tarfile.is_tarfile, "zip": zipfile.is_zipfile}


class FetchError(GraphflowError, OSError):
    """A file that is not in the cache and cannot be fetched, or is not the file it should be."""


def keras_home() -> Path:
    """$KERAS_HOME, else ~/.keras; a folder for temporary files where that cannot be written."""
    named = os.environ.get("KERAS_HOME")
    if named:
        return Path(named).expanduser()
    home = Path.home()
    return (home if os.access(home, os.W_OK) else Path(tempfile.gettempdir())) / ".keras"


def get_file(
    fname: str | os.PathLike[str] | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | tuple[str, ...] | list[str] | None = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
) -> str:
    """The path of a file in the cache, fetched from `origin` if it is not there.

    `file_hash`: its SHA-256 or MD5, as `hash_algorithm` says ('auto': by its length); a file in the cache with
    another one is fetched anew.  `extract`: unpack an archive ('tar', 'zip') beside it.  `untar`: `fname` is the folder
    to unpack to, and its path is returned.  Raises FetchError, which says where to put the file, if it cannot be had.
    """
    if origin is None:
        raise GraphError("get_file needs an origin", hint="the URL to fetch the file from")
    name = os.fspath(fname) if fname else os.path.basename(urllib.parse.urlparse(origin).path)
    folder = Path(cache_dir if cache_dir is not None else keras_home()) / cache_subdir
    target = Path(name) if os.path.isabs(name) else folder / name
    archive = target.with_name(target.name + ".tar.gz") if untar else target
    digest = file_hash or md5_hash
    algorithm = "md5" if file_hash is None and md5_hash is not None else hash_algorithm
    present = archive.exists() and (not digest or validate_file(archive, digest, algorithm))
    if force_download or not present:
        _fetch(origin, archive, digest, algorithm)
    if untar:
        if not target.exists():
            _unpack(archive, target.parent, ("tar",))
    elif extract:
        _unpack(archive, archive.parent, _formats(archive_format))
    return str(target)


def validate_file(fpath: str | os.PathLike[str], file_hash: str, algorithm: str = "auto", chunk_size: int = _BLOCK) -> bool:
    """Whether a file has this hash: SHA-256 for 'sha256', and for 'auto' with 64 digits; else MD5."""
    sha = algorithm == "sha256" or (algorithm == "auto" and len(file_hash) == 64)
    with open(fpath, "rb") as file:
        return hashlib.file_digest(file, "sha256" if sha else "md5").hexdigest() == str(file_hash)


# --- fetching --------------------------------------------------------------------------------------
def _fetch(origin: str, target: Path, digest: str | None, algorithm: str) -> None:
    """Fetch beside the target, check, and only then put it in its place: a broken download leaves nothing."""
    print("Downloading data from", origin)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=target.name, suffix=".part", dir=target.parent)
    except OSError as error:
        raise FetchError(f"{target.parent} cannot be written: {error}", hint="set KERAS_HOME to a folder of yours") from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(origin) as answer:
            _copy(answer, file, answer.headers.get("Content-Length"))
        if digest and not validate_file(part, digest, algorithm):
            raise FetchError(f"{origin} is not the file it should be: its hash is not {digest}", hint=f"put the right one at {target}")
        part.replace(target)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        hint = f"fetch it elsewhere and put it at {target}"
        raise FetchError(f"{target.name} is not in the cache, and {origin} cannot be reached: {reason}", hint=hint) from None
    finally:
        part.unlink(missing_ok=True)


def _copy(source: IO[bytes], target: IO[bytes], length: str | None) -> None:
    bar = Progbar(int(length) if length else None, verbose=1 if sys.stdout is not None else 0)
    while block := source.read(_BLOCK):
        target.write(block)
        bar.add(len(block))


# --- archives --------------------------------------------------------------------------------------
def _formats(archive_format: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    if archive_format is None:
        return ()
    named = ("tar", "zip") if archive_format == "auto" else (archive_format,) if isinstance(archive_format, str) else tuple(archive_format)
    unknown = [n for n in named if n not in _ARCHIVES]
    if unknown:
        raise GraphError(f"no archive format is called {unknown[0]!r}", hint="formats are 'tar' and 'zip'")
    return named


def _unpack(archive: Path, folder: Path, formats: tuple[str, ...]) -> bool:
    """Unpack what the folder may hold: no absolute names, none that lead out of it, no devices."""
    kind = next((name for name in formats if _ARCHIVES[name](archive)), None)
    if kind == "tar":
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    elif kind == "zip":
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)  # which drops "..", drives and leading slashes
    return kind is not None
