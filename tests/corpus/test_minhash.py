"""Signatures and Jaccard indices against sets and against datasketch."""

import random
import re

import numpy as np
import pytest
from datasketch import MinHash, MinHashLSH
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.config import load
from minicode_assets.corpus import minhash
from minicode_assets.corpus.minhash import band_keys, estimate_jaccard, exact_jaccard, shingle_sets, sketch

PERMUTATIONS = 256


def shingles_of(text: bytes) -> set[bytes]:
    words = re.findall(rb"\w+", text.lower())
    return {b" ".join(words[i : i + 5]) for i in range(len(words) - 4)}


def jaccard(a: set[bytes], b: set[bytes]) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def near_copies(seed: int, num_words: int, num_edits: int) -> tuple[bytes, bytes]:
    """Two texts that differ in some words."""
    rng = random.Random(seed)
    words = [f"w{rng.randrange(10_000)}" for _ in range(num_words)]
    edited = list(words)
    for place in rng.sample(range(num_words), num_edits):
        edited[place] = f"e{rng.randrange(10_000)}"
    return " ".join(words).encode(), " ".join(edited).encode()


@pytest.fixture(scope="module")
def pairs() -> list[tuple[bytes, bytes]]:
    """120 pairs over the whole range of similarity."""
    return [near_copies(seed, 200 + seed, seed % 24) for seed in range(120)]


def signed(texts: list[bytes]) -> np.ndarray:
    return sketch(texts, shingle_words=5, tokens="words", num_permutations=PERMUTATIONS, seed=1)[0]


WORDS = st.text(st.sampled_from("abcdef"), max_size=40).map(lambda letters: " ".join(letters).encode())


@given(texts=st.lists(WORDS, min_size=1, max_size=5), pair_shingles=st.sampled_from([1, 40, 1 << 22]))
def test_exact_jaccard_is_that_of_sets(texts: list[bytes], pair_shingles: int) -> None:
    left, right = (np.arange(len(texts) ** 2) // len(texts), np.arange(len(texts) ** 2) % len(texts))
    expected = [jaccard(shingles_of(texts[i]), shingles_of(texts[j])) for i, j in zip(left, right, strict=True)]
    former, minhash.PAIR_SHINGLES = minhash.PAIR_SHINGLES, pair_shingles
    try:
        found = exact_jaccard(shingle_sets(texts, shingle_words=5, tokens="words"), left, right)
    finally:
        minhash.PAIR_SHINGLES = former
    assert found.tolist() == expected


def test_estimates_are_as_good_as_theory(pairs: list[tuple[bytes, bytes]]) -> None:
    signatures = signed([text for pair in pairs for text in pair])
    left = np.arange(0, 2 * len(pairs), 2)
    errors = estimate_jaccard(signatures, left, left + 1) - [jaccard(*map(shingles_of, pair)) for pair in pairs]
    assert abs(errors.mean()) < 0.01
    assert np.sqrt((errors**2).mean()) < 1.2 * 0.5 / np.sqrt(PERMUTATIONS)


def test_candidates_are_as_complete_as_datasketch(pairs: list[tuple[bytes, bytes]]) -> None:
    similar = [pair for pair in pairs if jaccard(*map(shingles_of, pair)) >= 0.7]
    signatures = signed([text for pair in similar for text in pair])
    keys = band_keys(signatures, num_bands=42, rows_per_band=6)
    ours = (keys[:, ::2] == keys[:, 1::2]).any(axis=0).sum()
    theirs = 0
    for first, second in similar:
        lsh = MinHashLSH(num_perm=PERMUTATIONS, params=(42, 6))
        sketches = []
        for text in (first, second):
            sketches.append(MinHash(num_perm=PERMUTATIONS))
            sketches[-1].update_batch(sorted(shingles_of(text)))
        lsh.insert("first", sketches[0])
        theirs += lsh.query(sketches[1]) == ["first"]
    assert len(similar) > 30
    assert ours >= theirs - 1
    assert ours >= 0.97 * len(similar)


def test_refinecodes_bands_find_what_theory_says() -> None:
    """2048 values as 16 x 128: 1 - (1 - J^128)^16, so that only all but equal texts are candidates."""
    near_dup = load("tiny", {"curation": "opencoder"}).near_dup
    bands = {"num_bands": near_dup.num_bands, "rows_per_band": near_dup.rows_per_band}
    assert (near_dup.num_permutations, *bands.values()) == (2048, 16, 128)
    pairs = [near_copies(seed, 1200, seed % 6) for seed in range(96)]
    texts = [text for pair in pairs for text in pair]
    signatures, _ = sketch(texts, shingle_words=5, tokens="words", num_permutations=2048, seed=near_dup.seed)
    found = (band_keys(signatures, **bands)[:, ::2] == band_keys(signatures, **bands)[:, 1::2]).any(axis=0)
    chances = np.array([1 - (1 - jaccard(*map(shingles_of, pair)) ** 128) ** 16 for pair in pairs])
    assert chances.min() < 0.6
    assert found[chances == 1].all()
    assert abs(found.sum() - chances.sum()) < 4 * np.sqrt((chances * (1 - chances)).sum())


def test_band_keys_agree_where_all_rows_agree() -> None:
    signatures = np.array([[1, 2, 3, 4, 9], [1, 2, 3, 5, 9], [2, 1, 3, 4, 9]], dtype=np.uint32)
    keys = band_keys(signatures, num_bands=2, rows_per_band=2)
    assert keys.shape == (2, 3)
    assert (keys[0] == keys[0, 0]).tolist() == [True, True, False]
    assert (keys[1] == keys[1, 0]).tolist() == [True, False, True]


def test_signatures_do_not_depend_on_their_neighbours(pairs: list[tuple[bytes, bytes]]) -> None:
    texts = [text for pair in pairs[:10] for text in pair]
    together, alone = signed(texts), np.concatenate([signed([text]) for text in texts])
    assert np.array_equal(together, alone)


def test_counts_words_of_short_and_empty_texts() -> None:
    texts = [b"", b"a b c", b"a b c d e"]
    signatures, num_words = sketch(texts, shingle_words=5, tokens="words", num_permutations=16, seed=1)
    assert signatures.shape == (3, 16)
    assert num_words.tolist() == [0, 3, 5]
    assert sketch([], shingle_words=5, tokens="words", num_permutations=16, seed=1)[0].shape == (0, 16)
