"""One split of the token shards, written as its examples come: shards, index, and the file behind every token."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from minicode_assets.config import TokenShards
from minicode_assets.errors import ShardError
from minicode_assets.parquet import write_parquet
from minicode_assets.schemas import TOKEN_DOCUMENTS
from minicode_assets.tokens.cut_places import CutPlaces
from minicode_assets.tokens.encode import MIN_PART_TOKENS
from minicode_assets.tokens.fill import fill_rooms
from minicode_assets.tokens.format import Example
from minicode_assets.tokens.pack import Numbers, Packing, Placed, pack_best_fit, pack_concatenated
from minicode_assets.tokens.pieces import Encoded
from minicode_model.shards import DOCUMENTS_FILE, FORMAT_VERSION, INDEX_FILE, shard_name
from minicode_model.tensors import write_tensors
from minicode_model.tokenizer import TokenIds, Tokenizer

_LOG = logging.getLogger("minicode.token_shards")
_LOG_EVERY_S = 5.0


@dataclass
class SplitWriter:
    """Takes encoded examples in order and writes one split; memory is bounded by a shard and the index.

    Attributes:
        path: The split's folder, created here.
        split: Its name.
        tokenizer: The tokenizer.
        params: The section [token_shards].
    """

    path: Path
    split: str
    tokenizer: Tokenizer
    params: TokenShards
    _shard: list[TokenIds] = field(default_factory=list)
    _num_shards: int = 0
    _shard_tokens: int = 0
    _doc_lengths: list[int] = field(default_factory=list)
    _doc_bytes: list[int] = field(default_factory=list)
    _shard_sizes: list[int] = field(default_factory=list)
    _piece_lengths: list[Numbers] = field(default_factory=list)
    _loose: list[int] = field(default_factory=list)
    _num_pieces: int = 0
    _rows: list[tuple[Any, ...]] = field(default_factory=list)
    _tables: list[pl.DataFrame] = field(default_factory=list)
    _counts: dict[str, int] = field(default_factory=dict)
    _said_at: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        self.path.mkdir()

    def add(self, example: Example, encoded: Encoded) -> None:
        """Append one example as a document.

        Raises:
            ShardError: It has more tokens than a shard holds.
        """
        length, limit = len(encoded.tokens), self.params.shard_tokens
        if length > limit:
            raise ShardError(
                f"document {example.example_id} ({example.files[0].path}, {example.files[0].swhid}): found {length} "
                f"tokens, expected at most {limit}, a shard",
                hint=f"set [token_shards] shard_tokens to {length} or more; then minicode materialize --select "
                "token_shards",
            )
        if self._shard_tokens + length > limit:
            self._flush()
        self._shard.append(encoded.tokens)
        self._shard_tokens += length
        document = len(self._doc_lengths)
        self._piece_lengths.append(np.array(encoded.piece_lengths, dtype=np.int64))
        self._loose += [self._num_pieces + number for number in encoded.loose_pieces]
        self._num_pieces += len(encoded.piece_lengths)
        self._doc_lengths.append(length)
        self._doc_bytes.append(self.tokenizer.num_bytes(encoded.tokens))
        self._add_rows(document, example, encoded)
        self._count(encoded)

    def _add_rows(self, document: int, example: Example, encoded: Encoded) -> None:
        for number, (start, length) in zip(encoded.file_order, encoded.file_ranges, strict=True):
            file = example.files[number]
            num_bytes = self.tokenizer.num_bytes(encoded.tokens[start : start + length])
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

    def _count(self, encoded: Encoded) -> None:
        for name in ("num_psm", "num_spm", "num_long_files", "num_cut_files", "num_cuts", "num_line_cuts"):
            self._counts[name] = self._counts.get(name, 0) + getattr(encoded, name)
        if monotonic() - self._said_at > _LOG_EVERY_S:
            self._said_at = monotonic()
            _LOG.info("%s: %d documents, %d tokens", self.split, len(self._doc_lengths), sum(self._doc_lengths))

    def _flush(self) -> None:
        if not self._shard:
            return
        lengths = [len(tokens) for tokens in self._shard]
        self._shard_sizes.append(sum(lengths))
        write_tensors(
            self.path / shard_name(self._num_shards),
            {
                "tokens": np.concatenate(self._shard).astype(self.tokenizer.dtype),
                "doc_offsets": np.cumsum([0, *lengths]).astype(np.uint64),
            },
            self._header(),
        )
        self._tables.append(pl.DataFrame(self._rows, schema=TOKEN_DOCUMENTS.polars, orient="row"))
        self._rows, self._shard, self._shard_tokens, self._num_shards = [], [], 0, self._num_shards + 1

    def _header(self) -> dict[str, str]:
        return {
            "format_version": str(FORMAT_VERSION),
            "seq_len": str(self.params.seq_len),
            "split": self.split,
            "tokenizer_digest": self.tokenizer.digest,
            "vocab_size": str(self.tokenizer.vocab_size),
        }

    def finish(self) -> dict[str, Any]:
        """Write the last shard, documents.parquet and the index; return the split's figures."""
        self._flush()
        documents = pl.concat([pl.DataFrame(schema=TOKEN_DOCUMENTS.polars), *self._tables])
        write_parquet(documents, self.path / DOCUMENTS_FILE, TOKEN_DOCUMENTS)
        packing = self._pack()
        write_tensors(
            self.path / INDEX_FILE,
            {
                "row_offsets": packing.row_offsets.astype(np.uint64),
                "piece_document": packing.piece_document.astype(np.uint64),
                "piece_start": packing.piece_start.astype(np.uint64),
                "piece_length": packing.piece_length.astype(np.uint64),
                "doc_num_bytes": np.array(self._doc_bytes, dtype=np.uint64),
                **file_arrays(documents),
            },
            {**self._header(), "num_shards": str(self._num_shards)},
        )
        return self.figures(documents, packing)

    def _pack(self) -> Packing:
        doc_lengths = np.array(self._doc_lengths, dtype=np.int64)
        seq_len, seed = self.params.seq_len, self.params.seed
        if self.params.packing == "concatenate":
            return pack_concatenated(doc_lengths, seq_len=seq_len)
        lengths = np.concatenate([np.zeros(0, np.int64), *self._piece_lengths])
        documents = np.repeat(np.arange(len(doc_lengths)), [len(pieces) for pieces in self._piece_lengths])
        starts = np.cumsum(lengths) - lengths - (np.cumsum(doc_lengths) - doc_lengths)[documents]
        return pack_best_fit(documents, starts, lengths, seq_len=seq_len, seed=seed, fill=self._fill)

    def _fill(self, placed: Placed) -> Placed:
        """Fill the rooms that best fit left, and count the cuts that it takes."""
        places = CutPlaces(self.path, self.tokenizer, self._shard_sizes)
        before = np.cumsum([0, *self._doc_lengths])
        filled = fill_rooms(
            placed,
            np.array(self._loose, dtype=np.int64),
            seq_len=self.params.seq_len,
            least=MIN_PART_TOKENS,
            cut=lambda document, first, room: places.choose(before[document] + first, room, least=MIN_PART_TOKENS),
        )
        old, new = (before[pieces.document] + pieces.start for pieces in (placed, filled))
        cuts = np.setdiff1d(new, old)
        self._counts["num_cuts"] = self._counts.get("num_cuts", 0) + len(cuts)
        lines = sum(map(places.is_behind_line, cuts.tolist()))
        self._counts["num_line_cuts"] = self._counts.get("num_line_cuts", 0) + lines
        return filled

    def figures(self, documents: pl.DataFrame, packing: Packing) -> dict[str, Any]:
        """Counts of the split: documents, tokens, bytes, sequences, padding, cuts, orders, tokens by licence ..."""
        lengths = np.array(self._doc_lengths, dtype=np.int64)
        num_tokens, capacity = int(lengths.sum()), packing.num_rows * self.params.seq_len
        pieces = np.bincount(packing.piece_document, minlength=len(lengths))
        by = {
            name: documents.group_by(name).agg(pl.col("num_tokens").sum()).sort(pl.all())
            for name in ("license_expression", "source")
        }
        return {
            "num_documents": len(lengths),
            "num_files": documents.height,
            "num_tokens": num_tokens,
            "num_bytes": sum(self._doc_bytes),
            "num_sequences": packing.num_rows,
            "num_shards": self._num_shards,
            "padding_fraction": round(1 - num_tokens / capacity, 6) if capacity else 0.0,
            "num_pieces": len(packing.piece_length),
            "num_long_documents": int((lengths > self.params.seq_len).sum()),
            "num_cut_documents": int((pieces > 1).sum()),
            "num_avoidable_cut_documents": int(((pieces > 1) & (lengths <= self.params.seq_len)).sum()),
            **self._counts,
            "document_lengths": length_histogram(lengths),
            "tokens_by_license": {str(name): count for name, count in by["license_expression"].iter_rows()},
            "tokens_by_source": dict(by["source"].iter_rows()),
        }


def length_histogram(lengths: npt.NDArray[np.int64]) -> dict[str, int]:
    """How many documents have at least 1, 2, 4, 8 ... tokens and fewer than twice as many; by the lower edge."""
    counts = np.bincount(np.frexp(lengths)[1] - 1) if len(lengths) else np.zeros(0, np.int64)
    return {str(1 << power): int(count) for power, count in enumerate(counts)}


def file_arrays(documents: pl.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """documents.parquet's key columns for readers without Parquet: ids as raw bytes, sha1_git zero where unknown."""
    ids = bytes.fromhex("".join(documents["document_id"]))
    contents = documents["swhid"].str.extract(r"^swh:1:cnt:([0-9a-f]{40})").fill_null("0" * 40)
    return {
        "file_document": documents["document"].to_numpy().astype(np.uint64),
        "file_start": documents["token_start"].to_numpy().astype(np.uint64),
        "file_length": documents["num_tokens"].to_numpy().astype(np.uint64),
        "file_document_id": np.frombuffer(ids, dtype=np.uint8).reshape(-1, 16),
        "file_sha1_git": np.frombuffer(bytes.fromhex("".join(contents)), dtype=np.uint8).reshape(-1, 20),
    }
