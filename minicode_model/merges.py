"""The merges of a SentencePiece BPE model by a compiled engine, several times as fast and with the same ids.

SentencePiece joins the two neighbours whose piece has the best score, the leftmost among equals, beginning with
characters. tiktoken's engine joins the two neighbours whose piece has the least rank, the leftmost among equals,
beginning with bytes. So pieces are ranked by score, and before all of them come the characters and, for characters of
three and four bytes, their first bytes: the joins that make characters of bytes. What remains of an unknown character
is written as bytes again. Two things have to be true of a model, and the tokenizer checks them when it loads: scores
differ, and each piece is what its own text encodes to, since the engine takes a chunk that is a piece as it is.

Text is cut into chunks first, where no piece reaches across: before each run of spaces; in ASCII text also between
letters, digits and the rest, unless a piece joins them. Source: measured, benchmarks/results/tokens.md; the ids are
compared with SentencePiece's own in tests and benchmark.

A chunk costs the engine more than in proportion to its length, so a long text is encoded block by block. That is exact
where the last token of a block and the first of the next stay two tokens when they are encoded together. For let T be
the first join, in the text as a whole, across such a seam: before it, all joins lay within tokens, and those within
these two came in the order in which they come when the two are encoded alone; so T would come there as well.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tiktoken

Pieces = Sequence[tuple[int, str]]
"""(id, text) of the normal pieces, the best score first."""
Ranks = npt.NDArray[np.uint32]
"""The engine's tokens."""
_CHUNK = " *[^ ]+| +"
_ASCII_CHUNK = " *[A-Za-z]+| *[^A-Za-z0-9 ]+|[0-9]| +"
_JOINED = re.compile("[A-Za-z][^A-Za-z]|[^A-Za-z ][A-Za-z]|[0-9].|.[0-9]", re.DOTALL)
"""In the ASCII text of a piece: what `_ASCII_CHUNK` would cut."""
_LONG_TEXT = 1 << 18
"""Texts of more characters are encoded block by block, which costs others 4 %. Source: measured."""
_BLOCK_BYTES = 1 << 14
"""10 MB of spaces as one chunk: 11 s on a core; in such blocks: 1.7 s. Source: docs/log.md."""
_NEVER = "\ufdd0minicode\ufdd0"
"""The engine searches text for special tokens; this one is not allowed, so it is text wherever it stands."""


class Merges:
    """Encodes valid text; immutable.

    Args:
        pieces: The normal pieces.
        byte_ids: The ids of the 256 bytes.
        dtype: Of the ids.
    """

    def __init__(self, pieces: Pieces, byte_ids: Sequence[int], dtype: np.dtype[Any]) -> None:
        known = {text.encode(): index for index, text in pieces}
        characters = [text.encode() for _, text in pieces if len(text) == 1]
        heads = sorted(
            {raw[:size] for raw in characters for size in range(2, len(raw))}, key=lambda raw: (len(raw), raw)
        )
        singles = [bytes([byte]) for byte in range(256)]
        ranked = [*singles, *heads, *(raw for raw in characters if len(raw) > 1)]
        ranked += [text.encode() for _, text in pieces if len(text) > 1]
        ranks = {raw: rank for rank, raw in enumerate(ranked)}
        ids = dict(zip(singles, byte_ids, strict=True)) | known
        self._ids = np.array([ids.get(raw, 0) for raw in ranked], dtype=dtype)
        self._raw = ranked
        self._sizes = np.array([len(raw) for raw in ranked])
        self._overlap = 4 * int(self._sizes.max())
        self._heads = [np.array([byte_ids[byte] for byte in raw], dtype=dtype) for raw in heads]
        self._any = _engine(_CHUNK, ranks)
        joins = any(text.isascii() and _JOINED.search(text) for _, text in pieces)
        self._ascii = self._any if joins else _engine(_ASCII_CHUNK, ranks)

    def encode(self, text: str) -> npt.NDArray[Any]:
        """The ids of a text without lone surrogates; other threads run meanwhile."""
        found = self._ranks(text) if len(text) <= _LONG_TEXT else self._block_ranks(text.encode())
        if text.isascii():
            return self._ids[found]
        places = np.flatnonzero((found >= 256) & (found < 256 + len(self._heads)))
        return self._ids[found] if not len(places) else self._with_heads(found, places.tolist())

    def _ranks(self, text: str) -> Ranks:
        engine = self._ascii if text.isascii() else self._any
        return engine.encode_to_numpy(text, disallowed_special=())

    def _block_ranks(self, raw: bytes) -> Ranks:
        """As `_ranks`, block by block; a block whose end is none of the text's own is taken anew, twice as large."""
        kept, starts, size = list[Ranks](), [0], _BLOCK_BYTES
        while True:
            start = starts[-1]
            stop = _character_start(raw, start + max(size, 2 * self._overlap))
            found = self._ranks(raw[start:stop].decode())
            if kept and not self._is_seam(int(kept[-1][-1]), int(found[0])):
                kept.pop()
                starts.pop()
                size = 2 * (start + self._overlap - starts[-1])
                continue
            if stop == len(raw):
                return np.concatenate([*kept, found])
            ends = np.cumsum(self._sizes[found])
            last = int(np.searchsorted(ends, stop - start - self._overlap))
            while _character_start(raw, start + int(ends[last])) != start + ends[last]:
                last -= 1
            kept.append(found[: last + 1])
            starts.append(start + int(ends[last]))
            size = _BLOCK_BYTES

    def _is_seam(self, left: int, right: int) -> bool:
        """Two neighbours stay apart when they are encoded together; a part of a character joins no other character."""
        try:
            text = (self._raw[left] + self._raw[right]).decode()
        except UnicodeDecodeError:
            return True
        return list(self._ranks(text)) == [left, right]

    def _with_heads(self, found: Ranks, places: list[int]) -> npt.NDArray[Any]:
        """Ids where first bytes of unknown characters were joined: they become bytes again."""
        parts, start = [], 0
        for place in places:
            parts += [self._ids[found[start:place]], self._heads[found[place] - 256]]
            start = place + 1
        return np.concatenate([*parts, self._ids[found[start:]]])


def _character_start(raw: bytes, place: int) -> int:
    """The last start of a character at or before a place; the end of the text from there on."""
    if place >= len(raw):
        return len(raw)
    while raw[place] & 0xC0 == 0x80:
        place -= 1
    return place


def _engine(pattern: str, ranks: dict[bytes, int]) -> tiktoken.Encoding:
    return tiktoken.Encoding("minicode", pat_str=pattern, mergeable_ranks=ranks, special_tokens={_NEVER: len(ranks)})
