"""What is looked for in documents: the n-grams and whole texts of benchmarks, as sorted hashes.

Trivially common texts are left out by rule (see the `contamination` section), where other pipelines keep lists by hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from minicode_assets.config import Contamination
from minicode_assets.corpus.minhash import ranges
from minicode_assets.corpus.postings import Postings, build_postings
from minicode_assets.corpus.shapes import Shapes, build_shapes
from minicode_assets.corpus.shingles import Hashes, Numbers, Words, hash_ngrams, hash_words
from minicode_assets.corpus.statements import Statements, build_statements

ANCHOR_WORDS = 5
"""Consecutive words of a whole text whose presence makes a document worth a closer look."""
_WINDOWS_A_STEP = 1 << 18


@dataclass(frozen=True)
class Needles:
    """Everything that is looked for.

    Attributes:
        squeezed: Each benchmark text in lower case without white space, or empty where it is trivially common.
        anchors: An n-gram of ANCHOR_WORDS from the inside of each text that is looked for as a whole.
        short: N-grams of `ngram_words` that are not trivially common.
        long: N-grams of `long_ngram_words`, likewise; each begins with one of the short ones.
        statements: N-grams of `statement_words` of prompts and docstrings, of which several close together count.
        shapes: Runs of tokens of the solutions, whatever their names.
    """

    squeezed: Sequence[bytes]
    anchors: Postings
    short: Postings
    long: Postings
    statements: Statements
    shapes: Shapes


def build_needles(
    texts: Sequence[str], problems: Sequence[int], *, params: Contamination, solutions: Sequence[int] = ()
) -> Needles:
    """Index benchmark texts.

    Args:
        texts: Prompts, docstrings and solutions.
        problems: Number of the problem that each belongs to.
        solutions: Numbers of the texts that are code, whose shapes are looked for.
        params: The `contamination` section.
    """
    encoded = [text.encode() for text in texts]
    words = hash_words(encoded, rule="words")
    spoken = _spoken(encoded, words)
    cuts = zip(encoded, words.offsets[:-1].tolist(), words.offsets[1:].tolist(), strict=True)
    squeezed = [_needle(text, spoken[start:end], params) for text, start, end in cuts]
    limits = (
        (params.ngram_words, params.min_distinct_words),
        (params.long_ngram_words, params.min_distinct_words),
        (params.statement_words, params.min_statement_distinct_words),
    )
    short, long, said = (_ngrams(words, spoken, np.asarray(problems), *limit, params) for limit in limits)
    long = long.filter(np.isin(long["first"], short["first"]))
    said = said.filter(~np.isin(said["text"], solutions))
    return Needles(
        squeezed,
        _anchors(words, [bool(needle) for needle in squeezed]),
        build_postings(short["hash"].to_numpy(), short["text"].to_numpy()),
        build_postings(long["hash"].to_numpy(), long["text"].to_numpy()),
        build_statements(said, params=params),
        build_shapes(texts, solutions, problems, params=params),
    )


def squeeze(text: bytes) -> bytes:
    """A text in lower case without white space (ASCII)."""
    return b"".join(text.lower().split())


def _spoken(texts: Sequence[bytes], words: Words) -> Hashes:
    """The hashes of the words of two letters or more; 0 for numbers and single letters, which say little."""
    first_letters = np.frombuffer(b"\n".join([b"", *texts, b""]), np.uint8)[words.starts]
    is_number = (first_letters >= ord("0")) & (first_letters <= ord("9"))
    return np.where(is_number | (words.ends - words.starts < 2), np.uint64(0), words.hashes)


def _needle(text: bytes, spoken: Hashes, params: Contamination) -> bytes:
    """The text to look for as a whole; empty when it is trivially common, or too short to have an anchor inside."""
    squeezed = squeeze(text)
    distinct = len(set(spoken.tolist()) - {0})
    long_enough = len(squeezed) >= params.min_needle_characters and len(spoken) >= ANCHOR_WORDS + 2
    return squeezed if long_enough and distinct >= params.min_distinct_words else b""


def _anchors(words: Words, wanted: Sequence[bool]) -> Postings:
    """The longest n-gram inside each wanted text: its first and last word may be part of a longer one."""
    grams, offsets = hash_ngrams(words, ANCHOR_WORDS)
    starts = words.offsets[:-1]
    hashes, texts = [], []
    for text in np.flatnonzero(wanted).tolist():
        inner = np.arange(1, offsets[text + 1] - offsets[text] - 1)
        first = starts[text] + inner
        letters = words.ends[first + ANCHOR_WORDS - 1] - words.starts[first]
        hashes.append(grams[offsets[text] + inner[np.argmax(letters)]])
        texts.append(text)
    return build_postings(np.array(hashes, dtype=np.uint64), np.array(texts, dtype=np.int64))


def _ngrams(words: Words, spoken: Hashes, problems: Numbers, n: int, least: int, params: Contamination) -> pl.DataFrame:
    """Hash, text and first (number of the first word) of the n-grams that are not trivially common.

    `least` is how many different words an n-gram needs.
    """
    grams, offsets = hash_ngrams(words, n)
    counts = np.diff(offsets)
    texts = np.repeat(np.arange(words.num_texts), counts)
    firsts, _ = ranges(words.offsets[:-1], counts)
    common = _num_problems(grams, problems[texts]) > params.max_problems
    good = (_num_distinct(spoken, firsts, n) >= least) & ~common
    return pl.DataFrame({"hash": grams[good], "text": texts[good], "first": firsts[good]})


def _num_distinct(spoken: Hashes, firsts: Numbers, n: int) -> Numbers:
    """How many different values but 0 each window of n has."""
    found = np.zeros(len(firsts), dtype=np.int64)
    for start in range(0, len(firsts), _WINDOWS_A_STEP):
        cut = slice(start, start + _WINDOWS_A_STEP)
        ordered = np.sort(spoken[firsts[cut, None] + np.arange(n)], axis=1)
        found[cut] = np.count_nonzero(ordered[:, 1:] != ordered[:, :-1], axis=1) + (ordered[:, 0] > 0)
    return found


def _num_problems(grams: Hashes, problems: Numbers) -> Numbers:
    """In how many different problems each n-gram stands, n-gram by n-gram (repeats included)."""
    pairs = pl.DataFrame({"gram": grams, "problem": problems})
    return pairs.select(pl.col("problem").n_unique().over("gram").cast(pl.Int64)).to_series().to_numpy()
