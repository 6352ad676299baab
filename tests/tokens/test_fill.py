"""Rooms are filled by cutting again what is cut anyway: every token stays, and no file is cut in vain."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.tokens.cut_places import CutPlaces
from minicode_assets.tokens.fill import fill_rooms, move_files
from minicode_assets.tokens.pack import Placed, assign_rows
from minicode_assets.tokens.write import write_token_shards
from minicode_model.shards import open_split, shard_name
from minicode_model.tensors import write_tensors
from tests.tokens.corpora import SMALL_SHARDS, small_encoded, small_home, small_tokenizer

SEQ_LEN = 32


def place(lengths: list[int]) -> Placed:
    order = np.argsort(-np.array(lengths, np.int64), kind="stable")
    rows = np.empty(len(lengths), np.int64)
    rows[order] = assign_rows(np.array(lengths)[order], SEQ_LEN)
    return Placed(np.arange(len(lengths)), np.full(len(lengths), 100), np.array(lengths, np.int64), rows)


@given(st.lists(st.tuples(st.integers(1, SEQ_LEN), st.booleans()), min_size=1, max_size=60), st.integers(1, 6))
def test_every_token_stays_and_only_loose_pieces_are_cut(drawn: list[tuple[int, bool]], least: int) -> None:
    lengths = [length for length, _ in drawn]
    placed, loose = place(lengths), np.flatnonzero([is_loose for _, is_loose in drawn])
    taken = max(1, least - 1)
    filled = fill_rooms(placed, loose, seq_len=SEQ_LEN, least=least, cut=lambda document, first, room: min(room, taken))
    for document, length in enumerate(lengths):
        parts = sorted(
            (start, size)
            for d, start, size in zip(filled.document, filled.start, filled.length, strict=True)
            if d == document
        )
        assert [start for start, _ in parts] == (np.cumsum([100] + [size for _, size in parts])[:-1]).tolist()
        assert sum(size for _, size in parts) == length
        assert len(parts) == 1 or document in loose
    used = np.bincount(filled.row, weights=filled.length)
    assert used.max() <= SEQ_LEN
    assert len(np.unique(filled.row)) <= len(np.unique(placed.row))


def test_a_row_of_a_loose_piece_is_dissolved_into_the_rooms() -> None:
    placed = place([20, 25, 30, 18])
    filled = fill_rooms(placed, np.array([3]), seq_len=SEQ_LEN, least=2, cut=lambda document, first, room: room)
    assert len(np.unique(placed.row)) == 4
    assert sorted(np.bincount(filled.row, weights=filled.length).astype(int).tolist(), reverse=True)[:3] == [32, 31, 30]


@given(st.lists(st.lists(st.integers(1, SEQ_LEN), min_size=1, max_size=4), min_size=1, max_size=20), st.integers(1, 6))
def test_files_are_moved_whole_and_every_token_stays(drawn: list[list[int]], least: int) -> None:
    files = [[length for length, so_far in zip(piece, np.cumsum(piece), strict=True) if so_far <= SEQ_LEN]
             for piece in drawn]  # fmt: skip
    placed = place(list(map(sum, files)))
    begin = np.cumsum([0, *placed.length])[:-1]
    starts = {int(at) for first, piece in zip(begin, files, strict=True) for at in first + np.cumsum([0, *piece])[:-1]}
    edges = np.array(sorted(starts - set(begin.tolist())), np.int64)
    moved = move_files(placed, begin, edges, seq_len=SEQ_LEN, least=least)
    where = begin[moved.document] + moved.start - 100
    order = np.argsort(where)
    assert (where[order] == np.cumsum([0, *moved.length[order]])[:-1]).all()
    assert moved.length.sum() == placed.length.sum()
    assert set(where.tolist()) <= starts
    assert np.bincount(moved.row, weights=moved.length).max() <= SEQ_LEN
    assert len(np.unique(moved.row)) <= len(np.unique(placed.row))


def test_a_row_of_small_files_is_dissolved_into_the_rooms() -> None:
    placed = place([20, 25, 19])
    moved = move_files(placed, np.array([0, 20, 45]), np.array([52, 57]), seq_len=SEQ_LEN, least=2)
    assert len(set(placed.row)) == 3
    assert sorted(moved.length.tolist()) == [5, 7, 7, 20, 25]
    assert np.bincount(moved.row, weights=moved.length).tolist().count(SEQ_LEN) == len(set(moved.row)) == 2


@pytest.mark.parametrize("least", [1, 16])
def test_places_are_behind_lines_or_between_characters(tmp_path: Path, least: int) -> None:
    tokenizer = small_tokenizer()
    ids = tokenizer.encode("x = '漢字🐍é'\n" * 30 + "漢" * 300)
    for number, part in enumerate((ids[:500], ids[500:])):
        write_tensors(tmp_path / shard_name(number), {"tokens": part}, {})
    places = CutPlaces(tmp_path, tokenizer, [500, len(ids) - 500])
    for first, stop in ((0, 500), (37, 500), (400, 500), (510, len(ids) - 100)):
        for room in (20, 64):
            taken = places.choose(first, min(room, stop - first - 1), least=least)
            part, rest = tokenizer.decode(ids[first : first + taken]), tokenizer.decode(ids[first + taken : stop])
            assert 0 < taken <= room
            assert part.endswith(b"\n") == places.is_behind_line(first + taken)
            assert part.endswith(b"\n") or b"\n" not in tokenizer.decode(ids[first + least : first + taken])
            assert rest[0] & 0xC0 != 0x80, "no character is cut"


@pytest.mark.parametrize(("seq_len", "fim_rate"), [(256, 0.5), (1024, 0.5), (1024, 1.0)])
def test_only_files_longer_than_a_sequence_are_cut(tmp_path: Path, seq_len: int, fim_rate: float) -> None:
    params = dataclasses.replace(SMALL_SHARDS, seq_len=seq_len, fim_rate=fim_rate, fim_file_rate=fim_rate)
    folder, tokenizer = tmp_path / "token_shards", small_home() / "tokenizer"
    figures = write_token_shards(small_encoded(), tokenizer, folder, params=params, config_digest="").metadata["train"]
    packed = open_split(folder, "train")
    edges = {
        (document, start) for i in range(len(packed)) for document, start, _ in packed.pieces(i)
    }  # fmt: skip
    table = pl.read_parquet(folder / "train" / "documents.parquet")
    cut = [
        length
        for document, start, length in table.select("document", "token_start", "num_tokens").iter_rows()
        if any((document, place) in edges for place in range(start + 1, start + length))
    ]
    assert len(cut) == figures["num_cut_files"] == figures["num_long_files"] > 0
    assert min(cut) > seq_len - 16, "a repository's name and the end may stand beside the file"
    padding = len(packed) * seq_len - packed.num_tokens
    assert padding < 0.001 * packed.num_tokens + seq_len
    total = sum(length for i in range(len(packed)) for *_, length in packed.pieces(i))
    assert (figures["num_tokens"], figures["num_pieces"]) == (total, len(edges))
