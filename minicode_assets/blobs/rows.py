"""The wanted contents of a partition, in arrays: fifty bytes each, where a frame takes twice that and copies it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from minicode_assets.blobs.backends import Wanted

_SLICE_ROWS = 4096
_ID_BYTES = 20
_Ids = np.ndarray[Any, np.dtype[np.bytes_]]
_Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, eq=False)
class Rows:
    """Contents by rank: their number in the order of sha1_git, from 0.

    Attributes:
        sha1_git: 20 bytes each, rising; numpy shows them without the NUL bytes that some end with.
        sha1: 20 bytes each, likewise.
        length: Bytes, from the tables.
        priority: Least first.
    """

    sha1_git: _Ids
    sha1: _Ids
    length: _Numbers
    priority: np.ndarray[Any, np.dtype[np.int8]]

    @classmethod
    def of_frame(cls, frame: pl.DataFrame) -> Self:
        """From a frame with these columns (priority Int8), in any order of rows."""
        ordered = frame if frame["sha1_git"].is_sorted() else frame.sort("sha1_git")
        sha1_git, sha1 = (_ids(ordered[name]) for name in ("sha1_git", "sha1"))
        return cls(sha1_git, sha1, ordered["length"].to_numpy().copy(), ordered["priority"].to_numpy().copy())

    def __len__(self) -> int:
        return len(self.length)

    def wanted(self, ranks: Iterable[int]) -> Iterator[Wanted]:
        """The contents of these ranks, in their order; made as they are taken."""
        for rank in map(int, ranks):
            yield Wanted(rank, _whole(self.sha1_git[rank]), _whole(self.sha1[rank]), int(self.length[rank]))

    def rank_of(self, sha1_git: bytes) -> int | None:
        """The rank of a content; None where it is not wanted."""
        rank = int(np.searchsorted(self.sha1_git, np.bytes_(sha1_git)))
        return rank if rank < len(self) and _whole(self.sha1_git[rank]) == sha1_git else None


def _whole(shown: bytes) -> bytes:
    return bytes(shown).ljust(_ID_BYTES, b"\0")


def _ids(column: pl.Series) -> _Ids:
    """The column's ids; slice by slice, so that no list of all of them is made."""
    found = np.empty(len(column), f"S{_ID_BYTES}")
    for start in range(0, len(column), _SLICE_ROWS):
        part = column.slice(start, _SLICE_ROWS).to_list()
        found[start : start + len(part)] = part
    return found
