#!/bin/sh
# Compiles the kernels that RULES need (the rules that ship, unless given) into TARGET/kernels, so that a worker's first
# start takes seconds: `compile.sh TARGET [RULES]`. Fails when a second process would have to compile any of them again.
set -eu

target=$1
rules=${2:-}
# Layers of an image keep whole seconds, and numba takes a kernel whose source has another time for a changed one.
find "$target" -path '*/streams/kernels/*.py' -exec touch -d '2000-01-01T00:00:00Z' {} +
export XDG_CACHE_HOME="$target/kernels"
unset NUMBA_CACHE_DIR || true

kernels_compiled() {
    # From another folder than the checkout, whose packages would come first.
    (cd "$target" && bin/python - "$rules" <<'END')
import sys
from pathlib import Path

from rules.load import load, packs
from streams.demo.warm import warm

print(warm(load([Path(sys.argv[1]) if sys.argv[1] else packs()])).kernels_compiled)
END
}

echo "kernels compiled: $(kernels_compiled)"
again=$(kernels_compiled)
if [ "$again" -ne 0 ]; then
    echo "a second process compiled $again of them again: the cache in $XDG_CACHE_HOME is not used" >&2
    exit 1
fi
