"""The 15 tables of the 2019-01-28 layout: raw ids, surrogate int64 keys, shared branches and directory entries.

Rows are sorted by id and surrogate keys follow that order from 1 on, so the same graph gives the same bytes.
Source: software_heritage.md, part 1; a branch row is shared by all snapshots, an entry row by all directories.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from minicode_assets.archive.graph import Graph, Release, Revision, Signature
from minicode_assets.archive.write import table_of
from minicode_assets.swhid import DIRECTORY_MODE, SUBMODULE_MODE, TreeEntry, tree_entries

_ENTRIES = pa.list_(pa.field("element", pa.int64()))
SCHEMAS_2019 = {
    "origin": pa.schema([("id", pa.int64()), ("type", pa.string()), ("url", pa.string())]),
    "origin_visit": pa.schema(
        [
            ("origin", pa.int64()),
            ("visit", pa.int64()),
            ("date", pa.timestamp("us", "UTC")),
            ("status", pa.string()),
            ("metadata", pa.string()),
            ("snapshot_id", pa.int64()),
        ]
    ),
    "snapshot": pa.schema([("object_id", pa.int64()), ("id", pa.binary())]),
    "snapshot_branches": pa.schema([("snapshot_id", pa.int64()), ("branch_id", pa.int64())]),
    "snapshot_branch": pa.schema(
        [("object_id", pa.int64()), ("name", pa.binary()), ("target", pa.binary()), ("target_type", pa.string())]
    ),
    "revision": pa.schema(
        [
            ("id", pa.binary()),
            ("date", pa.int64()),
            ("date_offset", pa.int16()),
            ("committer_date", pa.int64()),
            ("committer_date_offset", pa.int16()),
            ("type", pa.string()),
            ("directory", pa.binary()),
            ("message", pa.binary()),
            ("author", pa.int64()),
            ("committer", pa.int64()),
        ]
    ),
    "revision_history": pa.schema([("id", pa.binary()), ("parent_id", pa.binary()), ("parent_rank", pa.int32())]),
    "release": pa.schema(
        [
            ("id", pa.binary()),
            ("target", pa.binary()),
            ("date", pa.int64()),
            ("date_offset", pa.int16()),
            ("name", pa.binary()),
            ("comment", pa.binary()),
            ("author", pa.int64()),
            ("target_type", pa.string()),
        ]
    ),
    "person": pa.schema([("id", pa.int64())]),
    "directory": pa.schema(
        [("id", pa.binary()), ("dir_entries", _ENTRIES), ("file_entries", _ENTRIES), ("rev_entries", _ENTRIES)]
    ),
    **{
        f"directory_entry_{kind}": pa.schema(
            [("id", pa.int64()), ("target", pa.binary()), ("name", pa.binary()), ("perms", pa.int32())]
        )
        for kind in ("dir", "file", "rev")
    },
    "content": pa.schema([("sha1", pa.binary()), ("sha1_git", pa.binary()), ("length", pa.int64())]),
    "skipped_content": pa.schema([("sha1", pa.binary()), ("sha1_git", pa.binary()), ("length", pa.int64())]),
}
"""Columns and physical types, by table. Source: software_heritage.md, part 1, and the sample exports."""


def tables_2019(graph: Graph, visit_seconds: int) -> Iterator[tuple[str, pa.Table]]:
    """The graph's 15 tables by name, each with the schema of `SCHEMAS_2019`.

    Args:
        graph: The objects.
        visit_seconds: Date of every visit. Unit: seconds since 1970.
    """
    yield from _origins(graph, visit_seconds)
    yield from _snapshots(graph)
    yield from _history(graph)
    yield from _directories(graph)
    for name, contents in (("content", graph.contents), ("skipped_content", graph.skipped_contents)):
        ordered = [contents[key] for key in sorted(contents)]
        yield _table(name, ((content.sha1, content.sha1_git, content.length) for content in ordered))


def _origins(graph: Graph, visit_seconds: int) -> Iterator[tuple[str, pa.Table]]:
    snapshot_keys = _keys(graph.snapshots)
    ordered = sorted(graph.origins)
    yield _table("origin", ((key, origin.kind, origin.url) for key, origin in enumerate(ordered, 1)))
    yield _table(
        "origin_visit",
        (
            (key, 1, visit_seconds * 1_000_000, "full", None, snapshot_keys[origin.snapshot])
            for key, origin in enumerate(ordered, 1)
        ),
    )


def _snapshots(graph: Graph) -> Iterator[tuple[str, pa.Table]]:
    snapshot_keys = _keys(graph.snapshots)
    shared = {(name, *branch) for branches in graph.snapshots.values() for name, branch in branches.items()}
    branch_keys = _keys(shared)
    yield _table("snapshot", ((key, identifier) for identifier, key in snapshot_keys.items()))
    yield _table(
        "snapshot_branches",
        (
            (key, branch_keys[name, *branch])
            for identifier, key in snapshot_keys.items()
            for name, branch in graph.snapshots[identifier].items()
        ),
    )
    yield _table(
        "snapshot_branch",
        (
            (key, name, None, None) if kind == "dangling" else (key, name, target, kind)
            for (name, kind, target), key in branch_keys.items()
        ),
    )


def _history(graph: Graph) -> Iterator[tuple[str, pa.Table]]:
    persons = _keys({signature.person for signature in _signatures(graph)})
    revisions, releases = sorted(graph.revisions.items()), sorted(graph.releases.items())
    yield _table("revision", (_revision_row(key, revision, persons) for key, revision in revisions))
    yield _table(
        "revision_history",
        ((key, parent, rank) for key, revision in revisions for rank, parent in enumerate(revision.parents)),
    )
    yield _table("release", (_release_row(key, release, persons) for key, release in releases))
    yield _table("person", ((key,) for key in persons.values()))


def _signatures(graph: Graph) -> Iterator[Signature]:
    for revision in graph.revisions.values():
        yield from (revision.author, revision.committer)
    yield from (release.tagger for release in graph.releases.values() if release.tagger)


def _revision_row(key: bytes, revision: Revision, persons: Mapping[bytes, int]) -> tuple[Any, ...]:
    dates = (*_when(revision.author), *_when(revision.committer))
    people = (persons[revision.author.person], persons[revision.committer.person])
    return (key, *dates, revision.type, revision.directory, revision.message, *people)


def _release_row(key: bytes, release: Release, persons: Mapping[bytes, int]) -> tuple[Any, ...]:
    author = persons[release.tagger.person] if release.tagger else None
    date = _when(release.tagger)
    return (key, release.target, *date, release.name, release.message, author, release.target_type)


def _directories(graph: Graph) -> Iterator[tuple[str, pa.Table]]:
    shared: dict[str, dict[TreeEntry, int]] = {"dir": {}, "file": {}, "rev": {}}
    rows = []
    for identifier in sorted(graph.directories):
        lists: dict[str, list[int]] = {"dir": [], "file": [], "rev": []}
        for entry in tree_entries(graph.directories[identifier]):
            kind = entry_type(entry)
            lists[kind].append(shared[kind].setdefault(entry, len(shared[kind]) + 1))
        rows.append((identifier, lists["dir"] or None, lists["file"] or None, lists["rev"] or None))
    yield _table("directory", rows)
    for kind, entries in shared.items():
        yield _table(f"directory_entry_{kind}", ((key, e.target, e.name, e.mode) for e, key in entries.items()))


def entry_type(entry: TreeEntry) -> str:
    """Software Heritage's name for what an entry points to: dir, rev or file."""
    return {DIRECTORY_MODE: "dir", SUBMODULE_MODE: "rev"}.get(entry.mode, "file")


def _when(signature: Signature | None) -> tuple[int | None, int | None]:
    """Microseconds since 1970 and minutes east of UTC."""
    if signature is None or signature.seconds is None:
        return None, None
    return signature.seconds * 1_000_000, signature.offset_minutes


def _keys(values: Iterable[Any]) -> dict[Any, int]:
    return {value: key for key, value in enumerate(sorted(values), 1)}


def _table(name: str, rows: Iterable[Sequence[Any]]) -> tuple[str, pa.Table]:
    return name, table_of(SCHEMAS_2019[name], rows)
