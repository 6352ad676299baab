"""An example becomes tokens, already cut into pieces of at most one sequence.

Cutting and fill-in-the-middle are one step, since each decides the other: a part that is rearranged must lie in one
sequence, or its middle would be learnt without its prefix. So a file is cut first, and its parts are rearranged
within themselves, each filling its piece. Only files that exceed a sequence are cut. In a repository the files that fit
are chosen to fill a sequence; where none does, one that exceeds a sequence begins in the room that is left, since it is
cut anyway. Without such a one, files are chosen that together fill the room best, and the rest of it is left to other
documents (`pack`, `fill`). Source: model.md 1.2 lists what goes wrong otherwise.
"""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

import numpy as np

from minicode_assets.tokens.format import Example, File
from minicode_assets.tokens.pieces import Encoded, Pieces
from minicode_assets.tokens.text import EncodedText, encode_parts
from minicode_model.fim import NUM_SENTINELS, arrange, split_characters, uniforms
from minicode_model.tokenizer import TokenIds, Tokenizer

MIN_FIM_TOKENS = 16
"""Shorter parts stay as they are: there is nothing to tell prefix, middle and suffix apart."""
MIN_PART_TOKENS = 16
"""A file is not begun in less room than this."""
CHOICE_FILES = 256
"""So many of a repository's next files are looked at for one that fits; with it, memory and time stay bounded."""
_KEPT_LONG = 8
"""The last files that must be cut anyway are kept for rooms that nothing else fills."""
_FIM_RESERVE_TOKENS = 8
"""Kept for what the cuts add, since a token that is cut becomes two or more; the suffix then takes what is left."""
_FILL_ATTEMPTS = 3
"""Ends that are tried for a suffix; the second fills the room unless the text has other tokens from the cut on."""


@dataclass(frozen=True)
class _Ready:
    """A file of an example, laid out: `whole` is how it stands in one sequence, in `order` (plain, psm or spm).

    `lead`, part of `whole`, is the special token (or header) that it begins with; `path` follows, then `body`.
    """

    number: int
    file: File
    lead: TokenIds
    path: TokenIds
    body: EncodedText
    whole: TokenIds
    order: str


class ExampleEncoder:
    """Encodes examples; holds what depends on the tokenizer and the configuration only.

    Args:
        tokenizer: The tokenizer.
        seq_len: Tokens a sequence, at least 32.
        fim_spm_rate: Share of SPM among the rearranged parts, 0..1.
        fim_syntax_rate: Share of middles that are spans of the syntax, 0..1.
        line_padding_fraction: See config.TokenShards.
        seed: See config.TokenShards.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        seq_len: int,
        fim_spm_rate: float,
        fim_syntax_rate: float,
        line_padding_fraction: float,
        seed: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._seq_len = seq_len
        self._fim_spm_rate = fim_spm_rate
        self._fim_syntax_rate = fim_syntax_rate
        self._line_padding_fraction = line_padding_fraction
        self._seed = seed
        table = tokenizer.token_bytes
        self._ends_line = np.array([piece.endswith(b"\n") for piece in table])
        self._repo_name, self._end = map(self._special, ("<repo_name>", "<|endoftext|>"))

    def encode(self, example: Example) -> Encoded:
        """Tokens and pieces of one example; the same whenever and wherever it is called."""
        pieces = Pieces(example, self._seq_len, self._line_padding_fraction)
        if example.repository is not None:
            pieces.add(np.concatenate([self._repo_name, self._tokenizer.encode(example.repository)]))
        waiting = deque(enumerate(example.files))
        choice: deque[_Ready] = deque()
        while waiting or choice:
            while waiting and len(choice) < CHOICE_FILES:
                choice.append(self._ready(example, *waiting.popleft()))
            self._place(pieces, choice, is_rest=not waiting)
        return pieces.result()

    def _place(self, pieces: Pieces, choice: deque[_Ready], *, is_rest: bool) -> None:
        """Place what comes next: files that fit the room, or one that is cut; or close the piece."""
        places, fits = self._next_places(pieces, choice, is_rest)
        if not places:
            pieces.close()
        chosen = [choice[place] for place in places]
        for place in reversed(places):
            del choice[place]
        for number, ready in enumerate(chosen, start=1):
            is_last = is_rest and not choice and number == len(chosen)
            self._add_file(pieces, ready, fits=fits, end=self._end if is_last else self._end[:0])

    def _next_places(self, pieces: Pieces, choice: deque[_Ready], is_rest: bool) -> tuple[list[int], bool]:
        """Places of the files that come next, and whether they fit; none where the piece is closed instead."""
        lengths = [len(ready.whole) for ready in choice]
        room = pieces.room - (is_rest and sum(lengths) == pieces.room)
        end = len(self._end) if is_rest and len(choice) == 1 else 0
        long = [place for place, length in enumerate(lengths) if length + end > self._seq_len]
        if fitting := best_fill(lengths, room) if len(long) < _KEPT_LONG else _one_that_fits(lengths, room):
            return fitting, True
        if pieces.used and room < MIN_PART_TOKENS:
            return [], False
        if long or pieces.is_bare:
            return [long[0] if long else 0], False
        return [], False

    def _special(self, name: str) -> TokenIds:
        return np.array([self._tokenizer.special(name)], self._tokenizer.dtype)

    def _ready(self, example: Example, number: int, file: File) -> _Ready:
        [lead] = encode_parts(self._tokenizer, [example.header]) if example.header else [file.tokens[:1]]
        body = EncodedText(self._tokenizer, file.tokens[1:])
        path = self._tokenizer.encode(file.path + "\n" if example.repository is not None else "")
        room = self._seq_len - len(lead) - len(self._end)
        whole, order = self._whole(example, file, path, body, room)
        return _Ready(number, file, lead, path, body, np.concatenate([lead, whole]), order)

    def _whole(
        self, example: Example, file: File, path: TokenIds, body: EncodedText, room: int
    ) -> tuple[TokenIds, str]:
        """A whole file as it would stand in one sequence, and its order: plain where it fits in that order only."""
        plain = np.concatenate([path, body.ids])
        order = self._order(example, file, body, 0)
        if order == "plain" or len(body) < MIN_FIM_TOKENS or len(plain) + NUM_SENTINELS > room:
            return plain, "plain"
        low, high = self._cut_bytes(file, 0, body, 0, len(body))
        prefix = np.concatenate([path, body.between(0, low)])
        suffix = body.between(high, len(body.raw))
        ids = arrange(self._tokenizer, prefix, body.between(low, high), suffix, spm=order == "spm")
        return (ids, order) if len(ids) <= room else (plain, "plain")

    def _add_file(self, pieces: Pieces, ready: _Ready, *, fits: bool, end: TokenIds) -> None:
        start, cuts = pieces.total, pieces.num_cuts
        before = pieces.used if pieces.is_bare else 0
        if fits:
            pieces.add(ready.whole)
            pieces.count_part(ready.order)
        else:
            pieces.add(ready.lead)
            self._add_parts(pieces, ready, len(end))
        if before + len(ready.whole) + len(end) > self._seq_len:
            pieces.count_long_file()
        pieces.end_file(ready.number, start, cuts)
        pieces.add(end)

    def _add_parts(self, pieces: Pieces, ready: _Ready, num_end: int) -> None:
        """Cut a file that exceeds the room; every part but the last fills its piece."""
        file, body, path = ready.file, ready.body, ready.path
        start = number = 0
        if len(path) >= pieces.room // 2:
            pieces.add(path)
            path = path[:0]
        if not pieces.room:
            pieces.close()
        while start < len(body):
            order = self._order(pieces.example, file, body, number)
            fitted = self._fit_fim(pieces, ready, number, path, start, order) if order != "plain" else None
            if fitted is not None:
                ids, stop = fitted
            else:
                order, stop = "plain", self._plain_stop(pieces, body, start, pieces.room - len(path), num_end)
                ids = np.concatenate([path, body.ids[start:stop]])
            pieces.add(ids, is_loose=order == "plain" and number > 0)
            start, number, path = stop, number + 1, path[:0]
            pieces.count_part(order)
            if start < len(body):
                if order != "plain":
                    pieces.add(self._end)
                pieces.count_cut(behind_line=bool(self._ends_line[body.ids[start - 1]]))
                pieces.close()

    def _plain_stop(self, pieces: Pieces, body: EncodedText, start: int, room: int, num_end: int) -> int:
        """Where a part that begins at `start` ends: with the file, or where the room does, best behind a line."""
        left = len(body) - start
        if left + num_end <= room:
            return len(body)
        stop = body.character_start(start, start + max(1, min(room, left - 1)))
        return self._line_end(pieces, body, start, stop, room - (stop - start))

    def _line_end(self, pieces: Pieces, body: EncodedText, start: int, stop: int, padding: int) -> int:
        """The place behind the last line end between start and stop, if the padding can be afforded; otherwise stop.

        Args:
            pieces: Keeps the account of padding.
            body: The file.
            start: First token that may be left out.
            stop: Token behind the part.
            padding: Tokens that the part leaves empty already.
        """
        lines = np.flatnonzero(self._ends_line[body.ids[start:stop]])
        if len(lines):
            line = start + int(lines[-1]) + 1
            if pieces.spend(padding + stop - line):
                return line
        return stop

    def _fit_fim(
        self, pieces: Pieces, ready: _Ready, number: int, path: TokenIds, start: int, order: str
    ) -> tuple[TokenIds, int] | None:
        """A rearranged part that fills the room, and the token behind it; None if there is too little room.

        The cuts are drawn in somewhat less text than fits. Prefix and middle then stay, and the suffix takes the
        tokens that are left, with three kept for the sentinels and one for the end.
        """
        body, longest = ready.body, pieces.room - len(self._end)
        stop = min(len(body), start + longest - NUM_SENTINELS - len(path) - _FIM_RESERVE_TOKENS)
        if stop - start < MIN_FIM_TOKENS:
            return None
        stop = body.character_start(start, stop)
        low, high = self._cut_bytes(ready.file, number, body, start, stop)
        prefix = np.concatenate([path, body.between(body.byte_at(start), low)])
        middle = body.between(low, high)
        room = longest - NUM_SENTINELS - len(prefix) - len(middle)
        fitted = self._suffix(pieces, body, high, stop, room)
        if fitted is None:
            return None
        suffix, stop = fitted
        return arrange(self._tokenizer, prefix, middle, suffix, spm=order == "spm"), stop

    def _suffix(
        self, pieces: Pieces, body: EncodedText, high: int, stop: int, room: int
    ) -> tuple[TokenIds, int] | None:
        """The suffix from byte `high` on, and the token behind it: about `stop`, moved until the room is filled."""
        first, best = body.token_at(high), None
        for _ in range(_FILL_ATTEMPTS):
            ids = body.between(high, body.byte_at(stop))
            if len(ids) <= room and (best is None or stop > best[1]):
                best = ids, stop
            if len(ids) == room:
                break
            stop = body.character_start(first, min(len(body), max(first, stop + room - len(ids))))
        if best is None or best[1] == len(body):
            return best
        line = self._line_end(pieces, body, first, best[1], room - len(best[0]))
        return best if line == best[1] else (body.between(high, body.byte_at(line)), line)

    def _cut_bytes(self, file: File, number: int, body: EncodedText, start: int, stop: int) -> tuple[int, int]:
        """The bytes before which middle and suffix begin: at a span of the syntax, or between any characters."""
        *chances, syntax, kind, which = uniforms(5, self._seed, "cuts", file.key, number)
        begin, end = body.byte_at(start), body.byte_at(stop)
        if syntax < self._fim_syntax_rate:
            inside = [
                spans[bisect_left(spans, (begin, 0)) : bisect_left(spans, (end, 0))] for spans in body.spans.values()
            ]
            if kinds := [fitting for spans in inside if (fitting := [s for s in spans if s[1] <= end])]:
                spans = kinds[int(kind * len(kinds))]
                return spans[int(which * len(spans))]
        prefix, middle, _ = split_characters(body.characters(start, stop), *chances)
        low = begin + len(prefix.encode("utf-8", "surrogateescape"))
        return low, low + len(middle.encode("utf-8", "surrogateescape"))

    def _order(self, example: Example, file: File, body: EncodedText, number: int) -> str:
        chance, choice = uniforms(2, self._seed, "fim", file.key, number)
        if chance >= example.fim_rate or not body.is_plain:
            return "plain"
        return "spm" if choice < self._fim_spm_rate else "psm"


def _one_that_fits(lengths: list[int], room: int) -> list[int]:
    """The first if it fits, otherwise the longest that does; empty if none does."""
    if lengths[0] <= room:
        return [0]
    fitting = [(-length, place) for place, length in enumerate(lengths) if length <= room]
    return [min(fitting)[1]] if fitting else []


def best_fill(lengths: list[int], room: int) -> list[int]:
    """Places of the lengths that together fill the room best, early ones preferred; in order.

    Bit n of an integer says whether some of the lengths so far add up to n, so that one more length is one shift.

    Args:
        lengths: At least 1 each.
        room: At least 0.
    """
    reached, mask = [1], (2 << room) - 1
    for length in lengths:
        reached.append((reached[-1] | reached[-1] << length) & mask)
        if reached[-1] >> room:
            break
    total, places = reached[-1].bit_length() - 1, []
    for place in range(len(reached) - 2, -1, -1):
        if not reached[place] >> total & 1:
            places.append(place)
            total -= lengths[place]
    return places[::-1]
