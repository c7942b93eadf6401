"""`python -m tests.second`: what this traffic is made of."""

from __future__ import annotations

import argparse
from collections import Counter

from tests.second.city import FEEDS
from tests.second.town import town


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.second", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--feed", choices=FEEDS, default="events")
    told = parser.parse_args()
    city, records = town(told.seed, told.hours, told.people, feed=told.feed)
    numbers, count = Counter[str](), Counter[str]()
    for written in records:
        count[city.truth[written.number].kind] += 1
    for who in city.truth.values():
        numbers[who.kind] += 1
    for kind, records_of in count.most_common():
        print(f"{kind:20} {numbers[kind]:7,} numbers {records_of:9,} records")


if __name__ == "__main__":
    main()
