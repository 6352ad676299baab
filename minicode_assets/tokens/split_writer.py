"""One split of the token shards, written as its examples come: shards, index, and the file behind every token."""

import logging
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt

from minicode_assets.config import TokenShards
from minicode_assets.errors import ShardError
from minicode_assets.tokens.cut_places import CutPlaces
from minicode_assets.tokens.documents_table import DocumentsTable
from minicode_assets.tokens.encode import MIN_PART_TOKENS
from minicode_assets.tokens.fill import fill_rooms, move_files
from minicode_assets.tokens.format import Example
from minicode_assets.tokens.pack import Packing, Placed, pack_best_fit, pack_concatenated
from minicode_assets.tokens.pieces import Encoded
from minicode_model.shards import DOCUMENTS_FILE, FORMAT_VERSION, INDEX_FILE, shard_name
from minicode_model.tensors import write_tensors
from minicode_model.tokenizer import TokenIds, Tokenizer

_LOG = logging.getLogger("minicode.token_shards")
_LOG_EVERY_S = 5.0


def _integers() -> "array[int]":
    return array("q")


@dataclass
class SplitWriter:
    """Takes encoded examples in order and writes one split.

    Memory: a shard, and in numbers what the index needs: 60 bytes a file, 24 a document, some 100 a piece while it is
    packed (benchmarks/packing.py measures it).

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
    _shard_sizes: list[int] = field(default_factory=list)
    _num_tokens: int = 0
    _doc_lengths: "array[int]" = field(default_factory=_integers)
    _doc_bytes: "array[int]" = field(default_factory=_integers)
    _doc_pieces: "array[int]" = field(default_factory=_integers)
    _piece_lengths: "array[int]" = field(default_factory=_integers)
    _loose: "array[int]" = field(default_factory=_integers)
    _counts: dict[str, int] = field(default_factory=dict)
    _said_at: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        self.path.mkdir()
        self._documents = DocumentsTable(self.path / DOCUMENTS_FILE, self.tokenizer)

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
        # Only before the first file stands text that is no file's: the repository's name.
        lead = encoded.tokens[: encoded.file_ranges[0][0]]
        num_bytes = self.tokenizer.num_bytes(lead) + self._documents.add(len(self._doc_lengths), example, encoded)
        self._loose.extend(len(self._piece_lengths) + number for number in encoded.loose_pieces)
        self._piece_lengths.extend(encoded.piece_lengths)
        self._doc_pieces.append(len(encoded.piece_lengths))
        self._doc_lengths.append(length)
        self._doc_bytes.append(num_bytes)
        self._num_tokens += length
        self._count(encoded)

    def _count(self, encoded: Encoded) -> None:
        for name in ("num_psm", "num_spm", "num_long_files", "num_cut_files", "num_cuts", "num_line_cuts"):
            self._counts[name] = self._counts.get(name, 0) + getattr(encoded, name)
        if monotonic() - self._said_at > _LOG_EVERY_S:
            self._said_at = monotonic()
            _LOG.info("%s: %d documents, %d tokens", self.split, len(self._doc_lengths), self._num_tokens)

    def _flush(self) -> None:
        if not self._shard:
            return
        lengths = [len(tokens) for tokens in self._shard]
        self._shard_sizes.append(sum(lengths))
        write_tensors(
            self.path / shard_name(self._num_shards),
            {
                "tokens": np.concatenate(self._shard, dtype=self.tokenizer.dtype),
                "doc_offsets": np.cumsum([0, *lengths]).astype(np.uint64),
            },
            self._header(),
        )
        self._documents.flush()
        self._shard, self._shard_tokens, self._num_shards = [], 0, self._num_shards + 1

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
        self._files = self._documents.close()
        packing = self._pack()
        write_tensors(
            self.path / INDEX_FILE,
            {
                "row_offsets": packing.row_offsets.astype(np.uint64),
                "piece_document": packing.piece_document.astype(np.uint64),
                "piece_start": packing.piece_start.astype(np.uint64),
                "piece_length": packing.piece_length.astype(np.uint64),
                "doc_num_bytes": np.array(self._doc_bytes, dtype=np.uint64),
                **self._files,
            },
            {**self._header(), "num_shards": str(self._num_shards)},
        )
        return self.figures(packing)

    def _pack(self) -> Packing:
        doc_lengths = np.array(self._doc_lengths)
        seq_len, seed = self.params.seq_len, self.params.seed
        if self.params.packing == "concatenate":
            return pack_concatenated(doc_lengths, seq_len=seq_len)
        lengths = np.array(self._piece_lengths)
        documents = np.repeat(np.arange(len(doc_lengths)), np.array(self._doc_pieces))
        starts = np.cumsum(lengths) - lengths - (np.cumsum(doc_lengths) - doc_lengths)[documents]
        return pack_best_fit(documents, starts, lengths, seq_len=seq_len, seed=seed, fill=self._fill)

    def _fill(self, placed: Placed) -> Placed:
        """Fill the rooms that best fit left, and count the cuts that it takes."""
        places = CutPlaces(self.path, self.tokenizer, self._shard_sizes)
        before = np.concatenate([[0], np.cumsum(np.array(self._doc_lengths))])
        filled = fill_rooms(
            placed,
            np.array(self._loose),
            seq_len=self.params.seq_len,
            least=MIN_PART_TOKENS,
            cut=lambda document, first, room: places.choose(before[document] + first, room, least=MIN_PART_TOKENS),
        )
        old, new = (before[pieces.document] + pieces.start for pieces in (placed, filled))
        cuts = np.setdiff1d(new, old)
        self._counts["num_cuts"] = self._counts.get("num_cuts", 0) + len(cuts)
        lines = sum(map(places.is_behind_line, cuts.tolist()))
        self._counts["num_line_cuts"] = self._counts.get("num_line_cuts", 0) + lines
        document = self._files["file_document"].astype(np.int64)
        follows = np.diff(document, prepend=-1) == 0
        edges = before[document[follows]] + self._files["file_start"].astype(np.int64)[follows]
        return move_files(filled, new, edges, seq_len=self.params.seq_len, least=MIN_PART_TOKENS)

    def figures(self, packing: Packing) -> dict[str, Any]:
        """Counts of the split: documents, tokens, bytes, sequences, padding, cuts, orders, tokens by licence ..."""
        lengths, num_tokens = np.array(self._doc_lengths), self._num_tokens
        capacity = packing.num_rows * self.params.seq_len
        pieces = np.bincount(packing.piece_document, minlength=len(lengths))
        return {
            "num_documents": len(lengths),
            "num_files": self._documents.num_files,
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
            "tokens_by_license": dict(sorted(self._documents.tokens_by["license_expression"].items())),
            "tokens_by_source": dict(sorted(self._documents.tokens_by["source"].items())),
        }


def length_histogram(lengths: npt.NDArray[np.int64]) -> dict[str, int]:
    """How many documents have 1, 2, 4, 8 ... tokens or more, fewer than twice as many; from the first edge with any."""
    counts = np.bincount(np.frexp(lengths)[1] - 1) if len(lengths) else np.zeros(0, np.int64)
    return {str(1 << power): int(count) for power, count in enumerate(counts) if counts[: power + 1].any()}
