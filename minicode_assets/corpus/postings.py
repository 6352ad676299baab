"""Hashes and the texts that they stand in: a sorted table that is asked for millions of hashes at a time."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minicode_assets.corpus.minhash import ranges
from minicode_assets.corpus.shingles import Hashes, Numbers

_FILTER_BITS = 20


@dataclass(frozen=True)
class Postings:
    """Hashes, and for each the benchmark texts that it stands in.

    Attributes:
        hashes: Sorted, distinct, shape (H,).
        texts: Text numbers, hash after hash, ascending and distinct within a hash.
        offsets: Hash h stands in texts[offsets[h] : offsets[h + 1]].
        present: Whether any hash starts with these bits; a table of 2^20, which answers most questions.
    """

    hashes: Hashes
    texts: Numbers
    offsets: Numbers
    present: npt.NDArray[np.bool_]

    def find(self, hashes: Hashes) -> tuple[Numbers, Numbers]:
        """Positions in `hashes` of those that are here, and their numbers here."""
        maybe = np.flatnonzero(self.present[hashes >> np.uint64(64 - _FILTER_BITS)])
        if not maybe.size or not self.hashes.size:
            return maybe[:0], maybe[:0]
        numbers = np.searchsorted(self.hashes, hashes[maybe]).clip(max=len(self.hashes) - 1)
        here = self.hashes[numbers] == hashes[maybe]
        return maybe[here], numbers[here]

    def texts_of(self, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """Texts of each hash number in turn, and how many each has."""
        members, counts = ranges(self.offsets[numbers], np.diff(self.offsets)[numbers])
        return self.texts[members], counts


def build_postings(hashes: Hashes, texts: Numbers) -> Postings:
    """A table of hash-text pairs, in any order, repeats included."""
    order = np.lexsort((texts, hashes))
    hashes, texts = hashes[order], texts[order]
    new = np.ones(len(hashes), dtype=bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (texts[1:] != texts[:-1])
    hashes, texts = hashes[new], texts[new]
    distinct, counts = np.unique(hashes, return_counts=True)
    present = np.zeros(1 << _FILTER_BITS, dtype=bool)
    present[distinct >> np.uint64(64 - _FILTER_BITS)] = True
    return Postings(distinct, texts, np.concatenate(([0], np.cumsum(counts))), present)
