"""Rooms that best fit leaves are filled with parts of long files, which are cut anyway.

Where no other file of a repository fits, its piece ends, so that no file is cut in vain; best fit then pairs such
pieces, and what still stays empty is filled here. A row that holds nothing but a plain part from inside a long file is
dissolved: the part is cut again and dealt out to the largest rooms. No more files are cut, hardly any padding is left,
and every token stays.
"""

from bisect import bisect_left, insort
from collections.abc import Callable

import numpy as np

from minicode_assets.tokens.pack import Numbers, Placed

Cut = Callable[[int, int, int], int]
"""(document, first token, room) -> how many tokens to take, 1 to room."""
Part = tuple[int, int, int, int]
"""(piece, first token in it, tokens, row)"""


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
