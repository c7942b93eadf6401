"""The folder of a worker's local store: its owner, its lock, and the meaning of the disk's errors."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import msgspec

from schemas.json_reading import Int64, JsonReader, Unreadable

FORMAT = 1  # of the folder; goes up when an older Grayline could misread one
IDENTITY = "grayline-state.json"
LOCK = "lock"
DATABASE = "db"

_T = TypeVar("_T")
_FULL = ("No space left", "Disk quota exceeded", "File too large")
_LOCKED = ("While lock file", "lock hold by current process")
_FORBIDDEN = ("Permission denied", "Operation not permitted", "Read-only file system")
_DAMAGED = ("Corruption", "No such file or directory")


class StateRefused(Exception):
    """This state must not be used; an operator has to decide. The message says why and what would help."""

    exit_code = 2


class StateDamaged(Exception):
    """The content of the folder cannot be trusted. All of it can be rebuilt from Kafka."""

    exit_code = 1


class StateFailed(Exception):
    """The disk failed. Everything written before it stands."""

    exit_code = 1


class StateFull(StateFailed):
    """The disk is full."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The owner of a folder's state: format, cluster and group."""

    cluster: str  # Kafka's cluster id
    group: str
    format: Int64 = FORMAT


_IDENTITY = JsonReader(Identity)


class Folder:
    """A folder of Grayline's, locked until `release`."""

    def __init__(self, path: Path, lock: int, identity: Identity) -> None:
        self.path = path
        self.identity = identity
        self.is_held = True
        self._lock = lock  # descriptor, or -1 where there is no file to lock

    @classmethod
    def take(cls, path: Path, identity: Identity, *, rebuild: bool) -> Folder:
        """Locks the folder, making and claiming it for `identity` where it is missing or empty.

        rebuild: also where its identity cannot be read. Raises StateRefused, StateDamaged, StateFailed."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _ours_or_empty(path)
            lock = _locked(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            _explain(path, "making it", error)
        folder = cls(path, lock, identity)
        try:
            folder._claim(rebuild)
        except BaseException:
            folder.release()
            raise
        return folder

    @classmethod
    def read(cls, path: Path) -> Folder:
        """Locks a folder that exists, of any identity. Raises as `take` does."""
        if not (path / IDENTITY).is_file():
            raise StateRefused(f"{path} holds no state of Grayline: it has no file {IDENTITY}")
        try:
            lock = _locked(path, os.O_RDONLY) if (path / LOCK).exists() else -1  # a copy may lack it
        except OSError as error:
            _explain(path, "locking it", error)
        folder = cls(path, lock, Identity(cluster="", group=""))
        try:
            folder.identity = folder._stored()
        except BaseException:
            folder.release()
            raise
        return folder

    def clear(self) -> None:
        """Removes the database."""
        if (self.path / DATABASE).exists():
            try:
                shutil.rmtree(self.path / DATABASE)
            except OSError as error:
                _explain(self.path, "removing its database", error)

    def release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1
        self.is_held = False

    def trying(self, what: str, act: Callable[[], _T]) -> _T:
        """Returns act(), and raises RocksDB's errors as ours."""
        try:
            return act()
        except Exception as error:  # rocksdict raises plain Exceptions that only their text tells apart
            _explain(self.path, what, error)

    # -- identity ----------------------------------------------------------------------------------------------

    def _claim(self, rebuild: bool) -> None:
        if (self.path / IDENTITY).exists():
            try:
                stored = self._stored()
            except StateDamaged:
                if not rebuild:
                    raise
            else:
                self._same(stored)
                return
        try:
            _write_synced(self.path / IDENTITY, msgspec.json.encode(self.identity) + b"\n")
        except OSError as error:
            _explain(self.path, f"writing {IDENTITY}", error)

    def _stored(self) -> Identity:
        try:
            stored = _IDENTITY.read((self.path / IDENTITY).read_bytes())
        except Unreadable as error:
            raise StateDamaged(f"local state {self.path}: {IDENTITY} cannot be read: {error}") from error
        except OSError as error:
            _explain(self.path, f"reading {IDENTITY}", error)
        if stored.format != FORMAT:
            raise StateRefused(
                f"local state {self.path} has format {stored.format}, this version reads {FORMAT}: give another "
                "--state, which is then filled from Kafka, or run the Grayline that wrote it"
            )
        return stored

    def _same(self, stored: Identity) -> None:
        for what, theirs, ours in (
            ("Kafka cluster", stored.cluster, self.identity.cluster),
            ("group", stored.group, self.identity.group),
        ):
            if theirs != ours:
                raise StateRefused(
                    f"local state {self.path} belongs to {what} {theirs!r}, this worker's is {ours!r}: give another "
                    "--state, or remove the folder when nobody needs it"
                )


def _ours_or_empty(path: Path) -> None:
    """Refuses a folder that holds other files than ours. After a crash some of ours may be missing."""
    names = {entry.name for entry in path.iterdir()}
    others = sorted(names - {IDENTITY, _temporary(IDENTITY), LOCK, DATABASE})
    if IDENTITY not in names and (others or DATABASE in names):
        raise StateRefused(
            f"{path} is not empty and holds no state of Grayline (it has {others[0] if others else DATABASE!r} but no "
            f"{IDENTITY}): give --state a folder of its own"
        )


def _locked(path: Path, flags: int) -> int:
    """A descriptor of the lock file, locked. Freed by the system when this process ends, however it ends."""
    lock = os.open(path / LOCK, flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode(errors="replace").strip()
        os.close(lock)
        raise StateRefused(
            f"local state {path} is in use by {f'process {holder}' if holder.isdigit() else 'another process'}: stop "
            "that one first; workers on one machine need a --state each"
        ) from None
    try:
        if flags & os.O_RDWR:
            os.ftruncate(lock, 0)
            os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    except OSError:
        os.close(lock)
        raise
    return lock


def _write_synced(path: Path, content: bytes) -> None:
    """Replaces a file so that a crash leaves the old one or the new one."""
    beside = path.with_name(_temporary(path.name))
    with open(beside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _temporary(name: str) -> str:
    return name + ".new"


def _explain(path: Path, what: str, error: Exception) -> NoReturn:
    """Raises the error of ours that an error of the system or of RocksDB means."""
    text = str(error)
    if any(sign in text for sign in _FULL):
        raise StateFull(
            f"local state {path}: the disk is full ({what}: {text}); free some space and start again, nothing is lost"
        ) from error
    if any(sign in text for sign in _LOCKED):
        raise StateRefused(
            f"local state {path}: its database is in use by another process ({text}): stop that one first"
        ) from error
    if any(sign in text for sign in _FORBIDDEN):
        raise StateRefused(
            f"local state {path}: {what}: {text}; the folder must be one that we may write to, for reading too"
        ) from error
    if isinstance(error, FileExistsError | NotADirectoryError):
        raise StateRefused(f"local state {path}: {what}: {text}; --state names a folder") from error
    if not isinstance(error, OSError) and any(sign in text for sign in _DAMAGED):
        raise StateDamaged(f"local state {path} is damaged ({what}: {text})") from error
    raise StateFailed(f"local state {path}: {what}: {text}") from error
