"""The index finds what brute force and datasketch find, and passages; nothing that is not there."""

import random
import sysconfig
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from datasketch import MinHash, MinHashLSH

from minicode_assets.config import NearDup, SearchIndex
from minicode_assets.corpus.shingles import hash_ngrams, hash_words
from minicode_assets.errors import CorpusError
from minicode_assets.provenance.fingerprint import fingerprint
from minicode_assets.provenance.search import build_index, search
from tests.tokens.corpora import write_corpus

PARAMS, NEAR_DUP = SearchIndex(), NearDup(skip_leading_comments=False)
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return {p.name: p.read_text() for p in sorted(STANDARD_LIBRARY.glob("[a-h]*.py")) if p.stat().st_size > 2000}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, texts: dict[str, str]) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("search")
    rows = [("https://example.org", name, text) for name, text in texts.items()]
    corpus = write_corpus(root / "corpus", rows[5:], rows[:5])
    build_index(corpus, root / "index", params=PARAMS, near_dup=NEAR_DUP, config_digest="")
    return corpus, root / "index"


def found(built: tuple[Path, Path], text: str) -> dict[str, tuple[float, float, bool]]:
    matches = search(text, *built, params=PARAMS, near_dup=NEAR_DUP)
    return {m.swhid.rpartition("/")[2]: (m.jaccard, m.contained, m.identical) for m in matches}


def shingles(text: str) -> set[int]:
    return set(hash_ngrams(hash_words([text.encode()], rule="words"), 5)[0].tolist())


def test_whole_files_find_themselves_first(built: tuple[Path, Path], texts: dict[str, str]) -> None:
    for name, text in texts.items():
        best = next(iter(found(built, text).items()))
        assert best == (name, (1.0, 1.0, True))


def test_what_datasketch_finds_is_found_with_the_exact_index(built: tuple[Path, Path], texts: dict[str, str]) -> None:
    lsh, rng = MinHashLSH(threshold=0.7, num_perm=256), random.Random(3)

    def sketched(text: str) -> MinHash:
        signature = MinHash(num_perm=256)
        signature.update_batch([shingle.to_bytes(8, "little") for shingle in shingles(text)])
        return signature

    for name, text in texts.items():
        lsh.insert(name, sketched(text))
    num_found = 0
    for name, text in list(texts.items())[::3]:
        lines = text.splitlines()
        for place in rng.sample(range(len(lines)), len(lines) // 15):
            lines[place] = f"changed = {place}"
        edited = "\n".join(lines)
        told = found(built, edited)
        exact = {n: len(shingles(edited) & shingles(t)) / len(shingles(edited) | shingles(t)) for n, t in texts.items()}
        assert told.keys() >= {n for n in lsh.query(sketched(edited)) if exact[n] >= PARAMS.min_jaccard_fraction}
        assert told.keys() >= {n for n, index in exact.items() if index >= 0.7}
        for other, (index, _, identical) in told.items():
            assert index == pytest.approx(exact[other], abs=1e-6)
            assert not identical
        num_found += name in told
    assert num_found > 10


def test_passages_are_found(built: tuple[Path, Path], texts: dict[str, str]) -> None:
    """Twenty words in a row suffice, whatever stands around them (in the text they must be half)."""
    for name, text in list(texts.items())[::5]:
        lines = text.splitlines()
        middle = "\n".join(lines[len(lines) // 2 : len(lines) // 2 + 12])
        if len(shingles(middle)) >= PARAMS.window:
            index, contained, _ = found(built, middle)[name]
            assert contained == 1.0
            assert index < 0.2


def test_what_is_not_there_is_not_found(built: tuple[Path, Path]) -> None:
    assert (
        found(built, "def wholly_unheard_of(alpha_7, beta_9):\n    return gamma_3(alpha_7, beta_9, delta_1)\n" * 3)
        == {}
    )
    assert found(built, "") == {}
    assert found(built, "x") == {}


def test_short_texts_and_files_full_of_one_word(tmp_path: Path) -> None:
    files = [("https://example.org", "short.py", "x = 1\n"), ("https://example.org", "same.py", "word " * 100)]
    corpus = write_corpus(tmp_path / "corpus", files, [])
    build_index(corpus, tmp_path / "index", params=PARAMS, near_dup=NEAR_DUP, config_digest="")
    for _, path, text in files:
        assert found((corpus, tmp_path / "index"), text)[path][2]
    assert found((corpus, tmp_path / "index"), "word " * 50)["same.py"] == (1.0, 1.0, False)


def test_only_changed_corpus_files_are_indexed_anew(tmp_path: Path) -> None:
    """With the same bytes as of an index made whole; not where the former is damaged, or made another way."""

    def made(folder: str, last: str, config_digest: str = "") -> tuple[int, str]:
        rows = [("https://example.org", f"{name}.py", f"{name} = 1\n" * 9) for name in ("a", last)]
        corpus = write_corpus(tmp_path / "corpus", rows[:1], rows[1:])
        index = build_index(
            corpus, tmp_path / folder, params=PARAMS, near_dup=NEAR_DUP, config_digest=config_digest
        )  # fmt: skip
        return len(index.metadata["files"]) - index.metadata["num_reused"], index.digest

    num_files = made("index", "b")[0]
    assert num_files > 1
    assert made("index", "c") == (1, made("fresh", "c")[1])
    assert made("index", "c")[0] == 0
    assert made("index", "c", "another")[0] == num_files
    (tmp_path / "index" / "train" / "part-00000" / "keys.npy").write_bytes(b"damaged")
    assert made("index", "c", "another") == (num_files, made("fresh", "c")[1])


def test_an_index_of_another_corpus_is_refused(built: tuple[Path, Path], tmp_path: Path) -> None:
    other = write_corpus(tmp_path / "corpus", [("https://example.org", "a.py", "x = 1\n" * 9)], [])
    with pytest.raises(CorpusError, match="made of another corpus"):
        search("x", other, built[1], params=PARAMS, near_dup=NEAR_DUP)


def test_fingerprints_by_definition(texts: dict[str, str]) -> None:
    encoded = [text.encode() for text in list(texts.values())[:6]] + [b"", b"a b c d", b"a b c d e f g h"]
    hashes, numbers = fingerprint(encoded, ngram_words=5, window=16)
    for number, text in enumerate(encoded):
        grams = hash_ngrams(hash_words([text], rule="words"), 5)[0]
        runs = range(max(1, len(grams) - 15)) if len(grams) else []
        expected = {int(grams[run : run + 16].min()) for run in runs}
        assert set(hashes[numbers == number].tolist()) == expected
    assert len(hashes) < 0.2 * len(hash_ngrams(hash_words(encoded, rule="words"), 5)[0])
    assert np.all(np.diff(numbers) >= 0)
    assert pl.DataFrame({"h": hashes, "n": numbers}).is_unique().all()
