"""Compiled inner loops. Everything that happens per event happens here, over arrays.

Conventions, the same for every kernel:

- imports numpy and numba only; compiled with the options in `options.py`;
- plain loops with scalar locals, 15 to 40 lines; the caller owns every array, nothing is allocated or raised inside;
- times are int64 milliseconds since the epoch; numbers and hashes are int64; lengths and counts are ordinary integers;
- state of a number is one row of an int64[capacity, words] array, all counters of a topic side by side, so that one
  number's state lies together in memory. A counter owns the words `at .. at + WORDS` of each row. A row of zeros is a
  number never seen. What does not fit in a row lies in the counter's own pool, and the row holds `-(slot + 1)`;
- a kernel that may need a free pool slot checks for one *before* it changes anything, and returns the index of the
  event it stopped at; its caller grows the pool and calls again from there. A finished call returns n;
- reading never changes state; late events (within the window) land where they belong.
"""

import hashlib
import os
from importlib.metadata import version
from pathlib import Path

from numba import config


def _cache_folder() -> Path:
    """A folder of its own for every state of the kernels' sources. numba notices a change of the file a kernel stands
    in, but not of one it calls in another file, and would go on running the old machine code."""
    state = hashlib.sha256(version("numba").encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        state.update(path.read_bytes())
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "grayline" / f"kernels-{state.hexdigest()[:16]}"


# An operator's own NUMBA_CACHE_DIR stays in force.
if not os.environ.get("NUMBA_CACHE_DIR"):
    config.CACHE_DIR = str(_cache_folder())
