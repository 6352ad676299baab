"""The local folder and bounded unpacking."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.blobs.backends import Absent, LocalBackend, Wanted, max_packed_bytes, unpack
from minicode_assets.errors import BlobError
from tests.blobs.archive_server import make_contents
from tests.blobs.tables import all_wanted


@given(st.binary(max_size=3000), st.integers(0, 9))
def test_unpack_gives_back_what_gzip_packed(body: bytes, level: int) -> None:
    packed = gzip.compress(body, level)
    assert len(packed) <= max_packed_bytes(len(body))
    assert unpack(packed, max_length_bytes=len(body)) == body


@given(st.lists(st.binary(max_size=50), min_size=2, max_size=4))
def test_unpack_joins_members(bodies: list[bytes]) -> None:
    packed = b"".join(gzip.compress(body) for body in bodies)
    assert unpack(packed, max_length_bytes=200) == b"".join(bodies)


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (gzip.compress(bytes(50_000_000), 9), "unpacks to more than"),
        (gzip.compress(b"x" * 101), "unpacks to more than"),
        (gzip.compress(b"x" * 50) + gzip.compress(b"x" * 51), "unpacks to more than"),
        (gzip.compress(b"x" * 90)[:-9], "ends early"),
        (gzip.compress(b"x" * 90)[:-8] + bytes(8), "incorrect data check"),
        (bytes(90), "not gzip"),
        (b"", "not gzip"),
        (gzip.compress(b"x") + b"tail", "incorrect header"),
    ],
    ids=lambda value: value if isinstance(value, str) else "packed",  # gzip writes the time, ids must not
)
def test_unpack_refuses(packed: bytes, problem: str) -> None:
    found = unpack(packed, max_length_bytes=100)
    assert isinstance(found, Absent)
    assert found.status == "damaged"
    assert problem in found.problem


def test_local_folder(tmp_path: Path) -> None:
    contents = make_contents(3)
    for stored in contents[:2]:
        (tmp_path / stored.ids[1].hex()).write_bytes(gzip.compress(stored.body))
    answers = [answer.found for answer in LocalBackend(tmp_path).fetch(all_wanted(contents))]
    assert answers[:2] == [stored.body for stored in contents[:2]]
    assert isinstance(answers[2], Absent)
    assert answers[2].status == "missing"


def test_local_folder_that_is_absent_or_odd(tmp_path: Path) -> None:
    with pytest.raises(BlobError, match="found no folder"):
        LocalBackend(tmp_path / "absent")
    sha1 = bytes(20)
    (tmp_path / sha1.hex()).mkdir()
    (answer,) = LocalBackend(tmp_path).fetch([Wanted(0, bytes(20), sha1, 5)])
    assert isinstance(answer.found, Absent)
    assert answer.found.status == "damaged"
