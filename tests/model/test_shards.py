"""The reader against what the writer was given, the safetensors library as the oracle, and damaged files."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from minicode_assets.tokens.write import write_token_shards
from minicode_model.errors import MissingArtifactError, ShardError
from minicode_model.fim import restore
from minicode_model.shards import PADDING_ID, PADDING_SEGMENT, PackedSplit, open_split
from minicode_model.tensors import map_tensors, write_tensors
from tests.tokens.corpora import SMALL_SHARDS, library_files, small_encoded, small_home, small_tokenizer


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "token_shards"
    home = small_home()
    write_token_shards(small_encoded(), home / "tokenizer", folder, params=SMALL_SHARDS, config_digest="test")
    return folder


@pytest.fixture
def copy(shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / "token_shards"))


def test_attributes(shards: Path) -> None:
    train, validation = open_split(shards, "train"), open_split(shards, "validation")
    assert (train.split, validation.split) == ("train", "validation")
    assert train.seq_len == 128
    assert train.vocab_size == small_tokenizer().vocab_size
    assert train.tokenizer_digest == small_tokenizer().digest
    assert len(train) == train.num_sequences > 1000
    assert len(list((shards / "train").glob("shard-*"))) > 1
    assert validation.num_documents == len(library_files("wsgiref"))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_sequences_are_the_pieces_of_documents(shards: Path, split: str) -> None:
    packed = open_split(shards, split, verify=False)
    seen = [np.zeros(len(packed.document(d)[0]), bool) for d in range(packed.num_documents)]
    for i in range(packed.num_sequences):
        tokens, segments = packed.sequence(i)
        assert tokens.shape == segments.shape == (packed.seq_len,)
        assert (tokens.dtype, segments.dtype) == (np.uint16, np.int32)
        pieces = packed.pieces(i)
        for segment, (document, start, length) in enumerate(pieces):
            assert np.array_equal(tokens[segments == segment], packed.document(document)[0][start : start + length])
            assert not seen[document][start : start + length].any()
            seen[document][start : start + length] = True
        padding = segments == PADDING_SEGMENT
        assert (tokens[padding] == PADDING_ID).all()
        assert padding.sum() == packed.seq_len - sum(length for _, _, length in pieces)
        assert (np.diff(segments[~padding]) >= 0).all()
    assert all(flags.all() for flags in seen)
    assert sum(map(len, seen)) == packed.num_tokens


def test_validation_documents_are_the_files_exactly(shards: Path) -> None:
    tokenizer, packed = small_tokenizer(), open_split(shards, "validation")
    for d, (_, _, text) in enumerate(library_files("wsgiref")):
        tokens, num_bytes = packed.document(d)
        assert tokenizer.decode(tokens, show_special=True) == b"<file_sep>" + text.encode() + b"<|endoftext|>"
        assert num_bytes == len(text.encode())
    assert packed.num_bytes == sum(len(text.encode()) for _, _, text in library_files("wsgiref"))


def test_every_token_is_traced_to_its_file(shards: Path) -> None:
    """The text behind each file's ranges, gathered over all sequences and put in order, is the file's text."""
    tokenizer, packed = small_tokenizer(), open_split(shards, "train")
    table = pl.read_parquet(shards / "train" / "documents.parquet")
    gathered: dict[int, list[tuple[int, np.ndarray]]] = {}
    for i in range(packed.num_sequences):
        tokens, segments = packed.sequence(i)
        covered = np.zeros(packed.seq_len, bool)
        for source in packed.trace(i):
            segment = segments[source.start]
            document, start, _ = packed.pieces(i)[segment]
            assert document == source.document
            position = start + source.start - int(np.argmax(segments == segment))
            gathered.setdefault(source.row, []).append((position, tokens[source.start : source.stop]))
            covered[source.start : source.stop] = True
            assert table["document_id"][source.row] == source.document_id
            assert table["swhid"][source.row].startswith(source.swhid + ";origin=")
        between = tokenizer.decode(tokens[(segments >= 0) & ~covered], show_special=True)
        assert re.fullmatch(rb"(<\|endoftext\|>|<repo_name>(json|logging|email|html))*", between)
    texts = {path: text for _, path, text in library_files("json", "logging", "email", "html")}
    assert len(gathered) == table.height == len(texts)
    for row, parts in gathered.items():
        tokens = np.concatenate([part for _, part in sorted(parts, key=lambda part: part[0])])
        path = table["path"][row]
        raw = tokenizer.decode(restore(tokenizer, tokens))
        assert raw in (texts[path].encode(), f"{path}\n{texts[path]}".encode())


def test_the_safetensors_library_reads_the_same(shards: Path) -> None:
    for path in sorted(shards.rglob("*.safetensors")):
        ours, header = map_tensors(path)
        theirs = safetensors.numpy.load_file(path)
        assert ours.keys() == theirs.keys()
        assert header["tokenizer_digest"] == small_tokenizer().digest
        for name, array in theirs.items():
            assert array.dtype == ours[name].dtype
            assert np.array_equal(array, ours[name])


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from("abcd"), st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(0, 5))))
def test_tensors_come_back(tmp_path_factory: pytest.TempPathFactory, shapes: dict[str, tuple[int, int]]) -> None:
    path = tmp_path_factory.mktemp("tensors") / "file"
    arrays = {name: np.arange(size, dtype=f"u{width}") for name, (width, size) in shapes.items()}
    write_tensors(path, arrays, {"b": "2", "a": "1"})
    found, header = map_tensors(path)
    assert header == {"a": "1", "b": "2"}
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    write_tensors(path.with_name("again"), dict(reversed(arrays.items())), {"a": "1", "b": "2"})
    assert path.read_bytes() == path.with_name("again").read_bytes()


def test_indices_out_of_range(shards: Path) -> None:
    packed = open_split(shards, "validation")
    for call, index in [
        (packed.sequence, packed.num_sequences),
        (packed.sequence, -1),
        (packed.document, packed.num_documents),
        (packed.trace, packed.num_sequences),
    ]:
        with pytest.raises(IndexError):
            call(index)


@pytest.mark.parametrize("verify", [True, False])
def test_a_truncated_shard_is_named_with_its_sizes(copy: Path, verify: bool) -> None:
    path = copy / "train" / "shard-00000.safetensors"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ShardError, match=rf"shard-00000.*found {size - 1000} bytes, expected {size}") as caught:
        open_split(copy, "train", verify=verify)
    assert "hint: minicode materialize --select token_shards --force" in str(caught.value)


@pytest.mark.parametrize("keep", [0, 4, 100, -1000])
def test_a_truncated_shard_without_a_manifest_is_refused_too(copy: Path, keep: int) -> None:
    path = copy / "train" / "shard-00000.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ShardError, match=r"shard-00000\.safetensors: (found|no readable)"):
        PackedSplit(copy / "train")


def test_an_altered_shard_is_refused(copy: Path) -> None:
    path = copy / "train" / "shard-00000.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ShardError, match="sha256 found"):
        open_split(copy, "train")


def test_another_tokenizer_is_refused(shards: Path) -> None:
    digest = small_tokenizer().digest
    assert open_split(shards, "train", tokenizer_digest=digest).num_sequences
    with pytest.raises(ShardError, match=rf"tokenizer digest found {digest}, expected 0123.*\nhint: minicode"):
        open_split(shards, "train", tokenizer_digest="0123")


def edit_header(path: Path, **changes: str | None) -> None:
    arrays, header = map_tensors(path)
    arrays = {name: array.copy() for name, array in arrays.items()}
    header = {name: value for name, value in {**header, **changes}.items() if value is not None}
    write_tensors(path, arrays, header)


def test_shards_of_two_tokenizers_do_not_mix(copy: Path) -> None:
    edit_header(copy / "train" / "shard-00001.safetensors", tokenizer_digest="other")
    with pytest.raises(ShardError, match=r"shard-00001.*digest found other, expected"):
        PackedSplit(copy / "train")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": "9"}, "format_version found 9, expected 1"),
        ({"seq_len": None}, "header field 'seq_len' is absent"),
        ({"vocab_size": "many"}, "many"),
        ({"num_shards": "1"}, r"found \d+ documents and \d+ tokens in the shards, expected"),
        ({"num_shards": "9"}, r"shard-0000\d.safetensors: no readable safetensors header"),
    ],
)
def test_a_wrong_index_header_is_refused(copy: Path, changes: dict[str, str | None], message: str) -> None:
    edit_header(copy / "train" / "index.safetensors", **changes)
    with pytest.raises(ShardError, match=message):
        PackedSplit(copy / "train")


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("row_offsets", 1, 2**40),
        ("row_offsets", 0, 1),
        ("piece_document", -1, 2**63),
        ("piece_start", -1, 10**6),
        ("piece_start", -1, 2**64 - 1),
        ("file_start", None, None),
    ],
)
def test_an_index_of_other_shards_is_refused(copy: Path, name: str, place: int | None, value: int) -> None:
    path = copy / "train" / "index.safetensors"
    arrays, header = map_tensors(path)
    arrays = {each: array.copy() for each, array in arrays.items()}
    if place is None:
        del arrays[name]
    else:
        arrays[name][place] = value
    write_tensors(path, arrays, header)
    with pytest.raises(ShardError, match=r"index\.safetensors: found (no file_start|pieces that lie outside)"):
        PackedSplit(copy / "train")


def test_absent_things(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="split 'test' not found; it has train, validation"):
        open_split(shards, "test")
    with pytest.raises(MissingArtifactError):
        open_split(tmp_path, "train")


def test_the_header_is_plain_json(shards: Path) -> None:
    raw = (shards / "train" / "index.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    assert length % 8 == 0
    assert json.loads(raw[8 : 8 + length])["__metadata__"]["split"] == "train"
