"""Texts of many records in one buffer: reads like a list of `bytes | None` without an object for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from streams.kernels.lines import gather
from streams.kernels.words import PADDING


class Packed(Sequence["bytes | None"]):
    """n texts. buffer: uint8[m], at: int64[n], length: int64[n], -1 for None."""

    __slots__ = ("_together", "at", "buffer", "length")

    def __init__(self, buffer: np.ndarray, at: np.ndarray, length: np.ndarray) -> None:
        self.buffer, self.at, self.length = buffer, at, length
        self._together: tuple[memoryview, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.at)

    @overload
    def __getitem__(self, i: int) -> bytes | None: ...
    @overload
    def __getitem__(self, i: slice) -> Packed: ...
    def __getitem__(self, i: int | slice) -> bytes | Packed | None:
        if isinstance(i, slice):
            return Packed(self.buffer, self.at[i], self.length[i])
        at, length = int(self.at[i]), int(self.length[i])
        return None if length < 0 else self.buffer[at : at + length].tobytes()

    def __iter__(self) -> Iterator[bytes | None]:
        whole = self.buffer.data
        for at, length in zip(self.at.tolist(), self.length.tolist(), strict=True):
            yield None if length < 0 else bytes(whole[at : at + length])

    def take(self, index: np.ndarray) -> Packed:
        """The texts at `index` (indices, or a mask), in its order."""
        return Packed(self.buffer, self.at[index], self.length[index])

    def lie_together(self, texts: np.ndarray, ends: np.ndarray) -> None:
        """They lie one after another anyway: what `laid_out` is to return. texts: uint8, PADDING included."""
        self._together = texts.data, ends

    def laid_out(self) -> tuple[memoryview, np.ndarray]:
        """Returns (all texts one after another, with PADDING after the last, and int64[n], the end of each); None has
        no bytes."""
        if self._together is not None:
            return self._together
        out = np.empty(int(np.maximum(self.length, 0).sum()) + PADDING, np.uint8)
        ends = np.empty(len(self), np.int64)
        gather(self.buffer.ctypes.data, self.at, self.length, out.ctypes.data, ends)
        return out.data, ends
