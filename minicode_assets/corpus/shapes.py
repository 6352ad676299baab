"""Shapes of code: runs of tokens that stay the same when names are changed, so that a renamed solution is found.

A token is a word or an operator; parentheses, commas, quotes and white space don't count, so that another formatting
doesn't either. Keywords, builtins, attributes and numbers stand for themselves; any other word is a name, of which only
matters where in the run it stood before. Candidates are found by a hash that takes all names for one; the pattern of
the names proves them.
"""

import builtins
import functools
import keyword
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minicode_assets.config import Contamination
from minicode_assets.corpus.postings import Postings, build_postings
from minicode_assets.corpus.shingles import Hashes, Words, hash_ngrams, hash_words

_OPERATORS = b".:=+-*/%<>!&|^~@[]{}"
_COMMENTS = re.compile(r"#[^\n]*|\"\"\".*?\"\"\"|'''.*?'''", re.DOTALL)
_NAME = np.uint64(0x9E3779B97F4A7C15)
_OPERATOR_BASE = 0xD1B54A32D192ED03

Pattern = tuple[int, ...]
"""Of each token of a run: the number of its name in order of appearance, or -1."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of several texts.

    Attributes:
        codes: What each token stands for, all names being one, and where the texts begin and end, as in Words.
        names: The hash of each name, 0 for other tokens.
    """

    codes: Words
    names: Hashes


@dataclass(frozen=True)
class Shapes:
    """The shapes that are looked for.

    Attributes:
        size: Tokens a run.
        runs: Hashes of runs, with the texts that have them.
        patterns: For each hash the patterns of names that it stands with, and the texts that have them.
    """

    size: int
    runs: Postings
    patterns: Mapping[int, Mapping[Pattern, frozenset[int]]]


def build_shapes(
    texts: Sequence[str], solutions: Sequence[int], problems: Sequence[int], *, params: Contamination
) -> Shapes:
    """Index the shapes of solutions, as they are and without comments; trivially common ones are left out by rule."""
    size = params.shape_tokens
    found: dict[int, dict[Pattern, set[int]]] = defaultdict(lambda: defaultdict(set))
    for number in solutions if size else ():
        for code in {texts[number], _COMMENTS.sub(" ", texts[number])}:
            tokens = tokenise([code.encode()])
            for run, first in zip(hash_ngrams(tokens.codes, size)[0].tolist(), range(len(tokens.names)), strict=False):
                if _says_enough(tokens, first, params):
                    found[run][pattern_of(tokens.names[first : first + size])].add(number)
    patterns = {
        run: {pattern: frozenset(texts) for pattern, texts in kinds.items() if _is_rare(texts, problems, params)}
        for run, kinds in found.items()
    }
    pairs = [(run, text) for run, kinds in patterns.items() for texts in kinds.values() for text in texts]
    hashes = np.array([run for run, _ in pairs], dtype=np.uint64)
    return Shapes(size, build_postings(hashes, np.array([text for _, text in pairs], dtype=np.int64)), patterns)


def _is_rare(texts: set[int], problems: Sequence[int], params: Contamination) -> bool:
    return len({problems[text] for text in texts}) <= params.max_problems


def _says_enough(tokens: Tokens, first: int, params: Contamination) -> bool:
    """Whether a run has so many different keywords, builtins and attributes, and two names."""
    run = slice(first, first + params.shape_tokens)
    is_word = tokens.codes.ends[run] > tokens.codes.starts[run] + 1
    spoken = is_word & (tokens.names[run] == 0)
    num_names = len(set(tokens.names[run].tolist()) - {0})
    return len(set(tokens.codes.hashes[run][spoken].tolist())) >= params.min_shape_words and num_names >= 2


def tokenise(texts: Sequence[bytes]) -> Tokens:
    """The tokens of a block of texts."""
    words = hash_words(texts, rule="words")
    block = np.frombuffer(b"\n".join([b"", *texts, b""]), np.uint8)
    first_letters = block[words.starts]
    is_number = (first_letters >= ord("0")) & (first_letters <= ord("9"))
    is_name = ~(is_number | (block[words.starts - 1] == ord(".")) | _is_stable(words.hashes))
    is_operator = _operator_bytes()[block]
    codes = np.zeros(len(block), dtype=np.uint64)
    places = np.flatnonzero(is_operator)
    codes[places] = (block[places].astype(np.uint64) + np.uint64(1)) * np.uint64(_OPERATOR_BASE)
    codes[words.starts] = np.where(is_name, _NAME, words.hashes | np.uint64(1))
    starts = np.flatnonzero(codes)
    ends, names = starts + 1, np.zeros(len(starts), dtype=np.uint64)
    at = np.searchsorted(starts, words.starts)
    ends[at], names[at] = words.ends, np.where(is_name, words.hashes | np.uint64(1), np.uint64(0))
    text_ends = np.cumsum(np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts)))
    offsets = np.concatenate(([0], np.searchsorted(starts, text_ends, side="right")))
    return Tokens(Words(codes[starts], offsets, starts, ends), names)


def pattern_of(names: Hashes) -> Pattern:
    """Number the names of a run in order of appearance; -1 for what is none."""
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(name, len(numbers)) if name else -1 for name in names.tolist())


def find_shapes(text: bytes, shapes: Shapes) -> list[tuple[int, int, int, int]]:
    """Solutions with runs of the text's tokens: (text number, number of runs, first byte, byte after the last)."""
    if not shapes.runs.hashes.size:
        return []
    tokens = tokenise([text])
    matches, numbers = shapes.runs.find(hash_ngrams(tokens.codes, shapes.size)[0])
    places: dict[int, list[int]] = defaultdict(list)
    for first, number in zip(matches.tolist(), numbers.tolist(), strict=True):
        kinds = shapes.patterns[int(shapes.runs.hashes[number])]
        for solution in kinds.get(pattern_of(tokens.names[first : first + shapes.size]), ()):
            places[solution].append(first)
    starts, ends = tokens.codes.starts, tokens.codes.ends
    return [
        (solution, len(firsts), int(starts[firsts[0]]) - 1, int(ends[firsts[-1] + shapes.size - 1]) - 1)
        for solution, firsts in sorted(places.items())
    ]


def runs_of(shapes: Shapes) -> tuple[int, Hashes, Hashes, bytes]:
    """What tells a text with a run of any solution, names apart: size and hashes of runs, stable words, operators."""
    return shapes.size if shapes.runs.hashes.size else 0, shapes.runs.hashes, _stable(), _OPERATORS


def _is_stable(hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Which words are keywords or builtins: most are not, which a table of their first bits tells."""
    maybe: npt.NDArray[np.bool_] = _stable_bits()[hashes >> np.uint64(48)]
    maybe[maybe] = np.isin(hashes[maybe], _stable())
    return maybe


@functools.cache
def _stable_bits() -> npt.NDArray[np.bool_]:
    table = np.zeros(1 << 16, dtype=bool)
    table[_stable() >> np.uint64(48)] = True
    return table


@functools.cache
def _stable() -> Hashes:
    """Hashes of keywords and builtins, in lower case as all words."""
    words = sorted({*keyword.kwlist, *keyword.softkwlist, *dir(builtins)} - {"_"})
    return np.unique(hash_words([" ".join(words).encode()], rule="words").hashes)


@functools.cache
def _operator_bytes() -> npt.NDArray[np.bool_]:
    table = np.zeros(256, dtype=bool)
    table[list(_OPERATORS)] = True
    return table
