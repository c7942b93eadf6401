"""The partition of a key: Java's default partitioner (murmur2), in plain Python.

librdkafka calls it `murmur2_random`. Everything that Grayline produces is placed by it, so a number is on the same
partition number of every topic whichever client wrote it."""

from __future__ import annotations

_MULTIPLIER = 0x5BD1E995
_SEED = 0x9747B28C
_WORD = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition, 0 to `partitions - 1`, that Java's default partitioner gives a record with this key.

    Raises ValueError unless `partitions` is at least 1."""
    if partitions < 1:
        raise ValueError(f"a topic has at least 1 partition, not {partitions}")
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(key: bytes) -> int:
    """Austin Appleby's MurmurHash2 with Kafka's seed, as in `org.apache.kafka.common.utils.Utils.murmur2`.

    Returns the 32 bits as an unsigned integer; Java shows the same bits signed."""
    length = len(key)
    whole = length - length % 4
    h = _SEED ^ length
    for i in range(0, whole, 4):
        k = int.from_bytes(key[i : i + 4], "little") * _MULTIPLIER & _WORD
        k = (k ^ k >> 24) * _MULTIPLIER & _WORD
        h = (h * _MULTIPLIER & _WORD) ^ k
    if whole < length:
        h = (h ^ int.from_bytes(key[whole:], "little")) * _MULTIPLIER & _WORD
    h = (h ^ h >> 13) * _MULTIPLIER & _WORD
    return h ^ h >> 15
