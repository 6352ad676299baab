"""Exports of every generation in one canonical form: what is tolerated, and what is an error."""

import datetime
import shutil

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exports import entry, oid, tables_2019, tables_2021, write_export

from minicode_assets.errors import TableError
from minicode_assets.parquet import read_table
from minicode_assets.schemas import CANONICAL
from minicode_assets.tables.generations import detect
from minicode_assets.tables.normalise import normalise_table

MOMENT = datetime.datetime(2019, 1, 28, tzinfo=datetime.UTC)


def normalised(export, table, tmp_path):
    """(frame, metadata) of one canonical table."""
    artifact = normalise_table(export, table, tmp_path / "out" / table, config_digest="", inputs={})
    return read_table(artifact.path, CANONICAL[table]), artifact.metadata


@pytest.fixture
def export(tmp_path):
    return write_export(tmp_path / "export", tables_2019())


def rewrite(export, table, columns, name="0.parquet"):
    pq.write_table(pa.table(columns), export / table / name)


def test_every_table_of_the_2019_layout(export, tmp_path):
    frames = {table: normalised(export, table, tmp_path)[0] for table in CANONICAL}
    assert frames["origin"].rows() == [("https://a",), ("https://b",)]
    assert frames["origin_visit"].rows() == [
        ("https://a", 1, MOMENT, "full", oid("snapshot")),
        ("https://a", 2, MOMENT + datetime.timedelta(days=1), "partial", None),
    ]
    assert frames["snapshot_branch"].rows() == [
        (oid("snapshot"), b"HEAD", oid("revision"), "revision"),
        (oid("snapshot"), b"refs/tags/1", oid("release"), "release"),
    ]
    date = datetime.datetime(2017, 7, 14, 2, 40, tzinfo=datetime.UTC)
    assert frames["revision"].rows() == [(oid("revision"), oid("root"), date, date, "git")]
    assert frames["release"].rows() == [(oid("release"), b"1", oid("revision"), "revision", date)]
    entries = {
        number: (name, kind, target, perms) for number, name, kind, target, perms in frames["directory_entry"].rows()
    }
    listed = {
        directory: sorted(entries[number] for number in numbers) for directory, numbers in frames["directory"].rows()
    }
    file = (b"setup.py", "file", oid("content"), 0o100644)
    module, sub = (b"module", "rev", oid("elsewhere"), 0o160000), (b"sub", "dir", oid("sub"), 0o040000)
    assert listed == {oid("root"): [module, file, sub], oid("sub"): [file]}
    assert frames["content"].rows() == [(oid("content"), oid("sha1"), 5)]
    assert frames["skipped_content"].rows() == [(oid("skipped"), None, 10**9, None)]


@pytest.mark.parametrize("suffix", ["parquet", "orc"])
def test_the_later_layout_gives_the_same_form(tmp_path, suffix):
    export = write_export(tmp_path / "export", tables_2021(), suffix=suffix)
    frames = {table: normalised(export, table, tmp_path)[0] for table in CANONICAL}
    assert frames["origin_visit"].rows() == [("https://a", 1, MOMENT, "full", oid("snapshot"))]
    assert frames["snapshot_branch"].rows() == [
        (oid("snapshot"), b"HEAD", b"main", "alias"),
        (oid("snapshot"), b"main", oid("revision"), "revision"),
    ]
    assert frames["revision"].rows() == [(oid("revision"), oid("root"), None, MOMENT, "git")]
    assert frames["release"].height == 0
    names = dict(frames["directory_entry"].select("id", "name").rows())
    listed = {
        directory: sorted(names[number] for number in numbers) for directory, numbers in frames["directory"].rows()
    }
    assert listed == {oid("root"): [b"module", b"setup.py", b"sub"], oid("sub"): [b"setup.py"]}
    assert frames["content"].rows() == [(oid("content"), oid("sha1"), 5)]
    assert frames["skipped_content"].rows() == [(oid("hidden"), oid("sha1 hidden"), 6, "hidden")]


def test_generations_are_told_by_their_tables(export, tmp_path):
    assert detect(export).name == "2019-01-28"
    nested = tmp_path / "nested"
    write_export(nested / "orc", tables_2021(), suffix="orc")
    assert detect(nested).name == "2021-03-23"
    assert normalised(nested, "origin", tmp_path)[0].height == 2


def test_the_last_status_of_a_visit_counts(tmp_path):
    tables = tables_2021()
    moments = pa.array([3, 1, 2], pa.timestamp("s"))
    status = {"status": ["full", "created", "partial"], "snapshot": [oid("last").hex(), None, oid("early").hex()]}
    tables["origin_visit_status"] = {"origin": ["https://a"] * 3, "visit": [1] * 3, "date": moments, **status}
    export = write_export(tmp_path / "export", tables)
    assert normalised(export, "origin_visit", tmp_path)[0].select("status", "snapshot").rows() == [
        ("full", oid("last"))
    ]


def test_markers_and_stray_columns_do_not_matter(export, tmp_path):
    (export / "content" / "_SUCCESS").touch()
    (export / "content" / ".0.parquet.crc").write_bytes(b"x")
    (export / "content" / "_metadata.parquet").write_bytes(b"not parquet")
    rewrite(export, "content", {"__index_level_0__": [0], "s": ["x"], **tables_2019()["content"]})
    assert normalised(export, "content", tmp_path)[0].rows() == [(oid("content"), oid("sha1"), 5)]


def test_types_may_drift_between_files(export, tmp_path):
    other = {"sha1": pa.array([oid("s2")], pa.large_binary()), "sha1_git": pa.array([oid("c2")], pa.binary(20))}
    rewrite(export, "content", {**other, "length": pa.array([7.0], pa.float64())}, "1.parquet")
    rewrite(
        export,
        "content",
        {"length": pa.array([8], pa.int32()), "sha1": [oid("s3")], "sha1_git": [oid("c3")]},
        "2.parquet",
    )
    found = normalised(export, "content", tmp_path)[0]
    assert sorted(found["length"]) == [5, 7, 8]
    assert found["sha1_git"].is_sorted()


TIMES = {
    "seconds": pa.array([1_548_633_600]),
    "milliseconds": pa.array([1_548_633_600_000]),
    "microseconds": pa.array([1_548_633_600_000_000]),
    "nanoseconds": pa.array([1_548_633_600_000_000_000]),
    "doubles": pa.array([1_548_633_600_000_000.0]),
    "timestamp": pa.array([MOMENT], pa.timestamp("us", "UTC")),
    "another zone": pa.array([MOMENT], pa.timestamp("ms", "Asia/Tokyo")),
    "no zone": pa.array([MOMENT.replace(tzinfo=None)], pa.timestamp("ns")),
    "text": pa.array(["2019-01-28 00:00:00"]),
    "pairs": pa.array([{"seconds": 1_548_633_600, "microseconds": 0}]),
}


@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES.keys())
def test_dates_of_every_type_and_unit(export, tmp_path, times):
    rewrite(export, "revision", {**tables_2019()["revision"], "date": times})
    assert normalised(export, "revision", tmp_path)[0]["date"].to_list() == [MOMENT]


def test_dates_as_int96(export, tmp_path):
    columns = {**tables_2019()["revision"], "date": pa.array([MOMENT.replace(tzinfo=None)], pa.timestamp("ns"))}
    pq.write_table(pa.table(columns), export / "revision" / "0.parquet", use_deprecated_int96_timestamps=True)
    assert normalised(export, "revision", tmp_path)[0]["date"].to_list() == [MOMENT]


@pytest.mark.parametrize("suffix", ["parquet", "orc"])
def test_dates_that_nanoseconds_cannot_hold(tmp_path, suffix):
    tables = tables_2021()
    tables["revision"]["committer_date"] = pa.array([datetime.datetime(5000, 1, 1)], pa.timestamp("us"))
    export = write_export(tmp_path / "export", tables, suffix=suffix)
    found, metadata = normalised(export, "revision", tmp_path)
    assert found["id"].to_list() == [oid("revision")]
    years = found["committer_date"].dt.year().to_list()
    lost = {"rows_with_a_date_out_of_range_nearby": 1}
    assert (years, metadata["tolerated"]) in (
        ([5000], {"revisions_without_directory": 0}),
        ([None], {"revisions_without_directory": 0, **lost}),
    )
    assert years == ([5000] if suffix == "parquet" else [None])


def test_dangling_references_are_counted(export, tmp_path):
    rewrite(export, "snapshot_branches", {"snapshot_id": [7, 99, 7], "branch_id": [1, 1, 99]})
    found, metadata = normalised(export, "snapshot_branch", tmp_path)
    assert (found.height, metadata["tolerated"]) == (1, {"branch_links_to_nothing": 2})
    visits = {**tables_2019()["origin_visit"], "origin": [1, 99], "snapshot_id": [98, 7]}
    rewrite(export, "origin_visit", visits)
    found, metadata = normalised(export, "origin_visit", tmp_path)
    assert found["snapshot"].to_list() == [None]
    assert metadata["tolerated"]["visits_of_unknown_origins"] == 1
    assert metadata["tolerated"]["visits_with_an_unknown_snapshot"] == 1


def test_one_url_of_two_origins_is_kept_once(export, tmp_path):
    rewrite(export, "origin", {"id": [2, 1], "type": ["svn", "git"], "url": ["https://a", "https://a"]})
    found, metadata = normalised(export, "origin", tmp_path)
    assert (found.rows(), metadata["tolerated"]) == ([("https://a",)], {"origins_with_a_repeated_url": 1})
    assert normalised(export, "origin_visit", tmp_path)[0].height == 2


def test_optional_tables_may_be_absent(export, tmp_path):
    shutil.rmtree(export / "release")
    found, metadata = normalised(export, "release", tmp_path)
    assert (found.height, metadata["present"]) == (0, False)


def test_declared_rows_are_reported(export, tmp_path):
    assert normalised(export, "directory_entry", tmp_path)[1]["source_rows"] == {
        "directory_entry_dir": 1,
        "directory_entry_file": 1,
        "directory_entry_rev": 1,
    }


def fails(export, table, tmp_path, *words):
    """The error of a table, which must hold these words; nothing is left behind."""
    with pytest.raises(TableError) as caught:
        normalised(export, table, tmp_path)
    message = str(caught.value)
    assert all(word in message for word in (*words, "hint:")), message
    assert not (tmp_path / "out" / table).exists()


def test_an_absent_table_is_an_error(export, tmp_path):
    shutil.rmtree(export / "content")
    fails(export, "content", tmp_path, str(export / "content"), "expected the table 'content'")


def test_an_absent_column_is_an_error(export, tmp_path):
    rewrite(export, "content", {"sha1": [oid("x")], "length": [1]}, "1.parquet")
    fails(export, "content", tmp_path, "1.parquet", "found columns length, sha1", "expected also sha1_git")


@pytest.mark.parametrize("suffix", ["parquet", "orc"])
def test_a_truncated_file_is_an_error(tmp_path, suffix):
    export = write_export(tmp_path / "export", tables_2021(), suffix=suffix)
    path = export / "content" / f"0.{suffix}"
    path.write_bytes(path.read_bytes()[:-20])
    fails(export, "content", tmp_path, str(path), "footer", "fetch it again")


def test_an_empty_file_is_an_error(export, tmp_path):
    (export / "content" / "1.parquet").touch()
    fails(export, "content", tmp_path, "1.parquet", "found 0 bytes")


def test_a_damaged_page_is_an_error(export, tmp_path):
    path = export / "content" / "0.parquet"
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56
    path.write_bytes(bytes(content))
    fails(export, "content", tmp_path, str(path), "row group 0 of 1")


REPEATED = {
    "content": ("content", "sha1_git", oid("content").hex()),
    "revision": ("revision", "id", oid("revision").hex()),
    "directory": ("directory", "id", min(oid("root"), oid("sub")).hex()),
    "origin_visit": ("origin", "id", "1"),
    "snapshot_branch": ("snapshot", "object_id", "7"),
    "directory_entry": ("directory_entry_file", "id", "4"),
}


@pytest.mark.parametrize(("table", "case"), REPEATED.items())
def test_a_repeated_id_is_an_error(export, tmp_path, table, case):
    source, column, value = case
    shutil.copy(export / source / "0.parquet", export / source / "copy.parquet")
    words = () if table == "directory_entry" else ("0.parquet", "copy.parquet")
    fails(export, table, tmp_path, repr(column), value, "expected every id once", *words)


def test_an_id_of_another_length_is_an_error(export, tmp_path):
    rewrite(export, "content", {"sha1": [b"short"], "sha1_git": [oid("c")], "length": [1]})
    fails(export, "content", tmp_path, "0.parquet", "'sha1'", "expected 20 bytes")


def test_a_null_id_is_an_error(export, tmp_path):
    rewrite(export, "content", {"sha1": [oid("s")], "sha1_git": pa.array([None], pa.binary()), "length": [1]})
    fails(export, "content", tmp_path, "0.parquet", "'sha1_git'", "nulls")


def test_ids_that_are_not_hex_are_an_error(tmp_path):
    tables = tables_2021()
    tables["directory"] = {"id": ["not hex at all"]}
    fails(write_export(tmp_path / "export", tables), "directory", tmp_path, "0.parquet", "'id'", "hex")


def test_fractional_surrogates_are_an_error(export, tmp_path):
    rewrite(export, "snapshot_branches", {"snapshot_id": [7.5], "branch_id": [1.0]})
    fails(export, "snapshot_branch", tmp_path, "'snapshot_id'", "whole numbers")


def test_a_wrong_type_is_an_error(export, tmp_path):
    rewrite(export, "directory_entry_file", {**entry("x", "y", 0), "id": ["four"]})
    fails(export, "directory_entry", tmp_path, "'id'", "String", "integers")


def test_a_folder_that_is_no_export_is_an_error(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(TableError, match=r"found pictures, expected one folder a table"):
        detect(tmp_path)
    with pytest.raises(TableError, match="no folder"):
        detect(tmp_path / "nowhere")


def test_the_same_export_gives_the_same_bytes(export, tmp_path):
    def digests(name):
        return [normalise_table(export, t, tmp_path / name / t, config_digest="", inputs={}).digest for t in CANONICAL]

    assert digests("one") == digests("two")


def test_text_that_is_not_utf8_is_escaped(export, tmp_path):
    rewrite(export, "origin", {"id": [1], "url": [b"https://caf\xe9"]})
    assert normalised(export, "origin", tmp_path)[0]["url"].to_list() == ["https://caf\\xe9"]
    assert isinstance(CANONICAL["origin"].polars["url"], pl.String)
