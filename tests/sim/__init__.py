"""A whole deployment in one process, decided by one seed: workers, broker, disks, clock and everything that goes wrong.

What runs is the product's own code above the level of the Kafka client and the disk; below it are the fakes of this
package. `python -m tests.sim --seed N` replays one history.
"""
