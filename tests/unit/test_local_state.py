"""A worker's snapshots on disk: whole or refused, whatever happens to the disk, the process or the folder."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.state.local import LocalState, StateDamaged, StateFull, StateRefused
from streams.state.manifest import FORMAT, Chunk, Manifest, ManifestError, NewerManifest, chunk_key, decode

OURS = {"cluster": "cluster-1", "group": "grayline"}
ROOT = Path(__file__).parents[2]


def snapshot(
    partition: int, name: str, contents: list[bytes], before: Manifest | None = None
) -> tuple[Manifest, list[tuple[str, bytes]]]:
    """A manifest and its new chunks; `before`: they come on top of that one's."""
    new = [(chunk_key(partition, name, n), content) for n, content in enumerate(contents)]
    kept = before.chunks if before else []
    manifest = Manifest(
        snapshot=name,
        partition=partition,
        partitions=4,
        offsets={"cdr": 17, "message-relay": 4},
        chunks=[*kept, *(Chunk.of(key, content) for key, content in new)],
        base_bytes=sum(map(len, contents)),
        rules_version="0123456789ab",
        taken_ms=1_767_225_600_000,
    )
    return manifest, new


def held(state: LocalState, partition: int) -> list[bytes]:
    manifest = state.manifest(partition)
    assert manifest is not None
    return list(state.chunks(manifest))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def filled(directory: Path) -> Path:
    """A folder with a snapshot of partitions 0 and 2, let go again."""
    state = LocalState.open(directory, **OURS)
    for partition in (0, 2):
        manifest, new = snapshot(partition, "first", [random.Random(n).randbytes(200_000) for n in range(20)])
        state.write(manifest, new, [])
    state.close()
    # Opened once more, what lay in the log goes into tables.
    LocalState.open(directory, **OURS).close()
    return directory


# -- what is written can be read -------------------------------------------------------------------------------


def test_a_snapshot_is_there_after_the_folder_was_closed_and_opened(directory: Path) -> None:
    state = LocalState.open(directory, **OURS)
    manifest, new = snapshot(1, "a", [b"rows", b"", b"\x00" * 500_000])
    state.write(manifest, new, [])
    state.close()
    state.close()
    again = LocalState.open(directory, **OURS)
    assert again.partitions() == [1]
    assert again.manifest(1) == manifest
    assert held(again, 1) == [b"rows", b"", b"\x00" * 500_000]
    assert again.manifest(0) is None
    again.close()


def test_the_folder_is_for_its_user_alone(directory: Path) -> None:
    LocalState.open(directory / "deep", **OURS).close()
    assert (directory / "deep").stat().st_mode & 0o777 == 0o700


def test_deltas_come_after_the_image_they_build_on_and_a_new_image_removes_them(directory: Path) -> None:
    state = LocalState.open(directory, **OURS)
    whole, new = snapshot(0, "a", [b"image"])
    state.write(whole, new, [])
    delta, new = snapshot(0, "b", [b"delta"], whole)
    state.write(delta, new, [])
    assert held(state, 0) == [b"image", b"delta"]
    anew, new = snapshot(0, "c", [b"new image"])
    state.write(anew, new, [chunk.key for chunk in delta.chunks])
    assert held(state, 0) == [b"new image"]
    assert state.unnamed() == []
    with pytest.raises(StateDamaged, match="chunk 0/b/0 is missing"):
        state.chunk(delta.chunks[1])
    state.close()


def test_chunks_of_the_snapshot_before_go_even_when_nobody_names_them(directory: Path) -> None:
    state = LocalState.open(directory, **OURS)
    for name in "abc":
        manifest, new = snapshot(0, name, [name.encode()])
        state.write(manifest, new, [])
    assert state.unnamed() == []
    state.close()


def test_a_manifest_with_chunks_that_are_not_here_is_not_written(directory: Path) -> None:
    state = LocalState.open(directory, **OURS)
    whole, new = snapshot(0, "a", [b"image"])
    state.write(whole, new, [])
    elsewhere, _ = snapshot(0, "topic", [b"image of the topic"])
    delta, new = snapshot(0, "b", [b"delta"], elsewhere)
    with pytest.raises(ValueError, match="names chunk 0/topic/0"):
        state.write(delta, new, [])
    changed, new = snapshot(0, "c", [b"content"])
    with pytest.raises(ValueError, match="names chunk 0/c/0"):
        state.write(changed, [(new[0][0], b"other content")], [])
    assert held(state, 0) == [b"image"]
    state.close()


def test_dropping_a_partition_leaves_those_whose_numbers_begin_alike(directory: Path) -> None:
    state = LocalState.open(directory, **OURS)
    for partition in (1, 2):
        state.write(*snapshot(partition, "a", [b"%d" % partition]), [])
    eleven = Manifest(
        snapshot="a", partition=11, partitions=12, offsets={}, chunks=[Chunk.of("11/a/0", b"11")], base_bytes=2,
        rules_version="", taken_ms=0,
    )  # fmt: skip
    state.write(eleven, [("11/a/0", b"11")], [])
    state.drop(1)
    state.drop(3)
    assert state.partitions() == [2, 11]
    assert state.unnamed() == []
    state.close()
    state = LocalState.open(directory, **OURS)
    assert (state.partitions(), held(state, 2), held(state, 11)) == ([2, 11], [b"2"], [b"11"])
    state.close()


def test_replaced_snapshots_give_their_space_back(directory: Path) -> None:
    state = LocalState.open(directory, **OURS)
    for n in range(40):
        contents = [random.Random(n * 100 + i).randbytes(400_000) for i in range(10)]
        state.write(*snapshot(0, f"s{n}", contents), [])
    size = sum(file.stat().st_size for file in (directory / "db").iterdir())
    assert size < 25 * 4_000_000, "forty images of 4 MB each, one of them alive"
    state.close()


# -- manifests -------------------------------------------------------------------------------------------------


def test_a_manifest_survives_its_json() -> None:
    manifest, _ = snapshot(3, "a", [b"x", b"y"])
    assert decode(manifest.encode()) == manifest
    assert json.loads(manifest.encode())["chunks"][0] == {"key": "3/a/0", "bytes": 1, "crc": Chunk.of("", b"x").crc}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"partition": 4}, "partition 4 of 4"),
        ({"chunks": [{"key": "2/a/0", "bytes": 1, "crc": 1}]}, "'2/a/0' is not of partition 3"),
        ({"chunks": [{"key": "3/a/0", "bytes": 1, "crc": 1}] * 2}, "names a chunk twice"),
        ({"offsets": {"cdr": -1}}, "offset below 0"),
        ({"offsets": {"cdr": "7"}}, "cannot be read"),
        ({"format": 0}, "formats begin at 1"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(change: dict[str, object], says: str) -> None:
    sound = json.loads(snapshot(3, "a", [b"x"])[0].encode())
    with pytest.raises(ManifestError, match=says):
        decode(json.dumps(sound | change).encode())


def test_a_manifest_of_a_later_format_is_told_apart_from_a_damaged_one() -> None:
    with pytest.raises(NewerManifest, match=f"format {FORMAT + 1}"):
        decode(b'{"format": %d, "chunks": "kept elsewhere"}' % (FORMAT + 1))
    with pytest.raises(ManifestError, match="cannot be read"):
        decode(snapshot(0, "a", [b"x"])[0].encode()[:-9])
    with pytest.raises(ManifestError, match="cannot be read"):
        decode(b"\xff\xfe")


# -- whose folder it is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "says"), [({"group": "other"}, "group 'grayline'"), ({"cluster": "x"}, "cluster")])
def test_another_groups_or_clusters_folder_is_refused_even_for_rebuilding(
    filled: Path, change: dict[str, str], says: str
) -> None:
    for rebuild in (False, True):
        with pytest.raises(StateRefused, match=says) as refused:
            LocalState.open(filled, **(OURS | change), rebuild=rebuild)
        assert refused.value.exit_code == 2
    state = LocalState.open(filled, **OURS)
    assert state.partitions() == [0, 2]
    state.close()


def test_a_folder_that_is_something_elses_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for rebuild in (False, True):
        with pytest.raises(StateRefused, match=r"thesis\.txt"):
            LocalState.open(tmp_path, **OURS, rebuild=rebuild)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StateRefused, match="names a folder"):
        LocalState.open(tmp_path / "state", **OURS)
    with pytest.raises(StateRefused, match="names a folder"):
        LocalState.open(tmp_path / "state" / "below", **OURS)


def test_a_folder_of_a_later_format_is_refused(filled: Path) -> None:
    (filled / "grayline-state.json").write_text('{"cluster": "cluster-1", "group": "grayline", "format": 2}')
    with pytest.raises(StateRefused, match="has format 2, this version reads 1"):
        LocalState.open(filled, **OURS)
    with pytest.raises(StateRefused, match="has format 2"):
        LocalState.read(filled)


def test_a_snapshot_of_a_later_format_is_refused(filled: Path) -> None:
    put(filled, b"#snapshot/2", b'{"format": 2}')
    with pytest.raises(StateRefused, match="the snapshot has format 2"):
        LocalState.open(filled, **OURS)


def test_a_folder_that_a_crash_left_half_made_is_completed(directory: Path) -> None:
    directory.mkdir()
    (directory / "lock").touch()
    (directory / "grayline-state.json.new").write_text('{"clus')
    state = LocalState.open(directory, **OURS)
    assert state.partitions() == []
    state.close()


def test_an_identity_that_cannot_be_read_is_damage_and_can_be_rebuilt(filled: Path) -> None:
    (filled / "grayline-state.json").write_text("")
    with pytest.raises(StateDamaged, match=r"grayline-state\.json cannot be read"):
        LocalState.open(filled, **OURS)
    state = LocalState.open(filled, **OURS, rebuild=True)
    assert state.partitions() == []
    state.close()


def test_reading_a_folder_without_state_is_refused_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StateRefused, match="holds no state of Grayline"):
        LocalState.read(tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- one process at a time -------------------------------------------------------------------------------------

HOLD = """
import sys
from streams.state.local import LocalState
state = LocalState.open(sys.argv[1], cluster="cluster-1", group="grayline")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(filled: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the folder open."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(filled)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_in_use_is_refused_to_everybody_else_and_names_who_has_it(
    filled: Path, holder: subprocess.Popen[str]
) -> None:
    for attempt in (
        lambda: LocalState.open(filled, **OURS),
        lambda: LocalState.open(filled, **OURS, rebuild=True),
        lambda: LocalState.read(filled),
    ):
        with pytest.raises(StateRefused, match=f"in use by process {holder.pid}"):
            attempt()
    holder.kill()
    holder.wait()
    state = LocalState.open(filled, **OURS)
    assert state.partitions() == [0, 2]
    state.close()


def test_a_database_that_something_else_has_open_is_refused(filled: Path) -> None:
    code = "import sys, rocksdict as r; d = r.Rdict(sys.argv[1], r.Options(raw_mode=True)); print(); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(filled / "db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(StateRefused, match="its database is in use by another process"):
            LocalState.open(filled, **OURS)
        other.communicate(b"")


def test_within_one_process_a_folder_is_opened_once(filled: Path) -> None:
    state = LocalState.open(filled, **OURS)
    with pytest.raises(StateRefused, match="in use"):
        LocalState.open(filled, **OURS)
    with pytest.raises(StateRefused, match="in use"):
        LocalState.read(filled)
    state.close()
    LocalState.read(filled).close()


# -- damage ----------------------------------------------------------------------------------------------------


def put(directory: Path, key: bytes, value: bytes) -> None:
    """Put something into the database behind LocalState's back."""
    from rocksdict import Options, Rdict

    database = Rdict(str(directory / "db"), Options(raw_mode=True))
    database[key] = value
    database.flush()
    database.close()


def test_a_chunk_with_one_bit_changed_is_named(filled: Path) -> None:
    content = bytearray(random.Random(7).randbytes(200_000))
    content[100_000] ^= 1
    put(filled, b"2/first/7", bytes(content))
    state = LocalState.open(filled, **OURS)
    assert len(held(state, 0)) == 20
    with pytest.raises(StateDamaged, match="chunk 2/first/7 is damaged: its CRC-32 is") as damaged:
        held(state, 2)
    assert damaged.value.exit_code == 1
    state.close()


def test_a_chunk_that_is_shorter_than_it_was_is_named(filled: Path) -> None:
    put(filled, b"0/first/0", b"short")
    state = LocalState.open(filled, **OURS)
    with pytest.raises(StateDamaged, match="chunk 0/first/0 has 5 bytes instead of 200000"):
        held(state, 0)
    state.close()


def test_a_manifest_that_cannot_be_read_is_damage(filled: Path) -> None:
    put(filled, b"#snapshot/2", b"{")
    with pytest.raises(StateDamaged, match="#snapshot/2: the manifest cannot be read"):
        LocalState.open(filled, **OURS)


def database_files(directory: Path, pattern: str) -> list[Path]:
    files = sorted((directory / "db").glob(pattern))
    assert files
    return files


@pytest.mark.parametrize("pattern", ["*.sst", "MANIFEST-*", "CURRENT"])
@pytest.mark.parametrize("how", ["truncated", "emptied", "removed"])
def test_truncated_and_missing_files_are_recognised_and_can_be_rebuilt(filled: Path, pattern: str, how: str) -> None:
    file = database_files(filled, pattern)[0]
    if how == "removed":
        file.unlink()
    else:
        os.truncate(file, file.stat().st_size // 2 if how == "truncated" else 0)
    with pytest.raises(StateDamaged, match="damaged"):
        LocalState.read(filled)
    with pytest.raises(StateDamaged, match="damaged"):
        LocalState.open(filled, **OURS)
    state = LocalState.open(filled, **OURS, rebuild=True)
    assert state.partitions() == []
    state.write(*snapshot(1, "a", [b"anew"]), [])
    assert held(state, 1) == [b"anew"]
    state.close()


@pytest.mark.parametrize("pattern", ["*.sst", "MANIFEST-*", "*.log"])
def test_no_flipped_bit_is_ever_read_as_a_snapshot(directory: Path, pattern: str) -> None:
    contents = [random.Random(n).randbytes(60_000) for n in range(20)]
    state = LocalState.open(directory, **OURS)
    state.write(*snapshot(0, "first", contents[:10]), [])
    if pattern != "*.log":
        state.close()
        state = LocalState.open(directory, **OURS)
    before = state.manifest(0)
    second, new = snapshot(0, "second", contents[10:], before)
    state.write(second, new, [])
    # As a crash leaves it: what was written last is still in the log.
    sound = directory.with_name("sound")
    shutil.copytree(directory, sound)
    state.close()
    picks = random.Random(20)
    for _ in range(12):
        shutil.rmtree(directory)
        shutil.copytree(sound, directory)
        file = max(database_files(directory, pattern), key=lambda file: file.stat().st_size)
        content = bytearray(file.read_bytes())
        content[picks.randrange(len(content))] ^= 1 << picks.randrange(8)
        file.write_bytes(content)
        try:
            state = LocalState.open(directory, **OURS)
        except StateDamaged:
            continue
        try:
            manifest = state.manifest(0)
            read = [] if manifest is None else list(state.chunks(manifest))
            assert (manifest, read) in [(None, []), (before, contents[:10]), (second, contents)]
        except StateDamaged:
            pass
        finally:
            state.close()


# -- kill -9 ---------------------------------------------------------------------------------------------------

WRITE = """
import random, sys
from streams.state.local import LocalState
from tests.unit.test_local_state import OURS, killed_contents, snapshot
state = LocalState.open(sys.argv[1], **OURS)
manifest = state.manifest(0)
n = 0 if manifest is None else manifest.offsets["cdr"] + 1
while True:
    kept = None if n % 5 == 0 else state.manifest(0)
    manifest, new = snapshot(0, f"s{n}", killed_contents(n), kept)
    manifest.offsets["cdr"] = n
    state.write(manifest, new, [])
    print(n, flush=True)
    n += 1
"""


def killed_contents(n: int) -> list[bytes]:
    return [random.Random(n * 10 + i).randbytes(150_000) for i in range(4)]


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_a_whole_snapshot_not_older_than_it_said(directory: Path) -> None:
    picks = random.Random(9)
    said = -1
    for _ in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(directory)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert writer.stdout is not None
        for _ in range(picks.randrange(1, 8)):
            said = int(writer.stdout.readline())
        for _ in range(picks.randrange(400_000)):
            pass  # somewhere within the write that follows
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate()
        said = int(rest.split()[-1]) if rest.endswith("\n") else said
        state = LocalState.open(directory, **OURS)
        manifest = state.manifest(0)
        assert manifest is not None
        last = manifest.offsets["cdr"]
        assert last >= said
        expected = [content for n in range(last - last % 5, last + 1) for content in killed_contents(n)]
        assert list(state.chunks(manifest)) == expected
        assert state.unnamed() == []
        state.close()


# -- a full disk -----------------------------------------------------------------------------------------------

FILL = """
import resource, signal, sys
from streams.state.local import LocalState, StateFull
from tests.unit.test_local_state import OURS, held, snapshot
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
state = LocalState.open(sys.argv[1], **OURS)
state.write(*snapshot(0, "a", [b"before"]), [])
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
manifest, new = snapshot(0, "b", [bytes([n]) * 400_000 for n in range(5)])
for attempt in range(2):
    try:
        state.write(manifest, new, [])
    except StateFull as full:
        print(full.exit_code, full)
assert held(state, 0) == [b"before"]
"""


def test_a_file_that_may_not_grow_fails_the_write_and_leaves_the_snapshot_before(directory: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FILL, str(directory)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"1 local state {directory}: the disk is full") for line in lines)
    state = LocalState.open(directory, **OURS)
    assert held(state, 0) == [b"before"]
    state.write(*snapshot(0, "b", [b"after"]), [])
    assert held(state, 0) == [b"after"]
    state.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", mount], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield mount
    subprocess.run(["umount", "--lazy", mount], check=True)  # a failed test may still have files open there


def test_a_full_disk_fails_the_write_and_the_next_start_goes_on_once_there_is_space(small_disk: Path) -> None:
    state = LocalState.open(small_disk / "state", **OURS)
    state.write(*snapshot(0, "a", [b"before"]), [])
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2_000_000))
    with pytest.raises(StateFull, match="the disk is full") as full:
        state.write(*snapshot(0, "b", [bytes([n]) * 400_000 for n in range(5)]), [])
    assert full.value.exit_code == 1
    assert held(state, 0) == [b"before"]
    state.close()
    ballast.unlink()
    state = LocalState.open(small_disk / "state", **OURS)
    assert held(state, 0) == [b"before"]
    state.write(*snapshot(0, "c", [bytes(400_000)]), [])
    assert held(state, 0) == [bytes(400_000)]
    state.close()


def test_a_disk_that_is_full_before_the_start_is_said(small_disk: Path) -> None:
    with open(small_disk / "ballast", "wb", buffering=0) as ballast:
        while os.statvfs(small_disk).f_bavail:
            ballast.write(bytes(4096))
    with pytest.raises(StateFull, match="the disk is full"):
        LocalState.open(small_disk / "state", **OURS)
    (small_disk / "ballast").unlink()
    LocalState.open(small_disk / "state", **OURS).close()


def test_a_read_only_disk_is_refused(small_disk: Path) -> None:
    state = LocalState.open(small_disk / "state", **OURS)
    state.write(*snapshot(0, "a", [b"kept"]), [])
    state.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StateRefused, match="may write"):
        LocalState.open(small_disk / "state", **OURS)
    with pytest.raises(StateRefused, match="may write"):
        LocalState.read(small_disk / "state")
