"""Every document encoded once; the shards don't depend on how the documents were partitioned."""

import contextlib
import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow
import pytest

from minicode_assets.config import EncodedDocuments
from minicode_assets.errors import CorpusError, CorruptArtifactError, ShardError
from minicode_assets.parquet import BlockWriter, read_table, write_parquet
from minicode_assets.schemas import CORPUS, ENCODED_DOCUMENTS
from minicode_assets.tokens.encoded import SPLITS, count_mismatches, encode_corpus, encode_documents
from minicode_assets.tokens.read import parquet_rows
from minicode_assets.tokens.write import write_token_shards
from minicode_model.artifact import write_artifact
from minicode_model.tokenizer import Tokenizer
from tests.tokens.corpora import (
    SMALL_SHARDS,
    library_files,
    small_encoded,
    small_home,
    small_tokenizer,
    write_corpus,
)
from tests.tokens.test_write import large_tokenizer


def test_documents_and_figures() -> None:
    for part, folder in enumerate(small_encoded()):
        table = read_table(folder, ENCODED_DOCUMENTS)
        corpus = read_table(small_home() / "corpus", CORPUS, pattern=f"*/part-{part:05d}.parquet")
        assert sorted(table["document_id"]) == sorted(corpus["document_id"])
        both = table.join(corpus, on="document_id", validate="1:1")
        assert both["num_bytes"].equals(both["length_bytes"], check_names=False)
        for raw, count, text in both.select("tokens", "num_tokens", "text").iter_rows():
            ids = np.frombuffer(raw, np.uint16)
            assert len(ids) == count
            assert small_tokenizer().decode(ids, show_special=True) == b"<file_sep>" + text.encode()


@pytest.mark.parametrize("changes", [{"num_threads": 1}, {"num_threads": 3}, {"batch_bytes": 1}])
def test_how_it_is_run_does_not_show(changes: dict[str, int], tmp_path: Path) -> None:
    params = dataclasses.replace(EncodedDocuments(), **changes)
    home = small_home()
    encode_documents(home / "corpus", home / "tokenizer", tmp_path / "x", part=0, params=params, config_digest="")
    for split in SPLITS:
        found, expected = (pl.read_parquet(path / f"{split}.parquet") for path in (tmp_path / "x", small_encoded()[0]))
        assert found.equals(expected)


def test_a_row_group_at_a_time_is_held(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with contextlib.closing(BlockWriter(path, ENCODED_DOCUMENTS, distinct=("tokens",))) as file:
        for number in range(24):
            row = (str(number), "swh", "", "", "", None, 0, 0, np.random.default_rng(number).bytes(1 << 20))
            file.write(pl.DataFrame([row], schema=ENCODED_DOCUMENTS.polars, orient="row"))
    before = pyarrow.total_allocated_bytes()
    for number, (key, _) in enumerate(parquet_rows(path, ["document_id", "tokens"], batch_rows=16)):
        assert key == str(number)
        assert pyarrow.total_allocated_bytes() - before < 8 << 20


def test_partitions_do_not_show_in_the_shards(tmp_path: Path) -> None:
    """The documents dealt to three partitions instead of two: the same repositories, the same bytes."""
    home = small_home()
    with write_artifact(tmp_path / "corpus", name="corpus", config_digest="", inputs={}) as writer:
        for split in SPLITS:
            (writer.path / split).mkdir()
            rows = read_table(home / "corpus", CORPUS, pattern=f"{split}/*.parquet").with_row_index("n")
            for part in range(3):
                own = rows.filter(pl.col("n") % 3 == part).drop("n")
                write_parquet(own, writer.path / split / f"part-{part:05d}.parquet", CORPUS)
    three = [tmp_path / "encoded" / key for key in ("0", "1", "2")]
    for part, path in enumerate(three):
        args = {"part": part, "params": EncodedDocuments(), "config_digest": ""}
        encode_documents(tmp_path / "corpus", home / "tokenizer", path, **args)
    digests = {
        write_token_shards(parts, home / "tokenizer", tmp_path / str(n), params=SMALL_SHARDS, config_digest="").digest
        for n, parts in enumerate([three, small_encoded()])
    }
    assert len(digests) == 1


def test_the_check_can_fail() -> None:
    home = small_home()
    assert count_mismatches(home / "corpus", small_encoded()[0], small_tokenizer(), part=0, limit=50) == 0
    liar = Tokenizer.load(home / "tokenizer")
    liar.token_bytes = tuple(piece.replace(b"e", b"E") for piece in liar.token_bytes)
    assert count_mismatches(home / "corpus", small_encoded()[0], liar, part=0, limit=50) > 20


def test_tokens_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    large_tokenizer(tmp_path / "tokenizer")
    with pytest.raises(
        ShardError, match=r"encoded_documents/part-00000: tokenizer digest found \w+, expected"
    ) as caught:
        write_token_shards(
            small_encoded(), tmp_path / "tokenizer", tmp_path / "x", params=SMALL_SHARDS, config_digest=""
        )
    assert "hint: minicode materialize --select encoded_documents --force" in str(caught.value)


def test_a_truncated_partition_and_an_unknown_source_are_named(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", library_files("json"), [])
    [first, _] = encode_corpus(corpus, small_home() / "tokenizer", tmp_path / "encoded", params=EncodedDocuments())
    path = first / "train.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CorruptArtifactError, match=r"train\.parquet: found \d+ bytes, expected"):
        write_token_shards([first], small_home() / "tokenizer", tmp_path / "x", params=SMALL_SHARDS, config_digest="")
    with write_artifact(tmp_path / "odd", name="corpus", config_digest="", inputs={}) as writer:
        for split in SPLITS:
            (writer.path / split).mkdir()
            rows = read_table(corpus, CORPUS, pattern="train/part-00000.parquet").with_columns(source=pl.lit("odd"))
            write_parquet(rows, writer.path / split / "part-00000.parquet", CORPUS)
    with pytest.raises(CorpusError, match="source 'odd' has no format"):
        encode_corpus(tmp_path / "odd", small_home() / "tokenizer", tmp_path / "y", params=EncodedDocuments())
