"""Rows through an annotator's function, in several processes where there is enough text: the same results in order.

The processes stay for the next stage, since starting them takes a second; they end with the process that they work for,
however it ends.
"""

import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any

from minicode_assets.config import Annotators
from minicode_assets.corpus.annotate.syntax import Syntax, clear_cache, facts_since, known_facts, parsing, remember
from minicode_assets.errors import CorpusError

Row = tuple[Any, ...]
"""The text of a document first (None without one), then what else the function needs."""
Function = Callable[[Sequence[Row], Any], list[Any]]
"""From rows and parameters to one result a row; a module's own function, as other processes have to find it."""
_BATCH_BYTES, _LAST_BATCH_BYTES = 1 << 21, 1 << 18
_Facts = dict[bytes, Syntax]


def map_rows(
    function: Function, rows: Sequence[Row], params: Any, *, workers: Annotators | None, reads_syntax: bool = True
) -> Iterator[Any]:
    """The function's results, in the order of the rows, some megabytes of text at a time.

    Args:
        function: See `Function`.
        rows: See `Row`.
        params: The function's parameters.
        workers: The `annotators` section; None for this process alone.
        reads_syntax: Whether the function asks for the syntax of texts that another function may have parsed.

    What one annotator learns of a text's syntax is known to the next one of this process, whoever parsed it.
    """
    num_bytes = sum(len(row[0] or "") for row in rows)
    if workers is None or workers.num_workers == 1 or num_bytes < workers.parallel_from_bytes:
        with parsing():
            for batch in _batches(rows):
                yield from function(batch, params)
    else:
        yield from _map_parallel(function, rows, params, workers.num_workers, reads_syntax)


def _map_parallel(
    function: Function, rows: Sequence[Row], params: Any, num_workers: int, reads_syntax: bool
) -> Iterator[Any]:
    """A few batches at most are under way."""
    waiting: deque[Future[tuple[list[Any], _Facts]]] = deque()
    try:
        for batch in _batches(rows, num_workers):
            known = known_facts([row[0] for row in batch if row[0] is not None]) if reads_syntax else {}
            waiting.append(_pool(num_workers).submit(_work, function, batch, params, known))
            if len(waiting) > 2 * num_workers:
                yield from _taken(waiting.popleft())
        while waiting:
            yield from _taken(waiting.popleft())
    except BrokenProcessPool as error:
        _pool.cache_clear()
        raise CorpusError(
            f"{function.__module__}: a process that annotates was ended: {error}",
            hint="it may have run out of memory: [annotators] num_workers = 1, or smaller partitions",
        ) from error
    finally:
        for future in waiting:
            future.cancel()


@functools.cache
def _pool(num_workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(num_workers, mp_context=get_context("spawn"), initializer=end_with_parent)


def end_with_parent() -> None:
    """An end by a signal leaves no time to say goodbye to workers, so each watches for itself."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _taken(future: "Future[tuple[list[Any], _Facts]]") -> list[Any]:
    results, facts = future.result()
    remember(facts)
    return results


def _work(function: Function, batch: Sequence[Row], params: Any, known: _Facts) -> tuple[list[Any], _Facts]:
    """In a worker: the results of a batch, and what was learnt of its texts' syntax beyond what is known."""
    clear_cache()
    remember(known)
    with parsing():
        results = function(batch, params)
    return results, facts_since(len(known))


def _batches(rows: Sequence[Row], num_workers: int = 1) -> Iterator[Sequence[Row]]:
    """Some megabytes of text each; less towards the end, so that no process waits long for another's last batch."""
    left = sum(len(row[0] or "") for row in rows)
    start = size = 0
    for end, row in enumerate(rows, 1):
        size += len(row[0] or "")
        if size >= min(_BATCH_BYTES, max(left // (2 * num_workers), _LAST_BATCH_BYTES)):
            yield rows[start:end]
            start, size, left = end, 0, left - size
    if start < len(rows):
        yield rows[start:]
