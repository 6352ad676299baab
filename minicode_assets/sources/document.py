"""The one face of a source: records become documents, cut by the same prefixes as the archive's.

A source is a module with a function that yields `Document`s, in the same order each time, and an entry in
minicode_assets/defs/sources.py that hands them to `write_documents`. Dropping is stated and never silent: a record
that a rule of its source drops is a document with that rule as its status and without its text. From here on all
documents take one way: annotators, selection, funnel, explain, tokens.
"""

import logging
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from minicode_assets.parquet import COMPRESSION_LEVEL, conform
from minicode_assets.schemas import DOCUMENTS
from minicode_assets.sources.swh import document_id
from minicode_assets.swhid import core_swhid, encode_path, object_id
from minicode_model.artifact import Artifact, open_artifact, write_artifact

_PROGRESS_S = 5.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
logger = logging.getLogger("minicode.sources")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One record of a source as training text.

    Attributes:
        source: The format's name, see minicode_assets/tokens/formats.py.
        record_id: The record's id in its source; unique there, and the same for ever.
        origin_url: The repository, site or dataset: what is held out as a whole.
        path: Where in it; a name with the suffix that tells the kind of text.
        text: The text, with marks (sources/marks.py) where its format has an inner structure.
        url: Where a person can look at it.
        license: SPDX expression that the source states.
        date: When it was written or last changed.
        status: ok, or the rule that drops it.
        content: The file's bytes, where the record is a file: they give the SWHID, else the text does.
        swhid: Qualified SWHID of a file that is in the archive; None makes one of content, origin and path.
        sha1_git: Its id, 20 bytes, where the content is known and need not be hashed, or is not here.
        revision: What it was reached from, 20 bytes, where the licence files of the manifest say under which licence.
    """

    source: str
    record_id: str
    origin_url: str
    path: str
    text: str
    url: str | None = None
    license: str | None = None
    date: datetime | None = None
    status: str = "ok"
    content: bytes | None = field(default=None, repr=False)
    swhid: str | None = None
    sha1_git: bytes | None = None
    revision: bytes | None = None

    def dropped(self, status: str) -> "Document":
        """The same record, dropped by a rule."""
        return replace(self, status=status)

    def with_text(self, text: str, content: bytes) -> "Document":
        """The same record with its text, which a file holds."""
        return replace(self, text=text, content=content)

    def row(self) -> dict[str, Any]:
        """The row of DOCUMENTS; what can't be UTF-8 (lone surrogates) has the status undecodable."""
        try:
            raw = self.text.encode()
            status = self.status if self.status != "ok" or "\0" not in self.text else "nul"
        except UnicodeEncodeError:
            raw, status = self.text.encode("utf-8", "surrogatepass"), "undecodable"
        sha1_git = self.sha1_git or object_id("blob", raw if self.content is None else self.content)
        origin, path = (encode_path(text.encode("utf-8", "replace")) for text in (one_line(self.origin_url), self.path))
        own = f"{core_swhid('cnt', sha1_git)};origin={origin};path=/{path}"
        is_text = status == "ok"
        return {
            "document_id": document_id(f"{self.source}:{whole_characters(self.record_id)}"),
            "source": self.source,
            "swhid": self.swhid or own,
            "sha1_git": sha1_git,
            "origin_url": one_line(self.origin_url),
            "revision": self.revision,
            "record_id": whole_characters(self.record_id),
            "url": None if self.url is None else one_line(self.url),
            "declared_license": None if self.license is None else one_line(self.license),
            "date": in_utc(self.date) if self.date else None,
            "path": whole_characters(self.path),
            "length_bytes": len(raw),
            "encoding": "utf-8" if is_text else None,
            "status": status,
            "text": self.text if is_text else None,
        }


def write_documents(
    folder: Path,
    documents: Iterable[Document],
    *,
    name: str,
    keys: Sequence[str],
    block_bytes: int,
    config_digest: str,
    inputs: Mapping[str, str],
    metadata: dict[str, Any] | None = None,
) -> Artifact:
    """After this, `folder` holds one file `<key>.parquet` for each prefix partition, schema DOCUMENTS.

    Memory is bounded by `block_bytes` of text. Rows keep the order in which they come.

    Args:
        folder: The artefact folder.
        documents: Documents, in an order that is the same each time.
        name: Asset key.
        keys: The prefix partitions' keys.
        block_bytes: Text held before it is written. Unit: bytes.
        config_digest: See `write_artifact`.
        inputs: See `write_artifact`.
        metadata: More figures; read when all documents have come, so the producer may fill it meanwhile.

    Returns:
        The artefact. Metadata: num_rows, text_bytes, statuses (count by status), sources (documents with text and
        their bytes by source), and `metadata`.

    Raises:
        StorageError: `folder` can't be written.
    """
    with write_artifact(folder, name=name, config_digest=config_digest, inputs=inputs) as writer:
        figures = Figures()
        with PrefixFiles(writer.path, keys) as files:
            for frame in _blocks(documents, block_bytes):
                figures.add(frame)
                files.write(frame)
        writer.metadata = {**figures.mapping(), **(metadata or {})}
    return open_artifact(folder, verify=False)


def frame_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows of `Document.row` as a frame with schema DOCUMENTS."""
    return conform(pl.DataFrame(rows, schema=DOCUMENTS.polars), DOCUMENTS)


class PrefixFiles:
    """One Parquet file a prefix partition, `<folder>/<key>.parquet`, to which frames are appended.

    Args:
        folder: Where they go.
        keys: The partitions' keys.
    """

    def __init__(self, folder: Path, keys: Sequence[str]) -> None:
        self._folder, self._keys = folder, keys

    def __enter__(self) -> "PrefixFiles":
        schema = _arrow(frame_of([])).schema
        self._stack = ExitStack()
        self._files = [
            self._stack.enter_context(
                pq.ParquetWriter(
                    self._folder / f"{key}.parquet", schema, compression="zstd", compression_level=COMPRESSION_LEVEL
                )
            )
            for key in self._keys
        ]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, frame: pl.DataFrame) -> None:
        """Append each row to the file of its partition."""
        numbers = [sha1_git[0] * len(self._keys) // 256 for sha1_git in frame["sha1_git"]]
        numbered = frame.with_columns(pl.Series("_number", numbers, dtype=pl.Int64))
        for (number,), rows in numbered.group_by("_number", maintain_order=True):
            self._files[int(str(number))].write_table(_arrow(rows.drop("_number")))


@dataclass
class Figures:
    """Counts of what was written."""

    statuses: Counter[str] = field(default_factory=Counter)
    documents: Counter[str] = field(default_factory=Counter)
    text_bytes: Counter[str] = field(default_factory=Counter)

    def add(self, frame: pl.DataFrame) -> None:
        """Take rows in."""
        self.statuses.update(dict(frame.group_by("status").len().iter_rows()))
        texts = frame.filter(pl.col("status") == "ok").group_by("source")
        for source, count, size in texts.agg(pl.len(), pl.col("length_bytes").sum()).iter_rows():
            self.documents[source] += count
            self.text_bytes[source] += size

    def mapping(self) -> dict[str, Any]:
        """As metadata."""
        return {
            "num_rows": self.statuses.total(),
            "text_bytes": self.text_bytes.total(),
            "statuses": dict(sorted(self.statuses.items())),
            "sources": {n: {"documents": c, "bytes": self.text_bytes[n]} for n, c in sorted(self.documents.items())},
        }


def _blocks(documents: Iterable[Document], block_bytes: int) -> Iterator[pl.DataFrame]:
    rows: list[dict[str, Any]] = []
    size, total, spoken = 0, 0, time.monotonic()
    for document in documents:
        row = document.row()
        rows.append(row)
        size += len(row["text"] or "") + 200
        if size >= block_bytes:
            yield frame_of(rows)
            total, rows, size = total + len(rows), [], 0
        if time.monotonic() - spoken > _PROGRESS_S:
            spoken = time.monotonic()
            logger.info("%d documents", total + len(rows))
    if rows:
        yield frame_of(rows)


def whole_characters(text: str) -> str:
    """A text that can be written: halves of characters, which JSON may spell, as `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def one_line(text: str) -> str:
    """An address or expression whose control characters are percent-encoded: lists have one a line."""
    return _CONTROL.sub(lambda found: f"%{ord(found[0]):02X}", whole_characters(text))


def whole_number(value: Any) -> int:
    """A value as a number that a column can hold. Raises ValueError, TypeError, OverflowError where it is none."""
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise OverflowError("found a number of more than 64 bits")
    return number


def in_utc(date: datetime) -> datetime | None:
    """A date in UTC, which is meant where it names no zone; None where that is beyond the years 1 to 9999."""
    try:
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except OverflowError:
        return None


def _arrow(frame: pl.DataFrame) -> Any:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
