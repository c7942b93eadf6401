"""A streak in plain Python, for events in order: how many of the newest ones follow each other without a pause."""


class OracleStreaks:
    def __init__(self, pause_ms: int) -> None:
        self.pause_ms = pause_ms
        self.times: dict[int, list[int]] = {}

    def add(self, number: int, time: int) -> None:
        self.times.setdefault(number, []).append(time)

    def read(self, number: int, as_of: int) -> float:
        streak, newest = 0, as_of
        for time in reversed(self.times.get(number, [])):
            if newest - time > self.pause_ms:
                break
            streak, newest = streak + 1, time
        return float(streak)
