"""Packed sequences for other trainers: Parquet that Hugging Face's datasets library reads as it is."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from minicode_model.artifact import Artifact, open_artifact, write_artifact
from minicode_model.shards import PackedSplit, open_split

SPLITS = ("train", "validation")
ROWS_PER_FILE = 10_000
"""What `minicode parquet` puts into one file: some 250 MB in memory at 4,096 tokens a sequence."""


def export_parquet(shards: Path, folder: Path, *, rows_per_file: int, config_digest: str) -> Artifact:
    """A folder of Parquet files exists afterwards, `<split>/part-NNNNN.parquet`, one row for each sequence.

    Args:
        shards: The token_shards artefact.
        folder: The folder to create or replace.
        rows_per_file: Sequences in one file at most; memory is bounded by them.
        config_digest: See `write_artifact`.

    Returns:
        The artefact `token_parquet`. Columns: input_ids (list of uint16 or uint32, seq_len each, padding included),
        segment_ids (list of int32: 0, 1, 2 ... by document piece, -1 for padding). Rows in the order of the index.

    Raises:
        ShardError: The shards are damaged.
    """
    source = open_artifact(shards)
    with write_artifact(
        folder, name="token_parquet", config_digest=config_digest, inputs={"token_shards": source.digest}
    ) as writer:
        for name in SPLITS:
            packed = open_split(shards, name, verify=False)
            (writer.path / name).mkdir()
            for number, table in enumerate(_tables(packed, rows_per_file)):
                pyarrow.parquet.write_table(
                    table, writer.path / name / f"part-{number:05d}.parquet", compression="zstd"
                )
            writer.metadata[name] = {"num_sequences": packed.num_sequences, "seq_len": packed.seq_len}
    return open_artifact(folder, verify=False)


def _tables(packed: PackedSplit, rows: int) -> Iterator[pyarrow.Table]:
    for first in range(0, packed.num_sequences, rows):
        chosen = [packed.sequence(i) for i in range(first, min(first + rows, packed.num_sequences))]
        columns = [np.concatenate([row[part] for row in chosen]) for part in (0, 1)]
        offsets = np.arange(0, len(chosen) * packed.seq_len + 1, packed.seq_len, dtype=np.int32)
        arrays = [pyarrow.ListArray.from_arrays(offsets, column) for column in columns]
        yield pyarrow.table(arrays, names=["input_ids", "segment_ids"])
