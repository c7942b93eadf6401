"""Gray levels, in plain Python: every event is kept, every reading goes through all of them from the beginning."""

FLOOR = 1e-6


class OracleGray:
    def __init__(self, short_ms: int, long_ms: int) -> None:
        self.half_lives_ms = (short_ms, long_ms)
        self.events: dict[int, list[int]] = {}

    def add(self, number: int, time: int) -> None:
        self.events.setdefault(number, []).append(time)

    def read(self, number: int, as_of: int) -> tuple[float, ...]:
        return tuple(level(self.events.get(number, []), as_of, h) for h in self.half_lives_ms)


def level(times: list[int], as_of: int, half_life_ms: int) -> float:
    """The level at `as_of` after events that arrived in this order. Below FLOOR it is 0, also before an event adds."""
    value, newest = 0.0, 0
    for time in times:
        if time >= newest:
            value = seen(value * 2.0 ** (-(time - newest) / half_life_ms)) + 1.0
            newest = time
        else:
            value += 2.0 ** (-(newest - time) / half_life_ms)
    return seen(value * 2.0 ** (-(as_of - newest) / half_life_ms))


def seen(value: float) -> float:
    return value if value >= FLOOR else 0.0
