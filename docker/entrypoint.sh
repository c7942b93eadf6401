#!/bin/sh
# Hands the compiled kernels to this container, and becomes grayline. numba opens a cache only where it may write, and
# the image's own folder is read-only in a container that runs as it should.
set -eu

baked=/opt/grayline/kernels/grayline
cache=${XDG_CACHE_HOME:-/tmp}/grayline
if ! mkdir -p "$cache" 2>/dev/null || ! [ -w "$cache" ]; then
    echo "$cache cannot be written: mount something writable there, such as a tmpfs at /tmp, or set XDG_CACHE_HOME" >&2
    exit 2
fi
for kernels in "$baked"/*; do
    [ -e "$cache/${kernels##*/}" ] || cp -R "$kernels" "$cache/"
done
exec grayline "$@"
