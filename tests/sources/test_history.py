"""Commits of an export with history: the oracle is git itself, through the reader of local repositories."""

import functools
import subprocess
import threading
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest

from minicode_assets.archive.build import build_archive
from minicode_assets.blobs.backends import LocalBackend
from minicode_assets.blobs.opt_out import OptOut
from minicode_assets.config import Archive, BranchHeads, Tables
from minicode_assets.config.sources import Commits
from minicode_assets.manifest.heads import INPUTS as HEAD_INPUTS
from minicode_assets.manifest.heads import choose_heads
from minicode_assets.sources.commits import read_commits
from minicode_assets.sources.history import SOURCES, changed_files, read_history
from minicode_assets.tables.download import mirror_export
from minicode_assets.tables.normalise import normalise_table
from tests.sources.test_commits import commit, git

pytestmark = pytest.mark.slow
ORIGIN = "https://example.org/owner/repo"
PARAMS = Commits(whole_file_rate=0.3, thinned_rate=0.3, short_subject_rate=0.7)
TABLES = {*HEAD_INPUTS, "directory", "directory_entry", "content"}


def repository(folder: Path) -> Path:
    """Every way in which a commit can change files: one, several, in folders, added, removed, moved, merged."""
    (folder / "pkg" / "deep").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", f"{ORIGIN}.git")
    lines = [f"x{number} = {number}\n" for number in range(30)]
    commit(folder, "Begin with two modules", a__py="".join(lines), **{"pkg/deep/b__py": "y = 1\n"})
    for number in range(6):
        lines[4 * number : 4 * number + 4] = [f"x{number} = 'changed {number}'\n"] * 4
        commit(folder, f"Change what number {number} means", a__py="".join(lines))
    for number in range(4):
        commit(folder, f"Count the short change {number}", short__py=f"n = {number}\n")
    commit(folder, "Touch a module deep below", **{"pkg/deep/b__py": "y = 1\nz = 2\nw = 3\nv = 4\n"})
    commit(folder, "Change two modules at once", a__py="a = 1\n", **{"pkg/deep/b__py": "b = 1\n"})
    commit(folder, "Change one and add another", a__py="a = 2\n", c__py="c = 1\n")
    commit(folder, "Change one beside a text", a__py="a = 3\nb = 4\nc = 5\nd = 6\n", README__md="# text\n")
    git(folder, "rm", "-q", "c.py")
    git(folder, "commit", "-qm", "Take a module away")
    git(folder, "checkout", "-qb", "side")
    commit(folder, "Work on the side for a while", **{"pkg/deep/b__py": "b = 1\nside = 2\nmore = 3\nthen = 4\n"})
    git(folder, "checkout", "-q", "main")
    commit(folder, "Meanwhile on the main branch", a__py="main = 1\n")
    git(folder, "merge", "-q", "--no-ff", "-m", "Merge the side branch", "side")
    commit(folder, "A name becomes a folder", d__py="d = 1\n")
    commit(folder, "After the merge one more change", a__py="main = 2\nthen = 3\nand = 4\nlast = 5\n")
    return folder


def tables_of(export: Path, folder: Path) -> dict[str, Path]:
    tables = {name: folder / f"swh_{name}" for name in TABLES}
    for name, place in tables.items():
        normalise_table(export, name, place, config_digest="", inputs={})
    choose_heads(tables, folder / "branch_heads", params=BranchHeads(), config_digest="")
    return {f"swh_{name}": place for name, place in tables.items()} | {"branch_heads": folder / "branch_heads"}


def mirrored(export: Path, folder: Path) -> Path:
    """The mirror of an export that a web server has: made for the tables first, then for the commits."""
    (folder / "served" / "it").mkdir(parents=True)
    (folder / "served" / "it" / "parquet").symlink_to(export)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        params = Tables(remote=f"http://127.0.0.1:{server.server_port}", dataset="it")
        mirror_export(folder / "mirror", params=params)
        mirror = mirror_export(folder / "mirror", params=params, also=SOURCES)
        server.shutdown()
    return mirror.export


def contents(folder: Path, repository: Path) -> LocalBackend:
    """All contents of a repository's history, as the bucket has them."""
    import gzip

    from minicode_assets.swhid import content_ids

    folder.mkdir()
    command = ["git", "-C", str(repository), "rev-list", "--objects", "--all"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        blob = ["git", "-C", str(repository), "cat-file", "blob", line.split()[0]]
        done = subprocess.run(blob, capture_output=True)
        if done.returncode == 0:
            (folder / content_ids(done.stdout)[1].hex()).write_bytes(gzip.compress(done.stdout))
    return LocalBackend(folder)


@pytest.mark.parametrize("layout", ["2019-01-28", "2021-03-23"])
def test_the_same_commits_as_from_the_repository(tmp_path: Path, layout: str) -> None:
    path = repository(tmp_path / "repo")
    params = Archive(git_repositories=(str(path),), distributions=(), standard_library=False, layout=layout)
    build_archive(tmp_path / "archive", params=params, config_digest="")
    export = tmp_path / "archive" / "graph"
    tables = tables_of(export, tmp_path)
    backend = contents(tmp_path / "content", path)
    found = list(read_history(export, tables, backend, PARAMS, wishes=OptOut(), scratch=tmp_path / "scratch"))
    local = replace(PARAMS, repositories=(str(path),))
    expected = list(read_commits(local, checkout=Path("/none"), licensing=lambda content: None))
    assert len(expected) > 8
    assert {document.status for document in expected} >= {"ok", "sampled_out"}
    assert sorted((d.text, d.path, d.status, d.origin_url, d.date) for d in found) == sorted(
        (d.text, d.path, d.status, d.origin_url, d.date) for d in expected
    )
    assert all(document.revision for document in found), "its licence is the head's at that path"
    mirror = mirrored(export, tmp_path)
    assert found == list(read_history(mirror, tables, backend, PARAMS, wishes=OptOut(), scratch=tmp_path / "scratch"))
    assert not list(read_history(export, tables, backend, PARAMS, wishes=OptOut(owners=frozenset({("", "owner")})),
                                 scratch=tmp_path / "scratch"))  # fmt: skip


def test_contents_that_do_not_come_have_a_status(tmp_path: Path) -> None:
    path = repository(tmp_path / "repo")
    params = Archive(git_repositories=(str(path),), distributions=(), standard_library=False)
    build_archive(tmp_path / "archive", params=params, config_digest="")
    export = tmp_path / "archive" / "graph"
    (tmp_path / "nothing").mkdir()
    found = list(
        read_history(export, tables_of(export, tmp_path), LocalBackend(tmp_path / "nothing"), PARAMS, wishes=OptOut(),
                     scratch=tmp_path / "scratch")
    )  # fmt: skip
    assert {document.status for document in found} == {"missing"}


def test_differences_of_real_histories(samples: Path, tmp_path: Path) -> None:
    """The shared exports have directories of real histories but neither messages nor parents: pairs by date."""
    export = samples / "swh" / "2021-03-23"
    tables = {}
    for name in ("directory", "directory_entry", "revision"):
        tables[f"swh_{name}"] = tmp_path / name
        normalise_table(export, name, tmp_path / name, config_digest="", inputs={})
    revisions = pl.read_parquet(tmp_path / "revision" / "*.parquet").sort("committer_date")[-200:]
    pairs = revisions.select("id", "directory", parent_directory=pl.col("directory").shift(1)).drop_nulls()
    files = pl.concat(changed_files(pairs, tables))
    assert files["id"].n_unique() > 50
    assert files.filter(pl.col("before").eq_missing(pl.col("after"))).height == 0
    assert files.select("id", "path").is_unique().all()
