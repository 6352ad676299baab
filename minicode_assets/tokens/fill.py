"""Rooms that best fit leaves are filled with parts of long files, which are cut anyway, and then with whole files.

Where no other file of a repository fits, its piece ends, so that no file is cut in vain; best fit then pairs such
pieces, and what still stays empty is filled here. A row that holds nothing but a plain part from inside a long file is
dissolved: the part is cut again and dealt out to the largest rooms. Where all parts are rearranged, none may be cut
again; then rows of small files are dissolved instead, and each file goes to the room that it fills best. No more files
are cut, hardly any padding is left, and every token stays.
"""

from bisect import bisect_left, insort
from collections.abc import Callable

import numpy as np

from minicode_assets.tokens.pack import Numbers, Placed

Cut = Callable[[int, int, int], int]
"""(document, first token, room) -> how many tokens to take, 1 to room."""
Part = tuple[int, int, int, int]
"""(piece, first token in it, tokens, row)"""
_MOST_FAILURES = 64
"""So many rows in turn that can't be dissolved end the search."""


def fill_rooms(placed: Placed, loose: Numbers, *, seq_len: int, least: int, cut: Cut) -> Placed:
    """Dissolve rows of loose pieces into the rooms of the others, the shortest first, while there are rooms.

    Args:
        placed: Pieces in rows.
        loose: Numbers of the pieces that may be cut anywhere.
        seq_len: Tokens a row.
        least: Smaller rooms are left as they are. Unit: tokens.
        cut: Chooses the places.

    Returns:
        The same tokens in as many rows or fewer; the parts of dissolved pieces come last.
    """
    if not len(loose):
        return placed
    room = (seq_len - np.bincount(placed.row, weights=placed.length)).astype(np.int64)
    donors = loose[np.bincount(placed.row)[placed.row[loose]] == 1]
    donors = donors[np.argsort(placed.length[donors], kind="stable")]
    free = sorted((int(room[row]), row) for row in np.flatnonzero(room >= least).tolist())
    total, parts, filled = sum(size for size, _ in free), list[Part](), set[int]()
    for piece in map(int, donors):
        own, length = int(placed.row[piece]), int(placed.length[piece])
        if own in filled:
            continue
        if (own_room := int(room[own])) >= least:
            free.pop(bisect_left(free, (own_room, own)))
            total -= own_room
        dealt = _deal(placed, piece, free, least=least, cut=cut) if total >= length else []
        if not dealt:
            break
        total -= length
        filled |= {row for *_, row in dealt}
        parts += dealt
    return _with_parts(placed, parts)


def _deal(placed: Placed, piece: int, free: list[tuple[int, int]], *, least: int, cut: Cut) -> list[Part]:
    """Parts that fill the rooms, which are taken from `free`; nothing if the rooms don't suffice."""
    length, document, start = int(placed.length[piece]), int(placed.document[piece]), int(placed.start[piece])
    parts: list[Part] = []
    first = 0
    while first < length:
        if not free:
            return []
        room, row = free.pop(min(bisect_left(free, (length - first, -1)), len(free) - 1))
        taken = length - first if length - first <= room else cut(document, start + first, room)
        parts.append((piece, first, taken, row))
        if room - taken >= least:
            insort(free, (room - taken, row))
        first += taken
    return parts


def move_files(placed: Placed, begin: Numbers, edges: Numbers, *, seq_len: int, least: int) -> Placed:
    """Dissolve rows into the rooms of others, cut between files only; those with the smallest files first.

    Args:
        placed: Pieces in rows.
        begin: Where each piece begins, in tokens of the whole split.
        edges: Where files begin that may stand apart from what is before them, counted the same way.
        seq_len: Tokens a row.
        least: Smaller rooms are left as they are. Unit: tokens.

    Returns:
        The same tokens in as many rows or fewer; the parts of dissolved rows come last.
    """
    used = np.bincount(placed.row, weights=placed.length).astype(np.int64)
    room = seq_len - used
    free = sorted((int(room[row]), row) for row in np.flatnonzero(room >= least).tolist())
    if sum(size for size, _ in free) < used.min(initial=seq_len):
        return placed
    files = _files(placed, begin, edges)
    largest = np.zeros(len(used), np.int64)
    np.maximum.at(largest, files[:, 3], files[:, 2])
    files = files[np.lexsort((files[:, 1], -files[:, 2], files[:, 3]))]
    bounds = np.searchsorted(files[:, 3], np.arange(len(used) + 1))
    parts, filled, failures = list[Part](), set[int](), 0
    for row in np.argsort(largest, kind="stable").tolist():
        if failures == _MOST_FAILURES or row in filled:
            continue
        dealt = _rehouse(files[bounds[row] : bounds[row + 1]].tolist(), row, free, least=least)
        failures = 0 if dealt else failures + 1
        filled |= {target for *_, target in dealt}
        parts += dealt
    return _with_parts(placed, parts)


def _files(placed: Placed, begin: Numbers, edges: Numbers) -> Numbers:
    """Rows of (piece, first token in it, tokens, row): what lies between two edges or ends of a piece."""
    order = np.argsort(begin)
    starts = np.union1d(begin, edges)
    piece = order[np.searchsorted(begin[order], starts, side="right") - 1]
    lengths = np.diff(starts, append=placed.length.sum())
    return np.stack([piece, starts - begin[piece], lengths, placed.row[piece]], axis=1)


def _rehouse(files: list[Part], row: int, free: list[tuple[int, int]], *, least: int) -> list[Part]:
    """The files in the rooms of other rows, which are taken from `free`; nothing if one of them finds none."""
    rooms = [entry for entry in free if entry[1] != row]
    parts: list[Part] = []
    for piece, first, length, _ in files:
        place = bisect_left(rooms, (length, -1))
        if place == len(rooms):
            return []
        room, target = rooms.pop(place)
        parts.append((piece, first, length, target))
        if room - length >= least:
            insort(rooms, (room - length, target))
    free[:] = rooms
    return parts


def _with_parts(placed: Placed, parts: list[Part]) -> Placed:
    dealt = np.array(parts, dtype=np.int64).reshape(-1, 4)
    piece, first, length, row = dealt.T
    whole = np.ones(len(placed.row), np.bool_)
    whole[piece] = False
    return Placed(
        np.concatenate([placed.document[whole], placed.document[piece]]),
        np.concatenate([placed.start[whole], placed.start[piece] + first]),
        np.concatenate([placed.length[whole], length]),
        np.concatenate([placed.row[whole], row]),
    )
