"""Fingerprints: few n-grams of a text, chosen so that any long enough passage that two texts share is noticed.

Of each run of `window` consecutive n-grams the one with the least hash is kept ("winnowing"): a shared passage of
n + window - 1 words has a whole such run in common, and so a fingerprint. Source: Schleimer, Wilkerson and Aiken,
Winnowing: Local Algorithms for Document Fingerprinting, SIGMOD 2003.
"""

from collections.abc import Sequence

import numpy as np

from minicode_assets.corpus.shingles import Hashes, Numbers, blocks, hash_ngrams, hash_words


def fingerprint(texts: Sequence[bytes], *, ngram_words: int, window: int) -> tuple[Hashes, Numbers]:
    """The fingerprints of texts.

    Args:
        texts: UTF-8.
        ngram_words: Words an n-gram; a text with fewer has none.
        window: N-grams a run.

    Returns:
        (hashes, numbers): each fingerprint with the number of its text, ascending, distinct within a text.
    """
    hashes, numbers = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for start, end in blocks(texts):
        grams, offsets = hash_ngrams(hash_words(texts[start:end], rule="words"), ngram_words)
        owners = np.repeat(np.arange(start, end), np.diff(offsets))
        least, first = _least(grams, owners, window)
        order = np.lexsort((least, first))
        least, first = least[order], first[order]
        new = np.ones(len(least), dtype=bool)
        new[1:] = (least[1:] != least[:-1]) | (first[1:] != first[:-1])
        hashes.append(least[new])
        numbers.append(first[new])
    return np.concatenate(hashes), np.concatenate(numbers)


def _least(grams: Hashes, owners: Numbers, window: int) -> tuple[Hashes, Numbers]:
    """The least n-gram of each run that begins in a text, cut at the text's end unless a longer one stands for it."""
    least = grams.copy()
    for shift in range(1, window):
        same = owners[shift:] == owners[:-shift]
        np.minimum(least[:-shift], grams[shift:], out=least[:-shift], where=same)
    whole = np.zeros(len(owners), dtype=bool)
    if len(owners) >= window:
        whole[: len(owners) - window + 1] = owners[window - 1 :] == owners[: len(owners) - window + 1]
    first = np.ones(len(owners), dtype=bool)
    first[1:] = owners[1:] != owners[:-1]
    chosen = whole | first
    return least[chosen], owners[chosen]
