"""Commit and tag headers, odd ones included: a table of raw bytes and what they mean."""

import pytest

from minicode_assets.archive.git_objects import parse_commit, parse_signature, parse_tag

TREE = b"tree " + b"ab" * 20
PERSON = b"A <a@x> 1 +0000"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"Ada L <a@x> 1700000000 +0530", (b"Ada L <a@x>", 1700000000, 330)),
        (b"Ada <a@x> 5 -0730", (b"Ada <a@x>", 5, -450)),
        (b"Ada <a@x> 5 -0000", (b"Ada <a@x>", 5, 0)),
        (b"Ada <a@x> -5 +0000", (b"Ada <a@x>", -5, 0)),
        (b" <> 0 +0000", (b" <>", 0, 0)),
        (b"\xff <\xfe> 1 +0000", (b"\xff <\xfe>", 1, 0)),
        (b"no date <a@x>", (b"no date <a@x>", None, None)),
        (b"", (b"", None, None)),
        (b"A <a@x> 99999999999999 +0000", (b"A <a@x>", None, 0)),
        (b"A <a@x> 1 +9999999", (b"A <a@x>", 1, None)),
        (b"A <a@x> 253402300799 +0000", (b"A <a@x>", 253402300799, 0)),
        (b"A <a@x> 253402300800 +0000", (b"A <a@x>", None, 0)),
    ],
)
def test_signature(line, expected):
    assert parse_signature(line) == expected


def test_commit_headers_inside_a_signature_are_not_headers():
    body = b"\n".join([TREE, b"author " + PERSON, b"gpgsig x", b" parent nonsense", b"committer " + PERSON, b"", b"m"])
    revision = parse_commit(body)
    assert (revision.parents, revision.message, revision.type) == ((), b"m", "git")


def test_commit_without_a_message():
    assert parse_commit(TREE + b"\nauthor " + PERSON + b"\ncommitter " + PERSON + b"\n").message == b""


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"author " + PERSON + b"\n\n", "no header 'tree'"),
        (TREE + b"\n\n", "no header 'author'"),
        (b"tree abcd\nauthor x\ncommitter x\n\n", "is no object id"),
        (b"tree \xff\xff\nauthor x\ncommitter x\n\n", "hexadecimal"),
        (b"", "no header 'tree'"),
    ],
)
def test_malformed_commit(body, problem):
    with pytest.raises(ValueError, match=problem):
        parse_commit(body)


def test_tag_without_a_tagger_as_in_early_linux():
    release = parse_tag(b"object " + b"ab" * 20 + b"\ntype tree\ntag v2.6.11\n\nmessage\n\nmore")
    assert release == (b"v2.6.11", b"\xab" * 20, "directory", None, b"message\n\nmore")


@pytest.mark.parametrize("kind", [b"", b"commits", b"\xff"])
def test_tag_of_an_unknown_type(kind):
    with pytest.raises(ValueError, match="is unknown"):
        parse_tag(b"object " + b"ab" * 20 + b"\ntype " + kind + b"\ntag x\n\n")
