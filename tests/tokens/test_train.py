"""The tokenizer's training: exact, balanced, deterministic, and clear about text that is too small."""

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
from minicode_assets.tokens.train import choose_sample, fair_cap, train_tokenizer
from minicode_model.artifact import open_artifact
from minicode_model.fim import uniforms
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


def test_sample_is_balanced_and_seeded() -> None:
    corpus = small_home() / "corpus"
    rows = read_table(corpus, CORPUS, pattern="train/*.parquet")
    by_origin = rows.group_by("origin_url").agg(pl.col("length_bytes").sum())
    least = by_origin["length_bytes"].min()
    chosen = np.concatenate(choose_sample(corpus, sample_bytes=4 * least, seed=1))
    sampled = rows.filter(chosen)
    sizes = sampled.group_by("origin_url").agg(pl.col("length_bytes").sum(), pl.col("length_bytes").last().alias("x"))
    assert sizes.height == by_origin.height, "every origin gives something"
    assert sizes["length_bytes"].min() >= least
    for origin, size in sizes.select("origin_url", "length_bytes").iter_rows():
        longest = sampled.filter(pl.col("origin_url") == origin)["length_bytes"].max()
        assert size < least + longest
    again, other = (np.concatenate(choose_sample(corpus, sample_bytes=4 * least, seed=seed)) for seed in (1, 2))
    assert (chosen == again).all()
    assert (chosen != other).any()
    assert all(part.all() for part in choose_sample(corpus, sample_bytes=10**9, seed=1))


def test_the_sample_is_the_first_documents_of_each_origin_by_their_hash() -> None:
    """The slow way as the oracle: origin by origin, in the order of the hash, until the cap is reached."""
    corpus = small_home() / "corpus"
    rows = read_table(corpus, CORPUS, pattern="train/*.parquet")
    cap = fair_cap(np.sort(rows.group_by("origin_url").agg(pl.col("length_bytes").sum())["length_bytes"]), 150_000)
    expected = set()
    for _, group in rows.group_by("origin_url"):
        used = 0
        for document_id, length in sorted(
            group.select("document_id", "length_bytes").iter_rows(),
            key=lambda row: uniforms(1, 5, "sample", row[0]),
        ):
            if used < cap:
                expected.add(document_id)
                used += length
    chosen = np.concatenate(choose_sample(corpus, sample_bytes=150_000, seed=5))
    assert set(rows.filter(chosen)["document_id"]) == expected
    assert 0 < len(expected) < rows.height


def test_many_small_origins_do_not_swell_the_sample(tmp_path: Path) -> None:
    """A million origins would each give a document to a sample that has room for a thousand."""
    files = [(f"pkg:generic/{number}@1", "a.py", "x = 1  # " + "y" * 991) for number in range(60)]
    corpus = write_corpus(tmp_path / "corpus", files, [])
    chosen, other = (np.concatenate(choose_sample(corpus, sample_bytes=5000, seed=seed)) for seed in (1, 2))
    assert chosen.sum() == other.sum() == 10
    assert (chosen != other).any(), "by the seed's hash, not by place"


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20), st.integers(0, 5000))
def test_fair_cap_fills_the_total(sizes: list[int], total: int) -> None:
    array = np.array(sorted(sizes))
    cap = fair_cap(array, total)
    assert np.minimum(array, cap).sum() == pytest.approx(min(total, array.sum()))


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
