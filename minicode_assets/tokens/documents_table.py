"""documents.parquet: the file behind every range of tokens, written as the shards are."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from minicode_assets.parquet import BlockWriter
from minicode_assets.schemas import TOKEN_DOCUMENTS
from minicode_assets.tokens.format import Example
from minicode_assets.tokens.pieces import Encoded
from minicode_model.tokenizer import Tokenizer

Arrays = dict[str, npt.NDArray[Any]]


class DocumentsTable:
    """Takes the rows of one split in order; of what is written only numbers stay, 60 bytes a file.

    Attributes:
        num_files: Rows so far, those that wait for `flush` not counted.
        tokens_by: Tokens by `license_expression` and by `source`.

    Args:
        path: The file to write.
        tokenizer: The tokenizer.
    """

    def __init__(self, path: Path, tokenizer: Tokenizer) -> None:
        self.num_files = 0
        self.tokens_by: dict[str, Counter[str]] = {"license_expression": Counter(), "source": Counter()}
        self._tokenizer = tokenizer
        self._file = BlockWriter(path, TOKEN_DOCUMENTS, distinct=("document_id", "swhid"))
        self._rows: list[tuple[Any, ...]] = []
        self._arrays = [file_arrays(pl.DataFrame(schema=TOKEN_DOCUMENTS.polars))]

    def add(self, document: int, example: Example, encoded: Encoded) -> int:
        """Append the files of an example, in the order in which they lie in its tokens; gives their bytes of text."""
        total = 0
        for number, (start, length) in zip(encoded.file_order, encoded.file_ranges, strict=True):
            file = example.files[number]
            num_bytes = self._tokenizer.num_bytes(encoded.tokens[start : start + length])
            self._rows.append(
                (
                    document,
                    example.example_id,
                    start,
                    length,
                    num_bytes,
                    file.document_id,
                    file.source,
                    file.swhid,
                    file.origin_url,
                    file.path,
                    file.license_expression,
                )
            )
            total += num_bytes
        return total

    def flush(self) -> None:
        """Write the rows that wait, as one block."""
        frame = pl.DataFrame(self._rows, schema=TOKEN_DOCUMENTS.polars, orient="row")
        self._file.write(frame)
        self._arrays.append(file_arrays(frame))
        self.num_files += frame.height
        for name, tokens in self.tokens_by.items():
            sums = frame.group_by(name).agg(pl.col("num_tokens").sum())
            tokens.update({str(value): count for value, count in sums.iter_rows()})
        self._rows = []

    def close(self) -> Arrays:
        """The file is whole afterwards; gives `file_arrays` of all rows."""
        self._file.close()
        return {name: np.concatenate([block[name] for block in self._arrays]) for name in self._arrays[0]}


def file_arrays(documents: pl.DataFrame) -> Arrays:
    """The table's key columns for readers without Parquet: ids as raw bytes, sha1_git zero where unknown."""
    ids = bytes.fromhex("".join(documents["document_id"]))
    contents = documents["swhid"].str.extract(r"^swh:1:cnt:([0-9a-f]{40})").fill_null("0" * 40)
    return {
        "file_document": documents["document"].to_numpy().astype(np.uint64),
        "file_start": documents["token_start"].to_numpy().astype(np.uint64),
        "file_length": documents["num_tokens"].to_numpy().astype(np.uint64),
        "file_document_id": np.frombuffer(ids, dtype=np.uint8).reshape(-1, 16),
        "file_sha1_git": np.frombuffer(bytes.fromhex("".join(contents)), dtype=np.uint8).reshape(-1, 20),
    }
