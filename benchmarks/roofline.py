"""graphflow's kernels on the workloads, each with its share of what this machine can do at most.

    python -m benchmarks.roofline w1_mlp_adam_b32 w2 --threads 1

The same table as `gf.profile` prints for a user's own function.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import graphflow as gf
from benchmarks.peers import graphflow as ours
from benchmarks.workloads import FAMILIES


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.roofline", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefixes", nargs="+", help="of the names of workloads")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    names = [name for family in FAMILIES.values() for name in family]
    with gf.config.override(threads=options.threads):
        for name in names:
            if name.startswith(tuple(options.prefixes)):
                f, batches = ours.program(name)
                print(f"{name}\n\n{gf.profile(f, *batches[0])}\n", flush=True)


if __name__ == "__main__":
    main()
