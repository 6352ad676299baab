"""Words of a text and how much of it repeats. Source: RedPajama's and OpenCoder's measures, curation.md 1b."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

Numbers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
_HEX_WORD = r"(?:\b0[xX]|\\x)[0-9a-fA-F]{2,}\b|\b[0-9a-fA-F]{8,}\b"
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
    ends = np.concatenate(([0], np.cumsum(lengths)))
    top, covered = {}, {}
    starts, grams = np.arange(len(words)), hashes
    for shorter, n in pairwise((1, 2, 3, 4, 5, 6, 10)):
        starts, grams = _lengthen(starts, grams, hashes, shorter, n)
        starts, grams, most, weight = _repeated(starts, grams, ends, n)
        top[n] = min(1.0, most * weight / total)
        covered[n] = _covered(starts, ends, n) / total
    return Words(
        num_words=len(words),
        mean_word_length=total / len(words),
        long_word_fraction=int(lengths[lengths > long_word_length].sum()) / total,
        top_ngram_fractions=(top[2], top[3], top[4]),
        duplicate_ngram_fractions=(covered[5], covered[6], covered[10]),
    )


def line_repetition(lines: list[str]) -> tuple[float, float]:
    """Shares of the lines with a word in them, 0..1: those that repeat an earlier one, and those with any equal one.

    White space at the ends is left out. The second counts every copy, as OpenCoder does: twice the same line is 2 of 2.
    """
    counts = Counter(line for line in map(str.strip, lines) if len(line) > 1)
    total = max(counts.total(), 1)
    return 1 - len(counts) / total if counts else 0.0, sum(n for n in counts.values() if n > 1) / total


def count_hex_words(texts: pl.Series) -> pl.Series:
    """Hexadecimal numbers in each text: with a prefix, or runs of 8 digits and more; null for null."""
    return texts.str.count_matches(_HEX_WORD)


def _lengthen(starts: Numbers, grams: Hashes, hashes: Hashes, shorter: int, n: int) -> tuple[Numbers, Hashes]:
    """Candidates for repeated n-grams: starts at which every run of `shorter` words within n is repeated.

    Args:
        starts: Positions of the repeated shorter n-grams, ascending.
        grams: Their hashes.
        hashes: Hash of every word.
        shorter: Words in the shorter n-grams.
        n: Words in the longer ones.
    """
    step = n - shorter
    within = starts + n <= len(hashes)
    if shorter > 1:
        # n - shorter + 1 consecutive starts: the one `step` further on in the list is `step` further on in the text.
        consecutive = np.zeros(starts.size, dtype=bool)
        consecutive[: max(0, starts.size - step)] = starts[step:] - starts[: max(0, starts.size - step)] == step
        within &= consecutive
    starts, grams = starts[within], grams[within]
    for word in range(shorter, n):
        grams = grams * _MULTIPLIER + hashes[starts + word]
    return starts, grams


def _repeated(starts: Numbers, grams: Hashes, ends: Numbers, n: int) -> tuple[Numbers, Hashes, int, int]:
    """Keep n-grams that occur more than once: (starts, hashes, how often the most frequent occurs, its characters).

    Of several that are equally frequent the longest counts; (.., .., 0, 0) when none is repeated.
    """
    order = np.argsort(grams)
    ordered = grams[order]
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))[: starts.size]
    counts = np.diff(first, append=starts.size)
    most = int(counts.max(initial=0))
    if most < 2:
        return starts[:0], grams[:0], 0, 0
    frequent = starts[order[first[counts == most]]]
    weight = int((ends[frequent + n] - ends[frequent]).max())
    kept = np.sort(order[np.repeat(counts > 1, counts)])
    return starts[kept], grams[kept], most, weight


def _covered(starts: Numbers, ends: Numbers, n: int) -> int:
    """Characters of the words inside n-grams that begin at `starts` (ascending); overlaps count once."""
    if not starts.size:
        return 0
    stops = np.minimum(starts + n, np.append(starts[1:], starts[-1] + n))
    return int((ends[stops] - ends[starts]).sum())
