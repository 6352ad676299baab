"""The chain's own tokenizer and shards: what the web UI shows of them, and what others read of them."""

from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from minicode_assets.defs.pictures import fenced
from minicode_assets.defs.tokens import NUM_SHOWN
from minicode_assets.tokens.read import corpus_documents
from minicode_assets.tokens.show import decoded_sequences
from minicode_model.artifact import open_artifact
from minicode_model.shards import open_split
from minicode_model.tokenizer import Tokenizer
from minicode_model.tokenizer_export import export_tokenizer
from tests.conftest import Home


def shown(home: Home, asset: str) -> dict[str, str]:
    with dg.DagsterInstance.from_config(str(home.root / "dagster_home")) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        assert event.asset_materialization is not None
        return {name: str(value.value) for name, value in event.asset_materialization.metadata.items()}


@pytest.mark.slow
def test_transformers_gives_our_ids_on_the_whole_validation_split(finished: Home, tmp_path: Path) -> None:
    import transformers

    tokenizer = Tokenizer.load(finished.data / "tokenizer")
    export_tokenizer(tokenizer, tmp_path, max_length=128)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path, split_special_tokens=True)
    count = 0
    for document in corpus_documents(finished.data / "corpus", "validation"):
        ids = theirs(document.content)["input_ids"]
        assert ids == tokenizer.encode(document.content).tolist(), document.document_id
        assert theirs.decode(ids) == document.content
        count += 1
    validation = pl.read_parquet(finished.data / "corpus" / "validation" / "*.parquet")
    assert count == validation.height > 10


@pytest.mark.slow
def test_the_report_on_the_tokenizer(finished: Home) -> None:
    figures, page = open_artifact(finished.data / "tokenizer").metadata, shown(finished, "tokenizer")
    assert figures["num_id_differences"] == figures["num_round_trip_failures"] == 0
    assert figures["num_compared_documents"] > 10
    kinds = figures["bytes_per_token_by_kind"]
    assert {"module", "documentation"} <= set(kinds)
    assert all(f"| {kind} | {ratio} |" in page["bytes_per_token_by_kind"] for kind, ratio in kinds.items())
    assert all(page[name].count("\n") == 1 + len(figures[name]) for name in ("longest_pieces", "unused_pieces"))
    for path, ratio in figures["outliers"]:
        assert f"{path[:40]}" in page["outliers"]
        assert str(ratio) in page["outliers"]
    assert page["bytes_per_token"] == str(figures["bytes_per_token"])


@pytest.mark.slow
def test_the_report_on_the_shards(finished: Home) -> None:
    figures, page = open_artifact(finished.data / "token_shards").metadata["train"], shown(finished, "token_shards")
    for picture in ("tokens_by_license", "tokens_by_source", "document_lengths"):
        assert "data:image/png;base64," in page[picture]
    assert sum(figures["tokens_by_license"].values()) == sum(figures["tokens_by_source"].values())
    assert "StarCoder2-3B" in page["chinchilla"]
    assert f"{figures['num_tokens']:,}" in page["chinchilla"]
    assert f"| files cut | {figures['num_cut_files']:,} |" in page["packing"]
    assert f"{1 - figures['padding_fraction']:.4%}" in page["packing"]
    tokenizer = Tokenizer.load(finished.data / "tokenizer")
    texts = decoded_sequences(finished.data / "token_shards", tokenizer, split="train", count=NUM_SHOWN)
    assert len(texts) == 10
    assert page["sequences"] == "\n\n".join(map(fenced, texts))
    assert any(f"<{name}>" in page["sequences"] for name in ("file_sep", "fim_middle", "|endoftext|"))


@pytest.mark.slow
def test_parquet_by_command(finished: Home, tmp_path: Path) -> None:
    printed = finished.minicode("parquet", "--out", str(tmp_path / "sequences")).stdout
    for split in ("train", "validation"):
        packed = open_split(finished.data / "token_shards", split)
        assert f"{split} {packed.num_sequences:,}" in printed
        rows = pl.read_parquet(tmp_path / "sequences" / split / "*.parquet")
        assert np.array_equal(rows["input_ids"][0].to_numpy(), packed.sequence(0)[0])
        assert rows.height == packed.num_sequences


@pytest.mark.parametrize("text", ["plain", "```py\nx\n```", "a ````` b", ""])
def test_a_code_block_holds_any_text(text: str) -> None:
    first, *inside, last = fenced(text).split("\n")
    assert "\n".join(inside) == text
    assert first == last
    assert set(first) == {"`"}
    assert len(first) >= 3
    assert first not in text
