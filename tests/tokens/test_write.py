"""The artefact: same bytes for any number of workers, exact figures, clear refusals."""

import dataclasses
import itertools
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from minicode_assets.config import EncodedDocuments
from minicode_assets.errors import CorpusError, CorruptArtifactError, MissingArtifactError, ShardError
from minicode_assets.parquet import read_table
from minicode_assets.schemas import CORPUS, TOKEN_DOCUMENTS
from minicode_assets.tokens.encoded import encode_corpus
from minicode_assets.tokens.train import train_tokenizer
from minicode_assets.tokens.write import write_token_shards
from minicode_model.artifact import Artifact, open_artifact, write_artifact
from minicode_model.shards import open_split
from minicode_model.tokenizer import MODEL_FILE, Tokenizer
from tests.tokens.corpora import (
    SMALL_SHARDS,
    SMALL_TOKENIZER,
    library_files,
    small_encoded,
    small_home,
    small_tokenizer,
    write_corpus,
)


def write(folder: Path, corpus: Path | None = None, **changes: object) -> Artifact:
    tokenizer = small_home() / "tokenizer"
    encoded = (
        encode_corpus(corpus, tokenizer, folder / "encoded", params=EncodedDocuments()) if corpus else small_encoded()
    )
    params = dataclasses.replace(SMALL_SHARDS, **changes)
    return write_token_shards(encoded, tokenizer, folder / "token_shards", params=params, config_digest="test")


def test_same_corpus_same_bytes(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    assert first.digest == second.digest
    assert write(tmp_path / "c", seed=2).digest != first.digest


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [2, 3])
def test_same_bytes_for_any_number_of_workers(tmp_path: Path, num_workers: int) -> None:
    many = write(tmp_path / "many", num_workers=num_workers, parallel_from_bytes=0)
    assert many.digest == write(tmp_path / "one").digest


KILLED = """
import multiprocessing, os, signal, sys
from pathlib import Path
from minicode_assets.errors import CorpusError
import numpy as np
from minicode_assets.config import TokenShards
from minicode_assets.tokens.format import Example, File
from minicode_assets.tokens.write import encode_examples
from minicode_model.tokenizer import Tokenizer

params = TokenShards(num_workers=2, parallel_from_bytes=0)

def examples(tokenizer):
    for number in range(40):
        ids = np.concatenate([np.array([6], tokenizer.dtype), tokenizer.encode(f"x{number} = 1\\n" * 10_000)])
        yield Example(str(number), None, (File(str(number), "swh", "", "o", "p", None, 1_000_000, ids),), 0.0)

if __name__ == "__main__":
    tokenizer = Tokenizer.load(Path(sys.argv[1]))
    encoded = encode_examples(examples(tokenizer), tokenizer, params, num_bytes=1)
    next(encoded)
    for child in multiprocessing.active_children():
        child.kill()
    try:
        list(encoded)
    except CorpusError as error:
        print(error)
    encoded = encode_examples(examples(tokenizer), tokenizer, params, num_bytes=1)
    next(encoded)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_killed_worker_is_an_error_and_workers_end_with_a_killed_process(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(KILLED)
    command = [sys.executable, program, small_home() / "tokenizer"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    *message, numbers = done.stdout.splitlines()
    assert "process that lays out documents was ended" in message[0]
    assert "hint: it may have run out of memory" in message[1]
    children = [Path("/proc") / number for number in numbers.split()]
    ended = time.monotonic() + 20
    while any(child.exists() for child in children) and time.monotonic() < ended:
        time.sleep(0.05)
    assert children
    assert not [child for child in children if child.exists()]


def test_figures_and_lineage(tmp_path: Path) -> None:
    artifact = write(tmp_path)
    home = small_home()
    folders = {f"encoded_documents/{path.name}": path for path in small_encoded()} | {"tokenizer": home / "tokenizer"}
    assert artifact.inputs == {name: open_artifact(path).digest for name, path in folders.items()}
    assert artifact.metadata["tokenizer_digest"] == small_tokenizer().digest
    for split in ("train", "validation"):
        figures, packed = artifact.metadata[split], open_split(artifact.path, split)
        table = pl.read_parquet(artifact.path / split / "documents.parquet")
        assert table.schema == TOKEN_DOCUMENTS.polars
        assert table.equals(table.sort(TOKEN_DOCUMENTS.order))
        assert figures["num_tokens"] == packed.num_tokens
        assert figures["num_sequences"] == packed.num_sequences
        assert figures["num_documents"] == packed.num_documents
        assert figures["num_bytes"] == packed.num_bytes
        assert figures["padding_fraction"] == round(1 - packed.num_tokens / (packed.num_sequences * 128), 6)
        assert sum(figures["tokens_by_license"].values()) == table["num_tokens"].sum()
        corpus = read_table(home / "corpus", CORPUS, pattern=f"{split}/*.parquet")
        assert sorted(table["document_id"]) == sorted(corpus["document_id"]), "every document is there once"
        assert set(figures["tokens_by_license"]) == set(corpus["license_expression"])
        assert figures["num_avoidable_cut_documents"] == 0
        lengths = [len(packed.document(d)[0]) for d in range(packed.num_documents)]
        for tokens, num_bytes in map(packed.document, range(packed.num_documents)):
            assert small_tokenizer().num_bytes(tokens) == num_bytes
        expected = {
            low: sum(int(low) <= length < 2 * int(low) for length in lengths) for low in figures["document_lengths"]
        }
        assert figures["document_lengths"] == expected
        assert sum(expected.values()) == packed.num_documents
    assert artifact.metadata["validation"]["num_psm"] == artifact.metadata["validation"]["num_spm"] == 0
    rearranged = write(tmp_path / "fim", fim_rate=1.0, validation_fim_rate=1.0).metadata
    assert all(rearranged[split]["num_psm"] > 0 for split in ("train", "validation"))


def test_bytes_of_documents_are_exact(tmp_path: Path) -> None:
    artifact = write(tmp_path, metadata_rate=0.0)
    table = pl.read_parquet(artifact.path / "train" / "documents.parquet")
    corpus = read_table(small_home() / "corpus", CORPUS, pattern="train/*.parquet")
    both = table.join(corpus, on="document_id", validate="1:1")
    assert both["num_bytes"].equals(both["length_bytes"], check_names=False)
    packed = open_split(artifact.path, "train")
    per_document = table.group_by("document", maintain_order=True).agg(pl.col("num_bytes").sum())
    assert per_document["num_bytes"].to_list() == [packed.document(d)[1] for d in range(packed.num_documents)]


def test_padding_is_under_a_thousandth(tmp_path: Path) -> None:
    figures = write(tmp_path, repository_context=False).metadata["train"]
    assert figures["padding_fraction"] < 0.002, "the small corpus; benchmarks/packing.py holds 0.001 on a larger one"
    assert figures["num_cut_documents"] == figures["num_long_documents"]


def test_concatenation_for_comparison(tmp_path: Path) -> None:
    figures = write(tmp_path, packing="concatenate").metadata["train"]
    assert figures["num_sequences"] == -(-figures["num_tokens"] // 128)
    packed = open_split(tmp_path / "token_shards", "train")
    assert sum((packed.sequence(i)[1] >= 0).sum() for i in range(len(packed))) == packed.num_tokens


def large_tokenizer(folder: Path) -> Tokenizer:
    """The small tokenizer with 66,000 more pieces: Protocol Buffers append repeated fields by plain concatenation."""
    extra = b""
    for letters in itertools.islice(itertools.product("qxzjkvw", repeat=6), 66_000):
        piece = b"\x0a\x06" + "".join(letters).encode() + b"\x15" + struct.pack("<f", -10_000.0)
        extra += b"\x0a" + bytes([len(piece)]) + piece
    with write_artifact(folder, name="tokenizer", config_digest="", inputs={}) as writer:
        (writer.path / MODEL_FILE).write_bytes(small_tokenizer().model + extra)
    return Tokenizer.load(folder)


@pytest.mark.slow
def test_uint32_where_the_vocabulary_needs_it(tmp_path: Path) -> None:
    tokenizer = large_tokenizer(tmp_path / "tokenizer")
    assert (tokenizer.vocab_size, tokenizer.dtype) == (66_700, np.uint32)
    wide_encoded = encode_corpus(
        small_home() / "corpus", tmp_path / "tokenizer", tmp_path / "encoded", params=EncodedDocuments()
    )
    artifact = write_token_shards(
        wide_encoded, tmp_path / "tokenizer", tmp_path / "wide", params=SMALL_SHARDS, config_digest=""
    )
    wide, narrow = open_split(artifact.path, "train"), open_split(write(tmp_path).path, "train")
    assert wide.tokenizer_digest != narrow.tokenizer_digest
    assert [packed.sequence(0)[0].dtype for packed in (wide, narrow)] == [np.uint32, np.uint16]
    assert all(np.array_equal(wide.sequence(i)[0], narrow.sequence(i)[0]) for i in range(len(wide)))


def test_an_empty_corpus(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", [], [])
    with pytest.raises(
        CorpusError,
        match=r"found no documents to train on in 2 partitions.*\nhint: minicode funnel",
    ):
        write(tmp_path, corpus)
    assert not (tmp_path / "token_shards").exists()


def test_one_document_and_no_validation(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", [("pkg:generic/a@1", "a.py", "x = 1\n")], [])
    write(tmp_path, corpus, fim_rate=0.0, metadata_rate=0.0)
    train, validation = (open_split(tmp_path / "token_shards", split) for split in ("train", "validation"))
    assert (train.num_documents, train.num_sequences) == (1, 1)
    tokens, segments = train.sequence(0)
    assert small_tokenizer().decode(tokens[segments == 0], show_special=True) == b"<file_sep>x = 1\n<|endoftext|>"
    assert (validation.num_documents, validation.num_sequences, validation.num_tokens) == (0, 0, 0)


def test_an_empty_document(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", [("pkg:generic/a@1", "a.py", "")], [("pkg:generic/b@1", "b.py", "")])
    write(tmp_path, corpus, metadata_rate=0.0)
    tokens, num_bytes = open_split(tmp_path / "token_shards", "train").document(0)
    assert (tokens.tolist(), num_bytes) == ([6, 0], 0)


def test_a_document_longer_than_a_shard(tmp_path: Path) -> None:
    [row] = [row for row in library_files("logging") if row[1] == "logging/handlers.py"]
    corpus = write_corpus(tmp_path / "corpus", [row], [])
    with pytest.raises(ShardError, match=r"document .*swh:1:cnt:.*found \d+ tokens, expected at most 5000") as caught:
        write(tmp_path, corpus, shard_tokens=5000)
    found = str(caught.value).split("found ")[1].split()[0]
    assert f"hint: set [token_shards] shard_tokens to {found} or more" in str(caught.value)
    assert write(tmp_path, corpus, shard_tokens=int(found)).metadata["train"]["num_shards"] == 1


def test_shards_stay_under_their_limit(tmp_path: Path) -> None:
    artifact = write(tmp_path, shard_tokens=70_000)
    sizes = [path.stat().st_size for path in sorted((tmp_path / "token_shards" / "train").glob("shard-*"))]
    assert len(sizes) == artifact.metadata["train"]["num_shards"] > 2
    assert max(sizes) < 2 * 70_000 + 3000


def test_damaged_inputs_are_refused(tmp_path: Path) -> None:
    home = small_home()
    with pytest.raises(MissingArtifactError):
        write_token_shards([tmp_path], home / "tokenizer", tmp_path / "x", params=SMALL_SHARDS, config_digest="")
    corpus = write_corpus(tmp_path / "corpus", library_files("json"), [])
    part = corpus / "train" / "part-00000.parquet"
    raw = bytearray(part.read_bytes())
    raw[len(raw) // 2] ^= 1
    part.write_bytes(raw)
    with pytest.raises(CorruptArtifactError, match=r"part-00000\.parquet: sha256"):
        write(tmp_path, corpus)


def test_stars_stand_in_starcoders_layout_only(tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer"
    params = dataclasses.replace(SMALL_TOKENIZER, extra_special_tokens=("<reponame>", "<filename>", "<gh_stars>"))
    train_tokenizer(small_home() / "corpus", tokenizer, params=params, config_digest="")
    encoded = encode_corpus(small_home() / "corpus", tokenizer, tmp_path / "encoded", params=EncodedDocuments())
    shown = {}
    for layout in ("starcoder", "starcoder2"):
        params = dataclasses.replace(
            SMALL_SHARDS, layout=layout, repository_context=False, starcoder_metadata_rate=1.0, fim_rate=0.0
        )
        stars = {"pkg:generic/json@3.11": 7}
        write_token_shards(encoded, tokenizer, tmp_path / layout, params=params, config_digest="", num_stars=stars)
        packed = open_split(tmp_path / layout, "train")
        documents = [packed.document(d)[0] for d in range(packed.num_documents)]
        shown[layout] = [Tokenizer.load(tokenizer).decode(ids[:60], show_special=True) for ids in documents]
    with_stars = [text for text in shown["starcoder"] if b"<gh_stars>1-10\n" in text]
    assert with_stars
    assert all(text.startswith(b"<reponame>json<filename>json/") for text in with_stars)
    assert not any(b"<gh_stars>" in text for text in shown["starcoder2"])
