"""The gray step shared by the Python peers, on plain values, and the stopwatch."""

import json
import math
import os
import time

BROKER = os.environ.get("BROKER", "127.0.0.1:9092")
TOPIC = os.environ.get("TOPIC", "mr")
N = int(os.environ.get("N", "1000000"))


def step(state, sender, ts):
    """State (last, short, long, head, blocked, ring) and one message -> new state, block event or None."""
    last, short, long, head, blocked, ring = state or (ts, 0.0, 0.0, 0, False, [0] * 60)
    second = ts // 1000
    if second > head:
        for b in range(max(head + 1, second - 59), second + 1):
            ring[b % 60] = 0
        head = second
    if second > head - 60:
        ring[second % 60] += 1
    count = sum(ring)
    dt = max(0, ts - last) / 1000
    short = short * math.exp(-dt / 60) + 1
    long = long * math.exp(-dt / 3600) + 1
    event = None
    if count >= 100 and not blocked:
        blocked = True
        event = {"number": sender, "ts": ts, "count": count, "short": short, "long": long}
    return (max(last, ts), short, long, head, blocked, ring), event


class Watch:
    """Throughput from the first message processed to the Nth."""

    def __init__(self, n=N):
        self.total, self.n, self.events = n, 0, 0
        self.first = self.half = self.last = 0.0

    def tick(self, event=None):
        self.n += 1
        if event is not None:
            self.events += 1
        if self.n == 1:
            self.first = time.perf_counter()
        if self.n == self.total // 2:
            self.half = time.perf_counter()
        if self.n == self.total:
            self.last = time.perf_counter()
        return self.n == self.total

    def report(self):
        print(
            "RESULT "
            + json.dumps(
                {
                    "n": self.total,
                    "seen": self.n,
                    "rate": round(self.total / (self.last - self.first)),
                    "second_half": round((self.total - self.total // 2) / (self.last - self.half)),
                    "events": self.events,
                }
            ),
            flush=True,
        )
