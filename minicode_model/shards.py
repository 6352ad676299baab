"""Reading token shards: packed sequences with their document boundaries, memory-mapped, in NumPy alone.

A split is a folder: `shard-NNNNN.safetensors` hold the documents' tokens, `index.safetensors` says which pieces of
which documents make each sequence, `documents.parquet` names the file behind every range of tokens. The layout is
described in docs/shards.md with a reader of twenty lines.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minicode_model.artifact import Artifact, open_artifact, rebuild_hint
from minicode_model.errors import CorruptArtifactError, ShardError
from minicode_model.tensors import map_tensors
from minicode_model.tokenizer import SPECIAL_TOKENS, TokenIds

FORMAT_VERSION = 1
INDEX_FILE = "index.safetensors"
DOCUMENTS_FILE = "documents.parquet"
PROMPTS_FILE = "prompts.safetensors"
"""Only in shards for fine-tuning: how many tokens each document begins with that are read and not learnt."""
PADDING_ID = SPECIAL_TOKENS.index("<fim_pad>")
"""What fills a sequence behind its last document."""
PADDING_SEGMENT = -1
"""The segment id of padding."""

_INDEX_ARRAYS = (
    "row_offsets", "piece_document", "piece_start", "piece_length", "doc_num_bytes",
    "file_document", "file_start", "file_length", "file_document_id", "file_sha1_git",
)  # fmt: skip
_HINT = rebuild_hint("token_shards")


@dataclass(frozen=True)
class Source:
    """Where a range of tokens in a sequence comes from.

    Attributes:
        start: First position in the sequence.
        stop: Position behind the last.
        document: Number of the document in the split.
        row: Row of documents.parquet that holds path, licence and the qualified SWHID.
        document_id: `documents.document_id`, 32 hex digits.
        swhid: `swh:1:cnt:...`; empty for text that isn't from the archive.
    """

    start: int
    stop: int
    document: int
    row: int
    document_id: str
    swhid: str


class PackedSplit:
    """One split: `num_sequences` sequences of `seq_len` tokens, made of `num_documents` documents.

    Attributes:
        path: The split's folder.
        split: `train` or `validation`.
        seq_len: Tokens a sequence, padding included.
        vocab_size: Of the tokenizer; every id is smaller.
        tokenizer_digest: `Tokenizer.digest` of the tokenizer that made it.
        num_sequences: Number of sequences.
        num_documents: Number of documents.
        num_tokens: Tokens of all documents, padding not counted.
        num_bytes: Bytes of text in all documents.

    Args:
        path: The folder of the split, whose files were checked.

    Raises:
        ShardError: A file is truncated, or its header contradicts the rest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        index, header = map_tensors(path / INDEX_FILE, *_INDEX_ARRAYS)
        self._index = index
        try:
            self.split = header["split"]
            self.seq_len = int(header["seq_len"])
            self.vocab_size = int(header["vocab_size"])
            self.tokenizer_digest = header["tokenizer_digest"]
            version, num_shards = int(header["format_version"]), int(header["num_shards"])
        except (KeyError, ValueError) as error:
            raise ShardError(f"{path / INDEX_FILE}: header field {error} is absent or malformed", hint=_HINT) from error
        if version != FORMAT_VERSION:
            raise ShardError(
                f"{path / INDEX_FILE}: format_version found {version}, expected {FORMAT_VERSION}", hint=_HINT
            )
        shards = [self._shard(number) for number in range(num_shards)]
        self._tokens = [tokens for tokens, _ in shards]
        self._offsets = [offsets for _, offsets in shards]
        self._first = np.cumsum([0] + [len(offsets) - 1 for offsets in self._offsets])
        self._prompts = (
            map_tensors(path / PROMPTS_FILE, "doc_prompt_tokens")[0]["doc_prompt_tokens"] if self._has_prompts else None
        )
        self.num_sequences = len(index["row_offsets"]) - 1
        self.num_documents = len(index["doc_num_bytes"])
        self.num_tokens = sum(len(tokens) for tokens in self._tokens)
        self.num_bytes = int(index["doc_num_bytes"].sum())
        self._check()

    @property
    def _has_prompts(self) -> bool:
        return (self.path / PROMPTS_FILE).exists()

    def _shard(self, number: int) -> tuple[TokenIds, npt.NDArray[np.uint64]]:
        path = self.path / shard_name(number)
        arrays, header = map_tensors(path, "tokens", "doc_offsets")
        if header.get("tokenizer_digest") != self.tokenizer_digest:
            raise ShardError(
                f"{path}: tokenizer digest found {header.get('tokenizer_digest')}, expected {self.tokenizer_digest}",
                hint=_HINT,
            )
        tokens: TokenIds = arrays["tokens"]
        offsets: npt.NDArray[np.uint64] = arrays["doc_offsets"]
        return tokens, offsets

    def _check(self) -> None:
        pieces = int(self._index["piece_length"].sum())
        if self._prompts is not None and len(self._prompts) != self.num_documents:
            raise ShardError(
                f"{self.path / PROMPTS_FILE}: found {len(self._prompts)} documents, expected {self.num_documents}",
                hint=_HINT,
            )
        if self._first[-1] != self.num_documents or pieces != self.num_tokens:
            raise ShardError(
                f"{self.path}: found {self._first[-1]} documents and {self.num_tokens} tokens in the shards, "
                f"expected {self.num_documents} and {pieces} from {INDEX_FILE}",
                hint=_HINT,
            )
        if not self._fits():
            raise ShardError(
                f"{self.path / INDEX_FILE}: found pieces that lie outside of their documents or exceed a sequence, "
                f"expected the index of the {len(self._tokens)} shards beside it",
                hint=_HINT,
            )

    def _fits(self) -> bool:
        """Each piece lies in its document and its sequence, whatever the rest of the index says."""
        names = ("row_offsets", "piece_document", "piece_start", "piece_length")
        rows, document, start, length = (self._index[name].astype(np.int64) for name in names)
        sizes = np.concatenate([np.zeros(0, np.int64), *(np.diff(each.astype(np.int64)) for each in self._offsets)])
        numbers = (document, start, length, sizes, np.diff(rows), len(sizes) - 1 - document)
        if rows[0] or rows[-1] != len(length) or min(part.min(initial=0) for part in numbers) < 0:
            return False
        used = np.diff(np.concatenate([[0], np.cumsum(length)])[rows])
        return bool((start + length <= sizes[document]).all() and used.max(initial=0) <= self.seq_len)

    def __len__(self) -> int:
        return self.num_sequences

    def sequence(self, i: int) -> tuple[TokenIds, npt.NDArray[np.int32]]:
        """The i-th sequence.

        Returns:
            (tokens [T], segment_ids [T]): segments count 0, 1, 2 ... by document piece; padding has PADDING_ID and
            PADDING_SEGMENT.

        Raises:
            IndexError: There is no such sequence.
        """
        tokens: TokenIds = np.full(
            self.seq_len, PADDING_ID, dtype=np.uint16 if self.vocab_size <= 1 << 16 else np.uint32
        )
        segments = np.full(self.seq_len, PADDING_SEGMENT, dtype=np.int32)
        position = 0
        for segment, (document, start, length) in enumerate(self.pieces(i)):
            tokens[position : position + length] = self._document_tokens(document)[start : start + length]
            segments[position : position + length] = segment
            position += length
        return tokens, segments

    def learnt(self, i: int) -> npt.NDArray[np.bool_] | None:
        """Which tokens [T] of the i-th sequence are learnt: all but those of prompts. None where there are no prompts.

        Raises:
            IndexError: There is no such sequence.
        """
        if self._prompts is None:
            return None
        learnt = np.ones(self.seq_len, dtype=np.bool_)
        position = 0
        for document, start, length in self.pieces(i):
            learnt[position : position + max(0, int(self._prompts[document]) - start)] = False
            learnt[position + length :] = True
            position += length
        return learnt

    def document(self, d: int) -> tuple[TokenIds, int]:
        """A whole document: its tokens, special ones included, and the bytes of text that they stand for."""
        return self._document_tokens(d), int(self._index["doc_num_bytes"][d])

    def pieces(self, i: int) -> list[tuple[int, int, int]]:
        """What the i-th sequence is made of: (document, first token in it, number of tokens), in order."""
        if not 0 <= i < self.num_sequences:
            raise IndexError(f"sequence {i} of {self.num_sequences}")
        first, last = self._index["row_offsets"][i : i + 2].tolist()
        names = ("piece_document", "piece_start", "piece_length")
        return list(zip(*(self._index[name][first:last].tolist() for name in names), strict=True))

    def place(self, document: int) -> tuple[str, int]:
        """The name of the shard that holds a document, and the document's first token in it."""
        shard = int(np.searchsorted(self._first, document, side="right")) - 1
        return shard_name(shard), int(self._offsets[shard][document - self._first[shard]])

    def sequences_of(self, document: int) -> list[int]:
        """The sequences that hold a piece of a document, ascending."""
        pieces = np.flatnonzero(self._index["piece_document"] == document)
        found = np.searchsorted(self._index["row_offsets"], pieces, side="right") - 1
        return sorted(set(found.tolist()))

    def trace(self, i: int) -> list[Source]:
        """The files behind the i-th sequence, by position; tokens between files (repository names) are left out."""
        sources, position = [], 0
        for document, start, length in self.pieces(i):
            first, last = np.searchsorted(self._index["file_document"], [document, document + 1])
            for row in range(int(first), int(last)):
                file_start = int(self._index["file_start"][row])
                file_stop = file_start + int(self._index["file_length"][row])
                low, high = max(start, file_start), min(start + length, file_stop)
                if low < high:
                    sources.append(self._source(position + low - start, position + high - start, document, row))
            position += length
        return sources

    def _source(self, start: int, stop: int, document: int, row: int) -> Source:
        sha1_git = self._index["file_sha1_git"][row].tobytes()
        swhid = f"swh:1:cnt:{sha1_git.hex()}" if any(sha1_git) else ""
        return Source(start, stop, document, row, self._index["file_document_id"][row].tobytes().hex(), swhid)

    def _document_tokens(self, document: int) -> TokenIds:
        if not 0 <= document < self.num_documents:
            raise IndexError(f"document {document} of {self.num_documents}")
        shard = int(np.searchsorted(self._first, document, side="right")) - 1
        start, stop = self._offsets[shard][document - self._first[shard] :][:2].tolist()
        return self._tokens[shard][start:stop]


def open_split(folder: Path, split: str, *, tokenizer_digest: str | None = None, verify: bool = True) -> PackedSplit:
    """Open one split of a token_shards artefact.

    Args:
        folder: The artefact folder.
        split: `train` or `validation`.
        tokenizer_digest: If given, the digest that the shards must have been made with.
        verify: True compares SHA-256 of every file of the artefact, False sizes only.

    Raises:
        MissingArtifactError: The artefact was never completed.
        ShardError: A shard is truncated or altered, another tokenizer made it, or there is no such split.
    """
    try:
        artifact = open_artifact(folder, verify=verify)
    except CorruptArtifactError as error:
        raise ShardError(error.what, hint=_HINT) from error
    _check_split(artifact, split)
    packed = PackedSplit(folder / split)
    if tokenizer_digest not in (None, packed.tokenizer_digest):
        raise ShardError(
            f"{packed.path}: tokenizer digest found {packed.tokenizer_digest}, expected {tokenizer_digest}", hint=_HINT
        )
    return packed


def _check_split(artifact: Artifact, split: str) -> None:
    known = sorted({file.path.partition("/")[0] for file in artifact.files if file.path.endswith(INDEX_FILE)})
    if split not in known:
        raise ShardError(f"{artifact.path}: split {split!r} not found; it has {', '.join(known)}", hint=_HINT)


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.safetensors"
