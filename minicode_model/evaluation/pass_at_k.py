"""How many problems a model solves: samples run in parallel cells, and the unbiased estimate of pass@k.

Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code", section 2.1.
"""

import logging
import math
import queue
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from minicode_model.config import Sandbox
from minicode_model.errors import BenchmarkError
from minicode_model.evaluation.problems import Problem
from minicode_model.evaluation.sandbox import Cell, Verdict

_LOGGER = logging.getLogger("minicode.evaluation")
_PROGRESS_EVERY_S = 5.0


@dataclass(frozen=True)
class Scored:
    """One sample of one problem: a row of the results table.

    Attributes:
        task_id: The problem's.
        sample: Number of the sample within its problem, from 0.
        passed: All of the problem's tests passed.
        status: The verdict's (sandbox.STATUSES).
        detail: The verdict's: which exception, signal or limit.
    """

    task_id: str
    sample: int
    passed: bool
    status: str
    detail: str


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """The unbiased estimate of the chance that at least one of k samples is correct.

    1 - C(n - c, k) / C(n, k), in exact integers.

    Args:
        num_samples: Samples n of the problem.
        num_correct: Correct ones among them, c; 0..n.
        k: 1..n.

    Raises:
        ValueError: An argument is outside of its range.
    """
    if not 0 <= num_correct <= num_samples or not 1 <= k <= num_samples:
        raise ValueError(f"pass@k: found n={num_samples}, c={num_correct}, k={k}; expected 0 <= c <= n, 1 <= k <= n")
    wrong, every = math.comb(num_samples - num_correct, k), math.comb(num_samples, k)
    return (every - wrong) / every


def score(
    problems: Sequence[Problem], completions: Mapping[str, Sequence[str]], *, limits: Sandbox, workers: int
) -> list[Scored]:
    """Run every completion with its problem's tests.

    Args:
        problems: In the order of the result.
        completions: Samples by task_id; every problem has at least one.
        limits: What a program may use.
        workers: Programs at the same time, each in a cell of its own; best one a core.

    Returns:
        One row a sample, in the order of problems, then samples; key (task_id, sample).

    Raises:
        BenchmarkError: Problems and completions don't belong together.
        SandboxError: This machine can't isolate programs, or the sandbox broke.
    """
    _check_keys(problems, completions)
    with ExitStack() as stack:
        cells: queue.SimpleQueue[Cell] = queue.SimpleQueue()
        for _ in range(workers):
            cells.put(stack.enter_context(Cell(limits)))
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        running = [
            (problem.task_id, number, pool.submit(_run, cells, problem, text))
            for problem in problems
            for number, text in enumerate(completions[problem.task_id])
        ]
        try:
            return _collect(running)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def mean_pass_at_k(rows: Sequence[Scored], k: int) -> float:
    """The mean of pass@k over problems, 0..1.

    Raises:
        BenchmarkError: There are no rows, or a problem has fewer than k samples.
    """
    outcomes: dict[str, list[bool]] = {}
    for row in rows:
        outcomes.setdefault(row.task_id, []).append(row.passed)
    short = [task_id for task_id, passed in outcomes.items() if len(passed) < k]
    if short or not outcomes:
        what = f"{short[0]} has {len(outcomes[short[0]])} samples" if short else "no samples at all"
        raise BenchmarkError(f"pass@{k}: {what}, expected at least {k} a problem", hint="draw more samples")
    return sum(pass_at_k(len(passed), sum(passed), k) for passed in outcomes.values()) / len(outcomes)


def _check_keys(problems: Sequence[Problem], completions: Mapping[str, Sequence[str]]) -> None:
    wanted = {problem.task_id for problem in problems}
    absent = sorted(task_id for task_id in wanted if not completions.get(task_id))
    unknown = sorted(set(completions) - wanted)
    for what, names in (("without completion", absent), ("unknown", unknown)):
        if names:
            raise BenchmarkError(f"completions: {len(names)} tasks {what}, first {names[0]}; expected each task once")


def _run(cells: queue.SimpleQueue[Cell], problem: Problem, completion: str) -> Verdict:
    cell = cells.get()
    try:
        return cell.run(problem.program(completion), problem.tests, entry_points=problem.entry_points)
    finally:
        cells.put(cell)


def _collect(running: Sequence[tuple[str, int, Future[Verdict]]]) -> list[Scored]:
    rows: list[Scored] = []
    last = time.monotonic()
    for task_id, sample, future in running:
        verdict = future.result()
        rows.append(Scored(task_id, sample, verdict.passed, verdict.status, verdict.detail))
        if time.monotonic() - last > _PROGRESS_EVERY_S:
            last = time.monotonic()
            _LOGGER.info("%d of %d programs run, %d passed", len(rows), len(running), sum(r.passed for r in rows))
    return rows
