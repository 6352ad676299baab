"""The walk against a plain recursion, on random graphs that are damaged in every way."""

import tempfile
from pathlib import Path

import polars as pl
import pytest
from canonical import DIRECTORY, EXECUTABLE, FILE, LINK, SUBMODULE, oid, write_tables
from hypothesis import example, given, settings
from hypothesis import strategies as st
from naive import files_below

from minicode_assets.config import FileManifest
from minicode_assets.errors import ManifestError
from minicode_assets.manifest.resolve import resolve_manifest
from minicode_assets.parquet import read_table, write_table
from minicode_assets.schemas import BRANCH_HEADS, FILE_MANIFEST

SCRATCH = "/dev/shm" if Path("/dev/shm").is_dir() else None  # hundreds of artefacts are flushed: not to a disk
NAMES = [b"a", b"b", b"a.b", b"a-b", b"A", b"caf\xe9", b"\xff\xfe", b"new\nline", b"", b".", b"..", b"x/y"]
MODES = [DIRECTORY, DIRECTORY, FILE, EXECUTABLE, LINK, SUBMODULE, 0o100664, 0, None]


@st.composite
def graphs(draw):
    """(entries by number, entry numbers by directory, heads): entries may point anywhere, also up or to nothing."""
    size = draw(st.integers(1, 7))
    ids = sorted(oid(f"d{n}") for n in range(size))
    targets = st.sampled_from([*ids, oid("gone"), oid("c0"), oid("c1"), oid("c2")])
    entries = {}
    for number in range(draw(st.integers(0, 14))):
        mode = draw(st.sampled_from(MODES))
        kind = draw(st.sampled_from(["dir", "file", "rev"]))
        entries[number * 5] = {
            "name": draw(st.sampled_from(NAMES)),
            "type": kind,
            "target": draw(targets),
            "perms": mode,
        }
    numbers = st.sampled_from([*entries, 10_000]) if entries else st.just(10_000)
    directories = {i: draw(st.lists(numbers, max_size=6, unique=True)) for i in ids}
    heads = draw(st.lists(st.sampled_from([*ids, oid("gone")]), min_size=1, max_size=5))
    return entries, directories, heads


def resolve(root, entries, directories, heads, params):
    """The manifest of these graphs through the real tables; origin n has head n."""
    tables = write_tables(
        root,
        directory=list(directories.items()),
        directory_entry=[(number, e["name"], e["type"], e["target"], e["perms"]) for number, e in entries.items()],
        content=sorted([(oid("c0"), oid("sha1 c0"), 10)]),
        skipped_content=[(oid("c1"), oid("sha1 c1"), 11, "too large")],
    )
    rows = [(f"o{n}", 1, oid("s"), b"HEAD", oid(f"r{n}"), "rev", d, "HEAD", None) for n, d in enumerate(heads)]
    frame = pl.DataFrame(rows, schema=BRANCH_HEADS.polars, orient="row")
    write_table(root / "branch_heads", frame, BRANCH_HEADS, config_digest="", inputs={})
    return resolve_manifest(tables, root / "branch_heads", root / "file_manifest", params=params, config_digest="")


CYCLE = (
    {0: {"name": b"a", "type": "dir", "target": oid("d0"), "perms": DIRECTORY}},
    {oid("d0"): [0]},
    [oid("d0")],
)


@settings(max_examples=80)
@example(CYCLE, 3)
@given(graphs(), st.sampled_from([0, 1, 3, 64]))
def test_the_walk_is_the_recursion(graph, max_depth):
    entries, directories, heads = graph
    params = FileManifest(max_depth=max_depth, rows_per_part=4)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as name:
        artifact = resolve(Path(name), entries, directories, heads, params)
        found = read_table(Path(name) / "file_manifest", FILE_MANIFEST)
    expected = []
    for number, directory in enumerate(heads):
        if directory in directories:
            below = sorted(files_below(directories, entries, directory, max_depth))
            expected += [(f"o{number}", *row) for row in below]
    assert found.select("origin_url", "path", "perms", "sha1_git").rows() == expected
    assert artifact.metadata["num_rows"] == len(expected)
    statuses = {oid("c0"): "present", oid("c1"): "skipped"}
    assert found["status"].to_list() == [statuses.get(target, "missing") for *_, target in expected]
    assert sum(artifact.metadata["by_status"].values()) == len(expected)
    assert found["name"].to_list() == [path.rpartition(b"/")[2] for _, path, *_ in expected]


@settings(max_examples=20)
@given(graphs())
def test_neither_parts_nor_threads_change_the_rows(graph):
    with tempfile.TemporaryDirectory(dir=SCRATCH) as name:
        folder = Path(name) / "file_manifest"
        one = resolve(Path(name), *graph, FileManifest(rows_per_part=1, num_threads=1))
        rows = read_table(folder, FILE_MANIFEST)
        again = resolve(Path(name), *graph, FileManifest(rows_per_part=1, num_threads=2))
        assert again.digest == one.digest
        two = resolve(Path(name), *graph, FileManifest(rows_per_part=10_000, num_threads=2))
        assert read_table(folder, FILE_MANIFEST).equals(rows)
        assert one.metadata == two.metadata


def entry(name, target, perms=FILE, kind="file"):
    return {"name": name, "type": kind, "target": oid(target), "perms": perms}


def test_what_is_left_out_is_counted(tmp_path):
    entries = {
        0: entry(b"ok.py", "c0"),
        1: entry(b"..", "c0"),
        2: entry(b"a/b", "c0"),
        3: entry(b"sub", "module", SUBMODULE, "rev"),
        4: entry(b"gone", "nowhere", DIRECTORY, "dir"),
        5: entry(b"up", "d0", DIRECTORY, "dir"),
        6: entry(b"ok.py", "c2"),
        7: entry(b"down", "d1", DIRECTORY, "dir"),
    }
    directories = dict(sorted({oid("d0"): [*entries, 99], oid("d1"): [0, 7]}.items()))
    artifact = resolve(tmp_path, entries, directories, [oid("d0")] * 2, FileManifest())
    assert artifact.metadata["left_out"] == {
        "missing_entries": 1,
        "refused_names": 2,
        "repeated_names": 1,
        "submodules": 1,
        "missing_directories": 1,
        "cyclic_entries": 2,
        "too_deep": 0,
    }
    assert artifact.metadata["num_rows"] == 4
    assert artifact.metadata["num_roots"] == 1


def test_a_deep_chain_is_cut_and_counted(tmp_path):
    entries = {n: entry(b"d", f"d{n + 1}", DIRECTORY, "dir") for n in range(200)}
    entries |= {1000: entry(b"f", "c0")}
    directories = dict(sorted({oid(f"d{n}"): [n, 1000] for n in range(200)}.items()))
    artifact = resolve(tmp_path, entries, directories, [oid("d0")], FileManifest(max_depth=64))
    assert artifact.metadata["num_rows"] == 65
    assert artifact.metadata["left_out"]["too_deep"] == 1


def test_a_tree_that_blows_up_is_left_out_with_a_reason(tmp_path):
    """Forty levels of two names for one directory: 2^40 paths, a trick that real repositories play."""
    entries = {
        2 * n + side: entry(b"ab"[side : side + 1], f"d{n + 1}", DIRECTORY, "dir") for n in range(40) for side in (0, 1)
    }
    entries[1000] = entry(b"f", "c0")
    directories = {oid(f"d{n}"): [2 * n, 2 * n + 1] for n in range(40)} | {oid("d40"): [1000]}
    artifact = resolve(tmp_path, entries, dict(sorted(directories.items())), [oid("d0"), oid("d39")], FileManifest())
    assert artifact.metadata["heads_left_out"] == {"too_many_entries": 1}
    assert artifact.metadata["heads_left_out_first"] == [{"origin_url": "o0", "reason": "too_many_entries"}]
    assert artifact.metadata["num_rows"] == 2


def test_heads_without_a_root_directory_are_named(tmp_path):
    empty = bytes.fromhex("4b825dc642cb6eb9a060e54bf8d69288fbee4904")
    entries, directories = {0: entry(b"f", "c0")}, {oid("d0"): [0]}
    artifact = resolve(tmp_path, entries, directories, [oid("gone"), empty, oid("d0")], FileManifest())
    assert artifact.metadata["heads_left_out"] == {"empty_root_directory": 1, "missing_root_directory": 1}
    assert artifact.metadata["num_rows"] == 1


def test_no_head_at_all_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match="none of the origins has a head"):
        resolve(tmp_path, {}, {}, [], FileManifest())
