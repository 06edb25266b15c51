"""Run peers on workloads, each in a process of its own; print markdown tables with ratios to the fastest peer.

    python -m benchmarks --quick                                  what this interpreter has
    python -m benchmarks --python VENV/bin/python --python keras:tensorflow=VENV2/bin/python --threads 1 2 --out rows.json
    python -m benchmarks --table rows.json more.json --brief      tables of earlier runs

Peers and what they are: catalog.py.  Workloads: workloads.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import machine, processes
from benchmarks.catalog import BY_NAME, PEERS, Peer
from benchmarks.processes import Effort, Interpreter
from benchmarks.table import human, is_slow, tables
from benchmarks.workloads import ROWS, Row

QUICK_SECONDS, QUICK_LIMIT = 0.2, 1.0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--python", action="append", default=[], metavar="[PEER=]PATH", help="an interpreter to look for peers in, or the one of a peer")
    add("--threads", nargs="+", type=int, default=[1])
    add("--only", nargs="+", default=["w"], metavar="PREFIX", help="of the names of workloads")
    add("--peers", nargs="+", default=list(BY_NAME), choices=BY_NAME, metavar="PEER", help=f"of {', '.join(BY_NAME)}")
    add("--quick", action="store_true", help="a fifth of a second for each cell")
    add("--seconds", type=float, default=1.5, help="of samples in each cell while the machine is ours")
    add("--limit", type=float, default=12, help="seconds after which all samples of a cell count")
    add("--timeout", type=float, default=180, help="seconds for a process")
    add("--retries", type=int, default=0, help="of a cell of several threads while the machine lacks its full cores")
    add("--boost", action="store_true", help="time at real-time priority (Linux, root)")
    add("--lock", type=Path, help="a file to lock around each run")
    add("--out", type=Path, help="where to write the raw rows")
    add("--table", nargs="+", type=Path, metavar="ROWS", help="print the tables of these files, run nothing")
    add("--statistic", choices=["median", "min"], default="median", help="of the times in a cell; min where the machine is busy")
    add("--brief", action="store_true", help="tables without the columns of the peers")
    return parser.parse_args(arguments)


def choose_interpreters(options: Sequence[str], peers: Sequence[Peer]) -> dict[str, Interpreter]:
    """The first interpreter that has what a peer needs, by its name; the current one comes first."""
    own = dict(option.split("=", 1) for option in options if option.partition("=")[0] in BY_NAME)
    common = [sys.executable, *(option for option in options if option.partition("=")[0] not in BY_NAME)]
    modules = sorted({name for peer in peers for name in peer.needs})
    probed = {path: processes.probe(path, modules) for path in dict.fromkeys([*common, *own.values()])}
    found: dict[str, Interpreter] = {}
    for peer in peers:
        paths = [own[peer.name]] if peer.name in own else common
        fit = next((probed[path] for path in paths if probed[path].has(peer)), None)
        if fit is not None:
            found[peer.name] = fit
    for needs in dict.fromkeys(peer.needs for peer in peers if peer.name not in found):
        names = [peer.name for peer in peers if peer.needs == needs]
        print(f"left out, as no interpreter has {', '.join(needs)}: {', '.join(names)}", file=sys.stderr)
    return found


def versions(interpreters: dict[str, Interpreter]) -> dict[str, str]:
    """Of the libraries themselves."""
    return {
        peer.library: interpreters[peer.name].versions[peer.library]
        for peer in PEERS if peer.name in interpreters and peer.library in peer.needs
    }  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One peer and one line of the table (two for start-up: the process that compiles, and the next one)."""

    row: Row
    peer: Peer
    threads: int


def programs(interpreters: dict[str, Interpreter]) -> dict[str, set[str]]:
    """The workloads of each peer; one whose library does not import is left out, and said to be."""
    found: dict[str, set[str]] = {}
    for peer, interpreter in interpreters.items():
        try:
            found[peer] = set(processes.workload_names(interpreter.path, peer))
        except RuntimeError as error:
            print(f"left out, as it does not import: {peer}: {error}", file=sys.stderr)
    return found


def jobs(prefixes: Sequence[str], programs: Mapping[str, Collection[str]], threads: Sequence[int]) -> list[Job]:
    """Peers take turns at each workload.  Start-up is measured with the first number of threads only."""
    peers = [BY_NAME[name] for name in programs]
    found: list[Job] = []
    for row in ROWS.values():
        if row.name.startswith(tuple(prefixes)) and row.start != "second":
            counts = threads[:1] if row.start else threads
            taking_part = [p for p in peers if (p.statement if row.start == "import" else row.workload in programs[p.name])]
            found += [Job(row, peer, count) for peer in taking_part for count in counts]
    return found


def run(job: Job, python: str, effort: Effort) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Results by the lines of the table."""
    peer, row = job.peer, job.row
    if row.start == "import":
        yield row, processes.time_import(python, peer.statement)
    elif row.start == "cold":
        first, second = processes.run_twice(python, peer.name, row.workload, job.threads, replace(effort, seconds=0))
        yield row, first
        yield ROWS[row.name.replace("cold", "second", 1)], second
    else:
        yield row, processes.run_worker(python, peer.name, row.workload, job.threads, effort)


class Bench:
    """Runs jobs, writes their rows to a file after each, and says how far it is."""

    def __init__(self, interpreters: dict[str, Interpreter], effort: Effort, options: argparse.Namespace) -> None:
        self.interpreters = interpreters
        self.effort = effort
        self.options = options
        self.results: list[dict[str, Any]] = []
        self.machine = machine.describe()
        self.best_rate = 0

    def run_all(self, todo: Sequence[Job]) -> None:
        for number, job in enumerate(todo, 1):
            for attempt in range(1 + self.options.retries):
                results = self.run_one(job)
                for result in results:
                    self.say(f"[{number}/{len(todo)}]", result)
                if attempt == self.options.retries or not any(is_slow(r, self.best_rate) for r in results):
                    break

    def run_one(self, job: Job) -> list[dict[str, Any]]:
        with processes.held(self.options.lock):
            before = machine.product_rate(self.effort.boost)
            found = list(run(job, self.interpreters[job.peer.name].path, self.effort))
            rates = [before, machine.product_rate(self.effort.boost)]
        self.best_rate = max(self.best_rate, *rates)
        place = {"peer": job.peer.name, "threads": job.threads}
        results = [{**place, "row": row.name, "workload": row.workload, **result, "gemm": rates} for row, result in found]
        self.results += results
        if self.options.out:
            content = {"machine": self.machine, "versions": versions(self.interpreters), "rows": self.results}
            self.options.out.write_text(json.dumps(content, indent=0))
        return results

    @staticmethod
    def say(progress: str, result: dict[str, Any]) -> None:
        field = ROWS[result["row"]].field
        shown = human(result[field], field) if field in result else result["error"]
        detail = f", clean {result['clean']}, machine {result['gemm']}" if "clean" in result else ""
        print(f"{progress} {result['row']} {result['peer']} on {result['threads']}: {shown}{detail}", file=sys.stderr, flush=True)


def earlier(files: Sequence[Path], brief: bool, statistic: str) -> str:
    """Tables of what earlier runs wrote; the machine is the last one's."""
    contents = [json.loads(file.read_text()) for file in files]
    rows = [row for content in contents for row in content["rows"]]
    known = {name: version for content in contents for name, version in content["versions"].items()}
    return tables(rows, contents[-1]["machine"], known, brief, statistic)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    if options.table:
        print(earlier(options.table, options.brief, options.statistic))
        return
    peers = [BY_NAME[name] for name in options.peers]
    interpreters = choose_interpreters(options.python, peers)
    seconds, limit = (QUICK_SECONDS, QUICK_LIMIT) if options.quick else (options.seconds, options.limit)
    effort = Effort(seconds, limit, options.timeout, options.boost)
    bench = Bench(interpreters, effort, options)
    bench.run_all(jobs(options.only, programs(interpreters), options.threads))
    print(tables(bench.results, bench.machine, versions(interpreters), options.brief, options.statistic))


if __name__ == "__main__":
    main()
