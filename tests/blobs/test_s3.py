"""The bucket backend against the bucket's server: gzip bodies, lost objects, and faults that pass."""

from pathlib import Path

import pytest

from minicode_assets.blobs.backends import Absent
from minicode_assets.blobs.chain import Chain
from tests.blobs.archive_server import S3_FAULTS, ArchiveServer, Stored, make_contents
from tests.blobs.tables import CONTACT, all_wanted, api, fetch, read_blobs, s3, write_contents


def test_bytes_and_every_defect() -> None:
    states = ["ok", "unknown", "nul", "not_gzip", "bomb", "wrong"]
    contents = [Stored(c.body, state) for c, state in zip(make_contents(6), states, strict=True)]
    with ArchiveServer(contents) as server:
        found = {answer.wanted.rank: answer.found for answer in s3(server).fetch(all_wanted(contents))}
    assert found[0] == contents[0].body
    assert found[1] == Absent("missing", "no such object in the bucket")
    assert found[2] == Absent("missing", "an object of 100 NUL bytes")
    for rank, problem in ((3, "not gzip"), (4, "unpacks to more than")):
        answer = found[rank]
        assert isinstance(answer, Absent)
        assert answer.status == "damaged"
        assert problem in answer.problem
    assert isinstance(found[5], bytes), "verifying is the store's work"
    assert server.num_requests == 7, "a missing object is asked for twice, the rest once"


def test_anonymous_with_contact() -> None:
    contents = make_contents(1)
    with ArchiveServer(contents) as server:
        list(s3(server).fetch(all_wanted(contents)))
    (headers,) = ({name.lower(): value for name, value in found.items()} for found in server.headers)
    assert "authorization" not in headers
    assert CONTACT in headers["user-agent"]
    assert list(server.requests) == [f"/content/{contents[0].ids[1].hex()}"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", S3_FAULTS)
def test_every_fault_passes(fault: str) -> None:
    contents = make_contents(40)
    with ArchiveServer(contents, fault_rate=0.3, faults=(fault,)) as server:
        answers = list(s3(server, attempts=10).fetch(all_wanted(contents)))
    assert len(answers) == 40
    right = sum(answer.found == contents[answer.wanted.rank].body for answer in answers)
    assert server.injected[fault] >= 3
    assert right >= 38 if fault != "truncated" else right > 20
    wrong = [a.found for a in answers if a.found != contents[a.wanted.rank].body]
    assert all(isinstance(found, Absent) and found.status == "retry_later" for found in wrong)


def test_always_failing_is_retry_later() -> None:
    contents = make_contents(2)
    with ArchiveServer(contents, fault_rate=1.0, faults=("slow_down",)) as server:
        answers = list(s3(server, attempts=2).fetch(all_wanted(contents)))
    assert {answer.found.status for answer in answers if isinstance(answer.found, Absent)} == {"retry_later"}
    assert server.num_requests == 4


def test_consumed_lazily_and_closed_early() -> None:
    contents = make_contents(3000)
    taken = 0

    def wanted() -> object:
        nonlocal taken
        for content in all_wanted(contents):
            taken += 1
            yield content

    with ArchiveServer(contents) as server:
        answers = s3(server, connections=8).fetch(wanted())  # type: ignore[arg-type]
        next(answers)
        answers.close()  # type: ignore[attr-defined]
    assert taken < 1000


def test_error_in_the_input_is_raised_here() -> None:
    def broken() -> object:
        yield from all_wanted(make_contents(3))
        raise KeyError("the table ended")

    with ArchiveServer(make_contents(3)) as server, pytest.raises(BaseException, match="the table ended"):
        list(s3(server).fetch(broken()))  # type: ignore[arg-type]


def test_chain_asks_the_next_only_for_what_is_missing(tmp_path: Path) -> None:
    """s3 lacks every third; the API has all but one, which is masked."""
    contents = make_contents(30)
    in_bucket = [Stored(c.body, "unknown" if n % 3 == 0 else "ok") for n, c in enumerate(contents)]
    in_api = [Stored(c.body, "masked" if n == 6 else "unknown" if n == 9 else "ok") for n, c in enumerate(contents)]
    with ArchiveServer(in_bucket) as bucket, ArchiveServer(in_api) as archive:
        chain = Chain([s3(bucket), api(archive, tmp_path / "log.sqlite")])
        answers = {answer.wanted.rank: answer for answer in chain.fetch(all_wanted(contents))}
    assert chain.name == "s3+api"
    assert chain.is_remote
    assert sorted(answers) == list(range(30))
    assert all(answers[n].found == contents[n].body for n in range(30) if n not in (6, 9))
    assert answers[6].found == Absent("masked", "taken down: restricted")
    assert answers[9].source == "s3: no such object in the bucket; api"
    assert archive.num_requests == 10


def test_chain_mends_what_one_source_has_wrong(tmp_path: Path) -> None:
    """Wrong and damaged objects of the bucket come from the API; where it has none, they are evidence, and retried."""
    contents = make_contents(6)
    states = ["wrong", "not_gzip", "wrong", "not_gzip", "ok", "unknown"]
    in_bucket = [Stored(c.body, state) for c, state in zip(contents, states, strict=True)]
    in_api = [Stored(c.body, "unknown" if n in (2, 3, 5) else "ok") for n, c in enumerate(contents)]
    table = write_contents(tmp_path / "contents", contents)
    with ArchiveServer(in_bucket) as bucket, ArchiveServer(in_api) as archive:
        chain = Chain([s3(bucket), api(archive, tmp_path / "log.sqlite")])
        rows = read_blobs(fetch(table, chain, tmp_path / "p", max_attempts=2).path)
    found = {row["sha1_git"]: row for row in rows.iter_rows(named=True)}
    statuses = [found[stored.ids[0]]["status"] for stored in contents]
    assert statuses == ["verified", "verified", "mismatch", "damaged", "verified", "missing"]
    assert found[contents[3].ids[0]]["problem"].startswith("s3: not gzip")
    assert "api: the archive does not know it" in found[contents[3].ids[0]]["problem"]
