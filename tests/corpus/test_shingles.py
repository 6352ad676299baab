"""Word and n-gram hashes against Python's own re and sets."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.corpus.shingles import RULES, blocks, hash_ngrams, hash_words, unique_shingles

CODE = st.text(st.sampled_from('abAB_9 \n\t.,()="#é\x00'), max_size=80)
LONG = st.integers(1, 40).map(lambda n: "x1Yz" * n)


def tokens_of(text: str, rule: str) -> list[str]:
    if rule == "stack_v2":
        return re.split(r"[^0-9a-z_é]", text.lower())
    return re.findall(r"[0-9a-z_é]+", text.lower())


def same_partition(hashes: list[int], names: list[object]) -> bool:
    """Equal hashes exactly where the names are equal."""
    pairs = set(zip(hashes, names, strict=True))
    return len(pairs) == len(set(hashes)) == len(set(names))


@pytest.mark.parametrize("rule", RULES)
@given(texts=st.lists(st.one_of(CODE, LONG, st.tuples(CODE, LONG, CODE).map("".join)), max_size=6))
def test_words_are_those_of_re(rule: str, texts: list[str]) -> None:
    words = hash_words([t.encode() for t in texts], rule=rule)
    expected = [tokens_of(t, rule) for t in texts]
    assert np.diff(words.offsets).tolist() == [len(e) for e in expected]
    assert same_partition(words.hashes.tolist(), [w for e in expected for w in e])


@pytest.mark.parametrize("n", [1, 2, 5])
@given(texts=st.lists(CODE, max_size=6))
def test_ngrams_stay_within_their_text(n: int, texts: list[str]) -> None:
    hashes, offsets = hash_ngrams(hash_words([t.encode() for t in texts], rule="words"), n)
    expected = []
    for text in texts:
        words = tokens_of(text, "words")
        expected.append([tuple(words[i : i + n]) for i in range(len(words) - n + 1)])
    assert np.diff(offsets).tolist() == [len(e) for e in expected]
    assert same_partition(hashes.tolist(), [g for e in expected for g in e])


@given(texts=st.lists(CODE, max_size=8), block_bytes=st.integers(1, 100))
def test_blocks_cover_all_texts_once(texts: list[str], block_bytes: int) -> None:
    encoded = [t.encode() for t in texts]
    cuts = list(blocks(encoded, block_bytes=block_bytes))
    assert [i for start, end in cuts for i in range(start, end)] == list(range(len(encoded)))
    whole, _ = hash_ngrams(hash_words(encoded, rule="words"), 2)
    parts = [hash_ngrams(hash_words(encoded[a:b], rule="words"), 2)[0] for a, b in cuts]
    assert np.array_equal(whole, np.concatenate([np.empty(0, np.uint64), *parts]))


@pytest.mark.parametrize("length", [7, 8, 9, 16, 63, 64, 65, 200])
def test_the_last_letter_of_a_word_counts(length: int) -> None:
    words = [b"a" * length, b"a" * (length - 1) + b"b", b"a" * (length + 1), b"A" * length]
    first, last, longer, upper = hash_words([b" ".join(words)], rule="words").hashes.tolist()
    assert first == upper
    assert len({first, last, longer}) == 3


def test_unique_shingles_are_sorted_sets() -> None:
    repeated, once = unique_shingles([b"a b c d e " * 5, b"a b c d e"], n=5, rule="words")
    assert len(repeated) == 5
    assert len(once) == 1
    assert (np.diff(repeated.astype(np.int64)) > 0).all()
    assert once[0] in repeated
