"""Encoded documents: every document of the corpus as tokens, once, so that packing anew encodes little."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from minicode_assets.config import EncodedDocuments
from minicode_assets.parquet import BlockWriter, scan_table
from minicode_assets.schemas import CORPUS, ENCODED_DOCUMENTS
from minicode_assets.tokens.read import parquet_rows
from minicode_assets.tokens.source_formats import format_of
from minicode_assets.tokens.text import encode_parts
from minicode_model.artifact import Artifact, open_artifact, write_artifact
from minicode_model.tokenizer import Tokenizer, text_bytes

SPLITS = ("train", "validation")
_CORPUS_COLUMNS = ["document_id", "source", "swhid", "origin_url", "path", "license_expression", "text"]


def encode_documents(
    corpus: Path, tokenizer: Path, folder: Path, *, part: int, params: EncodedDocuments, config_digest: str
) -> Artifact:
    """One partition of the corpus exists as tokens afterwards: `train.parquet` and `validation.parquet`.

    Args:
        corpus: The corpus artefact; one part file a partition in each split.
        tokenizer: The tokenizer artefact.
        folder: The artefact folder of this partition.
        part: Number of the partition, from 0.
        params: The section [encoded_documents].
        config_digest: See `write_artifact`.

    Returns:
        The artefact; schema ENCODED_DOCUMENTS, rows in the corpus's order. Metadata: num_rows, tokenizer_digest, and
        for each split num_documents, num_tokens and num_bytes.

    Raises:
        CorpusError: A document's source has no format, or its marks are broken.
        TokenizerError: A document has a special token that the tokenizer lacks.
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
    """
    name = f"part-{part:05d}.parquet"
    source = open_artifact(corpus, verify=False).verify(f"*/{name}")
    encoder = Tokenizer.load(tokenizer)
    inputs = {"corpus": source.digest, "tokenizer": open_artifact(tokenizer, verify=False).digest}
    with write_artifact(folder, name="encoded_documents", config_digest=config_digest, inputs=inputs) as writer:
        figures: dict[str, Any] = {"tokenizer_digest": encoder.digest}
        for split in SPLITS:
            scan_table(corpus, CORPUS, pattern=f"{split}/{name}", verify=False)
            figures[split] = _encode_split(corpus / split / name, writer.path / f"{split}.parquet", encoder, params)
        figures["num_rows"] = sum(figures[split]["num_documents"] for split in SPLITS)
        writer.metadata = figures
    return open_artifact(folder, verify=False)


def encode_corpus(corpus: Path, tokenizer: Path, folder: Path, *, params: EncodedDocuments) -> list[Path]:
    """`encode_documents` of every partition, outside of Dagster: a folder `part-NNNNN` each, in order."""
    names = [path.stem for path in sorted((corpus / "train").glob("*.parquet"))]
    for part, name in enumerate(names):
        encode_documents(corpus, tokenizer, folder / name, part=part, params=params, config_digest="")
    return [folder / name for name in names]


def _encode_split(source: Path, target: Path, tokenizer: Tokenizer, params: EncodedDocuments) -> dict[str, int]:
    counts = dict.fromkeys(("num_documents", "num_tokens", "num_bytes"), 0)
    with contextlib.closing(BlockWriter(target, ENCODED_DOCUMENTS, distinct=("document_id", "tokens"))) as file:
        for rows in _batches(source, params.batch_bytes):
            frame = _encode_rows(rows, tokenizer, params.num_threads)
            file.write(frame)
            counts["num_documents"] += frame.height
            counts["num_tokens"] += int(frame["num_tokens"].sum())
            counts["num_bytes"] += int(frame["num_bytes"].sum())
    return counts


def _batches(source: Path, batch_bytes: int) -> Iterator[list[tuple[Any, ...]]]:
    """Rows of the corpus, so many that their texts reach `batch_bytes`."""
    batch: list[tuple[Any, ...]] = []
    size = 0
    for row in parquet_rows(source, _CORPUS_COLUMNS, batch_rows=128):
        batch.append(row)
        size += len(row[-1].encode())
        if size >= batch_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encode_rows(rows: list[tuple[Any, ...]], tokenizer: Tokenizer, num_threads: int) -> pl.DataFrame:
    parts = [format_of(row[1]).parts(row[-1], row[0]) for row in rows]
    encoded = encode_parts(tokenizer, parts, num_threads=num_threads)
    num_bytes = [sum(len(text_bytes(text)) for text in document[::2]) for document in parts]
    little = tokenizer.dtype.newbyteorder("<")
    columns: dict[str, Sequence[Any]] = dict(
        zip(_CORPUS_COLUMNS[:-1], zip(*(row[:-1] for row in rows), strict=True), strict=True)
    )
    columns |= {"num_bytes": num_bytes, "num_tokens": [len(ids) for ids in encoded]}
    columns["tokens"] = [ids.astype(little).tobytes() for ids in encoded]
    return pl.DataFrame(columns, schema=ENCODED_DOCUMENTS.polars)


def count_mismatches(corpus: Path, encoded: Path, tokenizer: Tokenizer, *, part: int, limit: int) -> int:
    """Of the first documents of an encoded partition, those whose tokens don't give back the corpus's text.

    Args:
        corpus: The corpus artefact.
        encoded: A partition of encoded_documents.
        tokenizer: The tokenizer that made it.
        part: Number of the partition, from 0.
        limit: Documents that are compared, at most.
    """
    rows = scan_table(encoded, ENCODED_DOCUMENTS, verify=False).head(limit)
    parts = [scan_table(corpus, CORPUS, pattern=f"{split}/part-{part:05d}.parquet", verify=False) for split in SPLITS]
    texts = pl.concat(parts).select("document_id", "text")
    both = rows.select("document_id", "source", "tokens").join(texts, on="document_id", how="left").collect()
    little = tokenizer.dtype.newbyteorder("<")
    failures = 0
    for document_id, source, raw, text in both.iter_rows():
        expected = format_of(source).parts(text or "", document_id)
        shown = tokenizer.decode(np.frombuffer(raw, little), show_special=True)
        failures += text is None or shown != text_bytes("".join(expected))
    return failures
