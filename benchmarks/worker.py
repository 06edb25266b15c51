"""One peer on one workload in this process: build, check, time.  Prints one line of JSON.

    python -m benchmarks.worker PEER[:VARIANT] WORKLOAD --threads N
    python -m benchmarks.worker PEER[:VARIANT]                        the names of its workloads

Fields: `check`, the value that peers must agree on; `median`, `min`, `p90` seconds per step; `import_s`, of
the library; `build_s`, from the start of the factory to the end of the first step (compilation included);
`rss_mb`, the peak memory of the whole process.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

from benchmarks import sampling
from benchmarks.workloads import CHECK_STEPS, REGRESSION, TRAIN, check_value


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer")
    parser.add_argument("workload", nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.5, help="of clean samples; 0: build only")
    parser.add_argument("--limit", type=float, default=12, help="seconds of sampling after which all samples count")
    parser.add_argument("--boost", action="store_true", help="time at real-time priority (Linux, root)")
    return parser.parse_args()


def peak_memory() -> int | None:
    """The peak of this process's resident memory in MB, where the system tells."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024)


def module_of(peer: str) -> Any:
    """The peer's module; importing it imports its library."""
    return importlib.import_module(f"benchmarks.peers.{peer.partition(':')[0]}")


def names(peer: str) -> list[str]:
    """The workloads it has a program for."""
    return list(module_of(peer).workloads())


def report(peer: str, workload: str, seconds: float, limit: float, boost: bool) -> dict[str, Any]:
    """The fields of one run."""
    imported = time.perf_counter()
    module = module_of(peer)
    found: dict[str, Any] = {"import_s": time.perf_counter() - imported}
    factory = module.workloads()[workload]
    start = sampling.mark()
    case = factory()
    result = module.to_numpy(case.step())
    end = sampling.mark()
    found |= {"build_s": end.wall - start.wall, "build_cpu_s": end.own - start.own}
    if workload in TRAIN:
        for _ in range(CHECK_STEPS - 1):
            result = module.to_numpy(case.step())
    found["check"] = check_value(result)
    if seconds > 0:
        if boost:
            sampling.take_priority()
        timer = sampling.Timer(case.timed or case.step, module.wait, case.steps)
        found |= dataclasses.asdict(sampling.measure(timer, seconds, limit, boost, workload == REGRESSION))
    return found | {"rss_mb": peak_memory()}


def main() -> None:
    options = parse()
    os.environ["BENCH_VARIANT"] = options.peer.partition(":")[2]
    os.environ["BENCH_THREADS"] = str(options.threads)
    if options.workload is None:
        print(json.dumps(names(options.peer)))
    else:
        print(json.dumps(report(options.peer, options.workload, options.seconds, options.limit, options.boost)))


if __name__ == "__main__":
    main()
