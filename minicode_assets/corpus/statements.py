"""Paraphrased statements: several short n-grams of one prompt or docstring close together, where no long one is."""

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import polars as pl

from minicode_assets.config import Contamination
from minicode_assets.corpus.postings import Postings, build_postings
from minicode_assets.corpus.shingles import Hashes, Numbers, Words, hash_ngrams

WINDOW_LENGTHS = 2
"""The n-grams stand within so many times the words that they take in the statement, from the first to the last."""

SHORT_WIDTH = 64
"""Statements with at most so wide a window are screened apart from others, which need more n-grams. Unit: words."""

Place = tuple[int, int, int, int]
"""Number of the statement, its different n-grams in the densest place, the first and the last word of that place."""


@dataclass(frozen=True)
class Statements:
    """The statements that are looked for.

    Attributes:
        ngrams: Their n-grams that are not trivially common.
        widths: How wide a window of words is looked at for each statement.
        least: So many different n-grams of each have to be found.
        screens: What tells at little cost that a text holds none.
    """

    ngrams: Postings
    widths: Mapping[int, int]
    least: Mapping[int, int]
    screens: tuple["Screen", "Screen"]


@dataclass(frozen=True)
class Screen:
    """What every text has that holds one of some statements: of the short ones, or of the long ones.

    Attributes:
        hashes: Distinct n-grams of these statements.
        least: So many different ones, at least,
        width: follow one another within so many words.
    """

    hashes: Hashes
    least: int
    width: int


def build_statements(ngrams: pl.DataFrame, *, params: Contamination) -> Statements:
    """Index prompts and docstrings.

    Args:
        ngrams: Columns hash, text and first (number of the first word): the n-grams that are looked for.
        params: The `contamination` section.
    """
    room = pl.col("first").max() - pl.col("first").min() + params.statement_words
    rows = ngrams.group_by("text").agg(pl.col("hash").n_unique(), room=room).rows()
    # Fewer can't cover so many words.
    share, fewest = params.min_statement_fraction, -(-params.min_statement_words // params.statement_words)
    least = {text: max(fewest, int(np.ceil(share * size))) for text, size, _ in rows}
    widths = {text: WINDOW_LENGTHS * room for text, _, room in rows}
    long = {text for text, width in widths.items() if width > SHORT_WIDTH}
    return Statements(
        build_postings(ngrams["hash"].to_numpy(), ngrams["text"].to_numpy()),
        widths,
        least,
        (_screen(least.keys() - long, ngrams, widths, least), _screen(long, ngrams, widths, least)),
    )


def _screen(texts: Set[int], ngrams: pl.DataFrame, widths: Mapping[int, int], least: Mapping[int, int]) -> Screen:
    hashes = ngrams.filter(pl.col("text").is_in(sorted(texts)))["hash"].unique().sort().to_numpy()
    width = max((widths[text] for text in texts), default=0)
    return Screen(hashes, min((least[text] for text in texts), default=1), width)


def find_statements(words: Words, statements: Statements, *, params: Contamination) -> list[Place]:
    """The statements that a text holds enough n-grams of, by number; `words` are that one text's."""
    matches, numbers = statements.ngrams.find(hash_ngrams(words, params.statement_words)[0])
    if not len(matches):
        return []
    texts, repeats = statements.ngrams.texts_of(numbers)
    starts, hashes = np.repeat(matches, repeats), np.repeat(numbers, repeats)
    found = []
    order = np.argsort(texts, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(texts[order])) + 1):
        text = int(texts[own[0]])
        most, first, last = _densest(starts[own], hashes[own], statements.widths[text])
        place = starts[own][first : last + 1]
        if most >= statements.least[text] and _num_covered(place, params) >= params.min_statement_words:
            found.append((text, most, int(place[0]), int(place[-1]) + params.statement_words - 1))
    return found


def _num_covered(starts: Numbers, params: Contamination) -> int:
    """How many words of the text the n-grams that start at these words cover."""
    gaps = np.diff(starts).clip(max=params.statement_words)
    return int(gaps.sum()) + params.statement_words


def _densest(starts: Numbers, hashes: Numbers, width: int) -> tuple[int, int, int]:
    """The most different hashes within `width` words: how many, the index of the first and that of the last one."""
    inside: Counter[int] = Counter()
    best, behind = (0, 0, 0), 0
    places, values = starts.tolist(), hashes.tolist()
    for number, (place, value) in enumerate(zip(places, values, strict=True)):
        inside[value] += 1
        while place - places[behind] > width:
            inside[values[behind]] -= 1
            if not inside[values[behind]]:
                del inside[values[behind]]
            behind += 1
        if len(inside) > best[0]:
            best = len(inside), behind, number
    return best
