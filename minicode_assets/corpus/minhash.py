"""MinHash signatures and their bands, and the exact Jaccard index of pairs: arrays only.

Signatures come from rensa's full-set sketch, which looks at every shingle; its sampled `rho` variants find a tenth of
the near duplicates (curation.md, headline 3) and are never used here.
"""

import itertools
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from minicode_assets.corpus.shingles import Hashes, Numbers, blocks, hash_ngrams, hash_words, unique_shingles

Signatures = npt.NDArray[np.uint32]
ALGORITHM_VERSION: int = RMinHash.ALGORITHM_VERSION
"""Version of the sketch: signatures of different versions can't be compared."""
PAIR_SHINGLES = 1 << 22
"""Shingles that are compared at a time; bounds the memory of `exact_jaccard` to some 100 MB."""
_PAIRS_A_STEP = 4096
_MIX = np.uint64(0x9E3779B97F4A7C15)


def sketch(
    texts: Sequence[bytes], *, shingle_words: int, tokens: str, num_permutations: int, seed: int
) -> tuple[Signatures, Numbers]:
    """Signatures of texts.

    Args:
        texts: UTF-8.
        shingle_words: Words a shingle.
        tokens: One of shingles.RULES.
        num_permutations: Values a signature.
        seed: Seed of the sketch.

    Returns:
        (signatures, num_words): shape (D, num_permutations), and (D,); the row of a text with fewer words than a
        shingle means nothing.
    """
    parts, counts = [np.empty((0, num_permutations), np.uint32)], [np.empty(0, np.int64)]
    for start, end in blocks(texts):
        words = hash_words(texts[start:end], rule=tokens)
        hashes, offsets = hash_ngrams(words, shingle_words)
        parts.append(_sketch_flat(hashes, offsets, num_permutations, seed))
        counts.append(np.diff(words.offsets))
    return np.concatenate(parts), np.concatenate(counts)


def _sketch_flat(hashes: Hashes, offsets: Numbers, num_permutations: int, seed: int) -> Signatures:
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        hashes, offsets.astype(np.uintp), num_perm=num_permutations, seed=seed
    )
    rows = b"".join(array("I", row).tobytes() for row in matrix.to_rows())
    return np.frombuffer(rows, dtype=np.uint32).reshape(-1, num_permutations)


def band_keys(signatures: Signatures, *, num_bands: int, rows_per_band: int) -> Hashes:
    """One 64-bit key a band and text, shape (num_bands, D): texts with an equal key in a band are candidates."""
    keys = np.zeros((num_bands, len(signatures)), dtype=np.uint64)
    for row in range(rows_per_band):
        keys *= _MIX
        keys += signatures[:, row : num_bands * rows_per_band : rows_per_band].T
        keys ^= keys >> np.uint64(29)
    return keys


def estimate_jaccard(signatures: Signatures, left: Numbers, right: Numbers) -> npt.NDArray[np.float64]:
    """Share of equal values in the signatures of each pair (left[p], right[p]), 0..1."""
    estimates: npt.NDArray[np.float64] = np.empty(len(left))
    for start in range(0, len(left), _PAIRS_A_STEP):
        cut = slice(start, start + _PAIRS_A_STEP)
        equal = signatures[left[cut]] == signatures[right[cut]]
        estimates[cut] = np.count_nonzero(equal, axis=1)
    estimates /= signatures.shape[1]
    return estimates


@dataclass(frozen=True)
class ShingleSets:
    """The distinct shingles of texts, one text after the other in any order; may lie in a file.

    Attributes:
        hashes: Sorted within each text, 32 bits each, shape (S,).
        starts: Text d has the sizes[d] hashes from starts[d] on.
        sizes: Distinct shingles of each text.
    """

    hashes: npt.NDArray[np.uint32]
    starts: Numbers
    sizes: Numbers


def shingle_sets(texts: Sequence[bytes], *, shingle_words: int, tokens: str) -> ShingleSets:
    """The distinct shingles of texts, in memory."""
    sets = unique_shingles(texts, n=shingle_words, rule=tokens)
    sizes = np.array([len(hashes) for hashes in sets], dtype=np.int64)
    return ShingleSets(np.concatenate([np.empty(0, np.uint32), *sets]), np.cumsum(sizes) - sizes, sizes)


def exact_jaccard(sets: ShingleSets, left: Numbers, right: Numbers) -> npt.NDArray[np.float64]:
    """|A and B| / |A or B| of the shingle sets of each pair, 0..1; 0 for two empty sets.

    Shingles are compared by 32 bits, so a shingle counts as common by chance with probability |B| / 2^32.
    """
    totals = sets.sizes[left] + sets.sizes[right]
    common = np.zeros(len(left), dtype=np.int64)
    cuts = np.searchsorted(np.cumsum(totals), np.arange(PAIR_SHINGLES, totals.sum() + PAIR_SHINGLES, PAIR_SHINGLES))
    for start, end in itertools.pairwise(np.unique([0, *cuts + 1, len(left)]).clip(max=len(left))):
        common[start:end] = _num_common(sets, left[start:end], right[start:end])
    indices: npt.NDArray[np.float64] = np.zeros(len(left))
    np.divide(common, totals - common, out=indices, where=totals > common)
    return indices


def _num_common(sets: ShingleSets, left: Numbers, right: Numbers) -> Numbers:
    """Sort (pair, shingle) of both sides together: a common shingle stands twice in a row."""
    both = np.stack([left, right], axis=1).ravel()
    members, counts = ranges(sets.starts[both], sets.sizes[both])
    pairs = np.repeat(np.arange(len(both), dtype=np.uint64) >> np.uint64(1), counts)
    packed = (pairs << np.uint64(32)) | sets.hashes[members]
    packed.sort()
    twice = packed[1:][packed[1:] == packed[:-1]] >> np.uint64(32)
    return np.bincount(twice.astype(np.int64), minlength=len(left))


def ranges(starts: Numbers, counts: Numbers) -> tuple[Numbers, Numbers]:
    """The indices starts[k], starts[k] + 1, ... (counts[k] of them) for each k in turn, and counts.

    Returns:
        (indices, counts): shape (sum of counts,), and counts as given.
    """
    total = int(counts.sum())
    before = np.cumsum(counts) - counts
    return np.arange(total) + np.repeat(starts - before, counts), counts
