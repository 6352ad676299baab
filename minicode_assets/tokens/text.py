"""A text beside its tokens, so that a stretch of it is encoded without encoding it all again."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from minicode_assets.tokens.source_formats import Parts
from minicode_model.fim import syntax_spans
from minicode_model.tokenizer import TokenIds, Tokenizer

_MAX_UTF8_BYTES = 4


def encode_parts(tokenizer: Tokenizer, parts: Sequence[Parts], *, num_threads: int = 1) -> list[TokenIds]:
    """The ids of each text, special token, text, ...; every text is encoded by itself.

    Raises:
        TokenizerError: The tokenizer has no special token of that name.
    """
    texts = [text for document in parts for text in document[::2]]
    encoded = iter(tokenizer.encode_batch(texts, num_threads=num_threads))
    result = []
    for document in parts:
        ids = [next(encoded)]
        for name in document[1::2]:
            ids += [np.array([tokenizer.special(name)], tokenizer.dtype), next(encoded)]
        result.append(np.concatenate(ids))
    return result


class EncodedText:
    """A text, its bytes, its ids, and where each token ends.

    The tokenizer never joins what stands before a run of spaces with the run; so such places, here called seams, are
    edges of tokens, and a stretch between two seams has the same ids alone as it has in the text.

    Attributes:
        ids: The tokens; special tokens among them stand for no bytes.

    Args:
        tokenizer: The tokenizer.
        ids: What the text was encoded to.
    """

    def __init__(self, tokenizer: Tokenizer, ids: TokenIds) -> None:
        self._tokenizer = tokenizer
        self.ids = ids

    @cached_property
    def raw(self) -> bytes:
        """The text's bytes: the tokens give them back, so the text itself isn't needed."""
        return self._tokenizer.decode(self.ids)

    @cached_property
    def is_plain(self) -> bool:
        """There are no special tokens inside."""
        return bool(self._tokenizer.token_lengths[self.ids].all())

    @cached_property
    def _ends(self) -> npt.NDArray[np.int64]:
        return np.cumsum(self._tokenizer.token_lengths[self.ids])

    @cached_property
    def spans(self) -> dict[str, list[tuple[int, int]]]:
        """`syntax_spans` of the bytes."""
        return syntax_spans(self.raw)

    def __len__(self) -> int:
        return len(self.ids)

    def byte_at(self, token: int) -> int:
        """Where a token starts; len(self) gives the end of the text."""
        return int(self._ends[token - 1]) if token else 0

    def token_at(self, byte: int) -> int:
        """The first token that starts at or behind a byte."""
        return int(np.searchsorted(self._ends, byte)) + 1 if byte else 0

    def characters(self, first: int, last: int) -> str:
        """The text of tokens first to last; bytes that are no UTF-8 as surrogates."""
        return self.raw[self.byte_at(first) : self.byte_at(last)].decode("utf-8", "surrogateescape")

    def character_start(self, first: int, last: int) -> int:
        """The nearest place from `last` down, behind `first`, that doesn't split a character written as bytes."""
        for place in range(last, max(last - _MAX_UTF8_BYTES, first), -1):
            byte = self.byte_at(place)
            if byte == len(self.raw) or self.raw[byte] & 0xC0 != 0x80:
                return place
        return last

    def between(self, first: int, last: int) -> TokenIds:
        """What the bytes from first to last encode to; only what lies outside the outermost seams is encoded."""
        left, right = self.seam_behind(first, last), self._seam_before(first, last)
        if left is None or right is None or left >= right:
            return self._tokenizer.encode(self.raw[first:last])
        return np.concatenate(
            [
                self._tokenizer.encode(self.raw[first:left]),
                self.ids[self.token_at(left) : self.token_at(right)],
                self._tokenizer.encode(self.raw[right:last]),
            ]
        )

    def seam_behind(self, first: int, last: int) -> int | None:
        """The first seam behind byte `first` and before `last`; None if there is none."""
        place = first
        while place < last and self.raw[place] == 0x20:
            place += 1
        place = self.raw.find(b" ", place, last)
        return place if place > 0 else None

    def _seam_before(self, first: int, last: int) -> int | None:
        """The last seam behind byte `first` and before `last`; None if there is none."""
        place = self.raw.rfind(b" ", first, last)
        if place < 0:
            return None
        start = first + len(self.raw[first : place + 1].rstrip(b" "))
        return start if start > first else None
