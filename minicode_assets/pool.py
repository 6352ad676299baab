"""Worker processes: their results come in order, and they end with the process that they work for, however it ends."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from minicode_assets.errors import CorpusError

Result = TypeVar("Result")


def start_pool(num_workers: int, prepare: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """A pool of spawned processes, each of which calls `prepare(*arguments)` first."""
    return ProcessPoolExecutor(
        num_workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(prepare, arguments)
    )


def in_order(futures: Iterator[Future[Result]], *, num_ahead: int, what: str, hint: str) -> Iterator[Result]:
    """The results, in order.

    Args:
        futures: Submits one call after the other as it is asked for them.
        num_ahead: So many are under way behind the one whose result comes next, at most.
        what: What a process does, for the message.
        hint: What to do when one was ended.

    Raises:
        CorpusError: A process was ended.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for future in futures:
            waiting.append(future)
            if len(waiting) > num_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise CorpusError(f"{what} was ended: {error}", hint=f"it may have run out of memory: {hint}") from error
    finally:
        for future in waiting:
            future.cancel()


def _begin(prepare: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    """An end by a signal leaves no time to say goodbye to workers, so each watches for itself."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()
    if prepare is not None:
        prepare(*arguments)


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
