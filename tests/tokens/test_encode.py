"""Examples as tokens: nothing lost, no rearranged part ever cut, files that fit never cut."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicode_assets.tokens.encode import ExampleEncoder, best_fill
from minicode_assets.tokens.format import Example, File
from minicode_assets.tokens.pieces import Encoded
from minicode_model.fim import restore, syntax_spans
from minicode_model.tokenizer import SPECIAL_TOKENS
from tests.tokens.corpora import encoded_file, library_files, small_tokenizer

SOURCES = [text for _, _, text in library_files("json", "html", "wsgiref")]
END, PREFIX, MIDDLE, SUFFIX = (
    SPECIAL_TOKENS.index(f"<{n}>") for n in ("|endoftext|", "fim_prefix", "fim_middle", "fim_suffix")
)
TEXTS = st.one_of(
    st.text(max_size=300),
    st.builds(
        lambda text, at, size: text[at : at + size],
        st.sampled_from(SOURCES),
        st.integers(0, 3000),
        st.integers(0, 4000),
    ),
    st.builds(
        lambda unit, count: unit * count, st.sampled_from(["é", "漢", "x", "\n", "🐍\n", " "]), st.integers(0, 600)
    ),
)
FILES = st.lists(
    st.builds(
        lambda number, path, text: encoded_file(f"{number:032x}", text, path=path),
        st.integers(0, 2**64),
        st.text(alphabet="abc/.é", max_size=80),
        TEXTS,
    ),
    min_size=1,
    max_size=5,
)


def encoder(seq_len: int = 96, line_padding_fraction: float = 0.001, fim_syntax_rate: float = 0.0) -> ExampleEncoder:
    return ExampleEncoder(
        small_tokenizer(),
        seq_len=seq_len,
        fim_spm_rate=0.5,
        fim_syntax_rate=fim_syntax_rate,
        line_padding_fraction=line_padding_fraction,
        seed=1,
    )


def pieces(encoded: Encoded) -> list[np.ndarray]:
    return np.split(encoded.tokens, np.cumsum(encoded.piece_lengths)[:-1])


def plain_bytes(example: Example, order: tuple[int, ...]) -> bytes:
    """What the example must read like once every part is put back in order."""
    text = b"" if example.repository is None else b"<repo_name>" + example.repository.encode()
    assert sorted(order) == list(range(len(example.files)))
    for file in (example.files[number] for number in order):
        path = b"" if example.repository is None else file.path.encode() + b"\n"
        text += b"<file_sep>" + path + small_tokenizer().decode(file.tokens)
    return text + b"<|endoftext|>"


def without_inner_ends(tokens: np.ndarray, num_inner: int) -> np.ndarray:
    """Drop the ends of rearranged parts in the middle of a file: all but the last."""
    ends = np.flatnonzero(tokens == END)[:-1]
    assert len(ends) <= num_inner
    return np.delete(tokens, ends)


@settings(max_examples=150)
@given(
    FILES, st.one_of(st.none(), st.text(max_size=20)), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([32, 96, 512])
)
def test_every_byte_is_there_once(files: list[File], name: str | None, fim_rate: float, seq_len: int) -> None:
    tokenizer, example = small_tokenizer(), Example("e", name, tuple(files), fim_rate)
    encoded = encoder(seq_len).encode(example)
    assert sum(encoded.piece_lengths) == len(encoded.tokens)
    assert all(0 < length <= seq_len for length in encoded.piece_lengths)
    restored = without_inner_ends(restore(tokenizer, encoded.tokens), encoded.num_psm + encoded.num_spm)
    assert tokenizer.decode(restored, show_special=True) == plain_bytes(example, encoded.file_order)
    for number, (start, length) in zip(encoded.file_order, encoded.file_ranges, strict=True):
        file = files[number]
        path = b"" if name is None else file.path.encode() + b"\n"
        ids = restore(tokenizer, encoded.tokens[start : start + length])
        assert tokenizer.decode(ids) == path + tokenizer.decode(file.tokens)
        assert tokenizer.decode(ids[:1], show_special=True) == b"<file_sep>"


@settings(max_examples=100)
@given(FILES, st.sampled_from([48, 128]))
def test_no_rearranged_part_is_ever_cut(files: list[File], seq_len: int) -> None:
    encoded = encoder(seq_len).encode(Example("e", "name", tuple(files), 1.0))
    for piece in pieces(encoded):
        marks = [token for token in piece.tolist() if token in (PREFIX, SUFFIX, MIDDLE)]
        assert marks == [PREFIX, SUFFIX, MIDDLE] * (len(marks) // 3)
    assert (encoded.tokens == PREFIX).sum() == encoded.num_psm + encoded.num_spm


@settings(max_examples=100)
@given(FILES, st.sampled_from([0.0, 1.0]), st.booleans())
def test_a_file_that_fits_is_never_cut(files: list[File], fim_rate: float, alone: bool) -> None:
    examples = (
        [Example("e", None, (file,), fim_rate) for file in files]
        if alone
        else [Example("e", None, tuple(files), fim_rate)]
    )
    for example in examples:
        encoded = encoder(96).encode(example)
        edges = set(np.cumsum(encoded.piece_lengths).tolist())
        cut_files = 0
        for number, (start, length) in zip(encoded.file_order, encoded.file_ranges, strict=True):
            needed = len(example.files[number].tokens) + (number == encoded.file_order[-1])
            cut = bool(edges & set(range(start + 1, start + length)))
            assert not (cut and needed <= 96)
            cut_files += cut
        assert cut_files == encoded.num_cut_files == encoded.num_long_files


def test_files_of_a_repository_fill_its_sequences() -> None:
    rng, text = np.random.default_rng(0), "".join(SOURCES)
    ends = np.cumsum(rng.integers(30, 900, len(text) // 465))
    texts = [text[start:stop] for start, stop in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]
    files = tuple(encoded_file(f"{i:032x}", text) for i, text in enumerate(texts))
    encoded = encoder(1024).encode(Example("e", None, files, 0.5))
    full = [length for length in encoded.piece_lengths if length >= 1024 - 16]
    assert len(full) > 0.9 * len(encoded.piece_lengths), "others fill the room of the last"
    assert encoded.num_cut_files == encoded.num_long_files == 0


@given(st.lists(st.integers(1, 30), max_size=9), st.integers(0, 60))
def test_no_choice_fills_the_room_better(lengths: list[int], room: int) -> None:
    places = best_fill(lengths, room)
    assert places == sorted(set(places))
    sums = {sum(some) for size in range(len(lengths) + 1) for some in itertools.combinations(lengths, size)}
    assert sum(lengths[place] for place in places) == max(total for total in sums if total <= room)


def test_no_character_is_cut() -> None:
    text = "".join(chr(0x4E00 + i * 37 % 20000) for i in range(2000))
    encoded = encoder(64).encode(Example("e", None, (encoded_file("0", text),), 0.5))
    assert encoded.num_cuts > 50
    assert encoded.num_psm + encoded.num_spm > 10
    for piece in pieces(encoded):
        small_tokenizer().decode(piece).decode()


@pytest.mark.parametrize("fim_rate", [0.0, 1.0])
def test_padding_buys_cuts_at_line_ends(fim_rate: float) -> None:
    example = Example("e", None, (encoded_file("0", "".join(SOURCES)),), fim_rate)
    thrifty, generous = (encoder(256, fraction).encode(example) for fraction in (0.0, 1.0))
    assert generous.num_line_cuts > 0.85 * generous.num_cuts
    assert thrifty.num_line_cuts < 0.3 * thrifty.num_cuts
    full = [length for length in thrifty.piece_lengths[:-1] if length >= 254]
    assert len(full) > 0.97 * len(thrifty.piece_lengths), "without padding to spend every piece is filled"


@pytest.mark.parametrize("text", ["".join(SOURCES).replace(" ", ""), "7" * 9000, " " * 90_000])
def test_rearranged_parts_fill_their_rooms_without_a_space_in_the_text(text: str) -> None:
    example = Example("x", None, (encoded_file("0" * 32, text[:90_000]),), 1.0)
    *rooms, _ = encoder(512, line_padding_fraction=0.0).encode(example).piece_lengths
    assert len(rooms) > 10
    assert sum(rooms) > 0.999 * 512 * len(rooms)


def test_shares_of_orders() -> None:
    files = tuple(encoded_file(f"{i:032x}", text) for i, text in enumerate(SOURCES * 5))
    encoded = encoder(256).encode(Example("e", None, files, 0.5))
    total = encoded.num_psm + encoded.num_spm
    parts = encoded.num_cuts + len(files)
    assert 0.4 < total / parts < 0.55
    assert 0.4 < encoded.num_psm / total < 0.6


def test_same_example_same_tokens_in_any_order() -> None:
    examples = [Example(str(i), "n", (encoded_file(f"{i:032x}", text),), 0.5) for i, text in enumerate(SOURCES)]
    first = encoder()
    tokens = [first.encode(example).tokens for example in examples]
    again = [encoder().encode(example).tokens for example in reversed(examples)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(tokens, again, strict=True))


def test_special_names_in_text_stay_text() -> None:
    text = "x = '<fim_prefix><fim_suffix><|endoftext|>'\n" * 30
    encoded = encoder().encode(Example("e", None, (encoded_file("0", text),), 0.0))
    assert (encoded.tokens <= len(SPECIAL_TOKENS)).sum() == 2
    assert small_tokenizer().decode(encoded.tokens) == text.encode()


@pytest.mark.parametrize(("seq_len", "least"), [(128, 0.3), (8192, 1.0)])
def test_middles_can_follow_the_syntax(seq_len: int, least: float) -> None:
    """In a whole file always; in a part of one where a span lies within the part (not in a docstring's, say)."""
    tokenizer, found, total = small_tokenizer(), 0, 0
    syntactic = ExampleEncoder(
        tokenizer, seq_len=seq_len, fim_spm_rate=0.0, fim_syntax_rate=1.0, line_padding_fraction=0.001, seed=1
    )
    for number, text in enumerate(text for text in SOURCES if len(text) < 12_000):
        example = Example("e", None, (encoded_file(f"{number:032x}", text),), 1.0)
        encoded = syntactic.encode(example)
        raw = text.encode()
        middles = {raw[low:high] for places in syntax_spans(raw).values() for low, high in places}
        for at in np.flatnonzero(encoded.tokens == MIDDLE):
            stop = at + int(np.argmax(encoded.tokens[at:] == END))
            found += tokenizer.decode(encoded.tokens[at:stop]) in middles
            total += 1
        restored = without_inner_ends(restore(tokenizer, encoded.tokens), encoded.num_psm)
        assert tokenizer.decode(restored) == raw
    assert total > 5
    assert found >= least * total, (found, total)
