"""Both layouts hold the same graph, in the columns and physical types of real exports; entries are shared as there."""

import hashlib
import random
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from pyarrow import orc

from minicode_assets.archive.git import add_repository
from minicode_assets.archive.graph import Graph, Origin, Revision, Signature
from minicode_assets.archive.tables_2019 import SCHEMAS_2019, tables_2019
from minicode_assets.archive.tables_2021 import SCHEMAS_2021, tables_2021
from minicode_assets.archive.write import write_orc, write_parquet
from minicode_assets.swhid import FILE_MODE, Branch, TreeEntry, object_id, tree_body

SAMPLES = Path(__file__).parents[2] / "../shared/samples/swh"
VISIT_SECONDS = 1_548_633_600


@pytest.fixture
def full_graph(graph, odd_repository, tmp_path):
    """The odd repository and a released tree that shares contents and directory entries with it."""
    add_repository(graph, odd_repository, max_bytes=10**9)
    content = graph.add_content(b"x = 1\n", 6)
    root = graph.add_tree({b"src/other.py": (FILE_MODE, content.sha1_git), b"LICENSE": (FILE_MODE, content.sha1_git)})
    someone = Signature(b"minicode <m@x>", 86_400, -90)
    revision = graph.add_revision(Revision(root, (), someone, someone, "tar", b"one"))
    branches = {b"releases/1": Branch("revision", revision), b"HEAD": Branch("alias", b"releases/1")}
    graph.add_origin(
        Origin("pkg:pypi/one@1", "pypi", graph.add_snapshot({**branches, b"gone": Branch("dangling", b"")}), root)
    )
    return graph


@pytest.fixture
def exports(full_graph, tmp_path):
    for name, table in tables_2019(full_graph, VISIT_SECONDS):
        write_parquet(tmp_path / "2019" / name / "0.parquet", table)
    for name, table in tables_2021(full_graph, VISIT_SECONDS):
        write_orc(tmp_path / "2021" / name / f"{name}-0.orc", table)

    def read(layout, name):
        if layout == "2019":
            return pl.read_parquet(tmp_path / layout / name / "*.parquet")
        return pl.from_arrow(orc.read_table(tmp_path / layout / name / f"{name}-0.orc"))

    return read


def rows(frame):
    return sorted(frame.iter_rows(), key=repr)


def binary(*columns):
    return [pl.col(column).str.decode("hex") for column in columns]


def test_there_are_the_15_tables_of_2019_and_the_12_of_2021(full_graph):
    assert [name for name, _ in tables_2019(full_graph, 0)] != []
    assert {name for name, _ in tables_2019(full_graph, 0)} == set(SCHEMAS_2019)
    assert {name for name, _ in tables_2021(full_graph, 0)} == set(SCHEMAS_2021)
    assert (len(SCHEMAS_2019), len(SCHEMAS_2021)) == (15, 12)


def test_revision_ids_are_those_of_git(full_graph, tmp_path):
    from repositories import run_git

    (mine,) = [key for key, revision in full_graph.revisions.items() if revision.type == "tar"]
    tree = full_graph.revisions[mine].directory.hex()
    body = f"tree {tree}\nauthor minicode <m@x> 86400 -0130\ncommitter minicode <m@x> 86400 -0130\n\none".encode()
    assert run_git(tmp_path, "hash-object", "-t", "commit", "--literally", "--stdin", stdin=body).decode() == mine.hex()


def test_visits_and_branches_agree(exports):
    old = exports("2019", "origin").join(exports("2019", "origin_visit"), left_on="id", right_on="origin")
    old = old.join(exports("2019", "snapshot"), left_on="snapshot_id", right_on="object_id", suffix="_snapshot")
    new = exports("2021", "origin_visit").join(exports("2021", "origin_visit_status"), on=["origin", "visit", "date"])
    new = new.join(exports("2021", "origin"), left_on="origin", right_on="url")
    seen = new.select("origin", "type", "visit", pl.col("date").cast(pl.Int64) // 1000, "status", *binary("snapshot"))
    assert rows(old.select("url", "type", "visit", pl.col("date").cast(pl.Int64), "status", "id_snapshot")) == rows(
        seen
    )
    assert len(seen) == 2

    links = exports("2019", "snapshot_branches").join(
        exports("2019", "snapshot_branch"), left_on="branch_id", right_on="object_id"
    )
    old = exports("2019", "snapshot").join(links, left_on="object_id", right_on="snapshot_id")
    new = exports("2021", "snapshot_branch")
    dangling = old.filter(pl.col("target").is_null())
    assert dangling.select("name", "target_type").rows() == [(b"gone", None)]
    assert rows(old.drop_nulls("target").select("id", "name", "target_type", "target")) == rows(
        new.filter(pl.col("target_type") != "dangling").select(
            *binary("snapshot_id"), "name", "target_type", *binary("target")
        )
    )


def test_histories_agree(exports):
    columns = [*binary("id"), *binary("directory"), "type", "message", "date_offset"]
    dates = [pl.col("date").cast(pl.Int64) // 1000, pl.col("committer_date").cast(pl.Int64) // 1000]
    old = exports("2019", "revision")
    new = exports("2021", "revision")
    assert rows(
        old.select(
            "id", "directory", "type", "message", "date_offset", "date", "committer_date", "committer_date_offset"
        )
    ) == rows(new.select(*columns, *dates, "committer_offset"))
    assert rows(exports("2019", "revision_history")) == rows(
        exports("2021", "revision_history").select(*binary("id", "parent_id"), "parent_rank")
    )
    assert rows(exports("2019", "release").select("id", "name", "target", "target_type", "comment", "date")) == rows(
        exports("2021", "release").select(*binary("id"), "name", *binary("target"), "target_type", "message", dates[0])
    )
    assert exports("2019", "person").height == len(set(old["author"]) | set(old["committer"]))
    assert set(new["author"].bin.size()) == {32}


def entries_2019(exports):
    directory = exports("2019", "directory")
    parts = []
    for kind in ("dir", "file", "rev"):
        listed = directory.select("id", pl.col(f"{kind}_entries").alias("entry")).drop_nulls().explode("entry")
        found = listed.join(exports("2019", f"directory_entry_{kind}"), left_on="entry", right_on="id")
        parts.append(found.select("id", "name", pl.lit(kind).alias("type"), "target", "perms"))
    return pl.concat(parts)


def test_directories_agree_and_rebuild_their_own_ids(exports, full_graph):
    old = entries_2019(exports)
    new = exports("2021", "directory_entry")
    assert rows(old) == rows(new.select(*binary("directory_id"), "name", "type", *binary("target"), "perms"))
    assert rows(exports("2019", "directory").select("id")) == rows(exports("2021", "directory").select(*binary("id")))
    assert set(old["type"]) == {"dir", "file", "rev"}
    for (identifier,), group in old.group_by("id"):
        tree = [TreeEntry(perms, name, target) for _, name, _, target, perms in group.iter_rows()]
        assert object_id("tree", tree_body(tree)) == identifier


def test_entry_and_branch_rows_of_2019_are_shared(exports):
    for kind in ("dir", "file", "rev"):
        shared = exports("2019", f"directory_entry_{kind}")
        assert shared.select("target", "name", "perms").is_unique().all()
        assert sorted(shared["id"]) == list(range(1, shared.height + 1))
    assert exports("2019", "snapshot_branch").select("name", "target", "target_type").is_unique().all()
    assert entries_2019(exports).height > exports("2019", "directory_entry_file").height + 20


def test_contents_agree_and_hash_to_their_ids(exports, full_graph):
    old, new = exports("2019", "content"), exports("2021", "content")
    assert rows(old) == rows(new.select(*binary("sha1", "sha1_git"), "length"))
    assert rows(exports("2019", "skipped_content")) == rows(
        exports("2021", "skipped_content").select(*binary("sha1", "sha1_git"), "length")
    )
    (skipped,) = exports("2021", "skipped_content").to_dicts()
    large = bytes(range(256)) * 80
    assert skipped["sha256"] == hashlib.sha256(large).hexdigest()
    assert skipped["blake2s256"] == hashlib.blake2s(large).hexdigest()
    assert (skipped["status"], skipped["reason"]) == ("absent", "Content too large")
    assert set(new["status"]) == {"visible"}


def test_a_date_that_orc_cannot_hold_is_null_there(graph):
    far = Signature(b"A", 20_000_000_000, 0)
    graph.revisions[b"r" * 20] = Revision(b"d" * 20, (), far, far, "git", b"")
    assert dict(tables_2019(graph, 0))["revision"]["date"].to_pylist() == [20_000_000_000_000_000]
    assert dict(tables_2021(graph, 0))["revision"]["date"].to_pylist() == [None]


def test_rows_do_not_depend_on_the_order_of_insertion(full_graph):
    shuffled = Graph(full_graph.content_folder, 0, 1)
    for name in ("origins", "snapshots", "releases", "revisions", "directories", "contents", "skipped_contents"):
        found = getattr(full_graph, name)
        items = list(found) if name == "origins" else list(found.items())
        random.Random(3).shuffle(items)
        setattr(shuffled, name, items if name == "origins" else dict(items))
    for tables in (tables_2019, tables_2021):
        for (name, one), (_, other) in zip(tables(full_graph, 0), tables(shuffled, 0), strict=True):
            assert one.equals(other), name


def test_an_empty_graph_has_all_columns(graph):
    for tables, schemas in ((tables_2019, SCHEMAS_2019), (tables_2021, SCHEMAS_2021)):
        for name, table in tables(graph, 0):
            assert (table.num_rows, table.schema) == (0, schemas[name])


DRIFT = {("double", "int64"), ("double", "int16"), ("timestamp[ns]", "timestamp[us]")}
"""Ways in which a real file's type differs from the declared one: pandas' nullable integers, ORC's only timestamp."""


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample exports are not on this machine")
@pytest.mark.parametrize(("layout", "schemas"), [("2019-01-28", SCHEMAS_2019), ("2021-03-23", SCHEMAS_2021)])
def test_columns_and_physical_types_are_those_of_the_sample_exports(layout, schemas):
    compared = 0
    for folder in sorted((SAMPLES / layout).iterdir()):
        path = next(folder.iterdir())
        found = orc.ORCFile(path).schema if path.suffix == ".orc" else pa.parquet.read_schema(path)
        for column in found:
            if column.name == "__index_level_0__":  # pandas' stray index
                continue
            mine = schemas[folder.name].field(column.name).type
            assert column.type == mine or (str(column.type), str(mine)) in DRIFT, (folder.name, column, mine)
            compared += 1
    assert compared >= 28
