"""Byte-exactness for anything, and SentencePiece's own ids as the oracle."""

import copy
import dataclasses
import shutil
import struct
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.tokens.train import train_tokenizer
from minicode_model import merges
from minicode_model.artifact import write_artifact
from minicode_model.errors import CorruptArtifactError, MissingArtifactError, TokenizerError
from minicode_model.tokenizer import FIRST_TEXT_ID, SPECIAL_TOKENS, Tokenizer, text_bytes
from tests.tokens.corpora import SMALL_TOKENIZER, library_files, small_home, small_tokenizer

ODD = [
    "\n",
    "\t",
    "\r\n",
    "\r",
    "\f",
    "\0",
    " ",
    "    ",
    "\u2581",
    "\u2585",
    "é",
    "漢字",
    "🐍",
    "def ",
    "self.",
    "0123",
]
PIECES = st.sampled_from([*ODD, *SPECIAL_TOKENS])
CODE = st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=30).map("".join)


@given(st.one_of(st.binary(max_size=200), CODE.map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_any_bytes_come_back(raw: bytes) -> None:
    tokenizer = small_tokenizer()
    ids = tokenizer.encode(raw)
    assert tokenizer.decode(ids) == raw
    assert ids.dtype == np.uint16
    assert ids.flags.writeable
    assert not len(ids) or ids.min() >= FIRST_TEXT_ID


@given(st.text(alphabet=st.characters(codec=None), max_size=100))
def test_any_string_comes_back_lone_surrogates_included(text: str) -> None:
    tokenizer = small_tokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text_bytes(text)


@given(CODE)
def test_string_and_bytes_give_the_same_ids(text: str) -> None:
    tokenizer = small_tokenizer()
    assert np.array_equal(tokenizer.encode(text), tokenizer.encode(text.encode("utf-8", "surrogatepass")))


@given(CODE)
def test_stream_gives_the_same_text_without_broken_characters(text: str) -> None:
    tokenizer = small_tokenizer()
    raw = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()
    stream = tokenizer.stream()
    parts = [stream.push(token) for token in tokenizer.encode(raw).tolist()] + [stream.flush()]
    assert "".join(parts).encode() == raw
    assert raw.count("\ufffd".encode()) == sum(part.count("\ufffd") for part in parts)


def test_stream_ends_in_a_replacement_character_when_cut() -> None:
    tokenizer = small_tokenizer()
    stream = tokenizer.stream()
    assert [stream.push(token) for token in tokenizer.encode(b"\xe2\x96")] == ["", ""]
    assert stream.flush() == "\ufffd"


@pytest.mark.parametrize("package", ["json", "wsgiref", "encodings", "lib2to3"])
def test_ids_equal_sentencepieces(package: str) -> None:
    tokenizer = small_tokenizer()
    oracle = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    texts = [text for _, _, text in library_files(package) if "\u2581" not in text]
    assert texts
    for text in texts:
        assert tokenizer.encode(text).tolist() == oracle.encode(text)


@given(CODE.filter(lambda text: "\u2581" not in text))
def test_ids_equal_sentencepieces_on_odd_text(text: str) -> None:
    tokenizer = small_tokenizer()
    text = text.encode("utf-8", "replace").decode()
    oracle = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    assert tokenizer.encode(text).tolist() == oracle.encode(text)


RUNS = st.lists(st.tuples(st.sampled_from([*ODD, "-", "e", "se", "lf", "\U0010ffff"]), st.integers(1, 40)), max_size=9)


@given(RUNS, st.integers(1, 40))
def test_blocks_of_any_size_give_the_ids_of_the_whole_text(runs: list[tuple[str, int]], size: int) -> None:
    text = "".join(part * count for part, count in runs)
    expected = small_tokenizer().encode(text)
    tokenizer = copy.copy(small_tokenizer())
    with (
        mock.patch.multiple(merges, _LONG_TEXT=1, _BLOCK_BYTES=size),
        mock.patch.object(tokenizer._merges, "_overlap", 8),
    ):
        assert np.array_equal(tokenizer.encode(text), expected)


def test_special_tokens_are_never_produced_from_text() -> None:
    tokenizer = small_tokenizer()
    for index, name in enumerate(SPECIAL_TOKENS):
        assert tokenizer.special(name) == index
        ids = tokenizer.encode(f"x = {name}\n")
        assert ids.min() >= FIRST_TEXT_ID
        assert tokenizer.decode(ids) == f"x = {name}\n".encode()
    assert len(SPECIAL_TOKENS) == 34


def test_special_tokens_decode_to_nothing_or_to_their_names() -> None:
    tokenizer = small_tokenizer()
    ids = np.concatenate([[6], tokenizer.encode("a"), [0]])
    assert tokenizer.decode(ids) == b"a"
    assert tokenizer.decode(ids, show_special=True) == b"<file_sep>a<|endoftext|>"
    assert tokenizer.num_bytes(ids) == 1


def test_a_batch_on_any_number_of_threads_gives_the_same_ids() -> None:
    texts = [text for _, _, text in library_files("json")] + ["", "é\u2581", "\udc80"]
    alone = [small_tokenizer().encode(text) for text in texts]
    for num_threads in (1, 2, 3):
        batch = small_tokenizer().encode_batch(texts, num_threads=num_threads)
        assert all(np.array_equal(a, b) for a, b in zip(alone, batch, strict=True))


NASTY = {
    "every special token": "".join(SPECIAL_TOKENS) * 3,
    "the space of SentencePiece": "a\u2581b \u2581\u2581 c",
    "lone surrogates": "\ud800 \udfff\udc80 x",
    "line ends": "a\rb\r\nc\fd\x85e\u2028f\0",
    "no line": "x1_é" * 50_000,
    "no space": "AbC9+/" * 40_000,
    "nothing but spaces": " " * 200_000,
    "all planes and bytes that are no UTF-8": "".join(map(chr, range(0xFF00, 0x110000, 5))) + "\U0010ffff\udcff\udc80",
    "unassigned and private": "\u0378\ufdd0minicode\ufdd0\ue000\U0010ffff\uffff",
    "what NFKC would change": "ﬁ Å e\u0301 ½ ﾊﾟ ㎏ \u00a0\u3000\u200b",
}


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
def test_nasty_texts_come_back_and_make_no_special_token(text: str) -> None:
    ids = small_tokenizer().encode(text)
    assert ids.min() >= FIRST_TEXT_ID
    assert small_tokenizer().decode(ids) == text_bytes(text)


def added_pieces(*pieces: tuple[str, float]) -> bytes:
    """The small model with more pieces: Protocol Buffers append repeated fields by plain concatenation."""
    added = b""
    for text, score in pieces:
        fields = b"\x0a" + bytes([len(text.encode())]) + text.encode() + b"\x15" + struct.pack("<f", score)
        added += b"\x0a" + bytes([len(fields)]) + fields
    return small_tokenizer().model + added


@pytest.mark.parametrize(
    "pieces", [[("qxzj", -10_000.0)], [("qx", -10_000.0), ("zj", -10_000.0)], [("qx", -10_000.0), ("qxé", -10_001.0)]]
)
def test_a_model_that_the_compiled_engine_cannot_express_is_encoded_exactly(pieces: list[tuple[str, float]]) -> None:
    """A piece without a way to it, two of equal score; and, for comparison, pieces that are well made."""
    tokenizer = Tokenizer(added_pieces(*pieces))
    oracle = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    for text in ("qxzj", "aqxzjqx zj", "qxé qx é", "x = qxzj(é)\n" * 9):
        assert tokenizer.encode(text).tolist() == oracle.encode(text)
    assert tokenizer.decode(tokenizer.encode("qx\u2581zj")) == "qx\u2581zj".encode()


def test_added_special_tokens_have_the_last_ids_and_never_come_from_text(tmp_path: Path) -> None:
    params = dataclasses.replace(SMALL_TOKENIZER, extra_special_tokens=("<reponame>", "<gh_stars>"))
    train_tokenizer(small_home() / "corpus", tmp_path / "tokenizer", params=params, config_digest="")
    tokenizer = Tokenizer.load(tmp_path / "tokenizer")
    assert tokenizer.vocab_size == SMALL_TOKENIZER.vocab_size
    assert [tokenizer.special(name) for name in ("<fim_prefix>", "<reponame>", "<gh_stars>")] == [1, 698, 699]
    ids = tokenizer.encode("<reponame><gh_stars>")
    assert FIRST_TEXT_ID <= ids.min() <= ids.max() < 698
    marked = np.concatenate([[698], ids, [699]]).astype(np.uint16)
    assert tokenizer.decode(marked, show_special=True) == b"<reponame><reponame><gh_stars><gh_stars>"
    assert tokenizer.num_bytes(marked) == len(b"<reponame><gh_stars>")


def test_unknown_special_token_lists_the_known() -> None:
    with pytest.raises(TokenizerError, match=r"'<fim>' is unknown; known: .*<fim_prefix>"):
        small_tokenizer().special("<fim>")


@pytest.mark.parametrize("ids", [[-1], [700], [65535]])
def test_foreign_ids_are_refused(ids: list[int]) -> None:
    with pytest.raises(TokenizerError, match="expected 0 to 699"):
        small_tokenizer().decode(ids)


def train_plain(**options: object) -> bytes:
    import io

    buffer = io.BytesIO()
    texts = [text for _, _, text in library_files("json")]
    settings = {"model_type": "bpe", "vocab_size": 700, "minloglevel": 2, "hard_vocab_limit": False, **options}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(texts), model_writer=buffer, **settings)
    return buffer.getvalue()


def test_a_model_without_our_special_tokens_is_refused() -> None:
    with pytest.raises(TokenizerError, match=r"token 0: found .*unk.*expected .*endoftext"):
        Tokenizer(train_plain())


def test_a_model_whose_pieces_cross_spaces_is_refused() -> None:
    options = {
        "byte_fallback": True,
        "unk_id": 34,
        "bos_id": -1,
        "eos_id": -1,
        "control_symbols": list(SPECIAL_TOKENS),
        "split_by_whitespace": False,
    }
    with pytest.raises(TokenizerError, match="expected a normal piece without a space inside"):
        Tokenizer(train_plain(**options))


def test_a_file_that_is_no_model_is_refused() -> None:
    with pytest.raises(TokenizerError, match=r"here: found 7 bytes that SentencePiece can't read"):
        Tokenizer(b"garbage", where="here")


def test_loading_checks_the_artefact(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError):
        Tokenizer.load(tmp_path / "absent")
    folder = tmp_path / "tokenizer"
    shutil.copytree(small_home() / "tokenizer", folder)
    model = folder / "tokenizer.model"
    raw = bytearray(model.read_bytes())
    raw[len(raw) // 2] ^= 1
    model.write_bytes(raw)
    with pytest.raises(CorruptArtifactError, match="sha256"):
        Tokenizer.load(folder)


def test_loading_an_artefact_without_a_model(tmp_path: Path) -> None:
    with write_artifact(tmp_path / "tokenizer", name="tokenizer", config_digest="", inputs={}) as writer:
        (writer.path / "other").write_text("x")
    with pytest.raises(CorruptArtifactError, match=r"lists no file 'tokenizer\.model'"):
        Tokenizer.load(tmp_path / "tokenizer")


def test_pieces_that_join_letters_and_punctuation_are_encoded_exactly_too(tmp_path: Path) -> None:
    params = dataclasses.replace(SMALL_TOKENIZER, split_by_unicode_script=False)
    train_tokenizer(small_home() / "corpus", tmp_path / "tokenizer", params=params, config_digest="")
    tokenizer = Tokenizer.load(tmp_path / "tokenizer")
    assert "self." in {piece.strip("\u2581") for piece, _, _ in tokenizer.pieces}
    oracle = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    for _, _, text in library_files("html", "wsgiref"):
        assert tokenizer.encode(text).tolist() == oracle.encode(text)
