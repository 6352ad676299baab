"""What is known of each content of a partition under way: a few bytes each in memory, the bodies in the journal."""

import json
from typing import Any

import numpy as np

from minicode_assets.blobs.backends import Wanted
from minicode_assets.blobs.journal import BLOB, RUN, VERDICT, Journal
from minicode_assets.blobs.rows import Rows

STATUSES = ("verified", "missing", "masked", "damaged", "mismatch", "unreachable")
"""What can become of a content."""
OPEN = -1
"""Instead of a position in the journal: not fetched yet."""


class Ledger:
    """Position in the journal of each content's outcome, by rank.

    Args:
        journal: Opened, not yet replayed.
        rows: The partition's wanted contents.
        run: Digest of inputs and configuration. Verdicts of other runs are forgotten; verified bytes are kept.
    """

    def __init__(self, journal: Journal, rows: Rows, *, run: str) -> None:
        self.journal = journal
        self.positions = np.full(len(rows), OPEN, dtype=np.int64)
        self.num_replayed = 0
        self._replay(rows, run)

    @property
    def is_open(self) -> "np.ndarray[Any, np.dtype[np.bool_]]":
        """True for each rank that still has to be fetched."""
        still_open: np.ndarray[Any, np.dtype[np.bool_]] = self.positions == OPEN
        return still_open

    @property
    def num_closed(self) -> int:
        """Contents with an outcome."""
        return int((self.positions != OPEN).sum())

    def enter_blob(self, wanted: Wanted, body: bytes) -> None:
        """Note verified bytes; on return they survive this process."""
        self.positions[wanted.rank] = self.journal.append(BLOB, wanted.sha1_git, body)

    def enter_verdict(self, wanted: Wanted, status: str, problem: str, body: bytes | None) -> None:
        """Note why there are no verified bytes, with the bytes that came instead, if any."""
        verdict = {"status": status, "problem": problem, "body": body.hex() if body is not None else None}
        self.positions[wanted.rank] = self.journal.append(VERDICT, wanted.sha1_git, json.dumps(verdict).encode())

    def outcome(self, rank: int) -> tuple[str, str | None, bytes | None]:
        """(status, problem, body) of a rank that the journal knows."""
        kind, _, body = self.journal.read(int(self.positions[rank]))
        if kind == BLOB:
            return "verified", None, body
        verdict = json.loads(body)
        came = verdict["body"]
        return verdict["status"], verdict["problem"], None if came is None else bytes.fromhex(came)

    def _replay(self, rows: Rows, run: str) -> None:
        own, verdicts = False, np.zeros(len(rows), dtype=np.bool_)
        for kind, sha1_git, position, _ in self.journal.replay():
            if kind == RUN:
                own = self.journal.read(position)[2] == run.encode()
                self.positions[verdicts] = OPEN
                verdicts[:] = False
                continue
            rank = rows.rank_of(sha1_git)
            if rank is not None and (kind == BLOB or own):
                self.positions[rank] = position
                verdicts[rank] = kind == VERDICT
        self.num_replayed = self.num_closed
        if not own:
            self.journal.append(RUN, bytes(20), run.encode())
