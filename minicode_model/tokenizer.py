"""The tokenizer: text or any bytes to token ids and back, exactly. No torch.

A SentencePiece BPE model with byte fallback defines the pieces. Around it stand three things that it lacks: a table
of bytes a token makes decoding exact, even for half a character; U+2581, which SentencePiece takes for a space, and
bytes that are not UTF-8 are written as byte tokens; and a compiled engine gives its ids several times as fast
(`merges`). Source: model.md 3.2 and 3.3.
"""

import codecs
import re
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sentencepiece

from minicode_model.artifact import digest_of, open_artifact, rebuild_hint
from minicode_model.errors import TokenizerError
from minicode_model.merges import Merges, Pieces

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<fim_prefix>",
    "<fim_middle>",
    "<fim_suffix>",
    "<fim_pad>",
    "<repo_name>",
    "<file_sep>",
    "<issue_start>",
    "<issue_comment>",
    "<issue_closed>",
    "<jupyter_start>",
    "<jupyter_text>",
    "<jupyter_code>",
    "<jupyter_output>",
    "<jupyter_script>",
    "<empty_output>",
    "<code_to_intermediate>",
    "<intermediate_to_code>",
    "<pr>",
    "<pr_status>",
    "<pr_is_merged>",
    "<pr_base>",
    "<pr_file>",
    "<pr_base_code>",
    "<pr_diff>",
    "<pr_diff_hunk>",
    "<pr_comment>",
    "<pr_event_id>",
    "<pr_review>",
    "<pr_review_state>",
    "<pr_review_comment>",
    "<pr_in_reply_to_review_id>",
    "<pr_in_reply_to_comment_id>",
    "<pr_diff_hunk_comment_line>",
)
"""Ids 0 to 33, in this order. Source: StarCoder2's Table 5 (curation.md 2.9)."""
UNKNOWN_ID = len(SPECIAL_TOKENS)
"""SentencePiece demands an unknown piece; with byte fallback it never appears."""
FIRST_BYTE_ID = UNKNOWN_ID + 1
"""The token of byte 0x00; the other 255 follow."""
FIRST_TEXT_ID = FIRST_BYTE_ID
"""Tokens from here on stand for bytes of text; those before stand for none."""
MODEL_FILE = "tokenizer.model"
SPACE = "\u2581"
"""How SentencePiece writes a space inside a piece."""

_BLOCK = 1 << 16
"""Ids that are Python's integers at a time, each of which takes as much room as twenty in an array."""
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_PASSED_BYTE = re.compile(rb"\xed[\xb2\xb3][\x80-\xbf]")
"""An escaped byte as `surrogatepass` writes it; nothing else begins so."""

TokenIds = npt.NDArray[np.unsignedinteger[Any]]
"""uint16 or uint32 by vocabulary."""


class Tokenizer:
    """Encodes and decodes; immutable.

    Attributes:
        pieces: (piece, score, type) of every id.
        model: The serialised SentencePiece model.
        vocab_size: Number of pieces, special tokens included.
        special_tokens: Id to name: SPECIAL_TOKENS, and those that were added, which have the last ids.
        digest: SHA-256 (hex) over the list of (piece, score, type); independent of how the file was written.
        dtype: uint16 where every id fits, otherwise uint32.
        token_bytes: The bytes that each id stands for; empty for special tokens.

    Args:
        model: A SentencePiece model that keeps the rules in the module's docstring.
        where: What messages call it, best its path.

    Raises:
        TokenizerError: The bytes are no model, or one that breaks a rule; the message names the piece.
    """

    def __init__(self, model: bytes, *, where: str = MODEL_FILE) -> None:
        self.model = model
        processor = _processor(model, where)
        pieces = [
            (processor.id_to_piece(i), processor.get_score(i), _type(processor, i)) for i in range(len(processor))
        ]
        check_pieces(pieces, where)
        self.pieces = tuple(pieces)
        self.vocab_size = len(pieces)
        self.digest = digest_of(pieces)
        self.dtype: np.dtype[Any] = np.dtype(np.uint16 if self.vocab_size <= 1 << 16 else np.uint32)
        self.token_bytes = tuple(_bytes_of(piece, kind) for piece, _, kind in pieces)
        byte_ids = range(FIRST_BYTE_ID, FIRST_BYTE_ID + 256)
        ranked = ranked_pieces(pieces, processor)
        self._merges = Merges(ranked, byte_ids, self.dtype) if ranked else _Spliced(processor, self.dtype)
        self.special_tokens = {index: piece for index, (piece, _, kind) in enumerate(pieces) if kind == "control"}
        self._ids = {name: index for index, name in self.special_tokens.items()}

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """The tokenizer of an artefact folder, whose files are checked first.

        Raises:
            MissingArtifactError: The artefact was never completed.
            CorruptArtifactError: A file differs from the manifest.
            TokenizerError: The model breaks a rule.
        """
        artifact = open_artifact(folder)
        path = artifact.file(MODEL_FILE)
        return cls(path.read_bytes(), where=str(path))

    def special(self, name: str) -> int:
        """The id of a special token.

        Raises:
            TokenizerError: There is none of that name.
        """
        if name not in self._ids:
            raise TokenizerError(
                f"special token {name!r} is unknown; known: {' '.join(self._ids)}",
                hint="[tokenizer] extra_special_tokens adds to them",
            )
        return self._ids[name]

    def encode(self, text: str | bytes) -> TokenIds:
        """The ids of a text; decoding them gives its bytes back.

        Args:
            text: Any string or bytes. In a string, U+DC80..U+DCFF stand for bytes (PEP 383), and other lone
                surrogates for the three bytes that UTF-8 would give them. Names of special tokens are plain text.

        Returns:
            Ids from FIRST_TEXT_ID on, of `dtype`, writable.
        """
        if isinstance(text, str) and not _is_unicode(text):
            text = text_bytes(text)
        if isinstance(text, bytes):
            text = text.decode("utf-8", "surrogateescape")
            if not text.isascii() and _ESCAPED_BYTE.search(text):
                return self._encode_escaped(text)
        return self._merges.encode(text)

    def encode_batch(self, texts: Sequence[str | bytes], *, num_threads: int = 1) -> list[TokenIds]:
        """`encode` of each text, in order; threads share the work on as many processors."""
        if num_threads == 1 or len(texts) < 2:
            return [self.encode(text) for text in texts]
        with ThreadPoolExecutor(num_threads) as pool:
            return list(pool.map(self.encode, texts))

    def decode(self, ids: Iterable[int] | TokenIds, *, show_special: bool = False) -> bytes:
        """The bytes that ids stand for.

        Args:
            ids: Token ids, 0 to vocab_size - 1.
            show_special: Special tokens give their names instead of nothing, to look at; not reversible.

        Raises:
            TokenizerError: An id is out of range.
        """
        table = self._visible if show_special else self.token_bytes
        numbers = ids if isinstance(ids, np.ndarray) else np.array(list(ids), object)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < self.vocab_size:
            raise TokenizerError(
                f"token ids: found {numbers.min()} to {numbers.max()}, expected 0 to {self.vocab_size - 1}",
                hint="the ids belong to another tokenizer; compare the digests",
            )
        blocks = (numbers[first : first + _BLOCK].tolist() for first in range(0, len(numbers), _BLOCK))
        return b"".join(b"".join(map(table.__getitem__, block)) for block in blocks)

    def stream(self) -> "StreamDecoder":
        """A decoder that takes ids one by one and gives text as soon as characters are whole."""
        return StreamDecoder(self)

    def num_bytes(self, ids: TokenIds) -> int:
        """Bytes of text that the ids stand for; special tokens count nothing."""
        return int(self.token_lengths[ids].sum())

    @property
    def token_lengths(self) -> npt.NDArray[np.int64]:
        """Bytes of each token, by id; shape [vocab_size]."""
        if not hasattr(self, "_lengths"):
            self._lengths = np.array([len(piece) for piece in self.token_bytes], dtype=np.int64)
        return self._lengths

    @property
    def _visible(self) -> tuple[bytes, ...]:
        return tuple(
            self.special_tokens[index].encode() if index in self.special_tokens else text
            for index, text in enumerate(self.token_bytes)
        )

    def _encode_escaped(self, text: str) -> TokenIds:
        """A character of no piece, which joins with nothing, as a byte doesn't, stands for each of them meanwhile."""
        candidates = map(chr, range(sys.maxunicode, 0xFFFF, -1))
        mark = next(c for c in candidates if len(self._merges.encode(c)) == len(c.encode()))
        ids = self._merges.encode(_ESCAPED_BYTE.sub(mark, text))
        first, *rest = self._merges.encode(mark).tolist()
        places = np.flatnonzero(ids == first)
        for distance, byte in enumerate(rest, start=1):
            places = places[ids[places + distance] == byte]
        marked = np.array([ord(c) for c in re.findall(f"[\udc80-\udcff{mark}]", text)])
        is_byte = marked != ord(mark)
        places = places[is_byte]
        ids[places] = marked[is_byte] - 0xDC00 + FIRST_BYTE_ID
        return np.delete(ids, np.add.outer(places, np.arange(1, len(rest) + 1)))


class _Spliced:
    """SentencePiece itself, with U+2581 as bytes: for models that `Merges` can't express; several times slower."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor, dtype: np.dtype[Any]) -> None:
        self._encode = processor.encode
        self._dtype = dtype
        self._space_ids = [FIRST_BYTE_ID + byte for byte in SPACE.encode()]

    def encode(self, text: str) -> TokenIds:
        """The ids of a text without lone surrogates."""
        first, *rest = text.split(SPACE)
        ids = self._encode(first)
        for part in rest:
            ids += self._space_ids + self._encode(part)
        return np.array(ids, dtype=self._dtype)


class StreamDecoder:
    """Turns ids into text as they come; bytes of an unfinished character wait for the rest."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._table = tokenizer.token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The text that is certain after one more id; may be empty."""
        return self._decoder.decode(self._table[token])

    def flush(self) -> str:
        """What is left at the end: U+FFFD for an unfinished character, otherwise nothing."""
        return self._decoder.decode(b"", final=True)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_bytes(text: str) -> bytes:
    """The bytes that a string stands for: UTF-8; of lone surrogates U+DC80..U+DCFF one byte each, others three."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        passed = text.encode("utf-8", "surrogatepass")
        return _PASSED_BYTE.sub(lambda found: bytes([ord(found[0].decode("utf-8", "surrogatepass")) - 0xDC00]), passed)


def check_pieces(pieces: list[tuple[str, float, str]], where: str) -> None:
    """Check the rules that exact and cached encoding rest on.

    Special tokens beyond SPECIAL_TOKENS have the last ids, so that all others stay where they are.

    Raises:
        TokenizerError: Special tokens or byte tokens are not at their ids, a text could produce a special token, or a
            piece continues from another character into a space.
    """
    expected = [(name, "control") for name in SPECIAL_TOKENS] + [("<unk>", "unknown")]
    expected += [(f"<0x{byte:02X}>", "byte") for byte in range(256)]
    for index, (name, kind) in enumerate(expected):
        found = (pieces[index][0], pieces[index][2]) if index < len(pieces) else None
        if found != (name, kind):
            raise TokenizerError(
                f"{where}: token {index}: found {found}, expected {(name, kind)}", hint=rebuild_hint("tokenizer")
            )
    num_added = next((number for number, (_, _, kind) in enumerate(reversed(pieces)) if kind != "control"), 0)
    for index, (piece, _, kind) in enumerate(pieces[len(expected) : len(pieces) - num_added], start=len(expected)):
        if kind != "normal" or re.search(f"[^{SPACE}]{SPACE}", piece):
            raise TokenizerError(
                f"{where}: token {index}: found {kind} piece {piece!r}, expected a normal piece without a space inside",
                hint=rebuild_hint("tokenizer"),
            )


def ranked_pieces(
    pieces: list[tuple[str, float, str]], processor: sentencepiece.SentencePieceProcessor
) -> Pieces | None:
    """The normal pieces with real spaces, the best score first; None where `merges` would not be exact.

    That is where two pieces of several characters have the same score, or a piece is encoded as others; training
    never gives such a model.
    """
    normal = sorted((-score, index, piece) for index, (piece, score, kind) in enumerate(pieces) if kind == "normal")
    scores = [score for score, _, piece in normal if len(piece) > 1]
    texts = [piece.replace(SPACE, " ") for _, _, piece in normal]
    alone = processor.encode(texts)
    if len(set(scores)) < len(scores) or alone != [[index] for _, index, _ in normal]:
        return None
    return [(index, text) for (_, index, _), text in zip(normal, texts, strict=True)]


def _processor(model: bytes, where: str) -> sentencepiece.SentencePieceProcessor:
    try:
        return sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError as error:
        raise TokenizerError(
            f"{where}: found {len(model)} bytes that SentencePiece can't read: {error}", hint=rebuild_hint("tokenizer")
        ) from error


def _type(processor: sentencepiece.SentencePieceProcessor, index: int) -> str:
    kinds = {
        "control": processor.is_control,
        "unknown": processor.is_unknown,
        "byte": processor.is_byte,
        "unused": processor.is_unused,
    }
    return next((name for name, matches in kinds.items() if matches(index)), "normal")


def _bytes_of(piece: str, kind: str) -> bytes:
    if kind in ("control", "unknown"):
        return b""
    if kind == "byte":
        return bytes([int(piece[1:-1], 16)])
    return piece.replace(SPACE, " ").encode()
