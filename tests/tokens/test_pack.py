"""Packing loses and repeats nothing, and best fit is best fit: a slow search over all rows is the oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.tokens.pack import Packing, assign_rows, pack_best_fit, pack_concatenated

LENGTHS = st.lists(st.integers(1, 32), max_size=60)


def slow_rooms(lengths: list[int], seq_len: int) -> list[int]:
    rooms: list[int] = []
    for length in lengths:
        fitting = [row for row, room in enumerate(rooms) if room >= length]
        if fitting:
            rooms[min(fitting, key=rooms.__getitem__)] -= length
        else:
            rooms.append(seq_len - length)
    return sorted(rooms)


@given(LENGTHS)
def test_best_fit_leaves_the_room_that_a_slow_search_leaves(lengths: list[int]) -> None:
    rows = assign_rows(np.array(lengths, np.int64), 32)
    used = np.bincount(rows, weights=lengths) if lengths else np.zeros(0)
    assert sorted((32 - used).astype(int).tolist()) == slow_rooms(lengths, 32)


def check_conserved(packing: Packing, doc_lengths: list[int], seq_len: int) -> None:
    seen = [np.zeros(length, int) for length in doc_lengths]
    for document, start, length in zip(packing.piece_document, packing.piece_start, packing.piece_length, strict=True):
        assert length > 0
        assert start + length <= doc_lengths[document]
        seen[document][start : start + length] += 1
    assert all((count == 1).all() for count in seen), "every token of every document lies in one row"
    assert packing.row_offsets[0] == 0
    assert packing.row_offsets[-1] == len(packing.piece_length)
    sums = [
        packing.piece_length[first:last].sum()
        for first, last in zip(packing.row_offsets[:-1], packing.row_offsets[1:], strict=True)
    ]
    assert all(0 < total <= seq_len for total in sums)


@given(LENGTHS, st.integers(0, 3))
def test_best_fit_conserves_tokens(lengths: list[int], seed: int) -> None:
    array = np.array(lengths, np.int64)
    packing = pack_best_fit(np.arange(len(lengths)), np.zeros_like(array), array, seq_len=32, seed=seed)
    check_conserved(packing, lengths, 32)


@given(st.lists(st.integers(1, 200), max_size=30), st.integers(1, 40))
def test_concatenation_conserves_tokens_and_fills_every_row_but_the_last(lengths: list[int], seq_len: int) -> None:
    packing = pack_concatenated(np.array(lengths, np.int64), seq_len=seq_len)
    check_conserved(packing, lengths, seq_len)
    assert packing.num_rows == -(-sum(lengths) // seq_len)
    assert packing.piece_document.tolist() == sorted(packing.piece_document.tolist())


def test_seed_changes_the_order_of_rows_and_nothing_else() -> None:
    lengths = np.random.default_rng(0).integers(1, 33, 500)
    packings = [
        pack_best_fit(np.arange(500), np.zeros_like(lengths), lengths, seq_len=32, seed=seed) for seed in (1, 1, 2)
    ]
    rows = [
        [tuple(p.piece_document[a:b].tolist()) for a, b in zip(p.row_offsets[:-1], p.row_offsets[1:], strict=True)]
        for p in packings
    ]
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]
    assert sorted(rows[0]) == sorted(rows[2])


def test_many_uniform_pieces_take_hardly_more_rows_than_they_must() -> None:
    lengths = np.random.default_rng(0).integers(1, 513, 20_000)
    packing = pack_best_fit(np.arange(20_000), np.zeros_like(lengths), lengths, seq_len=512, seed=0)
    assert packing.num_rows <= 1.002 * max(-(-lengths.sum() // 512), (lengths > 256).sum())


@pytest.mark.parametrize("pack", ["best_fit", "concatenate"])
def test_nothing_packs_to_nothing(pack: str) -> None:
    empty = np.zeros(0, np.int64)
    if pack == "best_fit":
        packing = pack_best_fit(empty, empty, empty, seq_len=8, seed=0)
    else:
        packing = pack_concatenated(empty, seq_len=8)
    assert packing.num_rows == 0
    assert packing.row_offsets.tolist() == [0]
