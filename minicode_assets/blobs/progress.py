"""How far a partition under way is, how fast, what of the quota is left, and when it will be done."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from minicode_assets.blobs.backends import Backend
from minicode_assets.blobs.ledger import Ledger
from minicode_assets.blobs.rows import Rows

Observe = Callable[[Mapping[str, Any]], None]
"""Gets the figures of `Progress.figures`."""
SPEAK_S, OBSERVE_S = 3.0, 60.0
"""Shortest time between two lines in the log, and between two calls of `observe`. Unit: seconds."""
SLOWER = 0.05
"""Both times grow to this share of the time that the fetch has run, so that days give hundreds of lines."""
logger = logging.getLogger("minicode.blobs")


class Progress:
    """Counts what arrives and tells of it.

    Args:
        label: What is fetched, for the log.
        rows: The wanted contents.
        ledger: What is known of them.
        backend: Its figures are told too.
        observe: See `Observe`; None: the log only.
    """

    def __init__(self, label: str, rows: Rows, ledger: Ledger, backend: Backend, observe: Observe | None) -> None:
        self._label, self._lengths, self._ledger, self._backend = label, rows.length, ledger, backend
        self._observe = observe
        self._num_before = ledger.num_closed
        self._started = self._spoken = self._observed = time.monotonic()

    def tell(self) -> None:
        """Tell of what is done, when it is time."""
        now = time.monotonic()
        patience = SLOWER * (now - self._started)
        if now - self._spoken >= max(SPEAK_S, patience):
            self._spoken = now
            logger.info("%s: %s", self._label, "; ".join(f"{k} {v}" for k, v in self.figures().items()))
        if self._observe and now - self._observed >= max(OBSERVE_S, patience):
            self._observed = now
            self._observe(self.figures())

    def figures(self) -> dict[str, Any]:
        """blobs, blobs_wanted, bytes, bytes_wanted, blobs_per_s, finish (UTC), and the source's quota.

        What is done counts verified contents and those that are explained. `finish` goes by the rate since this run
        began; where the web API is the only source, by what its quota allows if that is slower.
        """
        done, quota = self._ledger.num_closed, self._backend.figures()
        left = len(self._lengths) - done
        elapsed = max(time.monotonic() - self._started, 1e-9)
        rate = (done - self._num_before) / elapsed
        seconds = left / rate if rate else 0.0
        if self._backend.name == "api" and "api_window_s" in quota:
            seconds = max(seconds, left * quota["api_window_s"] / quota["api_limit"])
        finish = datetime.now(UTC) + timedelta(seconds=seconds)
        return {
            "blobs": done,
            "blobs_wanted": len(self._lengths),
            "bytes": int(self._lengths[~self._ledger.is_open].sum()),
            "bytes_wanted": int(self._lengths.sum()),
            "blobs_per_s": round(rate, 3),
            "finish": finish.isoformat(timespec="minutes") if seconds or not left else "unknown",
            **quota,
        }
