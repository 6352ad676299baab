"""Each check, passing on a real manifest and failing on a damaged one."""

import dataclasses

import polars as pl
import pytest
from canonical import DIRECTORY, FILE, oid, write_tables

from minicode_assets.config import BranchHeads, FileManifest
from minicode_assets.manifest.checks import check_heads, check_manifest, check_table, failures
from minicode_assets.manifest.heads import choose_heads
from minicode_assets.manifest.resolve import resolve_manifest
from minicode_assets.parquet import read_table, write_table
from minicode_assets.schemas import BRANCH_HEADS, FILE_MANIFEST
from minicode_model.artifact import open_artifact


@pytest.fixture
def made(tmp_path):
    """(heads, manifest) of two origins: one with two files, one whose root directory is lost."""
    tables = write_tables(
        tmp_path,
        origin=[("https://a",), ("https://b",), ("https://c",)],
        origin_visit=[(url, 1, None, "full", oid(url)) for url in ("https://a", "https://b")],
        snapshot_branch=sorted((oid(url), b"HEAD", oid(f"r {url}"), "revision") for url in ("https://a", "https://b")),
        revision=sorted((oid(f"r {url}"), oid(f"d {url}"), None, None, "git") for url in ("https://a", "https://b")),
        directory=[(oid("d https://a"), [1, 2, 3])],
        directory_entry=[
            (1, b"x.py", "file", oid("x"), FILE),
            (2, b"y.py", "file", oid("y"), FILE),
            (3, b"gone", "dir", oid("z"), DIRECTORY),
        ],
        content=[(oid("x"), oid("sha1 x"), 1)],
    )
    heads, manifest = tmp_path / "branch_heads", tmp_path / "file_manifest"
    choose_heads(tables, heads, params=BranchHeads(), config_digest="")
    resolve_manifest(tables, heads, manifest, params=FileManifest(), config_digest="")
    return heads, manifest


def test_a_sound_manifest_passes(made):
    heads, manifest = made
    assert failures(check_heads(heads)) == []
    verdicts = check_manifest(manifest, heads, max_missing_fraction=0.5)
    assert failures(verdicts) == []
    assert verdicts["heads_walked"][1] == {"heads": 2, "walked": 1, "left_out": 1}


def test_too_much_is_missing(made):
    heads, manifest = made
    assert failures(check_manifest(manifest, heads, max_missing_fraction=0.01)) == ["few_dangling"]


def rewritten(folder, table, change):
    metadata = open_artifact(folder).metadata
    frame = change(read_table(folder, table))
    write_table(folder, frame, table, config_digest="", inputs={}, metadata=metadata)


@pytest.mark.parametrize("change", [lambda f: pl.concat([f, f.tail(1)]), lambda f: f.reverse(), lambda f: f.clear()])
def test_a_repeated_or_unsorted_or_absent_row_fails(made, change):
    heads, manifest = made
    rewritten(manifest, FILE_MANIFEST, change)
    assert "unique_key" in failures(check_manifest(manifest, heads, max_missing_fraction=1.0))


def test_order_is_checked_across_parts(made):
    heads, manifest = made
    metadata, frame = open_artifact(manifest).metadata, read_table(manifest, FILE_MANIFEST)
    write_table(manifest, [frame, frame], FILE_MANIFEST, config_digest="", inputs={}, metadata=metadata)
    verdicts = check_manifest(manifest, heads, max_missing_fraction=1.0)
    assert verdicts["unique_key"] == (False, {"rows": 4, "out_of_order": 1})


def test_a_head_that_was_never_walked_fails(made):
    heads, manifest = made
    extra = [("https://z", 1, oid("s"), b"HEAD", oid("r"), "rev", oid("d"), "HEAD", None)]
    row = pl.DataFrame(extra, schema=BRANCH_HEADS.polars, orient="row")
    rewritten(heads, BRANCH_HEADS, lambda frame: pl.concat([frame, row]))
    assert failures(check_manifest(manifest, heads, max_missing_fraction=1.0)) == ["heads_walked"]


def test_an_unexplained_origin_fails(made):
    heads, _ = made
    rewritten(heads, BRANCH_HEADS, lambda f: f.with_columns(reason=pl.lit(None, pl.String)))
    assert failures(check_heads(heads)) == ["resolved_or_explained"]


def test_more_rows_than_declared_fails(made):
    _, manifest = made
    sizes = {"num_rows": 3, "source_rows": {"content": 3}, "tolerated": {}}
    table = dataclasses.replace(open_artifact(manifest), name="swh_content", metadata=sizes)
    assert failures(check_table(table)) == []
    larger = dataclasses.replace(table, metadata={**sizes, "num_rows": 4})
    assert failures(check_table(larger)) == ["within_declared_size"]
