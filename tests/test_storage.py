"""The bucket as storage root, on a real S3 server: whole or absent, verified, shared, healed, tidied."""

import dataclasses
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from minicode_assets.errors import ConfigError, CorruptArtifactError, MissingArtifactError, StorageError
from minicode_assets.storage import BucketStorage, LocalStorage, open_storage
from minicode_model.artifact import MANIFEST, open_artifact, write_artifact
from tests.s3_server import empty, s3_server

BUCKET = "lake"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A real S3 server's address."""
    with s3_server(BUCKET) as endpoint:
        yield endpoint


@pytest.fixture
def credentials(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment by which every S3 client finds the server."""
    for name, value in {
        "AWS_ENDPOINT_URL": server, "AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    empty(server, BUCKET)
    return server


@pytest.fixture
def machines(credentials: str, tmp_path: Path) -> tuple[BucketStorage, BucketStorage]:
    """Two machines with a bucket in common and nothing else."""
    opened = [open_storage(f"s3://{BUCKET}/some/where", tmp_path / name) for name in ("one", "two")]
    assert all(isinstance(storage, BucketStorage) for storage in opened)
    return opened[0], opened[1]  # type: ignore[return-value]


def make(storage: BucketStorage, text: str, *, name: str = "documents", partition: str = "00-of-02") -> Path:
    """An artefact with a file in a folder of its own, in the local copy."""
    folder = storage.data_folder / name / partition
    with write_artifact(folder, name=name, config_digest="c", inputs={"blobs": "b"}) as writer:
        (writer.path / "train").mkdir()
        (writer.path / "train" / "part.txt").write_text(text)
        (writer.path / "empty").write_bytes(b"")
        writer.metadata["num_rows"] = 3
    return folder


def test_another_machine_gets_the_same_artefact(machines: tuple[BucketStorage, BucketStorage]) -> None:
    one, two = machines
    folder = make(one, "text")
    one.publish(folder)
    there = two.data_folder / "documents" / "00-of-02"
    assert two.open(there).digest == open_artifact(folder).digest
    two.fetch(there)
    assert open_artifact(there) == dataclasses.replace(open_artifact(folder), path=there)
    assert (there / MANIFEST).read_bytes() == (folder / MANIFEST).read_bytes()


def test_what_is_here_is_not_fetched_again(machines: tuple[BucketStorage, BucketStorage]) -> None:
    one, _ = machines
    folder = make(one, "text")
    one.publish(folder)
    before = (folder / "train" / "part.txt").stat().st_ino
    one.fetch(folder)
    assert (folder / "train" / "part.txt").stat().st_ino == before


def test_newer_artefact_replaces_the_local_copy(machines: tuple[BucketStorage, BucketStorage]) -> None:
    one, two = machines
    one.publish(make(one, "first"))
    there = two.data_folder / "documents" / "00-of-02"
    two.fetch(there)
    one.publish(make(one, "second"))
    two.fetch(there)
    assert (there / "train" / "part.txt").read_text() == "second"


def test_unfinished_upload_is_invisible(machines: tuple[BucketStorage, BucketStorage]) -> None:
    """Every object of the new generation is there but the manifest: readers get the former artefact, whole."""
    import obstore

    one, two = machines
    one.publish(make(one, "former"))
    folder = make(one, "newer")
    digest = open_artifact(folder).digest
    obstore.put(one.store, f"documents/00-of-02/generations/{digest}/train/part.txt", b"newer")
    there = two.data_folder / "documents" / "00-of-02"
    two.fetch(there)
    assert (there / "train" / "part.txt").read_text() == "former"


def test_artefact_that_was_never_published(machines: tuple[BucketStorage, BucketStorage]) -> None:
    one, _ = machines
    folder = make(one, "only here")
    for ask in (one.open, one.fetch):
        with pytest.raises(MissingArtifactError, match="no such object") as caught:
            ask(folder)
        assert "hint: make run" in str(caught.value)


def test_lost_object(machines: tuple[BucketStorage, BucketStorage]) -> None:
    import obstore

    one, two = machines
    folder = make(one, "text")
    one.publish(folder)
    obstore.delete(one.store, f"documents/00-of-02/generations/{open_artifact(folder).digest}/train/part.txt")
    there = two.data_folder / "documents" / "00-of-02"
    for ask in (two.open, two.fetch):
        with pytest.raises(CorruptArtifactError, match=r"part\.txt"):
            ask(there)
    assert not there.exists()


def test_damaged_object_never_becomes_a_local_artefact_and_is_healed(
    machines: tuple[BucketStorage, BucketStorage],
) -> None:
    import obstore

    one, two = machines
    folder = make(one, "text")
    one.publish(folder)
    obstore.put(one.store, f"documents/00-of-02/generations/{open_artifact(folder).digest}/train/part.txt", b"tExt")
    there = two.data_folder / "documents" / "00-of-02"
    with pytest.raises(CorruptArtifactError, match="digest of the fetched files"):
        two.fetch(there)
    assert not there.exists()
    one.publish(folder)
    two.fetch(there)
    assert (there / "train" / "part.txt").read_text() == "text"


def test_manifest_that_is_no_json(machines: tuple[BucketStorage, BucketStorage]) -> None:
    import obstore

    one, _ = machines
    obstore.put(one.store, "corpus/manifest.json", b"<html>")
    with pytest.raises(CorruptArtifactError, match="not JSON"):
        one.fetch(one.data_folder / "corpus")


def test_runs_of_one_machine_fetch_in_turns(machines: tuple[BucketStorage, BucketStorage]) -> None:
    one, two = machines
    one.publish(make(one, "x" * 3_000_000))
    there = two.data_folder / "documents" / "00-of-02"
    problems: list[BaseException] = []

    def fetch() -> None:
        try:
            two.fetch(there)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    open_artifact(there, verify=True)


def test_prune_keeps_what_a_manifest_names_and_what_is_young(machines: tuple[BucketStorage, BucketStorage]) -> None:
    one, two = machines
    one.publish(make(one, "former"))
    one.publish(make(one, "newer"))
    assert one.prune(min_age=timedelta(hours=1)) == 0
    assert one.prune(min_age=timedelta(0)) == 2
    there = two.data_folder / "documents" / "00-of-02"
    two.fetch(there)
    assert (there / "train" / "part.txt").read_text() == "newer"


def test_bucket_that_does_not_exist(credentials: str, tmp_path: Path) -> None:
    storage = open_storage("s3://nowhere/at-all", tmp_path)
    assert isinstance(storage, BucketStorage)
    with pytest.raises(CorruptArtifactError, match="bucket is absent"):
        storage.publish(make(storage, "text"))


@pytest.mark.parametrize("root", ["gs://bucket/x", "s3://", "/a/folder", "bucket"])
def test_root_that_is_none(root: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected s3://") as caught:
        open_storage(root, tmp_path)
    assert "hint: MINICODE_STORAGE=" in str(caught.value)


def test_without_a_root_the_folder_is_the_storage(tmp_path: Path) -> None:
    storage = open_storage("", tmp_path)
    assert isinstance(storage, LocalStorage)
    with pytest.raises(MissingArtifactError):
        storage.open(tmp_path / "corpus")


def test_server_that_is_not_there(credentials: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from obstore.store import from_url

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store = from_url(f"s3://{BUCKET}/x", retry_config={"max_retries": 0})
    with pytest.raises(StorageError, match=f"s3://{BUCKET}/x/corpus/manifest.json") as caught:
        BucketStorage(f"s3://{BUCKET}/x", tmp_path, store).fetch(tmp_path / "corpus")
    assert "hint: check AWS_ENDPOINT_URL" in str(caught.value)
