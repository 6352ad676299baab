"""Streaming the corpus, a few rows at a time."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet

from minicode_assets.parquet import scan_table
from minicode_assets.schemas import CORPUS
from minicode_assets.tokens.format import File

_BATCH_ROWS = 512
_COLUMNS = ["document_id", "source", "swhid", "origin_url", "path", "license_expression", "text"]


def corpus_files(corpus: Path, split: str) -> Iterator[File]:
    """The documents of one split, in the corpus's order (origin_url, path), memory bounded by a batch of rows.

    Args:
        corpus: The corpus artefact, already verified.
        split: train or validation.

    Raises:
        CorruptArtifactError: There is no such split, or it has another schema.
    """
    scan_table(corpus, CORPUS, pattern=f"{split}/*.parquet", verify=False)
    for path in sorted((corpus / split).glob("*.parquet")):
        with pyarrow.parquet.ParquetFile(path) as parquet:
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=_COLUMNS):
                for row in zip(*(batch.column(name).to_pylist() for name in _COLUMNS), strict=True):
                    yield File(*row)
