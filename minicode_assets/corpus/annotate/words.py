"""Words and lines of a text, and how they repeat. Source: RedPajama's and OpenCoder's measures, curation.md 1b."""

from dataclasses import dataclass

from minicode_assets.corpus import native


@dataclass(frozen=True, slots=True)
class Words:
    """Measures of the words (runs without white space) of one text. All fractions are of the words' characters, 0..1.

    Attributes:
        num_words: Words.
        mean_word_length: Characters; 0 without words.
        long_word_fraction: In words longer than 20 characters.
        top_ngram_fractions: In the most frequent 2-, 3- and 4-gram, all its occurrences together; of several that are
            equally frequent the longest counts.
        duplicate_ngram_fractions: In words covered by a 5-, 6- or 10-gram that occurs more than once. Coverage falls
            as n grows, so OpenCoder's rules for n = 6..9 with one threshold are the rule for n = 6.
    """

    num_words: int
    mean_word_length: float
    long_word_fraction: float
    top_ngram_fractions: tuple[float, float, float]
    duplicate_ngram_fractions: tuple[float, float, float]


NO_WORDS = Words(0, 0.0, 0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Lines:
    """How the lines of one text repeat, white space at their ends left out. Shares are of those with a word, 0..1.

    Attributes:
        num_filled: Lines that are not blank.
        duplicate_fraction: Lines that repeat an earlier one.
        repeated_fraction: Lines that have an equal one, each copy counted as OpenCoder does: twice one is 2 of 2.
    """

    num_filled: int
    duplicate_fraction: float
    repeated_fraction: float


def count_words(text: str, *, long_word_length: int) -> Words:
    """Measure the words of a text.

    Args:
        text: Any text.
        long_word_length: Words with more characters are long.
    """
    num_words, total, long, *top, five, six, ten = native.words_of(text, long_word_length)
    if not num_words:
        return NO_WORDS
    two, three, four = (min(1.0, top[k] * top[k + 1] / total) for k in (0, 2, 4))
    return Words(
        num_words=num_words,
        mean_word_length=total / num_words,
        long_word_fraction=long / total,
        top_ngram_fractions=(two, three, four),
        duplicate_ngram_fractions=(five / total, six / total, ten / total),
    )


def count_lines(text: str) -> Lines:
    """Measure the lines of a text."""
    counted, distinct, repeated, filled = native.lines_of(text)
    return Lines(filled, 1 - distinct / counted if counted else 0.0, repeated / max(counted, 1))
