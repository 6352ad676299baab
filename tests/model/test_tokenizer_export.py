"""Hugging Face's tokenizers and transformers read the export and give our ids."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicode_model.tokenizer import SPECIAL_TOKENS
from minicode_model.tokenizer_export import export_tokenizer, tokenizer_json
from tests.tokens.corpora import library_files, small_tokenizer

tokenizers = pytest.importorskip("tokenizers", reason="the dev extra brings tokenizers")
ODD = [
    "\n",
    "\t",
    "\r\n",
    "\f",
    "\0",
    " ",
    "     ",
    "\u2581",
    "\u2585",
    "é",
    "漢字",
    "🐍",
    "def ",
    "self.",
    "<0x0A>",
    "▁a",
]
CODE = (
    st.lists(st.one_of(st.sampled_from(ODD), st.text(max_size=5)), max_size=30)
    .map("".join)
    .filter(lambda text: not any(name in text for name in SPECIAL_TOKENS))
)
"""Without the names of special tokens, which Hugging Face takes for them: the one documented difference."""


@pytest.fixture(scope="module")
def theirs() -> "tokenizers.Tokenizer":
    return tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json(small_tokenizer())))


@pytest.mark.parametrize("package", ["wsgiref", "json", "encodings", "lib2to3"])
def test_ids_are_identical_on_files(theirs: "tokenizers.Tokenizer", package: str) -> None:
    for _, _, text in library_files(package):
        ids = theirs.encode(text).ids
        assert ids == small_tokenizer().encode(text).tolist()
        assert theirs.decode(ids) == text


@settings(max_examples=200)
@given(text=CODE)
def test_ids_are_identical_on_odd_text(theirs: "tokenizers.Tokenizer", text: str) -> None:
    ids = theirs.encode(text).ids
    assert ids == small_tokenizer().encode(text).tolist()
    assert theirs.decode(ids) == text


@pytest.mark.slow
def test_transformers_loads_the_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the dev extra brings transformers")
    export_tokenizer(small_tokenizer(), tmp_path, max_length=512)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(theirs) == small_tokenizer().vocab_size
    assert theirs.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(34))
    assert (theirs.eos_token_id, theirs.pad_token_id, theirs.model_max_length) == (0, 4, 512)
    for _, _, text in library_files("wsgiref"):
        ids = theirs(text)["input_ids"]
        assert ids == small_tokenizer().encode(text).tolist()
        assert theirs.decode(ids) == text


@pytest.mark.slow
def test_special_names_in_text_are_text_when_asked(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the dev extra brings transformers")
    export_tokenizer(small_tokenizer(), tmp_path, max_length=512)
    text = "x = '<fim_prefix><|endoftext|>'\n"
    untrusted = transformers.AutoTokenizer.from_pretrained(tmp_path, split_special_tokens=True)
    assert untrusted(text)["input_ids"] == small_tokenizer().encode(text).tolist()
    trusted = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert 1 in trusted(text)["input_ids"]


def test_same_tokenizer_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        export_tokenizer(small_tokenizer(), tmp_path / name, max_length=512)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
