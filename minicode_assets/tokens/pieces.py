"""An example under construction: tokens in pieces of at most one sequence, with an account of what was cut."""

from dataclasses import dataclass, field

import numpy as np

from minicode_assets.tokens.format import Example
from minicode_model.tokenizer import TokenIds

_CREDIT_SEQUENCES = 5
"""The allowance of padding begins as if so many sequences were written, or the first cuts could never afford a line."""


@dataclass(frozen=True)
class Encoded:
    """An example as tokens.

    Attributes:
        tokens: All tokens, in order.
        piece_lengths: Lengths of the pieces that the tokens are cut into; their sum is len(tokens).
        file_order: Numbers of the example's files, in the order in which they lie in the tokens.
        file_ranges: Start and length of each of them, from its first special token on, in the same order.
        num_psm: Parts in PSM order.
        num_spm: Parts in SPM order.
        num_cut_files: Files that lie in more than one piece.
        num_long_files: Files that don't fit a sequence even alone (the first: with the repository's name before it).
        num_cuts: Cuts inside files.
        num_line_cuts: Of those, the cuts behind the end of a line.
        loose_pieces: Numbers of the pieces that are nothing but a plain part of a file that is cut: to cut them again
            cuts no other file.
    """

    tokens: TokenIds
    piece_lengths: tuple[int, ...]
    file_order: tuple[int, ...]
    file_ranges: tuple[tuple[int, int], ...]
    num_psm: int
    num_spm: int
    num_cut_files: int
    num_long_files: int
    num_cuts: int
    num_line_cuts: int
    loose_pieces: tuple[int, ...] = ()


@dataclass
class Pieces:
    """Collects tokens and closes a piece when it is full.

    Attributes:
        example: The example.
        seq_len: Tokens a piece at most.
        padding_fraction: Padding that may be spent, 0..1 of the tokens.
        used: Tokens in the open piece.
        total: Tokens in all pieces.
    """

    example: Example
    seq_len: int
    padding_fraction: float
    used: int = 0
    total: int = 0
    _parts: list[TokenIds] = field(default_factory=list)
    _lengths: list[int] = field(default_factory=list)
    _is_loose: bool = False
    _loose: list[int] = field(default_factory=list)
    _files: list[tuple[int, tuple[int, int]]] = field(default_factory=list)
    _spent: int = 0
    _orders: dict[str, int] = field(default_factory=lambda: {"plain": 0, "psm": 0, "spm": 0})
    _file_cuts: list[int] = field(default_factory=list)
    _num_cuts: int = 0
    _num_line_cuts: int = 0
    _num_long_files: int = 0

    @property
    def room(self) -> int:
        """Tokens that the open piece still takes."""
        return self.seq_len - self.used

    @property
    def is_bare(self) -> bool:
        """The open piece holds no file: nothing, or only what the example begins with."""
        return not self.used or not self._files

    def add(self, ids: TokenIds, *, is_loose: bool = False) -> None:
        """Append tokens; what exceeds the room goes to the next piece. Loose ones may be cut anywhere."""
        while len(ids) > self.room:
            here, ids = ids[: self.room], ids[self.room :]
            self._append(here, is_loose)
            self.close()
        self._append(ids, is_loose)

    def _append(self, ids: TokenIds, is_loose: bool) -> None:
        if len(ids):
            self._is_loose = is_loose and not self.used
        self._parts.append(ids)
        self.used += len(ids)
        self.total += len(ids)

    def close(self) -> None:
        """End the open piece, if it has tokens."""
        if self.used:
            if self._is_loose:
                self._loose.append(len(self._lengths))
            self._lengths.append(self.used)
            self.used = 0

    def spend(self, padding: int) -> bool:
        """Take padding from the allowance, which grows with the tokens; False, and nothing taken, if it's too much."""
        tokens = self.total + _CREDIT_SEQUENCES * self.seq_len
        affordable = self._spent + padding <= self.padding_fraction * tokens
        self._spent += padding if affordable else 0
        return affordable

    def count_part(self, order: str) -> None:
        """Note a part in `plain`, `psm` or `spm` order."""
        self._orders[order] += 1

    def count_cut(self, *, behind_line: bool) -> None:
        """Note a cut inside a file."""
        self._num_cuts += 1
        self._num_line_cuts += behind_line

    def count_long_file(self) -> None:
        """Note a file that doesn't fit a sequence."""
        self._num_long_files += 1

    def end_file(self, number: int, start: int, cuts_before: int) -> None:
        """Note where a file of the example lies, from `start` to the present end."""
        self._files.append((number, (start, self.total - start)))
        self._file_cuts.append(self._num_cuts - cuts_before)

    @property
    def num_cuts(self) -> int:
        """Cuts inside files so far."""
        return self._num_cuts

    def result(self) -> Encoded:
        """Close the last piece and give the example."""
        self.close()
        return Encoded(
            tokens=np.concatenate(self._parts),
            piece_lengths=tuple(self._lengths),
            file_order=tuple(number for number, _ in self._files),
            file_ranges=tuple(place for _, place in self._files),
            num_psm=self._orders["psm"],
            num_spm=self._orders["spm"],
            num_cut_files=sum(cuts > 0 for cuts in self._file_cuts),
            num_long_files=self._num_long_files,
            num_cuts=self._num_cuts,
            num_line_cuts=self._num_line_cuts,
            loose_pieces=tuple(self._loose),
        )
