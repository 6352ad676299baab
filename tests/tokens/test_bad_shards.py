"""What a person meets when the input is wrong: which file, what was found and expected, and a command that exists."""

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from minicode_assets.cli import build_parser
from minicode_assets.config import EncodedDocuments
from minicode_assets.errors import MinicodeError
from minicode_assets.tokens.encoded import encode_corpus
from minicode_assets.tokens.train import train_tokenizer
from minicode_assets.tokens.write import write_token_shards
from minicode_model.shards import open_split
from tests.tokens.corpora import SMALL_SHARDS, SMALL_TOKENIZER, library_files, small_encoded, small_home, write_corpus
from tests.tokens.test_write import write

ROW = next(row for row in library_files("logging") if row[1] == "logging/handlers.py")


def train(folder: Path, rows: list[tuple[str, str, str]]) -> None:
    corpus = write_corpus(folder / "corpus", rows, [])
    train_tokenizer(corpus, folder / "tokenizer", params=SMALL_TOKENIZER, config_digest="")


def shards(folder: Path) -> Path:
    return write(folder).path


def pack_nothing(folder: Path) -> None:
    corpus = write_corpus(folder / "corpus", [], [])
    encoded = encode_corpus(corpus, small_home() / "tokenizer", folder / "encoded", params=EncodedDocuments())
    tokenizer, out = small_home() / "tokenizer", folder / "token_shards"
    write_token_shards(encoded, tokenizer, out, params=SMALL_SHARDS, config_digest="")


def pack_with_another_tokenizer(folder: Path) -> None:
    params = dataclasses.replace(SMALL_TOKENIZER, vocab_size=600)
    train_tokenizer(small_home() / "corpus", folder / "tokenizer", params=params, config_digest="")
    write_token_shards(small_encoded(), folder / "tokenizer", folder / "x", params=SMALL_SHARDS, config_digest="")


def truncate(folder: Path) -> None:
    path = shards(folder) / "train" / "shard-00000.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    open_split(folder / "token_shards", "train")


def lose_the_model(folder: Path) -> None:
    shutil.copytree(small_home() / "tokenizer", folder / "tokenizer")
    path = folder / "tokenizer" / "tokenizer.model"
    path.write_bytes(path.read_bytes()[:-1])
    write_token_shards(small_encoded(), folder / "tokenizer", folder / "x", params=SMALL_SHARDS, config_digest="")


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty corpus, to train on": (lambda folder: train(folder, []), "corpus/train"),
    "an empty corpus, to pack": (pack_nothing, "token_shards"),
    "one document": (lambda folder: train(folder, [("pkg:generic/a@1", "a.py", "x = 1\n")]), "corpus/train"),
    "a vocabulary larger than the text allows": (
        lambda folder: train(folder, [("pkg:generic/a@1", "a.py", "def f(x):\n    return x\n" * 9)]),
        "corpus/train",
    ),
    "a document longer than a shard": (
        lambda folder: write(folder, write_corpus(folder / "corpus", [ROW], []), shard_tokens=5000),
        "logging/handlers.py",
    ),
    "a tokenizer that did not encode the documents": (pack_with_another_tokenizer, "encoded_documents/part-00000"),
    "a tokenizer that did not make the shards": (
        lambda folder: open_split(shards(folder), "train", tokenizer_digest="0123"),
        "token_shards/train",
    ),
    "a truncated shard": (truncate, "token_shards/train/shard-00000.safetensors"),
    "a truncated tokenizer": (lose_the_model, "tokenizer/tokenizer.model"),
}


@pytest.mark.parametrize(("attempt", "file"), CASES.values(), ids=CASES.keys())
def test_the_error_names_file_found_expected_and_the_next_command(
    attempt: Callable[[Path], object], file: str, tmp_path: Path
) -> None:
    with pytest.raises(MinicodeError) as caught:
        attempt(tmp_path)
    what, hint = str(caught.value).split("\nhint: ")
    assert file in what
    assert "found" in what
    assert "expected" in what
    [command] = re.findall(r"minicode (\w+(?: --\w+(?: \w+)?)*)", hint)
    words = command.split()
    if words[0] == "materialize":
        assert build_parser().parse_args(words).select
    else:
        assert words[0] in build_parser()._subparsers._group_actions[0].choices
