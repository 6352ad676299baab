"""A partition's blobs: verified, explained, resumed, and the same bytes whatever happened on the way."""

import contextlib
import gzip
import hashlib
import random
import resource
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicode_assets.blobs.backends import Absent, Answer, LocalBackend, Wanted
from minicode_assets.blobs.chain import open_chain
from minicode_assets.blobs.journal import Journal
from minicode_assets.blobs.store import fetch_partition
from minicode_assets.config import Blobs
from minicode_assets.errors import BlobError, StorageError
from minicode_assets.schemas import QUARANTINE
from minicode_assets.swhid import content_ids
from minicode_model.artifact import open_artifact
from tests.blobs.archive_server import API_FAULTS, S3_FAULTS, ArchiveServer, Stored, make_contents
from tests.blobs.tables import CONTACT, api, fetch, fetch_from, read_blobs, s3, write_contents
from tests.blobs.test_limits import Simulated
from tests.forked import IMPORTED

ROOT = Path(__file__).parents[2]


class Scripted:
    """A remote source whose order, failures and interruptions are chosen: a real backend, over a dictionary."""

    name = "scripted"

    def __init__(
        self,
        bodies: dict[bytes, bytes | Absent],
        *,
        seed: int = 0,
        fails_after: int | None = None,
        is_remote: bool = True,
    ) -> None:
        self.bodies, self.seed, self.fails_after, self.is_remote = bodies, seed, fails_after, is_remote
        self.asked: list[bytes] = []

    def figures(self) -> dict[str, int]:
        return {"asked": len(self.asked)}

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Answer]:
        shuffled = list(wanted)
        random.Random(self.seed).shuffle(shuffled)
        for content in shuffled:
            if self.fails_after is not None and len(self.asked) >= self.fails_after:
                raise BlobError("the source went away")
            self.asked.append(content.sha1_git)
            yield Answer(content, self.bodies[content.sha1_git], self.name)


def bodies_of(contents: Iterable[Stored]) -> dict[bytes, bytes | Absent]:
    return {stored.ids[0]: stored.body for stored in contents}


def files_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_content_has_a_row_and_verified_ones_their_bytes(tmp_path: Path) -> None:
    contents = make_contents(60)
    table = write_contents(tmp_path / "contents", contents)
    artifact = fetch(table, Scripted(bodies_of(contents)), tmp_path / "blobs" / "p")
    rows = read_blobs(artifact.path)
    assert rows["sha1_git"].to_list() == sorted(stored.ids[0] for stored in contents)
    assert set(rows["status"]) == {"verified"}
    for sha1_git, sha1, length, body in rows.select("sha1_git", "sha1", "length", "data").iter_rows():
        assert content_ids(body) == (sha1_git, sha1)
        assert len(body) == length
    assert artifact.metadata["num_rows"] == artifact.metadata["num_verified"] == 60
    assert artifact.metadata["verified_bytes"] == sum(len(stored.body) for stored in contents)
    assert sorted(p.name for p in (tmp_path / "blobs").iterdir()) == ["p"], "nothing is left beside it"


def test_local_folder_and_too_long(tmp_path: Path) -> None:
    contents = make_contents(20)
    (tmp_path / "content").mkdir()
    for stored in contents:
        (tmp_path / "content" / stored.ids[1].hex()).write_bytes(gzip.compress(stored.body))
    table = write_contents(tmp_path / "contents", contents)
    artifact = fetch(table, LocalBackend(tmp_path / "content"), tmp_path / "p", max_length_bytes=150)
    assert artifact.metadata["num_too_long"] == sum(len(stored.body) > 150 for stored in contents) > 0
    assert artifact.metadata["num_verified"] == 20 - artifact.metadata["num_too_long"]


def test_licence_files_come_first(tmp_path: Path) -> None:
    contents = make_contents(50)
    table = write_contents(tmp_path / "contents", contents)

    class InOrder(Scripted):
        def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Answer]:
            for content in wanted:
                self.asked.append(content.sha1_git)
                yield Answer(content, self.bodies[content.sha1_git], self.name)

    source = InOrder(bodies_of(contents))
    fetch(table, source, tmp_path / "p")
    licenses = {contents[n].ids[0] for n in range(0, 50, 10)}
    assert set(source.asked[:5]) == licenses


def test_each_failure_is_explained_and_mismatches_are_quarantined(tmp_path: Path) -> None:
    contents = make_contents(6)
    table = write_contents(tmp_path / "contents", contents)
    ids = [stored.ids[0] for stored in contents]
    swapped = b"x" * len(contents[1].body)
    bodies = bodies_of(contents) | {
        ids[1]: swapped,
        ids[2]: b"",
        ids[3]: Absent("masked", "taken down: restricted"),
        ids[4]: Absent("retry_later", "HTTP status 503"),
        ids[5]: Absent("missing", "unknown"),
    }
    source = Scripted(bodies)
    artifact = fetch(table, source, tmp_path / "p", max_attempts=3)
    rows = {row["sha1_git"]: row for row in read_blobs(artifact.path).iter_rows(named=True)}
    found = [rows[sha1_git]["status"] for sha1_git in ids]
    assert found == ["verified", "mismatch", "mismatch", "masked", "unreachable", "missing"]
    assert all(
        rows[sha1_git]["data"] is None and rows[sha1_git]["problem"].startswith("scripted: ") for sha1_git in ids[1:]
    )
    assert [source.asked.count(sha1_git) for sha1_git in ids] == [1, 3, 3, 1, 3, 1]
    quarantine = pl.read_parquet(artifact.path / "quarantine" / "*.parquet")
    assert quarantine.schema == QUARANTINE.polars
    assert dict(quarantine.select("sha1_git", "data").iter_rows()) == {ids[1]: swapped, ids[2]: b""}
    evidence = quarantine.filter(pl.col("sha1_git") == ids[1]).row(0, named=True)
    assert (evidence["found_sha1_git"], evidence["found_sha1"]) == content_ids(swapped)
    assert sum(artifact.metadata[f"num_{s}"] for s in ("verified", "mismatch", "masked", "unreachable", "missing")) == 6
    assert artifact.verify()


@given(seed=st.integers(0, 1000), stops=st.lists(st.integers(0, 60), max_size=4))
@settings(max_examples=20)
def test_same_bytes_whatever_the_order_and_interruptions(
    tmp_path_factory: pytest.TempPathFactory, seed: int, stops: list[int]
) -> None:
    """And no verified content is asked for twice."""
    folder = tmp_path_factory.mktemp("order")
    contents = make_contents(40)
    table = write_contents(folder / "contents", contents)
    bodies = bodies_of(contents) | {contents[7].ids[0]: Absent("missing", "unknown"), contents[8].ids[0]: b"wrong"}
    straight = fetch(table, Scripted(bodies), folder / "straight")
    asked: list[bytes] = []
    for stop in stops:
        source = Scripted(bodies, seed=seed, fails_after=stop)
        with contextlib.suppress(BlobError):
            fetch(table, source, folder / "stopped")
        asked += source.asked
    last = Scripted(bodies, seed=seed + 1)
    stopped = fetch(table, last, folder / "stopped")
    asked += last.asked
    assert files_of(stopped.path) == files_of(straight.path)
    assert max(asked.count(stored.ids[0]) for n, stored in enumerate(contents) if n not in (7, 8)) == 1


def test_forced_again_asks_a_remote_source_only_for_what_was_not_verified(tmp_path: Path) -> None:
    contents = make_contents(30)
    table = write_contents(tmp_path / "contents", contents)
    lost = contents[3].ids[0]
    fetch(table, Scripted(bodies_of(contents) | {lost: Absent("missing", "unknown")}), tmp_path / "p")
    again = Scripted(bodies_of(contents))
    artifact = fetch(table, again, tmp_path / "p")
    assert again.asked == [lost]
    assert artifact.metadata["num_verified"] == 30
    straight = fetch(table, Scripted(bodies_of(contents)), tmp_path / "straight")
    assert files_of(artifact.path) == files_of(straight.path)
    local = Scripted(bodies_of(contents), is_remote=False)
    fetch(table, local, tmp_path / "p")
    assert len(local.asked) == 30, "a local folder is read again: it may have changed"


@pytest.mark.parametrize("damage", ["flip", "torn", "no_manifest"])
def test_damaged_artefact_costs_requests_never_bytes(tmp_path: Path, damage: str) -> None:
    """The hint for a damaged artefact is to make it again: that must not fail on the damage."""
    contents = make_contents(30)
    table = write_contents(tmp_path / "contents", contents)
    first = fetch(table, Scripted(bodies_of(contents)), tmp_path / "p")
    before = files_of(first.path)
    part = tmp_path / "p" / "part-00000.parquet"
    whole = part.read_bytes()
    if damage == "no_manifest":
        (tmp_path / "p" / "manifest.json").unlink()
    else:
        part.write_bytes(whole[:-40] if damage == "torn" else whole[:600] + bytes([whole[600] ^ 255]) + whole[601:])
    again = Scripted(bodies_of(contents))
    artifact = fetch(table, again, tmp_path / "p")
    assert files_of(artifact.path) == before
    least, most = {"flip": (1, 30), "torn": (30, 30), "no_manifest": (0, 0)}[damage]
    assert least <= len(again.asked) <= most


def test_other_number_of_partitions_asks_for_nothing_again(tmp_path: Path) -> None:
    contents = make_contents(80)
    table = write_contents(tmp_path / "contents", contents)
    straight, source = Scripted(bodies_of(contents)), Scripted(bodies_of(contents))
    for number in range(4):
        key = f"{number:02d}-of-04"
        fetch_partition(table, source, tmp_path / key, partition=key, params=Blobs(), config_digest="digest")
    again = Scripted(bodies_of(contents))
    key = "01-of-02"
    merged = fetch_partition(table, again, tmp_path / key, partition=key, params=Blobs(), config_digest="digest")
    assert not again.asked
    expected = fetch_partition(
        table, straight, tmp_path / "other" / key, partition=key, params=Blobs(), config_digest="digest"
    )
    assert files_of(merged.path) == files_of(expected.path)
    assert len(straight.asked) == merged.metadata["num_rows"] > 10


def test_verdicts_of_other_inputs_are_forgotten_and_bytes_are_kept(tmp_path: Path) -> None:
    contents = make_contents(30)
    table = write_contents(tmp_path / "contents", contents)
    bodies = bodies_of(contents) | {contents[2].ids[0]: Absent("missing", "unknown")}
    first = Scripted(bodies, fails_after=25)
    with pytest.raises(BlobError, match="went away"):
        fetch(table, first, tmp_path / "p")
    table = write_contents(tmp_path / "contents", [*contents, *make_contents(5, seed=1)])
    second = Scripted(bodies_of([*contents, *make_contents(5, seed=1)]))
    artifact = fetch(table, second, tmp_path / "p")
    assert artifact.metadata["num_verified"] == 35
    verified_before = set(first.asked) - {contents[2].ids[0]}
    assert not verified_before & set(second.asked)
    assert contents[2].ids[0] in second.asked


@pytest.mark.parametrize("damage", ["torn", "garbage", "flip", "zeros", "emptied"])
def test_damaged_journal_costs_requests_never_bytes(tmp_path: Path, damage: str) -> None:
    """Power loss: the tail is torn, or pages in the middle were never written."""
    contents = make_contents(40)
    table = write_contents(tmp_path / "contents", contents)
    with pytest.raises(BlobError):
        fetch(table, Scripted(bodies_of(contents), fails_after=30), tmp_path / "p")
    journal = tmp_path / ".journal-p" / "journal"
    whole = journal.read_bytes()
    middle = len(whole) // 2
    journal.write_bytes({
        "torn": whole[:-7],
        "garbage": whole + b"garbage" * 9,
        "flip": whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :],
        "zeros": whole[:middle] + bytes(300) + whole[middle + 300 :],
        "emptied": b"",
    }[damage])  # fmt: skip
    source = Scripted(bodies_of(contents))
    artifact = fetch(table, source, tmp_path / "p")
    assert len(source.asked) <= {"torn": 11, "garbage": 10, "flip": 11, "zeros": 15, "emptied": 40}[damage]
    straight = fetch(table, Scripted(bodies_of(contents)), tmp_path / "straight")
    assert files_of(artifact.path) == files_of(straight.path)


def test_two_runs_at_once(tmp_path: Path) -> None:
    contents = make_contents(10)
    table = write_contents(tmp_path / "contents", contents)
    with Journal(tmp_path / ".journal-p"), pytest.raises(StorageError, match="another run is fetching"):
        fetch(table, Scripted(bodies_of(contents)), tmp_path / "p")
    assert fetch(table, Scripted(bodies_of(contents)), tmp_path / "p").metadata["num_verified"] == 10


def test_full_disk_stops_and_resumes(tmp_path: Path) -> None:
    """A file size limit stands for the full disk: the journal stays sound, and the rest is fetched later."""
    chance = random.Random(0)
    contents = [Stored(chance.randbytes(1000)) for _ in range(400)]
    table = write_contents(tmp_path / "contents", contents)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    first = Scripted(bodies_of(contents))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(StorageError, match=r"journal.*\n?.*hint: raise the file size limit"):
            fetch(table, first, tmp_path / "p")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    second = Scripted(bodies_of(contents))
    artifact = fetch(table, second, tmp_path / "p")
    assert artifact.metadata["num_verified"] == 400
    assert len(first.asked) + len(second.asked) == 401, "only the content whose record did not fit is asked for again"


def test_nothing_wanted(tmp_path: Path) -> None:
    table = write_contents(tmp_path / "contents", [])
    artifact = fetch(table, Scripted({}), tmp_path / "p")
    assert artifact.metadata["num_rows"] == 0
    assert artifact.metadata["verified_fraction"] is None
    assert read_blobs(artifact.path).is_empty()


def test_terms_and_contact_are_asked_for(tmp_path: Path) -> None:
    for params in (Blobs(backends=("s3",)), Blobs(backends=("api",), accept_terms=True, contact=" ")):
        with pytest.raises(BlobError, match="accept_terms = true and your contact"):
            open_chain(params, content_folder=tmp_path, work=tmp_path, token=None)
    params = Blobs(backends=("local", "s3", "api"), accept_terms=True, contact=CONTACT)
    assert open_chain(params, content_folder=tmp_path, work=tmp_path, token=None).name == "local+s3+api"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["api", "s3"])
def test_10_000_blobs_with_a_fifth_of_the_requests_failing(tmp_path: Path, kind: str) -> None:
    """All reachable blobs verified, each unreachable one explained, no request too many, none above the limit."""
    contents = make_contents(10_000)
    api_states = {7: "unknown", 77: "no_bytes", 777: "masked", 7777: "wrong"}
    states = api_states if kind == "api" else {7: "unknown", 77: "nul"}
    contents = [Stored(c.body, states.get(n, "ok")) for n, c in enumerate(contents)]
    table = write_contents(tmp_path / "contents", contents)
    faults = API_FAULTS if kind == "api" else S3_FAULTS
    clock = Simulated()
    limit = 3000 if kind == "api" else None
    with ArchiveServer(contents, limit=limit, now=clock.now, fault_rate=0.2, faults=faults) as server:
        if kind == "api":
            backend = api(server, tmp_path / "log.sqlite", clock=clock, connections=1, limit=120, attempts=8)
        else:
            backend = s3(server, connections=32)  # type: ignore[assignment]
        artifact = fetch(table, backend, tmp_path / "p", max_attempts=8)
    rows = read_blobs(artifact.path)
    assert artifact.metadata["num_verified"] == 10_000 - len(states)
    verified = rows.filter(pl.col("status") == "verified").select("sha1_git", "sha1", "data")
    for sha1_git, sha1, body in verified.iter_rows():
        assert content_ids(body) == (sha1_git, sha1)
    expected = {contents[n].ids[0] for n in states}
    explained = rows.filter(pl.col("status") != "verified")
    assert set(explained["sha1_git"]) == expected
    assert explained["problem"].is_not_null().all()
    faults_injected = sum(server.injected.values())
    assert faults_injected > 1900
    beyond = (server.num_requests - faults_injected) / artifact.metadata["num_verified"]
    assert beyond <= 1.02
    if kind == "api":
        assert server.log.num_refused == 0
        assert server.log.most <= 3000
    assert max(server.delivered.values()) <= 8


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["api", "s3"])
def test_killed_20_times_at_random_moments(tmp_path: Path, kind: str) -> None:
    """SIGKILL loses nothing that was verified, and only what was in flight is asked for again."""
    count = 1500 if kind == "api" else 3000
    contents = make_contents(count)
    table = write_contents(tmp_path / "contents", contents)
    chance = random.Random(4)
    kills = 0
    with ArchiveServer(contents, delay_s=0.004 if kind == "api" else 0.02) as server:
        while kills < 20:
            before = server.num_requests
            process = IMPORTED.Process(target=fetch_from, args=(tmp_path, kind, server.url))
            process.start()
            deadline = time.monotonic() + 60
            while server.num_requests == before and process.is_alive() and time.monotonic() < deadline:
                time.sleep(0.002)
            process.join(chance.random() * 0.1)
            if not process.is_alive():
                assert process.exitcode == 0
                break
            process.kill()
            process.join()
            kills += 1
        fetch_from(tmp_path, kind, server.url)
    artifact = open_artifact(tmp_path / "p").verify()
    assert kills >= 10
    assert artifact.metadata["num_verified"] == count
    straight = fetch(table, Scripted(bodies_of(contents)), tmp_path / "straight")
    assert files_of(artifact.path)["part-00000.parquet"] == files_of(straight.path)["part-00000.parquet"]
    in_flight = 4 if kind == "api" else 32 + 64 * 6
    assert server.num_requests <= count + kills * in_flight
