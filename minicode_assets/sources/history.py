"""Commits of an export with history: from the heads back through the revisions, each compared with its parent.

An export has no diffs: two root directories are compared level by level, and only into what differs. Contents come
from the `blobs` backends. Rules, sampling and format are those of local repositories (sources/commits.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from minicode_assets.blobs.backends import Absent, Backend, Wanted
from minicode_assets.blobs.opt_out import OptOut
from minicode_assets.config.sources import Commits
from minicode_assets.manifest.graph import entry_kind
from minicode_assets.parquet import read_table, scan_table
from minicode_assets.schemas import BRANCH_HEADS, CONTENT, DIRECTORY, DIRECTORY_ENTRY
from minicode_assets.sources.commits import Change, document_of
from minicode_assets.sources.document import Document
from minicode_assets.sources.swh import readable_path
from minicode_assets.swhid import core_swhid
from minicode_assets.tables.generations import detect, tables_folder
from minicode_assets.tables.places import ExportPath
from minicode_assets.tables.read import Reader, Source

INPUTS = ("branch_heads", "swh_directory", "swh_directory_entry", "swh_content", "opt_out")
"""Artefacts that are read, beside the export itself."""
SOURCES = {
    "revision": Source(
        "revision", {"id": "id", "directory": "reference", "committer_date": "time", "message": "bytes"},
        optional=frozenset({"committer_date"}),
    ),
    "revision_history": Source("revision_history", {"id": "id", "parent_id": "id", "parent_rank": "number"}),
}  # fmt: skip
"""Columns of an export that no other stage reads."""
_COMPARED_COMMITS = 20_000
_FETCHED_CHANGES = 500


def read_history(
    export: ExportPath, tables: Mapping[str, Path], backend: Backend, params: Commits, *, wishes: OptOut, scratch: Path
) -> Iterator[Document]:
    """Documents of the revisions that the heads lead to, by origin, newest first; a shared one is the first origin's.

    Statuses as in `commits.read_commits`, and those of contents that did not come: missing, masked, damaged,
    unreachable.

    Args:
        export: The export's folder; its tables revision (with messages) and revision_history are read.
        tables: Folders of the artefacts `INPUTS`.
        backend: Where contents come from.
        params: The `commits` section.
        wishes: Origins that are left out.
        scratch: A folder for sorts.

    Raises:
        TableError: The export lacks one of the two tables, or a column.
    """
    commits = reached_commits(export, tables["branch_heads"], params, wishes=wishes, scratch=scratch)
    for part in commits.iter_slices(_COMPARED_COMMITS):
        changes = single_changes(part, tables, params.suffixes)
        for rows in changes.iter_slices(_FETCHED_CHANGES):
            yield from _documents(rows.to_dicts(), tables["swh_content"], backend, params)


def reached_commits(
    export: ExportPath, branch_heads: Path, params: Commits, *, wishes: OptOut, scratch: Path
) -> pl.DataFrame:
    """One row a commit with exactly one parent: origin_url, head, revision, date, message, directory, parent_directory.

    In memory are the ids of all revisions, some 100 bytes each, and the messages of those that are reached.
    """
    reader = Reader(tables_folder(export), SOURCES, detect(export).hex_ids, scratch)
    revisions = reader.whole("revision", "id", "directory", "committer_date").unique("id").sort("id")
    parents = reader.whole("revision_history").sort("id", "parent_rank")
    heads = read_table(branch_heads, BRANCH_HEADS, verify=False).filter(pl.col("revision").is_not_null())
    heads = heads.filter(~pl.col("origin_url").map_elements(wishes.covers_origin, return_dtype=pl.Boolean))
    found = _reach(revisions["id"], parents, heads.sort("origin_url", "revision"))
    single = parents.filter(pl.len().over("id") == 1).select("id", "parent_id")
    directories = revisions.select(parent_id="id", parent_directory="directory")
    rows = (
        found.join(revisions, on="id").join(single, on="id").join(directories, on="parent_id")
        .drop_nulls(["directory", "parent_directory"])
        .sort("origin_url", "committer_date", "id", descending=[False, True, False], nulls_last=True)
        .group_by("origin_url", maintain_order=True).head(params.max_commits)
    )  # fmt: skip
    wanted = rows.select("id")
    messages = [frame.join(wanted, on="id", how="semi") for frame in reader.frames("revision", "id", "message")]
    none = pl.DataFrame(schema={"id": pl.Binary, "message": pl.Binary})
    told = pl.concat([none, *messages]).unique("id")
    return rows.join(told, on="id", how="left", maintain_order="left")


def _reach(ids: pl.Series, parents: pl.DataFrame, heads: pl.DataFrame) -> pl.DataFrame:
    """id, origin_url and head of each revision that a head leads to; the first head keeps what several share."""
    numbered = pl.DataFrame({"id": ids}).with_row_index("number")
    edges = parents.join(numbered, on="id").join(numbered.rename({"id": "parent_id", "number": "to"}), on="parent_id")
    edges = edges.sort("number")
    starts = np.searchsorted(edges["number"].to_numpy(), np.arange(len(ids) + 1))
    targets = edges["to"].to_numpy()
    owner = np.full(len(ids), -1, np.int64)
    roots = heads.select(id="revision").with_row_index("rank").join(numbered, on="id").sort("rank")
    for rank, root in roots.select("rank", "number").iter_rows():
        pending = [root]
        while pending:
            number = pending.pop()
            if owner[number] < 0:
                owner[number] = rank
                pending += targets[starts[number] : starts[number + 1]].tolist()
    owned = numbered.with_columns(rank=pl.Series(owner)).filter(pl.col("rank") >= 0)
    named = heads.with_row_index("rank").select(pl.col("rank").cast(pl.Int64), "origin_url", head="revision")
    return owned.join(named, on="rank").select("id", "origin_url", "head")


def single_changes(commits: pl.DataFrame, tables: Mapping[str, Path], suffixes: Sequence[str]) -> pl.DataFrame:
    """The commits that change exactly one wanted file and neither add nor take away another, with path, before, after.

    Args:
        commits: See `reached_commits`.
        tables: Folders of swh_directory and swh_directory_entry.
        suffixes: Ends of the names that are wanted.
    """
    ends = [suffix.encode() for suffix in suffixes]
    found = list(changed_files(commits, tables))
    files = pl.concat(found) if found else pl.DataFrame(schema=_FILES)
    wanted = files.filter(pl.any_horizontal(pl.col("path").bin.ends_with(end) for end in ends))
    alone = wanted.filter(pl.len().over("id") == 1).drop_nulls(["before", "after"])
    return commits.join(alone, on="id", how="inner", maintain_order="left")


_FILES = {"id": pl.Binary, "path": pl.Binary, "before": pl.Binary, "after": pl.Binary}


def changed_files(commits: pl.DataFrame, tables: Mapping[str, Path]) -> Iterator[pl.DataFrame]:
    """Frames of id, path, before, after: files that differ from those of the parent, null where there is none."""
    level = commits.select("id", path=pl.lit(b""), before="parent_directory", after="directory")
    level = level.filter(pl.col("before") != pl.col("after"))
    while level.height:
        old, new = (_entries(level, side, tables) for side in ("before", "after"))
        both = old.join(new, on=["id", "path"], how="full", coalesce=True).filter(
            pl.col("before").ne_missing(pl.col("after")) | pl.col("kind").ne_missing(pl.col("kind_right"))
        )
        yield _of_kind(both, ["file", "symlink"], "path")
        level = _of_kind(both, ["dir"], pl.col("path") + b"/")


def _of_kind(entries: pl.DataFrame, kinds: Sequence[str], path: str | pl.Expr) -> pl.DataFrame:
    """The entries of these kinds that differ; null on a side where the entry is of another kind."""
    sides = (("before", "kind"), ("after", "kind_right"))
    chosen = [pl.when(pl.col(kind).is_in(kinds)).then(side).alias(side) for side, kind in sides]
    return entries.select("id", path, *chosen).filter(pl.col("before").ne_missing(pl.col("after")))


def _entries(level: pl.DataFrame, side: str, tables: Mapping[str, Path]) -> pl.DataFrame:
    """The entries of the directories of one side: id, path, the target under the side's name, and its kind."""
    directories = scan_table(tables["swh_directory"], DIRECTORY, verify=False)
    entries = scan_table(tables["swh_directory_entry"], DIRECTORY_ENTRY, verify=False)
    wanted = level.lazy().select("id", "path", directory=side).drop_nulls("directory")
    listed = directories.join(wanted.select(id="directory").unique(), on="id", how="semi").explode("entries")
    shown = listed.drop_nulls("entries").join(entries, left_on="entries", right_on="id").with_columns(entry_kind())
    return (
        wanted.join(shown.select("name", "target", "kind", directory="id"), on="directory")
        .select("id", pl.col("path") + pl.col("name"), pl.col("target").alias(side), "kind")
        .collect()
    )


class _Fetched:
    """Contents by id in hexadecimal digits, as `commits.document_of` asks for them."""

    def __init__(self, found: Mapping[str, bytes]) -> None:
        self._found = found

    def read(self, blob: str) -> bytes:
        """The bytes of a content."""
        return self._found[blob]


def _documents(rows: Sequence[dict[str, Any]], content: Path, backend: Backend, params: Commits) -> Iterator[Document]:
    ids = pl.DataFrame({"sha1_git": sorted({row[side] for row in rows for side in ("before", "after")})})
    known = scan_table(content, CONTENT, verify=False).join(ids.lazy(), on="sha1_git", how="semi").sort("sha1_git")
    wanted = [Wanted(n, *row) for n, row in enumerate(known.select("sha1_git", "sha1", "length").collect().iter_rows())]
    short = [item for item in wanted if item.length <= params.max_file_bytes]
    long = {item.sha1_git: "too_long" for item in wanted if item.length > params.max_file_bytes}
    answers = {answer.wanted.sha1_git: answer.found for answer in backend.fetch(short)}
    found = {key.hex(): body for key, body in answers.items() if isinstance(body, bytes)}
    problems = long | {key: _problem(body) for key, body in answers.items() if isinstance(body, Absent)}
    for row in rows:
        absent = [problems.get(row[side], "missing") for side in ("before", "after") if row[side].hex() not in found]
        yield _document(row, _Fetched(found), absent, params)


def _problem(absent: Absent) -> str:
    return "unreachable" if absent.status == "retry_later" else absent.status


def _document(row: dict[str, Any], contents: _Fetched, absent: Sequence[str], params: Commits) -> Document:
    """The training text, under the licence that holds at its place in the head."""
    path = readable_path(row["path"])
    record_id = f"{core_swhid('rev', row['id'])};path=/{path}"
    if absent:
        return Document(
            source="commits", record_id=record_id, origin_url=row["origin_url"], path=path, text="", status=absent[0],
            date=row["committer_date"], revision=row["head"],
        )  # fmt: skip
    change = Change(
        commit=row["id"].hex(), date=row["committer_date"], path=path, before=row["before"].hex(),
        after=row["after"].hex(), message=(row["message"] or b"").decode("utf-8", "replace").strip(),
    )  # fmt: skip
    return replace(
        document_of(change, row["origin_url"], None, contents, params), record_id=record_id, revision=row["head"]
    )
