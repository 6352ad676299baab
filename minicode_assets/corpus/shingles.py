r"""Hashes of the words and n-grams of many texts at once, in numpy: near duplicates and contamination rest on them.

A word is a run of letters, digits, `_` and non-ASCII bytes, in lower case (`\w+`, as code is mostly ASCII). Its hash is
taken from eight bytes at a time, for all words of a block at once, so that no byte costs a step of the interpreter. An
n-gram's hash is a polynomial over n word hashes, mixed.

The rule `stack_v2` gives The Stack v2's tokens instead: every byte that is no word byte ends a token, and empty tokens
count (73 % of the tokens of Python code; source: curation.md, headline 2).
"""

import functools
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
RULES = ("words", "stack_v2")
"""How a text falls into tokens."""
BLOCK_BYTES = 1 << 18
"""Text a block, so that a block's arrays stay near the core. Source: benchmarks/near_dup.py; 64 kB to 1 MB differ by
less than a tenth. Unit: bytes."""
LONG_WORD_BYTES = 64
"""Longer words (encoded data) are hashed one by one. Unit: bytes."""
_BASE = 0x9E3779B97F4A7C15
_GRAM_BASE = 0xD1B54A32D192ED03
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(32)


@dataclass(frozen=True)
class Words:
    """Words of several texts.

    Attributes:
        hashes: One hash a word, text after text, shape (W,).
        offsets: Text d has the words offsets[d] to offsets[d + 1], shape (D + 1,).
        starts: First byte of each word, counted from the block's first text with one byte in front of each, shape (W,).
        ends: Byte after each word, counted so, shape (W,).
    """

    hashes: Hashes
    offsets: Numbers
    starts: Numbers
    ends: Numbers

    @property
    def num_texts(self) -> int:
        """How many texts there are."""
        return len(self.offsets) - 1


def blocks(texts: Sequence[bytes], *, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[int, int]]:
    """Ranges (start, end) of consecutive texts of about `block_bytes` each; a longer text is a block of its own."""
    start = size = 0
    for index, text in enumerate(texts):
        if size and size + len(text) > block_bytes:
            yield start, index
            start, size = index, 0
        size += len(text)
    if start < len(texts):
        yield start, len(texts)


def hash_words(texts: Sequence[bytes], *, rule: str) -> Words:
    """Hash the words of a block of texts.

    Args:
        texts: UTF-8.
        rule: One of RULES.
    """
    # A separator in front and behind each text: every word has a start and an end in the block.
    letters = b"\n".join([b"", *texts, b""]).translate(_letters())
    starts, ends = _word_edges(letters) if rule == "words" else _token_edges(letters)
    text_ends = np.cumsum(np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts)))
    offsets = np.concatenate(([0], np.searchsorted(starts, text_ends, side="right")))
    return Words(_hash_slices(letters, starts, ends - starts), offsets, starts, ends)


def _word_edges(letters: bytes) -> tuple[Numbers, Numbers]:
    """Start and end of each run of word bytes."""
    is_word = np.frombuffer(letters, np.uint8) != 0
    edges = np.flatnonzero(is_word[1:] != is_word[:-1]) + 1
    return edges[::2], edges[1::2]


def _token_edges(letters: bytes) -> tuple[Numbers, Numbers]:
    """Start and end of each token between two separators, empty ones included."""
    separators = np.flatnonzero(np.frombuffer(letters, np.uint8) == 0)
    return separators[:-1] + 1, separators[1:]


def _hash_slices(letters: bytes, starts: Numbers, lengths: Numbers) -> Hashes:
    """A hash of each slice of the block: eight bytes a step for all slices that still have some."""
    eights = np.ndarray(len(letters), "<u8", letters + bytes(8), strides=(1,))
    masks = _masks()
    hashes = eights[starts]
    hashes &= masks[np.minimum(lengths, 8)]
    hashes += lengths.view(np.uint64)
    _mixed(hashes)
    rest = np.flatnonzero(lengths > 8)
    for done in range(8, LONG_WORD_BYTES, 8):
        chunk = eights[starts[rest] + done]
        chunk &= masks[np.minimum(lengths[rest] - done, 8)]
        hashes[rest] = _mixed(hashes[rest] * np.uint64(_BASE) + chunk)
        rest = rest[lengths[rest] > done + 8]
    for index in rest.tolist():
        hashes[index] = _hash_letters(letters[starts[index] : starts[index] + lengths[index]])
    return hashes


def _hash_letters(letters: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(letters, digest_size=8).digest(), "little")


def hash_long_word(word: bytes) -> int:
    """The hash that `hash_words` gives a word of more than LONG_WORD_BYTES."""
    return _hash_letters(word.translate(_letters()))


def hash_ngrams(words: Words, n: int) -> tuple[Hashes, Numbers]:
    """Hashes of the n-grams of each text, in text order; a text with fewer than n words has none.

    Returns:
        (hashes, offsets): shape (G,), and shape (D + 1,) as in Words.
    """
    counts = np.maximum(np.diff(words.offsets) - (n - 1), 0)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    if not offsets[-1]:
        return np.empty(0, np.uint64), offsets
    num_windows = len(words.hashes) - n + 1
    grams = words.hashes[:num_windows].copy()
    base = np.uint64(_GRAM_BASE)
    for shift in range(1, n):
        grams *= base
        grams += words.hashes[shift : shift + num_windows]
    return _mixed(grams)[_inside(words.offsets, n, num_windows)], offsets


def _inside(offsets: Numbers, n: int, num_windows: int) -> npt.NDArray[np.bool_]:
    """Which windows of n words lie within one text."""
    inside = np.ones(num_windows, dtype=bool)
    for back in range(1, n):
        cut = offsets[1:] - back
        inside[cut[(cut >= offsets[:-1]) & (cut < num_windows)]] = False
    return inside


def unique_shingles(texts: Sequence[bytes], *, n: int, rule: str) -> list[npt.NDArray[np.uint32]]:
    """The distinct n-grams of each text as sorted 32-bit hashes.

    32 bits suffice to compare two texts: m shingles against m give m^2 / 2^32 chance matches, 0.02 for 10,000 each.
    """
    found: list[npt.NDArray[np.uint32]] = []
    for start, end in blocks(texts):
        hashes, offsets = hash_ngrams(hash_words(texts[start:end], rule=rule), n)
        short = (hashes >> _SHIFT).astype(np.uint32)
        found += [np.unique(short[a:b]) for a, b in itertools.pairwise(offsets.tolist())]
    return found


def _mixed(hashes: Hashes) -> Hashes:
    """Spread every bit over the whole word (in place)."""
    hashes ^= hashes >> _SHIFT
    hashes *= _MIX
    hashes ^= hashes >> np.uint64(29)
    return hashes


@functools.cache
def _letters() -> bytes:
    """The translation of bytes: upper case to lower case, bytes that are in no word to 0."""
    table = bytearray(256)
    table[128:] = range(128, 256)
    for code in b"0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ":
        table[code] = bytes([code]).lower()[0]
    return bytes(table)


@functools.cache
def _masks() -> Hashes:
    """Mask of the first k bytes of eight, k = 0 to 8."""
    return np.array([(1 << (8 * k)) - 1 for k in range(9)], dtype=np.uint64)
