"""Where a document that is already written can be cut: behind the end of a line, never inside a character."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minicode_model.shards import shard_name
from minicode_model.tensors import map_tensors
from minicode_model.tokenizer import TokenIds, Tokenizer

_MAX_UTF8_BYTES = 4


class CutPlaces:
    """Reads tokens of written shards; a place is a number of tokens from the split's first on.

    A shard is mapped for each look and let go of, or in the end all of them would be resident.

    Args:
        path: The split's folder; its shards are there.
        tokenizer: The tokenizer.
        shard_sizes: Tokens of each shard.
    """

    def __init__(self, path: Path, tokenizer: Tokenizer, shard_sizes: Sequence[int]) -> None:
        table = tokenizer.token_bytes
        self._ends_line = np.array([piece.endswith(b"\n") for piece in table])
        self._continues = np.array([bool(piece) and piece[0] & 0xC0 == 0x80 for piece in table])
        self._firsts = np.cumsum([0, *shard_sizes])
        self._path = path

    def _tokens(self, place: int, count: int) -> TokenIds:
        shard = int(np.searchsorted(self._firsts, place, side="right")) - 1
        start = place - int(self._firsts[shard])
        tokens: TokenIds = map_tensors(self._path / shard_name(shard))[0]["tokens"]
        return tokens[start : start + count].copy()

    def choose(self, first: int, room: int, *, least: int) -> int:
        """How many tokens from `first` on to take, `room` at most: behind the last line end, if `least` are taken."""
        ids = self._tokens(first, room + 1)
        lines = np.flatnonzero(self._ends_line[ids[least - 1 : room]])
        if len(lines):
            return least + int(lines[-1])
        takes = range(room, max(room - _MAX_UTF8_BYTES, 0), -1)
        return next((taken for taken in takes if not self._continues[ids[taken]]), room)

    def is_behind_line(self, place: int) -> bool:
        """The token before it ends a line."""
        return bool(self._ends_line[self._tokens(place - 1, 1)[0]])
