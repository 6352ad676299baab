"""Streaming the corpus and its tokens, a few rows at a time."""

import dataclasses
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet

from minicode_assets.parquet import scan_table
from minicode_assets.schemas import CORPUS, ENCODED_DOCUMENTS
from minicode_assets.tokens.format import File
from minicode_assets.tokens.source_formats import format_of

_BATCH_ROWS = 512
_READ_BYTES = 1 << 16
_DOCUMENT_COLUMNS = ["document_id", "source", "swhid", "origin_url", "path", "license_expression", "text"]
_FILE_COLUMNS = ["document_id", "source", "swhid", "origin_url", "path", "license_expression", "num_bytes", "tokens"]


@dataclass(frozen=True)
class Document:
    """A row of the corpus; fields as in schemas.CORPUS."""

    document_id: str
    source: str
    swhid: str
    origin_url: str
    path: str
    license_expression: str | None
    text: str

    @property
    def content(self) -> str:
        """The text without marks of special tokens."""
        return "".join(format_of(self.source).parts(self.text, self.document_id)[::2])

    def without_tokens(self) -> File:
        """The file that the tokens of some other text of this document belong to."""
        names = (field.name for field in dataclasses.fields(self) if field.name != "text")
        return File(**{name: getattr(self, name) for name in names}, num_bytes=0, tokens=np.zeros(0, np.uint16))


def corpus_documents(corpus: Path, split: str) -> Iterator[Document]:
    """The documents of one split, part by part; memory is bounded by a batch of rows.

    Args:
        corpus: The corpus artefact, already verified.
        split: train or validation.

    Raises:
        CorruptArtifactError: There is no such split, or it has another schema.
    """
    scan_table(corpus, CORPUS, pattern=f"{split}/*.parquet", verify=False)
    for path in sorted((corpus / split).glob("*.parquet")):
        for row in parquet_rows(path, _DOCUMENT_COLUMNS, batch_rows=_BATCH_ROWS):
            yield Document(*row)


def encoded_files(encoded: Sequence[Path], split: str, dtype: np.dtype[Any]) -> Iterator[File]:
    """The encoded documents of all partitions, merged in the order of origin, path and id.

    So the files of an origin follow each other, however they were partitioned; memory is bounded by a batch of rows of
    each partition.

    Args:
        encoded: The partitions of encoded_documents, already verified.
        split: train or validation.
        dtype: `Tokenizer.dtype`.

    Raises:
        CorruptArtifactError: A partition has another schema.
    """
    for folder in encoded:
        scan_table(folder, ENCODED_DOCUMENTS, pattern=f"{split}.parquet", verify=False)
    rows = max(16, _BATCH_ROWS // len(encoded))
    parts = [parquet_rows(folder / f"{split}.parquet", _FILE_COLUMNS, batch_rows=rows) for folder in encoded]
    little = dtype.newbyteorder("<")
    for row in heapq.merge(*parts, key=lambda row: (row[3], row[4], row[0])):
        yield File(*(*row[:-1], np.frombuffer(row[-1], little)))


def parquet_rows(path: Path, columns: list[str], *, batch_rows: int) -> Iterator[tuple[Any, ...]]:
    """The rows of one file as tuples, in order.

    Arrow by itself reads ahead, several row groups at once; so they are asked for one by one, in small reads.
    """
    with pyarrow.parquet.ParquetFile(path, buffer_size=_READ_BYTES, pre_buffer=False) as parquet:
        for group in range(parquet.num_row_groups):
            for batch in parquet.iter_batches(batch_rows, row_groups=[group], columns=columns, use_threads=False):
                yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
