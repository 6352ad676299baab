"""Root directories as tarballs: cooked once, every member verified, sentinels recognised, damage survived."""

import io
import tarfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.blobs.backends import Absent
from minicode_assets.blobs.chain import Chain
from minicode_assets.blobs.limits import Limiter
from minicode_assets.blobs.vault import VaultBackend, choose_roots
from tests.blobs.archive_server import ArchiveServer, Stored, make_contents
from tests.blobs.tables import CONTACT, all_wanted, api, fetch, read_blobs, write_contents
from tests.blobs.test_limits import Simulated

ROOT = bytes(19) + b"\x01"
FILES_SCHEMA = pl.Schema({"directory": pl.Binary, "path": pl.Binary, "sha1_git": pl.Binary})


def tarball(root: bytes, members: dict[bytes, bytes]) -> bytes:
    """As the vault makes it: everything below a folder named by the directory's SWHID."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for path, body in members.items():
            name = f"swh:1:dir:{root.hex()}/".encode() + path
            entry = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return output.getvalue()


def files_of(contents: list[Stored]) -> pl.DataFrame:
    rows = [(ROOT, b"src/%d\xff.py" % n, stored.ids[0]) for n, stored in enumerate(contents)]
    return pl.DataFrame(rows, schema=FILES_SCHEMA, orient="row")


def vault(server: ArchiveServer, tmp_path: Path, files: pl.DataFrame, *, max_polls: int = 5) -> VaultBackend:
    clock = Simulated()

    def limiter(name: str) -> Limiter:
        return Limiter(tmp_path / name, limit=60, window_s=60, burst_fraction=0.5, timeout_s=10, clock=clock)

    return VaultBackend(
        f"{server.url}/api/1", files, tmp_path / "bundles",
        cook_limiter=limiter("cook.sqlite"), read_limiter=limiter("read.sqlite"), contact=CONTACT, token="a-token",
        timeout_s=10, attempts=4, poll_s=10, max_polls=max_polls, max_bundle_bytes=1_000_000, max_expansion=10,
        clock=clock,
    )  # fmt: skip


def test_one_tarball_for_all_its_files_and_for_later_partitions(tmp_path: Path) -> None:
    contents = make_contents(60)
    files = files_of(contents)
    members = {path: contents[n].body for n, path in enumerate(files["path"])}
    with ArchiveServer([]) as server:
        server.bundles[ROOT.hex()] = tarball(ROOT, members)
        backend = vault(server, tmp_path, files)
        answers = {answer.wanted.rank: answer.found for answer in backend.fetch(all_wanted(contents[:40]))}
        first = server.num_requests
        later = [answer.found for answer in backend.fetch(all_wanted(contents[40:]))]
    assert answers == {rank: contents[rank].body for rank in range(40)}
    assert sorted(later) == sorted(stored.body for stored in contents[40:])  # type: ignore[type-var]
    assert first == server.num_requests == 5, "one look, one order, two looks, one download"
    assert server.headers[0]["Authorization"] == "Bearer a-token"


def test_sentinels_wrong_members_and_the_rest_of_the_chain(tmp_path: Path) -> None:
    contents = make_contents(6)
    files = files_of(contents)
    texts = [
        contents[0].body,
        b"This content has not been retrieved in the Software Heritage archive due to its size.",
        b"This content is hidden.",
        b"This content is missing from the archive.",
        b"something else",
    ]
    members = dict(zip(files["path"], texts, strict=False))
    table = write_contents(tmp_path / "contents", contents)
    with ArchiveServer(contents) as server:
        server.bundles[ROOT.hex()] = tarball(ROOT, members)
        backend = vault(server, tmp_path, files)
        found = {answer.wanted.rank: answer.found for answer in backend.fetch(all_wanted(contents))}
        chain = Chain([backend, api(server, tmp_path / "api.sqlite")])
        artifact = fetch(table, chain, tmp_path / "p")
    assert found[0] == contents[0].body
    assert [found[n].status for n in range(1, 6)] == [  # type: ignore[union-attr]
        "missing", "masked", "missing", "missing", "missing",
    ]  # fmt: skip
    assert found[4] == Absent("missing", "in no cooked directory")
    statuses = dict(read_blobs(artifact.path).select("sha1_git", "status").iter_rows())
    assert [statuses[stored.ids[0]] for stored in contents] == [
        "verified", "verified", "masked", "verified", "verified", "verified",
    ]  # fmt: skip


@pytest.mark.parametrize("damage", ["torn", "flipped", "bomb", "failed", "never"])
def test_tarball_that_cannot_be_had(tmp_path: Path, damage: str) -> None:
    contents = make_contents(4)
    files = files_of(contents)
    whole = tarball(ROOT, {path: contents[n].body for n, path in enumerate(files["path"])})
    middle = len(whole) // 2
    bundle = {
        "torn": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
        "bomb": tarball(ROOT, {b"zeros": bytes(20_000_000)}),
    }
    with ArchiveServer([]) as server:
        if damage in bundle:
            server.bundles[ROOT.hex()] = bundle[damage]
        server.looks_needed = 100 if damage == "never" else 2
        answers = list(vault(server, tmp_path, files).fetch(all_wanted(contents)))
        assert len(answers) == 4
        right = [answer for answer in answers if answer.found == contents[answer.wanted.rank].body]
        status = "missing" if damage in ("bomb", "failed") else "retry_later"
        late = [a for a in answers if isinstance(a.found, Absent) and a.found.status == status]
        assert len(right) + len(late) == 4
        assert late
        server.bundles[ROOT.hex()] = whole
        server.looks_needed = 0
        server.cooking.clear()
        again = list(vault(server, tmp_path, files).fetch(all_wanted(contents)))
    if damage != "bomb":
        assert all(answer.found == contents[answer.wanted.rank].body for answer in again)


def test_faults_pass(tmp_path: Path) -> None:
    contents = make_contents(5)
    files = files_of(contents)
    with ArchiveServer([], fault_rate=0.3, faults=("503",)) as server:
        server.bundles[ROOT.hex()] = tarball(ROOT, {p: contents[n].body for n, p in enumerate(files["path"])})
        answers = list(vault(server, tmp_path, files, max_polls=10).fetch(all_wanted(contents)))
    assert all(answer.found == contents[answer.wanted.rank].body for answer in answers)


@given(st.dictionaries(st.binary(min_size=1, max_size=1), st.sets(st.integers(0, 12)), max_size=6), st.integers(1, 5))
def test_chosen_roots_are_each_worth_it_and_no_other_would_be(roots: dict[bytes, set[int]], min_files: int) -> None:
    rows = [(root, bytes([content])) for root, contents in roots.items() for content in contents]
    files = pl.DataFrame(rows, schema={"directory": pl.Binary, "sha1_git": pl.Binary}, orient="row")
    covered: set[int] = set()
    chosen = choose_roots(files, min_files=min_files)
    for root in chosen:
        new = len(roots[root] - covered)
        assert new >= min_files
        assert new == max(len(contents - covered) for contents in roots.values())
        covered |= roots[root]
    assert all(len(contents - covered) < min_files for contents in roots.values())
    assert len(set(chosen)) == len(chosen)
