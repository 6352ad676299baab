"""Rows of a large file in blocks: each is on disk before the place behind it is noted, so a killed run goes on.

`<work>/block-NNNNN.parquet` and `<work>/place.json` live until the artefact is whole.
"""

import json
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from minicode_assets.blobs.backends import Absent, Backend, Wanted
from minicode_assets.blobs.opt_out import OptOut
from minicode_assets.sources.decode import decode
from minicode_assets.sources.document import Document, Figures, PrefixFiles, frame_of
from minicode_assets.sources.hub import Found
from minicode_assets.sources.rows import Place
from minicode_assets.sources.swh import covered_documents
from minicode_assets.swhid import content_ids
from minicode_model.artifact import Artifact, digest_of, open_artifact, storage_errors, write_artifact, write_file

PLACE = "place.json"
_PROGRESS_S = 5.0
_FETCHED_ROWS = 1000
_SHA1 = re.compile("[0-9a-f]{40}")
logger = logging.getLogger("minicode.sources")


class Taken(Protocol):
    """What a reader yields: a row, which has status and length_bytes, and the place behind it."""

    @property
    def after(self) -> Place | None:
        """Where reading goes on; None in the middle of a record, which is read as a whole."""

    def row(self) -> dict[str, Any]:
        """The row."""


Rows = list[dict[str, Any]]


@dataclass
class Progress:
    """What was read so far.

    Attributes:
        key: Digest of the file and the section; progress with another key is thrown away.
        offset, row: Where the next row begins.
        num_blocks: Blocks on disk.
        text_bytes: Bytes of text in them.
        uncounted: Rows that are no documents, by reason.
        is_done: The file's end, or a limit, was reached.
    """

    key: str
    offset: int = 0
    row: int = 0
    num_blocks: int = 0
    text_bytes: int = 0
    uncounted: dict[str, int] = field(default_factory=dict)
    is_done: bool = False

    @property
    def place(self) -> Place:
        """Where the next row begins."""
        return Place(self.offset, self.row)


class Harvest:
    """The blocks of one file.

    Args:
        work: Their folder.
        key: What they are made of; see `Progress`.
        to_frame: From rows to a frame with their schema.
    """

    def __init__(self, work: Path, key: Sequence[Any], to_frame: Callable[[Rows], pl.DataFrame] = frame_of) -> None:
        self.work, self._to_frame = work, to_frame
        self.progress = Progress(digest_of(list(key)))
        noted = work / PLACE
        found = _noted(noted.read_bytes()) if noted.is_file() else None
        if found and found.key == self.progress.key and all(map(Path.is_file, self._blocks(found))):
            self.progress = found
            logger.info("goes on at row %d", self.progress.row)
        else:
            self.restart()

    def restart(self) -> None:
        """Throw what was read away: the next row is the first."""
        self.progress = Progress(self.progress.key)
        with storage_errors(self.work):
            shutil.rmtree(self.work, ignore_errors=True)
            self.work.mkdir(parents=True)

    def count(self, reason: str) -> None:
        """Count a row that is no document."""
        self.progress.uncounted[reason] = self.progress.uncounted.get(reason, 0) + 1

    def take(
        self, found: Iterable[Taken], *, block_bytes: int, limit_rows: int | None, limit_bytes: int | None
    ) -> None:
        """Write rows in blocks until they end or a limit is reached. Limits count rows, and bytes of kept text."""
        rows: Rows = []
        held, spoken = 0, time.monotonic()
        for item in found:
            row, after = item.row(), item.after
            rows.append(row)
            held += row["length_bytes"] if row["status"] == "ok" else 0
            if after is None:
                continue
            total = self.progress.text_bytes + held
            stop = (limit_rows or after.row + 1) <= after.row or (limit_bytes or total + 1) <= total
            if held + 200 * len(rows) >= block_bytes or stop:
                self._write(rows, after, held)
                rows, held = [], 0
            if time.monotonic() - spoken > _PROGRESS_S:
                spoken = time.monotonic()
                logger.info("row %d, %.1f MB of text", after.row, total / 1e6)
            if stop:
                break
        else:
            if rows and after is not None:
                self._write(rows, after, held)
        self.progress.is_done = True
        self._note()

    def blocks(self) -> Iterator[pl.DataFrame]:
        """The blocks in order."""
        for block in self._blocks(self.progress):
            yield pl.read_parquet(block, glob=False)

    def remove(self) -> None:
        """Throw the blocks away."""
        shutil.rmtree(self.work, ignore_errors=True)

    def _blocks(self, progress: Progress) -> list[Path]:
        return [self._block(number) for number in range(progress.num_blocks)]

    def _block(self, number: int) -> Path:
        return self.work / f"block-{number:05d}.parquet"

    def _write(self, rows: Rows, after: Place, held: int) -> None:
        write_file(self._block(self.progress.num_blocks), self._to_frame(rows).write_parquet)
        self.progress.offset, self.progress.row = after
        self.progress.num_blocks += 1
        self.progress.text_bytes += held
        self._note()

    def _note(self) -> None:
        noted = json.dumps(asdict(self.progress))
        write_file(self.work / PLACE, lambda path: path.write_text(noted))


def _noted(content: bytes) -> Progress | None:
    """The progress in a file; None where it was damaged: everything is read again."""
    try:
        return Progress(**json.loads(content))
    except (ValueError, TypeError):
        return None


def seal_harvest(
    harvest: Harvest,
    folder: Path,
    *,
    name: str,
    keys: Sequence[str],
    config_digest: str,
    inputs: Mapping[str, str],
    metadata: Mapping[str, Any],
) -> Artifact:
    """After this, `folder` holds the harvest's documents by prefix partition, as `write_documents` leaves them."""
    with write_artifact(folder, name=name, config_digest=config_digest, inputs=inputs) as writer:
        figures = Figures()
        with PrefixFiles(writer.path, keys) as files:
            for frame in harvest.blocks():
                figures.add(frame)
                files.write(frame)
        uncounted = dict(sorted(harvest.progress.uncounted.items()))
        writer.metadata = {**figures.mapping(), "not_documents": uncounted, **metadata}
    harvest.remove()
    return open_artifact(folder, verify=False)


def with_contents(
    found: Iterable[Found], backend: Backend, *, max_bytes: int, wishes: OptOut | None = None
) -> Iterator[Found]:
    """The documents with the bytes of their `blob_id` (sha1) as text, in order, a thousand asked for at a time.

    What the wishes cover is not asked for.
    """
    batch: list[Found] = []
    for item in found:
        batch.append(item)
        if len(batch) >= _FETCHED_ROWS:
            yield from _fetched(_honoured(batch, wishes), backend, max_bytes)
            batch = []
    yield from _fetched(_honoured(batch, wishes), backend, max_bytes)


def _honoured(batch: list[Found], wishes: OptOut | None) -> list[Found]:
    if wishes is None or not batch:
        return batch
    rows = [replace(item.document, sha1_git=_digest(item.values.get("content_id")) or None).row() for item in batch]
    covered = covered_documents(frame_of(rows), wishes)
    return [
        item._replace(document=item.document.dropped("opted_out")) if is_covered else item
        for item, is_covered in zip(batch, covered, strict=True)
    ]


def _fetched(batch: list[Found], backend: Backend, max_bytes: int) -> Iterator[Found]:
    wanted = [w for rank, item in enumerate(batch) if (w := _wanted(rank, item, max_bytes))]
    answers = {answer.wanted.rank: answer.found for answer in backend.fetch(wanted)}
    for rank, item in enumerate(batch):
        if item.document.status != "ok":
            yield item
        elif rank in answers:
            yield item._replace(document=_with_text(item.document, answers[rank], item.values))
        else:
            too_long = (_length(item.values) or 0) > max_bytes
            yield item._replace(document=item.document.dropped("too_long" if too_long else "malformed"))


def _wanted(rank: int, item: Found, max_bytes: int) -> Wanted | None:
    """What to ask for; None where there is nothing to ask for or it is too long."""
    sha1, length = _digest(item.values.get("blob_id")), _length(item.values)
    if not sha1 or length is None or length > max_bytes or item.document.status != "ok":
        return None
    return Wanted(rank, _digest(item.values.get("content_id")), sha1, length)


def _digest(value: Any) -> bytes:
    """40 hex digits as 20 bytes; empty where it is something else."""
    return bytes.fromhex(value) if isinstance(value, str) and _SHA1.fullmatch(value) else b""


def _length(values: Mapping[str, Any]) -> int | None:
    length = values.get("length_bytes")
    return length if isinstance(length, int) and length >= 0 else None


def _with_text(document: Document, found: bytes | Absent, values: Mapping[str, Any]) -> Document:
    if isinstance(found, Absent):
        return document.dropped("unreachable" if found.status == "retry_later" else found.status)
    if content_ids(found)[1].hex() != values["blob_id"]:
        return document.dropped("damaged")
    decoded = decode(found)
    return document.with_text(decoded.text or "", found).dropped(decoded.status)
