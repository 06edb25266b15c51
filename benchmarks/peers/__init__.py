"""One module per library: `workloads()`, `to_numpy(result)`, and `wait(result)`, which returns when it is there.

Importing a module imports its library and sets the number of threads, the library's own way.
"""

from __future__ import annotations

import os

THREADS = int(os.environ.get("BENCH_THREADS", "1"))
VARIANT = os.environ.get("BENCH_VARIANT", "")  # what follows the colon in the peer's name


def ready(result: object) -> None:
    """`wait` of a library whose calls return when the result is there."""
