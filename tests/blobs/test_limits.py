"""The shared limiter against the server's sliding log, on a clock of their own."""

import heapq
import math
import multiprocessing
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicode_assets.blobs.limits import Grant, Limiter, Quota, Stopped, SystemClock
from minicode_assets.errors import BlobError
from tests.blobs.archive_server import SlidingLog

WINDOW_S = 3600.0


@dataclass
class Simulated:
    """A clock that only its owner moves."""

    time: float = 1_700_000_000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float, stop: threading.Event) -> None:
        self.time += seconds


def limiter(
    path: Path, clock: Simulated, *, limit: int = 1200, burst: float = 0.3, window_s: float = WINDOW_S
) -> Limiter:
    return Limiter(path, limit=limit, window_s=window_s, burst_fraction=burst, timeout_s=60, clock=clock)


@dataclass
class Fetched:
    """How a simulated fetch went."""

    seconds: float
    log: SlidingLog
    num_sent: int
    gaps: list[float]


def simulate(
    path: Path, *, blobs: int, limit: int, workers: int, kills: int = 0, burst: float = 0.3, seed: int = 0,
    foreign: int = 0,
) -> Fetched:  # fmt: skip
    """Workers, each a process with a limiter of its own on one file, fetch blobs from a sliding log.

    A worker asks the limiter, sends, waits 0.05 to 0.6 s for the answer and settles. A kill drops a worker with its
    request in flight (the server has accepted it; the blob must be asked for again) and starts another.
    """
    clock, chance = Simulated(), random.Random(seed)
    start = clock.time
    log = SlidingLog(limit, WINDOW_S, clock.now)
    for _ in range(foreign):
        log.hit()
    limiters = [limiter(path, clock, limit=limit, burst=burst) for _ in range(workers)]
    left, num_sent, gaps = blobs, 0, []
    expected_s = blobs / limit * WINDOW_S
    kill_times = sorted(start + chance.random() * expected_s * 0.9 for _ in range(kills))
    events = [(start, number, "ask", None) for number in range(workers)]
    while left:
        clock.time, number, kind, payload = heapq.heappop(events)
        if kind == "answer":
            grant, accepted, remaining, reset = payload
            quota = Quota(limit, remaining, max(0.0, int(reset) - clock.time))
            if accepted:
                limiters[number].settle(grant, quota)
            else:
                limiters[number].refuse(grant, reset - clock.time + 1, quota)
            left -= accepted
            heapq.heappush(events, (clock.time, number, "ask", None))
        elif kind == "server":
            answer = (payload, *log.hit())
            if kill_times and clock.time >= kill_times[0]:
                kill_times.pop(0)
                limiters[number].close()
                limiters[number] = limiter(path, clock, limit=limit, burst=burst)
                heapq.heappush(events, (clock.time + 1, number, "ask", None))
            else:
                heapq.heappush(events, (clock.time + 0.05 + chance.random() / 3, number, "answer", answer))
        elif left > sum(kind != "ask" for _, _, kind, _ in events):
            grant = limiters[number].reserve()
            if isinstance(grant, Grant):
                num_sent += 1
                gaps.append(clock.time)
                heapq.heappush(events, (clock.time + chance.random() / 4, number, "server", grant))
            else:
                heapq.heappush(events, (clock.time + grant, number, "ask", None))
    return Fetched(clock.time - start, log, num_sent, gaps)


def best_possible_s(blobs: int, limit: int) -> float:
    """In any window at most `limit` are accepted, so request k is not accepted before floor((k-1)/limit) windows."""
    return math.floor((blobs - 1) / limit) * WINDOW_S


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "kills"), [(1, 0), (2, 0), (1, 20), (2, 20)])
def test_10_000_blobs_at_1_200_an_hour(tmp_path: Path, workers: int, kills: int) -> None:
    """Within 1 % of the best possible, and no request refused."""
    done = simulate(tmp_path / "log.sqlite", blobs=10_000, limit=1200, workers=workers, kills=kills)
    best = best_possible_s(10_000, 1200)
    assert best == 28_800
    assert best <= done.seconds <= 1.01 * best
    assert done.log.num_refused == 0
    assert done.log.most == 1200
    assert done.num_sent == 10_000 + kills


@given(
    blobs=st.integers(1, 150), limit=st.integers(1, 40), workers=st.integers(1, 4), kills=st.integers(0, 3),
    burst=st.floats(0, 1), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=25)
def test_never_above_the_limit_and_never_far_from_the_best(
    tmp_path_factory: pytest.TempPathFactory, blobs: int, limit: int, workers: int, kills: int, burst: float, seed: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.sqlite"
    done = simulate(path, blobs=blobs, limit=limit, workers=workers, kills=kills, burst=burst, seed=seed)
    assert done.log.num_refused == 0
    burst_requests = max(1, int(burst * limit))
    windows = math.floor((blobs + kills - 1) / limit)
    slack_s = (windows + 1) * (1.0 + 61 * kills) + 5
    assert done.seconds <= windows * WINDOW_S + (1 - (burst_requests - 1) / limit) * WINDOW_S + slack_s


def test_paced_after_the_burst(tmp_path: Path) -> None:
    done = simulate(tmp_path / "log.sqlite", blobs=60, limit=100, workers=1, burst=0.1)
    gaps = [b - a for a, b in zip(done.gaps, done.gaps[1:], strict=False)]
    assert max(gaps[:9]) < 1
    assert min(gaps[11:]) > 35.9
    assert max(gaps[11:]) < 36.1


def test_requests_of_strangers_are_learned_from_the_headers(tmp_path: Path) -> None:
    """Another machine has used most of the quota: 5 go now, 60 when its requests have left, 35 a window later."""
    done = simulate(tmp_path / "log.sqlite", blobs=100, limit=60, workers=2, foreign=55)
    assert done.log.num_refused <= 1
    assert 2 * WINDOW_S <= done.seconds <= (2 + 18 / 60) * WINDOW_S


def test_a_lost_log_costs_one_refusal(tmp_path: Path) -> None:
    done = simulate(tmp_path / "log.sqlite", blobs=40, limit=60, workers=1, foreign=60)
    assert done.log.num_refused == 1
    assert WINDOW_S <= done.seconds <= 2 * WINDOW_S


def test_limit_is_the_headers(tmp_path: Path) -> None:
    clock = Simulated()
    shared = limiter(tmp_path / "log.sqlite", clock, limit=1200)
    grant = shared.reserve()
    assert isinstance(grant, Grant)
    shared.settle(grant, Quota(limit=120, remaining=119, reset_s=3600))
    assert limiter(tmp_path / "log.sqlite", clock, limit=1200).limit == 120


def test_refused_request_blocks_every_process(tmp_path: Path) -> None:
    clock = Simulated()
    one, two = (limiter(tmp_path / "log.sqlite", clock) for _ in range(2))
    grant = one.reserve()
    assert isinstance(grant, Grant)
    one.refuse(grant, 500, None)
    assert two.reserve() == pytest.approx(500)
    assert two.figures() == {"limit": 1200, "in_window": 0, "granted": 1, "refused": 1}


def test_clock_set_back_blocks_for_one_window_at_most(tmp_path: Path) -> None:
    clock = Simulated()
    shared = limiter(tmp_path / "log.sqlite", clock, limit=2)
    assert isinstance(shared.reserve(), Grant)
    clock.time += WINDOW_S
    assert isinstance(shared.reserve(), Grant)
    clock.time -= 30 * 24 * 3600
    wait_s = shared.reserve()
    assert not isinstance(wait_s, Grant)
    assert wait_s <= WINDOW_S + 60


def test_stop_ends_the_wait(tmp_path: Path) -> None:
    stop = threading.Event()
    shared = Limiter(
        tmp_path / "log.sqlite", limit=1, window_s=3600, burst_fraction=0.1, timeout_s=1, clock=SystemClock()
    )
    shared.acquire(stop)
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        shared.acquire(stop)
    assert time.monotonic() - started < 5


def test_file_that_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(BlobError, match=r"log\.sqlite.*\n?hint: delete"):
        limiter(path, Simulated())


def _take(path: Path, seconds: float, times: "multiprocessing.Queue[list[float]]") -> None:
    shared = Limiter(path, limit=30, window_s=0.5, burst_fraction=0.5, timeout_s=0.1, clock=SystemClock())
    taken, stop, end = [], threading.Event(), time.time() + seconds
    while time.time() < end:
        grant = shared.acquire(stop)
        taken.append(time.time())
        shared.settle(grant, None)
    times.put(taken)


@pytest.mark.slow
def test_processes_share_one_quota(tmp_path: Path) -> None:
    """Real processes, a real clock: no window of the merged requests holds more than the limit."""
    spawn = multiprocessing.get_context("spawn")
    times = spawn.Queue()
    processes = [spawn.Process(target=_take, args=(tmp_path / "log.sqlite", 3.0, times)) for _ in range(3)]
    for process in processes:
        process.start()
    merged = sorted(t for _ in processes for t in times.get(timeout=60))
    for process in processes:
        process.join()
    most = max(sum(1 for t in merged[i:] if t < start + 0.5) for i, start in enumerate(merged))
    assert most <= 30
    assert len(merged) >= 90
