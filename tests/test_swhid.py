"""Identifiers against git, against the specification's constants, and against a real export's own ids."""

import subprocess
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicode_assets.swhid import (
    DIRECTORY_MODE,
    EMPTY_TREE,
    EXECUTABLE_MODE,
    FILE_MODE,
    SUBMODULE_MODE,
    SYMLINK_MODE,
    Branch,
    TreeEntry,
    content_ids,
    core_swhid,
    encode_path,
    object_id,
    qualified_swhid,
    snapshot_body,
    tree_body,
    tree_entries,
)

SAMPLE = Path(__file__).parents[1] / "../shared/samples/swh/2021-03-23"
KINDS = {DIRECTORY_MODE: "tree", SUBMODULE_MODE: "commit"}

names = st.one_of(
    st.binary(min_size=1, max_size=6).filter(lambda name: not set(name) & {0, ord("/")}),
    st.sampled_from([b"a", b"a.b", b"a-b", b"a0", b"A", b"ab", b"a b", b"\xe9.py", b"a\nb", b"\xff"]),
)
entries = st.builds(
    TreeEntry,
    st.sampled_from([FILE_MODE, EXECUTABLE_MODE, SYMLINK_MODE, DIRECTORY_MODE, SUBMODULE_MODE]),
    names,
    st.binary(min_size=20, max_size=20).filter(any),
)
trees = st.lists(entries, max_size=8, unique_by=lambda entry: entry.name)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("objects")
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    return folder


def git(repository, *arguments, stdin=b""):
    return subprocess.run(["git", *arguments], cwd=repository, input=stdin, capture_output=True, check=True).stdout


@settings(max_examples=60)
@given(tree=trees)
def test_tree_order_and_id_are_those_of_git_mktree(repository, tree):
    lines = b"".join(
        b"%06o %b %b\t%b\0" % (e.mode, KINDS.get(e.mode, "blob").encode(), e.target.hex().encode(), e.name)
        for e in tree
    )
    expected = git(repository, "mktree", "-z", "--missing", stdin=lines).decode().strip()
    assert object_id("tree", tree_body(tree)).hex() == expected
    assert git(repository, "cat-file", "tree", expected) == tree_body(tree)


@given(tree=trees)
def test_tree_entries_reads_what_tree_body_wrote(tree):
    assert sorted(tree_entries(tree_body(tree))) == sorted(tree)


@settings(max_examples=20)
@given(blob=st.binary(max_size=100))
def test_blob_id_is_that_of_git_hash_object(repository, blob):
    sha1_git, _ = content_ids(blob)
    assert sha1_git.hex() == git(repository, "hash-object", "--stdin", "-t", "blob", stdin=blob).decode().strip()


@pytest.mark.parametrize("cut", [1, 6, 12, 20, 30])
def test_a_tree_that_is_cut_off_is_refused(cut):
    body = tree_body([TreeEntry(FILE_MODE, b"name.py", bytes(20))])
    with pytest.raises(ValueError):
        list(tree_entries(body[:-cut]))


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("tree", b"", EMPTY_TREE.hex()),
        ("blob", b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
        ("snapshot", b"", "1a8893e6a86f444e8be8e7bda6cb34fb1735a00e"),  # SWH's documentation: the empty snapshot
    ],
)
def test_constants(kind, body, expected):
    assert object_id(kind, body).hex() == expected


def test_snapshot_body_written_out_by_hand():
    branches = {
        b"refs/heads/b": Branch("revision", b"\x01" * 20),
        b"HEAD": Branch("alias", b"refs/heads/b"),
        b"refs/tags/\xff": Branch("release", b"\x02" * 20),
        b"gone": Branch("dangling", b""),
    }
    assert snapshot_body(branches) == (
        b"alias HEAD\x0012:refs/heads/b"
        b"dangling gone\x000:"
        b"revision refs/heads/b\x0020:" + b"\x01" * 20 + b"release refs/tags/\xff\x0020:" + b"\x02" * 20
    )


ALL_TYPES = {
    b"directory": Branch("directory", bytes.fromhex("1bd0e65f7d2ff14ae994de17a1e7fe65111dcad8")),
    b"content": Branch("content", bytes.fromhex("fe95a46679d128ff167b7c55df5d02356c5a1ae1")),
    b"alias": Branch("alias", b"revision"),
    b"revision": Branch("revision", bytes.fromhex("aafb16d69fd30ff58afdd69036a26047f3aebdc6")),
    b"release": Branch("release", bytes.fromhex("7045404f3d1c54e6473c71bbb716529fbad4be24")),
    b"snapshot": Branch("snapshot", bytes.fromhex("1a8893e6a86f444e8be8e7bda6cb34fb1735a00e")),
    b"dangling": Branch("dangling", b""),
}


@pytest.mark.parametrize(
    ("branches", "expected"),
    [
        (ALL_TYPES, "6e65b86363953b780d92b0a928f3e8fcdd10db36"),
        ({b"HEAD": Branch("dangling", b"")}, "c84502e821eb21ed84e9fd3ec40973abc8b32353"),
        ({b"foo": Branch("alias", b"bar")}, "84b4548ea486e4b0a7933fa541ff1503a0afe1e0"),
    ],
)
def test_snapshot_ids_that_software_heritage_published(branches, expected):
    """Source: the examples of swh.model's documentation of snapshot identifiers, which other implementations share."""
    assert object_id("snapshot", snapshot_body(branches)).hex() == expected


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample export is not on this machine")
@pytest.mark.slow
def test_directory_ids_of_a_real_export():
    from pyarrow import orc

    rows = pl.from_arrow(orc.read_table(next((SAMPLE / "directory_entry").iterdir())))
    found = 0
    for (identifier,), group in rows.group_by("directory_id"):
        tree = [TreeEntry(perms, name, bytes.fromhex(target)) for _, name, _, target, perms in group.iter_rows()]
        assert object_id("tree", tree_body(tree)).hex() == identifier
        found += 1
    assert found == 19_806


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"src/a.py", "src/a.py"),
        (b"a;b%c", "a%3Bb%25c"),
        (b"caf\xc3\xa9", "caf\u00e9"),
        (b"caf\xe9", "caf%E9"),
        (b"a\nb", "a%0Ab"),
    ],
)
def test_encode_path(path, expected):
    assert encode_path(path) == expected


def test_qualified_swhid_has_its_qualifiers_in_the_order_of_the_specification():
    found = qualified_swhid(
        sha1_git=b"\x01" * 20, origin_url="u;%", snapshot=b"\x02" * 20, revision=b"\x03" * 20, path=b"p"
    )
    assert found == (
        f"swh:1:cnt:{'01' * 20};origin=u%3B%25;visit=swh:1:snp:{'02' * 20};anchor=swh:1:rev:{'03' * 20};path=/p"
    )
    assert core_swhid("dir", EMPTY_TREE) == f"swh:1:dir:{EMPTY_TREE.hex()}"
