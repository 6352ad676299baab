"""The pii sidecar: personal data, secrets and copyright headers of each document, every find as a row of evidence.

The finds themselves are not repeated here: a row has offsets, kind, rule, and what takes the find's place. A document
that parses must parse after redaction too, which is tried out for each; one that would not is `unsafe`, gets no
replacement and falls at selection (`pii_unsafe`): neither the data nor a broken text reaches the corpus.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from minicode_assets.config import Annotators, Pii
from minicode_assets.corpus.annotate.sidecar import check_rows, read_documents
from minicode_assets.corpus.annotate.syntax import parses, parsing, syntax_of
from minicode_assets.corpus.annotate.workers import Row, map_rows
from minicode_assets.corpus.pii.detect import Detector, detect
from minicode_assets.corpus.pii.spans import KINDS, Regions, Span
from minicode_assets.corpus.rewrite.redact import SPANS, Change, apply_changes, changes_of
from minicode_assets.parquet import write_parquet
from minicode_assets.schemas import PII, PII_SPANS
from minicode_model.artifact import Artifact, open_artifact, write_artifact


def annotate(
    documents: Path, folder: Path, *, params: Pii, config_digest: str, workers: Annotators | None = None
) -> Artifact:
    """After this, `folder` tells what each document holds of personal data and secrets, and what replaces it.

    Args:
        documents: One partition of the documents.
        folder: The artefact folder of this partition.
        params: The `pii` section.
        config_digest: Digest of the sections that shape the asset.
        workers: The `annotators` section; None for this process alone. A model works in one process anyway.

    Returns:
        The artefact: part-00000.parquet with schema PII, the documents' rows in order, nulls without text; and SPANS,
        schema PII_SPANS. Metadata: num_rows, num_redacted, num_unsafe, num_spans by kind.

    Raises:
        MissingArtifactError, CorruptArtifactError: `documents` is absent or differs from its manifest.
        CorpusError: The model's folder holds no checkpoint, or the extra `pii-model` is not installed.
        StorageError: `folder` can't be written.
    """
    frame = read_documents(documents, ["document_id", "text"])
    distinct = frame["text"].drop_nulls().unique(maintain_order=True)
    examined = dict(zip(distinct, examine_all(distinct, params, workers), strict=True))
    sidecar = pl.DataFrame(
        [_row(name, examined.get(text)) for name, text in frame.iter_rows()], schema=PII.polars, orient="row"
    )
    rows = itertools.chain.from_iterable(
        _span_rows(name, text, examined[text]) for name, text in frame.drop_nulls("text").iter_rows()
    )
    spans = pl.DataFrame(list(rows), schema=PII_SPANS.polars, orient="row").sort("document_id", "start")
    check_rows(sidecar, frame["document_id"], where=str(folder), name=PII.name)
    inputs = {"documents": open_artifact(documents, verify=False).digest}
    with write_artifact(folder, name=PII.name, config_digest=config_digest, inputs=inputs) as writer:
        (writer.path / SPANS).parent.mkdir()
        write_parquet(sidecar, writer.path / "part-00000.parquet", PII)
        write_parquet(spans, writer.path / SPANS, PII_SPANS)
        writer.metadata = {
            "num_rows": sidecar.height,
            "num_redacted": sidecar.filter(pl.col("pii_status") == "redacted").height,
            "num_unsafe": sidecar.filter(pl.col("pii_status") == "unsafe").height,
            "num_spans": dict(spans.group_by("kind").len().sort("kind").iter_rows()),
        }
    return open_artifact(folder, verify=False)


def examine_all(texts: pl.Series, params: Pii, workers: Annotators | None) -> Iterator["Examined"]:
    """`examine`, in several processes, or with the model that the section names."""
    if params.model:
        with parsing():
            yield from examine(texts, params=params, model=_model(params))
    else:
        yield from map_rows(examine_rows, [(text,) for text in texts], params, workers=workers)


def examine_rows(rows: Sequence[Row], params: Pii) -> list["Examined"]:
    """What the rules find in some texts, one a row."""
    return list(examine(pl.Series([text for (text,) in rows]), params=params))


class Examined(NamedTuple):
    """What is known of one text.

    Attributes:
        status: clean, redacted or unsafe.
        finds: Everything that was found, in text order.
        changes: What redaction changes; empty unless redacted.
        fraction: Share of the characters in finds but names and headers, 0..1.
        sha256: Of the redacted text; None unless redacted.
    """

    status: str
    finds: list[Span]
    changes: list[Change]
    fraction: float
    sha256: bytes | None


def examine(texts: pl.Series, *, params: Pii, model: Detector | None = None) -> Iterator[Examined]:
    """Find, replace and try out: one result a text, in order.

    Args:
        texts: Texts, none of them null.
        params: The `pii` section.
        model: See `detect`.
    """
    for text, finds in zip(texts, detect(texts, params=params, model=model), strict=True):
        yield _examine(text, finds, params.replace)


def _examine(text: str, finds: list[Span], replace: Sequence[str]) -> Examined:
    fraction = sum(span.end - span.start for span in finds if span.kind not in ("copyright", "name")) / max(
        len(text), 1
    )
    changes = changes_of(text, finds, replace=replace)
    redacted = apply_changes(text, changes)
    if redacted == text:
        return Examined("clean", finds, [], fraction, None)
    if not _is_harmless(text, changes) and not syntax_of(text).problem and not parses(redacted):
        return Examined("unsafe", finds, [], fraction, None)
    return Examined("redacted", finds, changes, fraction, hashlib.sha256(redacted.encode()).digest())


def _is_harmless(text: str, changes: Sequence[Change]) -> bool:
    """Whether each change stands in a comment or a plain literal, which spares the parser."""
    regions = Regions(text)
    return all(regions.may_hold(start, end, replacement) for start, end, replacement in changes)


def _row(document_id: str, examined: Examined | None) -> tuple[Any, ...]:
    if examined is None:
        return (document_id, *[None] * (len(PII.columns) - 1))
    counts = Counter(span.kind for span in examined.finds)
    return (
        document_id,
        examined.status,
        *(counts[kind] for kind in KINDS),
        examined.fraction,
        examined.sha256,
    )


def _span_rows(document_id: str, text: str, examined: Examined) -> Iterator[tuple[Any, ...]]:
    """Evidence, with offsets in bytes."""
    replacements = {(start, end): replacement for start, end, replacement in examined.changes}
    place = 0
    reached = 0
    for span in examined.finds:
        if not text.isascii():
            place += len(text[reached : span.start].encode()) - (span.start - reached)
            reached = span.start
        start = span.start + place
        size = len(text[span.start : span.end].encode())
        yield document_id, start, start + size, span.kind, span.rule, replacements.get((span.start, span.end))


def _model(params: Pii) -> Detector:
    from minicode_assets.corpus.pii.model import load_detector

    return load_detector(Path(params.model), labels=params.model_labels, min_score=params.min_model_score_fraction)
