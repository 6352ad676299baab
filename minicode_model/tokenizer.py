"""The tokenizer: text or any bytes to token ids and back, exactly. No torch.

A SentencePiece BPE model with byte fallback does the merging; around it stand three things that it lacks. Its own
table of bytes a token makes decoding exact, even for half a character. U+2581, which SentencePiece takes for a space,
and bytes that are not UTF-8 are spliced in as byte tokens. And a cache makes encoding several times faster: of
chunks, cut before each run of spaces, and below it of parts, cut between ASCII letters and other ASCII. Both are
exact because no piece reaches across such a place, which loading verifies (where pieces join letters and punctuation,
chunks alone are kept). Source: model.md 3.2 and 3.3.
"""

import codecs
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sentencepiece

from minicode_model.artifact import digest_of, open_artifact, rebuild_hint
from minicode_model.errors import TokenizerError

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

_OTHER_ASCII = r"\x00-\x1f!-@\[-`{-\x7f"
_CHUNK = re.compile(" *[^ ]+| +")
_PART = re.compile(rf" *(?:[A-Za-z]++(?![^\x00-\x7f])|[{_OTHER_ASCII}]++(?![^\x00-\x7f])|[^ ]+)| +")
_JOINS_LETTERS = re.compile(rf"[A-Za-z][{_OTHER_ASCII}]|[{_OTHER_ASCII}][A-Za-z]")
_ESCAPED_BYTE = re.compile("([\udc80-\udcff])")
_CACHE_ENTRIES = 1 << 20
_CACHED_CHARACTERS = 96

TokenIds = npt.NDArray[np.unsignedinteger[Any]]
"""uint16 or uint32 by vocabulary."""


class Tokenizer:
    """Encodes and decodes; immutable but for its cache.

    Attributes:
        pieces: (piece, score, type) of every id.
        model: The serialised SentencePiece model.
        vocab_size: Number of pieces, special tokens included.
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
        parts = _PartCache(processor, self.dtype)
        joins_letters = any(kind == "normal" and _JOINS_LETTERS.search(piece) for piece, _, kind in pieces)
        self._chunks = parts if joins_letters else _ChunkCache(parts)
        self._ids = {name: index for index, name in enumerate(SPECIAL_TOKENS)}

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
            raise TokenizerError(f"special token {name!r} is unknown; known: {' '.join(SPECIAL_TOKENS)}")
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
        return self._ids_of(self._encode_valid(text))

    def encode_batch(self, texts: Iterable[str | bytes]) -> list[TokenIds]:
        """`encode` of each text, in order."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int] | TokenIds, *, show_special: bool = False) -> bytes:
        """The bytes that ids stand for.

        Args:
            ids: Token ids, 0 to vocab_size - 1.
            show_special: Special tokens give their names instead of nothing, to look at; not reversible.

        Raises:
            TokenizerError: An id is out of range.
        """
        table = self._visible if show_special else self.token_bytes
        numbers = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        if numbers and not 0 <= min(numbers) <= max(numbers) < self.vocab_size:
            raise TokenizerError(
                f"token ids: found {min(numbers)} to {max(numbers)}, expected 0 to {self.vocab_size - 1}",
                hint="the ids belong to another tokenizer; compare the digests",
            )
        return b"".join(map(table.__getitem__, numbers))

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
        return tuple(name.encode() for name in SPECIAL_TOKENS) + self.token_bytes[UNKNOWN_ID:]

    def _encode_valid(self, text: str) -> bytes:
        return b"".join(map(self._chunks.__getitem__, _CHUNK.findall(text)))

    def _encode_escaped(self, text: str) -> TokenIds:
        parts = []
        for part in _ESCAPED_BYTE.split(text):
            if len(part) == 1 and "\udc80" <= part <= "\udcff":
                parts.append(np.array(FIRST_BYTE_ID + ord(part) - 0xDC00, self.dtype).tobytes())
            else:
                parts.append(self._encode_valid(part))
        return self._ids_of(b"".join(parts))

    def _ids_of(self, raw: bytes) -> TokenIds:
        ids: TokenIds = np.frombuffer(bytearray(raw), dtype=self.dtype)
        return ids


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


class _PartCache(dict[str, bytes]):
    """Text whose ids don't depend on its neighbours, to its ids in native byte order; fills itself, up to a bound."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor, dtype: np.dtype[Any]) -> None:
        super().__init__()
        self._encode = processor.encode
        self._dtype = dtype
        self._space_ids = [FIRST_BYTE_ID + byte for byte in SPACE.encode()]

    def __missing__(self, part: str) -> bytes:
        if SPACE in part:
            ids = []
            for number, piece in enumerate(part.split(SPACE)):
                ids += (self._space_ids if number else []) + self._encode(piece)
        else:
            ids = self._encode(part)
        raw = np.array(ids, dtype=self._dtype).tobytes()
        return _remember(self, part, raw)


class _ChunkCache(dict[str, bytes]):
    """Chunks, each joined from its parts: new chunks are mostly made of known parts."""

    def __init__(self, parts: _PartCache) -> None:
        super().__init__()
        self._parts = parts

    def __missing__(self, chunk: str) -> bytes:
        raw = b"".join(map(self._parts.__getitem__, _PART.findall(chunk)))
        return _remember(self, chunk, raw)


def _remember(cache: dict[str, bytes], text: str, raw: bytes) -> bytes:
    if len(text) <= _CACHED_CHARACTERS and len(cache) < _CACHE_ENTRIES:
        cache[text] = raw
    return raw


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_bytes(text: str) -> bytes:
    """The bytes that a string stands for: UTF-8; of lone surrogates U+DC80..U+DCFF one byte each, others three."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    escaped = re.compile("[\udc80-\udcff]")
    return b"".join(
        part.encode("utf-8", "surrogateescape" if escaped.match(part) else "surrogatepass")
        for part in _ESCAPED_BYTE.split(text)
    )


def check_pieces(pieces: list[tuple[str, float, str]], where: str) -> None:
    """Check the rules that exact and cached encoding rest on.

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
    for index, (piece, _, kind) in enumerate(pieces[len(expected) :], start=len(expected)):
        if kind != "normal" or re.search(f"[^{SPACE}]{SPACE}", piece):
            raise TokenizerError(
                f"{where}: token {index}: found {kind} piece {piece!r}, expected a normal piece without a space inside",
                hint=rebuild_hint("tokenizer"),
            )


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
