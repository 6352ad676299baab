"""A stretch of a text has the ids that it would have alone: encoding it alone is the oracle."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from minicode_assets.tokens.text import EncodedText
from tests.tokens.corpora import library_files, small_tokenizer

TEXTS = st.one_of(
    st.text(alphabet=" \na_é漢🐍(\u2581\udc80", max_size=60),
    st.builds(
        lambda text, at: text[at : at + 300],
        st.sampled_from([text for _, _, text in library_files("json")]),
        st.integers(0, 5000),
    ),
)


@settings(max_examples=300)
@given(TEXTS, st.floats(0, 1), st.floats(0, 1))
def test_a_stretch_is_encoded_as_if_alone(text: str, first: float, second: float) -> None:
    tokenizer = small_tokenizer()
    encoded = EncodedText(tokenizer, tokenizer.encode(text))
    low, high = sorted((round(first * len(encoded.raw)), round(second * len(encoded.raw))))
    assert np.array_equal(encoded.between(low, high), tokenizer.encode(encoded.raw[low:high]))


@settings(max_examples=100)
@given(TEXTS)
def test_bytes_and_tokens_map_to_each_other(text: str) -> None:
    tokenizer = small_tokenizer()
    encoded = EncodedText(tokenizer, tokenizer.encode(text))
    assert encoded.raw == tokenizer.decode(tokenizer.encode(text))
    places = [encoded.byte_at(token) for token in range(len(encoded) + 1)]
    assert places[0] == 0
    assert places[-1] == len(encoded.raw)
    assert [encoded.token_at(byte) for byte in places] == list(range(len(encoded) + 1))
    for byte in range(len(encoded.raw) + 1):
        assert places[encoded.token_at(byte)] == min(place for place in places if place >= byte)
    assert encoded.characters(0, len(encoded)).encode("utf-8", "surrogateescape") == encoded.raw


def test_characters_are_not_split() -> None:
    encoded = EncodedText(small_tokenizer(), small_tokenizer().encode("漢字" * 20))
    for last in range(5, len(encoded) + 1):
        encoded.raw[: encoded.byte_at(encoded.character_start(0, last))].decode()
