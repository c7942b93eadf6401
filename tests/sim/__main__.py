"""Replays simulated histories: `python -m tests.sim --seed 7`, or from a fresh seed on until something breaks."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback

HASH_SEED = "0"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first history's seed; a fresh one, printed, unless given")
    parser.add_argument("--count", type=int, default=1, help="how many histories, one seed after the other")
    parser.add_argument("--seconds", type=float, help="go on for so long instead of --count")
    parser.add_argument("--trace", action="store_true", help="print all that happened")
    parser.add_argument("--quiet", action="store_true", help="print nothing about histories that went well")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    until = time.monotonic() + options.seconds if options.seconds else None
    done = 0
    while done < options.count if until is None else time.monotonic() < until:
        if not replay(seed + done, trace=options.trace, quiet=options.quiet):
            return 1
        done += 1
    print(f"{done} histories from seed {seed} on: all laws hold")
    return 0


def replay(seed: int, *, trace: bool, quiet: bool) -> bool:
    """True if every law holds in the history of this seed."""
    from tests.sim.director import History

    logging.getLogger("grayline").setLevel(logging.CRITICAL)
    history = History(seed)
    failed = False
    try:
        history.run()
    except Exception:
        failed = True
        traceback.print_exc()
    if trace or failed:
        print(*(history.world.trace if trace else history.world.trace[-40:]), sep="\n")
    if failed:
        print(f"\nseed {seed} fails; to see it again, with all that happened before: make sim SEED={seed} ARGS=--trace")
    elif not quiet:
        print(f"seed {seed}: {history.told()}")
    return not failed


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        # No order should hang on the hashes of strings; should one do so all the same, the seed must still repeat it.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.sim", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": HASH_SEED},
        )
    sys.exit(main())
