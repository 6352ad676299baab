"""Stars against the definition itself: text by text in order of preference, every pair compared."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicode_assets.corpus import stars
from minicode_assets.corpus.minhash import ShingleSets, band_keys, exact_jaccard, shingle_sets, sketch
from minicode_assets.corpus.stars import Stars, build_buckets, find_stars


def prepared(texts: list[bytes]) -> tuple[np.ndarray, ShingleSets]:
    signatures, _ = sketch(texts, shingle_words=2, tokens="words", num_permutations=256, seed=7)
    return signatures, shingle_sets(texts, shingle_words=2, tokens="words")


def run(texts: list[bytes], min_jaccard: float) -> Stars:
    """One value a band: whatever shares a value is a candidate, so nothing similar is missed."""
    signatures, sets = prepared(texts)
    buckets = build_buckets(band_keys(signatures, num_bands=256, rows_per_band=1))
    return find_stars(buckets, signatures, sets, min_jaccard=min_jaccard, estimate_sigmas=8,
                      max_bucket_texts=10**6)  # fmt: skip


def by_definition(texts: list[bytes], min_jaccard: float) -> list[int]:
    _, sets = prepared(texts)
    kept: list[int] = []
    representatives = []
    for text in range(len(texts)):
        index = exact_jaccard(sets, np.full(len(kept), text), np.array(kept, dtype=np.int64))
        similar = [k for k, j in zip(kept, index, strict=True) if j >= min_jaccard]
        representatives.append(similar[0] if similar else text)
        if not similar:
            kept.append(text)
    return representatives


def drifting(seed: int, num_texts: int) -> list[bytes]:
    """Texts that drift away from one another, a few words at a time: chains, and several families."""
    rng = random.Random(seed)
    texts = []
    for _ in range(1 + num_texts // 12):
        words = [f"w{rng.randrange(10_000)}" for _ in range(60)]
        for _ in range(12):
            for place in rng.sample(range(60), rng.choice([0, 1, 3, 5])):
                words[place] = f"w{rng.randrange(10_000)}"
            texts.append(" ".join(words).encode())
    rng.shuffle(texts)
    return texts[:num_texts]


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), num_texts=st.integers(1, 40), min_jaccard=st.sampled_from([0.5, 0.7, 0.9]))
def test_stars_follow_the_definition(seed: int, num_texts: int, min_jaccard: float) -> None:
    texts = drifting(seed, num_texts)
    assert run(texts, min_jaccard).representative.tolist() == by_definition(texts, min_jaccard)


@pytest.mark.parametrize(("max_pairs", "max_batch"), [(1, 4), (50, 1), (1 << 21, 7)])
def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch, max_pairs: int, max_batch: int) -> None:
    texts = drifting(3, 60)
    whole = run(texts, 0.7)
    monkeypatch.setattr(stars, "MAX_PAIRS", max_pairs)
    monkeypatch.setattr(stars, "MAX_BATCH", max_batch)
    parts = run(texts, 0.7)
    assert np.array_equal(whole.representative, parts.representative)
    assert np.array_equal(whole.jaccard, parts.jaccard)


def test_every_dropped_text_is_similar_to_a_kept_one() -> None:
    texts = drifting(5, 80)
    found = run(texts, 0.7)
    dropped = np.flatnonzero(found.representative != np.arange(80))
    representatives = found.representative[dropped]
    assert len(dropped) > 10
    assert (found.representative[representatives] == representatives).all()
    _, sets = prepared(texts)
    assert (exact_jaccard(sets, dropped, representatives) >= 0.7).all()
    assert np.array_equal(found.jaccard[dropped], exact_jaccard(sets, dropped, representatives))


def test_a_chain_does_not_swallow_its_ends() -> None:
    words = [f"w{i}" for i in range(100)]
    chain = [" ".join(words[shift : shift + 60]).encode() for shift in range(0, 41, 5)]
    found = run(chain, 0.7)
    assert found.representative.tolist() == by_definition(chain, 0.7)
    assert set(found.representative.tolist()) == {0, 3, 6}


def test_many_copies_cost_one_comparison_each() -> None:
    found = run([b"the same words in every text of this list " * 3] * 400, 0.7)
    assert (found.representative == 0).all()
    assert found.num_verified == found.num_confirmed == 399


def test_common_boilerplate_costs_no_square_and_loses_no_duplicate() -> None:
    """Different texts, each half one licence and frame; every tenth has a near duplicate of its own."""
    rng = random.Random(4)
    frame = [f"frame{i}" for i in range(100)]
    texts, pairs = [], []
    for number in range(1500):
        own = [f"own{number}x{i}" for i in range(60)]
        texts.append(" ".join(frame + own).encode())
        if number % 10 == 0:
            own[rng.randrange(60)] = "edited"
            pairs.append((len(texts) - 1, len(texts)))
            texts.append(" ".join(frame + own).encode())
    signatures, _ = sketch(texts, shingle_words=5, tokens="words", num_permutations=256, seed=7)
    sets = shingle_sets(texts, shingle_words=5, tokens="words")
    buckets = build_buckets(band_keys(signatures, num_bands=42, rows_per_band=6))
    found = {
        limit: find_stars(buckets, signatures, sets, min_jaccard=0.7, estimate_sigmas=4, max_bucket_texts=limit)
        for limit in (64, 10**6)
    }
    assert found[64].representative.tolist() == found[10**6].representative.tolist()
    assert [(int(found[64].representative[right]), right) for _, right in pairs] == pairs
    assert found[64].num_crowded > 0 == found[10**6].num_crowded
    assert found[64].num_candidates * 2 < found[10**6].num_candidates


def test_nothing_to_compare() -> None:
    assert run([b"one text of its own"], 0.7).representative.tolist() == [0]
    empty = find_stars(
        build_buckets(np.empty((4, 0), np.uint64)),
        np.empty((0, 8), np.uint32),
        shingle_sets([], shingle_words=2, tokens="words"),
        min_jaccard=0.7,
        estimate_sigmas=4,
        max_bucket_texts=64,
    )
    assert empty.representative.size == 0
