"""Text that does a terminal, a log or a table harm where it is shown as it is, and what shows that it was not."""

from __future__ import annotations

import unicodedata

# Colours, a title, line ends, deletion, C1 controls, directions turned round, separators, half of a pair: and behind
# each a word that begins a line of its own where one of them ended the line.
ENDS = "\n\r\v\f\x1c\x85\u2028\u2029"
PLANTED = "[red]:skull:\x1b[31m\x1b]0;owned\x07\x08\x7f\x90\x9b31m\x9c\u202eturned\u2066round\u200b\ufeff" + "".join(
    f"{end}FORGED" for end in ENDS
)
HALF = PLANTED + "\ud800"
NAMED = PLANTED + "\udcff"  # as Python has a name of bytes that are no UTF-8


def assert_harmless(output: str) -> None:
    """Nothing but line feeds of ours ends a line, and each character is seen."""
    for line in output.split("\n"):
        assert not line.lstrip().startswith("FORGED"), line
        odd = [c for c in line if not (c.isprintable() or unicodedata.category(c) == "Zs")]
        assert not odd, (odd, line)
