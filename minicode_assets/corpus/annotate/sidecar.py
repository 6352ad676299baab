"""What every annotator shares: reading the documents, and writing a sidecar with exactly their rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from minicode_assets.errors import CorpusError
from minicode_assets.parquet import read_table, scan_table, write_table
from minicode_assets.schemas import DOCUMENTS, Table
from minicode_model.artifact import Artifact, open_artifact, rebuild_hint


def read_documents(documents: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Columns of a documents artefact, in its row order.

    Raises:
        MissingArtifactError, CorruptArtifactError: It was never completed, or a file differs from its manifest.
    """
    return scan_table(documents, DOCUMENTS).select(columns).collect()


def read_sidecar(sidecar: Path, table: Table, document_ids: pl.Series) -> pl.DataFrame:
    """A sidecar whose rows are those of the documents, in order.

    Raises:
        CorpusError: Its rows are out of step with the documents.
        MissingArtifactError, CorruptArtifactError: It was never completed, or a file differs from its manifest.
    """
    frame = read_table(sidecar, table)
    check_rows(frame, document_ids, where=str(sidecar), name=table.name)
    return frame


def write_sidecar(
    folder: Path,
    frame: pl.DataFrame,
    table: Table,
    *,
    document_ids: pl.Series,
    config_digest: str,
    inputs: Mapping[str, Path],
    metadata: Mapping[str, Any],
) -> Artifact:
    """Write a sidecar after checking that its rows are the documents' rows, in order.

    Args:
        folder: The artefact folder.
        frame: One row a document, document_id first.
        table: The sidecar's schema.
        document_ids: The documents' ids, in row order.
        config_digest: See `write_artifact`.
        inputs: Input artefact folders, by the name to record.
        metadata: More figures for the manifest.

    Raises:
        CorpusError: Rows are missing, added or out of order.
    """
    check_rows(frame, document_ids, where=str(folder), name=table.name)
    digests = {name: open_artifact(path, verify=False).digest for name, path in inputs.items()}
    return write_table(folder, frame, table, config_digest=config_digest, inputs=digests, metadata=metadata)


def check_rows(frame: pl.DataFrame, document_ids: pl.Series, *, where: str, name: str) -> None:
    """Raise CorpusError unless the frame's document_id column equals the documents'."""
    if frame["document_id"].equals(document_ids):
        return
    found = frame["document_id"]
    row = next(
        (i for i, (a, b) in enumerate(zip(found, document_ids, strict=False)) if a != b),
        min(found.len(), document_ids.len()),
    )
    raise CorpusError(
        f"{where}: rows out of step with the documents: found {found.len()} rows, expected {document_ids.len()}; "
        f"the first difference is at row {row}",
        hint=rebuild_hint(name),
    )
