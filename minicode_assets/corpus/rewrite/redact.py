"""Redaction: personal data and secrets are replaced as in StarCoder2; offsets and replacements come from `pii`.

A replacement depends on the value alone, so the same address gets the same one in every document, in any order.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from minicode_assets.corpus.annotate.exact_dup import digest_texts
from minicode_assets.corpus.annotate.sidecar import read_documents, read_sidecar, write_sidecar
from minicode_assets.corpus.pii.spans import Span
from minicode_assets.errors import CorpusError
from minicode_assets.parquet import read_table
from minicode_assets.schemas import PII, PII_SPANS, REDACT
from minicode_model.artifact import Artifact, rebuild_hint

SPANS = "spans/part-00000.parquet"
"""The table of finds inside the `pii` artefact, schema PII_SPANS."""
PLACEHOLDERS: Mapping[str, str] = {
    "email": "<EMAIL>",
    "key": "<KEY>",
    "password": "<PASSWORD>",
    "name": "<NAME>",
    "copyright": "",
}
"""Source: StarCoder2, curation.md 2.3. A header is removed."""
SYNTHETIC_IPV4 = ("172.16.31.10", "172.16.58.3", "172.16.17.32", "192.168.127.12", "192.168.3.11")
SYNTHETIC_IPV6 = (
    "fd00:c2b6:b24b:be67:2827:688d:e6a1:6a3b",
    "fd00:a516:7c1b:17cd:6d81:2137:bd2a:2c5b",
    "fc00:e968:6179::de52:7100",
    "fc00:db20:35b:7399::5",
    "fdf8:f53e:61e4::18",
)
"""Private addresses that take the place of public ones. Source: StarCoder2, curation.md 2.3."""

Change = tuple[int, int, str]
"""Characters start to end (exclusive), and the text that takes their place."""


def replacement_of(kind: str, value: str) -> str:
    """What takes the place of a value; of IP addresses one of five, chosen by the value's hash."""
    if kind != "ip":
        return PLACEHOLDERS[kind]
    choices = SYNTHETIC_IPV6 if ":" in value else SYNTHETIC_IPV4
    digest = hashlib.blake2b(value.encode(), digest_size=8).digest()
    return choices[int.from_bytes(digest, "big") % len(choices)]


def changes_of(text: str, finds: Sequence[Span], *, replace: Sequence[str]) -> list[Change]:
    """The changes that finds of these kinds ask for, in text order; inside of a removed header there are none."""
    chosen = [span for span in finds if span.kind in replace]
    removed = [span for span in chosen if span.kind == "copyright"]
    return [
        (span.start, span.end, replacement_of(span.kind, text[span.start : span.end]))
        for span in sorted(chosen)
        if span in removed or not any(head.start <= span.start < head.end for head in removed)
    ]


def apply_changes(text: str, changes: Sequence[Change]) -> str:
    """The text with each change made. Changes are in text order and don't overlap."""
    pieces, position = [], 0
    for start, end, replacement in changes:
        pieces += [text[position:start], replacement]
        position = end
    return "".join([*pieces, text[position:]])


def redact_partition(documents: Path, pii: Path, folder: Path, *, config_digest: str) -> Artifact:
    """After this, `folder` holds the texts that redaction changes.

    Args:
        documents: One partition of the documents.
        pii: Its pii artefact.
        folder: The artefact folder of this partition.
        config_digest: Digest of the sections that shape the asset.

    Returns:
        The artefact; schema REDACT, the documents' rows in order. Metadata: num_changed.

    Raises:
        CorpusError: The finds are out of step with the documents, or a text's digest is not the one that was tried out.
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    frame = read_documents(documents, ["document_id", "text"])
    told = read_sidecar(pii, PII, frame["document_id"])
    changes = _changes_by_document(pii)
    texts = [
        apply_byte_changes(text, changes[name]) if text is not None and name in changes else None
        for name, text in frame.iter_rows()
    ]
    changed = frame.select("document_id").with_columns(text=pl.Series(texts, dtype=pl.String))
    if not digest_texts(changed["text"]).equals(told["redacted_sha256"]):
        raise CorpusError(f"{pii}: finds out of step with the documents' texts", hint=rebuild_hint(PII.name))
    named = pl.when(pl.col("text").is_not_null()).then(pl.lit(["redact"])).otherwise(pl.lit([], pl.List(pl.String)))
    return write_sidecar(
        folder,
        changed.with_columns(changes=named),
        REDACT,
        document_ids=frame["document_id"],
        config_digest=config_digest,
        inputs={"documents": documents, "pii": pii},
        metadata={"num_changed": changed["text"].count()},
    )


def _changes_by_document(pii: Path) -> dict[str, list[Change]]:
    """The changes of each document that has any, in text order, with offsets in bytes."""
    found: dict[str, list[Change]] = {}
    rows = read_table(pii, PII_SPANS, pattern=SPANS).drop_nulls("replacement").sort("document_id", "start")
    for name, start, end, replacement in rows.select("document_id", "start", "end", "replacement").iter_rows():
        found.setdefault(name, []).append((start, end, replacement))
    return found


def apply_byte_changes(text: str, changes: Sequence[Change]) -> str:
    """`apply_changes` with offsets in bytes of the text in UTF-8."""
    if text.isascii():
        return apply_changes(text, changes)
    content, pieces, position = text.encode(), [], 0
    for start, end, replacement in changes:
        pieces += [content[position:start], replacement.encode()]
        position = end
    return b"".join([*pieces, content[position:]]).decode()
