"""An example becomes tokens, already cut into pieces of at most one sequence.

Cutting and fill-in-the-middle are one step, since each decides the other: a part that is rearranged must lie in one
sequence, or its middle would be learnt without its prefix. So a file that fits a sequence is never cut; a longer one
is cut first, and its parts are rearranged within themselves, each filling its sequence. Source: model.md 1.2 lists
what goes wrong otherwise.
"""

from dataclasses import dataclass, field

import numpy as np

from minicode_assets.tokens.format import Example, File
from minicode_model.fim import NUM_SENTINELS, arrange, split_characters, uniforms
from minicode_model.tokenizer import TokenIds, Tokenizer

MIN_FIM_TOKENS = 16
"""Shorter parts stay as they are: there is nothing to tell prefix, middle and suffix apart."""
_MAX_UTF8_BYTES = 4
_FIT_ROUNDS = 4


@dataclass(frozen=True)
class Encoded:
    """An example as tokens.

    Attributes:
        tokens: All tokens, in order.
        piece_lengths: Lengths of the pieces that the tokens are cut into; their sum is len(tokens).
        file_ranges: Start and length of each file, from its `<file_sep>` on.
        num_psm: Parts in PSM order.
        num_spm: Parts in SPM order.
        num_cut_files: Files that lie in more than one piece.
        num_cuts: Cuts inside files.
        num_line_cuts: Of those, the cuts behind the end of a line.
    """

    tokens: TokenIds
    piece_lengths: tuple[int, ...]
    file_ranges: tuple[tuple[int, int], ...]
    num_psm: int
    num_spm: int
    num_cut_files: int
    num_cuts: int
    num_line_cuts: int


@dataclass
class _Pieces:
    """Pieces under construction: at most `seq_len` tokens each; `spent` counts padding that line ends have cost."""

    seq_len: int
    line_padding_fraction: float
    parts: list[TokenIds] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    used: int = 0
    total: int = 0
    spent: int = 0

    @property
    def room(self) -> int:
        return self.seq_len - self.used

    def add(self, ids: TokenIds) -> None:
        while len(ids) > self.room:
            here, ids = ids[: self.room], ids[self.room :]
            self._append(here)
            self.close()
        self._append(ids)

    def _append(self, ids: TokenIds) -> None:
        self.parts.append(ids)
        self.used += len(ids)
        self.total += len(ids)

    def close(self) -> None:
        if self.used:
            self.lengths.append(self.used)
            self.used = 0

    def affords(self, tokens: int) -> bool:
        return self.spent + tokens <= self.line_padding_fraction * (self.total + self.seq_len)


class ExampleEncoder:
    """Encodes examples; holds what depends on the tokenizer and the configuration only.

    Args:
        tokenizer: The tokenizer.
        seq_len: Tokens a sequence, at least 32.
        fim_spm_rate: Share of SPM among the rearranged parts, 0..1.
        line_padding_fraction: See config.TokenShards.
        seed: See config.TokenShards.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, seq_len: int, fim_spm_rate: float, line_padding_fraction: float, seed: int
    ) -> None:
        self._tokenizer = tokenizer
        self._seq_len = seq_len
        self._fim_spm_rate = fim_spm_rate
        self._line_padding_fraction = line_padding_fraction
        self._seed = seed
        table = tokenizer.token_bytes
        self._ends_line = np.array([piece.endswith(b"\n") for piece in table])
        self._continues = np.array([len(piece) > 0 and piece[0] & 0xC0 == 0x80 for piece in table])
        self._file_sep, self._repo_name, self._end = (
            np.array([tokenizer.special(name)], tokenizer.dtype)
            for name in ("<file_sep>", "<repo_name>", "<|endoftext|>")
        )

    def encode(self, example: Example) -> Encoded:
        """Tokens and pieces of one example; the same whenever and wherever it is called."""
        work = _Work(_Pieces(self._seq_len, self._line_padding_fraction), example)
        if example.repository is not None:
            work.pieces.add(np.concatenate([self._repo_name, self._tokenizer.encode(example.repository)]))
        for number, file in enumerate(example.files):
            self._add_file(work, file, is_last=number == len(example.files) - 1)
        work.pieces.close()
        return work.result()

    def _add_file(self, work: "_Work", file: File, *, is_last: bool) -> None:
        pieces = work.pieces
        path = self._tokenizer.encode(file.path + "\n" if work.example.repository is not None else "")
        body = self._tokenizer.encode(file.text)
        end = self._end if is_last else self._end[:0]
        num_marks = len(self._file_sep) + len(end)
        room = self._seq_len if work.file_ranges else pieces.room
        whole, order = self._whole(work, file, path, body, room - num_marks)
        if num_marks + len(whole) > pieces.room and work.file_ranges:
            pieces.close()
        start, cuts = pieces.total, work.num_cuts
        pieces.add(self._file_sep)
        if num_marks + len(whole) <= room:
            pieces.add(whole)
            work.count(order)
        else:
            self._add_long(work, file, path, body, len(end))
        work.num_cut_files += work.num_cuts > cuts
        work.file_ranges.append((start, pieces.total - start))
        pieces.add(end)

    def _whole(self, work: "_Work", file: File, path: TokenIds, body: TokenIds, room: int) -> tuple[TokenIds, str]:
        """A whole file as it would stand in one sequence, and its order: plain where it fits in that order only."""
        plain = np.concatenate([path, body])
        order = self._order(work, file, 0)
        if order == "plain" or len(body) < MIN_FIM_TOKENS or len(plain) + NUM_SENTINELS > room:
            return plain, "plain"
        parts = split_characters(file.text, *self._cuts(file, 0))
        prefix, middle, suffix = (self._tokenizer.encode(part) for part in parts)
        ids = arrange(self._tokenizer, np.concatenate([path, prefix]), middle, suffix, spm=order == "spm")
        return (ids, order) if len(ids) <= room else (plain, "plain")

    def _add_long(self, work: "_Work", file: File, path: TokenIds, body: TokenIds, num_end: int) -> None:
        """Cut a file that exceeds a sequence; every part but the last fills its piece."""
        pieces, start, number = work.pieces, 0, 0
        if len(path) >= pieces.room // 2:
            pieces.add(path)
            path = path[:0]
        if not pieces.room:
            pieces.close()
        while start < len(body):
            order = self._order(work, file, number)
            fitted = self._fit_fim(pieces, file, number, path, body[start:], order) if order != "plain" else None
            if fitted is not None:
                ids, taken = fitted
            else:
                order, taken = "plain", self._plain_length(work, body[start:], pieces.room - len(path), num_end)
                ids = np.concatenate([path, body[start : start + taken]])
            start, number, path = start + taken, number + 1, path[:0]
            pieces.add(ids)
            work.count(order)
            if start < len(body):
                if order != "plain":
                    pieces.add(self._end)
                work.num_cuts += 1
                work.num_line_cuts += bool(self._ends_line[body[start - 1]])
                pieces.close()

    def _plain_length(self, work: "_Work", body: TokenIds, room: int, num_end: int) -> int:
        """How many tokens a part takes: all that are left, or as many as fit, best to the end of a line."""
        if len(body) + num_end <= room:
            return len(body)
        limit = self._character_start(body, max(1, min(room, len(body) - 1)))
        return self._line_end(work.pieces, body[:limit], room - limit, 0)

    def _line_end(self, pieces: _Pieces, body: TokenIds, padding: int, num_fixed_bytes: int) -> int:
        """The place behind the last line end of a part, if the padding can be afforded; otherwise the part's end.

        Args:
            pieces: Keeps the account of padding.
            body: The part.
            padding: Tokens that the part leaves empty already.
            num_fixed_bytes: Bytes that the part must keep.
        """
        lines = np.flatnonzero(self._ends_line[body])
        if len(lines):
            stop = int(lines[-1]) + 1
            padding += len(body) - stop
            if pieces.affords(padding) and self._tokenizer.num_bytes(body[:stop]) >= num_fixed_bytes:
                pieces.spent += padding
                return stop
        return len(body)

    def _fit_fim(
        self, pieces: _Pieces, file: File, number: int, path: TokenIds, body: TokenIds, order: str
    ) -> tuple[TokenIds, int] | None:
        """A rearranged part that fills the room, and how many of the body's tokens it took; None if none fits.

        Prefix and middle are fixed first; then the suffix grows or shrinks until the part, with its sentinels and
        one more token for the end, fills the room.
        """
        longest = pieces.room - len(self._end)
        taken = min(len(body), longest - NUM_SENTINELS - len(path))
        if taken < MIN_FIM_TOKENS:
            return None
        taken = self._character_start(body, taken)
        head, middle, _ = split_characters(self._text(body[:taken]), *self._cuts(file, number))
        prefix = np.concatenate([path, self._tokenizer.encode(head)])
        inner = self._tokenizer.encode(middle)
        num_fixed_bytes = len((head + middle).encode("utf-8", "surrogateescape"))

        def assemble(taken: int) -> TokenIds:
            tail = self._tokenizer.decode(body[:taken])[num_fixed_bytes:]
            return arrange(self._tokenizer, prefix, inner, self._tokenizer.encode(tail), spm=order == "spm")

        best = None
        for _ in range(_FIT_ROUNDS):
            ids = assemble(taken)
            missing = longest - len(ids)
            if missing >= 0 and (best is None or taken > best[1]):
                best = ids, taken
            following = self._character_start(body, min(len(body), taken + missing))
            if following == taken or self._tokenizer.num_bytes(body[:following]) < num_fixed_bytes:
                break
            taken = following
        if best is None or best[1] == len(body):
            return best
        line = self._line_end(pieces, body[: best[1]], longest - len(best[0]), num_fixed_bytes)
        ids = assemble(line)
        return (ids, line) if len(ids) <= longest else best

    def _order(self, work: "_Work", file: File, number: int) -> str:
        chance, choice = uniforms(2, self._seed, "fim", file.document_id, number)
        if chance >= work.example.fim_rate:
            return "plain"
        return "spm" if choice < self._fim_spm_rate else "psm"

    def _cuts(self, file: File, number: int) -> tuple[float, float]:
        first, second = uniforms(2, self._seed, "cuts", file.document_id, number)
        return first, second

    def _text(self, ids: TokenIds) -> str:
        return self._tokenizer.decode(ids).decode("utf-8", "surrogateescape")

    def _character_start(self, body: TokenIds, stop: int) -> int:
        """The nearest place at or before `stop` that doesn't split a character written as byte tokens."""
        for place in range(stop, max(stop - _MAX_UTF8_BYTES, 1), -1):
            if place >= len(body) or not self._continues[body[place]]:
                return place
        return stop


@dataclass
class _Work:
    """One example on its way to tokens."""

    pieces: _Pieces
    example: Example
    file_ranges: list[tuple[int, int]] = field(default_factory=list)
    orders: dict[str, int] = field(default_factory=lambda: {"plain": 0, "psm": 0, "spm": 0})
    num_cut_files: int = 0
    num_cuts: int = 0
    num_line_cuts: int = 0

    def count(self, order: str) -> None:
        self.orders[order] += 1

    def result(self) -> Encoded:
        return Encoded(
            tokens=np.concatenate(self.pieces.parts),
            piece_lengths=tuple(self.pieces.lengths),
            file_ranges=tuple(self.file_ranges),
            num_psm=self.orders["psm"],
            num_spm=self.orders["spm"],
            num_cut_files=self.num_cut_files,
            num_cuts=self.num_cuts,
            num_line_cuts=self.num_line_cuts,
        )
