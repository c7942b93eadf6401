"""Distinct keys in a window, in plain Python: a dictionary, and sets of keys per slice once there were more than 32."""

from __future__ import annotations

import math

MASK = (1 << 64) - 1


def mix(h: int) -> int:
    """Finaliser of splitmix64."""
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & MASK
    return h ^ (h >> 31)


def estimate(keys: set[int]) -> float:
    """HyperLogLog of 256 registers over these keys, Ertl's estimator, to the nearest whole number."""
    registers = [0] * 256
    for key in keys:
        h = mix(key & MASK)
        rest = h >> 8
        rank = 1
        while rank < 46 and not rest & 1:
            rest >>= 1
            rank += 1
        registers[h % 256] = max(registers[h % 256], rank)
    zeros = registers.count(0)
    if zeros == 256:
        return 0.0
    sigma = zeros / 256
    sigma += math.fsum((zeros / 256) ** (2**k) * 2 ** (k - 1) for k in range(1, 30))
    denominator = 256 * sigma + math.fsum(2.0**-rank for rank in registers if rank)
    return float(math.floor(256 * 256 / (2 * math.log(2)) / denominator + 0.5))


class DistinctOracle:
    """One number."""

    def __init__(self, window_ms: int) -> None:
        self.window = window_ms
        self.length = math.ceil(window_ms / 12)
        self.newest: int | None = None  # time of the newest hit
        self.times: dict[int, int] = {}  # exact: newest time of each key
        self.slices: dict[int, set[int]] | None = None  # a sketch: keys of each slice
        self.first: list[int] = []  # a sketch: slices of the newest times of its first 33 keys

    def hit(self, key: int, t: int) -> None:
        if self.newest is not None and self.newest - t >= self.window:
            return
        if self.slices is not None:
            if t // self.length - self.newest // self.length >= 12:
                self.slices = None
            elif t // self.length > self.newest // self.length - 12:
                self.slices.setdefault(t // self.length, set()).add(key)
            else:
                return
        latest = t if self.newest is None else max(self.newest, t)
        self.newest = latest
        if self.slices is not None:
            return
        self.times = {k: at for k, at in self.times.items() if latest - at < self.window}
        self.times[key] = max(self.times.get(key, t), t)
        if len(self.times) > 32:
            self.slices = {}
            for k, at in self.times.items():
                self.slices.setdefault(at // self.length, set()).add(k)
            self.first = [at // self.length for at in self.times.values()]
            self.times = {}

    def read(self, as_of: int) -> float:
        if self.slices is None:
            return float(sum(as_of - at < self.window for at in self.times.values()))
        past = as_of // self.length - 12
        n = estimate({key for slice_, keys in self.slices.items() if slice_ > past for key in keys})
        return max(n, 33.0) if min(self.first) > past else n
