"""Rows through an annotator's function, in several processes where there is enough text: the same results in order.

The processes stay for the next stage, since starting them takes a second.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minicode_assets.config import Annotators
from minicode_assets.corpus.annotate.syntax import Syntax, clear_cache, facts_since, known_facts, parsing, remember
from minicode_assets.errors import CorpusError
from minicode_assets.pool import in_order, start_pool

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
    sizes = [len(row[0] or "") for row in rows]
    if workers is None or workers.num_workers == 1 or sum(sizes) < workers.parallel_from_bytes:
        with parsing():
            for batch in _batches(rows, sizes):
                yield from function(batch, params)
    else:
        batches = _batches(rows, sizes, workers.num_workers)
        yield from _map_parallel(function, batches, params, workers.num_workers, reads_syntax)


def _map_parallel(
    function: Function, batches: Iterator[Sequence[Row]], params: Any, num_workers: int, reads_syntax: bool
) -> Iterator[Any]:
    """A few batches at most are under way."""
    calls = (
        _pool(num_workers).submit(_work, function, batch, params, _known(batch) if reads_syntax else {})
        for batch in batches
    )
    what, hint = (
        f"{function.__module__}: a process that annotates",
        "[annotators] num_workers = 1, or smaller partitions",
    )
    try:
        for results, facts in in_order(calls, num_ahead=2 * num_workers, what=what, hint=hint):
            remember(facts)
            yield from results
    except CorpusError:
        _pool.cache_clear()
        raise


def _known(batch: Sequence[Row]) -> _Facts:
    return known_facts([row[0] for row in batch if row[0] is not None])


_pool = functools.cache(start_pool)


def _work(function: Function, batch: Sequence[Row], params: Any, known: _Facts) -> tuple[list[Any], _Facts]:
    """In a worker: the results of a batch, and what was learnt of its texts' syntax beyond what is known."""
    clear_cache()
    remember(known)
    with parsing():
        results = function(batch, params)
    return results, facts_since(len(known))


def _batches(rows: Sequence[Row], sizes: Sequence[int], num_workers: int = 1) -> Iterator[Sequence[Row]]:
    """Some megabytes of text each; less towards the end, so that no process waits long for another's last batch."""
    left, start, size = sum(sizes), 0, 0
    for end, added in enumerate(sizes, 1):
        size += added
        if size >= min(_BATCH_BYTES, max(left // (2 * num_workers), _LAST_BATCH_BYTES)):
            yield rows[start:end]
            start, size, left = end, 0, left - size
    if start < len(rows):
        yield rows[start:]
