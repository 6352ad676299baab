"""Pieces of documents become rows of `seq_len` tokens: arrays in, arrays out.

Best fit decreasing: pieces from the longest to the shortest, each into the fullest row that still has room. Of the
ways compared in model.md 5.1 it is the one that neither discards tokens nor cuts documents that fit.
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
_SOME = 1 << 16


@dataclass(frozen=True)
class Packing:
    """Rows as runs of pieces.

    Attributes:
        row_offsets: Row r holds pieces row_offsets[r] to row_offsets[r + 1]; shape [R + 1].
        piece_document: Document of each piece; shape [P], in row order.
        piece_start: Its first token within the document; shape [P].
        piece_length: Its tokens; shape [P].
    """

    row_offsets: Numbers
    piece_document: Numbers
    piece_start: Numbers
    piece_length: Numbers

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self.row_offsets) - 1


@dataclass(frozen=True)
class Placed:
    """Pieces and the row of each, as arrays of the same length; fields as in `Packing`."""

    document: Numbers
    start: Numbers
    length: Numbers
    row: Numbers


def pack_best_fit(
    documents: Numbers,
    starts: Numbers,
    lengths: Numbers,
    *,
    seq_len: int,
    seed: int,
    fill: Callable[[Placed], Placed] = lambda placed: placed,
) -> Packing:
    """Pack pieces, none longer than a row, best fit decreasing; the rows are then put in seeded random order.

    Args:
        documents: Document of each piece.
        starts: First token of each piece within its document.
        lengths: Tokens of each piece, 1 to seq_len.
        seq_len: Tokens a row.
        seed: Seed of the rows' order, so that the first rows are a fair sample.
        fill: May cut pieces again to fill rooms that are left.

    Returns:
        A packing that holds every piece once, in a row the longest first.
    """
    order = np.argsort(-lengths, kind="stable")
    rows = np.empty(len(lengths), dtype=np.int64)
    rows[order] = assign_rows(lengths[order], seq_len)
    placed = fill(Placed(documents, starts, lengths, rows))
    used = np.bincount(placed.row) > 0
    num_rows = int(used.sum())
    names = np.random.Generator(np.random.PCG64(seed)).permutation(num_rows)
    rows = names[(np.cumsum(used) - 1)[placed.row]]
    chosen = np.lexsort((-placed.length, rows))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=num_rows))])
    return Packing(offsets, placed.document[chosen], placed.start[chosen], placed.length[chosen])


def assign_rows(lengths: Numbers, seq_len: int) -> Numbers:
    """The row of each piece under best fit: the fullest row with room, or a new one.

    Rows are kept by their room, and an integer has bit r set where some row has room r: finding the least room that
    suffices is then one shift. Among rows with equal room, the one that got there last is taken.

    Args:
        lengths: Tokens of each piece, in the order in which they are placed.
        seq_len: Tokens a row.
    """
    by_room = [array("q") for _ in range(seq_len + 1)]
    rooms, num_rows, rows = 0, 0, np.empty(len(lengths), dtype=np.int64)
    for number, length in enumerate(_integers(lengths)):
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = by_room[room].pop()
            if not by_room[room]:
                rooms ^= 1 << room
        else:
            room, row, num_rows = seq_len, num_rows, num_rows + 1
        rows[number] = row
        if room > length:
            by_room[room - length].append(row)
            rooms |= 1 << (room - length)
    return rows


def _integers(numbers: Numbers) -> Iterator[int]:
    """Python's integers, which are quicker one by one than an array's and take five times the room, some at a time."""
    for first in range(0, len(numbers), _SOME):
        yield from numbers[first : first + _SOME].tolist()


def pack_concatenated(doc_lengths: Numbers, *, seq_len: int) -> Packing:
    """Lay the documents end to end and cut wherever a row is full; for comparison.

    Args:
        doc_lengths: Tokens of each document, at least 1.
        seq_len: Tokens a row.
    """
    stops = np.cumsum(doc_lengths)
    total = int(stops[-1]) if len(stops) else 0
    edges = np.unique(np.concatenate([[0], stops, np.arange(0, total, seq_len), [total]]))
    begin, end = edges[:-1], edges[1:]
    documents = np.searchsorted(stops, begin, side="right")
    row_offsets = np.searchsorted(begin, np.arange(0, total + seq_len, seq_len)[: -(-total // seq_len) + 1])
    starts = begin - (stops - doc_lengths)[documents] if total else begin
    return Packing(row_offsets.astype(np.int64), documents.astype(np.int64), starts, end - begin)
