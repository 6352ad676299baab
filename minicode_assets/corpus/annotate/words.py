"""Words of a text and how much of it repeats. Source: RedPajama's and OpenCoder's measures, curation.md 1b."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
_HEX_WORD = re.compile(
    r"\b(?:0[xX]|\\x)[0-9a-fA-F]{2,}\b|\b(?=[0-9a-fA-F]*[0-9])(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,}\b"
)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Words:
    """Measures of the words (runs without white space) of one text. All fractions are of the words' characters, 0..1.

    Attributes:
        num_words: Words.
        mean_word_length: Characters; 0 without words.
        long_word_fraction: In words longer than 20 characters.
        top_ngram_fractions: In the most frequent 2-, 3- and 4-gram, all its occurrences together.
        duplicate_ngram_fractions: In words covered by a 5-, 6- or 10-gram that occurs more than once. Coverage falls
            as n grows, so OpenCoder's rules for n = 6..9 with one threshold are the rule for n = 6.
    """

    num_words: int
    mean_word_length: float
    long_word_fraction: float
    top_ngram_fractions: tuple[float, float, float]
    duplicate_ngram_fractions: tuple[float, float, float]


NO_WORDS = Words(0, 0.0, 0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def count_words(text: str, *, long_word_length: int) -> Words:
    """Measure the words of a text.

    Args:
        text: Any text.
        long_word_length: Words with more characters are long.
    """
    words = text.split()
    if not words:
        return NO_WORDS
    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    total = int(lengths.sum())
    # Equality is all that counts, so Python's own (salted) string hash gives the same figures in every run.
    hashes = np.fromiter(map(hash, words), dtype=np.int64, count=len(words)).view(np.uint64)
    grams = {1: hashes}
    for n in range(2, 11):
        grams[n] = _extend(grams[n - 1], hashes, n)
    return Words(
        num_words=len(words),
        mean_word_length=total / len(words),
        long_word_fraction=int(lengths[lengths > long_word_length].sum()) / total,
        top_ngram_fractions=(
            _top_fraction(grams[2], lengths, 2, total),
            _top_fraction(grams[3], lengths, 3, total),
            _top_fraction(grams[4], lengths, 4, total),
        ),
        duplicate_ngram_fractions=_duplicate_fractions(grams, lengths, total),
    )


def duplicate_line_fraction(lines: list[str]) -> float:
    """Share of the lines with a word in them that repeat an earlier line, 0..1; white space at the ends is left out."""
    stripped = [line for line in map(str.strip, lines) if len(line) > 1]
    return 1 - len(set(stripped)) / len(stripped) if stripped else 0.0


def hex_word_fraction(text: str, num_words: int) -> float:
    """Share of words that are hexadecimal numbers (with a prefix, or 8 digits with both kinds), at most 1."""
    return min(1.0, sum(1 for _ in _HEX_WORD.finditer(text)) / num_words) if num_words else 0.0


def _extend(shorter: npt.NDArray[np.uint64], hashes: npt.NDArray[np.uint64], n: int) -> npt.NDArray[np.uint64]:
    """Hashes of the n-grams from those of the (n-1)-grams; empty when there are fewer than n words."""
    if len(hashes) < n:
        return hashes[:0]
    return shorter[: len(hashes) - n + 1] * _MULTIPLIER + hashes[n - 1 :]


def _window_sums(lengths: Numbers, n: int) -> Numbers:
    sums = np.concatenate(([0], np.cumsum(lengths)))
    return sums[n:] - sums[:-n]


def _top_fraction(grams: npt.NDArray[np.uint64], lengths: Numbers, n: int, total: int) -> float:
    if not grams.size:
        return 0.0
    _, first, counts = np.unique(grams, return_index=True, return_counts=True)
    repeated = counts > 1
    if not repeated.any():
        return 0.0
    weight = counts[repeated] * _window_sums(lengths, n)[first[repeated]]
    most = counts[repeated] == counts.max()
    return min(1.0, int(weight[most].max()) / total)


def _duplicate_fractions(
    grams: dict[int, npt.NDArray[np.uint64]], lengths: Numbers, total: int
) -> tuple[float, float, float]:
    """Coverage for n = 5, 6 and 10; no work for larger n once a smaller one has none."""
    fractions: list[float] = []
    for n in (5, 6, 10):
        done = fractions and fractions[-1] == 0.0
        fractions.append(0.0 if done else _duplicate_fraction(grams[n], lengths, n, total))
    return fractions[0], fractions[1], fractions[2]


def _duplicate_fraction(grams: npt.NDArray[np.uint64], lengths: Numbers, n: int, total: int) -> float:
    if grams.size < 2:
        return 0.0
    order = np.argsort(grams, kind="stable")
    same = grams[order][1:] == grams[order][:-1]
    repeated = np.zeros(grams.size, dtype=bool)
    repeated[order[1:][same]] = True
    repeated[order[:-1][same]] = True
    starts = np.flatnonzero(repeated)
    if not starts.size:
        return 0.0
    edges = np.zeros(lengths.size + 1, dtype=np.int64)
    np.add.at(edges, starts, 1)
    np.add.at(edges, starts + n, -1)
    return int(lengths[np.cumsum(edges[:-1]) > 0].sum()) / total
