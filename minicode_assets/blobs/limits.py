"""One quota, shared by every process that uses it: who may send a request now, and who waits how long.

The server keeps a sliding log: each accepted request counts for `window_s` from the moment it was accepted, refused
ones don't count. The same log is kept here, in one SQLite file, a transaction a decision, so that several processes
and runs stay under the limit together and a killed one leaves nothing behind that has to be repaired.

Why never more than allowed: a request is accepted at some moment s between its sending and its answer. Here it counts
until answer + window, or until sending + `timeout_s` + window where no answer came, which is never before s + window.

Pace: `burst_fraction` of the limit may go at once, then one request each window / limit seconds. From an empty log, N
requests end at the earliest after floor((N - 1) / limit) windows; with the pace, the requests past the last full
window that exceed the burst come window / limit apart, so the end is at most (1 - burst_fraction) windows later,
whatever N is.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from minicode_assets.errors import BlobError, StorageError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (id INTEGER PRIMARY KEY, sent REAL, free REAL, state INTEGER);
CREATE INDEX IF NOT EXISTS requests_free ON requests (free);
CREATE TABLE IF NOT EXISTS figures (name TEXT PRIMARY KEY, value REAL);
"""
_SENT, _SETTLED, _FOREIGN = 0, 1, 2
_FIRST_FOREIGN = "id IN (SELECT id FROM requests WHERE state = 2 AND free > ? ORDER BY free LIMIT ?)"
_LOCK_TIMEOUT_S = 60.0
_LONG_WAIT_S = 120.0
"""Longer waits are told, so that a sleeping run doesn't look dead; an anonymous request's turn comes every 30 s."""
logger = logging.getLogger("minicode.blobs")


class Clock(Protocol):
    """Time as the limiter sees it; tests bring their own."""

    def now(self) -> float:
        """Seconds since 1970, the same for all processes."""
        ...

    def sleep(self, seconds: float, stop: threading.Event) -> None:
        """Return after `seconds`, or as soon as `stop` is set."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """See `Clock.now`."""
        return time.time()

    def sleep(self, seconds: float, stop: threading.Event) -> None:
        """See `Clock.sleep`."""
        stop.wait(seconds)


class Stopped(Exception):  # noqa: N818 - no error: the caller asked for it
    """`acquire` was ended by its stop event."""


@dataclass(frozen=True)
class Grant:
    """Leave to send one request.

    Attributes:
        id: Row of the log.
        sent: When it was given. Unit: seconds since 1970.
    """

    id: int
    sent: float


@dataclass(frozen=True)
class Quota:
    """What a server's X-RateLimit headers said.

    Attributes:
        limit: Requests a window.
        remaining: Requests left in the window that ends now.
        reset_s: Seconds until the oldest request leaves the server's log, which frees one slot.
    """

    limit: int
    remaining: int
    reset_s: float


class Limiter:
    """The shared log of one quota.

    Args:
        path: The SQLite file; its folder is made. All processes that share the quota name the same file.
        limit: Requests a window, until the server's headers say otherwise.
        window_s: Length of the window. Unit: seconds.
        burst_fraction: Share of the limit that may go without pacing, 0..1; at least one request.
        timeout_s: A request is over after this time, answered or not. Unit: seconds.
        clock: The clock.

    Raises:
        BlobError: The file can't be opened, or is no such log.
    """

    def __init__(
        self, path: Path, *, limit: int, window_s: float, burst_fraction: float, timeout_s: float, clock: Clock
    ) -> None:
        self.path, self.window_s, self.timeout_s, self.clock = path, window_s, timeout_s, clock
        self._limit, self._burst_fraction = limit, burst_fraction
        self._thread_lock = threading.Lock()
        self._told_until = 0.0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._log = sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            self._log.execute("PRAGMA journal_mode = WAL")
            self._log.execute("PRAGMA synchronous = NORMAL")
            self._log.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise BlobError(f"{path}: can't open the log of requests: {error}", hint=f"delete {path}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._log.close()

    def reserve(self) -> Grant | float:
        """A grant, or the seconds to wait before asking again. Never sleeps."""
        with self._transaction() as now:
            limit = self.limit
            spacing = self.window_s / limit
            burst = max(1, int(self._burst_fraction * limit))
            due = max(self._figure("due", now), now)
            ready = max(due - (burst - 1) * spacing, self._figure("blocked_until", now), self._slot_free(limit, now))
            if ready > now:
                return ready - now
            self._set("due", due + spacing)
            self._set("num_granted", self._figure("num_granted", 0) + 1)
            free = now + self.timeout_s + self.window_s
            row = self._log.execute("INSERT INTO requests VALUES (NULL, ?, ?, ?)", (now, free, _SENT))
            assert row.lastrowid is not None
            return Grant(row.lastrowid, now)

    def acquire(self, stop: threading.Event) -> Grant:
        """Wait for a grant.

        Raises:
            Stopped: `stop` was set.
        """
        while not stop.is_set():
            answer = self.reserve()
            if isinstance(answer, Grant):
                return answer
            if answer > _LONG_WAIT_S and self.clock.now() > self._told_until:
                self._told_until = self.clock.now() + answer
                logger.info("%s: the next request goes in %.0f s", self.path.stem, answer)
            self.clock.sleep(answer, stop)
        raise Stopped

    def settle(self, grant: Grant, quota: Quota | None) -> None:
        """Note that a request was answered, and learn from its headers."""
        with self._transaction() as now:
            self._log.execute(
                "UPDATE requests SET free = ?, state = ? WHERE id = ?", (now + self.window_s, _SETTLED, grant.id)
            )
            if quota:
                self._set("limit", quota.limit)
                self._learn(grant, quota, now)

    def refuse(self, grant: Grant, retry_after_s: float, quota: Quota | None) -> None:
        """Note that the server refused a request (429): it isn't in the server's log, and nobody asks for a while."""
        with self._transaction() as now:
            self._log.execute("DELETE FROM requests WHERE id = ?", (grant.id,))
            self._set("blocked_until", max(now + retry_after_s, self._figure("blocked_until", now)))
            self._set("num_refused", self._figure("num_refused", 0) + 1)
            if quota:
                self._set("limit", quota.limit)

    @property
    def limit(self) -> int:
        """Requests a window, as last heard."""
        return max(1, int(self._figure("limit", self._limit)))

    def figures(self) -> dict[str, int]:
        """Requests: `limit` a window, `in_window` now, `granted` and `refused` since the log was made."""
        with self._transaction() as now:
            return {
                "limit": self.limit,
                "in_window": self._count("free > ?", now),
                "granted": int(self._figure("num_granted", 0)),
                "refused": int(self._figure("num_refused", 0)),
            }

    def _slot_free(self, limit: int, now: float) -> float:
        """When the log has room: now, or when so many have left that limit - 1 remain."""
        excess = self._count("free > ?", now) - limit
        if excess < 0:
            return now
        row = self._log.execute(
            "SELECT free FROM requests WHERE free > ? ORDER BY free LIMIT 1 OFFSET ?", (now, excess)
        ).fetchone()
        return float(row[0])

    def _learn(self, grant: Grant, quota: Quota, now: float) -> None:
        """Add requests that others sent with the same quota, drop those that have left; both as `_FOREIGN` rows."""
        used = quota.limit - quota.remaining
        unknown = used - self._count("free > ?", grant.sent)
        for _ in range(unknown):
            self._log.execute("INSERT INTO requests VALUES (NULL, ?, ?, ?)", (now, now + self.window_s, _FOREIGN))
        others = "id <> ? AND state > 0 AND free > ? AND free <= ?"
        surplus = self._count(others, grant.id, now, grant.sent + self.window_s) - (used - 1)
        if surplus > 0 and unknown <= 0:
            self._log.execute(f"DELETE FROM requests WHERE {_FIRST_FOREIGN}", (now, surplus))  # noqa: S608
        reset = now + quota.reset_s + 1  # the header is cut to whole seconds
        first = self._log.execute("SELECT min(free) FROM requests WHERE free > ?", (now,)).fetchone()[0]
        if first and reset < first:
            self._log.execute(f"UPDATE requests SET free = ? WHERE {_FIRST_FOREIGN}", (reset, now, 1))  # noqa: S608

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[float]:
        """Hold the file's lock; gives the time. Rows stay a while after they left, for late answers to compare with."""
        with self._thread_lock:
            try:
                self._log.execute("BEGIN IMMEDIATE")
                try:
                    now = self.clock.now()
                    self._log.execute("DELETE FROM requests WHERE free <= ?", (now - self.timeout_s,))
                    self._mend_future(now)
                    yield now
                    self._log.execute("COMMIT")
                except BaseException:
                    if self._log.in_transaction:  # a full disk has rolled back already
                        self._log.execute("ROLLBACK")
                    raise
            except sqlite3.OperationalError as error:
                raise StorageError(
                    f"{self.path}: can't write the log of requests: {error}",
                    hint="free some space, or make the folder writable; the log itself is needed to keep the quota",
                ) from error
            except sqlite3.Error as error:
                raise BlobError(f"{self.path}: the log of requests: {error}", hint=f"delete {self.path}") from error

    def _mend_future(self, now: float) -> None:
        """After the clock was set back, nothing may block for longer than it can have counted."""
        latest = now + self.window_s + self.timeout_s
        self._log.execute("UPDATE requests SET free = ?1 WHERE free > ?1", (latest,))
        times = "name IN ('due', 'blocked_until')"
        self._log.execute(f"UPDATE figures SET value = ?1 WHERE {times} AND value > ?1", (latest,))  # noqa: S608

    def _count(self, condition: str, *values: float) -> int:
        row = self._log.execute(f"SELECT count(*) FROM requests WHERE {condition}", values).fetchone()  # noqa: S608
        return int(row[0])

    def _figure(self, name: str, default: float) -> float:
        row = self._log.execute("SELECT value FROM figures WHERE name = ?", (name,)).fetchone()
        return float(row[0]) if row else default

    def _set(self, name: str, value: float) -> None:
        self._log.execute("INSERT OR REPLACE INTO figures VALUES (?, ?)", (name, value))
