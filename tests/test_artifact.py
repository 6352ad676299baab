"""Artefact folders: complete or absent, never half; and every way of damage is named."""

import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minicode_model.artifact import MANIFEST, Artifact, check_replaceable, open_artifact, write_artifact
from minicode_model.errors import CorruptArtifactError, MissingArtifactError, StorageError


def make(folder: Path, content: bytes = b"rows", name: str = "contents") -> Artifact:
    with write_artifact(folder, name=name, config_digest="c", inputs={"x": "1"}) as writer:
        (writer.path / "sub").mkdir()
        (writer.path / "part-0.bin").write_bytes(content)
        (writer.path / "sub" / "part-1.bin").write_bytes(content * 2)
        writer.metadata = {"num_rows": 3}
    return open_artifact(folder)


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_round_trip(tmp_path: Path) -> None:
    artifact = make(tmp_path / "a" / "contents")
    assert [file.path for file in artifact.files] == ["part-0.bin", "sub/part-1.bin"]
    assert artifact.metadata == {"num_rows": 3}
    assert artifact.inputs == {"x": "1"}
    assert artifact.total_bytes == 12
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["contents"]


def test_a_persons_folder_is_not_replaced(tmp_path: Path) -> None:
    """What --out names: nothing, an empty folder, or what the same command made, and no file of anybody's in it."""
    make(tmp_path / "made")
    (tmp_path / "empty").mkdir()
    for name, kind in (("absent", "contents"), ("empty", "contents"), ("made", "contents"), ("made", "sub/part-1.bin")):
        check_replaceable(tmp_path / name, kind)
    for folder, kind in ((tmp_path, "contents"), (tmp_path / "made", "other"), (tmp_path / "made" / MANIFEST, "other")):
        with pytest.raises(StorageError, match=r"found other things there|a file stands"):
            check_replaceable(folder, kind)
    (tmp_path / "made" / "notes.txt").touch()
    with pytest.raises(StorageError, match="which would be lost"):
        check_replaceable(tmp_path / "made", "contents")


def test_digest_covers_bytes_only(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one"), make(tmp_path / "two", name="other")
    assert one.digest == two.digest != make(tmp_path / "three", b"rowz").digest


def test_exception_keeps_the_former_artefact(tmp_path: Path) -> None:
    before = make(tmp_path / "contents")

    def fail_half_way() -> None:
        with write_artifact(tmp_path / "contents", name="contents", config_digest="", inputs={}) as writer:
            (writer.path / "part-0.bin").write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert open_artifact(tmp_path / "contents").digest == before.digest
    assert [p.name for p in tmp_path.iterdir()] == ["contents"]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda folder: (folder / "part-0.bin").write_bytes(b"roWs"), "sha256 found"),
        (lambda folder: (folder / "part-0.bin").write_bytes(b"row"), "found 3 bytes, expected 4 bytes"),
        (lambda folder: (folder / "sub" / "part-1.bin").unlink(), "found no file"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "not JSON"),
        (lambda folder: (folder / MANIFEST).write_text("{}"), "format_version"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "malformed"),
        (lambda folder: rewrite(folder / MANIFEST, '"num_rows": 3', '"num_rows": 4'), "the seal in it says"),
        (lambda folder: (folder / MANIFEST).write_text('{"format_version": 9, "name": "contents"}'), "expected 1"),
    ],
    ids=[
        "bit flip",
        "truncated",
        "deleted",
        "manifest cut",
        "manifest empty",
        "manifest a list",
        "manifest changed",
        "other format",
    ],
)
def test_damage_is_named(tmp_path: Path, damage, expected: str) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "contents")
    damage(tmp_path / "contents")
    with pytest.raises(CorruptArtifactError, match=expected) as caught:
        open_artifact(tmp_path / "contents")
    assert "hint:" in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_absent_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match="never completed"):
        open_artifact(tmp_path)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StorageError, match="hint: a file stands where a folder is needed"):
        make(tmp_path / "data" / "contents")


def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """A limit on file size stands in for a full disk: the write fails with an error of the operating system."""
    before = make(tmp_path / "contents")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        with pytest.raises(StorageError, match="hint: raise the file size limit"):
            make(tmp_path / "contents", b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert open_artifact(tmp_path / "contents").digest == before.digest


def _make_as_nobody(folder: Path) -> None:
    if os.geteuid() == 0:
        os.setuid(65534)
    try:
        make(folder / "contents")
    except StorageError as error:
        os._exit(7 if "hint: make it writable" in str(error) and str(folder) in str(error) else 1)
    os._exit(0)


def test_folder_that_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    child = multiprocessing.get_context("fork").Process(target=_make_as_nobody, args=(tmp_path,))
    child.start()
    child.join()
    assert child.exitcode == 7


def _write_slowly(folder: Path, ready: Path) -> None:
    with write_artifact(folder, name="contents", config_digest="", inputs={}) as writer:
        (writer.path / "part-0.bin").write_bytes(b"half")
        ready.touch()
        time.sleep(60)


def test_kill_leaves_no_artefact_and_the_next_writer_cleans_up(tmp_path: Path) -> None:
    folder, ready = tmp_path / "contents", tmp_path / "ready"
    child = multiprocessing.get_context("spawn").Process(target=_write_slowly, args=(folder, ready))
    child.start()
    while not ready.exists():
        time.sleep(0.01)
    with pytest.raises(StorageError, match="another process is writing"):
        make(folder)
    child.kill()
    child.join()
    with pytest.raises(MissingArtifactError):
        open_artifact(folder)
    ready.unlink()
    make(folder)
    assert [p.name for p in tmp_path.iterdir()] == ["contents"]


def test_manifest_is_canonical_across_processes(tmp_path: Path) -> None:
    """Hash randomisation and the folder's own order must not show."""
    code = (
        "import sys; from pathlib import Path; from minicode_model.artifact import write_artifact\n"
        "with write_artifact(Path(sys.argv[1]), name='n', config_digest='', inputs={'b': '1', 'a': '2'}) as w:\n"
        "    [(w.path / name).write_text(name) for name in {'x', 'y', 'z', 'w'}]\n"
    )
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True)
    one, two = (json.loads((tmp_path / name / MANIFEST).read_text()) for name in ("one", "two"))
    assert one == two
