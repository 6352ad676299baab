"""The manifest against git itself: the sample exports, and repositories made here."""

from pathlib import Path

import polars as pl
import pytest
from git_repositories import git, listed, merged, odd

from minicode_assets.archive.build import build_archive
from minicode_assets.config import Archive, BranchHeads, FileManifest
from minicode_assets.manifest.resolve import cut_heads, distinct_contents, resolve_export
from minicode_assets.parquet import read_table
from minicode_assets.schemas import CONTENTS, FILE_MANIFEST
from minicode_assets.swhid import content_ids, qualified_swhid
from minicode_assets.tables.sort import sorted_parts
from minicode_model.artifact import open_artifact

SAMPLES = Path(__file__).parents[2] / "../shared/samples/swh"
LAYOUTS = ("2019-01-28", "2021-03-23")
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"{SAMPLES} is not here: it lies beside the checkout")


def resolve(export, out, heads=None, **params):
    return resolve_export(export, out, heads=heads or BranchHeads(), manifest=FileManifest(**params))


@needs_samples
def test_both_layouts_of_the_sample_give_what_git_says_and_the_same_bytes(tmp_path):
    expected = pl.read_parquet(SAMPLES / "expected_manifest.parquet")
    found = {layout: resolve(SAMPLES / layout, tmp_path / layout) for layout in LAYOUTS}
    for layout, resolution in found.items():
        rows = pl.read_parquet(tmp_path / layout / "file_manifest" / "*.parquet")
        assert rows.select(expected.columns).equals(expected)
        assert rows.schema == FILE_MANIFEST.polars
        assert (resolution.generation, resolution.num_origins, resolution.num_rows) == (layout, 3, expected.height)
        assert sum(resolution.heads_by_rule.values()) == 3
        assert resolution.heads_by_reason == {}
        assert resolution.left_out == {}
    first, second = (open_artifact(found[layout].manifest) for layout in LAYOUTS)
    assert first.files == second.files
    assert first.digest == second.digest


@needs_samples
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tables_that_are_sorted_by_parts_give_the_same(layout, tmp_path, monkeypatch):
    monkeypatch.setitem(sorted_parts.__kwdefaults__, "rows_per_part", 5_000)
    expected = pl.read_parquet(SAMPLES / "expected_manifest.parquet")
    resolve(SAMPLES / layout, tmp_path)
    assert len(list((tmp_path / "swh_directory").glob("*.parquet"))) >= (4 if layout == LAYOUTS[0] else 1)
    rows = pl.read_parquet(tmp_path / "file_manifest" / "*.parquet")
    assert rows.select(expected.columns).equals(expected)
    assert not list(tmp_path.glob(".sort-*"))


@needs_samples
def test_contents_are_the_distinct_blobs(tmp_path):
    resolve(SAMPLES / LAYOUTS[0], tmp_path)
    distinct_contents(tmp_path / "file_manifest", tmp_path / "contents", config_digest="")
    contents = read_table(tmp_path / "contents", CONTENTS)
    expected = pl.read_parquet(SAMPLES / "expected_manifest.parquet")
    counts = expected.group_by("sha1_git").agg(pl.col("sha1", "length").first(), num_files=pl.len().cast(pl.Int64))
    assert contents.drop("is_python", "is_license").equals(counts.sort("sha1_git"))
    python = set(expected.filter(pl.col("path").bin.ends_with(b".py"))["sha1_git"])
    assert set(contents.filter("is_python")["sha1_git"]) == python


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repositories")
    return {repository.name: repository for repository in (merged(folder / "merged"), odd(folder / "odd"))}


@pytest.fixture(scope="module", params=LAYOUTS)
def export(request, repositories, tmp_path_factory):
    """The archive of the repositories, in both layouts."""
    folder = tmp_path_factory.mktemp("archive") / request.param
    paths = tuple(str(path) for path in repositories.values())
    params = Archive(standard_library=False, distributions=(), git_repositories=paths, layout=request.param)
    build_archive(folder, params=params, config_digest="")
    return folder / "graph"


def test_heads_hold_what_git_lists(export, repositories, tmp_path):
    resolution = resolve(export, tmp_path)
    rows = read_table(tmp_path / "file_manifest", FILE_MANIFEST)
    assert resolution.num_origins == len(repositories) == rows["origin_url"].n_unique()
    for url, found in rows.group_by("origin_url"):
        repository = repositories[url[0].rpartition("/")[2]]
        assert found.select("path", "perms", "sha1_git").rows() == listed(repository, "HEAD")
        assert {revision.hex() for revision in found["revision"]} == {
            git(repository, "rev-parse", "HEAD").decode().strip()
        }


def test_every_branch_and_tag_holds_what_git_lists(export, repositories, tmp_path):
    resolve(export, tmp_path, BranchHeads(all_branches=True))
    rows = read_table(tmp_path / "file_manifest", FILE_MANIFEST)
    for name, repository in repositories.items():
        refs = git(repository, "for-each-ref", "--format=%(refname)").decode().split()
        commits = {git(repository, "rev-parse", f"{ref}^{{commit}}").decode().strip() for ref in refs}
        here = rows.filter(pl.col("origin_url").str.ends_with(f"/{name}"))
        for commit in commits:
            found = here.filter(pl.col("revision") == bytes.fromhex(commit))
            assert found.select("path", "perms", "sha1_git").rows() == listed(repository, commit)
        assert {revision.hex() for revision in here["revision"]} == {c for c in commits if listed(repository, c)}


def test_names_modes_and_ids_of_the_odd_repository(export, repositories, tmp_path):
    resolve(export, tmp_path)
    rows = read_table(tmp_path / "file_manifest", FILE_MANIFEST).filter(pl.col("origin_url").str.ends_with("/odd"))
    by_path = {row["path"]: row for row in rows.iter_rows(named=True)}
    assert by_path[b"link.py"]["kind"] == "symlink"
    assert not by_path[b"link.py"]["is_python"]
    assert by_path[b"run.sh"]["kind"] == "executable"
    assert by_path[b"caf\xe9.py"]["is_python"]
    assert by_path[b"vendor/lib/code.py"]["is_vendored"]
    assert by_path[b"deep/er/and/deeper/still.py"]["name"] == b"still.py"
    assert b"module" not in by_path
    assert {b"Readme", b"readme/x"} <= set(by_path)
    assert by_path[b"Readme"]["is_license"], "a README at the root may state the licence"
    assert not by_path[b"readme/x"]["is_license"]
    assert not by_path[b"a/readme"]["is_license"], "deeper ones speak for nobody"
    row = by_path[b"a0"]
    assert (row["sha1_git"], row["sha1"], row["length"], row["status"]) == (*content_ids(b"a0"), 2, "present")


def test_a_swhid_can_be_made_of_every_row(export, tmp_path):
    resolve(export, tmp_path)
    wanted = ("sha1_git", "origin_url", "snapshot", "revision", "path", "anchor")
    rows = read_table(tmp_path / "file_manifest", FILE_MANIFEST).select(wanted)
    assert not rows.null_count().sum_horizontal().item()
    found = {qualified_swhid(**row) for row in rows.iter_rows(named=True)}
    assert len(found) == rows.height


def test_parts_hold_whole_heads(export, tmp_path):
    one = resolve(export, tmp_path / "one", BranchHeads(all_branches=True))
    many = resolve(export, tmp_path / "many", BranchHeads(all_branches=True), rows_per_part=1)
    artifact = open_artifact(many.manifest)
    assert len(artifact.files) == artifact.metadata["num_heads"]
    frames = [read_table(tmp_path / name / "file_manifest", FILE_MANIFEST) for name in ("one", "many")]
    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[0].sort("origin_url", "revision", "path"))
    assert one.num_rows == many.num_rows == frames[0].height


def test_cuts():
    assert cut_heads(pl.Series([3, 3, 9, 1]).to_numpy(), 6) == [0, 2, 3, 4]
    assert cut_heads(pl.Series([], dtype=pl.Int64).to_numpy(), 6) == [0]
