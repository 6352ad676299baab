"""The texts of the SPDX licence list: found again word for word by digest, or nearly by their pairs of words.

`spdx_texts.tsv.xz` holds a licence a line: identifier, tab, normalised words without copyright lines. Source: the SPDX
License List (December 2025, CC0-1.0); of licences with one text, such as `-only` and `-or-later`, the first.
"""

import functools
import hashlib
import lzma
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minicode_assets.corpus.annotate.license_texts import Match, normalise

TEXTS = Path(__file__).with_suffix(".tsv.xz")
_COPYRIGHT = re.compile(r"^[ \t#*/;.>-]*(?:portions )?(?:copyright\b|\(c\)|©)[^\n]*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class KnownTexts:
    """All texts of the list.

    Attributes:
        names: SPDX identifiers, sorted.
        by_digest: Identifier by the digest of its words.
        pairs: Hashes of the distinct word pairs of every text, one text after the other.
        owner: The text of each, as its place in `names`.
        num_pairs: Distinct word pairs of each text.
    """

    names: list[str]
    by_digest: dict[bytes, str]
    pairs: npt.NDArray[np.int64]
    owner: npt.NDArray[np.int64]
    num_pairs: npt.NDArray[np.int64]


def significant_words(text: str) -> list[str]:
    """The words of a licence text that are the licence: without mark-up, punctuation and copyright lines."""
    return normalise(_COPYRIGHT.sub(" ", text))


def copyright_lines(text: str) -> str:
    """The lines that `significant_words` leaves out."""
    return "\n\n".join(match[0] for match in _COPYRIGHT.finditer(text))


def exact_match(words: list[str]) -> Match | None:
    """The licence whose text has exactly these words; null when there is none."""
    spdx = known_texts().by_digest.get(_digest(words))
    return Match(spdx, 1.0) if spdx else None


def similarities(words: list[str]) -> dict[str, float]:
    """How similar each licence's text is: Dice's coefficient of the sets of word pairs, 0..1, by identifier."""
    known = known_texts()
    found = _pair_hashes(words)
    shared = np.bincount(known.owner[np.isin(known.pairs, found)], minlength=len(known.names))
    scores = 2 * shared / (known.num_pairs + max(found.size, 1))
    return dict(zip(known.names, scores.tolist(), strict=True))


@functools.cache
def known_texts() -> KnownTexts:
    """Read the list, once a process."""
    lines = lzma.decompress(TEXTS.read_bytes()).decode().splitlines()
    rows = [(name, text.split()) for name, _, text in (line.partition("\t") for line in lines)]
    pairs = [_pair_hashes(words) for _, words in rows]
    sizes = np.array([len(hashes) for hashes in pairs])
    return KnownTexts(
        names=[name for name, _ in rows],
        by_digest={_digest(words): name for name, words in rows},
        pairs=np.concatenate(pairs),
        owner=np.repeat(np.arange(len(rows)), sizes),
        num_pairs=sizes,
    )


def pack_texts(texts: Mapping[str, str]) -> bytes:
    """The bytes of `spdx_texts.tsv.xz` for licence texts by SPDX identifier."""
    by_words: dict[str, str] = {}
    for name in sorted(texts):
        by_words.setdefault(" ".join(significant_words(texts[name])), name)
    lines = [f"{name}\t{words}\n" for words, name in by_words.items()]
    return lzma.compress("".join(lines).encode(), preset=9 | lzma.PRESET_EXTREME)


def _digest(words: list[str]) -> bytes:
    return hashlib.blake2b(" ".join(words).encode(), digest_size=16).digest()


def _pair_hashes(words: list[str]) -> npt.NDArray[np.int64]:
    """Distinct word pairs, hashed as this process does: only equality counts, so every run finds the same."""
    return np.array(sorted(set(map(hash, pairwise(words)))), dtype=np.int64)
