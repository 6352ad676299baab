"""The tokenizer's training: exact, balanced, deterministic, and clear about text that is too small."""

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.config import Tokenizer as TokenizerParams
from minicode_assets.errors import CorruptArtifactError, MissingArtifactError, TokenizerError
from minicode_assets.parquet import read_table
from minicode_assets.schemas import CORPUS
from minicode_assets.tokens.measure import kind_of, measure
from minicode_assets.tokens.read import Document
from minicode_assets.tokens.train import balanced, choose_sample, train_tokenizer
from minicode_model.artifact import open_artifact
from minicode_model.tokenizer import SPECIAL_TOKENS, Tokenizer
from tests.tokens.corpora import SMALL_TOKENIZER, library_files, small_home, small_tokenizer, write_corpus


def test_metadata_tells_what_the_check_needs() -> None:
    metadata = open_artifact(small_home() / "tokenizer").metadata
    texts = [text.encode() for _, _, text in library_files("wsgiref")]
    assert metadata["vocab_size"] == small_tokenizer().vocab_size == 700
    assert metadata["digest"] == small_tokenizer().digest
    assert metadata["num_round_trip_failures"] == 0
    assert metadata["num_round_trip_documents"] == len(texts)
    assert (metadata["num_compared_documents"], metadata["num_id_differences"]) == (len(texts), 0)
    assert metadata["num_bytes"] == sum(map(len, texts))
    tokens = sum(len(small_tokenizer().encode(text)) for text in texts)
    assert metadata["bytes_per_token"] == round(sum(map(len, texts)) / tokens, 4)
    assert 2 < metadata["bytes_per_token"] < 3
    assert all(len(piece) <= 28 for piece in metadata["longest_pieces"])
    assert set(metadata["bytes_per_token_by_kind"]) == {"module", "package"}
    ratios = [ratio for _, ratio in metadata["outliers"]]
    assert ratios == sorted(ratios)
    assert ratios[0] < metadata["bytes_per_token"]
    assert len(metadata["unused_pieces"]) == min(20, metadata["num_unused_pieces"])


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a/tests/b.py", "test"),
        ("test_a.py", "test"),
        ("a/conftest.py", "test"),
        ("a_test.py", "test"),
        ("contest.py", "module"),
        ("a/b.pyi", "stub"),
        ("a/__init__.py", "package"),
        ("setup.py", "setup"),
        ("a/test.py", "module"),
    ],
)
def test_kind_of(path: str, kind: str) -> None:
    assert kind_of(Document("", "swh", "", "", path, None, "")) == kind
    assert kind_of(Document("", "documentation", "", "", path, None, "")) == "documentation"


def test_same_corpus_same_bytes(tmp_path: Path) -> None:
    corpus = small_home() / "corpus"
    artifact = train_tokenizer(corpus, tmp_path / "tokenizer", params=SMALL_TOKENIZER, config_digest="other")
    assert artifact.digest == open_artifact(small_home() / "tokenizer").digest
    assert artifact.inputs == {"corpus": open_artifact(corpus).digest}


def test_odd_text_is_trained_on_and_comes_back(tmp_path: Path) -> None:
    odd = "\0 \u2581 \u2585 \ufeff \r\n \f \x85 \u2028 <|endoftext|> 🐍\n"
    train = [(origin, path, odd + text) for origin, path, text in library_files("json", "html")]
    corpus = write_corpus(tmp_path / "corpus", train, [("pkg:generic/odd@1", "odd.py", odd)])
    artifact = train_tokenizer(corpus, tmp_path / "tokenizer", params=SMALL_TOKENIZER, config_digest="")
    assert artifact.metadata["num_round_trip_failures"] == 0
    tokenizer = Tokenizer.load(tmp_path / "tokenizer")
    assert tokenizer.decode(tokenizer.encode(odd)) == odd.encode()
    assert "def" in {piece.strip("\u2581") for piece, _, _ in tokenizer.pieces}, "documents with odd marks were skipped"


def test_pieces_obey_the_options() -> None:
    for piece, _, kind in small_tokenizer().pieces[len(SPECIAL_TOKENS) :]:
        if kind == "normal":
            assert len(piece) <= SMALL_TOKENIZER.max_piece_length
            assert not any(c.isdigit() for c in piece) or len(piece) == 1, "digits are split"


def test_round_trip_failures_are_counted(tmp_path: Path) -> None:
    """A tokenizer whose table lies is found out: the check can fail."""
    liar = Tokenizer.load(small_home() / "tokenizer")
    liar.token_bytes = tuple(piece.replace(b"e", b"E") for piece in liar.token_bytes)
    figures = measure(liar, small_home() / "corpus", "validation")
    assert figures["num_round_trip_failures"] == figures["num_round_trip_documents"] > 0
    assert figures["num_id_differences"] == 0
    liar.encode = lambda text: small_tokenizer().encode(text + "x")
    assert measure(liar, small_home() / "corpus", "validation")["num_id_differences"] > 0


def test_sample_is_seeded_and_whole_where_there_is_room() -> None:
    corpus = small_home() / "corpus"
    chosen, again, other = (
        np.concatenate(choose_sample(corpus, sample_bytes=100_000, seed=seed)) for seed in (1, 1, 2)
    )
    assert (chosen == again).all()
    assert (chosen != other).any(), "by the seed's hash, not by place"
    assert all(part.all() for part in choose_sample(corpus, sample_bytes=10**9, seed=1))
    rows = read_table(corpus, CORPUS, pattern="train/*.parquet").filter(chosen)
    by_origin = rows.group_by("origin_url").agg(
        pl.col("length_bytes").sum(), pl.col("length_bytes").max().alias("most")
    )
    assert by_origin.height == 4, "every origin gives something"
    assert by_origin["length_bytes"].max() < by_origin["length_bytes"].min() + by_origin["most"].max()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1000), st.floats(0, 1)), max_size=30), st.integers(0, 9000))
def test_who_gave_least_gives_next_until_the_sample_is_full(drawn: list[tuple[int, int, float]], total: int) -> None:
    origin, size, key = (np.array([row[part] for row in drawn], kind) for part, kind in enumerate(("i4", "i8", "f8")))
    chosen = balanced(origin, size, key, total)
    given, waiting, expected = Counter(), sorted(range(len(drawn)), key=lambda n: drawn[n][2]), set()
    while waiting and given.total() < total:
        document = min(waiting, key=lambda n: (given[drawn[n][0]], drawn[n][2]))
        waiting.remove(document)
        given[drawn[document][0]] += drawn[document][1]
        expected.add(document)
    assert set(np.flatnonzero(chosen).tolist()) == expected
    assert size[chosen].sum() < total + max(size, default=0) + 1


def test_a_vocabulary_larger_than_the_text_allows(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", [("pkg:generic/a@1", "a.py", "x = 1\ny = x\n")], [])
    with pytest.raises(TokenizerError, match=r"the text gives (\d+) pieces, expected 700") as caught:
        train_tokenizer(corpus, tmp_path / "tokenizer", params=SMALL_TOKENIZER, config_digest="")
    found = int(str(caught.value).split("gives ")[1].split()[0])
    assert f"hint: set [tokenizer] vocab_size to {found} or less" in str(caught.value)
    assert not (tmp_path / "tokenizer").exists()
    params = TokenizerParams(vocab_size=found, sample_bytes=1000)
    assert train_tokenizer(corpus, tmp_path / "tokenizer", params=params, config_digest="").metadata["vocab_size"]


@pytest.mark.parametrize("vocab_size", [0, 100, 291])
def test_a_vocabulary_without_room_for_text(vocab_size: int, tmp_path: Path) -> None:
    params = TokenizerParams(vocab_size=vocab_size)
    with pytest.raises(TokenizerError, match=f"found {vocab_size}, expected more than 291"):
        train_tokenizer(small_home() / "corpus", tmp_path / "tokenizer", params=params, config_digest="")


def test_a_vocabulary_smaller_than_the_alphabet(tmp_path: Path) -> None:
    params = TokenizerParams(vocab_size=300)
    with pytest.raises(TokenizerError, match="vocab_size 300: SentencePiece can't train on this text"):
        train_tokenizer(small_home() / "corpus", tmp_path / "tokenizer", params=params, config_digest="")


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_a_corpus_without_text(texts: list[str], tmp_path: Path) -> None:
    rows = [("pkg:generic/a@1", f"{i}.py", text) for i, text in enumerate(texts)]
    corpus = write_corpus(tmp_path / "corpus", rows, [])
    with pytest.raises(TokenizerError, match=rf"train: found {len(texts)} documents without a byte of text") as caught:
        train_tokenizer(corpus, tmp_path / "tokenizer", params=SMALL_TOKENIZER, config_digest="")
    assert "hint: minicode funnel" in str(caught.value)


def test_one_document(tmp_path: Path) -> None:
    [row, *_] = library_files("json")
    corpus = write_corpus(tmp_path / "corpus", [row], [row])
    params = TokenizerParams(vocab_size=500, sample_bytes=1)
    artifact = train_tokenizer(corpus, tmp_path / "tokenizer", params=params, config_digest="")
    assert artifact.metadata["num_round_trip_failures"] == 0


def test_damaged_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError):
        train_tokenizer(tmp_path, tmp_path / "tokenizer", params=SMALL_TOKENIZER, config_digest="")
    corpus = write_corpus(tmp_path / "corpus", library_files("json"), [])
    part = corpus / "train" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(CorruptArtifactError, match=r"part-00001\.parquet"):
        train_tokenizer(corpus, tmp_path / "tokenizer", params=SMALL_TOKENIZER, config_digest="")
