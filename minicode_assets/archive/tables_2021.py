"""The tables of the 2021-03-23 layout: hex ids, no surrogate keys, one `directory_entry` row an entry.

Rows are sorted by id, so the same graph gives the same bytes. Source: software_heritage.md, part 1.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from minicode_assets.archive.graph import Content, Graph, Signature
from minicode_assets.archive.tables_2019 import entry_type
from minicode_assets.archive.write import table_of
from minicode_assets.swhid import tree_entries

_TIME = pa.timestamp("us")
_MAX_SECONDS = 9_223_372_036
"""ORC readers hold times as int64 nanoseconds: dates past 2262 or before 1677 would wrap, so they are null."""
_CONTENT = [
    ("sha1", pa.string()),
    ("sha1_git", pa.string()),
    ("sha256", pa.string()),
    ("blake2s256", pa.string()),
    ("length", pa.int64()),
    ("status", pa.string()),
]
SCHEMAS_2021 = {
    "origin": pa.schema([("url", pa.string())]),
    "origin_visit": pa.schema([("origin", pa.string()), ("visit", pa.int64()), ("date", _TIME), ("type", pa.string())]),
    "origin_visit_status": pa.schema(
        [
            ("origin", pa.string()),
            ("visit", pa.int64()),
            ("date", _TIME),
            ("status", pa.string()),
            ("snapshot", pa.string()),
        ]
    ),
    "snapshot": pa.schema([("id", pa.string())]),
    "snapshot_branch": pa.schema(
        [("snapshot_id", pa.string()), ("name", pa.binary()), ("target", pa.string()), ("target_type", pa.string())]
    ),
    "release": pa.schema(
        [
            ("id", pa.string()),
            ("name", pa.binary()),
            ("message", pa.binary()),
            ("target", pa.string()),
            ("target_type", pa.string()),
            ("author", pa.binary()),
            ("date", _TIME),
            ("date_offset", pa.int16()),
        ]
    ),
    "revision": pa.schema(
        [
            ("id", pa.string()),
            ("message", pa.binary()),
            ("author", pa.binary()),
            ("date", _TIME),
            ("date_offset", pa.int16()),
            ("committer", pa.binary()),
            ("committer_date", _TIME),
            ("committer_offset", pa.int16()),
            ("directory", pa.string()),
            ("type", pa.string()),
        ]
    ),
    "revision_history": pa.schema([("id", pa.string()), ("parent_id", pa.string()), ("parent_rank", pa.int32())]),
    "directory": pa.schema([("id", pa.string())]),
    "directory_entry": pa.schema(
        [
            ("directory_id", pa.string()),
            ("name", pa.binary()),
            ("type", pa.string()),
            ("target", pa.string()),
            ("perms", pa.int32()),
        ]
    ),
    "content": pa.schema(_CONTENT),
    "skipped_content": pa.schema([*_CONTENT, ("reason", pa.string())]),
}
"""Columns and types, by table. Source: software_heritage.md, part 1, and the sample exports."""


def tables_2021(graph: Graph, visit_seconds: int) -> Iterator[tuple[str, pa.Table]]:
    """The graph's 12 tables by name, each with the schema of `SCHEMAS_2021`.

    Persons are SHA-256 digests, as in the public exports.

    Args:
        graph: The objects.
        visit_seconds: Date of every visit. Unit: seconds since 1970.
    """
    yield from _origins(graph, visit_seconds)
    yield from _snapshots(graph)
    yield from _history(graph)
    yield _table("directory", ((key.hex(),) for key in sorted(graph.directories)))
    yield _table("directory_entry", _entries(graph))
    yield _table("content", (_content(graph.contents[key], "visible") for key in sorted(graph.contents)))
    skipped = (graph.skipped_contents[key] for key in sorted(graph.skipped_contents))
    yield _table("skipped_content", ((*_content(content, "absent"), "Content too large") for content in skipped))


def _origins(graph: Graph, visit_seconds: int) -> Iterator[tuple[str, pa.Table]]:
    ordered, date = sorted(graph.origins), visit_seconds * 1_000_000
    yield _table("origin", ((origin.url,) for origin in ordered))
    yield _table("origin_visit", ((origin.url, 1, date, origin.kind) for origin in ordered))
    yield _table("origin_visit_status", ((o.url, 1, date, "full", o.snapshot.hex()) for o in ordered))


def _snapshots(graph: Graph) -> Iterator[tuple[str, pa.Table]]:
    yield _table("snapshot", ((key.hex(),) for key in sorted(graph.snapshots)))
    yield _table(
        "snapshot_branch",
        (
            (key.hex(), name, branch.target.hex(), branch.target_type)
            for key in sorted(graph.snapshots)
            for name, branch in graph.snapshots[key].items()
        ),
    )


def _history(graph: Graph) -> Iterator[tuple[str, pa.Table]]:
    revisions, releases = sorted(graph.revisions.items()), sorted(graph.releases.items())
    yield _table(
        "release",
        ((key.hex(), r.name, r.message, r.target.hex(), r.target_type, *_signature(r.tagger)) for key, r in releases),
    )
    yield _table(
        "revision",
        (
            (key.hex(), r.message, *_signature(r.author), *_signature(r.committer), r.directory.hex(), r.type)
            for key, r in revisions
        ),
    )
    yield _table(
        "revision_history",
        ((key.hex(), parent.hex(), rank) for key, r in revisions for rank, parent in enumerate(r.parents)),
    )


def _entries(graph: Graph) -> Iterator[tuple[str, bytes, str, str, int]]:
    for key in sorted(graph.directories):
        directory = key.hex()
        for entry in tree_entries(graph.directories[key]):
            yield directory, entry.name, entry_type(entry), entry.target.hex(), entry.mode


def _content(content: Content, status: str) -> tuple[str, str, str, str, int, str]:
    sha1, sha1_git, sha256, blake2s256 = (digest.hex() for digest in content[:4])
    return sha1, sha1_git, sha256, blake2s256, content.length, status


def _signature(signature: Signature | None) -> tuple[bytes | None, int | None, int | None]:
    """Pseudonym, microseconds since 1970, minutes east of UTC."""
    if signature is None:
        return None, None, None
    person = hashlib.sha256(signature.person).digest()
    if signature.seconds is None or abs(signature.seconds) > _MAX_SECONDS:
        return person, None, None
    return person, signature.seconds * 1_000_000, signature.offset_minutes


def _table(name: str, rows: Iterable[Sequence[Any]]) -> tuple[str, pa.Table]:
    return name, table_of(SCHEMAS_2021[name], rows)
