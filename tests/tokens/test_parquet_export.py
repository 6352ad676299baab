"""Others can read the shards: by the documented reader, and as Parquet."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from minicode_assets.errors import ShardError
from minicode_assets.tokens.export import export_parquet
from minicode_assets.tokens.show import PIECE_EDGE, decoded_sequences
from minicode_assets.tokens.write import write_token_shards
from minicode_model.artifact import open_artifact
from minicode_model.shards import PADDING_ID, open_split
from tests.tokens.corpora import SMALL_SHARDS, small_encoded, small_home, small_tokenizer
from tests.tokens.test_write import large_tokenizer

DOCUMENT = Path(__file__).parents[2] / "docs" / "shards.md"


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, home = tmp_path_factory.mktemp("shards") / "token_shards", small_home()
    write_token_shards(small_encoded(), home / "tokenizer", folder, params=SMALL_SHARDS, config_digest="test")
    return folder


def documented_reader() -> tuple[dict[str, object], str]:
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    return names, code


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_documented_reader_gives_the_same_sequences(shards: Path, split: str) -> None:
    names, code = documented_reader()
    assert len([line for line in code.splitlines() if line and not line.startswith("import")]) <= 20
    packed = open_split(shards, split)
    rows = list(names["sequences"](shards / split))
    assert len(rows) == packed.num_sequences > 0
    for i, pieces in enumerate(rows):
        tokens, segments = packed.sequence(i)
        assert np.array_equal(np.concatenate(pieces), tokens[segments >= 0])
        assert [len(piece) for piece in pieces] == np.bincount(segments[segments >= 0]).tolist()


def test_the_document_lists_every_array(shards: Path) -> None:
    names, _ = documented_reader()
    text = DOCUMENT.read_text()
    for file in ("index", "shard-00000"):
        arrays, header = names["arrays"](shards / "train" / f"{file}.safetensors")
        for name in [*arrays, *header]:
            assert f"`{name}`" in text


def test_parquet_holds_every_sequence(shards: Path, tmp_path: Path) -> None:
    artifact = export_parquet(shards, tmp_path / "parquet", rows_per_file=100, config_digest="")
    assert artifact.inputs == {"token_shards": open_artifact(shards).digest}
    for split in ("train", "validation"):
        packed = open_split(shards, split)
        paths = sorted((tmp_path / "parquet" / split).glob("*.parquet"))
        assert len(paths) == -(-packed.num_sequences // 100)
        table = pl.concat([pl.read_parquet(path) for path in paths])
        assert table.height == packed.num_sequences
        for i, (ids, segments) in enumerate(table.iter_rows()):
            tokens, expected = packed.sequence(i)
            assert ids == tokens.tolist()
            assert segments == expected.tolist()
    assert table.schema["input_ids"] == pl.List(pl.UInt16)
    assert PADDING_ID == 4
    again = export_parquet(shards, tmp_path / "again", rows_per_file=100, config_digest="")
    assert again.digest == artifact.digest


def test_sequences_can_be_looked_at(shards: Path, tmp_path: Path) -> None:
    texts = decoded_sequences(shards, small_tokenizer(), split="validation", count=10)
    assert len(texts) == 10
    packed = open_split(shards, "validation")
    for i, text in enumerate(texts):
        assert text.count(PIECE_EDGE) == len(packed.pieces(i)) - 1
        assert ("<fim_pad>" in text) == (packed.sequence(i)[1].min() == -1)
    everything = decoded_sequences(shards, small_tokenizer(), split="validation", count=10**6)
    assert everything[:10] == texts
    assert len(everything) == len(packed)
    assert sum(text.count("<file_sep>") for text in everything) == packed.num_documents
    with pytest.raises(ShardError, match="tokenizer digest found"):
        decoded_sequences(shards, large_tokenizer(tmp_path / "tokenizer"), split="train", count=1)


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_loads_the_folder_as_documented(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    [call] = re.findall(r"sequences = (datasets\..*?\))", DOCUMENT.read_text())
    export_parquet(shards, tmp_path / "sequences", rows_per_file=100, config_digest="")
    call = call.replace(")", f", streaming={streaming}, cache_dir={str(tmp_path / 'cache')!r})")
    loaded = eval(call.replace('"sequences"', repr(str(tmp_path / "sequences"))), {"datasets": datasets})
    assert set(loaded) == {"train", "validation"}
    for split, rows in loaded.items():
        packed = open_split(shards, split)
        assert rows.features["input_ids"] == datasets.List(datasets.Value("uint16"))
        assert rows.features["segment_ids"] == datasets.List(datasets.Value("int32"))
        count = 0
        for i, row in enumerate(rows):
            tokens, segments = packed.sequence(i)
            assert (row["input_ids"], row["segment_ids"]) == (tokens.tolist(), segments.tolist())
            count += 1
        assert count == packed.num_sequences
